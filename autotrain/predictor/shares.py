"""Confidence intervals of fractions of rows and of areas under a ROC curve.

The functions take counts and variances, not rows, so that a textbook's examples can check them.
`intervals.py` lists the metrics that use them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

Interval = tuple[float, float]

Z = 1.959964
"""97.5 % quantile of the standard normal distribution."""
UNSEEN = 0.25
"""Weight of the unseen row of each class in `area`, measured in docs/benchmarks.md."""
STEPS = 60


def effective(weights: Tensor) -> float:
    """Return (Σw)² / Σw² of weights `[N]`: the equally weighted rows of a mean as precise.

    Source: Kish 1965, "Survey sampling", section 11.7.
    """
    return float(weights.sum() ** 2 / weights.square().sum()) if len(weights) else 0.0


def harmonic(counts: Sequence[float]) -> float:
    """Return C² / Σ 1/n: the number of rows at which one fraction varies like the mean of C."""
    return len(counts) ** 2 / sum(1 / n for n in counts)


def wilson(share: float, n: float) -> Interval:
    """Return Wilson's interval of a fraction of n rows.

    It contains each p for which the observed fraction is within Z standard errors √(p(1 − p)/n).
    Equal to `scipy.stats.binomtest(k, n).proportion_ci(method="wilson")`.

    Source: Wilson 1927, doi:10.2307/2276774; recommended by Brown, Cai & DasGupta 2001,
    doi:10.1214/ss/1009213286.
    """
    center = share + Z * Z / (2 * n)
    half = Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    low, high = (center - half) / (1 + Z * Z / n), (center + half) / (1 + Z * Z / n)
    # Rounding must not exclude the fraction itself.
    return max(min(low, share), 0.0), min(max(high, share), 1.0)


def area(value: float, variance: float, n_positive: float, n_negative: float) -> Interval:
    """Return an interval of the area under a ROC curve, by DeLong's variance on the logit scale.

    The end that is farther from ½ comes from DeLong's variance only. The other end needs more: a
    small test set may lack the few misordered rows by chance, and DeLong's variance of a perfect
    order is 0. For this end, one unseen row of weight `UNSEEN` per class is placed at random. The
    end is never farther away than that of Newcombe's score interval.

    Args:
        value: the area A.
        variance: DeLong's.
        n_positive, n_negative: the effective numbers of rows.
    Source: DeLong, DeLong & Clarke-Pearson 1988, doi:10.2307/2531595; Sun & Xu 2014,
    doi:10.1109/LSP.2014.2337313; Newcombe 2006, doi:10.1002/sim.2324 (method 5).
    """
    if value < 0.5:
        low, high = area(1 - value, variance, n_positive, n_negative)
        return 1 - high, 1 - low
    low, high = _on_logit_scale(value, variance)
    unseen = _with_unseen(value, variance, n_positive, n_negative)
    return min(low, max(unseen, _newcombe(value, n_positive, n_negative))), high


def _on_logit_scale(value: float, variance: float) -> Interval:
    slope = value * (1 - value)
    if not slope > 0 or not variance > 0:
        return value, value
    logit = math.log(value / (1 - value))
    half = Z * math.sqrt(variance) / slope
    return _sigmoid(logit - half), _sigmoid(logit + half)


def _with_unseen(value: float, variance: float, n_positive: float, n_negative: float) -> float:
    """Return the lower end when a row of weight `UNSEEN` of each class is placed at random."""
    unseen = [UNSEEN / (n + UNSEEN) for n in (n_positive, n_negative)]
    shifted = value - (value - 0.5) * sum(unseen) / 2
    # The variance of a mean when a fraction of the weight at ½ is added.
    for share, n in zip(unseen, (n_positive, n_negative), strict=True):
        variance += share * (1 - share) * (value - 0.5) ** 2 / (n + UNSEEN)
    return _on_logit_scale(shifted, variance)[0]


def _newcombe(value: float, n_positive: float, n_negative: float) -> float:
    """Return the lower end of Newcombe's score interval, by bisection.

    The interval contains each area t for which the value is within Z standard errors of t, with the
    variance of two exponential distributions.
    """
    more = max((n_positive + n_negative) / 2 - 1, 0.0)

    def is_likely(t: float) -> bool:
        spread = 1 + more * (1 - t) / (2 - t) + more * t / (1 + t)
        return value - t <= Z * math.sqrt(t * (1 - t) * spread / (n_positive * n_negative))

    low, high = 0.0, value
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if is_likely(middle) else (middle, high)
    return high


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))
