"""Annealing: how the strength of weight decay or of dropout changes during training.

A row is a factor c(x), where x is the fraction of training that is done. `decay.py` multiplies λ by
it, `dropout.py` the rates. To add a row, write its factor and add it to `ANNEALINGS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from autotrain.techniques.technique import Technique, Words, table


@dataclass(frozen=True, kw_only=True)
class Annealing(Technique):
    """A row of `ANNEALINGS`.

    Args:
        factor: fraction of training done `[n]` → factor `[n]` in [0, 1].
    """

    factor: Callable[[np.ndarray], np.ndarray]


def flat_cos(x: np.ndarray) -> np.ndarray:
    """Return 1 in the first half of training, then half a cosine down to 0, `[n]`.

    Strong regularization guides the first half; the second half fits the rows exactly.

    Args:
        x: fraction of training done, `[n]`.
    Examples:
        >>> flat_cos(np.array([0.0, 0.5, 0.75, 1.0]))
        array([1. , 1. , 0.5, 0. ])

    Source: Holzmüller et al. 2024, arXiv:2407.04491, section 3.4.
    """
    return 0.5 * (1 + np.cos(np.pi * np.clip(2 * x - 1, 0, 1)))


ANNEALINGS = table(
    Annealing("constant", "c(x) = 1", factor=lambda x: np.ones(len(x))),
    Annealing("flat_cos", "c(x) = 1 if x ≤ ½, else ½(1 + cos(π(2x − 1)))", factor=flat_cos),
)


def annealing(doc: str) -> Words:
    """Return the hyperparameter that names a row of `ANNEALINGS`, with its documentation."""
    return Words("constant", doc, words=tuple(ANNEALINGS))
