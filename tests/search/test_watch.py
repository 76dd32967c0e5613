"""Workers without a sign of life are ended, and a search ends in time whatever its workers do."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, cast

import pytest

import autotrain
from autotrain.search.progress import Progress
from autotrain.search.training_run import TrainingRun
from autotrain.search.watch import LATE_S, SILENT_S, START_S, Watch
from autotrain.search.workers.processes import ProcessWorker
from autotrain.search.workers.protocol import Worker


class Pretended:
    """A worker in another process, and a run on it with a known duration of an epoch."""

    pipe = None

    def __init__(self, epoch_s: float = 0.0, name: str = "worker 1") -> None:
        self.name = name
        self.worker = self
        self._epoch_s = epoch_s

    def epoch_s(self) -> float:
        return self._epoch_s


@pytest.mark.parametrize(
    ("first_s", "last_s", "now_s", "late_s", "epoch_s", "is_overdue"),
    [
        (0.0, None, START_S, None, 0.0, False),
        (0.0, None, START_S + 1, None, 0.0, True),
        (0.0, 100.0, 100 + SILENT_S, None, 0.0, False),
        (0.0, 100.0, 101 + SILENT_S, None, 0.0, True),
        # At the end the search waits less.
        (0.0, 100.0, 101 + LATE_S, 1.0, 0.0, True),
        (0.0, None, LATE_S + 1, 1.0, 0.0, True),
        # The worker gives signs of life, but does not finish its epoch.
        (0.0, 100.0, 100.0, LATE_S, 0.0, False),
        (0.0, 100.0, 100.0, LATE_S + 1, 0.0, True),
        (0.0, 100.0, 100.0, 19.0, 10.0, False),
        (0.0, 100.0, 100.0, 21.0, 10.0, True),
    ],
)
def test_overdue_workers(
    first_s: float,
    last_s: float | None,
    now_s: float,
    late_s: float | None,
    epoch_s: float,
    is_overdue: bool,
) -> None:
    now = {"s": first_s}
    watch = Watch(lambda: now["s"])
    pretended = Pretended(epoch_s)
    worker = cast(Worker, pretended)
    assert watch.overdue([worker], [], None) == []
    if last_s is not None:
        now["s"] = last_s
        watch.heard(worker)
    now["s"] = now_s
    found = watch.overdue([worker], [cast(TrainingRun, pretended)], late_s)
    assert [ended for ended, _ in found] == ([worker] if is_overdue else [])


def test_worker_in_this_process_is_never_overdue() -> None:
    class Inline:
        name = "inline"

    watch = Watch(lambda: 1e9)
    assert watch.overdue([cast(Worker, Inline())], [], 1e9) == []


class Stop:
    """An observer that stops a worker process when all workers train."""

    def __init__(self, workers: list[ProcessWorker]) -> None:
        self.workers = workers
        self.stopped: int | None = None

    def update(self, progress: Progress) -> None:
        if self.stopped is None and progress.epochs > 50 and progress.n_complete:
            self.stopped = self.workers[0].process.pid
            os.kill(self.stopped, signal.SIGSTOP)


def test_search_with_a_stopped_worker_ends_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers: list[ProcessWorker] = []
    made = ProcessWorker.__init__

    def note(worker: ProcessWorker, *arguments: Any) -> None:
        made(worker, *arguments)
        workers.append(worker)

    monkeypatch.setattr(ProcessWorker, "__init__", note)
    space = {
        "network": {"hidden_layers": 1, "hidden_units": 16},
        "optimizer": {"choices": ["adam"], "learning_rate": {"low": 1e-3, "high": 1e-2}},
        "training": {"batch_size": 32, "epochs": 40},
    }
    stop = Stop(workers)
    with autotrain.Study(
        "wine", data="sklearn:wine", space=space, workers=2, pruner="none", directory=tmp_path
    ) as study:
        study.optimize(timeout=15, observer=stop)
        states = {trial.state.name for trial in study.optuna_study.trials}
    assert stop.stopped is not None
    assert "RUNNING" not in states
    # Without the watch the search would never end.
    with pytest.raises(ProcessLookupError):
        os.kill(stop.stopped, 0)
