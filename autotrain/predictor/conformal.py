"""Conformal prediction: sets and intervals that hold the truth of about 1 − α of the rows.

    scores   how strange the truth was on n rows that did not train:
             1 − p(y), dropout off, for classes; |y − ŷ| / total_std for numbers
    rank     ⌈(n + 1)(1 − α)⌉; when it is beyond n, the n are too few for α
    answer   all classes, all numbers, than which fewer than `rank` of the n were less strange

Rows that stand for several count as many: the share is then that of the rows they stand for.

The n rows are set apart for this, or they are the validation rows of K folds, each predicted by the
networks of its fold, which did not train on it. Classes are compared fold by fold: the row's
1 − p(class) by the networks of a fold with the scores of that fold's rows (cross-validated
conformal prediction). The average of all folds is less sure than each of them, and scores of single
ones would promise too much of it. The average of numbers is only nearer to the truth, so an
interval lies around it, and its half width is the `rank`-th score times total_std.

This holds for rows that are exchangeable with the n, whatever the model; how large the answers are
is what the model is worth. Where the n rows also chose the winner it holds nearly:
docs/benchmarks.md has what was measured.

Source: Vovk, Gammerman & Shafer 2005, "Algorithmic learning in a random world"; sets: Sadinle, Lei
& Wasserman 2019, arXiv:1609.00451; intervals: Lei, G'Sell, Rinaldo, Tibshirani & Wasserman 2018,
arXiv:1604.04173, section 5.2; weights: Tibshirani, Barber, Candès & Ramdas 2019, arXiv:1904.06019,
eq. 8, the new row's weight being the mean; folds: Vovk 2015, doi:10.1007/s10472-013-9368-4, and
Romano, Sesia & Candès 2020, arXiv:2006.02544, section 2.3.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

_ROUNDING = 1e-9
"""Sums of weights are right to so much."""


@dataclass(frozen=True)
class Scores:
    """How strange the truth was on some rows.

    Args:
        values: `[n]` float64, sorted.
        counts: `[n + 1]` float64, how many rows are less strange than each, and all.
    """

    values: Tensor
    counts: Tensor

    @classmethod
    def of(cls, values: Sequence[float], weights: Sequence[float] | None = None) -> Scores:
        """Return sorted scores whose rows count as much as `weights` say; None: one each."""
        scores = torch.tensor(values, dtype=torch.float64)
        own = torch.ones_like(scores)
        if weights is not None:
            own = torch.tensor(weights, dtype=torch.float64)
        return cls(scores, torch.cat([own.new_zeros(1), own.cumsum(0)]))

    @property
    def n(self) -> float:
        """How many rows they are."""
        return float(self.counts[-1])

    def less_strange(self, scores: Tensor) -> Tensor:
        """Return how many rows are less strange than each of these."""
        return self.counts[torch.searchsorted(self.values, scores.contiguous())]


def scores_in(calibration: Mapping[str, Any], *, of_folds: bool) -> tuple[Scores, ...] | None:
    """Return the scores that a bundle keeps; None when it has none.

    Args:
        calibration: the bundle's.
        of_folds: of classes, one for each fold; else of numbers, one.
    """
    if of_folds:
        scores = calibration.get("conformal_fold_scores")
        weights = calibration.get("conformal_fold_weights")
    else:
        scores, weights = (
            [calibration[name]] if name in calibration else None
            for name in ("conformal_scores", "conformal_weights")
        )
    if scores is None:
        return None
    if weights is None:
        return tuple(map(Scores.of, scores))
    # So that they are as many rows as they are, to the last digit.
    unit = sum(map(len, weights)) / math.fsum(itertools.chain(*weights))
    return tuple(
        Scores.of(own, [unit * weight for weight in counts])
        for own, counts in zip(scores, weights, strict=True)
    )


def needed(n: float, alpha: float) -> float:
    """Return (n + 1)(1 − alpha): so many of n rows must be at most as strange as the answer."""
    # 1 − 0.1 is a little more than 0.9: without the digits cut, rows 10 of 9 + 1 would be too few.
    return round((n + 1) * (1 - alpha), 9)


def are_too_few(n: float, alpha: float) -> bool:
    """Tell whether n rows are too few for alpha, so that an answer must hold everything."""
    return needed(n, alpha) > n + _ROUNDING


def least_rows(alpha: float) -> int:
    """Return the number of rows that is enough for alpha."""
    return math.ceil(round(1 / alpha, 9)) - 1


def limit_of(scores: Scores, alpha: float) -> float:
    """Return what the scores of 1 − alpha of the rows do not exceed; infinite when too few.

    Args:
        alpha: in (0, 1).
    """
    if are_too_few(scores.n, alpha):
        return math.inf
    enough = scores.counts[1:] >= needed(scores.n, alpha) - _ROUNDING
    return float(scores.values[int(enough.long().argmax())])


def class_scores(proba: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return 1 − p(y) of each row `[N]`, of probabilities `[N, C]` and class numbers `[N]`."""
    return np.asarray(1 - proba[np.arange(len(y)), y])


def value_scores(mean: np.ndarray, total_std: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return |y − mean| / total_std of each row `[N]`."""
    return np.abs(y - mean) / total_std


def class_sets(proba: Tensor, scores: Sequence[Scores], alpha: float) -> Tensor:
    """Return which classes are in each row's set, `[N, C]` bool.

    A set is empty where no class is as likely as the true one was of most other rows.

    Args:
        proba: `[G, N, C]`, what the networks of each of G folds say.
        scores: of each fold's rows.
        alpha: in (0, 1).
    """
    counts = [own.less_strange(1 - p) for p, own in zip(proba, scores, strict=True)]
    return torch.stack(counts).sum(0) < needed(sum(own.n for own in scores), alpha) - _ROUNDING


def intervals(mean: Tensor, total_std: Tensor, limit: float) -> Tensor:
    """Return the lower and upper end `[N, 2]` of each row's interval."""
    return torch.stack([mean - limit * total_std, mean + limit * total_std], dim=1)
