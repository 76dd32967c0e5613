"""Penalties on weight matrices; biases and batch normalization have none.

    loss + λ₁ Σ|w| + λ₂ Σw²

Both can be used together. To add a penalty, write it and its gradient and add a row to
`REGULARIZERS`; the name of the row is the name of its parameter in `[regularizer]`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from autotrain.techniques.technique import Parameter, Technique, table


@dataclass(frozen=True, kw_only=True)
class Regularizer(Technique):
    """A row of `REGULARIZERS`.

    Args:
        penalty: (w `[K, P]`, λ `[K, 1]`) → addition to the loss, `[K]`.
        gradient: (w, λ) → addition to the gradient, `[K, P]`.
    Examples:
        >>> l2, w = REGULARIZERS["l2"], torch.tensor([[1.0, -2.0]])
        >>> l2.penalty(w, torch.tensor([[0.1]])), l2.gradient(w, torch.tensor([[0.1]]))
        (tensor([0.5000]), tensor([[ 0.2000, -0.4000]]))
    """

    penalty: Callable[[Tensor, Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor], Tensor]


REGULARIZERS = table(
    Regularizer(
        "l1",
        "loss ← loss + λ₁ Σ|w|",
        {"l1": Parameter(0.0, "λ₁: adds λ₁ Σ|w| to the loss, λ₁ sign(w) to the gradient", low=0.0)},
        penalty=lambda w, strength: (strength * w.abs()).sum(-1),
        gradient=lambda w, strength: strength * torch.sign(w),
    ),
    Regularizer(
        "l2",
        "loss ← loss + λ₂ Σw²",
        {"l2": Parameter(0.0, "λ₂: adds λ₂ Σw² to the loss, 2λ₂w to the gradient", low=0.0)},
        penalty=lambda w, strength: (strength * w * w).sum(-1),
        gradient=lambda w, strength: 2 * strength * w,
    ),
)
