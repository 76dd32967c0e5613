"""Trains many models at once: admit models, stop them, step through epochs.

Slots with equal `fleet_key` (batch size, padded width, embeddings) form a fleet. A trainer can have
several fleets and trains each for one epoch in turn. Slots join and leave between epochs, so a
fleet never waits for its slowest member.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

from autotrain.data.batches import effective_batch_size, steps_per_epoch
from autotrain.data.encoded import EncodedFold
from autotrain.network.config import network_key, view_of
from autotrain.network.grouping import Backend
from autotrain.techniques.schedules import Clock
from autotrain.training.compiled import compiled_for
from autotrain.training.fleet import Fleet, outcome
from autotrain.training.initializing import fit_to_rows
from autotrain.training.rows import Problem, Rows
from autotrain.training.slot import Admission, EpochReport, Outcome, Slot, SlotState
from autotrain.training.state import restore, state_of

FleetKey = tuple[object, ...]
SlotMessage = EpochReport | Outcome


def fleet_key(slot: Slot) -> FleetKey:
    """Return the properties in which the slots of a fleet must agree."""
    return (slot.config.batch_size, *network_key(slot.config, slot.shape))


class Trainer:
    """Trains admitted models until they end.

    Args:
        problem: task, number of outputs and metric.
        folds: rows of each fold; a single one for a holdout.
        device: "cpu", "cuda" or "cuda:1".
        dtype: float32, or float64 for exact comparisons.
    """

    def __init__(
        self,
        problem: Problem,
        folds: Sequence[EncodedFold],
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        torch_device = torch.device(device)
        self.backend = Backend(torch_device, dtype, compiled_for(torch_device, dtype))
        self.rows = Rows(problem, folds, self.backend.device, dtype)
        self.fleets: dict[FleetKey, Fleet] = {}
        self.waiting: dict[FleetKey, list[Slot]] = {}
        self.stopping: set[int] = set()
        self.n_turns = 0

    @property
    def n_slots(self) -> int:
        """Number of models that train or wait to be trained."""
        training = sum(len(fleet.slots) for fleet in self.fleets.values())
        return training + sum(len(slots) for slots in self.waiting.values())

    @torch.inference_mode()
    def admit(self, admission: Admission) -> None:
        """Add a model, which trains from the next epoch of its fleet on.

        Raises:
            ValueError: when the state from which it continues does not fit its configuration.
        """
        config = admission.config
        batch_size = effective_batch_size(self.rows.n_train, config.batch_size)
        steps = steps_per_epoch(self.rows.n_train, batch_size)
        clock = Clock(steps, steps * config.epochs)
        columns = self.rows.view(view_of(config)).columns[admission.fold]
        slot = Slot(admission, columns, self.rows.problem.n_outputs, clock, self.backend)
        if admission.state is None:
            fit_to_rows(slot, self.rows, self.backend)
        else:
            restore(slot, admission.state)
            self.n_turns = max(self.n_turns, slot.turn)
        self.waiting.setdefault(fleet_key(slot), []).append(slot)

    def stop(self, slot: int) -> None:
        """End a model with cause "stopped": at its next epoch boundary, or within the epoch.

        The epoch is abandoned if all models of the fleet are stopped while `step` listens.
        """
        self.stopping.add(slot)

    @torch.inference_mode()
    def states(self) -> dict[int, SlotState]:
        """Return a copy of the state of every slot that is in a fleet, by its number.

        A slot that waits for its first epoch is omitted: it can be admitted again.
        """
        slots = [slot for fleet in self.fleets.values() for slot in fleet.release()]
        return {slot.id: state_of(slot) for slot in slots}

    @torch.inference_mode()
    def step(self, listen: Callable[[], None] = lambda: None) -> list[SlotMessage]:
        """Train the next fleet for one epoch; return its reports and outcomes of ended slots.

        Args:
            listen: called every few steps; it may call `stop`.
        """
        # Inference mode avoids the bookkeeping for autograd, a quarter of the time of a small step.
        messages: list[SlotMessage] = list(self._regroup())
        key = self._next()
        if key is None:
            return messages
        fleet = self.fleets[key]
        try:
            messages += fleet.run_epoch(partial(self._check, fleet, listen))
        except _AbandonedError:
            return messages + self._rebuild(key)
        if any(_ending(slot) for slot in fleet.slots):
            messages += self._rebuild(key)
        return messages

    def _check(self, fleet: Fleet, listen: Callable[[], None]) -> None:
        """Abandon the epoch of a fleet if all its slots are stopped: its result is not needed.

        Raises:
            _AbandonedError: to end the epoch.
        """
        listen()
        if self.stopping.issuperset(slot.id for slot in fleet.slots):
            raise _AbandonedError

    def run(self) -> list[SlotMessage]:
        """Step until every admitted model has ended; return all messages."""
        messages: list[SlotMessage] = []
        while self.n_slots:
            messages += self.step()
        return messages

    def _next(self) -> FleetKey | None:
        """Return the fleet whose turn was the longest ago; None without a fleet."""
        if not self.fleets:
            return None
        key = min(self.fleets, key=lambda key: _turn(self.fleets[key].slots))
        self._take_turn(self.fleets[key].slots)
        return key

    def _take_turn(self, slots: Sequence[Slot]) -> None:
        self.n_turns += 1
        for slot in slots:
            slot.turn = self.n_turns

    def _regroup(self) -> list[Outcome]:
        """Add waiting slots to their fleets and remove stopped ones; return their outcomes."""
        changed = set(self.waiting)
        for key, fleet in self.fleets.items():
            if any(slot.id in self.stopping for slot in fleet.slots):
                changed.add(key)
        ended = [outcome for key in sorted(changed, key=repr) for outcome in self._rebuild(key)]
        self.stopping.clear()
        return ended

    def _rebuild(self, key: FleetKey) -> list[Outcome]:
        fleet = self.fleets.pop(key, None)
        slots = fleet.release() if fleet is not None else []
        slots = [*slots, *self.waiting.pop(key, [])]
        ended, remaining = [], []
        for slot in slots:
            cause = "stopped" if slot.id in self.stopping else _ending(slot)
            if cause is None:
                remaining.append(slot)
            else:
                ended.append(outcome(slot, cause, self.rows, self.backend))
        if remaining:
            if not _turn(remaining):
                # A new fleet trains after those that exist.
                self._take_turn(remaining)
            self.fleets[key] = Fleet(remaining, self.rows, self.backend)
        return ended


class _AbandonedError(Exception):
    """Ends an epoch before its last step."""


def _turn(slots: Sequence[Slot]) -> int:
    """Return the number of the latest turn of a fleet; 0 for a new one."""
    return max(slot.turn for slot in slots)


def _ending(slot: Slot) -> str | None:
    """Return the cause if a slot ends after this epoch, else None."""
    if slot.diverged:
        return "diverged"
    if slot.epoch >= slot.config.epochs:
        return "epochs"
    if slot.stops_early:
        return "early_stopping"
    return None
