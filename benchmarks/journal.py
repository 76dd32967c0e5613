"""Compares the study's journal with Optuna's, by the time of a finished trial.

    taskset -c 0 python benchmarks/journal.py [--trials 1000] [--repeats 2]

Each trial has 12 parameters, a curve of 10 points and 6 user attributes, and is on disk when it
ends. `buffered` is a buffer over Optuna's backend that writes at the end of a trial and never reads
records of other processes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend

from autotrain.search.storage.journal import CREATE_OPERATIONS, GroupCommitBackend


class Buffered(BaseJournalBackend):
    def __init__(self, path: str) -> None:
        self.inner = JournalFileBackend(path)
        self.buffer: list[dict[str, Any]] = []
        self.unread: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        logs, self.unread = self.unread, []
        return logs

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.buffer += logs
        self.unread += json.loads(json.dumps(logs))
        if any(log["op_code"] in CREATE_OPERATIONS for log in logs):
            self.commit()

    def commit(self) -> None:
        if self.buffer:
            self.inner.append_logs(self.buffer)
            self.buffer = []


def trial_times(backend: BaseJournalBackend, n_trials: int) -> list[float]:
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(storage=JournalStorage(backend), sampler=sampler)
    times = []
    for _ in range(n_trials):
        start = time.perf_counter()
        trial = study.ask()
        for number in range(12):
            trial.suggest_float(f"parameter_{number}", 0, 1)
        for epoch in range(10):
            trial.report(1 / (epoch + 1), epoch)
        for number in range(6):
            trial.set_user_attr(f"attribute_{number}", number)
        study.tell(trial, 0.5)
        if isinstance(backend, Buffered | GroupCommitBackend):
            backend.commit()
        times.append(time.perf_counter() - start)
    return times


def main() -> None:
    """Print one line per backend and repeat."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    backends: dict[str, Callable[[str], BaseJournalBackend]] = {
        "autotrain": lambda path: GroupCommitBackend(Path(path)),
        "optuna": JournalFileBackend,
        "buffered": Buffered,
    }
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(arguments.repeats):
            for name, make in backends.items():
                times = trial_times(make(f"{folder}/{name}-{repeat}.log"), arguments.trials)
                print(f"{name:9} {1e3 * statistics.median(times):7.2f} ms per trial (median)")


if __name__ == "__main__":
    main()
