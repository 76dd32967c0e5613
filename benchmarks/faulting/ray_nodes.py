"""Faults of a Ray cluster: a node is killed while it trains.

    python -m benchmarks.faulting.ray_nodes FOLDER NUMBER

runs one search on a cluster of two nodes on this machine, kills one of them, and prints the seconds
to the next trained epoch. Ray gets a process of its own, which can be ended with all of Ray.
"""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import autotrain
from autotrain.search import loop
from autotrain.search.progress import Progress
from benchmarks.faulting.launch import processes_of
from benchmarks.faulting.run import TWO, Result, Whole, checked, running

PATIENCE_S = 300.0
MOST_EPOCHS = 60


class Killer:
    """An observer that kills a node after some epochs, and measures when the next one ends."""

    def __init__(self, n_epochs: int, kill: Callable[[], Any]) -> None:
        self.n_epochs, self.kill = n_epochs, kill
        self.killed_s = 0.0
        self.then = 0
        self.recover_s: float | None = None

    def update(self, progress: Progress) -> None:
        if not self.killed_s and progress.epochs >= self.n_epochs and progress.n_running > 0:
            self.kill()
            self.killed_s, self.then = time.monotonic(), progress.epochs
        elif self.killed_s and self.recover_s is None and progress.epochs > self.then:
            self.recover_s = time.monotonic() - self.killed_s


def search(folder: Path, number: int) -> float | None:
    """Search on a cluster whose second node is killed; return the seconds to recover."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    ray.init(address=cluster.address, logging_level=logging.ERROR, log_to_driver=False)
    cluster.add_node(num_cpus=1)
    lost = cluster.add_node(num_cpus=1)
    moment = random.Random(number).randrange(1, MOST_EPOCHS)
    loop.SHOW_EVERY_S = 0.0
    killer = Killer(moment, lambda: cluster.remove_node(lost, allow_graceful=False))
    with autotrain.Study(
        "s",
        data=str(folder / "table.csv"),
        target="target",
        space=str(folder / "space.toml"),
        directory=folder / "here" / "studies",
        workers="ray",
        validation="holdout",
        finalists=0,
        ensemble=0,
    ) as study:
        study.optimize(n_trials=TWO.n_trials, observer=killer)
    ray.shutdown()
    cluster.shutdown()
    if not killer.killed_s:
        raise RuntimeError("no node was killed")
    return killer.recover_s


def ray_run(parent: Path, number: int, whole: Whole) -> Result:
    """Run one search with a fault in a process of its own, and check it.

    Args:
        parent: folder for temporary files.
        number: number of the run.
        whole: the search without a fault.
    """
    result = Result("ray", number)
    with running(parent, TWO) as run:
        environment = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
        output = run.parent / "output.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.faulting.ray_nodes", run.parent, str(number)],
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
            try:
                process.wait(PATIENCE_S)
            finally:
                process.kill()
                process.wait()
        text = output.read_text(errors="replace")
        if process.returncode:
            result.errors.append(text[-1500:])
            return result
        result.recover_s = json.loads(text.splitlines()[-1])
        result.left += [f"process {pid} is alive" for pid in processes_of(process.pid)]
        return checked(run, result, whole, is_exact=False, before={})


if __name__ == "__main__":
    print(json.dumps(search(Path(sys.argv[1]), int(sys.argv[2]))))
