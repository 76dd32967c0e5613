"""Conformal prediction: sets and intervals that hold the truth of about 1 − α of the rows.

    scores   how strange the truth was on n rows that did not train:
             1 − p(y), dropout off, for classes; |y − ŷ| / total_std for numbers
    rank     ⌈(n + 1)(1 − α)⌉; when it is beyond n, the n are too few for α
    answer   all classes, all numbers, than which fewer than `rank` of the n were less strange

The n rows are the validation rows of K folds, each predicted by the networks of its fold, which did
not train on it. Classes are compared fold by fold: the row's 1 − p(class) by the networks of a fold
with the scores of that fold's rows (cross-validated conformal prediction). The average of all folds
is less sure than each of them, and scores of single ones would promise too much of it. The average
of numbers is only nearer to the truth, so an interval lies around it, and its half width is the
`rank`-th score times total_std.

This holds for rows that are exchangeable with the n, whatever the model; how large the answers are
is what the model is worth. Here it holds nearly: the n rows have chosen the winner
(docs/benchmarks.md has what was measured).

Source: Vovk, Gammerman & Shafer 2005, "Algorithmic learning in a random world"; sets: Sadinle, Lei
& Wasserman 2019, arXiv:1609.00451; intervals: Lei, G'Sell, Rinaldo, Tibshirani & Wasserman 2018,
arXiv:1604.04173, section 5.2; folds: Vovk 2015, doi:10.1007/s10472-013-9368-4, and Romano, Sesia &
Candès 2020, arXiv:2006.02544, section 2.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def rank_of(n: int, alpha: float) -> int:
    """Return ⌈(n + 1)(1 − alpha)⌉, the place among n sorted scores of what 1 − alpha keep."""
    # 1 − 0.1 is a little more than 0.9: without the digits cut, rows 10 of 9 + 1 would be too few.
    return math.ceil(round((n + 1) * (1 - alpha), 9))


def least_rows(alpha: float) -> int:
    """Return the number of scores that is enough for alpha."""
    return math.ceil(round(1 / alpha, 9)) - 1


def limit_of(scores: Tensor, alpha: float) -> float:
    """Return what the scores of 1 − alpha of the rows do not exceed; infinite when too few.

    Args:
        scores: `[n]`, sorted.
        alpha: in (0, 1).
    """
    rank = rank_of(len(scores), alpha)
    return float(scores[rank - 1]) if rank <= len(scores) else math.inf


def class_scores(proba: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return 1 − p(y) of each row `[N]`, of probabilities `[N, C]` and class numbers `[N]`."""
    return np.asarray(1 - proba[np.arange(len(y)), y])


def value_scores(mean: np.ndarray, total_std: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return |y − mean| / total_std of each row `[N]`."""
    return np.abs(y - mean) / total_std


def class_sets(proba: Tensor, scores: Sequence[Tensor], alpha: float) -> Tensor:
    """Return which classes are in each row's set, `[N, C]` bool.

    A set is empty where no class is as likely as the true one was of most other rows.

    Args:
        proba: `[G, N, C]`, what the networks of each of G folds say.
        scores: of each fold's rows, sorted.
        alpha: in (0, 1).
    """
    less_strange = [
        torch.searchsorted(own, (1 - p).contiguous()) for p, own in zip(proba, scores, strict=True)
    ]
    return torch.stack(less_strange).sum(0) < rank_of(sum(map(len, scores)), alpha)


def intervals(mean: Tensor, total_std: Tensor, limit: float) -> Tensor:
    """Return the lower and upper end `[N, 2]` of each row's interval."""
    return torch.stack([mean - limit * total_std, mean + limit * total_std], dim=1)
