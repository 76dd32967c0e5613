"""From configurations to the [K] tensors and runs by which a fleet computes.

Slots are ordered so that those that go deeper come first and those that share a technique stand
together: a technique then acts on a slice ("run") of the fleet instead of being chosen slot by
slot. Grouping is by configuration, never by the shape of a tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autotrain.choices.activations import ACTIVATIONS
from autotrain.choices.clipping import CLIPPINGS
from autotrain.choices.constraints import CONSTRAINTS
from autotrain.choices.decay import WEIGHT_DECAYS
from autotrain.choices.dropout import DROPOUTS
from autotrain.choices.embeddings import EMBEDDINGS
from autotrain.choices.encoders import ENCODERS
from autotrain.choices.normalization import BATCH_NORMS
from autotrain.choices.optimizers import OPTIMIZERS
from autotrain.choices.parametrizations import PARAMETRIZATIONS
from autotrain.choices.scales import FRONT_SCALES
from autotrain.data.view import View
from autotrain.domains import Technique
from autotrain.fused.kernels import Loops
from autotrain.fused.layout import Columns, Front, Layout, Shape, bucket
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
    """Makes tensors of one dtype on one device, and knows the compiled loops for them.

    Args:
        loops: None where there are none; then everything is torch's.
    """

    def __init__(
        self, device: torch.device, dtype: torch.dtype, loops: Loops | None = None
    ) -> None:
        self.device = device
        self.dtype = dtype
        self.loops = loops

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


def view_of(config: TrialConfig) -> View:
    """Return how a configuration wants its rows."""
    embeds = ENCODERS[config.encoder.name].embeds
    limit = int(config.encoder["one_hot_limit"]) if embeds else 0
    return View(config.scaler.name, config.missing.name, limit)


def shape_of(config: TrialConfig, columns: Columns, n_outputs: int) -> Shape:
    """Return the sizes of a configuration's network on rows of these columns."""
    sizes_of = EMBEDDINGS[config.embedding.name].sizes
    front = Front(
        columns,
        None
        if sizes_of is None or not columns.n_numeric
        else sizes_of(config.embedding.parameters),
        int(config.encoder["width"]) if columns.levels else 0,
    )
    return Shape.of(front, tuple(config.hidden_units), n_outputs)


def network_key(config: TrialConfig, shape: Shape) -> tuple[object, ...]:
    """Return what networks that are computed together have in common.

    The padded width class, and kind and sizes of what embeds their columns. Folds may differ in
    these too: dates have a clock in the training rows of some only.
    """
    front = shape.front
    if front is None:
        return (bucket(config.hidden_units),)
    name = "none" if front.sizes is None else config.embedding.name
    columns = front.columns
    sizes = (front.sizes, front.level_width, columns.n_numeric, columns.n_codes)
    return (bucket(config.hidden_units), name, *sizes)


def kernel_scales(config: TrialConfig, shape: Shape) -> list[float]:
    """Return s of z = h (s V) + b, for each hidden layer and the output layer."""
    scale = PARAMETRIZATIONS[config.parametrization.name].scale
    return [scale(fan_in) for fan_in in (shape.n_inputs, *shape.hidden)]


def learning_rate_factors(config: TrialConfig) -> dict[str, float]:
    """Return by how much tensors learn faster or slower, by the start of their kind's name."""
    factors = {
        "bias": float(config.parametrization["bias_learning_rate"]),
        "output_bias": float(config.parametrization["bias_learning_rate"]),
        "mix": float(config.activation["mix_learning_rate"]),
        "embedding": float(config.embedding["learning_rate"]),
    }
    if FRONT_SCALES[config.front_scale.name].scales:
        factors["scale"] = float(config.front_scale["learning_rate"])
    return {kind: factor for kind, factor in factors.items() if factor != 1}


def factor_row(config: TrialConfig, layout: Layout) -> np.ndarray | None:
    """Return each parameter's factor on the learning rate `[P]`, or None when all are 1."""
    factors = learning_rate_factors(config)
    if not factors:
        return None
    row = np.ones(layout.n_parameters)
    for (kind, _), (start, rows, columns) in layout.parameters.items():
        factor = factors.get(kind.partition("_")[0] if kind.startswith("emb") else kind)
        if factor is not None:
            row[start : start + rows * columns] = factor
    return row


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
        config.front_scale.name,
        config.weight_decay.name,
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
    # Slots that also learn how much of an activation they use do more than their neighbours.
    kinds = [(choice.name, bool(choice.parameters.get("parametric"))) for choice in choices]
    runs, start = [], 0
    for stop in range(1, len(choices) + 1):
        if stop < len(choices) and kinds[stop] == kinds[start]:
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
    front_scale: list[Run]


def network_runs(configs: Sequence[TrialConfig], numbers: Numbers) -> NetworkRuns:
    """Plan the passes of a fleet; `configs` in fleet order."""
    return NetworkRuns(
        activation=runs_of(configs, ACTIVATIONS, lambda c: c.activation, numbers, 3),
        batch_norm=runs_of(configs, BATCH_NORMS, lambda c: c.batch_norm, numbers, 3),
        dropout=runs_of(configs, DROPOUTS, dropout_of, numbers, 3),
        input_norm=runs_of(configs, BATCH_NORMS, input_norm_of, numbers, 3),
        input_dropout=runs_of(configs, DROPOUTS, input_dropout_of, numbers, 3),
        front_scale=runs_of(configs, FRONT_SCALES, lambda c: c.front_scale, numbers, 3),
    )


@dataclass(frozen=True)
class StepRuns:
    """The runs of everything that happens between the gradient and the next step."""

    clipping: list[Run]
    optimizer: list[Run]
    constraint: list[Run]
    weight_decay: Tensor | None
    """λ of decoupled weight decay `[K, 1]`; None when 0 everywhere."""
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
        weight_decay=if_any([_decay_rate(c) for c in configs], 2),
        l1=if_any([float(c.regularizer["l1"]) for c in configs], 2),
        l2=if_any([float(c.regularizer["l2"]) for c in configs], 2),
        label_smoothing=if_any([float(c.loss["label_smoothing"]) for c in configs], 3),
    )


def _decay_rate(config: TrialConfig) -> float:
    decays = WEIGHT_DECAYS[config.weight_decay.name].decays
    return float(config.weight_decay["rate"]) if decays else 0.0
