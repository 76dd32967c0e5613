"""The scores of the model and of two simpler models on the same rows.

The simpler models are a constant prediction and a linear model of scikit-learn. Both are trained on
the training rows of each fold, in the study's own encoding, and averaged over the folds, as the
networks are. So the comparison has the same splits, the same inputs and the same metric.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from torch import Tensor

from autotrain.data.dataset import Dataset, features_of
from autotrain.metrics import Metric
from autotrain.network.metric_formulas import influence, metric_function
from autotrain.predictor import Predictor
from autotrain.predictor.intervals import interval
from autotrain.predictor.probabilities import Recalibration

MOST_TRAINING_ROWS = 10_000
"""The linear model is trained on at most this number of evenly spaced rows."""
MOST_TEST_ROWS = 20_000
"""With more test rows, evenly spaced ones are used."""
LEAST_P = 1e-300
CLEAR = 2.0
"""A difference of this number of standard errors is clear."""
NETWORK, LINEAR, CONSTANT = "network", "linear", "constant"
Fit = Callable[[np.ndarray, np.ndarray, np.ndarray | None], Callable[[np.ndarray], np.ndarray]]


@dataclass(frozen=True)
class Scored:
    """The scores of one model.

    Args:
        name: "network", "linear" or "constant".
        words: what the model is.
        validation: mean over the folds of its score on the validation rows.
        test: score on the test rows; None without test rows.
        interval: 95 % confidence interval of `test`.
        gain: how much better the network is on the test rows, in the metric's units, positive if
            better; None for the network itself.
        gain_error: standard error of `gain`, paired over the rows.
    """

    name: str
    words: str
    validation: float | None
    test: float | None
    interval: tuple[float, float] | None = None
    gain: float | None = None
    gain_error: float | None = None

    @property
    def verdict(self) -> str:
        """Whether the network is "better", "worse" or "equal"; "unknown" without test rows."""
        if self.gain is None or self.gain_error is None:
            return "unknown"
        if abs(self.gain) <= CLEAR * self.gain_error:
            return "equal"
        return "better" if self.gain > 0 else "worse"


class HeldOut(NamedTuple):
    """The test rows that the report uses.

    Args:
        numbers: `[N]` places of the rows in the test table.
        features: their columns, as read.
        labels: their targets, as read.
        y: `[N]` class numbers, or targets.
        weights: `[N]` sample weights; None: equal weights.
    """

    numbers: np.ndarray
    features: Any
    labels: Any
    y: np.ndarray
    weights: np.ndarray | None


def rows_for_test(dataset: Dataset) -> HeldOut | None:
    """Return the test rows, at most `MOST_TEST_ROWS`; None without test rows."""
    if not dataset.n_test:
        return None
    features, labels = dataset.raw_test()
    numbers = np.arange(0, dataset.n_test, -(-dataset.n_test // MOST_TEST_ROWS))
    first = dataset.folds[0]
    y = dataset.y_test[numbers]
    if not dataset.classes:
        y = y.astype(np.float64) * first.target_std + first.target_mean
    weights = None if dataset.test_weights is None else dataset.test_weights[numbers]
    return HeldOut(numbers, features.iloc[numbers], labels.iloc[numbers], y, weights)


def simpler_models(
    dataset: Dataset, metric: Metric, rows: HeldOut | None, network: Tensor | None
) -> list[Scored]:
    """Train and score the linear model and the constant prediction.

    Args:
        rows: the test rows; None without any.
        network: the network's outputs for these rows, see `network_outputs`.
    """
    if dataset.classes:
        models: list[tuple[str, str, Fit]] = [
            (LINEAR, "logistic regression", _logistic(len(dataset.classes))),
            (CONSTANT, "class frequencies, whatever the row", _frequencies(len(dataset.classes))),
        ]
    else:
        quantile = metric.quantile
        center = "mean" if metric.row != "mae" and quantile is None else "median"
        level = quantile if quantile is not None else 0.5 if center == "median" else None
        what = center if level in (None, 0.5) else f"{level:g} quantile"
        models = [
            (LINEAR, "ridge regression", _ridge(quantile)),
            (CONSTANT, f"{what} of the target, whatever the row", _center(level)),
        ]
    found = []
    for name, words, fit in models:
        validation, outputs = _cross_validated(dataset, metric, rows, fit)
        scored = Scored(name, words, validation, None)
        if rows is not None and outputs is not None:
            scored = _on_test_rows(scored, metric, rows, outputs, network)
        found.append(scored)
    return found


def network_outputs(predictor: Predictor, rows: HeldOut) -> tuple[Tensor, Tensor]:
    """Return the network's outputs for rows with dropout off.

    Returns: for metrics of labels and for metrics of probabilities: log probabilities `[N, C]`, or
        twice the predictions `[N]`. They differ when training had class weights.
    """
    if not predictor.bundle.is_classification:
        values = torch.from_numpy(predictor.predict(rows.features, notices=[]))
        return values, values
    p = predictor.predict_proba(rows.features, calibrated=False, notices=[])
    log_p = torch.from_numpy(p).clamp(min=LEAST_P).log()
    weights = predictor.bundle.calibration.get("class_weights")
    return log_p, Recalibration(1.0, weights).apply(log_p)


def scored_network(
    metric: Metric, rows: HeldOut | None, outputs: Tensor | None, validation: float | None
) -> Scored:
    """Return the scores of the network.

    Args:
        outputs: its outputs for the test rows.
        validation: its validation score.
    """
    scored = Scored(NETWORK, "the exported model", validation, None)
    if rows is None or outputs is None:
        return scored
    return _on_test_rows(scored, metric, rows, outputs, None)


def _on_test_rows(
    scored: Scored, metric: Metric, rows: HeldOut, outputs: Tensor, network: Tensor | None
) -> Scored:
    """Add the scores on the test rows."""
    y = torch.from_numpy(rows.y)
    weights = None if rows.weights is None else torch.from_numpy(rows.weights)
    value = _value(metric, outputs, y, weights)
    found = interval(metric, outputs, y, weights)
    gain = error = None
    if network is not None and value is not None:
        of_network = _value(metric, network, y, weights)
        if of_network is not None:
            gain = metric.sign * (value - of_network)
            each = [influence(metric, model, y, weights) for model in (network, outputs)]
            error = float((each[1] - each[0]).square().sum().sqrt())
    return replace(scored, test=value, interval=found, gain=gain, gain_error=error)


def _value(metric: Metric, outputs: Tensor, y: Tensor, weights: Tensor | None) -> float | None:
    given = None if weights is None else weights[None]
    value = float(metric_function(metric)(outputs[None], y[None], given))
    return value if math.isfinite(value) else None


def _cross_validated(
    dataset: Dataset, metric: Metric, rows: HeldOut | None, fit: Fit
) -> tuple[float | None, Tensor | None]:
    """Return the mean validation score over the folds, and the averaged outputs for test rows."""
    scores: list[float | None] = []
    outputs: list[np.ndarray] = []
    for number, fold in enumerate(dataset.folds):
        inputs = dataset.encoded(number)
        chosen = np.arange(0, len(fold.y_train), -(-len(fold.y_train) // MOST_TRAINING_ROWS))
        scale = (lambda y: y) if dataset.classes else _scale(fold.target_mean, fold.target_std)
        metric_weights = None if fold.weights is None else fold.weights.metric
        train_weights = (
            None
            if metric_weights is None or fold.weights is None
            else (
                _without_classes(fold.weights.train, fold.y_train, fold.weights.of_classes)[chosen]
            )
        )
        predict = fit(inputs.x_train[chosen], scale(fold.y_train[chosen]), train_weights)
        valid = torch.from_numpy(predict(inputs.x_valid))
        y_valid = torch.from_numpy(np.asarray(scale(fold.y_valid)))
        weights = None if metric_weights is None else torch.from_numpy(metric_weights)
        scores.append(_value(metric, valid, y_valid, weights))
        if rows is not None:
            preprocessor = dataset.preprocessor(number)
            features = features_of(rows.features, dataset.target, dataset.weights)
            outputs.append(predict(preprocessor.encode(features, notices=[])))
    known = [score for score in scores if score is not None]
    mean = float(np.mean(known)) if len(known) == len(scores) else None
    if not outputs:
        return mean, None
    if dataset.classes:
        return mean, torch.from_numpy(np.log(np.mean(np.exp(outputs), axis=0)))
    return mean, torch.from_numpy(np.mean(outputs, axis=0))


def _scale(mean: float, std: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda y: y.astype(np.float64) * std + mean


def _without_classes(
    weights: np.ndarray, y: np.ndarray, of_classes: np.ndarray | None
) -> np.ndarray:
    """Return the sample weights `[N]` without the class weights, which scores divide out."""
    return weights if of_classes is None else weights / of_classes[y]


def _logistic(n_classes: int) -> Fit:
    def fit(x: np.ndarray, y: np.ndarray, w: np.ndarray | None) -> Callable[..., np.ndarray]:
        if len(np.unique(y)) < 2:
            return _frequencies(n_classes)(x, y, w)
        model = LogisticRegression(max_iter=500)
        with warnings.catch_warnings():
            # A linear model that has not quite converged is still a fair comparison.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x.astype(np.float64), y, sample_weight=w)

        def predict(x: np.ndarray) -> np.ndarray:
            p = np.zeros((len(x), n_classes))
            p[:, model.classes_] = model.predict_proba(x.astype(np.float64))
            log_p: np.ndarray = np.log(np.maximum(p, LEAST_P))
            return log_p

        return predict

    return fit


def _frequencies(n_classes: int) -> Fit:
    def fit(x: np.ndarray, y: np.ndarray, w: np.ndarray | None) -> Callable[..., np.ndarray]:
        counts = np.bincount(y, weights=w, minlength=n_classes)
        log_p = np.log(np.maximum(counts / counts.sum(), LEAST_P))
        return lambda x: np.tile(log_p, (len(x), 1))

    return fit


def _ridge(quantile: float | None) -> Fit:
    """Return the fit of a ridge regression, shifted by a quantile of its training errors."""

    def fit(x: np.ndarray, y: np.ndarray, w: np.ndarray | None) -> Callable[..., np.ndarray]:
        model = Ridge(alpha=1.0).fit(x.astype(np.float64), y, sample_weight=w)
        errors = y - model.predict(x.astype(np.float64))
        shift = 0.0 if quantile is None else float(np.quantile(errors, quantile))

        def predict(x: np.ndarray) -> np.ndarray:
            values: np.ndarray = model.predict(x.astype(np.float64)) + shift
            return values

        return predict

    return fit


def _center(level: float | None) -> Fit:
    """Return the fit of a constant: the mean, or a quantile of the target."""

    def fit(x: np.ndarray, y: np.ndarray, w: np.ndarray | None) -> Callable[..., np.ndarray]:
        value = np.average(y, weights=w) if level is None else np.quantile(y, level)
        return lambda x: np.full(len(x), float(value))

    return fit
