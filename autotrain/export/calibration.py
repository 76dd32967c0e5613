"""Calibrate a model at its export, on rows that its networks did not train on.

    noise              regression: the error that dropout does not explain
    T                  classification: the temperature, which corrects overconfidence
    conformal scores   how unusual each true value was; see predictor/conformal.py
    reliability        observed against expected accuracy, for the model card

To add a calibration, write a function of predictions and true values, and add its result in
`_fit_classes` or `_fit_values`. The bundle stores it in `calibration`, and the predictor applies
it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.optimize
import torch

from autotrain.bundle import Bundle
from autotrain.data.dataset import Dataset
from autotrain.data.splitting import MAX_CALIBRATION_ROWS
from autotrain.export.members import class_weights_of
from autotrain.predictor import Predictor, conformal
from autotrain.predictor.evaluation import Truth
from autotrain.predictor.held_out import doubts_of
from autotrain.predictor.joint import Joint
from autotrain.predictor.mixture import Noise, below, standard_log_density, total_error
from autotrain.predictor.probabilities import Recalibration

SAMPLES = 100
SEED = 0
GRID_POINTS = 32
"""Points of the grid for the temperature. The posterior may have several modes, so the optimizer
starts from the best point."""
TOLERANCE = 1e-6
"""Precision of log T, and smallest relevant difference of log likelihoods."""
LEAST_ERROR = 1e-6
"""Smallest scale of the noise, as a fraction of the target's standard deviation."""
DEGREES = (math.inf, 16.0, 8.0, 4.0, 2.0)
"""Degrees of freedom of the noise, from normal to the heaviest tails."""
SPREADS = (math.log(0.05), math.log(10.0))
"""Bounds of the logarithm of the factor on the spread of the samples."""
FITTED_NUMBERS = 100_000
"""Largest number of predictions for fitting the noise; of more, evenly spaced samples are used."""
RELIABILITY_GROUPS = 10
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
LOG_TEMPERATURE_STD = 0.5
"""Standard deviation of the prior of log T: 95 % of it is between T = 0.37 and T = 2.7."""
TEMPERATURES = (0.05, 20.0)
"""Search bounds of the temperature. Beyond them the probabilities change by less than 1e-4."""


