"""Conformal prediction: sets and intervals that contain the truth of about 1 − α of the rows.

    score     nonconformity of the truth on n rows that were not used for training, by the networks
              of their fold: 1 − p(y) for classes, |y − ŷ| / total_error for numbers; p and ŷ with
              dropout off
    answer    the classes, or the numbers, whose score exceeds the scores of fewer than
              (n + 1)(1 − α) of the n rows

The n rows are the validation rows of K folds. Each is scored by the networks of its own fold, which
did not train on it. On large tables they are rows set apart (one fold). A new row is scored by the
networks of each fold and compared with the rows of that fold.

Guaranteed coverage, for rows that are exchangeable with the n rows, whatever the model:

    rows set apart      at least 1 − α of the rows (split conformal prediction). Exact for sets; for
                        intervals with the samples that were drawn for calibration (100, seed 0).
    K folds             at least 1 − 2α, less a term that is small when n is large (CV+); about
                        1 − α in measurements.
    rows that also      no guarantee: scores are slightly too low on rows that chose the best epoch
    chose the model     and the winner. Measured: docs/benchmarks.md.

The coverage is over all rows together. A rare class may be missed more often: `per_class` compares
each class with the rows of that class only, so that the coverage is right for every class.

Sample weights: a row of weight w counts as w rows. The weight of a new row is unknown. Rows are
drawn in proportion to their weight, so its mean is Σw² / Σw, and n is the effective number of rows
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
"""Scores that differ by less are equal, so that rounding cannot make a row differ from itself."""
DIGITS = 6
"""Significant digits of the scores in a bundle, rounded up."""
HALVINGS = 24
"""Bisection steps for the end of an interval: exact to 6e-8 of the distance between the ends of
the folds. Scores are exact to 1e-6."""
_ROUNDING = 1e-9
"""Sums of weights are exact to this relative error."""


@dataclass(frozen=True)
class ConformalScores:
    """Nonconformity scores of the rows of one fold; a high score means that the truth was unlikely.

    Args:
        values: `[n]` float64, sorted.
        weights: `[n]` float64, the number of rows that each row counts as.
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
    ) -> ConformalScores:
        """Make scores from sorted values; without weights each row counts as one."""
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
        """`[n + 1]` float64: the sum of the weights of the first 0, 1, … n rows."""
        return torch.cat([self.weights.new_zeros(1), self.weights.cumsum(0)])

    def count_below(self, scores: Tensor) -> Tensor:
        """Return the number of rows whose score is below each of these scores, of any shape."""
        return self.counts[torch.searchsorted(self.values, scores - TIE)]

    def __len__(self) -> int:
        return len(self.values)

    def limit(self, share: float) -> float:
        """Return the lowest score that at least this fraction of the rows do not exceed."""
        enough = share * float(self.counts[-1])
        # Rounding may leave the last count below the number of all rows.
        index = min(int((self.counts[1:] < enough).sum()), len(self) - 1)
        return float(self.values[index]) + TIE

    def of_class(self, label: int) -> ConformalScores:
        """Return the scores of the rows of one class."""
        assert self.labels is not None
        is_class = self.labels == label
        return ConformalScores(self.values[is_class], self.weights[is_class])


def scores_in(calibration: Mapping[str, Any]) -> tuple[ConformalScores, ...] | None:
    """Return the scores that a bundle contains, one element per fold; None when it has none."""
    values = calibration.get("conformal_fold_scores")
    if values is None:
        return None
    weights: list[Any] = calibration.get("conformal_fold_weights") or [None] * len(values)
    labels: list[Any] = calibration.get("conformal_fold_labels") or [None] * len(values)
    if weights[0] is not None and any(weights):
        # Their sum is set to the number of rows again, which rounding in the file has changed.
        # They are divided by the largest first: the sum of tiny weights may have no finite inverse.
        largest = max(itertools.chain(*weights))
        weights = [[weight / largest for weight in of_fold] for of_fold in weights]
        unit = sum(map(len, weights)) / math.fsum(itertools.chain(*weights))
        weights = [[unit * weight for weight in of_fold] for of_fold in weights]
    return tuple(ConformalScores.of(*fold) for fold in zip(values, weights, labels, strict=True))


def n_effective(scores: Sequence[ConformalScores]) -> float:
    """Return (Σw)² / Σw², the effective number of rows."""
    weights = torch.cat([fold.weights for fold in scores])
    return float(weights.sum() ** 2 / (weights**2).sum()) if len(weights) else 0.0


def needed(scores: Sequence[ConformalScores], alpha: float) -> float:
    """Return (n + v)(1 − α): n is the sum of the weights, v = Σw² / Σw that of the new row."""
    n = sum(float(fold.weights.sum()) for fold in scores)
    effective = n_effective(scores)
    # 1 − 0.1 is slightly above 0.9: without rounding, ten rows would be too few for 9 + 1.
    return round((n + (n / effective if effective else 1.0)) * (1 - alpha), 9)


