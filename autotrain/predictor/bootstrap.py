"""Bootstrap-t confidence intervals of mean losses, for few rows and losses with heavy tails.

`bootstrap_t` serves every metric that is a weighted mean of losses or a ratio of two such means;
`intervals.py` lists them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from autotrain.predictor.shares import Interval, Z, effective, wilson

RESAMPLES = 999
SEED = 0
RESAMPLED_NUMBERS = 1 << 21
"""Largest number of counts drawn at a time: 16 MB."""
MANY_ROWS = 10_000
"""With more rows the quantiles of t* are taken from the normal distribution, to save time."""


def bootstrap_t(
    losses: Tensor,
    scales: Tensor,
    weights: Tensor,
    worst: float,
    n_worst: float,
    n_resamples: int = RESAMPLES,
) -> Interval | None:
    """Return an interval of Σ w·loss / Σ w·scale, a weighted mean where every scale is 1.

        t* = (θ* − θ) / se*,     low = θ − t*₀.₉₇₅ · se,     high = θ − t*₀.₀₂₅ · se

    For the upper end, one unseen row that is worse than all others is added to the rows that are
    resampled. Without it, a small test set that lacks rare large losses by chance would give an
    upper end that is too low. The end is at most Wilson's for losses between 0 and the worst,
    because among such losses those that are only 0 or the worst have the largest variance.

    Args:
        losses: `[N]` float64 of at least 0.
        scales: `[N]` with a mean above 0.
        weights: `[N]` with a mean of 1.
        worst: the loss of the unseen row, at least the largest of `losses`.
        n_worst: the weight of the unseen row.
        n_resamples: number of resamples; 0 takes the quantiles of t* from the normal distribution,
            as with more than 10,000 rows.
    Returns: the two ends; None when no loss is above 0.
    Source: Efron & Tibshirani 1993, "An introduction to the bootstrap", section 12.5. The
    unseen row has the role of the pseudo-observations of Agresti & Coull 1998,
    doi:10.1080/00031305.1998.10480550, and of Chen, Variyath & Abraham 2008,
    doi:10.1198/106186008X321068. Measured: docs/benchmarks.md.
    """
    if not worst > 0:
        return None
    theta, error, (_, above) = _studentized(losses, scales, weights, n_resamples)
    low = theta - above * error
    scale = float((weights * scales).sum() / weights.sum())
    losses, scales, weights = (
        torch.cat([values, values.new_tensor([value])])
        for values, value in ((losses, worst), (scales, scale), (weights, n_worst))
    )
    theta, error, (below, _) = _studentized(losses, scales, weights, n_resamples)
    unit = worst / scale
    limit = unit * wilson(min(theta / unit, 1.0), effective(weights))[1]
    return low, max(min(theta - below * error, limit), theta)


def _studentized(
    losses: Tensor, scales: Tensor, weights: Tensor, n_resamples: int
) -> tuple[float, float, tuple[float, float]]:
    """Return θ of rows `[N]`, its standard error, and the 2.5 and 97.5 % quantiles of t*."""
    square = weights.square()
    columns = [
        weights * losses,
        weights * scales,
        square * losses.square(),
        square * losses * scales,
        square * scales.square(),
    ]
    # The sums of these columns over the rows of a resample determine its θ* and se*.
    sums = torch.stack(columns, 1)
    theta, error = _estimates(sums.sum(0))
    if not n_resamples or len(losses) > MANY_ROWS:
        return float(theta), float(error), (-Z, Z)
    counts = _resamples(len(losses), n_resamples)
    thetas, errors = _estimates(torch.cat([times @ sums for times in counts]))
    # Resamples with equal rows have only a rounding error.
    rounding = (1e-9 * theta.abs()).clamp(min=1e-300)
    t = ((thetas - theta) / torch.maximum(errors, rounding)).numpy()
    return float(theta), float(error), (float(np.quantile(t, 0.025)), float(np.quantile(t, 0.975)))


def _estimates(sums: Tensor) -> tuple[Tensor, Tensor]:
    """Return θ and its first-order standard error from the sums `[…, 5]` of `_studentized`."""
    loss, scale, loss_2, product, scale_2 = sums.unbind(-1)
    theta = loss / scale
    variance = loss_2 - 2 * theta * product + theta.square() * scale_2
    return theta, variance.clamp(min=0).sqrt() / scale


def _resamples(n_rows: int, n_resamples: int) -> Iterator[Tensor]:
    """Yield the number of times that each row is drawn, `[R, N]` float64, in parts."""
    generator = np.random.default_rng(SEED)
    at_once = max(RESAMPLED_NUMBERS // n_rows, 1)
    for start in range(0, n_resamples, at_once):
        n = min(at_once, n_resamples - start)
        indices = generator.integers(n_rows, size=(n, n_rows)) + n_rows * np.arange(n)[:, None]
        times = np.bincount(indices.ravel(), minlength=n * n_rows).reshape(n, n_rows)
        yield torch.from_numpy(times).double()
