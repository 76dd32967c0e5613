"""Gradient clipping, slot by slot.

A row changes gradients in place, between the backward pass and the optimizer. To add one: write
its `clip` and add a row to `CLIPPINGS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autotrain.techniques.technique import Parameter, Technique, table

# As in torch: keeps 0/0 away when a gradient vanishes.
EPSILON = 1e-6


@dataclass(frozen=True, kw_only=True)
class Clipping(Technique):
    """A row of `CLIPPINGS`.

    Args:
        clip: (flat `[K, P]`, tensors, threshold `[K, 1]`) → None. `tensors` are views into
            `flat`, `[K, n]` each, one per parameter tensor of the network.
    """

    clip: Callable[[Tensor, Sequence[Tensor], Tensor], None] | None


def clip_value(flat: Tensor, tensors: Sequence[Tensor], threshold: Tensor) -> None:
    """Clamp every component into [−t, t]; this changes the gradient's direction.

    Equals: `torch.nn.utils.clip_grad_value_`.
    """
    torch.clamp(flat, -threshold, threshold, out=flat)


def clip_global_norm(flat: Tensor, tensors: Sequence[Tensor], threshold: Tensor) -> None:
    """Scale the slot's whole gradient: g ← g · min(1, t / ‖g‖₂); the direction is kept.

    Source: Pascanu et al. 2013, arXiv:1211.5063. Equals: `torch.nn.utils.clip_grad_norm_`.
    """
    norm = torch.linalg.vector_norm(flat, dim=1, keepdim=True)
    flat *= (threshold / (norm + EPSILON)).clamp(max=1.0)


def clip_norm(flat: Tensor, tensors: Sequence[Tensor], threshold: Tensor) -> None:
    """Scale each parameter tensor on its own to L2 norm ≤ t.

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
        "g ← g · min(1, t/‖g‖₂), g all gradients of the network together",
        _threshold(1.0, "t, the largest norm of the whole gradient"),
        clip=clip_global_norm,
    ),
)
