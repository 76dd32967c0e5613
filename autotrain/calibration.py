"""Numbers fitted on validation rows when a model is exported: so far the noise τ of a regression.

To add one, write a `fit_…` that takes Monte-Carlo samples and the true values, and store what it
returns in the bundle's `calibration`; the predictor applies it.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from autotrain.predictor.mixture import log_likelihood

GRID_POINTS = 32
"""The log likelihood may have several tops; the best point of a grid says which one is climbed."""
TOLERANCE = 1e-6
"""Of log τ, absolute."""
LEAST_VARIANCE = 1e-12
"""Smallest noise variance, as a share of the target's: a perfect fit has no finite τ."""
_GOLDEN = (math.sqrt(5) - 1) / 2


def fit_tau(samples: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the precision τ that maximizes the mean log likelihood of validation rows.

    At the top 1/τ is a weighted mean of the squared errors, so it lies between the mean over rows
    of the smallest and of the mean squared error of the samples: a grid over this range in log τ,
    then golden section around its best point.

    Args:
        samples: Monte-Carlo predictions `[S, N]` in the target's units, or `[N]` without dropout.
        y: `[N]`, true values.
        weights: `[N]`, what each row counts; None when all count alike.
    Returns: τ in 1 / units². For S = 1 it is 1 / mean squared error.
    Raises:
        ValueError: when there are no rows, or shapes do not fit.
    Source: Gal & Ghahramani 2016, arXiv:1506.02142, eq. 8 (there τ is searched on a grid).
    """
    y_hat, target = np.atleast_2d(samples).astype(np.float64), np.asarray(y, dtype=np.float64)
    if target.ndim != 1 or y_hat.shape[1:] != target.shape or not len(target):
        raise ValueError(f"samples [S, N] must fit y [N], however: {y_hat.shape}, {target.shape}")
    squared = (target - y_hat) ** 2
    scale = float(target.var()) or 1.0
    largest = max(_mean(squared.mean(axis=0), weights), LEAST_VARIANCE * scale)
    smallest = max(_mean(squared.min(axis=0), weights), LEAST_VARIANCE * largest)
    drawn, truth = torch.from_numpy(y_hat), torch.from_numpy(target)

    def score(log_tau: float) -> float:
        return _mean(log_likelihood(drawn, truth, math.exp(log_tau)).numpy(), weights)

    low, high = -math.log(largest), -math.log(smallest)
    step = (high - low) / (GRID_POINTS - 1)
    if step < TOLERANCE:
        return math.exp(low)
    best = max((low + place * step for place in range(GRID_POINTS)), key=score)
    a, b = max(best - step, low), min(best + step, high)
    left, right = b - _GOLDEN * (b - a), a + _GOLDEN * (b - a)
    at_left, at_right = score(left), score(right)
    while b - a > TOLERANCE:
        if at_left > at_right:
            b, right, at_right = right, left, at_left
            left = b - _GOLDEN * (b - a)
            at_left = score(left)
        else:
            a, left, at_left = left, right, at_right
            right = a + _GOLDEN * (b - a)
            at_right = score(right)
    return math.exp((a + b) / 2)


def _mean(values: np.ndarray, weights: np.ndarray | None) -> float:
    return float(np.average(values, weights=weights))
