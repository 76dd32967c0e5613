"""Numeric embeddings: each number becomes a vector before the first layer, column by column.

    φ = features(x) `[…, F]`,   e = tail(φ V + b)

A row defines φ, its derivative, and the function of φV + b. All slots of a fleet have the same row
and sizes; learning rates, frequencies and weights can differ. Axes: K slots, D columns, B rows of a
batch, F features; x is `[K, D, B]`. `network/input_layer.py` computes the forward and backward
pass. To add an embedding, write its functions and add a row to `EMBEDDINGS`; see
docs/adding-a-technique.md for the files that a new kind of tensor concerns.

Source: Gorishniy et al. 2022, arXiv:2203.05556 (piecewise linear, PLR); Holzmüller et al. 2024,
arXiv:2407.04491 (PBLD).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from autotrain.techniques.technique import Parameter, Technique, table

Tensors = Mapping[str, Tensor]
NO_BIN = 1e30
"""Width of the bins that a column does not use; finite, so that it can be stored."""
LEAST_BIN = 1e-6
"""Smallest width of a bin, as a fraction of the column's range."""


class Sizes(NamedTuple):
    """Sizes of the embedding of one column.

    Args:
        n_features: F, length of φ.
        n_out: E, length of the embedding.
        n_linear: H, length of φV + b.
        n_frequencies: N, number of frequencies; 0 for other embeddings.
    """

    n_features: int
    n_out: int
    n_linear: int
    n_frequencies: int


@dataclass(frozen=True, kw_only=True)
class Embedding(Technique):
    """A row of `EMBEDDINGS`.

    Args:
        sizes: parameters → `Sizes`; None for no embedding.
        draw: (generator, n_columns, parameters) → initial values of the learned tensors, float64:
            "frequency" and "phase" `[D, N]`, "kernel" `[D, F, H]`, "bias" and "slope" `[D, H]`.
        features: (x `[K, D, B]`, tensors) → φ `[K, D, B, F]` and a tensor that `gradient` needs.
        gradient: (∂φ `[K, D, B, F]`, x, that tensor, tensors) → gradients of "frequency" and
            "phase", `[K, D, N]` each; None if φ has no learned parameters.
        bins: whether φ uses bins of the training rows: "edge" and "width" `[D, F]`.
        has_phase: whether there is a "phase".
        keeps_x: whether x is the first component of the embedding.
        adds_x: whether x · slope is added to φV + b.
        rectifies: whether the result is max(0, ·).
    """

    sizes: Callable[[Mapping[str, Any]], Sizes] | None = None
    draw: Callable[..., dict[str, np.ndarray]] | None = None
    features: Callable[[Tensor, Tensors], tuple[Tensor, Tensor | None]] | None = None
    gradient: Callable[[Tensor, Tensor, Tensor | None, Tensors], dict[str, Tensor]] | None = None
    bins: bool = False
    has_phase: bool = False
    keeps_x: bool = False
    adds_x: bool = False
    rectifies: bool = False


def whole(value: Any) -> int:
    """Return an integer parameter with the type int.

    Raises:
        TypeError: if it has another type.
    """
    if not isinstance(value, int):
        raise TypeError(f"value must be an integer, got {value!r}")
    return value


def _uniform_linear(
    generator: np.random.Generator, n_columns: int, n_features: int, n_out: int
) -> dict[str, np.ndarray]:
    """Draw kernel `[D, F, H]` and bias `[D, H]` from U(±1/√F), as `torch.nn.Linear` does."""
    limit = 1 / math.sqrt(n_features)
    return {
        "kernel": generator.uniform(-limit, limit, (n_columns, n_features, n_out)),
        "bias": generator.uniform(-limit, limit, (n_columns, n_out)),
    }


# ---- periodic --------------------------------------------------------------------------------


def pbld_features(x: Tensor, p: Tensors) -> tuple[Tensor, Tensor | None]:
    """Return φ = cos(2π w x + b), and the sine for the gradient, `[K, D, B, N]` each.

    Examples:
        >>> p = {"frequency": torch.tensor([[[0.25]]]), "phase": torch.zeros(1, 1, 1)}
        >>> pbld_features(torch.tensor([[[0.0, 2.0]]]), p)[0]
        tensor([[[[ 1.],
                  [-1.]]]])
    """
    angle = torch.addcmul(
        p["phase"].unsqueeze(2), x.unsqueeze(3), (2 * math.pi * p["frequency"]).unsqueeze(2)
    )
    return torch.cos(angle), torch.sin(angle)


