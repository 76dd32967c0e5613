"""Groups of slots by the techniques of a training step: clipping, update, constraint, penalties.

`network/grouping.py` has the groups of the forward and backward pass and the order of the slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from autotrain.network.grouping import Backend, SlotGroup, group_slots
from autotrain.space.config import TrialConfig
from autotrain.techniques.clipping import CLIPPINGS
from autotrain.techniques.constraints import CONSTRAINTS
from autotrain.techniques.decay import WEIGHT_DECAYS
from autotrain.techniques.optimizers import OPTIMIZERS


@dataclass(frozen=True)
class StepGroups:
    """The groups and strengths of everything between the gradient and the next step.

    Args:
        clipping, optimizer, constraint: slots by technique.
        weight_decay: λ of decoupled weight decay, `[K, 1]`; None for 0 in all slots.
        l1, l2: λ₁ and λ₂ of the penalties, `[K, 1]`; None for 0 in all slots.
        label_smoothing: ε, `[K, 1, 1]`; None for 0 in all slots.
    """

    clipping: list[SlotGroup]
    optimizer: list[SlotGroup]
    constraint: list[SlotGroup]
    weight_decay: Tensor | None
    l1: Tensor | None
    l2: Tensor | None
    label_smoothing: Tensor | None


def step_groups(configs: Sequence[TrialConfig], backend: Backend) -> StepGroups:
    """Return the groups of a training step; `configs` are in fleet order."""

    def if_any(values: list[float], n_axes: int) -> Tensor | None:
        return backend.column(values, n_axes) if any(values) else None

    return StepGroups(
        clipping=group_slots(configs, CLIPPINGS, lambda c: c.clipping, backend, 2),
        optimizer=group_slots(configs, OPTIMIZERS, lambda c: c.optimizer, backend, 2),
        constraint=group_slots(configs, CONSTRAINTS, lambda c: c.constraint, backend, 3),
        weight_decay=if_any([_decay_rate(c) for c in configs], 2),
        l1=if_any([float(c.regularizer["l1"]) for c in configs], 2),
        l2=if_any([float(c.regularizer["l2"]) for c in configs], 2),
        label_smoothing=if_any([float(c.loss["label_smoothing"]) for c in configs], 3),
    )


def _decay_rate(config: TrialConfig) -> float:
    decays = WEIGHT_DECAYS[config.weight_decay.name].decays
    return float(config.weight_decay["rate"]) if decays else 0.0
