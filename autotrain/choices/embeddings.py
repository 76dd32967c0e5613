"""Numeric embeddings: each number becomes several before the first layer, column by column.

    φ = features(x) `[…, F]`,   e = tail(φ V + b)

A row says what φ is, how it is differentiated, and what becomes of φV + b. Slots of a fleet have
one row and one size; rates, frequencies and weights are their own. Axes: K slot, D column, B row of
the batch, F feature; x is `[K, D, B]`. To add one: write its functions and add a row to
`EMBEDDINGS`.

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

from autotrain.domains import Parameter, Technique, table

Tensors = Mapping[str, Tensor]
NO_BIN = 1e30
"""Width of a bin that a column does not have; finite, so that it can be written down."""
LEAST_BIN = 1e-6
"""Least width of a bin, as a share of the column's range."""


class Sizes(NamedTuple):
    """Of one column: F features, E numbers in the end, H of them from φV + b; N of `frequency`."""

    n_features: int
    n_out: int
    n_linear: int
    n_frequencies: int


@dataclass(frozen=True, kw_only=True)
class Embedding(Technique):
    """A row of `EMBEDDINGS`.

    Args:
        sizes: parameters → `Sizes`; None for the row that embeds nothing.
        draw: (generator, n_columns, parameters) → the learned tensors' first values, float64:
            "frequency" and "phase" `[D, N]`, "kernel" `[D, F, H]`, "bias" and "slope" `[D, H]`.
        features: (x `[K, D, B]`, tensors) → φ `[K, D, B, F]` and what `gradient` needs.
        gradient: (∂φ, x, kept, tensors) → gradients of "frequency" and "phase" `[K, D, N]`.
        bins: whether edges are found on the training rows: "edge" and "width" `[D, F]`.
        has_phase: whether it has a "phase".
        keeps_x: whether x itself stands before the rest.
        adds_x: whether x · slope is added to φV + b.
        rectifies: whether the end is max(0, ·).
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
    """Return a parameter that is a whole number as such."""
    if not isinstance(value, int):
        raise TypeError(f"must be a whole number, however: {value!r}")
    return value


def _uniform_linear(
    generator: np.random.Generator, n_columns: int, n_features: int, n_out: int
) -> dict[str, np.ndarray]:
    """Draw kernel and bias as `torch.nn.Linear` does: U(±1/√F)."""
    limit = 1 / math.sqrt(n_features)
    return {
        "kernel": generator.uniform(-limit, limit, (n_columns, n_features, n_out)),
        "bias": generator.uniform(-limit, limit, (n_columns, n_out)),
    }


# ---- periodic --------------------------------------------------------------------------------


def pbld_features(x: Tensor, p: Tensors) -> tuple[Tensor, Tensor | None]:
    """φ = cos(2π w x + b); keeps sin for the gradient."""
    angle = torch.addcmul(
        p["phase"].unsqueeze(2), x.unsqueeze(3), (2 * math.pi * p["frequency"]).unsqueeze(2)
    )
    return torch.cos(angle), torch.sin(angle)


def pbld_gradient(d: Tensor, x: Tensor, sine: Tensor | None, p: Tensors) -> dict[str, Tensor]:
    """∂w = −2π Σ_B ∂φ sin x;  ∂b = −Σ_B ∂φ sin."""
    assert sine is not None
    slope = d * sine
    return {
        "frequency": torch.matmul(x.unsqueeze(2), slope).squeeze(2).mul_(-2 * math.pi),
        "phase": slope.sum(2).neg_(),
    }


def plr_features(x: Tensor, p: Tensors) -> tuple[Tensor, Tensor | None]:
    """φ = [cos(2π w x), sin(2π w x)]."""
    angle = x.unsqueeze(3) * (2 * math.pi * p["frequency"]).unsqueeze(2)
    features = torch.cat([torch.cos(angle), torch.sin(angle)], dim=3)
    return features, features


def plr_gradient(d: Tensor, x: Tensor, features: Tensor | None, p: Tensors) -> dict[str, Tensor]:
    """∂w = 2π Σ_B (∂sin · cos − ∂cos · sin) x."""
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
    """Return each column's bins as left edges and widths `[D, F]`: quantiles of training rows.

    A value that fills a bin by itself (most are 0, say) is an edge of its own, and the quantiles
    are those of the other rows. A column of few values may have fewer than F bins: the others have
    the width `NO_BIN`, and their feature is 0 everywhere.

    Args:
        values: `[N, D]`.
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
    """Return the edges of one column, sorted and different; 1 to `most`, which is at least 2.

    Quantiles alone would spend several edges on a value that many rows have and merge them to one.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= most:
        return _apart(distinct)
    own = np.zeros(len(distinct), dtype=bool)
    while True:
        # Fewer than `left` − 1 values can have so many rows: two edges are left in the end.
        left = most - int(own.sum())
        heavy = ~own & (counts * (left - 1) > counts[~own].sum())
        if not heavy.any():
            break
        own |= heavy
    others = np.repeat(distinct[~own], counts[~own])
    quantiles = np.quantile(others, np.linspace(0, 1, left))
    return _apart(np.unique(np.append(distinct[own], quantiles)))


def _apart(edges: np.ndarray) -> np.ndarray:
    """Leave out edges that are next to another: the line beyond a last bin would be too steep."""
    gaps = np.diff(edges) > LEAST_BIN * (edges[-1] - edges[0])
    return np.append(edges[:1], edges[1:][gaps])


def piecewise_features(x: Tensor, p: Tensors) -> tuple[Tensor, Tensor | None]:
    """φ_t = clip((x − edge_t) / width_t, 0, 1).

    The first bin also goes on to the left and the last one to the right, as straight lines.
    """
    raw = (x.unsqueeze(3) - p["edge"].unsqueeze(2)) / p["width"].unsqueeze(2)
    return torch.clamp(raw, p["low"].unsqueeze(2), p["high"].unsqueeze(2)), None


def clip_limits(width: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lower and upper limit of each bin's feature, from the widths `[…, D, F]`.

    0 and 1, but −∞ for the first bin and ∞ for the last one that a column has.
    """
    is_bin = width < NO_BIN / 2
    low, high = torch.zeros_like(width), torch.ones_like(width)
    low[..., 0] = -math.inf
    place = torch.arange(width.shape[-1], device=width.device)
    last = torch.where(is_bin, place, -1).amax(-1, keepdim=True)
    high[place == last] = math.inf
    # A column without bins (constant) has none that goes on.
    low[~is_bin], high[~is_bin] = 0.0, 1.0
    return low, high


