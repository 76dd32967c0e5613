"""Measures the fraction of a search's wall time that is not training, and its memory.

    python benchmarks/bookkeeping.py [--trials 200] [--rows 20000] [--workers 1]

With one worker everything runs in one process, so the time outside `Worker.receive` is the cost of
sampling, reporting, pruning, storing and publishing. Memory is the resident size of the process.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from autotrain.search.progress import Progress
from autotrain.search.workers.inline import InlineWorker
from autotrain.study import Study


class Memory:
    """Records the resident size, in MB, when a trial ends."""

    def __init__(self) -> None:
        self.at: dict[int, float] = {}

    def update(self, progress: Progress) -> None:
        """Record the resident size of this process."""
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        self.at[progress.n_done] = pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Print the fraction and the growth of memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--inputs", type=int, default=50)
    parser.add_argument("--space", default="quick")
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    x = generator.normal(size=(arguments.rows, arguments.inputs))
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(arguments.inputs)])
    noise = generator.normal(size=arguments.rows)
    frame["y"] = np.where(x @ generator.normal(size=arguments.inputs) + noise > 0, "yes", "no")

    training = 0.0
    receive = InlineWorker.receive

    def timed(self: InlineWorker) -> Any:
        nonlocal training
        start = time.perf_counter()
        messages = receive(self)
        training += time.perf_counter() - start
        return messages

    InlineWorker.receive = timed  # type: ignore[method-assign]
    memory = Memory()
    with tempfile.TemporaryDirectory() as folder:
        study = Study(
            "bookkeeping",
            data=frame,
            target="y",
            space=arguments.space,
            workers=1,
            directory=folder,
        )
        start = time.perf_counter()
        study.optimize(n_trials=arguments.trials, observer=memory)
        wall = time.perf_counter() - start
        progress = study.progress
        study.close()
    print(f"{progress.n_done} trials, {progress.epochs} trial-epochs in {wall:.1f} s")
    print(f"bookkeeping: {100 * (1 - training / wall):.1f} % of the wall time")
    early = memory.at[min(memory.at, key=lambda n: abs(n - arguments.trials // 4))]
    last = memory.at[max(memory.at)]
    print(
        f"memory: {early:.0f} MB at a quarter of the trials, {last:.0f} MB at the end, "
        f"growth {last - early:.0f} MB"
    )


if __name__ == "__main__":
    main()
