"""Metrics of K models on the same kind of rows, one function per row of `tasks.METRICS`.

Classification functions take logits `[K, N, C]` and labels `[K, N]`; regression functions take
predictions and targets `[K, N]`, both in the target's own units. All return `[K]`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def log_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean of −log p(true class). Equals: `sklearn.metrics.log_loss`."""
    log_p = torch.log_softmax(logits, dim=-1)
    return -log_p.gather(-1, labels.unsqueeze(-1)).squeeze(-1).mean(-1)


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the share of rows whose likeliest class is right."""
    return (logits.argmax(-1) == labels).to(logits.dtype).mean(-1)


def _rank_auc(scores: Tensor, is_positive: Tensor) -> Tensor:
    """Return the area under the ROC curve `[K]` by ranks (Mann–Whitney), ties at half.

    Not a number where a class is absent.
    """
    ordered = scores.sort(-1).values.contiguous()
    low = torch.searchsorted(ordered, scores.contiguous(), right=False)
    high = torch.searchsorted(ordered, scores.contiguous(), right=True)
    ranks = (low + high + 1).to(torch.float64) / 2
    positive = is_positive.to(torch.float64)
    n_positive = positive.sum(-1)
    n_negative = positive.shape[-1] - n_positive
    above = (ranks * positive).sum(-1) - n_positive * (n_positive + 1) / 2
    return (above / (n_positive * n_negative)).to(scores.dtype)


def roc_auc(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the area under the ROC curve; for several classes the mean of one-vs-rest.

    Classes without a row among `labels` are left out of the mean. Equals:
    `sklearn.metrics.roc_auc_score(multi_class="ovr")`.
    """
    if logits.shape[-1] == 2:
        return _rank_auc(logits[..., 1] - logits[..., 0], labels == 1)
    scores = _log_odds(logits)
    areas = torch.stack([_rank_auc(scores[..., c], labels == c) for c in range(logits.shape[-1])])
    return areas.nanmean(0).to(logits.dtype)


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


def f1(logits: Tensor, labels: Tensor) -> Tensor:
    """Return 2·TP / (2·TP + FP + FN): of the second class when binary, else the classes' mean.

    A class that is neither predicted nor present is left out of the mean; the second class of two
    then counts 0. Equals: `sklearn.metrics.f1_score(average="binary" | "macro", zero_division=0)`.
    """
    c = logits.shape[-1]
    predicted = functional.one_hot(logits.argmax(-1), c).to(logits.dtype)
    actual = functional.one_hot(labels, c).to(logits.dtype)
    true_positive = (predicted * actual).sum(1)
    denominator = predicted.sum(1) + actual.sum(1)
    scores = 2 * true_positive / denominator.clamp(min=1)
    if c == 2:
        return scores[:, 1]
    occurring = (denominator > 0).to(scores.dtype)
    return (scores * occurring).sum(-1) / occurring.sum(-1)


def rmse(predictions: Tensor, targets: Tensor) -> Tensor:
    """Return √mean((ŷ − y)²)."""
    return ((predictions - targets) ** 2).mean(-1).sqrt()


def mae(predictions: Tensor, targets: Tensor) -> Tensor:
    """Return mean|ŷ − y|."""
    return (predictions - targets).abs().mean(-1)


def r2(predictions: Tensor, targets: Tensor) -> Tensor:
    """Return 1 − Σ(ŷ − y)² / Σ(y − ȳ)²."""
    residual = ((predictions - targets) ** 2).sum(-1)
    total = ((targets - targets.mean(-1, keepdim=True)) ** 2).sum(-1)
    return 1 - residual / total


FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    function.__name__: function for function in (log_loss, accuracy, roc_auc, f1, rmse, mae, r2)
}
