"""Conformal prediction: sets and intervals that contain the truth of about 1 − α of the rows.

    scores    how strange the truth was on n rows that did not train, by the networks of their fold:
              1 − p(y) for classes; |y − ŷ| / total_error for numbers; ŷ and p with dropout off
    answer    the classes, or the numbers, that fewer than (n + 1)(1 − α) of the n rows are less
              strange than

The n rows are the validation rows of K folds, each scored by the networks of its own fold, which
did not train on it; or, on large tables, rows set apart (one fold). A new row is scored by each
fold's networks and compared with that fold's rows.

What is guaranteed, for rows that are exchangeable with the n rows, whatever the model:

    rows set apart      at least 1 − α of the rows (split conformal prediction). Exact for sets; for
                        intervals with the samples that were drawn for calibration (100, seed 0).
    K folds             at least 1 − 2α, less a term that is small when n is large (CV+); about
                        1 − α in measurements.
    rows that also      no guarantee: rows that chose the best epoch and the winner are slightly
    chose the model     too easy. Measured: docs/benchmarks.md.

The share is over all rows together. A rare class may be missed more often: `per_class` compares
each class with the rows of that class alone, so that the share is right for every class.

Weights of rows: a row of weight w counts as w rows. The new row's weight is not known; rows are
drawn in proportion to their weight, so it is Σw² / Σw on average, and n the effective number
(Σw)² / Σw².

Sources. Split: Vovk, Gammerman & Shafer 2005, "Algorithmic learning in a random world". Sets:
Sadinle, Lei & Wasserman 2019, arXiv:1609.00451. Scaled intervals: Lei, G'Sell, Rinaldo, Tibshirani
& Wasserman 2018, arXiv:1604.04173, section 5.2. CV+: Barber, Candès, Ramdas & Tibshirani 2021,
arXiv:1905.02928, theorem 4; of sets: Romano, Sesia & Candès 2020, arXiv:2006.02544, section 2.3.
Weights: Tibshirani, Barber, Candès & Ramdas 2019, arXiv:1904.06019, eq. 8. By class: Vovk 2012,
arXiv:1209.2673 (Mondrian, label-conditional).
"""

from __future__ import annotations

import decimal
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

TIE = 1e-6
"""Scores so near to each other are equal: a row must not be stranger than itself by rounding."""
DIGITS = 6
"""Significant digits of the scores in a bundle, rounded up."""
HALVINGS = 24
"""Of the bracket of an interval's end, which no fold's own end is outside of: to 6e-8 of its width.

Scores are exact to 1e-6.
"""
_ROUNDING = 1e-9
"""Sums of weights are exact to this relative error."""


@dataclass(frozen=True)
class Scores:
    """How strange the truth was on the rows of one fold.

    Args:
        values: `[n]` float64, sorted.
        weights: `[n]` float64, how many rows each one counts as.
        labels: `[n]` class numbers; None for a regression.
    """

    values: Tensor
    weights: Tensor
    labels: Tensor | None = None

    @classmethod
    def of(
        cls,
        values: Sequence[float],
        weights: Sequence[float] | None = None,
        labels: Sequence[int] | None = None,
    ) -> Scores:
        """Return sorted scores; without weights each row counts as one."""
        scores = torch.tensor(values, dtype=torch.float64)
        return cls(
            scores,
            torch.ones_like(scores)
            if weights is None
            else torch.tensor(weights, dtype=torch.float64),
            None if labels is None else torch.tensor(labels, dtype=torch.int64),
        )

    @cached_property
    def counts(self) -> Tensor:
        """`[n + 1]` float64: how many rows the first 0, 1, … n count as."""
        return torch.cat([self.weights.new_zeros(1), self.weights.cumsum(0)])

    def less_strange(self, scores: Tensor) -> Tensor:
        """Return how many rows are less strange than each of these scores."""
        return self.counts[torch.searchsorted(self.values, scores - TIE)]

    def __len__(self) -> int:
        return len(self.values)

    def limit(self, share: float) -> float:
        """Return the lowest score that at least this share of the rows do not exceed."""
        enough = share * float(self.counts[-1])
        # Rounding may leave the last count below the number of all rows.
        place = min(int((self.counts[1:] < enough).sum()), len(self) - 1)
        return float(self.values[place]) + TIE

    def of_class(self, label: int) -> Scores:
        """Return the scores of the rows of one class."""
        assert self.labels is not None
        own = self.labels == label
        return Scores(self.values[own], self.weights[own])


def scores_in(calibration: Mapping[str, Any]) -> tuple[Scores, ...] | None:
    """Return the scores that a bundle contains, one for each fold; None when it has none."""
    values = calibration.get("conformal_fold_scores")
    if values is None:
        return None
    weights: list[Any] = calibration.get("conformal_fold_weights") or [None] * len(values)
    labels: list[Any] = calibration.get("conformal_fold_labels") or [None] * len(values)
    if weights[0] is not None and any(weights):
        # Rounding must not change how many rows they count as. By the largest first: the sum of
        # tiny weights may have no finite inverse.
        most = max(itertools.chain(*weights))
        weights = [[weight / most for weight in own] for own in weights]
        unit = sum(map(len, weights)) / math.fsum(itertools.chain(*weights))
        weights = [[unit * weight for weight in own] for own in weights]
    return tuple(Scores.of(*own) for own in zip(values, weights, labels, strict=True))