def calibrate(
    bundle: Bundle, dataset: Dataset, max_rows: int = MAX_CALIBRATION_ROWS
) -> dict[str, Any]:
    """Return the calibration of a model for its bundle, with dropout on and off.

    The rows are the calibration rows if the dataset has some, otherwise each fold's validation
    rows. Each row is predicted by the average of the members that did not train on it.

    Args:
        bundle: the model.
        dataset: the study's dataset.
        max_rows: largest number of rows; if more, evenly spaced rows are used.
    """
    n_samples = SAMPLES if Predictor(bundle).has_dropout else 0
    rows = [
        split.valid if split.calibration is None else split.calibration for split in dataset.splits
    ]
    step = -(-sum(map(len, rows)) // max_rows)
    taken = [own[::step] for own in rows]
    features, truth = _labelled(bundle, dataset, np.concatenate(taken))
    n_rows, ends = len(truth.y), np.cumsum(list(map(len, taken)))[:-1]
    sampled, points = [], []
    for place, own in enumerate(np.split(np.arange(n_rows), ends)):
        members = tuple(member for member in bundle.members if member.fold == place)
        joint = Joint(replace(bundle, members=members))
        x = joint.rows_of(features.iloc[own])
        points.append(joint.draw(x, 0, SEED))
        sampled.append(joint.draw(x, n_samples, SEED, averaged=bundle.is_classification))
    weights = np.ones(n_rows) if truth.weights is None else truth.weights
    targets = np.split(truth.y, ends)
    if bundle.is_classification:
        of_classes = class_weights_of(dataset)
        fitted = _fit_classes(sampled, points, targets, weights, of_classes)
    else:
        fitted = _fit_values(sampled, points, targets, weights)
        scores = _value_scores(
            bundle, features, n_samples, Noise.from_json(fitted["noise"]), targets
        )
        fitted |= _conformal(scores, np.split(_relative(weights), ends))
    return {
        **fitted,
        "n_rows": n_rows,
        "n_samples": n_samples,
        "seed": SEED,
        "rows": "calibration" if dataset.n_calibration else "validation",
        "note": _note(bundle, dataset, n_rows),
    }


def _labelled(bundle: Bundle, dataset: Dataset, rows: np.ndarray) -> tuple[pd.DataFrame, Truth]:
    """Return raw rows, and their targets encoded for the model."""
    table = dataset.raw.iloc[rows]
    features, labels = dataset.apart(table)
    weights = None if dataset.weights is None else table[dataset.weights]
    return features, Truth.read(bundle, labels, weights)


def _note(bundle: Bundle, dataset: Dataset, n_rows: int) -> str:
    """Return a sentence on what was fitted, on which rows, and how these were used before."""
    what, harm = (
        ("temperature", "probabilities may be slightly overconfident")
        if bundle.is_classification
        else ("noise", "its estimate may be slightly too small")
    )
    if dataset.n_calibration:
        return (
            f"the {what} was fitted on {n_rows} rows that were not used to train or choose the "
            "model"
        )
    if len(dataset.folds) == 1:
        return (
            f"the {what} was fitted on {n_rows} validation rows, which were also used to choose "
            f"the model: {harm}"
        )
    return (
        f"the {what} was cross-fitted: on {n_rows} validation rows, each predicted by networks "
        f"that did not train on it; because these rows were also used to choose the model, {harm}"
    )


def _fit_classes(
    sampled: list[np.ndarray],
    points: list[np.ndarray],
    targets: list[np.ndarray],
    weights: np.ndarray,
    class_weights: list[float] | None,
) -> dict[str, Any]:
    """Fit temperatures to each fold's log p `[1, n, C]`: Monte-Carlo average and dropout off."""
    y = np.concatenate(targets)
    (log_p,), (of_points,) = np.concatenate(sampled, axis=1), np.concatenate(points, axis=1)
    # Calibration rows are predicted by one fold's networks, new rows by the average of all folds.
    highest = 1.0 if len(targets) > 1 else TEMPERATURES[1]
    temperature = significant_temperature(log_p, y, weights, class_weights, highest)
    recalibration = Recalibration(temperature, class_weights)
    proba = recalibration.apply(torch.from_numpy(log_p)).exp().numpy()
    ends = np.cumsum([len(truth) for truth in targets])[:-1]
    scores = [
        conformal.class_scores(np.exp(of_fold[0]), truth)
        for of_fold, truth in zip(points, targets, strict=True)
    ]
    return {
        "temperature": temperature,
        "temperature_point": significant_temperature(of_points, y, weights, class_weights, highest),
        **({} if class_weights is None else {"class_weights": class_weights}),
        **_conformal(scores, np.split(_relative(weights), ends), targets),
        **_answers(of_points, y, weights),
        "reliability": reliability(proba, y, weights),
    }


def _fit_values(
    sampled: list[np.ndarray],
    points: list[np.ndarray],
    targets: list[np.ndarray],
    weights: np.ndarray,
) -> dict[str, Any]:
    """Fit the noise to each fold's samples `[S, n]`, and to those with dropout off `[1, n]`."""
    drawn, y = np.concatenate(sampled, axis=1), np.concatenate(targets)
    noise = fit_noise(drawn, y, weights)
    return {
        "noise": noise.to_json(),
        "noise_point": fit_noise(np.concatenate(points, axis=1), y, weights).to_json(),
        "reliability": coverage_of_levels(drawn, y, noise, weights),
    }


def _value_scores(
    bundle: Bundle, features: pd.DataFrame, n_samples: int, noise: Noise, targets: list[np.ndarray]
) -> list[np.ndarray]:
    """Return the conformal scores of each fold's rows, from the samples of its networks."""
    joint, scores, start = Joint(bundle), [], 0
    for place, y in enumerate(targets):
        x = joint.rows_of(features.iloc[start : start + len(y)])
        center, spread = (each[place] for each in joint.by_fold(x, n_samples, SEED))
        scores.append(conformal.value_scores(center, total_error(spread, noise), y))
        start += len(y)
    return scores


def _conformal(
    scores: list[np.ndarray], weights: list[np.ndarray], labels: list[np.ndarray] | None = None
) -> dict[str, Any]:
    """Return each fold's conformal scores for the bundle, sorted and rounded up.

    Rows with weight 0 are omitted. Weights are omitted when all are equal.
    """
    kept = []
    for own, counts in zip(scores, weights, strict=True):
        order = np.argsort(own, kind="stable")
        kept.append(order[counts[order] > 0])
    found: dict[str, Any] = {
        "conformal_fold_scores": [
            conformal.rounded_up(own[order]) for own, order in zip(scores, kept, strict=True)
        ]
    }
    if _differ(np.concatenate(weights)):
        found["conformal_fold_weights"] = [
            [float(f"{weight:.6g}") for weight in own[order]]
            for own, order in zip(weights, kept, strict=True)
        ]
    if labels is not None:
        found["conformal_fold_labels"] = [
            own[order].tolist() for own, order in zip(labels, kept, strict=True)
        ]
    return found


def _answers(log_p: np.ndarray, y: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """Return the doubt of each row and whether its most probable class is wrong, for abstention.

    With two classes they follow from the conformal scores.

    Args:
        log_p: `[N, C]` as trained, dropout off.
        y: `[N]` class numbers.
        weights: `[N]`; rows of weight 0 are left out.
    """
    if log_p.shape[1] == 2:
        return {}
    kept = weights > 0
    labels = log_p.argmax(1)
    doubts = doubts_of(torch.from_numpy(log_p), labels)
    found = {"doubts": conformal.rounded_up(doubts[kept]), "is_wrong": (labels != y)[kept].tolist()}
    return {"answers": found}


def _relative(weights: np.ndarray) -> np.ndarray:
    """Return the weights divided by the mean of the positive ones."""
    return weights / weights[weights > 0].mean()


def _differ(weights: np.ndarray) -> bool:
    """Whether the positive weights differ."""
    return bool(np.ptp(weights[weights > 0]) > 0)


def fit_noise(samples: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> Noise:
    """Return the noise that maximizes the mean log likelihood of held-out rows.

        maximize  Σ_rows log p(y | ν, σ, c)  −  (log c)² / 2        ν in `DEGREES`

    Normal noise would be dominated by the few largest errors, which would widen all intervals. The
    factor c on the spread of the samples has a weak prior, because few rows determine it poorly.

    Args:
        samples: Monte-Carlo predictions `[S, N]` in the target's units, or `[N]` without dropout.
        y: `[N]` true values.
        weights: `[N]` sample weights; None when all are equal.
    Returns: σ, and the factor c (1 when the samples of every row are equal).
    Raises:
        ValueError: when there are no rows, or the shapes differ.
    Source: our own; evaluated by CRPS and coverage (docs/benchmarks.md). Likelihood of a mixture:
        Gal & Ghahramani 2016, arXiv:1506.02142, eq. 8; scaled spread: Laves et al. 2020,
        arXiv:2104.12376.
    """
    y_hat, target = np.atleast_2d(samples).astype(np.float64), np.asarray(y, dtype=np.float64)
    if target.ndim != 1 or y_hat.shape[1:] != target.shape or not len(target):
        raise ValueError(f"samples [S, N] must fit y [N], got {y_hat.shape}, {target.shape}")
    mean = y_hat.mean(axis=0)
    smallest = LEAST_ERROR * (float(target.std()) or 1.0)
    unit = max(math.sqrt(_mean((target - mean) ** 2, weights)), smallest)
    step = -(-y_hat.size // FITTED_NUMBERS)
    error = torch.from_numpy((target - mean) / unit)
    spread = torch.from_numpy((y_hat[::step] - mean) / unit)
    own = torch.ones(len(target), dtype=torch.float64)
    if weights is not None:
        own = torch.from_numpy(weights / weights.sum() * np.sum(weights) ** 2 / np.sum(weights**2))
    varies = bool((spread.abs() > LEAST_ERROR).any())

    def objective(point: np.ndarray, dof: float) -> tuple[float, np.ndarray]:
        x = torch.tensor(point, dtype=torch.float64, requires_grad=True)
        log_c = x[1] if varies else x.new_zeros(())
        u = (error - log_c.exp() * spread) / x[0].exp()
        each = torch.logsumexp(standard_log_density(dof, u), dim=0) - x[0]
        value = 0.5 * log_c**2 - (own * each).sum()
        value.backward()
        assert x.grad is not None
        return float(value.detach()), x.grad.numpy()

    low = math.log(smallest / unit)
    bounds = [(low, 2.0), SPREADS]
    start, best = np.array([max(math.log(0.7), low), 0.0]), (math.inf, Noise(math.inf, unit))
    for dof in DEGREES:
        found = scipy.optimize.minimize(
            objective, start, args=(dof,), jac=True, method="L-BFGS-B", bounds=bounds
        )
        start = found.x
        scale, factor = np.exp(found.x)
        noise = Noise(dof, float(scale) * unit, float(factor) if varies else 1.0)
        if found.fun < best[0] - TOLERANCE:
            best = float(found.fun), noise
    return best[1]


def significant_temperature(
    log_p: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray | None = None,
    class_weights: Sequence[float] | None = None,
    highest: float = TEMPERATURES[1],
) -> float:
    """Return the fitted temperature, or 1 if its gain is at most one standard error.

    The gain is the increase of the mean log likelihood over the same rows; see `fit_temperature`.

    Args:
        highest: upper bound of the temperature. It is 1 if calibration rows are predicted by one
            fold's networks, but new rows by the average of K folds. An average is less confident
            than its parts, so a temperature above 1 for the parts would make the average
            underconfident (measured: docs/benchmarks.md).
    """
    temperature = min(fit_temperature(log_p, y, weights, class_weights), highest)
    places = np.arange(len(y))
    before, after = (
        Recalibration(each, class_weights).apply(torch.from_numpy(log_p)).numpy()
        for each in (1.0, temperature)
    )
    gains = after[places, y] - before[places, y]
    own = np.ones(len(y)) if weights is None else weights
    gain = float(np.average(gains, weights=own))
    error = math.sqrt(float(np.sum((own * (gains - gain)) ** 2))) / float(own.sum())
    return temperature if gain > error else 1.0


def fit_temperature(
    log_p: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray | None = None,
    class_weights: Sequence[float] | None = None,
) -> float:
    """Return the temperature T of `Recalibration` that fits held-out rows best.

        minimize  Σ_rows −log p_T(y)  +  (log T)² / (2 σ²),  σ = ½

    The second term is a prior: without it, rows that are all correct would make T minimal. With few
    rows, T stays near 1. Smoothed targets are no alternative: they penalize the margin of the most
    confident rows, so that a few of these make all others underconfident.

    Args:
        log_p: `[N, C]` logarithms of the mean probabilities of all samples and members.
        y: `[N]` class numbers.
        weights: `[N]` sample weights; None when all are equal.
        class_weights: `[C]` class weights of training; None when all are equal.
    Returns: T between 0.05 and 20; above 1 when the probabilities were overconfident.
    Raises:
        ValueError: when there are no rows, or the shapes differ.
    Source: Guo, Pleiss, Sun & Weinberger 2017, arXiv:1706.04599, section 4.2; averaged before:
        Rahaman & Thiery 2021, arXiv:2007.08792. The prior is our own.
    """
    of_classes, truth = np.asarray(log_p, dtype=np.float64), np.asarray(y)
    if of_classes.ndim != 2 or truth.shape != of_classes.shape[:1] or not len(truth):
        shapes = f"{of_classes.shape}, {truth.shape}"
        raise ValueError(f"log p [N, C] must fit y [N], got {shapes}")
    counted = len(truth) if weights is None else float(np.sum(weights) ** 2 / np.sum(weights**2))
    drawn, places = torch.from_numpy(of_classes), np.arange(len(truth))

    def loss(log_temperature: float) -> float:
        found = Recalibration(math.exp(log_temperature), class_weights).apply(drawn).numpy()
        prior = log_temperature**2 / (2 * LOG_TEMPERATURE_STD**2)
        return -_mean(found[places, truth], weights) + prior / counted

    # With the prior there can be two minima, so a grid finds the deeper one first.
    low, high = map(math.log, TEMPERATURES)
    grid = np.linspace(low, high, GRID_POINTS)
    lowest = int(np.argmin([loss(point) for point in grid]))
    bounds = (grid[max(lowest - 1, 0)], grid[min(lowest + 1, GRID_POINTS - 1)])
    best = scipy.optimize.minimize_scalar(
        loss, bounds=bounds, method="bounded", options={"xatol": TOLERANCE}
    )
    return float(math.exp(best.x))


def reliability(
    proba: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None
) -> list[dict[str, float]]:
    """Return the accuracy of the most probable class in groups of similar confidence.

    Args:
        proba: `[N, C]`.
        y: `[N]` class numbers.
        weights: `[N]` sample weights; None when all are equal.
    Returns: up to ten groups of nearly equal size, the most confident last, with "expected": the
        mean probability, "observed": the fraction that is correct, and "n_rows".
    Source: Guo et al. 2017, arXiv:1706.04599, figure 1; groups of equal size: Nixon et al. 2019,
        arXiv:1904.01685.
    """
    confidence, is_right = proba.max(axis=1), proba.argmax(axis=1) == y
    order = np.argsort(confidence, kind="stable")
    groups = np.array_split(order, min(RELIABILITY_GROUPS, len(order)))
    own = np.ones(len(y)) if weights is None else weights
    return [
        {
            "expected": float(np.average(confidence[group], weights=own[group])),
            "observed": float(np.average(is_right[group], weights=own[group])),
            "n_rows": len(group),
        }
        for group in groups
        if own[group].any()
    ]


def coverage_of_levels(
    samples: np.ndarray, y: np.ndarray, noise: Noise, weights: np.ndarray | None = None
) -> list[dict[str, float]]:
    """Return the coverage of the mixture's central intervals for each level.

    A row is inside the interval of level L when |2 p(Y ≤ y) − 1| ≤ L.

    Args:
        samples: `[S, N]` predictions in the target's units.
        y: `[N]`.
        weights: `[N]` sample weights; None when all are equal.
    Returns: "expected": the level, "observed": the fraction inside, and "n_rows", for each level.
    Source: Gneiting, Balabdaoui & Raftery 2007, doi:10.1111/j.1467-9868.2007.00587.x.
    """
    is_below = below(torch.from_numpy(samples), torch.from_numpy(y), noise).numpy()
    return [
        {
            "expected": level,
            "observed": float(np.average(np.abs(2 * is_below - 1) <= level, weights=weights)),
            "n_rows": len(y),
        }
        for level in LEVELS
    ]


def _mean(values: np.ndarray, weights: np.ndarray | None) -> float:
    return float(np.average(values, weights=weights))
