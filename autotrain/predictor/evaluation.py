"""Scores of a predictor on rows whose target is known.

`evaluate` collects predictions part by part. `Scorer` computes the metrics of
`network/metric_formulas.py`, which training uses too, on the mean prediction over samples (one
sample: dropout off), and adds the log likelihood. `Coverage` measures prediction sets and
intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autotrain.bundle import Bundle
from autotrain.data.arrays import plain
from autotrain.data.values import texts
from autotrain.data.weights import read_weights
from autotrain.errors import DataError
from autotrain.metrics import METRICS, Metric, metric_named
from autotrain.network.metric_formulas import metric_function
from autotrain.predictor import confusion, mixture
from autotrain.predictor.arguments import target_of
from autotrain.predictor.intervals import interval as interval_of
from autotrain.predictor.mixture import noise_in
from autotrain.predictor.monte_carlo import MonteCarlo, Request
from autotrain.predictor.probabilities import Recalibration, log_mean_exp

MANY_ROWS = 20_000
"""With more rows, only the model's own metric gets a confidence interval, to save time."""
CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Truth:
    """The targets of the rows that are scored.

    Args:
        y: `[N]` class numbers or float64; arbitrary where the target is unknown.
        is_known: `[N]` whether the row has a target.
        weights: `[N]` sample weights, arbitrary where the target is unknown; None: equal weights.
    """

    y: np.ndarray
    is_known: np.ndarray
    weights: np.ndarray | None = None

    @classmethod
    def read(cls, bundle: Bundle, y: Any, weights: Any = None) -> Truth:
        """Encode the user's labels or numbers as the model encodes them.

        Raises: DataError when no row has a target, a label is unknown to the model, or a weight is
            invalid.
        """
        try:
            values = plain(y)
        except ValueError:
            raise _not_cells() from None
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1:
            raise DataError(
                f"y must have one label or number per row, got the shape {values.shape}. "
                f"Pass the column {bundle.target!r} only.",
                parameter="y",
            )
        is_known = _is_known(values)
        if not is_known.any():
            raise DataError(
                f"y must have a value of {bundle.target!r} in at least one row, got {len(values)} "
                "rows without one. Pass rows whose target is known.",
                parameter="y",
            )
        known = target_of(bundle).encode(values[is_known], "y")
        coded = np.zeros(len(values), dtype=known.dtype)
        coded[is_known] = known
        return cls(coded, is_known, None if weights is None else _weights(weights, is_known))

    def check_length(self, n_rows: int) -> None:
        """Raise DataError when the table has another number of rows."""
        if n_rows != len(self.y):
            raise DataError(
                f"y must have one target for each row of X, got {len(self.y)} targets for "
                f"{n_rows} rows. Pass X and y of the same rows.",
                parameter="y",
            )


def evaluate(
    monte_carlo: MonteCarlo,
    X: Any,
    truth: Truth,
    request: Request | None,
    *,
    positive: int | None,
    interval: bool,
    notices: list[str] | None,
) -> dict[str, Any]:
    """Return the result of `Predictor.evaluate`, without "weighted" and "alpha".

    Args:
        monte_carlo: the model.
        X: the user's table.
        truth: its targets.
        request: the Monte-Carlo samples; None: dropout off only.
        positive: number of the positive class; None without two classes.
        interval: add confidence intervals of the scores.
        notices: receives sentences about the table.
    """
    bundle = monte_carlo.bundle
    point = Scorer(bundle, truth, noise_in(bundle.calibration, "noise_point"), positive)
    sampled = Scorer(bundle, truth, noise_in(bundle.calibration, "noise"), positive)
    coverage = Coverage(truth)
    if request is None:
        for rows in monte_carlo.joint.encoded(X, notices):
            point.add(monte_carlo.joint.point(rows).unsqueeze(0))
    else:
        for summary, drawn in monte_carlo.summaries(X, request, notices):
            point.add(summary["point"].unsqueeze(0))
            sampled.add(drawn)
            coverage.add(summary)
    calibrated: dict[str, Any] = {"calibrated": None, "monte_carlo_calibrated": None}
    if bundle.is_classification:
        calibrated["calibrated"] = point.values(monte_carlo.point_recalibration)
        if request is not None:
            calibrated["monte_carlo_calibrated"] = sampled.values(monte_carlo.recalibration)
    intervals = {}
    if interval:
        found = point.intervals()
        intervals = {"interval": found[bundle.metric], "intervals": found}
    return {
        **intervals,
        "task": bundle.task,
        "metric": bundle.metric,
        "n_rows": int(truth.is_known.sum()),
        "n_dropped": int((~truth.is_known).sum()),
        "n_samples": None if request is None else request.n_samples,
        "deterministic": point.values(),
        "monte_carlo": None if request is None else sampled.values(),
        **calibrated,
        **_labels(monte_carlo, point),
        "coverage": coverage.values(),
    }


