"""Metrics of K models on the same kind of rows, one function per row of `tasks.METRICS`.

Classification functions take logits `[K, N, C]` and labels `[K, N]`; regression functions take
predictions and targets `[K, N]`, both in the target's own units. Weights `[K, N]`, at least 0, are
scikit-learn's `sample_weight`: a row of weight 2 counts as two rows, one of weight 0 is not there;
None weighs all alike. All return `[K]`.
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
    """Return the mean of −log p(true class). Equals: `sklearn.metrics.log_loss`."""
    log_p = torch.log_softmax(logits, dim=-1)
    return _mean(-log_p.gather(-1, labels.unsqueeze(-1)).squeeze(-1), weights)


def accuracy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the share of rows whose likeliest class is right."""
    return _mean((logits.argmax(-1) == labels).to(logits.dtype), weights)


def balanced_accuracy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean over the classes of the share of their rows that is found.

    Classes without a row among `labels` are left out of the mean. Equals:
    `sklearn.metrics.balanced_accuracy_score`.
    """
    actual = _one_hot(labels, logits, weights)
    right = (logits.argmax(-1) == labels).to(logits.dtype).unsqueeze(-1)
    return _ratio((actual * right).sum(1), actual.sum(1)).nanmean(-1)


def roc_auc(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the area under the ROC curve; for several classes the mean of one-vs-rest.

    Classes without a row among `labels` are left out of the mean. Equals:
    `sklearn.metrics.roc_auc_score(multi_class="ovr")`.
    """
    return _one_vs_rest(_area, logits, labels, weights)


