"""Compares the storages of a study by the time of a finished trial.

    taskset -c 0 python -m benchmarks.journal [--trials 1000] [--repeats 2] [--servers]

Each trial has 12 parameters, a curve of 10 points and 6 user attributes, and is on disk when it
ends. The time contains Optuna's own part: its sampler and its checks of each parameter. `memory`
keeps no file. `buffered` is a buffer over Optuna's backend that writes at the end of a trial and
never reads records of other processes. `search` is the journal as a search writes it. With
`--servers` also SQLite and private servers, as a search writes them: PostgreSQL, MariaDB and Redis.
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
from autotrain.search.storage.opened import OpenStorage
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


Times = list[tuple[float, float]]
"""Processor time and wall time of each trial, in seconds."""


def new_study(storage: BaseStorage) -> optuna.Study:
    return optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))


def trial_times(study: optuna.Study, commit: Callable[[], None], n_trials: int) -> Times:
    storage, times = study._storage, []
    for _ in range(n_trials):
        start, used = time.perf_counter(), time.process_time()
        if isinstance(storage, OpenStorage):
            storage.refresh()
        trial = study.ask()
        for number in range(12):
            trial.suggest_float(f"parameter_{number}", 0, 1)
        for epoch in range(10):
            trial.report(1 / (epoch + 1), epoch)
        for number in range(6):
            trial.set_user_attr(f"attribute_{number}", number)
        study.tell(trial, 0.5)
        commit()
        times.append((time.process_time() - used, time.perf_counter() - start))
    return times


def journal_times(backend: BaseJournalBackend, n_trials: int) -> Times:
    is_buffered = isinstance(backend, Buffered | GroupCommitBackend)
    commit = backend.commit if is_buffered else lambda: None  # type: ignore[attr-defined]
    return trial_times(new_study(JournalStorage(backend)), commit, n_trials)


def search_times(folder: Path, url: str | None, n_trials: int) -> Times:
    """Write as a search does."""
    with open_storage(folder, url) as storage:
        study = new_study(storage)
        with storage.buffering(study._study_id):
            return trial_times(study, storage.commit, n_trials)


def show(name: str, times: Times) -> None:
    """Print the processor time (mean) and the wall time (median) of a trial."""
    used, wall = zip(*times, strict=True)
    print(
        f"{name:10} {1e3 * statistics.mean(used):6.2f} ms of processor time, "
        f"{1e3 * statistics.median(wall):6.2f} ms per trial",
        flush=True,
    )


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
        urls: dict[str, str | None] = {"search": None}
        if arguments.servers:
            urls["sqlite"] = f"sqlite:///{folder}/study.db"
            for name, kind in KINDS.items():
                server = kind()
                stack.callback(server.remove)
                urls[name] = server.url()
        for repeat in range(arguments.repeats):
            memory = optuna.storages.InMemoryStorage()
            show("memory", trial_times(new_study(memory), lambda: None, n_trials))
            for name, make in backends.items():
                show(name, journal_times(make(f"{folder}/{name}-{repeat}.log"), n_trials))
            for name, url in urls.items():
                place = Path(folder) / f"{name}-{repeat}"
                show(name, search_times(place, url, n_trials))


if __name__ == "__main__":
    main()
