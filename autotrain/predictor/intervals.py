"""95 % confidence intervals of the scores, for the mean over all rows like these.

`interval` has one method for each metric, chosen by simulated coverage (docs/benchmarks.md):

    accuracy                          Wilson's interval of a fraction
    balanced_accuracy, f1, \
    average_precision                 Wilson's, with the number of rows that gives their variance
    roc_auc                           DeLong's variance on the logit scale
    log_loss, brier, mae, pinball     bootstrap-t with one unseen row worse than all others
    rmse, r2                          the same with squared errors

The methods themselves are in `shares.py` and `bootstrap.py`. A new metric needs a row in
`_METHODS`. With sample weights, the number of rows is replaced by the effective number
(Σw)² / Σw².
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from autotrain.metrics import Metric
from autotrain.network.metric_formulas import influence, metric_function
from autotrain.predictor.bootstrap import bootstrap_t
from autotrain.predictor.shares import Interval, area, effective, harmonic, wilson

LEAST_ROWS = 10
"""With fewer effective rows there is no interval."""
WORSE = 1.4
"""The unseen row has an error this many times the largest; docs/benchmarks.md."""
LEAST_LOG = -700.0
"""Logarithm of about the smallest float64."""
UNSEEN_ERROR = 1.0
UNSEEN_CLASS = 0.5
"""Weights of the unseen row, for numbers and for classes."""


@dataclass(frozen=True)
class ScoredRows:
    """The rows that are scored, all with a weight above 0.

    Args:
        outputs: `[N, C]` log probabilities or logits, or `[N]` numbers in units of the target.
        targets: `[N]` class numbers, or numbers.
        weights: `[N]` float64 with a mean of 1.
    """

    outputs: Tensor
    targets: Tensor
    weights: Tensor

    def value(self, metric: Metric) -> float:
        """Return the metric of all rows."""
        function = metric_function(metric)
        return float(function(self.outputs[None], self.targets[None], self.weights[None]))

    def losses(self, metric: Metric, targets: Tensor | None = None) -> Tensor:
        """Return the metric of each single row, `[N]` float64, with these targets or its own."""
        each = self.targets if targets is None else targets
        return metric_function(metric)(self.outputs[:, None], each[:, None]).double()

    def influences(self, metric: Metric) -> Tensor:
        """Return the derivative of the metric by each row's weight, `[N]`."""
        return influence(metric, self.outputs, self.targets, self.weights)

    def variance(self, metric: Metric) -> float:
        """Return the squared first-order standard error of the metric."""
        return float(self.influences(metric).square().sum())

    def effective_of_classes(self) -> list[float]:
        """Return the effective number of rows of each class that occurs."""
        return [effective(self.weights[self.targets == c]) for c in self.targets.unique()]


def interval(
    metric: Metric, outputs: Tensor, targets: Tensor, weights: Tensor | None = None
) -> Interval | None:
    """Return a 95 % confidence interval of a metric for the score over all rows like these.

    The score on another test set of the same size may well be outside of it. The result is
    deterministic, and its width is never 0.

    Args:
        outputs: `[N, C]` log probabilities or logits, or `[N]` numbers in units of the target.
        targets: `[N]` class numbers, or numbers.
        weights: `[N]` sample weights of at least 0; None: equal weights.
    Returns: the two ends in the units of the metric; None when the metric is not defined on these
        rows, there are fewer than ten effective rows, or all losses are 0.
    Examples:
        >>> from autotrain.metrics import METRICS
        >>> y = torch.zeros(30, dtype=torch.long)
        >>> low, high = interval(METRICS["accuracy"], torch.tensor([[1.0, 0.0]] * 30), y)
        >>> round(low, 3), high
        (0.886, 1.0)
    """
    w = torch.ones(len(targets), dtype=torch.float64) if weights is None else weights.double()
    counts = w > 0
    w = w[counts]
    if effective(w) < LEAST_ROWS:
        return None
    rows = ScoredRows(outputs[counts], targets[counts], w / w.mean())
    if not math.isfinite(rows.value(metric)):
        return None
    found = _METHODS[metric.row](metric, rows)
    if found is None:
        return None
    low, high = max(found[0], metric.low), min(found[1], metric.high)
    return (low, high) if low < high else None


def _accuracy(metric: Metric, rows: ScoredRows) -> Interval:
    return wilson(rows.value(metric), effective(rows.weights))


def _balanced_accuracy(metric: Metric, rows: ScoredRows) -> Interval:
    return _as_share(
        rows.value(metric), rows.variance(metric), harmonic(rows.effective_of_classes())
    )


