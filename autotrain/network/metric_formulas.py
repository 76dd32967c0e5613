"""Formulas of the metrics in torch, for K models at once: one function per row of `METRICS`.

`autotrain/metrics.py` has the names and properties of the metrics and imports no torch.

Classification functions take logits `[K, N, C]` and labels `[K, N]` int64; regression functions
take predictions and targets `[K, N]`, in the units of the target. Weights `[K, N]` are at least 0
and have the meaning of scikit-learn's `sample_weight`: a row of weight 2 counts like two rows, a
row of weight 0 is ignored; None means equal weights. All return `[K]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from autotrain.metrics import Metric


def log_loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean of −log p(true class).

    Examples:
        >>> log_loss(torch.tensor([[[0.0, 0.0], [2.0, 0.0]]]), torch.tensor([[0, 1]]))
        tensor([1.4100])

    Equals: `sklearn.metrics.log_loss`, which raises a p near 0 to the smallest step of a float.
    Here log p is computed from the logits, finite where p is 0 in a float: the loss is larger.
    """
    log_p = torch.log_softmax(logits, dim=-1)
    return _mean(-log_p.gather(-1, labels.unsqueeze(-1)).squeeze(-1), weights)


def accuracy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the fraction of rows whose most probable class is correct.

    Examples:
        >>> accuracy(torch.tensor([[[0.0, 1.0], [2.0, 0.0]]]), torch.tensor([[1, 1]]))
        tensor([0.5000])
    """
    return _mean((logits.argmax(-1) == labels).to(logits.dtype), weights)


def balanced_accuracy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean recall of the classes.

    Classes without a row among `labels` are left out of the mean. Equals:
    `sklearn.metrics.balanced_accuracy_score`.

    Examples:
        >>> logits = torch.tensor([[[0.0, 1.0], [2.0, 0.0], [2.0, 0.0]]])
        >>> balanced_accuracy(logits, torch.tensor([[1, 1, 0]]))
        tensor([0.7500])
    """
    actual = _one_hot(labels, logits, weights)
    right = (logits.argmax(-1) == labels).to(logits.dtype).unsqueeze(-1)
    return _ratio((actual * right).sum(1), actual.sum(1)).nanmean(-1)


def roc_auc(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the area under the ROC curve; the mean of one-vs-rest for more than two classes.

    Classes without a row among `labels` are left out of the mean, where scikit-learn has no value.
    Equals otherwise: `sklearn.metrics.roc_auc_score(multi_class="ovr")`.

    Examples:
        >>> logits = torch.tensor([[[0.0, 3.0], [0.0, 1.0], [0.0, 2.0]]])
        >>> roc_auc(logits, torch.tensor([[1, 1, 0]]))
        tensor([0.5000])
    """
    return _one_vs_rest(_area, logits, labels, weights)


def average_precision(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return Σ (R_n − R_{n−1}) P_n over the thresholds; the mean for more than two classes.

    Classes without a row among `labels` are left out of the mean, where scikit-learn counts 0.
    Equals otherwise: `sklearn.metrics.average_precision_score`.

    Examples:
        >>> logits = torch.tensor([[[0.0, 3.0], [0.0, 1.0], [0.0, 2.0]]])
        >>> average_precision(logits, torch.tensor([[1, 1, 0]]))
        tensor([0.8333])
    """
    return _one_vs_rest(_precision, logits, labels, weights)


def f1(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return 2·TP / (2·TP + FP + FN) of the second of two classes, else the mean of the classes.

    A class that is neither predicted nor present is left out of the mean. If this is the second of
    two classes, the result is 0. Equals: `sklearn.metrics.f1_score(average="binary" | "macro",
    zero_division=0)`, except that a class with rows of weight 0 only is left out.

    Examples:
        >>> logits = torch.tensor([[[0.0, 1.0], [2.0, 0.0], [2.0, 0.0]]])
        >>> f1(logits, torch.tensor([[1, 1, 0]]))
        tensor([0.6667])
    """
    predicted = _one_hot(logits.argmax(-1), logits, weights)
    right = functional.one_hot(labels, logits.shape[-1]).to(logits.dtype)
    true_positive = (predicted * right).sum(1)
    denominator = predicted.sum(1) + _one_hot(labels, logits, weights).sum(1)
    occurring = (denominator > 0).to(logits.dtype)
    scores = 2 * true_positive / torch.where(denominator > 0, denominator, 1.0)
    if logits.shape[-1] == 2:
        return scores[:, 1]
    return (scores * occurring).sum(-1) / occurring.sum(-1)


def brier(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean of Σ_c (p_c − y_c)²; for two classes half of it, (p − y)² of the second.

    Examples:
        >>> brier(torch.tensor([[[0.0, 0.0], [0.0, 0.0]]]), torch.tensor([[0, 1]]))
        tensor([0.2500])

    Equals: `sklearn.metrics.brier_score_loss`.
    """
    p = torch.softmax(logits, dim=-1)
    error = p - functional.one_hot(labels, logits.shape[-1])
    squared = (error * error).sum(-1)
    return _mean(squared / 2 if logits.shape[-1] == 2 else squared, weights)


def rmse(predictions: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return √mean((ŷ − y)²).

    Examples:
        >>> rmse(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]]))
        tensor([1.4142])
    """
    return mean_squared(predictions, targets, weights).sqrt()


def mae(predictions: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return mean|ŷ − y|.

    Examples:
        >>> mae(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]]))
        tensor([1.])
    """
    return _mean((predictions - targets).abs(), weights)


