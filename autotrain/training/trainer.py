"""Trains many models at once: admit them, stop them, step through epochs.

Slots of one batch size and padded width class form a fleet; a trainer may hold several fleets and
gives each an epoch in turn. Slots join and leave at epoch boundaries, so a fleet never waits for
its slowest member.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from autotrain.data.batches import effective_batch_size, steps_per_epoch
from autotrain.network.config import network_key, view_of
from autotrain.network.grouping import Backend
from autotrain.techniques.schedules import Clock
from autotrain.training.compiled import compiled_for
from autotrain.training.fleet import Fleet, outcome
from autotrain.training.initializing import fit_to_rows
from autotrain.training.rows import FoldArrays, Problem, Rows
from autotrain.training.slot import Admission, EpochReport, Outcome, Slot

FleetKey = tuple[object, ...]
SlotMessage = EpochReport | Outcome


def fleet_key(slot: Slot) -> FleetKey:
    """Return what the slots of a fleet have in common."""
    return (slot.config.batch_size, *network_key(slot.config, slot.shape))


class Trainer:
    """Trains admitted models until they end.

    Args:
        problem: the task and its metric.
        folds: the rows; one entry for a holdout.
        device: "cpu", "cuda" or "cuda:1".
        dtype: float32, or float64 for exact comparisons.
    """

    def __init__(
        self,
        problem: Problem,
        folds: Sequence[FoldArrays],
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        place = torch.device(device)
        self.backend = Backend(place, dtype, compiled_for(place, dtype))
        self.rows = Rows(problem, folds, self.backend.device, dtype)
        self.fleets: dict[FleetKey, Fleet] = {}
        self.waiting: dict[FleetKey, list[Slot]] = {}
        self.stopping: set[int] = set()
        self.turn: list[FleetKey] = []

    @property
    def n_slots(self) -> int:
        """How many models are in training or about to be."""
        training = sum(len(fleet.slots) for fleet in self.fleets.values())
        return training + sum(len(slots) for slots in self.waiting.values())

    @torch.inference_mode()
    def admit(self, admission: Admission) -> None:
        """Take a model in; it trains from the next epoch of its fleet on."""
        config = admission.config
        batch_size = effective_batch_size(self.rows.n_train, config.batch_size)
        steps = steps_per_epoch(self.rows.n_train, batch_size)
        clock = Clock(steps, steps * config.epochs)
        columns = self.rows.view(view_of(config)).columns[admission.fold]
        slot = Slot(admission, columns, self.rows.problem.n_outputs, clock, self.backend)
        fit_to_rows(slot, self.rows, self.backend)
        self.waiting.setdefault(fleet_key(slot), []).append(slot)

    def stop(self, slot: int) -> None:
        """End a model at its next epoch boundary, with cause "stopped"."""
        self.stopping.add(slot)

    @torch.inference_mode()
    def step(self) -> list[SlotMessage]:
        """Advance the next fleet by one epoch; return reports, and outcomes of ended slots."""
        # Inference mode: operations keep no books for autograd, a quarter of a small step.
        messages: list[SlotMessage] = list(self._regroup())
        key = self._next()
        if key is None:
            return messages
        fleet = self.fleets[key]
        messages += fleet.run_epoch()
        if any(_ending(slot) for slot in fleet.slots):
            messages += self._rebuild(key)
        return messages

    def run(self) -> list[SlotMessage]:
        """Step until every admitted model has ended; return all messages."""
        messages: list[SlotMessage] = []
        while self.n_slots:
            messages += self.step()
        return messages

    def _next(self) -> FleetKey | None:
        self.turn = [key for key in self.turn if key in self.fleets]
        self.turn += [key for key in self.fleets if key not in self.turn]
        if not self.turn:
            return None
        self.turn.append(self.turn.pop(0))
        return self.turn[-1]

    def _regroup(self) -> list[Outcome]:
        """Let waiting slots in and stopped ones out, fleet by fleet."""
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
        ended, going = [], []
        for slot in slots:
            cause = "stopped" if slot.id in self.stopping else _ending(slot)
            if cause is None:
                going.append(slot)
            else:
                ended.append(outcome(slot, cause, self.rows, self.backend))
        if going:
            self.fleets[key] = Fleet(going, self.rows, self.backend)
        return ended


def _ending(slot: Slot) -> str | None:
    """Return why a slot ends here, or None."""
    if slot.diverged:
        return "diverged"
    if slot.epoch >= slot.config.epochs:
        return "epochs"
    if slot.stops_early:
        return "early_stopping"
    return None
