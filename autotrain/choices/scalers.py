"""Scalers: what a column of numbers becomes before a network reads it.

A row is fitted on training rows, column by column, and writes down what it found as float64 arrays
`[…, P]`; `apply` needs nothing else. Missing cells are filled before. To add one: write `fit` and
`apply` and add a row to `SCALERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from autotrain.domains import Technique, table

Arrays = Mapping[str, np.ndarray]

MOST_QUANTILES = 1000
"""As scikit-learn's QuantileTransformer."""
QUANTILE_EDGE = 1e-7
"""Ranks are kept so far from 0 and 1, where the normal quantile is infinite: |z| ≤ 5.2."""
SMOOTH_CLIP = 3.0
"""Where `robust_smooth_clip` levels off: |z| < 3."""


@dataclass(frozen=True, kw_only=True)
class Scaler(Technique):
    """A row of `SCALERS`.

    Args:
        arrays: names of what `fit` writes down.
        fit: values `[N, P]` float64, none missing → arrays by name, P last.
        apply: (values `[N, P]`, arrays) → scaled values `[N, P]` float64.
    """

    arrays: tuple[str, ...]
    fit: Callable[[np.ndarray], dict[str, np.ndarray]]
    apply: Callable[[np.ndarray, Arrays], np.ndarray]


def fit_standard(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return mean and standard deviation; 1 for a column that is constant up to rounding.

    Equals: `sklearn.preprocessing.StandardScaler`, up to rounding.
    """
    mean = values.mean(0)
    # Shifted by the mean once more: what rounding left of it would count as spread.
    centered = values - mean
    variance = (centered**2).mean(0) - centered.mean(0) ** 2
    scale = np.sqrt(np.maximum(variance, 0.0))
    digits = 10 * np.finfo(np.float64).eps
    is_constant = variance <= len(values) * digits * variance + (len(values) * mean * digits) ** 2
    return {"mean": mean, "scale": np.where(is_constant | (scale == 0), 1.0, scale)}


def apply_standard(values: np.ndarray, arrays: Arrays) -> np.ndarray:
    """z = (x − mean) / scale."""
    return (values - arrays["mean"]) / arrays["scale"]


def fit_robust(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return median and 1/IQR; where the IQR is 0 half the range; where that is 0 the factor 0.

    Source: Holzmüller et al. 2024, arXiv:2407.04491, section 3.1.
    """
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
    width = high - low
    width = np.where(width > 0, width, (values.max(0) - values.min(0)) / 2)
    factor = np.divide(1.0, width, out=np.zeros_like(width), where=width > 0)
    return {"median": median, "factor": factor}


def apply_robust(values: np.ndarray, arrays: Arrays) -> np.ndarray:
    """u = (x − median) · factor;  z = u / √(1 + (u/3)²): linear near 0, |z| < 3."""
    with np.errstate(over="ignore"):
        u = (values - arrays["median"]) * arrays["factor"]
        # u/√(1 + (u/3)²) without overflow: 3 · sin(atan(u/3)).
        return SMOOTH_CLIP * np.sin(np.arctan(u / SMOOTH_CLIP))


def fit_quantiles(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return the quantiles `[Q, P]` at Q equal steps of rank, Q = min(1000, N).

    Equals: `sklearn.preprocessing.QuantileTransformer(subsample=None).quantiles_`.
    """
    ranks = np.linspace(0, 1, min(MOST_QUANTILES, len(values)))
    quantiles = np.quantile(values, ranks, axis=0)
    # Interpolation may break the order by a rounding error.
    return {"quantiles": np.maximum.accumulate(quantiles, axis=0)}


def apply_quantiles(values: np.ndarray, arrays: Arrays) -> np.ndarray:
    """z = Φ⁻¹(rank of x among the training rows), |z| ≤ 5.2.

    Ties have the middle of their ranks. Equals:
    `sklearn.preprocessing.QuantileTransformer(output_distribution="normal")`.
    """
    quantiles = arrays["quantiles"]
    ranks = np.linspace(0, 1, len(quantiles))
    scaled = np.empty_like(values)
    for column in range(values.shape[1]):
        x, q = values[:, column], quantiles[:, column]
        up = np.interp(x, q, ranks)
        down = -np.interp(-x, -q[::-1], -ranks[::-1])
        rank = np.where(x >= q[-1] - QUANTILE_EDGE, 1.0, (up + down) / 2)
        scaled[:, column] = np.where(x - QUANTILE_EDGE <= q[0], 0.0, rank)
    inside = np.clip(scaled, QUANTILE_EDGE, 1 - QUANTILE_EDGE)
    return torch.special.ndtri(torch.from_numpy(inside)).numpy()


SCALERS = table(
    Scaler(
        "standard",
        "(x − mean) / standard deviation",
        arrays=("mean", "scale"),
        fit=fit_standard,
        apply=apply_standard,
    ),
    Scaler(
        "robust_smooth_clip",
        "u = (x − median) / IQR, then u / √(1 + (u/3)²): outliers end at ±3",
        arrays=("median", "factor"),
        fit=fit_robust,
        apply=apply_robust,
    ),
    Scaler(
        "quantile_normal",
        "ranks turned into a normal distribution",
        arrays=("quantiles",),
        fit=fit_quantiles,
        apply=apply_quantiles,
    ),
)
