"""Gradient clipping, slot by slot.

A row changes gradients in place, between the backward pass and the optimizer. To add a kind of
clipping, write its `clip` and add a row to `CLIPPINGS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autotrain.techniques.technique import Parameter, Technique, table

# As in torch; it prevents 0/0 if a gradient is 0.
EPSILON = 1e-6


@dataclass(frozen=True, kw_only=True)
class Clipping(Technique):
    """A row of `CLIPPINGS`.

    Args:
        clip: (flat `[K, P]`, tensors, threshold `[K, 1]`) → None. `tensors` are views into
            `flat`, `[K, n]` each, one per parameter tensor of the network. None for no clipping.
    """

    clip: Callable[[Tensor, Sequence[Tensor], Tensor], None] | None


def clip_value(flat: Tensor, tensors: Sequence[Tensor], threshold: Tensor) -> None:
    """Clamp every component to [−t, t]; this changes the direction of the gradient.

    It stops single exploding components, for example behind a rare input.

    Args:
        flat: gradients, `[K, P]`; changed in place.
        tensors: views into `flat`, `[K, n]` each.
        threshold: t, `[K, 1]`.
    Examples:
        >>> g = torch.tensor([[3.0, -0.5, 0.0]])
        >>> clip_value(g, (), torch.tensor([[1.0]]))
        >>> g
        tensor([[ 1.0000, -0.5000,  0.0000]])

    Equals: `torch.nn.utils.clip_grad_value_`.
    """
    torch.clamp(flat, -threshold, threshold, out=flat)


def clip_global_norm(flat: Tensor, tensors: Sequence[Tensor], threshold: Tensor) -> None:
    """Scale the whole gradient of each slot: g ← g · min(1, t / ‖g‖₂).

    This keeps the direction of the gradient. Use it when deep networks diverge. Arguments as in
    `clip_value`.

    Examples:
        >>> g = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
        >>> clip_global_norm(g, (), torch.tensor([[1.0], [1.0]]))
        >>> g
        tensor([[0.6000, 0.8000],
                [0.3000, 0.4000]])

    Source: Pascanu et al. 2013, arXiv:1211.5063. Equals: `torch.nn.utils.clip_grad_norm_`.
    """
    norm = torch.linalg.vector_norm(flat, dim=1, keepdim=True)
    flat *= (threshold / (norm + EPSILON)).clamp(max=1.0)


def clip_norm(flat: Tensor, tensors: Sequence[Tensor], threshold: Tensor) -> None:
    """Scale each parameter tensor separately to an L2 norm of at most t.

    Arguments as in `clip_value`.

    Examples:
        >>> g = torch.tensor([[3.0, 4.0, 0.5]])
        >>> clip_norm(g, (g[:, :2], g[:, 2:]), torch.tensor([[1.0]]))
        >>> g
        tensor([[0.6000, 0.8000, 0.5000]])

    Equals: Keras's `clipnorm`; `clip_grad_norm_` called once per parameter tensor.
    """
    for tensor in tensors:
        clip_global_norm(tensor, (), threshold)


def _threshold(default: float, doc: str) -> dict[str, Parameter]:
    return {"threshold": Parameter(default, doc, low=0.0, open_low=True)}


CLIPPINGS = table(
    Clipping("none", "g ← g", clip=None),
    Clipping(
        "value",
        "gᵢ ← min(max(gᵢ, −t), t) for each component",
        _threshold(1.0, "t, the largest component"),
        clip=clip_value,
    ),
    Clipping(
        "norm",
        "g ← g · min(1, t/‖g‖₂) for each parameter tensor",
        _threshold(1.0, "t, the largest norm of one tensor"),
        clip=clip_norm,
    ),
    Clipping(
        "global_norm",
        "g ← g · min(1, t/‖g‖₂), g the gradient of all parameters together",
        _threshold(1.0, "t, the largest norm of the whole gradient"),
        clip=clip_global_norm,
    ),
)
