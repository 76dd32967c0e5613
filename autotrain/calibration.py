"""Numbers fitted on validation rows when a model is exported.

    τ   the noise of a regression
    T   the temperature of a classification: how much too sure its probabilities are

To add one, write a `fit_…` that takes predictions and the true values, and store what it returns in
the bundle's `calibration`; the predictor applies it.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.optimize
import torch

from autotrain.predictor.distribution import tempered
from autotrain.predictor.mixture import log_likelihood

GRID_POINTS = 32
"""The log likelihood may have several tops; the best point of a grid says which one is climbed."""
TOLERANCE = 1e-6
"""Of log τ, absolute."""
LEAST_VARIANCE = 1e-12
"""Smallest noise variance, as a share of the target's: a perfect fit has no finite τ."""
TEMPERATURES = (0.05, 20.0)
"""Lowest and highest; beyond them nothing changes that four digits show."""
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


def fit_temperature(log_p: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the temperature T of p^(1/T) / Σ p^(1/T) that fits validation rows best.

    It minimizes the mean over rows of Σ_c −t_c log p_T(c), where the true class has t = 1 − ε and
    the others share ε = 1 / (N + 2): N rows that are all right must not be taken for certainty, and
    no row's probability goes to 0. In 1/T this is convex.

    Args:
        log_p: `[N, C]` logarithms of probabilities, averaged over samples and members before.
        y: `[N]` class numbers.
        weights: `[N]`, what each row counts; None when all count alike.
    Returns: T in 0.05 to 20; above 1 when the probabilities were too sure.
    Raises:
        ValueError: when there are no rows, or shapes do not fit.
    Source: Guo, Pleiss, Sun & Weinberger 2017, arXiv:1706.04599, section 4.2; averaged before:
        Rahaman & Thiery 2021, arXiv:2007.08792; ε: Platt 1999, "Probabilistic outputs for support
        vector machines", section 2.2, of a class with N rows.
    """
    of_classes, truth = np.asarray(log_p, dtype=np.float64), np.asarray(y)
    if of_classes.ndim != 2 or truth.shape != of_classes.shape[:1] or not len(truth):
        shapes = f"{of_classes.shape}, {truth.shape}"
        raise ValueError(f"log p [N, C] must fit y [N], however: {shapes}")
    n_rows, n_classes = of_classes.shape
    counted = n_rows if weights is None else int(np.count_nonzero(weights))
    others = 1 / (counted + 2) / (n_classes - 1)
    shares = np.full(of_classes.shape, others)
    shares[np.arange(n_rows), truth] = 1 - others * (n_classes - 1)
    drawn = torch.from_numpy(of_classes)

    def loss(log_temperature: float) -> float:
        found = tempered(drawn, math.exp(log_temperature)).numpy()
        return -_mean((shares * found).sum(axis=1), weights)

    low, high = map(math.log, TEMPERATURES)
    best = scipy.optimize.minimize_scalar(
        loss, bounds=(low, high), method="bounded", options={"xatol": TOLERANCE}
    )
    return float(math.exp(best.x))


def _mean(values: np.ndarray, weights: np.ndarray | None) -> float:
    return float(np.average(values, weights=weights))