def are_too_few(scores: Sequence[ConformalScores], alpha: float) -> bool:
    """Whether the rows are too few for alpha, so that an answer must contain everything."""
    return round((n_effective(scores) + 1) * (1 - alpha), 9) > n_effective(scores) + _ROUNDING


def least_rows(alpha: float) -> int:
    """Return the smallest number of equally weighted rows that is enough for alpha."""
    return math.ceil(round(1 / alpha, 9)) - 1


def class_scores(proba: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return 1 − p(y) of each row `[N]`, from probabilities `[N, C]` and class numbers `[N]`."""
    return np.asarray(1 - proba[np.arange(len(y)), y])


def value_scores(center: np.ndarray, scale: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return |y − center| / scale of each row `[N]`."""
    return np.abs(y - center) / scale


def rounded_up(scores: np.ndarray) -> list[float]:
    """Round scores `[n]` up to `DIGITS` significant digits."""
    context = decimal.Context(prec=DIGITS, rounding=decimal.ROUND_CEILING)
    return [float(context.create_decimal_from_float(score)) for score in scores.tolist()]


def class_sets(
    proba: Tensor, scores: Sequence[ConformalScores], alpha: float, *, per_class: bool = False
) -> Tensor:
    """Return the prediction set of each row, `[N, C]` bool.

    A set is empty where every class is less likely than the true class of most calibration rows.

    Args:
        proba: `[G, N, C]`, probabilities by the networks of each of G folds.
        scores: scores of each fold's rows; with labels for `per_class`.
        alpha: error rate, in (0, 1).
        per_class: compare each class with the rows of that class only.
    """
    if not per_class:
        return _conforms(1 - proba, scores, alpha)
    classes = [
        _conforms(1 - proba[..., label], [fold.of_class(label) for fold in scores], alpha)
        for label in range(proba.shape[-1])
    ]
    return torch.stack(classes, dim=-1)


def _conforms(new_scores: Tensor, scores: Sequence[ConformalScores], alpha: float) -> Tensor:
    """Return where new scores `[G, …]` exceed the scores of fewer rows than `needed`."""
    counts = [
        fold.count_below(new.contiguous()) for new, fold in zip(new_scores, scores, strict=True)
    ]
    return torch.stack(counts).sum(0) < needed(scores, alpha) - _ROUNDING


def intervals(
    center: Tensor, scale: Tensor, scores: Sequence[ConformalScores], alpha: float
) -> Tensor:
    """Return the lower and upper end `[N, 2]` of each row's interval.

    With R_i the score of row i of fold k, the ends are, over all rows of all folds,

        upper    the (n + 1)(1 − α)-th smallest of  center_k + R_i · scale_k
        lower    the same of  center_k − R_i · scale_k, counted from the largest

    Args:
        center, scale: `[G, N]`, prediction and total error of the new rows by the networks of each
            of G folds.
        scores: scores of each fold's rows, in the units of `scale`.
        alpha: error rate, in (0, 1).
    Returns: `[N, 2]`; infinite ends when the rows are too few for alpha.
    """
    if are_too_few(scores, alpha):
        infinite = torch.full_like(center[0], math.inf)
        return torch.stack([-infinite, infinite], dim=1)
    ends = -_upper(-center, scale, scores, alpha), _upper(center, scale, scores, alpha)
    # With alpha above 1/2 the ends may cross where folds disagree.
    return torch.stack([torch.minimum(*ends), torch.maximum(*ends)], dim=1)


def _upper(
    center: Tensor, scale: Tensor, scores: Sequence[ConformalScores], alpha: float
) -> Tensor:
    """Return the lowest number `[N]` that enough of the center_k + R_i · scale_k do not exceed."""
    enough = needed(scores, alpha) - _ROUNDING
    share = enough / sum(float(fold.counts[-1]) for fold in scores)
    # The end of all folds together lies between the smallest and the largest end of single folds.
    ends = torch.stack(
        [
            c + fold.limit(share) * s
            for c, s, fold in zip(center, scale, scores, strict=True)
            if len(fold)
        ]
    )
    low, high = ends.amin(0), ends.amax(0)
    if len(ends) == 1:
        return high
    limits = [fold.values + TIE for fold in scores]
    for _ in range(HALVINGS):
        middle = low + (high - low) / 2
        counts = torch.stack(
            [
                fold.counts[torch.searchsorted(limit, u, right=True)]
                for fold, limit, u in zip(scores, limits, (middle - center) / scale, strict=True)
            ]
        ).sum(0)
        inside = counts >= enough
        high, low = torch.where(inside, middle, high), torch.where(inside, low, middle)
    return high
