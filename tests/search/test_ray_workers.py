"""Workers on a real Ray cluster of several nodes, which the tests start on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing import connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autotrain
from autotrain.data.encoded import EncodedFold
from autotrain.data.loading import load_dataset
from autotrain.errors import StudyError
from autotrain.metrics import metric_for
from autotrain.network.config import view_of
from autotrain.search.progress import Progress
from autotrain.search.workers.protocol import Crashed, Message
from autotrain.search.workers.ray_workers import (
    Part,
    RayCluster,
    RayWorker,
    check_versions,
    versions,
)
from autotrain.space.config import TrialConfig
from autotrain.training.rows import Problem, problem_of
from autotrain.training.slot import Admission, Outcome

SPACE = {
    "network": {"hidden_layers": 1, "hidden_units": {"choices": [8, 16, 24]}},
    "optimizer": {"choices": ["adam"], "learning_rate": {"low": 1e-3, "high": 1e-2, "log": True}},
    "training": {"batch_size": 32, "epochs": 40},
}
LONG = SPACE | {"training": {"batch_size": 16, "epochs": 150}, "early_stopping": {"enabled": False}}


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """Ray without a token, because another test may have read or made one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        yield pytest.importorskip("ray")


@pytest.fixture
def cluster(ray: Any) -> Iterator[Any]:
    """A cluster of one node without CPUs, to which tests add nodes."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    ray.init(address=made.address, logging_level="ERROR", log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


class Once:
    """An observer that calls a function once, when a condition holds."""

    def __init__(self, condition: Callable[[Progress], bool], action: Callable[[], Any]) -> None:
        self.condition = condition
        self.action: Callable[[], Any] | None = action

    def update(self, progress: Progress) -> None:
        if self.action is not None and self.condition(progress):
            action, self.action = self.action, None
            action()


def study(folder: Path, space: dict[str, Any], **options: Any) -> autotrain.Study:
    settings: dict[str, Any] = {"space": space, "pruner": "none", "finalists": 0, "ensemble": 0}
    settings |= {"sampler": "random", "validation": "holdout", "directory": folder}
    return autotrain.Study("wine", data="sklearn:wine", **settings | options)


def values(searched: autotrain.Study) -> list[float]:
    return [trial.value for trial in searched.optuna_study.trials if trial.value is not None]


def test_ray_workers_compute_the_values_of_local_ones(cluster: Any, tmp_path: Path) -> None:
    cluster.add_node(num_cpus=1)
    cluster.add_node(num_cpus=1)
    with study(tmp_path / "local", SPACE, workers=1) as local:
        local.optimize(n_trials=5, quiet=True)
        expected = values(local)
    with study(tmp_path / "ray", SPACE, workers="ray") as remote:
        remote.optimize(n_trials=5, quiet=True)
        assert values(remote) == pytest.approx(expected, rel=1e-4)
        assert remote.best_predictor().predict(remote.dataset.raw_valid()[0]).size


def free_ports(n: int) -> list[int]:
    """Return free ports of this machine."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports: list[int] = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


