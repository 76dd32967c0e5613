"""The assignment of slots to trainings: a training on K folds has K slots, each on a worker."""

from __future__ import annotations

import time
from collections.abc import Mapping

from autotrain.search.attributes import Cause
from autotrain.search.training_run import TrainingRun
from autotrain.search.workers.protocol import StopSlot
from autotrain.training.slot import Admission, SlotState


class Slots:
    """The slots of one run of a study; numbers are never used twice.

    Args:
        n_folds: slots of a training.
    """

    def __init__(self, n_folds: int) -> None:
        self.n_folds = n_folds
        self.n_admitted = 0
        self._by_slot: dict[int, TrainingRun] = {}

    def runs(self) -> list[TrainingRun]:
        """Return the trainings in progress."""
        return list({id(run): run for run in self._by_slot.values()}.values())

    def find(self, slot: int) -> TrainingRun | None:
        """Return the training of a slot; None when it has ended."""
        return self._by_slot.get(slot)

    def admit(self, run: TrainingRun) -> None:
        """Give a training its slots and send them to its worker."""
        run.slots = tuple(range(self.n_admitted, self.n_admitted + self.n_folds))
        run.started_s = time.monotonic()
        self.n_admitted += self.n_folds
        for fold, slot in enumerate(run.slots):
            self._by_slot[slot] = run
            run.worker.send(Admission(slot, run.config, run.seed, fold, run.repeat))

    def resume(self, run: TrainingRun, states: Mapping[int, SlotState]) -> None:
        """Continue a training on its worker; it has its slots already.

        Args:
            states: states of its slots; a slot without a state starts.
        """
        for fold, slot in enumerate(run.slots):
            self._by_slot[slot] = run
            if slot not in run.outcomes:
                known = (slot, run.config, run.seed, fold, run.repeat)
                run.worker.send(Admission(*known, state=states.get(slot)))
        if run.cause is not None:
            self.cancel(run)

    def stop(self, run: TrainingRun, cause: Cause) -> None:
        """Stop a training, unless it is already being stopped; see `StopSlot`."""
        if run.cause is None:
            run.cause = cause
            self.cancel(run)

    def cancel(self, run: TrainingRun) -> None:
        """Stop all slots of a training."""
        for slot in run.slots:
            run.worker.send(StopSlot(slot))

    def release(self, run: TrainingRun) -> None:
        """Release the slots of a training: later messages about them are ignored."""
        for slot in run.slots:
            self._by_slot.pop(slot, None)