def n_effective(scores: Sequence[Scores]) -> float:
    """Return (Σw)² / Σw², the number of equally weighted rows that are worth as much."""
    weights = torch.cat([own.weights for own in scores])
    return float(weights.sum() ** 2 / (weights**2).sum()) if len(weights) else 0.0


def needed(scores: Sequence[Scores], alpha: float) -> float:
    """Return (n + v)(1 − α), n the sum of the weights, v = Σw² / Σw that of the new row."""
    n = sum(float(own.weights.sum()) for own in scores)
    effective = n_effective(scores)
    # 1 − 0.1 is slightly above 0.9: without rounding, ten rows would be too few for 9 + 1.
    return round((n + (n / effective if effective else 1.0)) * (1 - alpha), 9)


def are_too_few(scores: Sequence[Scores], alpha: float) -> bool:
    """Return whether the rows are too few for alpha, so that an answer must contain everything."""
    return round((n_effective(scores) + 1) * (1 - alpha), 9) > n_effective(scores) + _ROUNDING


def least_rows(alpha: float) -> int:
    """Return the number of equally weighted rows that is enough for alpha."""
    return math.ceil(round(1 / alpha, 9)) - 1


def class_scores(proba: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return 1 − p(y) of each row `[N]`, of probabilities `[N, C]` and class numbers `[N]`."""
    return np.asarray(1 - proba[np.arange(len(y)), y])


def value_scores(center: np.ndarray, scale: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return |y − center| / scale of each row `[N]`."""
    return np.abs(y - center) / scale


def rounded_up(scores: np.ndarray) -> list[float]:
    """Return scores with `DIGITS` significant digits, none lower than it was."""
    context = decimal.Context(prec=DIGITS, rounding=decimal.ROUND_CEILING)
    return [float(context.create_decimal_from_float(score)) for score in scores.tolist()]


def class_sets(
    proba: Tensor, scores: Sequence[Scores], alpha: float, *, per_class: bool = False
) -> Tensor:
    """Return which classes are in each row's set, `[N, C]` bool.

    A set is empty where no class is as likely as the true one was of most other rows.

    Args:
        proba: `[G, N, C]`, what the networks of each of G folds say.
        scores: of each fold's rows; with labels for `per_class`.
        alpha: in (0, 1).
        per_class: compare each class with the rows of that class alone.
    """
    if not per_class:
        return _fewer(1 - proba, scores, alpha)
    classes = [
        _fewer(1 - proba[..., label], [own.of_class(label) for own in scores], alpha)
        for label in range(proba.shape[-1])
    ]
    return torch.stack(classes, dim=-1)


def _fewer(strangeness: Tensor, scores: Sequence[Scores], alpha: float) -> Tensor:
    """Return where fewer rows than needed are less strange; `strangeness` is `[G, …]`."""
    counts = [
        own.less_strange(new.contiguous()) for new, own in zip(strangeness, scores, strict=True)
    ]
    return torch.stack(counts).sum(0) < needed(scores, alpha) - _ROUNDING


def intervals(center: Tensor, scale: Tensor, scores: Sequence[Scores], alpha: float) -> Tensor:
    """Return the lower and upper end `[N, 2]` of each row's interval.

    With R_i the score of row i of fold k, the ends are, over all rows of all folds,

        upper    the (n + 1)(1 − α)-th smallest of  center_k + R_i · scale_k
        lower    the same of  center_k − R_i · scale_k, counted from the largest

    Args:
        center, scale: `[G, N]`, what the networks of each of G folds say of the new rows.
        scores: of each fold's rows, in the units of `scale`.
        alpha: in (0, 1).
    Returns: infinite ends when the rows are too few for alpha.
    """
    if are_too_few(scores, alpha):
        infinite = torch.full_like(center[0], math.inf)
        return torch.stack([-infinite, infinite], dim=1)
    ends = -_upper(-center, scale, scores, alpha), _upper(center, scale, scores, alpha)
    # For alpha above 1/2 the ends of folds that differ may cross.
    return torch.stack([torch.minimum(*ends), torch.maximum(*ends)], dim=1)


def _upper(center: Tensor, scale: Tensor, scores: Sequence[Scores], alpha: float) -> Tensor:
    """Return the lowest number `[N]` that enough of center_k + R_i · scale_k do not exceed."""
    enough = needed(scores, alpha) - _ROUNDING
    share = enough / sum(float(own.counts[-1]) for own in scores)
    # Above the largest of the folds' own ends each fold has its share inside, below the smallest
    # none has: the end of all lies between.
    ends = torch.stack(
        [
            c + own.limit(share) * s
            for c, s, own in zip(center, scale, scores, strict=True)
            if len(own)
        ]
    )
    low, high = ends.amin(0), ends.amax(0)
    if len(ends) == 1:
        return high
    limits = [own.values + TIE for own in scores]
    for _ in range(HALVINGS):
        middle = low + (high - low) / 2
        counts = torch.stack(
            [
                own.counts[torch.searchsorted(limit, u, right=True)]
                for own, limit, u in zip(scores, limits, (middle - center) / scale, strict=True)
            ]
        ).sum(0)
        inside = counts >= enough
        high, low = torch.where(inside, middle, high), torch.where(inside, low, middle)
    return high