def pbld_gradient(d: Tensor, x: Tensor, sine: Tensor | None, p: Tensors) -> dict[str, Tensor]:
    """Return ∂w = −2π Σ_B ∂φ sin x and ∂b = −Σ_B ∂φ sin, `[K, D, N]` each."""
    assert sine is not None
    slope = d * sine
    return {
        "frequency": torch.matmul(x.unsqueeze(2), slope).squeeze(2).mul_(-2 * math.pi),
        "phase": slope.sum(2).neg_(),
    }


def plr_features(x: Tensor, p: Tensors) -> tuple[Tensor, Tensor | None]:
    """Return φ = [cos(2π w x), sin(2π w x)], `[K, D, B, 2N]`, which the gradient also needs.

    Examples:
        >>> p = {"frequency": torch.tensor([[[0.25]]])}
        >>> plr_features(torch.tensor([[[0.0, 1.0]]]), p)[0].round().abs()
        tensor([[[[1., 0.],
                  [0., 1.]]]])
    """
    angle = x.unsqueeze(3) * (2 * math.pi * p["frequency"]).unsqueeze(2)
    features = torch.cat([torch.cos(angle), torch.sin(angle)], dim=3)
    return features, features


def plr_gradient(d: Tensor, x: Tensor, features: Tensor | None, p: Tensors) -> dict[str, Tensor]:
    """Return ∂w = 2π Σ_B (∂sin · cos − ∂cos · sin) x, `[K, D, N]`."""
    assert features is not None
    n = features.shape[3] // 2
    slope = d[..., n:] * features[..., :n] - d[..., :n] * features[..., n:]
    return {"frequency": torch.matmul(x.unsqueeze(2), slope).squeeze(2).mul_(2 * math.pi)}


