"""The parts of a network that follow from its configuration: sizes, scales, rates and dropout.

Every question about a single configuration is answered here and nowhere else, for example "does it
have dropout?" (`has_dropout`). `grouping.py` applies the answers to K configurations at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from autotrain.data.codes import Columns
from autotrain.network.layout import INPUT, InputLayer, Layout, Shape, bucket
from autotrain.space.config import Choice, TrialConfig
from autotrain.techniques.dropout import DROPOUTS
from autotrain.techniques.embeddings import EMBEDDINGS
from autotrain.techniques.encoders import ENCODERS
from autotrain.techniques.input_scales import INPUT_SCALES
from autotrain.techniques.parametrizations import PARAMETRIZATIONS
from autotrain.techniques.view import View

# ---- dropout -----------------------------------------------------------------------------------


class DropoutSite(NamedTuple):
    """A layer whose units are dropped with a positive rate.

    Args:
        layer: `INPUT` or the number of a hidden layer.
        units: number of units of the layer.
        rate: probability that a unit is dropped.
    """

    layer: int
    units: int
    rate: float


def dropout_rates(config: TrialConfig) -> tuple[float, float]:
    """Return the dropout rates of inputs and of hidden units; 0 if nothing is dropped."""
    if DROPOUTS[config.dropout.name].affine is None:
        return 0.0, 0.0
    return float(config.dropout["input_rate"]), float(config.dropout["rate"])


def dropout_sites(config: TrialConfig, n_inputs: int) -> list[DropoutSite]:
    """Return the layers that drop units, inputs first; empty without dropout."""
    input_rate, rate = dropout_rates(config)
    sites = [DropoutSite(INPUT, n_inputs, input_rate)] if input_rate else []
    if rate:
        sites += [DropoutSite(layer, n, rate) for layer, n in enumerate(config.hidden_units)]
    return sites


def has_dropout(config: TrialConfig) -> bool:
    """Whether any input or hidden unit is dropped with a positive rate."""
    input_rate, rate = dropout_rates(config)
    return bool(input_rate or (rate and config.hidden_units))


def dropout_of(config: TrialConfig) -> Choice:
    """Return the dropout of hidden units; `none` if its rate is 0."""
    _, rate = dropout_rates(config)
    return config.dropout if rate else Choice("none", config.dropout.parameters)


def input_dropout_of(config: TrialConfig) -> Choice:
    """Return the dropout of the inputs, with its rate named `rate`; `none` if its rate is 0."""
    rate, _ = dropout_rates(config)
    return Choice(config.dropout.name if rate else "none", {"rate": config.dropout["input_rate"]})


# ---- inputs and sizes --------------------------------------------------------------------------


def input_norm_of(config: TrialConfig) -> Choice:
    """Return the batch normalization of the inputs, as a position before the first layer."""
    name = "before_activation" if config.batch_norm["input"] else "off"
    return Choice(name, config.batch_norm.parameters)


def view_of(config: TrialConfig) -> View:
    """Return the encoding of the rows that a configuration asks for."""
    embeds = ENCODERS[config.encoder.name].embeds
    limit = int(config.encoder["one_hot_limit"]) if embeds else 0
    return View(config.scaler.name, config.missing.name, limit)


def shape_of(config: TrialConfig, columns: Columns, n_outputs: int) -> Shape:
    """Return the sizes of a configuration's network.

    Args:
        config: the configuration.
        columns: the columns of the encoded rows that it reads.
        n_outputs: number of classes, or 1 for regression.
    """
    sizes_of = EMBEDDINGS[config.embedding.name].sizes
    input_layer = InputLayer(
        columns,
        None
        if sizes_of is None or not columns.n_numeric
        else sizes_of(config.embedding.parameters),
        int(config.encoder["width"]) if columns.levels else 0,
    )
    return Shape.of(input_layer, tuple(config.hidden_units), n_outputs)


def network_key(config: TrialConfig, shape: Shape) -> tuple[object, ...]:
    """Return the properties in which networks of one fleet must agree.

    These are the padded width class (`bucket`) and the kind and sizes of the embeddings. The folds
    of a trial may differ in these sizes: a column of dates has clock times in the training rows of
    some folds only.
    """
    input_layer = shape.input_layer
    if input_layer is None:
        return (bucket(config.hidden_units),)
    name = "none" if input_layer.sizes is None else config.embedding.name
    columns = input_layer.columns
    sizes = (input_layer.sizes, input_layer.level_width, columns.n_numeric, columns.n_codes)
    return (bucket(config.hidden_units), name, *sizes)


# ---- scales and learning rates -----------------------------------------------------------------


def kernel_scales(config: TrialConfig, shape: Shape) -> list[float]:
    """Return s of z = h (s V) + b for each hidden layer and for the output layer, `[L + 1]`."""
    scale = PARAMETRIZATIONS[config.parametrization.name].scale
    return [scale(fan_in) for fan_in in (shape.n_inputs, *shape.hidden)]


def learning_rate_factors(config: TrialConfig) -> dict[str, float]:
    """Return the factors on the learning rate that differ from 1, by kind of tensor.

    A key is the kind in `Layout.parameters`; "embedding" stands for all kinds that begin with it.
    """
    factors = {
        "bias": float(config.parametrization["bias_learning_rate"]),
        "output_bias": float(config.parametrization["bias_learning_rate"]),
        "mix": float(config.activation["mix_learning_rate"]),
        "embedding": float(config.embedding["learning_rate"]),
    }
    if INPUT_SCALES[config.input_scale.name].scales:
        factors["scale"] = float(config.input_scale["learning_rate"])
    return {kind: factor for kind, factor in factors.items() if factor != 1}


def factor_row(config: TrialConfig, layout: Layout) -> np.ndarray | None:
    """Return the factor of each parameter on the learning rate, `[P]`; None if all are 1."""
    factors = learning_rate_factors(config)
    if not factors:
        return None
    row = np.ones(layout.n_parameters)
    for (kind, _), (start, rows, columns) in layout.parameters.items():
        factor = factors.get(kind.partition("_")[0] if kind.startswith("emb") else kind)
        if factor is not None:
            row[start : start + rows * columns] = factor
    return row
