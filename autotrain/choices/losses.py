"""Losses and their gradients, each slot's mean over its batch.

fleet loss = Σ_slots mean_batch(loss), so a slot's gradient does not know its neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from autotrain.domains import Parameter


def softmax_cross_entropy(
    logits: Tensor, labels: Tensor, smoothing: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropy `[K]` and its gradient `[K, B, C]`.

        q = (1 − ε)·onehot + ε/C;   loss = −Σ q log p;   ∂loss/∂logits = (p − q)/B

    Args:
        logits: `[K, B, C]`.
        labels: `[K, B]`, class numbers, int64.
        smoothing: ε `[K, 1, 1]` in [0, 1), or None when 0 everywhere.
    Equals: `torch.nn.functional.cross_entropy(label_smoothing=ε)`.
    """
    k, b, c = logits.shape
    # Classes before rows: torch then computes many rows at a time.
    log_p = torch.log_softmax(logits.transpose(1, 2), dim=1)
    target = torch.zeros_like(log_p).scatter_(1, labels.unsqueeze(1), 1.0)
    if smoothing is not None:
        target = target.mul_(1 - smoothing).add_(smoothing / c)
    loss = (log_p * target).view(k, -1).sum(1).mul_(-1 / b)
    return loss, log_p.exp_().sub_(target).mul_(1 / b).transpose(1, 2)


def mean_squared_error(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of (ŷ − y)² `[K]` and its gradient 2(ŷ − y)/B `[K, B, 1]`.

    Args:
        outputs: `[K, B, 1]`.
        targets: `[K, B]`, in the scale the network is trained in.
    Equals: `torch.nn.functional.mse_loss`.
    """
    error = outputs - targets.unsqueeze(-1)
    return (error * error).mean(dim=(1, 2)), error * (2 / outputs.shape[1])


LOSS_PARAMETERS = {
    "label_smoothing": Parameter(
        0.0, "ε, share of the target spread over all classes", low=0.0, high=1.0, open_high=True
    ),
}
