"""Scores of a predictor on rows whose target is known, gathered part by part.

The metrics are those of `fused/metrics.py`, by which training judged; `Scores` gives them the mean
prediction over samples (one sample: dropout off) and adds the log likelihood.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autotrain.bundle import Bundle
from autotrain.data.arrays import plain
from autotrain.data.numerals import Numeral
from autotrain.data.targets import Target
from autotrain.data.values import texts
from autotrain.data.weights import read_weights
from autotrain.errors import DataError
from autotrain.fused.metrics import function_of
from autotrain.predictor import mixture
from autotrain.predictor.intervals import interval
from autotrain.predictor.probabilities import Recalibration, log_mean_exp
from autotrain.tasks import METRICS, Metric, metric_named

MANY_ROWS = 20_000
"""With more rows, only the model's own metric has an interval: those of all would take long."""
CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Truth:
    """The targets of the rows to be scored.

    Args:
        y: `[N]` class numbers or float64; anything where not known.
        is_known: `[N]` whether the row has a target.
        weights: `[N]` what each row counts, anything where the target is not known; None when all
            count alike.
    """

    y: np.ndarray
    is_known: np.ndarray
    weights: np.ndarray | None = None

    @classmethod
    def read(cls, bundle: Bundle, y: Any, weights: Any = None) -> Truth:
        """Code the user's labels or numbers as the model's.

        Raises: DataError when there is no target at all, a label that the model does not know, or a
            weight that is none.
        """
        try:
            values = plain(y)
        except ValueError:
            raise _not_cells() from None
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1:
            raise DataError(
                f"y: expected one label or number per row, however: its shape is {values.shape}. "
                f"Give the column {bundle.target!r} alone."
            )
        is_known = _is_known(values)
        if not is_known.any():
            raise DataError(
                f"y: expected at least one row with a value of {bundle.target!r}, however: "
                f"{len(values)} rows have none. Give rows whose target is known."
            )
        written = bundle.data.get("reading", {}).get("written", {}).get(bundle.target, ())
        target = Target(
            bundle.target,
            bundle.task,
            "",
            bundle.classes,
            bundle.label_dtype,
            values[:0],
            Numeral.from_json(written),
        )
        known = target.encode(values[is_known], "y")
        coded = np.zeros(len(values), dtype=known.dtype)
        coded[is_known] = known
        return cls(coded, is_known, None if weights is None else _weights(weights, is_known))


