"""Constraints that weight matrices satisfy after every step.

To add a constraint, write its `apply` and add a row to `CONSTRAINTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from autotrain.techniques.technique import Parameter, Technique, table


@dataclass(frozen=True, kw_only=True)
class Constraint(Technique):
    """A row of `CONSTRAINTS`.

    Args:
        apply: (V `[K, I, O]`, parameters `[K, 1, 1]` each, s) → None; changes V in place so that
            W = s V satisfies the constraint. s is `[K, 1, 1]` or 1
            (`techniques/parametrizations.py`). None for no constraint.
    """

    apply: Callable[[Tensor, Mapping[str, Tensor], Tensor | float], None] | None


def max_norm(weights: Tensor, parameters: Mapping[str, Tensor], scale: Tensor | float) -> None:
    """Scale each unit's incoming weights to ‖w‖₂ ≤ r: w ← w · r/‖w‖₂ where ‖w‖₂ > r.

    It bounds the weights however large η is, so it allows large learning rates with dropout.

    Args:
        weights: V, `[K, I, O]`; changed in place.
        parameters: "max_value", r, `[K, 1, 1]`.
        scale: s of W = s V, `[K, 1, 1]` or 1.
    Examples:
        >>> weights = torch.tensor([[[3.0, 0.1], [4.0, 0.2]]])
        >>> max_norm(weights, {"max_value": torch.tensor([[[1.0]]])}, 1.0)
        >>> weights
        tensor([[[0.6000, 0.1000],
                 [0.8000, 0.2000]]])

    Source: Srivastava et al. 2014, §5.1. Equals: Keras's `MaxNorm(axis=0)` up to its ε.
    """
    norms = torch.linalg.vector_norm(weights, dim=1, keepdim=True)
    limit = parameters["max_value"] / scale
    weights *= torch.where(norms > limit, limit / norms, 1.0)


CONSTRAINTS = table(
    Constraint("none", "W ← W", apply=None),
    Constraint(
        "max_norm",
        "w ← w · min(1, r/‖w‖₂) after every step, w a unit's incoming weights",
        {"max_value": Parameter(3.0, "r, the largest norm", low=0.0, open_low=True)},
        apply=max_norm,
    ),
)
