"""From configurations to the [K] tensors and runs by which a fleet computes.

Slots are ordered so that those that go deeper come first and those that share a technique are
neighbours: a technique then acts on a slice ("run") of the fleet instead of being chosen slot by
slot. Grouping is by configuration, never by the shape of a tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autotrain.network.config import (
    dropout_of,
    input_dropout_of,
    input_norm_of,
)
from autotrain.network.kernels import CompiledKernels
from autotrain.space.config import Choice, TrialConfig
from autotrain.techniques.activations import ACTIVATIONS
from autotrain.techniques.dropout import DROPOUTS
from autotrain.techniques.input_scales import INPUT_SCALES
from autotrain.techniques.normalization import BATCH_NORMS
from autotrain.techniques.technique import Technique


@dataclass(frozen=True)
class SlotGroup:
    """Neighbouring slots that use the same technique.

    Args:
        slots: which slots, as a slice of the slot axis.
        row: the technique's row.
        parameters: hyperparameters, `[k, 1, 1]` or `[k, 1]`, the run's own slots only.
    """

    slots: slice
    row: Technique
    parameters: Mapping[str, Tensor]

    def within(self, n_slots: int) -> SlotGroup | None:
        """Return the part of the run that lies among the first `n_slots` slots."""
        start, stop = self.slots.start, min(self.slots.stop, n_slots)
        if stop <= start:
            return None
        parameters = {name: value[: stop - start] for name, value in self.parameters.items()}
        return SlotGroup(slice(start, stop), self.row, parameters)


class Backend:
    """Makes tensors of one dtype on one device, and knows the compiled loops for them.

    Args:
        loops: None where there are none; then everything is torch's.
    """

    def __init__(
        self, device: torch.device, dtype: torch.dtype, compiled: CompiledKernels | None = None
    ) -> None:
        self.device = device
        self.dtype = dtype
        self.compiled = compiled

    def column(self, values: Sequence[float], n_axes: int = 2) -> Tensor:
        """Return `[K, 1]` or `[K, 1, 1]` from one number a slot."""
        tensor = torch.tensor([float(v) for v in values], dtype=self.dtype, device=self.device)
        return tensor.view(-1, *[1] * (n_axes - 1))


def group_slots(
    configs: Sequence[TrialConfig],
    table: Mapping[str, Technique],
    choose: Callable[[TrialConfig], Choice],
    backend: Backend,
    n_axes: int,
) -> list[SlotGroup]:
    """Cut the fleet into runs of one technique.

    Only the numeric hyperparameters of a choice become tensors.
    """
    choices = [choose(config) for config in configs]
    # Slots that also learn how much of an activation they use do more than their neighbours.
    kinds = [(choice.name, bool(choice.parameters.get("parametric"))) for choice in choices]
    groups, start = [], 0
    for stop in range(1, len(choices) + 1):
        if stop < len(choices) and kinds[stop] == kinds[start]:
            continue
        members = choices[start:stop]
        parameters = {
            name: backend.column([member.parameters[name] for member in members], n_axes)  # type: ignore[misc]
            for name, value in members[0].parameters.items()
            if isinstance(value, bool | int | float)
        }
        groups.append(SlotGroup(slice(start, stop), table[members[0].name], parameters))
        start = stop
    return groups


@dataclass(frozen=True)
class NetworkGroups:
    """The runs of everything that a forward or backward pass does."""

    activation: list[SlotGroup]
    batch_norm: list[SlotGroup]
    dropout: list[SlotGroup]
    input_norm: list[SlotGroup]
    input_dropout: list[SlotGroup]
    input_scale: list[SlotGroup]


def network_groups(configs: Sequence[TrialConfig], backend: Backend) -> NetworkGroups:
    """Plan the passes of a fleet; `configs` in fleet order."""
    return NetworkGroups(
        activation=group_slots(configs, ACTIVATIONS, lambda c: c.activation, backend, 3),
        batch_norm=group_slots(configs, BATCH_NORMS, lambda c: c.batch_norm, backend, 3),
        dropout=group_slots(configs, DROPOUTS, dropout_of, backend, 3),
        input_norm=group_slots(configs, BATCH_NORMS, input_norm_of, backend, 3),
        input_dropout=group_slots(configs, DROPOUTS, input_dropout_of, backend, 3),
        input_scale=group_slots(configs, INPUT_SCALES, lambda c: c.input_scale, backend, 3),
    )


def order_key(config: TrialConfig) -> tuple[object, ...]:
    """Sort key of a slot in its fleet: deeper first, then techniques that cost most to split."""
    return (
        -len(config.hidden_units),
        config.activation.name,
        bool(config.activation["parametric"]),
        config.batch_norm.name,
        dropout_of(config).name,
        config.optimizer.name,
        config.clipping.name,
        config.constraint.name,
        bool(config.batch_norm["input"]),
        input_dropout_of(config).name,
        config.input_scale.name,
        config.weight_decay.name,
    )
