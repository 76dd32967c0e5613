"""Losses and their gradients: for each slot the mean over its batch.

The loss of a fleet is Σ_slots mean_batch(w · loss), so the gradient of a slot does not depend on
other slots. Sample weights w `[K, B]` have mean 1 over the training rows, not over each batch, so
the weight of a row does not depend on the rest of its batch. None means equal weights.
"""

from __future__ import annotations

import torch
from torch import Tensor

from autotrain.techniques.technique import Parameter


def softmax_cross_entropy(
    logits: Tensor, labels: Tensor, smoothing: Tensor | None, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropy `[K]` and its gradient `[K, B, C]`.

        q = (1 − ε)·onehot + ε/C;   loss = −Σ w Σ q log p / B;   ∂loss/∂logits = w (p − q)/B

    Args:
        logits: `[K, B, C]`.
        labels: class numbers, `[K, B]` int64.
        smoothing: ε in [0, 1), `[K, 1, 1]`; None for 0 in all slots.
        weights: w, `[K, B]`; None for 1.
    Examples:
        >>> logits, labels = torch.tensor([[[2.0, 0.0], [0.0, 0.0]]]), torch.tensor([[0, 1]])
        >>> softmax_cross_entropy(logits, labels, None)
        (tensor([0.4100]), tensor([[[-0.0596,  0.0596],
                 [ 0.2500, -0.2500]]]))

    Equals: `torch.nn.functional.cross_entropy(label_smoothing=ε)` of each row, times its weight.
    """
    k, b, c = logits.shape
    # With the classes before the rows, torch vectorizes over the rows.
    log_p = torch.log_softmax(logits.transpose(1, 2), dim=1)
    target = torch.zeros_like(log_p).scatter_(1, labels.unsqueeze(1), 1.0)
    if smoothing is not None:
        target = target.mul_(1 - smoothing).add_(smoothing / c)
    terms = log_p * target
    if weights is not None:
        terms = terms.mul_(weights.unsqueeze(1))
    loss = terms.view(k, -1).sum(1).mul_(-1 / b)
    gradient = log_p.exp_().sub_(target).mul_(1 / b)
    if weights is not None:
        gradient = gradient.mul_(weights.unsqueeze(1))
    return loss, gradient.transpose(1, 2)


def mean_squared_error(
    outputs: Tensor, targets: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the mean of w (ŷ − y)² `[K]` and its gradient 2w (ŷ − y)/B `[K, B, 1]`.

    Args:
        outputs: ŷ, `[K, B, 1]`.
        targets: y, standardized, `[K, B]`.
        weights: w, `[K, B]`; None for 1.
    Examples:
        >>> mean_squared_error(torch.tensor([[[1.0], [2.0]]]), torch.tensor([[0.0, 2.0]]))
        (tensor([0.5000]), tensor([[[1.],
                 [0.]]]))

    Equals: `torch.nn.functional.mse_loss` of each row, times its weight.
    """
    error = outputs - targets.unsqueeze(-1)
    weighted = error if weights is None else error * weights.unsqueeze(-1)
    return (weighted * error).mean(dim=(1, 2)), weighted * (2 / outputs.shape[1])


def pinball(
    outputs: Tensor, targets: Tensor, quantile: float, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the mean pinball loss `[K]` and its gradient `[K, B, 1]`.

        loss = w q (y − ŷ) if y > ŷ, else w (1 − q)(ŷ − y);   ∂loss/∂ŷ = w (1{y ≤ ŷ} − q)/B

    At y = ŷ any slope between the two is a subgradient. The loss is lowest if a fraction q of the
    rows is below ŷ, so the network learns the quantile instead of the mean.

    Args:
        outputs, targets, weights: as in `mean_squared_error`.
        quantile: q in (0, 1).
    Examples:
        >>> pinball(torch.tensor([[[1.0], [1.0]]]), torch.tensor([[0.0, 2.0]]), 0.9)
        (tensor([0.5000]), tensor([[[ 0.0500],
                 [-0.4500]]]))

    Source: Koenker & Bassett 1978, "Regression Quantiles", Econometrica 46.
    """
    error = outputs - targets.unsqueeze(-1)
    slope = (error >= 0).to(error.dtype).sub_(quantile)
    if weights is not None:
        slope = slope.mul_(weights.unsqueeze(-1))
    return (slope * error).mean(dim=(1, 2)), slope / outputs.shape[1]


LOSS_PARAMETERS = {
    "label_smoothing": Parameter(
        0.0,
        "ε, fraction of the target that is spread over all classes",
        low=0.0,
        high=1.0,
        open_high=True,
    ),
}
