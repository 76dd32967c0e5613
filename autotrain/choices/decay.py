"""Decoupled weight decay, and how a strength (of decay or of dropout) moves over training.

    W ← W (1 − η λ c(x)),   x the share of training done

Weight matrices decay, biases, norms, scales and embeddings do not; any optimizer may take the step
after it. To add a way to decay, add a row to `WEIGHT_DECAYS`; for a course, add one to `COURSES`.

Source: Loshchilov & Hutter 2019, arXiv:1711.05101.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from autotrain.domains import Parameter, Technique, Words, table


@dataclass(frozen=True, kw_only=True)
class Course(Technique):
    """A row of `COURSES`: share of training done `[n]` → factor `[n]` in [0, 1]."""

    factor: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class WeightDecay(Technique):
    """A row of `WEIGHT_DECAYS`: whether weights decay."""

    decays: bool


def flat_cos(x: np.ndarray) -> np.ndarray:
    """1 up to half time, then half a cosine down to 0.

    Source: Holzmüller et al. 2024, arXiv:2407.04491, section 3.4.
    """
    return 0.5 * (1 + np.cos(np.pi * np.clip(2 * x - 1, 0, 1)))


COURSES = table(
    Course("constant", "the same all the time", factor=lambda x: np.ones(len(x))),
    Course("flat_cos", "the same up to half time, then half a cosine to 0", factor=flat_cos),
)


def course() -> Parameter:
    """Return the hyperparameter that names a course."""
    return Words("constant", "how it moves over training", words=tuple(COURSES))


WEIGHT_DECAYS = table(
    WeightDecay("none", "weights do not decay", decays=False),
    WeightDecay(
        "decoupled",
        "W ← W(1 − ηλ) before each step, whatever the optimizer; not biases, norms, embeddings",
        {"rate": Parameter(0.01, "λ", low=0.0), "course": course()},
        decays=True,
    ),
)
