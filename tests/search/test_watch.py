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
    ("last_s", "late_s", "now_s", "epoch_s", "is_overdue"),
    [
        (None, None, START_S, 0.0, False),
        (None, None, START_S + 1, 0.0, True),
        (100.0, None, 100 + SILENT_S, 0.0, False),
        (100.0, None, 101 + SILENT_S, 0.0, True),
        # At the end the search waits less.
        (100.0, 104.0, 101 + LATE_S, 0.0, True),
        # The worker gives signs of life, but does not finish its epoch.
        (107.0, 101.0, 101 + LATE_S, 0.0, False),
        (107.0, 101.0, 102 + LATE_S, 0.0, True),
        (119.0, 101.0, 120.0, 10.0, False),
        (119.0, 101.0, 122.0, 10.0, True),
    ],
)
def test_overdue_workers(
    last_s: float | None, late_s: float | None, now_s: float, epoch_s: float, is_overdue: bool
) -> None:
    now = {"s": 1.0}
    watch = Watch(lambda: now["s"])
    pretended = Pretended(epoch_s)
    worker, run = cast(Worker, pretended), cast(TrainingRun, pretended)
    assert watch.overdue([worker], [], is_late=False) == []
    if last_s is not None:
        now["s"] = last_s
        watch.heard(worker)
    if late_s is not None:
        now["s"] = late_s
        assert watch.overdue([worker], [run], is_late=True) == []
    now["s"] = now_s + (0.0 if last_s is not None else 1.0)
    found = watch.overdue([worker], [run], is_late=late_s is not None)
    assert [ended for ended, _ in found] == ([worker] if is_overdue else [])


def test_search_that_was_busy_does_not_end_its_workers() -> None:
    """An export or a server that is away may take longer than a worker may be silent."""
    now = {"s": 1.0}
    watch = Watch(lambda: now["s"])
    pretended = Pretended()
    worker, run = cast(Worker, pretended), cast(TrainingRun, pretended)
    watch.heard(worker)
    now["s"] += 10 * SILENT_S
    watch.heard(worker)
    assert watch.overdue([worker], [run], is_late=True) == []


def test_forgotten_worker_starts_again() -> None:
    now = {"s": 1.0}
    watch = Watch(lambda: now["s"])
    worker = cast(Worker, Pretended())
    watch.heard(worker)
    watch.forget(worker)
    now["s"] += START_S
    assert watch.overdue([worker], [], is_late=False) == []


def test_worker_in_this_process_is_never_overdue() -> None:
    class Inline:
        name = "inline"

    watch = Watch(lambda: 1e9)
    assert watch.overdue([cast(Worker, Inline())], [], is_late=True) == []


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
