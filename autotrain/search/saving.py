"""`Saver`: takes snapshots of a running search, from which `resume` continues.

A snapshot is consistent for each worker: its answer to `Save` arrives in the order of its other
messages, and the search loop's records of the worker's trainings are copied when it is handled.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autotrain.errors import StorageError
from autotrain.search.pruning.comparison import Comparison
from autotrain.search.snapshot import SavedRun, Snapshot, remove
from autotrain.search.training_run import TrainingRun
from autotrain.search.workers.protocol import Save, Saved, Worker

if TYPE_CHECKING:
    from autotrain.search.loop import SearchLoop

EVERY_S = 5.0
"""Shortest time in seconds between two snapshots."""
SHARE = 0.01
"""Largest share of the time that snapshots take."""


class Saver:
    """Writes a snapshot of a search every few seconds.

    A snapshot that cannot be written, for example on a full disk, is skipped.

    Args:
        path: the file; None to take no snapshots.
        study: identity of the Optuna study.
        is_exact: see `Snapshot`.
        now: the clock, in seconds.
    """

    def __init__(
        self,
        path: Path | None = None,
        study: str = "",
        *,
        is_exact: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.study = study
        self.is_exact = is_exact
        self.now = now
        self.continues = False
        """Whether the file has a snapshot that this run continues."""
        self.n_taken = 0
        self._due_s = now() + EVERY_S
        self._cost_s = 0.0
        self._waiting: list[Worker] = []
        self._runs: list[tuple[TrainingRun, SavedRun]] = []

    def begin(self, loop: SearchLoop) -> None:
        """Save the state in which nothing is in training, so that every moment can be repeated.

        A run that continues a snapshot keeps it until the next one.
        """
        if self.is_exact and not self.continues:
            self._write(loop)

    def tick(self, loop: SearchLoop) -> None:
        """Ask the workers for their states if a snapshot is due, and write it when all are there.

        Workers without a training do not answer, and those that have ended cannot.
        """
        if self.path is None or loop.clock.is_late or loop.recorder.is_behind:
            return
        if self._waiting:
            self._waiting = [w for w in self._waiting if w in loop.workers.alive and _runs(loop, w)]
            if not self._waiting:
                self._write(loop)
        elif self.now() >= self._due_s and loop.slots.runs():
            self.n_taken += 1
            self._waiting = [w for w in loop.workers.alive if _runs(loop, w)]
            self._runs, self._cost_s = [], 0.0
            for worker in self._waiting:
                worker.send(Save(self.n_taken))

    def take(self, loop: SearchLoop, worker: Worker, saved: Saved) -> None:
        """Copy the records of a worker's trainings, and write the snapshot if it is complete."""
        if saved.number != self.n_taken or worker not in self._waiting:
            return
        begun_s = self.now()
        self._runs += [(run, saved_run(run, loop, saved)) for run in _runs(loop, worker)]
        self._cost_s += saved.seconds + self.now() - begun_s
        self._waiting.remove(worker)
        if not self._waiting:
            self._write(loop)

    def end(self) -> None:
        """Remove the snapshot: the storage has all that a later run needs."""
        if self.path is not None:
            remove(self.path)
            self.path = None

    def _write(self, loop: SearchLoop) -> None:
        if self.path is None:
            return
        begun_s = self.now()
        still = {id(run) for run in loop.slots.runs()}
        runs = [saved for run, saved in self._runs if id(run) in still]
        with contextlib.suppress(OSError, StorageError):
            # The storage must not have less than the snapshot, also after a power failure.
            loop.store.commit()
            snapshot_of(loop, self.study, runs, is_exact=self.is_exact).write(self.path)
        self._runs = []
        self._cost_s += self.now() - begun_s
        self._due_s = self.now() + self.next_s(self._cost_s)

    def next_s(self, cost_s: float) -> float:
        """Return the seconds until the next snapshot, if one takes `cost_s`."""
        return max(EVERY_S, cost_s / SHARE)


def snapshot_of(loop: SearchLoop, study: str, runs: list[SavedRun], *, is_exact: bool) -> Snapshot:
    """Return the state of a search.

    Args:
        loop: the search.
        study: identity of the Optuna study.
        runs: the trainings in progress.
        is_exact: see `Snapshot`.
    """
    trials = loop.store.study.get_trials(deepcopy=False)
    recorder, finals = loop.recorder, loop.recorder.finals
    return Snapshot(
        study=study,
        is_exact=is_exact,
        n_trials=len(trials),
        open=tuple(trial.number for trial in trials if not trial.state.is_finished()),
        ready=None if loop.ready is None else loop.ready[0].number,
        counts={
            "n_admitted": loop.slots.n_admitted,
            "n_started": loop.n_started,
            "epochs": loop.epochs,
            "n_before": recorder.n_before,
            "n_done": recorder.n_done,
            "n_failed": recorder.n_failed,
            "n_repeats": recorder.n_repeats,
        },
        repeats=() if finals is None else tuple(finals.to_json()),
        runs=tuple(runs),
    )


def saved_run(run: TrainingRun, loop: SearchLoop, saved: Saved) -> SavedRun:
    """Return a copy of a training."""
    facts: dict[str, Any] = {name: getattr(run, name) for name in FACTS}
    facts["seconds"] = time.monotonic() - run.started_s
    facts["history"] = _history(run, loop.recorder.comparison)
    return SavedRun(
        number=run.number,
        repeat=run.repeat,
        seed=run.seed,
        config=run.config,
        slots=run.slots,
        facts=facts | {name: _copy(getattr(run, name)) for name in LISTS},
        reports=dict(run.reports),
        outcomes=dict(run.outcomes),
        states={slot: saved.states[slot] for slot in run.slots if slot in saved.states},
    )


FACTS = ("cost", "epoch", "dropped", "cause", "reported", "is_retry")
"""Fields of a `TrainingRun` that a snapshot has as they are."""
LISTS = ("scores", "values")
"""Fields with a list of numbers for each slot."""


def _copy(lists: dict[int, list[float]]) -> dict[int, list[float]]:
    return {slot: list(numbers) for slot, numbers in lists.items()}


def _history(run: TrainingRun, shared: Comparison | None) -> dict[str, Any] | None:
    comparison = run.comparison(shared)
    return None if comparison is None else comparison.history(run.number).to_json()


def _runs(loop: SearchLoop, worker: Worker) -> list[TrainingRun]:
    return [run for run in loop.slots.runs() if run.worker is worker]
