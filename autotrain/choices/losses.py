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
    _, b, c = logits.shape
    log_p = torch.log_softmax(logits, dim=-1)
    index = labels.unsqueeze(-1)
    true_log_p = log_p.gather(-1, index)
    gradient = log_p.exp()
    if smoothing is None:
        loss = -true_log_p.mean(dim=(1, 2))
        gradient.scatter_add_(-1, index, gradient.new_full((1, 1, 1), -1.0).expand_as(index))
    else:
        mean_log_p = log_p.mean(dim=-1, keepdim=True)
        loss = -((1 - smoothing) * true_log_p + smoothing * mean_log_p).mean(dim=(1, 2))
        gradient -= smoothing / c
        gradient.scatter_add_(-1, index, (smoothing - 1).expand_as(index))
    return loss, gradient.mul_(1 / b)


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