class Scores:
    """Gathers predictions part by part; `values` scores them against the truth.

    Args:
        noise: regression: of the log likelihood; None leaves that out.
    """

    def __init__(self, bundle: Bundle, truth: Truth, noise: mixture.Noise | None) -> None:
        self.bundle = bundle
        self.truth = truth
        self.noise = noise
        self._class_weights = bundle.calibration.get("class_weights")
        self._predictions: list[Tensor] = []
        self._log_likelihoods: list[Tensor] = []
        self._n_rows = 0

    def add(self, samples: Tensor) -> None:
        """Take the samples of the next rows: predictions `[S, n]`, or log p `[S, n, C]`."""
        start, self._n_rows = self._n_rows, self._n_rows + samples.shape[1]
        if self.bundle.is_classification:
            self._predictions.append(log_mean_exp(samples))
            return
        self._predictions.append(samples.mean(0))
        if self.noise is not None:
            y = torch.from_numpy(self.truth.y[start : self._n_rows])
            if len(y) == samples.shape[1]:  # if not, `values` refuses
                self._log_likelihoods.append(mixture.log_likelihood(samples, y, self.noise))

    def intervals(self) -> dict[str, tuple[float, float] | None]:
        """Return 95 % confidence intervals by metric, see `intervals.interval`.

        Of the model's own metric; with at most 20,000 rows, of all metrics of the task.
        """
        predictions, y, weights = self._known()
        divided = self._recalibrated(predictions, None)
        own = {self.bundle.metric: metric_named(self.bundle.metric)}
        judged = self._judged() if len(y) <= MANY_ROWS else own
        return {
            name: interval(metric, predictions if metric.of_labels else divided, y, weights)
            for name, metric in judged.items()
        }

    def _judged(self) -> dict[str, Metric]:
        judged = {name: m for name, m in METRICS.items() if self.bundle.task in m.tasks}
        # Of a quantile that has no row of its own.
        return judged | {self.bundle.metric: metric_named(self.bundle.metric)}

    def values(self, recalibration: Recalibration | None = None) -> dict[str, float | None]:
        """Return each metric of the task, None where it is not defined on these rows.

        Metrics of labels follow the class weights of training; all others have them divided out.

        Args:
            recalibration: classification: of the mean probabilities; None only divides out class
                weights.
        Raises: DataError when there were more or fewer rows than targets.
        """
        if self._n_rows != len(self.truth.y):
            raise DataError(
                f"expected as many targets as rows, however: {len(self.truth.y)} targets for "
                f"{self._n_rows} rows. Give X and y of the same rows."
            )
        predictions, y, weights = self._known()
        judged = self._recalibrated(predictions, recalibration)
        scores = {
            name: float(
                function_of(metric)(
                    (predictions if metric.of_labels else judged).unsqueeze(0),
                    y.unsqueeze(0),
                    None if weights is None else weights.unsqueeze(0),
                )
            )
            for name, metric in self._judged().items()
        }
        if self.bundle.is_classification:
            scores["nll"] = scores["log_loss"]
            scores["ece"] = calibration_error(judged.exp(), y, weights)
        elif self._log_likelihoods:
            each = torch.cat(self._log_likelihoods)[torch.from_numpy(self.truth.is_known)]
            of_all = each.mean() if weights is None else (each * weights).sum() / weights.sum()
            scores["log_likelihood"] = float(of_all)
            scores["nll"] = -scores["log_likelihood"]
        return {name: value if math.isfinite(value) else None for name, value in scores.items()}

    def _recalibrated(self, predictions: Tensor, recalibration: Recalibration | None) -> Tensor:
        """Return the outputs that metrics of probabilities score: class weights divided out."""
        if not self.bundle.is_classification:
            return predictions
        return (recalibration or Recalibration(1.0, self._class_weights)).apply(predictions)

    def _known(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return predictions, targets and weights of the rows whose target is known."""
        known = torch.from_numpy(self.truth.is_known)
        weights = (
            None if self.truth.weights is None else torch.from_numpy(self.truth.weights)[known]
        )
        return torch.cat(self._predictions)[known], torch.from_numpy(self.truth.y)[known], weights


class Coverage:
    """Gathers, part by part, what sets and intervals hold, and how large they are.

    Args:
        truth: the targets.
    """

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self._parts: dict[str, list[Tensor]] = {}

    def add(self, summary: Mapping[str, Tensor]) -> None:
        """Take the answers for the next rows, by the words of the distributions."""
        for name in ("prediction_set", "interval", "conformal_interval"):
            if name in summary:
                self._parts.setdefault(name, []).append(summary[name])

    def values(self) -> dict[str, dict[str, float]]:
        """Return the coverage and the size of each answer.

        Returns: {answer: {"coverage": share of rows whose truth it contains, "coverage_error": its
            standard error, "size": mean number of classes of a set, or mean width of an interval}}.
            The error is √(p(1 − p) / n), with one row more on either side so that it is never 0
            (Laplace), and the effective number of rows where they have weights.
        """
        known = torch.from_numpy(self.truth.is_known)
        y = torch.from_numpy(self.truth.y)[known]
        own = torch.ones(len(y), dtype=torch.float64)
        if self.truth.weights is not None:
            own = torch.from_numpy(self.truth.weights)[known]
        found = {}
        for name, parts in self._parts.items():
            answer = torch.cat(parts)[known]
            if name == "prediction_set":
                held, sizes = answer[torch.arange(len(y)), y], answer.sum(1)
            else:
                low, high = answer.T
                held, sizes = (low <= y) & (y <= high), high - low
            n_rows = float(own.sum() ** 2 / (own**2).sum())
            share = float((held * own).sum() / own.sum())
            smoothed = (share * n_rows + 1) / (n_rows + 2)
            found[name] = {
                "coverage": share,
                "coverage_error": math.sqrt(smoothed * (1 - smoothed) / n_rows),
                # Not of rows of weight 0: 0 times an infinite width is no number.
                "size": float((sizes * own)[own > 0].sum() / own.sum()),
            }
        return found


def calibration_error(proba: Tensor, y: Tensor, weights: Tensor | None) -> float:
    """Return the expected calibration error of the likeliest classes, in 15 bins of equal width.

        Σ_bins share of the rows · |share of them that are right − mean probability|

    Args:
        proba: `[N, C]`.
        y: `[N]` class numbers.
        weights: `[N]`, what each row counts; None when all count alike.
    Source: Guo, Pleiss, Sun & Weinberger 2017, arXiv:1706.04599, eq. 3.
    """
    confidence, likeliest = proba.double().max(dim=1)
    places = (confidence * CALIBRATION_BINS).ceil().long().clamp(1, CALIBRATION_BINS) - 1
    own = torch.ones_like(confidence) if weights is None else weights.double()
    surplus = ((likeliest == y).double() - confidence) * own
    sums = torch.zeros(CALIBRATION_BINS, dtype=torch.float64).index_add_(0, places, surplus)
    return float(sums.abs().sum() / own.sum())


def _weights(weights: Any, is_known: np.ndarray) -> np.ndarray:
    """Return the weights of the rows, by their mean; those without a target may have none."""
    values = plain(weights)
    if values.shape != is_known.shape:
        raise DataError(
            f"weights: expected one for each of the {len(is_known)} rows, however: their shape is "
            f"{values.shape}. Give the weights of the same rows."
        )
    read = np.zeros(len(values))
    of_known = read_weights(values[is_known], "weights", "the rows", np.flatnonzero(is_known))
    # By the largest first: the sum of huge weights may be infinite.
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
        "y: expected one label or number in every cell, however: some hold lists or other objects. "
        "Give the target's column."
    )
