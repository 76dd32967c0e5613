"""Groups of slots that share a technique, and their hyperparameters as tensors.

Slots are sorted (`order_key`) so that deeper networks come first and slots that share a technique
are neighbours. A technique then acts on a slice of the slot axis, a `SlotGroup`, instead of being
chosen slot by slot. Grouping depends on the configurations alone, never on the shape of a tensor.
`training/grouping.py` has the groups of a training step.
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
        slots: the k slots, as a slice of the slot axis.
        row: the technique's row in its table.
        parameters: hyperparameters of these slots, `[k, 1, 1]` or `[k, 1]` each.
    """

    slots: slice
    row: Technique
    parameters: Mapping[str, Tensor]

    def within(self, n_slots: int) -> SlotGroup | None:
        """Return the part of the group among the first `n_slots` slots; None if it is empty."""
        start, stop = self.slots.start, min(self.slots.stop, n_slots)
        if stop <= start:
            return None
        parameters = {name: value[: stop - start] for name, value in self.parameters.items()}
        return SlotGroup(slice(start, stop), self.row, parameters)


class Backend:
    """The device, dtype and compiled kernels of a fleet.

    Args:
        device: device of all tensors.
        dtype: dtype of all floating-point tensors.
        compiled: compiled kernels for this device and dtype; None to compute with torch alone.
    """

    def __init__(
        self, device: torch.device, dtype: torch.dtype, compiled: CompiledKernels | None = None
    ) -> None:
        self.device = device
        self.dtype = dtype
        self.compiled = compiled

    def column(self, values: Sequence[float], n_axes: int = 2) -> Tensor:
        """Return one number per slot as a tensor that broadcasts over the other axes.

        Args:
            values: `[K]`.
            n_axes: 2 for `[K, 1]`, 3 for `[K, 1, 1]`.
        """
        tensor = torch.tensor([float(v) for v in values], dtype=self.dtype, device=self.device)
        return tensor.view(-1, *[1] * (n_axes - 1))


def group_slots(
    configs: Sequence[TrialConfig],
    table: Mapping[str, Technique],
    choose: Callable[[TrialConfig], Choice],
    backend: Backend,
    n_axes: int,
) -> list[SlotGroup]:
    """Group the slots of a fleet by the technique that they use.

    Args:
        configs: the slots' configurations, in fleet order.
        table: the table of techniques.
        choose: returns the choice of a configuration.
        backend: device and dtype of the hyperparameters.
        n_axes: axes of the hyperparameters, 2 or 3; see `Backend.column`.
    Returns: the groups in fleet order. Only numeric hyperparameters become tensors.
    """
    choices = [choose(config) for config in configs]
    # Parametric activations need more work than others of the same name, so they are separate.
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
    """The groups of each technique in a forward or backward pass."""

    activation: list[SlotGroup]
    batch_norm: list[SlotGroup]
    dropout: list[SlotGroup]
    input_norm: list[SlotGroup]
    input_dropout: list[SlotGroup]
    input_scale: list[SlotGroup]


def network_groups(configs: Sequence[TrialConfig], backend: Backend) -> NetworkGroups:
    """Return the groups of a forward and backward pass; `configs` are in fleet order."""
    return NetworkGroups(
        activation=group_slots(configs, ACTIVATIONS, lambda c: c.activation, backend, 3),
        batch_norm=group_slots(configs, BATCH_NORMS, lambda c: c.batch_norm, backend, 3),
        dropout=group_slots(configs, DROPOUTS, dropout_of, backend, 3),
        input_norm=group_slots(configs, BATCH_NORMS, input_norm_of, backend, 3),
        input_dropout=group_slots(configs, DROPOUTS, input_dropout_of, backend, 3),
        input_scale=group_slots(configs, INPUT_SCALES, lambda c: c.input_scale, backend, 3),
    )


def order_key(config: TrialConfig) -> tuple[object, ...]:
    """Return the sort key of a slot: deeper first, then by techniques that are costly to split."""
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