def _draw_piecewise(
    generator: np.random.Generator, n_columns: int, p: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    width = whole(p["width"])
    limit = 1 / math.sqrt(width)
    # A straight line at first: what the bins add starts at 0 (version "B" of the authors' package).
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
    "n_frequencies": Parameter(16, "frequencies a column", low=1, high=512, kind="integer"),
    "sigma": Parameter(0.1, "standard deviation of the first frequencies", low=0.0, open_low=True),
}

EMBEDDINGS = table(
    Embedding("none", "e = x"),
    Embedding(
        "piecewise_linear",
        "e = V clip((x − edge) / width, 0, 1) + x s + b",
        {
            "n_bins": Parameter(48, "bins a column", low=2, high=512, kind="integer"),
            "width": Parameter(16, "numbers a column becomes", low=1, high=256, kind="integer"),
        },
        sizes=lambda p: Sizes(whole(p["n_bins"]), whole(p["width"]), whole(p["width"]), 0),
        draw=_draw_piecewise,
        features=piecewise_features,
        bins=True,
        adds_x=True,
        note="Edges are quantiles of the training rows, and values that fill a bin alone. The "
        "first and the last bin continue outwards as straight lines. V starts at 0.",
    ),
    Embedding(
        "plr",
        "e = relu(V [cos 2πwx, sin 2πwx] + b), w ~ N(0, sigma²) at the start",
        {
            **_PERIODIC,
            "width": Parameter(16, "numbers a column becomes", low=1, high=4096, kind="integer"),
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
            "width": Parameter(4, "numbers a column becomes", low=2, high=4096, kind="integer"),
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