def r2(predictions: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return 1 − Σ(ŷ − y)² / Σ(y − ȳ)².

    Examples:
        >>> r2(torch.tensor([[1.0, 3.0]]), torch.tensor([[1.0, 4.0]]))
        tensor([0.7778])
    """
    center = _mean(targets, weights).unsqueeze(-1)
    total = mean_squared(center, targets, weights)
    return 1 - mean_squared(predictions, targets, weights) / total


def pinball(
    predictions: Tensor, targets: Tensor, weights: Tensor | None = None, quantile: float = 0.5
) -> Tensor:
    """Return the mean of q·(y − ŷ) where y is above, (1 − q)·(ŷ − y) where it is below.

    It is lowest if a fraction q of the targets is below ŷ. Equals:
    `sklearn.metrics.mean_pinball_loss(alpha=q)`.

    Examples:
        >>> pinball(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]]), quantile=0.9)
        tensor([0.9000])
    """
    error = targets - predictions
    return _mean(torch.maximum(quantile * error, (quantile - 1) * error), weights)


METRIC_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    function.__name__: function
    for function in (
        log_loss,
        accuracy,
        balanced_accuracy,
        roc_auc,
        average_precision,
        f1,
        brier,
        rmse,
        mae,
        r2,
        pinball,
    )
}


def metric_function(
    metric: Metric, class_weights: np.ndarray | Sequence[float] | None = None
) -> Callable[..., Tensor]:
    """Return the function (outputs, targets, weights) → `[K]` of a metric.

    Args:
        metric: the metric, with its quantile if it has one.
        class_weights: weights of the classes in the training loss, `[C]`; None if they are equal.
            Metrics of probabilities divide them out of the probabilities (see
            `predictor.probabilities`); metrics of labels use the weighted decision.
    """
    function = METRIC_FUNCTIONS[metric.row]
    if metric.quantile is not None:
        return partial(function, quantile=metric.quantile)
    if class_weights is None or metric.of_labels:
        return function
    log_weights = torch.as_tensor(class_weights, dtype=torch.float64).log()

    def divided(outputs: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        return function(outputs - log_weights.to(outputs), labels, weights)

    return divided


def influence(
    metric: Metric,
    outputs: Tensor,
    targets: Tensor,
    weights: Tensor | None = None,
    class_weights: np.ndarray | Sequence[float] | None = None,
) -> Tensor:
    """Return the derivative of one model's metric by the weight of each row, `[N]` float64.

    Arguments as in `value_and_influence`, for one model: outputs `[N, C]` or `[N]`, targets and
    weights `[N]`.
    """
    own = None if weights is None else weights[None]
    return value_and_influence(metric, outputs[None], targets[None], own, class_weights)[1][0]


def value_and_influence(
    metric: Metric,
    outputs: Tensor,
    targets: Tensor,
    weights: Tensor | None = None,
    class_weights: np.ndarray | Sequence[float] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the metric of K models, and its derivative by the weight of each row.

    To first order, the metric of a bootstrap sample is the metric plus the sum over the rows of
    (times drawn − 1) · influence, so the root of the sum of squares is the standard error of the
    metric. For a mean over rows this is the usual standard deviation / √N.

    Args:
        metric: the metric.
        outputs: logits `[K, N, C]` or predictions `[K, N]`.
        targets: labels or targets, `[K, N]`.
        weights: `[K, N]`; None for equal weights.
        class_weights: see `metric_function`.
    Returns: values `[K]` and derivatives `[K, N]` float64.

    Source: the infinitesimal jackknife: Efron 1982, "The jackknife, the bootstrap and other
    resampling plans", SIAM, chapter 6.
    """
    times = torch.ones(targets.shape, dtype=torch.float64, requires_grad=True)
    weighted = times if weights is None else weights * times
    value = metric_function(metric, class_weights)(outputs, targets, weighted)
    # The root mean squared error has no derivative at 0; the rows of a perfect model have no
    # influence.
    slopes = torch.autograd.grad(value.sum(), times)[0].nan_to_num(0.0)
    return value.detach(), slopes


