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

from autotrain.techniques.technique import Parameter, Technique, Words, table


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
    Course("constant", "c(x) = 1", factor=lambda x: np.ones(len(x))),
    Course("flat_cos", "c(x) = 1 if x ≤ ½, else ½(1 + cos(π(2x − 1)))", factor=flat_cos),
)


def course() -> Parameter:
    """Return the hyperparameter that names a course."""
    return Words("constant", "c(x), what λ is multiplied by", words=tuple(COURSES))


WEIGHT_DECAYS = table(
    WeightDecay("none", "W ← W", decays=False),
    WeightDecay(
        "decoupled",
        "W ← W (1 − ηλc(x)) before each step",
        {"rate": Parameter(0.01, "λ", low=0.0), "course": course()},
        decays=True,
        note="Only weight matrices decay: not biases, batch norm, embeddings or scales. η is the "
        "scheduled learning rate without the factors of single parameters, and any optimizer "
        "takes the step. The optimizer adamw has a decay of its own, on all parameters: with both, "
        "weight matrices decay twice.",
    ),
)
