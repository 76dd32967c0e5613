"""Parametrizations: the scale between the learned values of a layer and its weights.

    z = h (s V) + b, where V is learned; the initializer draws W = s V

Optimizer, clipping, penalties and weight decay act on V, constraints on W. To add a
parametrization, add a row to `PARAMETRIZATIONS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from autotrain.techniques.technique import Parameter, Technique, table


@dataclass(frozen=True, kw_only=True)
class Parametrization(Technique):
    """A row of `PARAMETRIZATIONS`.

    Args:
        scale: fan_in → s of z = h (s V) + b.
    """

    scale: Callable[[int], float]


PARAMETRIZATION_PARAMETERS = {
    "bias_learning_rate": Parameter(
        1.0, "factor on the learning rate of biases", low=0.0, open_low=True
    ),
}

PARAMETRIZATIONS = table(
    Parametrization("standard", "z = hV + b", scale=lambda fan_in: 1.0),
    # Jacot et al. 2018, arXiv:1806.07572; as used in Holzmüller et al. 2024, arXiv:2407.04491.
    Parametrization(
        "ntk",
        "z = hV/√fan_in + b",
        scale=lambda fan_in: 1 / math.sqrt(fan_in),
        note="With Adam, wider layers take smaller steps. Optimizer, clipping, penalties and "
        "weight decay act on V, constraints on V/√fan_in.",
    ),
)
