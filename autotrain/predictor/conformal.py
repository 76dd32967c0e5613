"""Split conformal prediction: sets and intervals that hold the truth of about 1 − α of the rows.

    scores   how strange the truth was on n rows that did not train:
             1 − p(y) for classes, |y − ŷ| / total_std for numbers
    limit    the ⌈(n + 1)(1 − α)⌉-th smallest of them; infinite when n is too small for α
    answer   all classes, all numbers, that would be no stranger than the limit

This holds for rows that are exchangeable with the n, whatever the model; how large the answers are
is what the model is worth. Here it holds nearly: the n rows have chosen the winner, and of K folds'
networks one speaks of each of them, while in use the K are averaged (docs/benchmarks.md).

Source: Vovk, Gammerman & Shafer 2005, "Algorithmic learning in a random world"; sets: Sadinle, Lei
& Wasserman 2019, arXiv:1609.00451; intervals: Lei, G'Sell, Rinaldo, Tibshirani & Wasserman 2018,
arXiv:1604.04173, section 5.2.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def limit_of(scores: np.ndarray, alpha: float) -> float:
    """Return what the scores of 1 − α of the rows do not exceed; infinite when there are too few.

    Args:
        scores: `[n]`, sorted.
        alpha: in (0, 1).
    """
    # 1 − 0.1 is a little more than 0.9: without the digits cut, rows 10 of 9 + 1 would be too few.
    rank = math.ceil(round((len(scores) + 1) * (1 - alpha), 9))
    return float(scores[rank - 1]) if rank <= len(scores) else math.inf


def class_scores(proba: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return 1 − p(y) of each row `[N]`, of probabilities `[N, C]` and class numbers `[N]`."""
    return np.asarray(1 - proba[np.arange(len(y)), y])


def value_scores(mean: np.ndarray, total_std: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return |y − mean| / total_std of each row `[N]`."""
    return np.abs(y - mean) / total_std


def class_sets(proba: Tensor, limit: float) -> Tensor:
    """Return which classes are in each row's set, `[N, C]` bool.

    A set is empty where no class is as likely as the true one was of most other rows.
    """
    return 1 - proba <= limit


def intervals(mean: Tensor, total_std: Tensor, limit: float) -> Tensor:
    """Return the lower and upper end `[N, 2]` of each row's interval."""
    return torch.stack([mean - limit * total_std, mean + limit * total_std], dim=1)