def _f1(metric: Metric, rows: ScoredRows) -> Interval | None:
    """F₁ = 2J / (1 + J), where J is the fraction of true positives among the rows of the class.

    The rows of a class are those that have it or are predicted to have it. J is a fraction of rows,
    as accuracy is.
    """
    predicted, is_binary = rows.outputs.argmax(-1), rows.outputs.shape[-1] == 2
    counts = []
    for label in [1] if is_binary else range(rows.outputs.shape[-1]):
        concerned = (rows.targets == label) | (predicted == label)
        if concerned.any():
            counts.append(effective(rows.weights[concerned]))
    if not counts:
        return None
    # With several classes, every wrong row counts twice: as a false negative of one class and as
    # a false positive of another.
    n = harmonic(counts) / (1 if is_binary else 2)
    score = rows.value(metric)
    slope = 2 / (2 - score) ** 2
    low, high = _as_share(score / (2 - score), rows.variance(metric) * slope**2, n)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def _average_precision(metric: Metric, rows: ScoredRows) -> Interval:
    """Use Wilson's interval with the number of positive rows.

    Source: Boyd, Eng & Page 2013, "Area under the precision-recall curve: point estimates and
    confidence intervals", doi:10.1007/978-3-642-40994-3_29.
    """
    counts = rows.effective_of_classes()
    n = counts[-1] if rows.outputs.shape[-1] == 2 else harmonic(counts)
    return _as_share(rows.value(metric), rows.variance(metric), n)


def _roc_auc(metric: Metric, rows: ScoredRows) -> Interval:
    counts, total = rows.effective_of_classes(), effective(rows.weights)
    others = [max(total - n, 1.0) for n in counts]
    if rows.outputs.shape[-1] == 2:
        n_positive, n_negative = counts[1], counts[0]
    else:
        n_positive, n_negative = harmonic(counts), min(harmonic(others), total)
    found = rows.influences(metric).square()
    of_classes = [float(found[rows.targets == c].sum()) for c in rows.targets.unique()]
    # DeLong divides by n − 1; the limit of 0.5 keeps the variance finite for a single row.
    variance = sum(v * n / max(n - 1, 0.5) for v, n in zip(of_classes, counts, strict=True))
    return area(rows.value(metric), variance, n_positive, n_negative)


def _as_share(value: float, variance: float, n_most: float) -> Interval:
    """Return Wilson's interval with the number of rows at which a fraction has this variance.

    Args:
        n_most: the largest number of rows. For a value near 1, too few rows are wrong to estimate a
            variance.
    """
    value = min(max(value, 0.0), 1.0)
    of_share = value * (1 - value)
    is_estimated = of_share > 0 and variance > 0
    return wilson(value, min(of_share / variance, n_most) if is_estimated else n_most)


def _class_loss(metric: Metric, rows: ScoredRows) -> Interval | None:
    losses = rows.losses(metric)
    worst = max(float(losses.max()), _loss_if_wrong(metric, rows))
    return bootstrap_t(losses, torch.ones_like(losses), rows.weights, worst, UNSEEN_CLASS)


def _loss_if_wrong(metric: Metric, rows: ScoredRows) -> float:
    """Return the expected loss of a wrong row, with the second class as the true one.

        Σ w·p₂·loss₂ / Σ w·p₂

    It uses the probabilities of the model, so that it can be computed without a wrong row.
    """
    log_p, classes = rows.outputs.double().log_softmax(-1).topk(2)
    losses = rows.losses(metric, classes[:, 1])
    share = torch.softmax((log_p[:, 1] + rows.weights.log()).clamp(min=LEAST_LOG), 0)
    # A class of probability 0 has an infinite loss and a weight of 0.
    return float((share * losses).nan_to_num(0.0, 0.0).sum())


def _error(metric: Metric, rows: ScoredRows) -> Interval | None:
    losses = rows.losses(metric)
    worst = WORSE * float(losses.max())
    return bootstrap_t(losses, torch.ones_like(losses), rows.weights, worst, UNSEEN_ERROR)


def _rmse(metric: Metric, rows: ScoredRows) -> Interval | None:
    squares = (rows.outputs - rows.targets).double().square()
    worst = WORSE**2 * float(squares.max())
    found = bootstrap_t(squares, torch.ones_like(squares), rows.weights, worst, UNSEEN_ERROR)
    return None if found is None else (math.sqrt(max(found[0], 0.0)), math.sqrt(found[1]))


def _r2(metric: Metric, rows: ScoredRows) -> Interval | None:
    """Compute 1 − the ratio of the mean squared error and the variance."""
    squares = (rows.outputs - rows.targets).double().square()
    y = rows.targets.double()
    spread = (y - (y * rows.weights).mean()).square()
    worst = WORSE**2 * float(squares.max())
    found = bootstrap_t(squares, spread, rows.weights, worst, UNSEEN_ERROR)
    return None if found is None else (1 - found[1], 1 - max(found[0], 0.0))


_METHODS: dict[str, Callable[[Metric, ScoredRows], Interval | None]] = {
    "log_loss": _class_loss,
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "f1": _f1,
    "brier": _class_loss,
    "rmse": _rmse,
    "mae": _error,
    "r2": _r2,
    "pinball": _error,
}