@pytest.fixture
def address(ray: Any, tmp_path: Path) -> Iterator[str]:
    """The address for Ray Client of a cluster that runs in processes of its own."""
    port, client_port = free_ports(2)
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"]
    command += [f"--port={port}", f"--ray-client-server-port={client_port}", "--num-cpus=1"]
    command += ["--include-dashboard=false", "--disable-usage-stats"]
    with (tmp_path / "ray.txt").open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, start_new_session=True, env=dict(os.environ)
        )
        try:
            end = time.monotonic() + 60
            while time.monotonic() < end and process.poll() is None:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", client_port), 1).close()
                    break
                time.sleep(0.2)
            yield f"ray://127.0.0.1:{client_port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_search_on_a_cluster_at_an_address(address: str, tmp_path: Path) -> None:
    """Ray allows one connection of a process, so the search has its own."""
    code = (
        "import autotrain\n"
        f"study = autotrain.Study('wine', data='sklearn:wine', space={SPACE!r}, finalists=0,\n"
        "    ensemble=0, sampler='random', pruner='none', validation='holdout',\n"
        f"    directory={str(tmp_path)!r}, workers={address!r})\n"
        "study.optimize(n_trials=3, quiet=True)\n"
        "print(sorted(trial.value for trial in study.optuna_study.trials))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    with study(tmp_path / "local", SPACE, workers=1) as local:
        local.optimize(n_trials=3, quiet=True)
        assert json.loads(done.stdout) == pytest.approx(sorted(values(local)), rel=1e-4)


def test_trials_of_a_killed_node_are_retried_on_another(cluster: Any, tmp_path: Path) -> None:
    cluster.add_node(num_cpus=1)
    lost = cluster.add_node(num_cpus=1)
    kill = Once(
        lambda progress: progress.n_running >= 2 and progress.epochs > 20,
        lambda: cluster.remove_node(lost, allow_graceful=False),
    )
    with study(tmp_path, LONG, workers="ray") as searched:
        searched.optimize(n_trials=4, observer=kill)
        assert kill.action is None
        trials = searched.optuna_study.trials
        assert [trial.state.name for trial in trials] == ["COMPLETE"] * 4


def wait_for_workers(cluster: RayCluster, n: int) -> list[RayWorker]:
    found: list[RayWorker] = []
    end = time.monotonic() + 60
    while len(found) < n and time.monotonic() < end:
        found += cluster.new_workers()
        time.sleep(0.1)
    assert len(found) == n
    return found


def test_node_that_joins_gets_a_worker_and_a_dead_worker_is_replaced(
    cluster: Any, ray: Any
) -> None:
    cluster.add_node(num_cpus=1)
    pool = RayCluster("ray", Part())
    pool.give(*problem_and_folds())
    (first,) = wait_for_workers(pool, 1)
    assert pool.new_workers() == []
    cluster.add_node(num_cpus=1)
    (second,) = wait_for_workers(pool, 1)
    first.send(admission(0))
    second.send(admission(1))
    assert {outcome_of(first).slot, outcome_of(second).slot} == {0, 1}
    ray.kill(first.actor)
    (crashed,) = next_messages(first)
    assert isinstance(crashed, Crashed)
    assert not crashed.is_alive
    (third,) = wait_for_workers(pool, 1)
    third.send(admission(2))
    assert outcome_of(third).slot == 2
    pool.close()


def next_messages(worker: RayWorker) -> list[Message]:
    assert connection.wait([worker.pipe], 60)
    return worker.receive()


def outcome_of(worker: RayWorker) -> Outcome:
    """Return the outcome of the slot that a worker trains."""
    while True:
        for message in next_messages(worker):
            assert not isinstance(message, Crashed), message.text
            if isinstance(message, Outcome):
                return message


def admission(slot: int) -> Admission:
    config = TrialConfig.from_params({"network.hidden_units": 8, "training.epochs": 3})
    return Admission(slot, config, seed=5, fold=0)


def problem_and_folds() -> tuple[Problem, Sequence[EncodedFold]]:
    dataset = load_dataset("sklearn:wine", None, validation="holdout")
    view = view_of(admission(0).config)
    problem = problem_of(dataset, metric_for(dataset.task))
    return problem, dataset.encoded_folds([view])


def test_fractions_of_a_cpu_give_more_workers(cluster: Any, tmp_path: Path) -> None:
    cluster.add_node(num_cpus=3)
    cluster.add_node(num_cpus=1)
    assert RayCluster("ray", Part(1.0)).n_places() == 4
    assert RayCluster("ray", Part(0.5)).n_places() == 8
    assert RayCluster("ray", Part(2.0)).n_places() == 1
    assert RayCluster("ray", Part(1.0, 1.0)).n_places() == 0


def test_rows_are_stored_once_on_each_node(cluster: Any) -> None:
    from ray._private.internal_api import memory_summary

    cluster.add_node(num_cpus=2)
    cluster.add_node(num_cpus=2)
    problem, folds = problem_and_folds()
    (fold,) = folds
    ((view, encoded),) = fold.views.items()
    times = 24 * 2**20 // encoded.x_train.nbytes
    many = replace(encoded, x_train=np.tile(encoded.x_train, (times, 1)))
    size = many.x_train.nbytes / 2**20
    pool = RayCluster("ray", Part())
    pool.give(problem, [replace(fold, y_train=np.tile(fold.y_train, times), views={view: many})])
    wait_for_workers(pool, 4)
    found = re.search(r"Plasma memory usage (\d+) MiB", memory_summary(stats_only=True))
    assert found is not None
    # This process has put them into the store of its node, and two nodes have fetched them.
    assert 2.5 < int(found[1]) / size < 3.5
    pool.close()


def test_unreachable_cluster_is_an_error(ray: Any, tmp_path: Path) -> None:
    with (
        study(tmp_path, SPACE, workers="ray://localhost:1") as searched,
        pytest.raises(StudyError, match="address of a running Ray cluster") as found,
    ):
        searched.optimize(n_trials=1, quiet=True)
    assert found.value.parameter == "workers"


def test_other_versions_on_a_node_are_an_error() -> None:
    here = versions()
    check_versions(here, dict(here), "node-1")
    with pytest.raises(StudyError, match=r"got torch 1\.0 \(here .*\) on node node-1") as found:
        check_versions(here, here | {"torch": "1.0"}, "node-1")
    assert found.value.parameter == "workers"


def test_missing_package_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with (
        study(tmp_path, SPACE, workers="ray") as searched,
        pytest.raises(StudyError, match=r"pip install 'autotrain\[ray\]'"),
    ):
        searched.optimize(n_trials=1, quiet=True)
