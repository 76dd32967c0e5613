"""Leave out uncertain rows, so that few of the answered ones are wrong: risk control.

A row is answered if its doubt, 1 − p(predicted class) as trained, is at most a limit. For the m
most confident of n labelled rows, of which k are wrong, the limit is safe if

    P(Binomial(m, max_risk) ≤ k)  ≤  δ / 2        δ = 1 − confidence

which is the same as an upper Clopper-Pearson bound of at most `max_risk`. The numbers m are fixed
before the labels are seen, from few rows to all. Two sequences of tests, from the smallest and from
a middle number on, end at their first failure; each has half of δ. The largest m that passed
decides.

Guarantee: with a probability of at least `confidence` over the labelled rows, the error rate of the
answered new rows is at most `max_risk`. It holds for independent rows from one distribution that
did not train or choose the model, if less confident rows are wrong at least as often. Rows of
folds, and rows that also chose the model, have no guarantee (as for conformal sets).

Sources. Learn then test, fixed sequences with several starts: Angelopoulos, Bates, Candès, Jordan &
Lei 2021, arXiv:2110.01052, section 2. Risk control by upper bounds: Bates, Angelopoulos, Lei, Malik
& Jordan 2021, arXiv:2101.02703. Selective classification: Geifman & El-Yaniv 2017,
arXiv:1705.08500. The numbers of the starts are our own; measured: docs/benchmarks.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

STEPS = 50
"""Largest number of tests."""
N_STARTS = 2
MARGIN = 1.5
"""The first test has so much more rows than could pass with no wrong row."""


@dataclass(frozen=True)
class Abstention:
    """The rule that decides which rows are answered.

    Attributes:
        max_risk: largest error rate among the answered rows.
        confidence: probability that this holds.
        limit: a row is answered if 1 − p(predicted class), as trained, is at most this; None: no
            row can be answered.
        n_rows: number of labelled rows.
        n_answered: how many of them are answered.
        n_wrong: how many of the answered ones are wrong.
    Examples:
        >>> Abstention(0.05, 0.9, 0.2, n_rows=200, n_answered=150, n_wrong=3).share_answered
        0.75
    """

    max_risk: float
    confidence: float
    limit: float | None
    n_rows: int
    n_answered: int
    n_wrong: int

    @property
    def share_answered(self) -> float:
        """The fraction of the labelled rows that are answered."""
        return self.n_answered / self.n_rows

    def is_unsure(self, doubts: np.ndarray) -> np.ndarray:
        """Return which rows are not answered, `[N]` bool, for doubts `[N]`."""
        if self.limit is None:
            return np.ones(len(doubts), dtype=bool)
        return np.asarray(doubts > self.limit)


def control(
    doubts: np.ndarray, is_wrong: np.ndarray, max_risk: float, confidence: float
) -> Abstention:
    """Return the rule with the most answers that passes the tests.

    Args:
        doubts: `[N]` 1 − p(predicted class) of labelled rows.
        is_wrong: `[N]` bool.
        max_risk: in (0, 1).
        confidence: in (0, 1).
    """
    ordered = np.argsort(doubts, kind="stable")
    doubts, n_wrong = doubts[ordered], is_wrong[ordered].cumsum()
    steps = numbers_of_rows(len(doubts), max_risk, confidence)
    most = 0
    for start in _starts(len(steps)):
        for step in steps[start:]:
            # Rows of equal doubt are answered together.
            answered = int(np.searchsorted(doubts, doubts[step - 1], side="right"))
            tail = binomial_cdf(int(n_wrong[answered - 1]), answered, max_risk)
            if tail > (1 - confidence) / N_STARTS:
                break
            most = max(most, answered)
    return Abstention(
        max_risk=max_risk,
        confidence=confidence,
        limit=float(doubts[most - 1]) if most else None,
        n_rows=len(doubts),
        n_answered=most,
        n_wrong=int(n_wrong[most - 1]) if most else 0,
    )


def least_rows(max_risk: float, confidence: float) -> int:
    """Return the smallest number of rows, none of them wrong, that passes a test."""
    return math.ceil(math.log((1 - confidence) / N_STARTS) / math.log1p(-max_risk))


def numbers_of_rows(n_rows: int, max_risk: float, confidence: float) -> list[int]:
    """Return the numbers of answered rows to test, increasing; empty with too few rows."""
    least = least_rows(max_risk, confidence)
    if n_rows < least:
        return []
    first = min(MARGIN * least, n_rows)
    return sorted({round(number) for number in np.geomspace(first, n_rows, STEPS).tolist()})


def _starts(n_steps: int) -> Sequence[int]:
    return [n_steps * each // N_STARTS for each in range(N_STARTS)]


def binomial_cdf(k: int, n: int, p: float) -> float:
    """Return P(Binomial(n, p) ≤ k), for 0 < p < 1.

    Equal to `scipy.stats.binom.cdf`, which prediction must not need.
    """
    i = torch.arange(k + 1, dtype=torch.float64)
    total = torch.tensor(float(n), dtype=torch.float64)
    log_choose = torch.lgamma(total + 1) - torch.lgamma(i + 1) - torch.lgamma(total - i + 1)
    terms = log_choose + i * math.log(p) + (total - i) * math.log1p(-p)
    return min(float(torch.logsumexp(terms, 0).exp()), 1.0)
