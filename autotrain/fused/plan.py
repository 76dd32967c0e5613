"""From configurations to the [K] tensors and runs by which a fleet computes.

Slots are ordered so that those that go deeper come first and those that share a technique stand
together: a technique then acts on a slice ("run") of the fleet instead of being chosen slot by
slot. Grouping is by configuration, never by the shape of a tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autotrain.choices.activations import ACTIVATIONS
from autotrain.choices.clipping import CLIPPINGS
from autotrain.choices.constraints import CONSTRAINTS
from autotrain.choices.dropout import DROPOUTS
from autotrain.choices.normalization import BATCH_NORMS
from autotrain.choices.optimizers import OPTIMIZERS
from autotrain.domains import Technique
from autotrain.space.config import Choice, TrialConfig


@dataclass(frozen=True)
class Run:
    """Neighbouring slots that use the same technique.

    Args:
        slots: which slots, as a slice of the slot axis.
        row: the technique's row.
        parameters: hyperparameters, `[k, 1, 1]` or `[k, 1]`, the run's own slots only.
    """

    slots: slice
    row: Technique
    parameters: Mapping[str, Tensor]

    def within(self, n_slots: int) -> Run | None:
        """Return the part of the run that lies among the first `n_slots` slots."""
        start, stop = self.slots.start, min(self.slots.stop, n_slots)
        if stop <= start:
            return None
        parameters = {name: value[: stop - start] for name, value in self.parameters.items()}
        return Run(slice(start, stop), self.row, parameters)


class Numbers:
    """Makes tensors of one dtype on one device."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        self.dtype = dtype

    def column(self, values: Sequence[float], n_axes: int = 2) -> Tensor:
        """Return `[K, 1]` or `[K, 1, 1]` from one number a slot."""
        tensor = torch.tensor([float(v) for v in values], dtype=self.dtype, device=self.device)
        return tensor.view(-1, *[1] * (n_axes - 1))


def dropout_of(config: TrialConfig) -> Choice:
    """Return the dropout that really drops hidden units: `none` when its rate is 0."""
    return config.dropout if config.dropout["rate"] else Choice("none", config.dropout.parameters)


def input_dropout_of(config: TrialConfig) -> Choice:
    """Return the dropout of the inputs, its rate named `rate`."""
    rate = config.dropout["input_rate"]
    name = config.dropout.name if rate else "none"
    return Choice(name, {"rate": rate})


def input_norm_of(config: TrialConfig) -> Choice:
    """Return the batch normalization of the inputs, as a placement before the first layer."""
    name = "before_activation" if config.batch_norm["input"] else "off"
    return Choice(name, config.batch_norm.parameters)


def order_key(config: TrialConfig) -> tuple[object, ...]:
    """Sort key of a slot in its fleet: deeper first, then techniques that cost most to split."""
    return (
        -len(config.hidden_units),
        config.activation.name,
        config.batch_norm.name,
        dropout_of(config).name,
        config.optimizer.name,
        config.clipping.name,
        config.constraint.name,
        bool(config.batch_norm["input"]),
        input_dropout_of(config).name,
    )


def runs_of(
    configs: Sequence[TrialConfig],
    table: Mapping[str, Technique],
    choose: Callable[[TrialConfig], Choice],
    numbers: Numbers,
    n_axes: int,
) -> list[Run]:
    """Cut the fleet into runs of one technique.

    Only the numeric hyperparameters of a choice become tensors.
    """
    choices = [choose(config) for config in configs]
    runs, start = [], 0
    for stop in range(1, len(choices) + 1):
        if stop < len(choices) and choices[stop].name == choices[start].name:
            continue
        members = choices[start:stop]
        parameters = {
            name: numbers.column([member.parameters[name] for member in members], n_axes)  # type: ignore[misc]
            for name, value in members[0].parameters.items()
            if isinstance(value, bool | int | float)
        }
        runs.append(Run(slice(start, stop), table[members[0].name], parameters))
        start = stop
    return runs


@dataclass(frozen=True)
class NetworkRuns:
    """The runs of everything that a forward or backward pass does."""

    activation: list[Run]
    batch_norm: list[Run]
    dropout: list[Run]
    input_norm: list[Run]
    input_dropout: list[Run]


def network_runs(configs: Sequence[TrialConfig], numbers: Numbers) -> NetworkRuns:
    """Plan the passes of a fleet; `configs` in fleet order."""
    return NetworkRuns(
        activation=runs_of(configs, ACTIVATIONS, lambda c: c.activation, numbers, 3),
        batch_norm=runs_of(configs, BATCH_NORMS, lambda c: c.batch_norm, numbers, 3),
        dropout=runs_of(configs, DROPOUTS, dropout_of, numbers, 3),
        input_norm=runs_of(configs, BATCH_NORMS, input_norm_of, numbers, 3),
        input_dropout=runs_of(configs, DROPOUTS, input_dropout_of, numbers, 3),
    )


@dataclass(frozen=True)
class StepRuns:
    """The runs of everything that happens between the gradient and the next step."""

    clipping: list[Run]
    optimizer: list[Run]
    constraint: list[Run]
    l1: Tensor | None
    l2: Tensor | None
    """Strengths `[K, 1]`; None when 0 everywhere."""
    label_smoothing: Tensor | None
    """`[K, 1, 1]`; None when 0 everywhere."""


def step_runs(configs: Sequence[TrialConfig], numbers: Numbers) -> StepRuns:
    """Plan the steps of a fleet; `configs` in fleet order."""

    def if_any(values: list[float], n_axes: int) -> Tensor | None:
        return numbers.column(values, n_axes) if any(values) else None

    return StepRuns(
        clipping=runs_of(configs, CLIPPINGS, lambda c: c.clipping, numbers, 2),
        optimizer=runs_of(configs, OPTIMIZERS, lambda c: c.optimizer, numbers, 2),
        constraint=runs_of(configs, CONSTRAINTS, lambda c: c.constraint, numbers, 3),
        l1=if_any([float(c.regularizer["l1"]) for c in configs], 2),
        l2=if_any([float(c.regularizer["l2"]) for c in configs], 2),
        label_smoothing=if_any([float(c.loss["label_smoothing"]) for c in configs], 3),
    )
