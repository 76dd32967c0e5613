"""Compares the storages of a study by the time of a finished trial.

    taskset -c 0 python -m benchmarks.journal [--trials 1000] [--repeats 2] [--servers]

Each trial has 12 parameters, a curve of 10 points and 6 user attributes, and is on disk when it
ends. The time contains Optuna's own part: its sampler, its checks of each parameter, and for
databases its SQL statements. `buffered` is a buffer over Optuna's backend that writes at the end of
a trial and never reads records of other processes. With `--servers` also SQLite and private
servers: PostgreSQL, MariaDB and Redis.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend

from autotrain.search.storage.journal import CREATE_OPERATIONS, GroupCommitBackend
from autotrain.search.storage.open import open_storage
from tests.search.storage.servers import KINDS


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


def trial_times(storage: BaseStorage, commit: Callable[[], None], n_trials: int) -> list[float]:
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(storage=storage, sampler=sampler)
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
        commit()
        times.append(time.perf_counter() - start)
    return times


def journal_times(backend: BaseJournalBackend, n_trials: int) -> list[float]:
    is_buffered = isinstance(backend, Buffered | GroupCommitBackend)
    commit = backend.commit if is_buffered else lambda: None  # type: ignore[attr-defined]
    return trial_times(JournalStorage(backend), commit, n_trials)


def url_times(folder: Path, url: str, n_trials: int) -> list[float]:
    with open_storage(folder, url) as storage:
        return trial_times(storage, storage.commit, n_trials)


def main() -> None:
    """Print one line per backend and repeat."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--servers", action="store_true")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    n_trials = arguments.trials
    backends: dict[str, Callable[[str], BaseJournalBackend]] = {
        "autotrain": lambda path: GroupCommitBackend(Path(path)),
        "optuna": JournalFileBackend,
        "buffered": Buffered,
    }
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        urls: dict[str, str] = {}
        if arguments.servers:
            urls["sqlite"] = f"sqlite:///{folder}/study.db"
            for name, kind in KINDS.items():
                server = kind()
                stack.callback(server.remove)
                urls[name] = server.url()
        for repeat in range(arguments.repeats):
            for name, make in backends.items():
                times = journal_times(make(f"{folder}/{name}-{repeat}.log"), n_trials)
                print(f"{name:10} {1e3 * statistics.median(times):7.2f} ms per trial (median)")
            for name, url in urls.items():
                times = url_times(Path(folder) / f"{name}-{repeat}", url, n_trials)
                print(f"{name:10} {1e3 * statistics.median(times):7.2f} ms per trial (median)")


if __name__ == "__main__":
    main()
