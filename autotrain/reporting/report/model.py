"""The exported model on the test rows: errors, curves, calibration, uncertainty, single rows.

`model_facts` predicts the rows and returns numbers for figures and tables. Every row counts once,
also with sample weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.metrics import auc, confusion_matrix, precision_recall_curve, roc_curve

from autotrain.predictor import Predictor
from autotrain.predictor.distribution import ClassificationDistribution, RegressionDistribution
from autotrain.predictor.evaluation import Coverage, Truth
from autotrain.predictor.shares import wilson
from autotrain.reporting.report.scores import HeldOut

MOST_SAMPLED = 1_000
"""Monte-Carlo samples are drawn for at most this number of evenly spaced rows."""
N_SAMPLES = 100
ALPHA = 0.1
MOST_CLASSES = 20
"""With more classes, the confusion matrix and the curves show the most frequent ones."""
MOST_POINTS = 200
MOST_ROWS = 8
MOST_CELLS = 6
BINS = 10
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
SHARES = tuple(share / 20 for share in range(1, 21))


class ClassCurve(NamedTuple):
    """The ROC or precision-recall curve of one class against all others.

    Args:
        label: the class.
        x, y: points: false and true positive rate, or recall and precision.
        area: area under the curve.
        base: fraction of rows of the class.
    """

    label: str
    x: np.ndarray
    y: np.ndarray
    area: float
    base: float


class Bin(NamedTuple):
    """A point of the reliability figure.

    Args:
        expected: mean predicted probability, or level of an interval.
        observed: accuracy, or fraction of rows inside.
        low, high: 95 % confidence interval of `observed`.
        n_rows: number of rows.
    """

    expected: float
    observed: float
    low: float
    high: float
    n_rows: int


@dataclass(frozen=True)
class RowFact:
    """One test row in a table.

    Args:
        number: place of the row in the test table, from 1.
        truth, prediction: as texts.
        measure: what the rows are ordered by, as text.
        cells: (column, value) pairs of its first columns.
    """

    number: int
    truth: str
    prediction: str
    measure: str
    cells: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ModelFacts:
    """The model on the test rows.

    Args:
        n_rows, n_test: number of rows used here, and of all test rows.
        labels: names of the classes in `confusion`; empty for regression.
        confusion: `[C, C]` number of rows by true and predicted class.
        n_hidden_classes: number of classes that are not in `confusion`.
        roc, precision_recall: curves of each class; of the second class for two classes.
        truth, prediction: `[N]` numbers of a regression, thinned.
        reliability: bins of probability, or levels of intervals.
        certain_shares: fractions of the most certain rows.
        certain_scores: accuracy, or mean absolute error, of these rows.
        uncertainty: what the rows are ordered by for `certain_shares`.
        coverage: as in `Predictor.evaluate`.
        n_sampled: number of rows with Monte-Carlo samples; 0 without dropout.
        worst, least_certain: rows with the largest errors, and with the largest uncertainty.
        error_name, uncertainty_name: names of the measures of these two tables.
    """

    n_rows: int
    n_test: int
    labels: tuple[str, ...]
    confusion: np.ndarray | None
    n_hidden_classes: int
    roc: tuple[ClassCurve, ...]
    precision_recall: tuple[ClassCurve, ...]
    truth: np.ndarray
    prediction: np.ndarray
    reliability: tuple[Bin, ...]
    certain_shares: tuple[float, ...]
    certain_scores: tuple[float, ...]
    uncertainty: str
    coverage: Mapping[str, Mapping[str, float]]
    n_sampled: int
    worst: tuple[RowFact, ...]
    least_certain: tuple[RowFact, ...]
    error_name: str
    uncertainty_name: str


def model_facts(predictor: Predictor, rows: HeldOut, n_test: int) -> ModelFacts:
    """Predict the test rows and return the facts about the model.

    Args:
        n_test: number of all test rows.
    """
    step = -(-len(rows.y) // MOST_SAMPLED)
    sampled = np.arange(0, len(rows.y), step)
    coverage: Mapping[str, Mapping[str, float]] = {}
    found: Any = None
    if predictor.has_dropout:
        notices: list[str] = []
        features = rows.features.iloc[sampled]
        found = predictor.predict_distribution(features, N_SAMPLES, ALPHA, notices=notices)
        coverage = _coverage(found, rows.y[sampled])
    if predictor.bundle.is_classification:
        return _of_classes(predictor, rows, n_test, sampled, found, coverage)
    return _of_numbers(predictor, rows, n_test, sampled, found, coverage)


def _of_classes(
    predictor: Predictor,
    rows: HeldOut,
    n_test: int,
    sampled: np.ndarray,
    found: ClassificationDistribution | None,
    coverage: Mapping[str, Mapping[str, float]],
) -> ModelFacts:
    y = rows.y
    proba = predictor.predict_proba(rows.features, notices=[])
    predicted = predictor.predict_proba(rows.features, calibrated=False, notices=[]).argmax(1)
    names = [str(label) for label in predictor.classes_]
    shown = _frequent(y, len(names))
    confusion = confusion_matrix(y, predicted, labels=shown)
    right = predicted == y
    confidence = proba[np.arange(len(y)), predicted]
    of_truth = proba[np.arange(len(y)), y]
    if found is None:
        doubt, chosen, by = 1 - confidence, np.arange(len(y)), "1 − probability of the class"
    else:
        doubt, chosen, by = found.entropy, sampled, "entropy of the mean probabilities, in nats"
    shares, scores = _selective(doubt, right[chosen].astype(float))

    def row(place: int, measure: str) -> RowFact:
        return _row(rows, place, str(rows.labels.iloc[place]), names[predicted[place]], measure)

    worst = [place for place in np.argsort(of_truth, kind="stable") if not right[place]]
    least = chosen[np.argsort(-doubt, kind="stable")]
    doubts = dict(zip(chosen.tolist(), doubt.tolist(), strict=True))
    return ModelFacts(
        n_rows=len(y),
        n_test=n_test,
        labels=tuple(names[label] for label in shown),
        confusion=confusion,
        n_hidden_classes=len(names) - len(shown),
        roc=_curves(y, proba, names, _roc),
        precision_recall=_curves(y, proba, names, _precision_recall),
        truth=np.array([]),
        prediction=np.array([]),
        reliability=_reliability(confidence, right),
        certain_shares=shares,
        certain_scores=scores,
        uncertainty=by,
        coverage=coverage,
        n_sampled=0 if found is None else len(sampled),
        worst=tuple(row(place, f"{of_truth[place]:.1%}") for place in worst[:MOST_ROWS]),
        least_certain=tuple(row(place, f"{doubts[int(place)]:.3f}") for place in least[:MOST_ROWS]),
        error_name="probability of the truth",
        uncertainty_name=by,
    )


def _of_numbers(
    predictor: Predictor,
    rows: HeldOut,
    n_test: int,
    sampled: np.ndarray,
    found: RegressionDistribution | None,
    coverage: Mapping[str, Mapping[str, float]],
) -> ModelFacts:
    y = rows.y
    predicted = predictor.predict(rows.features, notices=[])
    errors = np.abs(predicted - y)
    shares: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()
    reliability: tuple[Bin, ...] = ()
    doubt = np.array([])
    if found is not None:
        doubt = found.total_error
        shares, scores = _selective(doubt, errors[sampled])
        if found.samples is not None:
            reliability = _levels(found, y[sampled])

    def row(place: int, measure: str) -> RowFact:
        return _row(rows, place, f"{y[place]:.6g}", f"{predicted[place]:.6g}", measure)

    thin = np.arange(0, len(y), -(-len(y) // MOST_SAMPLED))
    least = np.argsort(-doubt, kind="stable")[:MOST_ROWS]
    return ModelFacts(
        n_rows=len(y),
        n_test=n_test,
        labels=(),
        confusion=None,
        n_hidden_classes=0,
        roc=(),
        precision_recall=(),
        truth=y[thin],
        prediction=predicted[thin],
        reliability=reliability,
        certain_shares=shares,
        certain_scores=scores,
        uncertainty="total error (the spread of the samples and the remaining noise)",
        coverage=coverage,
        n_sampled=0 if found is None else len(sampled),
        worst=tuple(
            row(int(place), f"{errors[place]:.4g}")
            for place in np.argsort(-errors, kind="stable")[:MOST_ROWS]
        ),
        least_certain=tuple(row(int(sampled[place]), f"{doubt[place]:.4g}") for place in least),
        error_name="error",
        uncertainty_name="total error",
    )


def _coverage(found: Any, y: np.ndarray) -> Mapping[str, Mapping[str, float]]:
    """Return the coverage and the size of the sets or intervals of a distribution."""
    measured = Coverage(Truth(y, np.ones(len(y), dtype=bool)))
    names = ("prediction_set", "interval", "conformal_interval")
    answers = {name: getattr(found, name, None) for name in names}
    measured.add({name: _tensor(answer) for name, answer in answers.items() if answer is not None})
    return measured.values()


def _frequent(y: np.ndarray, n_classes: int) -> list[int]:
    """Return the classes to show, in their own order."""
    counts = np.bincount(y, minlength=n_classes)
    order = np.argsort(-counts, kind="stable")[:MOST_CLASSES]
    return sorted(int(label) for label in order)


def _curves(
    y: np.ndarray, proba: np.ndarray, names: Sequence[str], kind: Any
) -> tuple[ClassCurve, ...]:
    """Return the curve of each class that has rows and does not have all of them."""
    classes = [1] if len(names) == 2 else _frequent(y, len(names))
    found = []
    for label in classes:
        is_class = y == label
        if 0 < is_class.sum() < len(y):
            x, height, area = kind(is_class, proba[:, label])
            keep = _thin(len(x))
            found.append(
                ClassCurve(names[label], x[keep], height[keep], area, float(is_class.mean()))
            )
    return tuple(found)


def _roc(is_class: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    x, y, _ = roc_curve(is_class, p)
    return x, y, float(auc(x, y))


def _precision_recall(is_class: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    precision, recall, _ = precision_recall_curve(is_class, p)
    # Average precision, as scikit-learn defines it.
    return recall, precision, float(-np.sum(np.diff(recall) * precision[:-1]))


def _thin(n: int) -> np.ndarray:
    """Return at most `MOST_POINTS` evenly spaced places, the first and the last included."""
    return np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).round().astype(int))


def _reliability(confidence: np.ndarray, right: np.ndarray) -> tuple[Bin, ...]:
    """Return bins with equal numbers of rows, by the probability of the predicted class."""
    order = np.argsort(confidence, kind="stable")
    n_bins = min(BINS, max(len(order) // 10, 1))
    found = []
    for part in np.array_split(order, n_bins):
        share = float(right[part].mean())
        expected = float(confidence[part].mean())
        found.append(Bin(expected, share, *wilson(share, len(part)), len(part)))
    return tuple(found)


def _levels(found: RegressionDistribution, y: np.ndarray) -> tuple[Bin, ...]:
    """Return for central intervals of some levels the fraction of rows inside."""
    edges = [edge for level in LEVELS for edge in ((1 - level) / 2, (1 + level) / 2)]
    quantiles = found.quantiles(edges)
    bins = []
    for place, level in enumerate(LEVELS):
        low, high = quantiles[:, 2 * place], quantiles[:, 2 * place + 1]
        share = float(((low <= y) & (y <= high)).mean())
        bins.append(Bin(level, share, *wilson(share, len(y)), len(y)))
    return tuple(bins)


def _selective(
    doubt: np.ndarray, scores: np.ndarray
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean score of the most certain rows, for growing fractions of the rows."""
    ordered = scores[np.argsort(doubt, kind="stable")]
    counts = [max(round(share * len(ordered)), 1) for share in SHARES]
    return SHARES, tuple(float(ordered[:count].mean()) for count in counts)


def _row(rows: HeldOut, place: int, truth: str, prediction: str, measure: str) -> RowFact:
    cells = rows.features.iloc[place, :MOST_CELLS]
    return RowFact(
        number=int(rows.numbers[place]) + 1,
        truth=truth,
        prediction=prediction,
        measure=measure,
        cells=tuple((str(name), _cell(value)) for name, value in cells.items()),
    )


def _cell(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _tensor(answer: np.ndarray) -> Any:
    return torch.from_numpy(answer)
