"""Conversion between flat rows and the named tensors of `model.safetensors`.

    hidden.0.kernel [I, O]   hidden.0.bias [O]   batch_norm.0.gamma [O]   batch_norm.0.beta [O]
    batch_norm.0.moving_mean [O]   batch_norm.0.moving_variance [O]   activation.0.slope [1]
    batch_norm.input.…   output.kernel [I, C]   output.bias [C]   activation.0.mix [O]
    input_layer.scale [I]   input_layer.level_vectors.0 [L, E]
    input_layer.embedding_frequency, _phase [D, N]   input_layer.embedding_kernel [D, F · H]
    input_layer.embedding_bias, _slope [D, H]   input_layer.bin_edge, bin_width [D, F]

Only tensors that the configuration uses are written. To add a kind of tensor to `layout.py`, add
its name to `_NAMES`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from autotrain.data.codes import Columns
from autotrain.network.config import shape_of
from autotrain.network.layout import INPUT, Key, Layout, TensorSpan
from autotrain.space.config import TrialConfig
from autotrain.techniques.activations import ACTIVATIONS
from autotrain.techniques.embeddings import EMBEDDINGS
from autotrain.techniques.input_scales import INPUT_SCALES
from autotrain.techniques.normalization import BATCH_NORMS

_NAMES = {
    "kernel": "hidden.{}.kernel",
    "bias": "hidden.{}.bias",
    "gamma": "batch_norm.{}.gamma",
    "beta": "batch_norm.{}.beta",
    "mean": "batch_norm.{}.moving_mean",
    "variance": "batch_norm.{}.moving_variance",
    "slope": "activation.{}.slope",
    "mix": "activation.{}.mix",
    "scale": "input_layer.scale",
    "level_vectors": "input_layer.level_vectors.{}",
    "embedding_frequency": "input_layer.embedding_frequency",
    "embedding_phase": "input_layer.embedding_phase",
    "embedding_weight": "input_layer.embedding_kernel",
    "embedding_bias": "input_layer.embedding_bias",
    "embedding_slope": "input_layer.embedding_slope",
    "bin_edge": "input_layer.bin_edge",
    "bin_width": "input_layer.bin_width",
    "output_kernel": "output.kernel",
    "output_bias": "output.bias",
}
_NORMALIZATION = ("gamma", "beta", "mean", "variance")
# Values of tensors that are not written; 0 for all others. Batch norm then changes nothing.
_UNUSED = {"gamma": 1.0, "variance": 1.0, "mix": 1.0, "scale": 1.0, "bin_width": 1.0}
# Tensors of one row, written as vectors.
_VECTORS = ("bias", "gamma", "beta", "mean", "variance", "slope", "mix", "scale", "output_bias")


def layout_of(config: TrialConfig, columns: Columns, n_outputs: int) -> Layout:
    """Return the layout of a single network's flat rows."""
    return Layout(shape_of(config, columns, n_outputs))


def tensor_shapes(config: TrialConfig, layout: Layout) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all tensors that a configuration uses, by name."""
    entries = [*layout.parameters.items(), *layout.statistics.items()]
    return {name_of(key): _shape_of(key, entry) for key, entry in entries if _is_used(config, key)}


def to_tensors(
    config: TrialConfig, layout: Layout, parameters: np.ndarray, statistics: np.ndarray
) -> dict[str, np.ndarray]:
    """Cut flat rows into named float32 tensors.

    Args:
        config: the configuration.
        layout: the layout of its network.
        parameters: `[P]`.
        statistics: `[S]`.
    """
    return {
        name_of(key): np.ascontiguousarray(
            row[start : start + rows * columns].reshape(_shape_of(key, entry)), dtype=np.float32
        )
        for row, key, entry in _entries(layout, parameters, statistics)
        for start, rows, columns in [entry]
        if _is_used(config, key)
    }


def from_tensors(
    config: TrialConfig, layout: Layout, tensors: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the flat rows of named tensors: parameters `[P]` and statistics `[S]`, float32.

    Raises:
        KeyError: if a tensor is missing. Shapes are not checked.
    """
    parameters = np.zeros(layout.n_parameters, dtype=np.float32)
    statistics = np.zeros(layout.n_statistics, dtype=np.float32)
    for row, key, (start, rows, columns) in _entries(layout, parameters, statistics):
        span = slice(start, start + rows * columns)
        if _is_used(config, key):
            row[span] = tensors[name_of(key)].ravel()
        else:
            row[span] = _UNUSED.get(key[0], 0.0)
    return parameters, statistics


def name_of(key: Key) -> str:
    """Return the name of a tensor of the layout."""
    kind, layer = key
    return _NAMES[kind].format("input" if layer == INPUT else layer)


def _entries(
    layout: Layout, parameters: np.ndarray, statistics: np.ndarray
) -> Iterator[tuple[np.ndarray, Key, TensorSpan]]:
    for key, entry in layout.parameters.items():
        yield parameters, key, entry
    for key, entry in layout.statistics.items():
        yield statistics, key, entry


def _shape_of(key: Key, entry: TensorSpan) -> tuple[int, ...]:
    return (entry.columns,) if key[0] in _VECTORS else (entry.rows, entry.columns)


def _is_used(config: TrialConfig, key: Key) -> bool:
    kind, layer = key
    if kind == "slope":
        return ACTIVATIONS[config.activation.name].learned is not None
    if kind == "mix":
        return bool(config.activation["parametric"])
    if kind == "scale":
        return INPUT_SCALES[config.input_scale.name].scales
    if kind.startswith(("embedding_", "bin_")):
        return _embedding_uses(config, kind)
    if kind not in _NORMALIZATION:
        return True
    if layer == INPUT:
        return bool(config.batch_norm["input"])
    placement = BATCH_NORMS[config.batch_norm.name]
    return placement.before or placement.after


def _embedding_uses(config: TrialConfig, kind: str) -> bool:
    row = EMBEDDINGS[config.embedding.name]
    if kind == "embedding_slope":
        return row.adds_x
    if kind == "embedding_phase":
        return row.has_phase
    return True