def _labels(monte_carlo: MonteCarlo, scorer: Scorer) -> dict[str, Any]:
    """Return the parts of the result about the labels of `Predictor.predict`."""
    classes, positive = monte_carlo.bundle.classes, scorer.positive
    parts: dict[str, Any] = {
        "positive": None if positive is None else classes[positive],
        "classes": list(classes) or None,
        "confusion_matrix": None,
        "threshold": None,
    }
    if not classes:
        return parts
    matrix = scorer.confusion(monte_carlo.label_numbers)
    parts["confusion_matrix"] = matrix.tolist()
    stored = monte_carlo.bundle.calibration.get("threshold")
    if stored is not None and positive is not None:
        metrics = confusion.label_metrics(matrix, positive)
        parts["threshold"] = {
            "value": stored["value"],
            "positive": classes[stored["positive"]],
            "goal": stored.get("goal"),
            "metrics": {n: v if math.isfinite(v) else None for n, v in metrics.items()},
        }
    return parts


class Scorer:
    """Collects predictions part by part and scores them.

    Args:
        bundle: the model.
        truth: the targets.
        noise: regression: the noise for the log likelihood; None leaves that out.
        positive: number of the positive class; None without two classes.
    """

    def __init__(
        self, bundle: Bundle, truth: Truth, noise: mixture.Noise | None, positive: int | None
    ) -> None:
        self.bundle = bundle
        self.truth = truth
        self.noise = noise
        self.positive = positive
        self._class_weights = bundle.calibration.get("class_weights")
        self._predictions: list[Tensor] = []
        self._log_likelihoods: list[Tensor] = []
        self._n_rows = 0

    def add(self, samples: Tensor) -> None:
        """Add the samples of the next rows: predictions `[S, n]`, or log p `[S, n, C]`."""
        start, self._n_rows = self._n_rows, self._n_rows + samples.shape[1]
        if self.bundle.is_classification:
            self._predictions.append(log_mean_exp(samples))
            return
        self._predictions.append(samples.mean(0))
        if self.noise is not None:
            y = torch.from_numpy(self.truth.y[start : self._n_rows])
            if len(y) == samples.shape[1]:  # if not, `values` raises
                self._log_likelihoods.append(mixture.log_likelihood(samples, y, self.noise))

    def intervals(self) -> dict[str, tuple[float, float] | None]:
        """Return 95 % confidence intervals by metric; see `intervals.interval`.

        With more than 20,000 rows the only metric is the one that chose the model.
        """
        predictions, y, weights = self._known()
        divided = self._recalibrated(predictions, None)
        predictions, divided, y = self._ordered(predictions, divided, y)
        chosen = {self.bundle.metric: metric_named(self.bundle.metric)}
        metrics = self._metrics() if len(y) <= MANY_ROWS else chosen
        return {
            name: interval_of(metric, predictions if metric.of_labels else divided, y, weights)
            for name, metric in metrics.items()
        }

    def _metrics(self) -> dict[str, Metric]:
        metrics = {name: m for name, m in METRICS.items() if self.bundle.task in m.tasks}
        # `pinball:Q` has no row of its own.
        return metrics | {self.bundle.metric: metric_named(self.bundle.metric)}

    def values(self, recalibration: Recalibration | None = None) -> dict[str, float | None]:
        """Return each metric of the task; None where it is not defined on these rows.

        Metrics of labels follow the class weights of training. For all other metrics the class
        weights are divided out.

        Args:
            recalibration: classification: the calibration of the mean probabilities; None: only
                divide out class weights.
        Raises: DataError when the numbers of rows and targets differ.
        """
        self.truth.check_length(self._n_rows)
        predictions, y, weights = self._known()
        probabilities = self._recalibrated(predictions, recalibration)
        of_labels = {}
        if self.bundle.is_classification:
            matrix = self.confusion(lambda log_p: log_p.argmax(-1).numpy())
            of_labels = confusion.scores_of(matrix, self.positive)
        predictions, probabilities, y = self._ordered(predictions, probabilities, y)
        scores = {
            name: float(
                metric_function(metric)(
                    (predictions if metric.of_labels else probabilities).unsqueeze(0),
                    y.unsqueeze(0),
                    None if weights is None else weights.unsqueeze(0),
                )
            )
            for name, metric in self._metrics().items()
        }
        if self.bundle.is_classification:
            scores |= of_labels
            scores["nll"] = scores["log_loss"]
            scores["ece"] = calibration_error(probabilities.exp(), y, weights)
        elif self._log_likelihoods:
            each = torch.cat(self._log_likelihoods)[torch.from_numpy(self.truth.is_known)]
            of_all = each.mean() if weights is None else (each * weights).sum() / weights.sum()
            scores["log_likelihood"] = float(of_all)
            scores["nll"] = -scores["log_likelihood"]
        return {name: value if math.isfinite(value) else None for name, value in scores.items()}

    def confusion(self, label_numbers: Callable[[Tensor], np.ndarray]) -> np.ndarray:
        """Return the confusion matrix `[C, C]` of labels.

        Args:
            label_numbers: returns the class numbers `[N]` for log p `[N, C]` as trained.
        """
        predictions, y, weights = self._known()
        return confusion.confusion_matrix(
            y.numpy(),
            label_numbers(predictions),
            predictions.shape[-1],
            None if weights is None else weights.numpy(),
        )

    def _ordered(
        self, predictions: Tensor, probabilities: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return outputs and targets with the positive class as the second of two classes."""
        if self.positive != 0:
            return predictions, probabilities, y
        return predictions.flip(-1), probabilities.flip(-1), 1 - y

    def _recalibrated(self, predictions: Tensor, recalibration: Recalibration | None) -> Tensor:
        """Return outputs `[N, …]` for metrics of probabilities, with class weights divided out."""
        if not self.bundle.is_classification:
            return predictions
        return (recalibration or Recalibration(1.0, self._class_weights)).apply(predictions)

    def _known(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return predictions `[N, …]`, targets and weights `[N]` of rows with a known target."""
        known = torch.from_numpy(self.truth.is_known)
        weights = (
            None if self.truth.weights is None else torch.from_numpy(self.truth.weights)[known]
        )
        return torch.cat(self._predictions)[known], torch.from_numpy(self.truth.y)[known], weights


class Coverage:
    """Collects prediction sets and intervals and measures their coverage and size.

    Args:
        truth: the targets.
    """

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self._parts: dict[str, list[Tensor]] = {}

    def add(self, summary: Mapping[str, Tensor]) -> None:
        """Add the results of the next rows, by the names of the fields of the distributions."""
        for name in ("prediction_set", "interval", "conformal_interval"):
            if name in summary:
                self._parts.setdefault(name, []).append(summary[name])

    def values(self) -> dict[str, dict[str, float]]:
        """Return the coverage and the size of each kind of answer.

        Returns: {answer: {"coverage": fraction of rows whose truth it contains, "coverage_error":
            its standard error, "size": mean number of classes of a set, or mean width of an
            interval}}. The error is √(p(1 − p) / n), with one more row inside and one more outside
            so that it is never 0 (Laplace). With weights n is the effective number of rows.
        """
        known = torch.from_numpy(self.truth.is_known)
        y = torch.from_numpy(self.truth.y)[known]
        weights = torch.ones(len(y), dtype=torch.float64)
        if self.truth.weights is not None:
            weights = torch.from_numpy(self.truth.weights)[known]
        found = {}
        for name, parts in self._parts.items():
            answer = torch.cat(parts)[known]
            if name == "prediction_set":
                inside, sizes = answer[torch.arange(len(y)), y], answer.sum(1)
            else:
                low, high = answer.T
                inside, sizes = (low <= y) & (y <= high), high - low
            n_rows = float(weights.sum() ** 2 / (weights**2).sum())
            share = float((inside * weights).sum() / weights.sum())
            smoothed = (share * n_rows + 1) / (n_rows + 2)
            found[name] = {
                "coverage": share,
                "coverage_error": math.sqrt(smoothed * (1 - smoothed) / n_rows),
                # Without rows of weight 0: 0 times an infinite width is NaN.
                "size": float((sizes * weights)[weights > 0].sum() / weights.sum()),
            }
        return found


def calibration_error(proba: Tensor, y: Tensor, weights: Tensor | None) -> float:
    """Return the expected calibration error of the predicted classes, in 15 bins of equal width.

        Σ_bins fraction of the rows · |their accuracy − their mean probability|

    Args:
        proba: `[N, C]`.
        y: `[N]` class numbers.
        weights: `[N]` sample weights; None: equal weights.
    Source: Guo, Pleiss, Sun & Weinberger 2017, arXiv:1706.04599, eq. 3.
    """
    confidence, predicted = proba.double().max(dim=1)
    bins = (confidence * CALIBRATION_BINS).ceil().long().clamp(1, CALIBRATION_BINS) - 1
    w = torch.ones_like(confidence) if weights is None else weights.double()
    surplus = ((predicted == y).double() - confidence) * w
    sums = torch.zeros(CALIBRATION_BINS, dtype=torch.float64).index_add_(0, bins, surplus)
    return float(sums.abs().sum() / w.sum())


def _weights(weights: Any, is_known: np.ndarray) -> np.ndarray:
    """Return the weights `[N]` of the rows, divided by their mean.

    Rows without a target may have no weight.
    """
    values = plain(weights)
    if values.shape != is_known.shape:
        raise DataError(
            f"weights must have one number for each of the {len(is_known)} rows, got the shape "
            f"{values.shape}. Pass the weights of the same rows.",
            parameter="weights",
        )
    read = np.zeros(len(values))
    of_known = read_weights(values[is_known], "weights", "the rows", np.flatnonzero(is_known))
    # Divided by the largest first, because the sum of huge weights may be infinite.
    scaled = of_known / of_known.max()
    read[is_known] = scaled / scaled.mean()
    return read


def _is_known(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "f":
        return ~np.isnan(values)
    try:
        found, inverse = texts(values)
    except TypeError:
        raise _not_cells() from None
    return np.array([text is not None for text in found], dtype=bool)[inverse]


def _not_cells() -> DataError:
    return DataError(
        "y must have one label or number in every cell, got lists or other objects in some. "
        "Pass the target's column.",
        parameter="y",
    )