def average_precision(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return Σ (R_n − R_{n−1}) P_n over the thresholds; for several classes the mean of them.

    Classes without a row among `labels` are left out of the mean. Equals:
    `sklearn.metrics.average_precision_score`.
    """
    return _one_vs_rest(_precision, logits, labels, weights)


def f1(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return 2·TP / (2·TP + FP + FN): of the second class when binary, else the classes' mean.

    A class that is neither predicted nor present is left out of the mean; the second class of two
    then counts 0. Equals: `sklearn.metrics.f1_score(average="binary" | "macro", zero_division=0)`.
    Differs from it: a class that only rows of weight 0 have is left out, as if they were not there.
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
    """Return the mean of Σ_c (p_c − y_c)², halved for two classes: then (p − y)² of the second.

    Equals: `sklearn.metrics.brier_score_loss`.
    """
    p = torch.softmax(logits, dim=-1)
    error = p - functional.one_hot(labels, logits.shape[-1])
    squared = (error * error).sum(-1)
    return _mean(squared / 2 if logits.shape[-1] == 2 else squared, weights)


def rmse(predictions: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return √mean((ŷ − y)²)."""
    return mean_squared(predictions, targets, weights).sqrt()


def mae(predictions: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return mean|ŷ − y|."""
    return _mean((predictions - targets).abs(), weights)


def r2(predictions: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return 1 − Σ(ŷ − y)² / Σ(y − ȳ)²."""
    center = _mean(targets, weights).unsqueeze(-1)
    total = mean_squared(center, targets, weights)
    return 1 - mean_squared(predictions, targets, weights) / total


def pinball(
    predictions: Tensor, targets: Tensor, weights: Tensor | None = None, quantile: float = 0.5
) -> Tensor:
    """Return the mean of q·(y − ŷ) where y is above, (1 − q)·(ŷ − y) where it is below.

    Least where a share q of the targets lies below ŷ. Equals:
    `sklearn.metrics.mean_pinball_loss(alpha=q)`.
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
    """Return a metric's function of outputs, targets and weights.

    Args:
        class_weights: `[C]`, weights of the classes in the training loss. A metric of probabilities
            has them divided out of the probabilities (see `predictor.probabilities`), a metric of
            labels follows them. None: all classes have the same weight.
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
    """Return how fast a model's metric changes as a row counts more, `[N]` float64.

    The metric of a bootstrap's rows is, to first order, the metric plus the sum over the rows of
    (times drawn − 1) · influence; so the root of the sum of the squares is its standard error. For
    a mean over rows that is the familiar one, standard deviation / √N.

    Args:
        outputs, targets, weights: of one model, without the axis of models.
        class_weights: see `function_of`.
    Source: the infinitesimal jackknife: Efron 1982, "The jackknife, the bootstrap and other
    resampling plans", SIAM, chapter 6.
    """
    times = torch.ones(targets.shape, dtype=torch.float64, requires_grad=True)
    own = times if weights is None else weights * times
    value = metric_function(metric, class_weights)(outputs[None], targets[None], own[None])
    # A perfect model's root mean squared error has no slope; none of its rows has an influence.
    return torch.autograd.grad(value.sum(), times)[0].nan_to_num(0.0)


def mean_squared(predictions: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return mean((ŷ − y)²), the validation loss of a regression."""
    return _mean((predictions - targets) ** 2, weights)


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean over the rows of values `[K, N]`."""
    if weights is None:
        return values.mean(-1)
    return (values * weights).sum(-1) / weights.sum(-1)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return the quotient, not a number over 0; even there its slope by the rows is 0."""
    defined = denominator > 0
    return torch.where(defined, numerator / torch.where(defined, denominator, 1.0), math.nan)


def _one_hot(labels: Tensor, logits: Tensor, weights: Tensor | None) -> Tensor:
    """Return a row's weight at its class, `[K, N, C]`."""
    hot = functional.one_hot(labels, logits.shape[-1]).to(logits.dtype)
    return hot if weights is None else hot * weights.unsqueeze(-1)


def _one_vs_rest(
    score: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    logits: Tensor,
    labels: Tensor,
    weights: Tensor | None,
) -> Tensor:
    """Return the score `[K]` of the second class, or the mean of the classes that have one."""
    if logits.shape[-1] == 2:
        return score(logits[..., 1] - logits[..., 0], labels == 1, weights)
    odds = _log_odds(logits)
    each = [score(odds[..., c].contiguous(), labels == c, weights) for c in range(odds.shape[-1])]
    return torch.stack(each).nanmean(0).to(logits.dtype)


def _log_odds(logits: Tensor) -> Tensor:
    """Return log p − log(1 − p): in the order of p, but sure classes are not all tied at p = 1.

    1 − p of the likeliest class is the sum of the others: it may be smaller than p's last digit.
    Rounded to nine decimals, so that equal p stay equal whichever way they were computed.
    """
    log_p = torch.log_softmax(logits.double(), dim=-1)
    p, top = log_p.exp(), log_p.argmax(-1, keepdim=True)
    rest = 1 - p
    rest.scatter_(-1, top, p.scatter(-1, top, 0.0).sum(-1, keepdim=True))
    return (log_p - rest.log()).round(decimals=9)


def _area(scores: Tensor, is_positive: Tensor, weights: Tensor | None) -> Tensor:
    """Return the area under the ROC curve `[K]`, ties at half (Mann–Whitney).

    The share of pairs of a positive and a negative row, by weight, that stand in the right order.
    Not a number where a class is absent.
    """
    scores = scores.contiguous()
    ordered, places = scores.sort(-1)
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
    below = _running_sum(negative.gather(-1, places))
    above = (positive * (below.gather(-1, low) + below.gather(-1, high)) / 2).sum(-1)
    return _ratio(above, positive.sum(-1) * negative.sum(-1)).to(scores.dtype)


def _precision(scores: Tensor, is_positive: Tensor, weights: Tensor | None) -> Tensor:
    """Return the average precision `[K]`.

    The mean over the positive rows, by weight, of the precision among all rows whose score is no
    lower. Not a number where no row is positive.
    """
    # From the highest score on: tied rows are counted together.
    falling = scores.neg().contiguous()
    ordered, places = falling.sort(-1)
    through = torch.searchsorted(ordered, falling, right=True)
    positive = is_positive.to(torch.float64)
    if weights is None:
        taken = through.to(torch.float64)
    else:
        positive = positive * weights
        total = _running_sum(weights.double().expand_as(scores).gather(-1, places))
        taken = total.gather(-1, through)
    right = _running_sum(positive.gather(-1, places)).gather(-1, through)
    # Rows of weight 0 at the top have no precision, and count nothing.
    precision = right / torch.where(taken > 0, taken, 1.0)
    return _ratio((positive * precision).sum(-1), positive.sum(-1)).to(scores.dtype)


def _running_sum(values: Tensor) -> Tensor:
    """Return the sums of the first 0, 1, … N values, `[K, N + 1]`."""
    return functional.pad(values.cumsum(-1), (1, 0))
