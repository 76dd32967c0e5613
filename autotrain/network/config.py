"""What one configuration means for its network: sizes, scales, rates, and where units drop."""

from __future__ import annotations

import numpy as np

from autotrain.network.layout import INPUT, Columns, Front, Layout, Shape, bucket
from autotrain.space.config import Choice, TrialConfig
from autotrain.techniques.dropout import DROPOUTS
from autotrain.techniques.embeddings import EMBEDDINGS
from autotrain.techniques.encoders import ENCODERS
from autotrain.techniques.parametrizations import PARAMETRIZATIONS
from autotrain.techniques.scales import FRONT_SCALES
from autotrain.techniques.view import View


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


Site = tuple[int, int, float]
"""A place of dropout: layer (`INPUT` or a hidden layer), units, rate."""


def dropout_sites(config: TrialConfig, n_inputs: int) -> list[Site]:
    """Return where a configuration really drops units; empty when it never does."""
    sites: list[Site] = []
    on_inputs, on_hidden = input_dropout_of(config), dropout_of(config)
    if DROPOUTS[on_inputs.name].affine is not None:
        sites.append((INPUT, n_inputs, float(on_inputs["rate"])))
    if DROPOUTS[on_hidden.name].affine is not None:
        rate = float(on_hidden["rate"])
        sites += [(layer, units, rate) for layer, units in enumerate(config.hidden_units)]
    return sites