def _draw_pbld(
    generator: np.random.Generator, n_columns: int, p: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    n = whole(p["n_frequencies"])
    return {
        "frequency": generator.normal(0.0, p["sigma"], (n_columns, n)),
        "phase": generator.uniform(-math.pi, math.pi, (n_columns, n)),
        **_uniform_linear(generator, n_columns, n, whole(p["width"]) - 1),
    }


def _draw_plr(
    generator: np.random.Generator, n_columns: int, p: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    n = whole(p["n_frequencies"])
    return {
        "frequency": generator.normal(0.0, p["sigma"], (n_columns, n)),
        **_uniform_linear(generator, n_columns, 2 * n, whole(p["width"])),
    }


# ---- piecewise linear ------------------------------------------------------------------------


def bin_edges(values: np.ndarray, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Return left edges and widths of the bins of each column, `[D, F]` each.

    Edges are quantiles of the values. A value that fills a bin by itself (for example, if most
    values are 0) is an edge, and the quantiles are those of the other rows. A column of few values
    can have fewer than F bins: the others have the width `NO_BIN`, and their feature is always 0.

    Args:
        values: training rows, `[N, D]`.
        n_bins: F.
    Examples:
        >>> bin_edges(np.array([[0.0], [0.0], [0.0], [1.0], [2.0], [4.0]]), n_bins=3)
        (array([[0., 1., 2.]]), array([[1., 1., 2.]]))
    """
    n_columns = values.shape[1]
    edge = np.zeros((n_columns, n_bins))
    width = np.full((n_columns, n_bins), NO_BIN)
    for column in range(n_columns):
        edges = _column_edges(values[:, column].astype(np.float64), n_bins + 1)
        n = len(edges) - 1
        edge[column, :n], width[column, :n] = edges[:-1], np.diff(edges)
    return edge, width


def _column_edges(values: np.ndarray, most: int) -> np.ndarray:
    """Return the edges of one column, sorted and distinct.

    Quantiles alone would put several edges on a frequent value, and would lose them as duplicates.

    Args:
        values: `[N]`.
        most: largest number of edges, at least 2.
    Returns: 1 to `most` edges.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= most:
        return _apart(distinct)
    is_edge = np.zeros(len(distinct), dtype=bool)
    while True:
        # Fewer than `left` − 1 values can fill a bin alone, so at least two edges are left.
        left = most - int(is_edge.sum())
        heavy = ~is_edge & (counts * (left - 1) > counts[~is_edge].sum())
        if not heavy.any():
            break
        is_edge |= heavy
    others = np.repeat(distinct[~is_edge], counts[~is_edge])
    quantiles = np.quantile(others, np.linspace(0, 1, left))
    return _apart(np.unique(np.append(distinct[is_edge], quantiles)))


def _apart(edges: np.ndarray) -> np.ndarray:
    """Drop edges `[n]` that are close to another: lines beyond the last bin would be too steep."""
    gaps = np.diff(edges) > LEAST_BIN * (edges[-1] - edges[0])
    return np.append(edges[:1], edges[1:][gaps])


def piecewise_features(x: Tensor, p: Tensors) -> tuple[Tensor, Tensor | None]:
    """Return φ_t = clip((x − edge_t) / width_t, 0, 1), `[K, D, B, F]`.

    The first bin is not clipped at 0 and the last one not at 1: both continue as straight lines.

    Examples:
        >>> edge, width = torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[1.0, 3.0]]])
        >>> low, high = clip_limits(width)
        >>> p = {"edge": edge, "width": width, "low": low, "high": high}
        >>> piecewise_features(torch.tensor([[[-1.0, 0.5, 4.0, 7.0]]]), p)[0]
        tensor([[[[-1.0000,  0.0000],
                  [ 0.5000,  0.0000],
                  [ 1.0000,  1.0000],
                  [ 1.0000,  2.0000]]]])
    """
    raw = (x.unsqueeze(3) - p["edge"].unsqueeze(2)) / p["width"].unsqueeze(2)
    return torch.clamp(raw, p["low"].unsqueeze(2), p["high"].unsqueeze(2)), None


def clip_limits(width: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lower and the upper limit of the feature of each bin, `[…, D, F]` each.

    They are 0 and 1, except −∞ for the first and ∞ for the last bin of a column.

    Args:
        width: widths of the bins, `[…, D, F]`.
    """
    is_bin = width < NO_BIN / 2
    low, high = torch.zeros_like(width), torch.ones_like(width)
    low[..., 0] = -math.inf
    number = torch.arange(width.shape[-1], device=width.device)
    last = torch.where(is_bin, number, -1).amax(-1, keepdim=True)
    high[number == last] = math.inf
    # A constant column has no bins, so none that continues.
    low[~is_bin], high[~is_bin] = 0.0, 1.0
    return low, high


def _draw_piecewise(
    generator: np.random.Generator, n_columns: int, p: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    width = whole(p["width"])
    limit = 1 / math.sqrt(width)
    # The kernel starts at 0, so that the embedding is linear at first (version "B" of the authors).
    return {
        "kernel": np.zeros((n_columns, whole(p["n_bins"]), width)),
        "bias": generator.uniform(-limit, limit, (n_columns, width)),
        "slope": generator.uniform(-limit, limit, (n_columns, width)),
    }


EMBEDDING_PARAMETERS = {
    "learning_rate": Parameter(
        1.0, "factor on the learning rate of the embedding", low=0.0, open_low=True
    ),
}

_PERIODIC = {
    "n_frequencies": Parameter(
        16, "number of frequencies per column", low=1, high=512, kind="integer"
    ),
    "sigma": Parameter(
        0.1, "standard deviation of the initial frequencies", low=0.0, open_low=True
    ),
}

EMBEDDINGS = table(
    Embedding("none", "e = x"),
    Embedding(
        "piecewise_linear",
        "e = V clip((x − edge) / width, 0, 1) + x s + b",
        {
            "n_bins": Parameter(48, "number of bins per column", low=2, high=512, kind="integer"),
            "width": Parameter(
                16, "length of the embedding of a column", low=1, high=256, kind="integer"
            ),
        },
        sizes=lambda p: Sizes(whole(p["n_bins"]), whole(p["width"]), whole(p["width"]), 0),
        draw=_draw_piecewise,
        features=piecewise_features,
        bins=True,
        adds_x=True,
        note="Edges are quantiles of the training rows and values that fill a bin alone. The first "
        "and the last bin continue outwards as straight lines. V starts at 0.",
    ),
    Embedding(
        "plr",
        "e = relu(V [cos 2πwx, sin 2πwx] + b), w ~ N(0, sigma²) at the start",
        {
            **_PERIODIC,
            "width": Parameter(
                16, "length of the embedding of a column", low=1, high=4096, kind="integer"
            ),
        },
        sizes=lambda p: Sizes(
            2 * whole(p["n_frequencies"]),
            whole(p["width"]),
            whole(p["width"]),
            whole(p["n_frequencies"]),
        ),
        draw=_draw_plr,
        features=plr_features,
        gradient=plr_gradient,
        rectifies=True,
    ),
    Embedding(
        "pbld",
        "e = [x, V cos(2πwx + c) + b]; at the start w ~ N(0, sigma²), c ~ U(−π, π)",
        {
            **_PERIODIC,
            "width": Parameter(
                4, "length of the embedding of a column", low=2, high=4096, kind="integer"
            ),
        },
        sizes=lambda p: Sizes(
            whole(p["n_frequencies"]),
            whole(p["width"]),
            whole(p["width"]) - 1,
            whole(p["n_frequencies"]),
        ),
        draw=_draw_pbld,
        features=pbld_features,
        gradient=pbld_gradient,
        has_phase=True,
        keeps_x=True,
    ),
)