def mean_squared(predictions: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return mean((ŷ − y)²) `[K]` of `[K, N]`, the validation loss of regression."""
    return _mean((predictions - targets) ** 2, weights)


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean `[K]` over the rows of values `[K, N]`."""
    if weights is None:
        return values.mean(-1)
    return (values * weights).sum(-1) / weights.sum(-1)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return the quotient, or NaN with derivative 0 if the denominator is 0."""
    defined = denominator > 0
    return torch.where(defined, numerator / torch.where(defined, denominator, 1.0), math.nan)


def _one_hot(labels: Tensor, logits: Tensor, weights: Tensor | None) -> Tensor:
    """Return the weight of each row at its class and 0 at the others, `[K, N, C]`."""
    hot = functional.one_hot(labels, logits.shape[-1]).to(logits.dtype)
    return hot if weights is None else hot * weights.unsqueeze(-1)


def _one_vs_rest(
    score: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    logits: Tensor,
    labels: Tensor,
    weights: Tensor | None,
) -> Tensor:
    """Return the score `[K]` of the second of two classes, else the mean of the defined scores."""
    if logits.shape[-1] == 2:
        return score(logits[..., 1] - logits[..., 0], labels == 1, weights)
    odds = _log_odds(logits)
    scores = [score(odds[..., c].contiguous(), labels == c, weights) for c in range(odds.shape[-1])]
    return torch.stack(scores).nanmean(0).to(logits.dtype)


def _log_odds(logits: Tensor) -> Tensor:
    """Return log p − log(1 − p), `[K, N, C]`: in the order of p, without ties at p = 1.

    For the most probable class, 1 − p is the sum of the other probabilities, which may be smaller
    than the last digit of p. Results are rounded to nine decimals, so that equal p remain equal
    after different roundings.
    """
    log_p = torch.log_softmax(logits.double(), dim=-1)
    p, top = log_p.exp(), log_p.argmax(-1, keepdim=True)
    rest = 1 - p
    rest.scatter_(-1, top, p.scatter(-1, top, 0.0).sum(-1, keepdim=True))
    return (log_p - rest.log()).round(decimals=9)


def _area(scores: Tensor, is_positive: Tensor, weights: Tensor | None) -> Tensor:
    """Return the area under the ROC curve `[K]`, ties at half (Mann–Whitney).

    It is the fraction, by weight, of pairs of a positive and a negative row in the correct order.
    NaN if a class is absent.

    Args:
        scores: `[K, N]`.
        is_positive: `[K, N]` bool.
        weights: `[K, N]`; None for equal weights.
    """
    scores = scores.contiguous()
    ordered, order = scores.sort(-1)
    low = torch.searchsorted(ordered, scores, right=False)
    high = torch.searchsorted(ordered, scores, right=True)
    positive = is_positive.to(torch.float64)
    if weights is None:
        n_positive = positive.sum(-1)
        n_negative = positive.shape[-1] - n_positive
        ranks = (low + high + 1).to(torch.float64) / 2
        above = (ranks * positive).sum(-1) - n_positive * (n_positive + 1) / 2
        return _ratio(above, n_positive * n_negative).to(scores.dtype)
    positive = positive * weights
    negative = weights.double() * ~is_positive
    below = _running_sum(negative.gather(-1, order))
    above = (positive * (below.gather(-1, low) + below.gather(-1, high)) / 2).sum(-1)
    return _ratio(above, positive.sum(-1) * negative.sum(-1)).to(scores.dtype)


def _precision(scores: Tensor, is_positive: Tensor, weights: Tensor | None) -> Tensor:
    """Return the average precision `[K]`.

    It is the mean over the positive rows, by weight, of the precision among all rows with at least
    their score. NaN if no row is positive. Arguments as in `_area`.
    """
    # Sorted from the highest score on; tied rows are counted together.
    falling = scores.neg().contiguous()
    ordered, order = falling.sort(-1)
    through = torch.searchsorted(ordered, falling, right=True)
    positive = is_positive.to(torch.float64)
    if weights is None:
        taken = through.to(torch.float64)
    else:
        positive = positive * weights
        total = _running_sum(weights.double().expand_as(scores).gather(-1, order))
        taken = total.gather(-1, through)
    right = _running_sum(positive.gather(-1, order)).gather(-1, through)
    # Rows of weight 0 at the top have no precision; they do not count.
    precision = right / torch.where(taken > 0, taken, 1.0)
    return _ratio((positive * precision).sum(-1), positive.sum(-1)).to(scores.dtype)


def _running_sum(values: Tensor) -> Tensor:
    """Return the sums of the first 0, 1, …, N of values `[K, N]`, `[K, N + 1]`."""
    return functional.pad(values.cumsum(-1), (1, 0))
