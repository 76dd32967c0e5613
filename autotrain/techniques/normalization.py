"""Batch normalization of K slots, and its position relative to the activation.

    x̂ = (x − μ) / √(σ² + ε),   y = γ x̂ + β          Ioffe & Szegedy 2015, arXiv:1502.03167

μ and σ² are statistics of the batch in training and moving averages in prediction. `momentum` has
Keras's meaning: v̄ ← v̄·momentum + v·(1 − momentum), so 0.9 here is 0.1 in torch. To add a position,
add a row to `BATCH_NORMS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from autotrain.techniques.technique import Parameter, Technique, table


@dataclass(frozen=True, kw_only=True)
class BatchNorm(Technique):
    """A row of `BATCH_NORMS`.

    Args:
        before: whether the input of the activation is normalized.
        after: whether its output is normalized.
    """

    before: bool = False
    after: bool = False


class BatchNormCache(NamedTuple):
    """Values that the backward pass needs from the forward pass.

    Args:
        centered: x − μ, `[K, B, H]`.
        inverse_std: 1/√(σ² + ε), `[K, 1, H]`.
    """

    centered: Tensor
    inverse_std: Tensor


def normalize_batch(
    x: Tensor, gamma: Tensor, beta: Tensor, epsilon: Tensor, centered: Tensor | None = None
) -> tuple[Tensor, BatchNormCache, Tensor, Tensor]:
    """Normalize by the statistics of the batch.

    It uses means and products, because `torch.var_mean` took a hundred times as long.

    Args:
        x: `[K, B, H]`.
        gamma, beta: `[K, 1, H]`.
        epsilon: `[K, 1, 1]`.
        centered: memory for x − μ, which may be `x` itself; None for new memory.
    Returns: y `[K, B, H]`, the cache, and mean and *biased* variance of the batch, `[K, 1, H]`.
    Examples:
        >>> x = torch.tensor([[[1.0], [3.0]]])
        >>> one, zero = torch.ones(1, 1, 1), torch.zeros(1, 1, 1)
        >>> y, _, mean, variance = normalize_batch(x, one, zero, 0.0 * one)
        >>> y, mean, variance
        (tensor([[[-1.],
                 [ 1.]]]), tensor([[[2.]]]), tensor([[[1.]]]))

    Equals: `torch.nn.BatchNorm1d` in training mode, slot by slot.
    """
    mean = x.mean(1, keepdim=True)
    centered = torch.sub(x, mean, out=centered)
    variance = (centered * centered).mean(1, keepdim=True)
    inverse_std = torch.rsqrt(variance + epsilon)
    y = torch.addcmul(beta, centered, gamma * inverse_std)
    return y, BatchNormCache(centered, inverse_std), mean, variance


def batch_norm_gradient(
    dy: Tensor,
    gamma: Tensor,
    cache: BatchNormCache,
    dx: Tensor | None = None,
    d_gamma: Tensor | None = None,
    d_beta: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of `normalize_batch`: dx `[K, B, H]`, dγ and dβ `[K, 1, H]`.

        x̂ = (x − μ)/√(σ²+ε),   dβ = Σ dy,   dγ = Σ dy · x̂
        dx = γ/√(σ²+ε) · (dy − dβ/B − x̂ · dγ/B)

    Args:
        dy: ∂loss/∂y, `[K, B, H]`.
        gamma: γ, `[K, 1, H]`.
        cache: from `normalize_batch`.
        dx, d_gamma, d_beta: memory for the results; `dx` may be `dy` itself. None for new memory.
    """
    b = dy.shape[1]
    centered, inverse_std = cache
    d_beta = torch.sum(dy, 1, keepdim=True, out=d_beta)
    d_gamma = torch.mul((dy * centered).sum(1, keepdim=True), inverse_std, out=d_gamma)
    scale = gamma * inverse_std
    share = scale * (-1 / b)
    dx = torch.addcmul(share * d_beta, dy, scale, out=dx)
    dx.addcmul_(centered, share.mul_(inverse_std).mul_(d_gamma))
    return dx, d_gamma, d_beta


def normalize_moving(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    mean: Tensor,
    variance: Tensor,
    epsilon: Tensor,
    out: Tensor | None = None,
) -> Tensor:
    """Return x normalized by the moving statistics, `[K, B, H]`, as in prediction.

    The mean is subtracted first. For raw inputs, x and μ can be thousands of standard deviations,
    and the difference of their products with the scale would lose digits.

    Args:
        x: `[K, B, H]`.
        gamma, beta, mean, variance: `[K, 1, H]`.
        epsilon: `[K, 1, 1]`.
        out: memory for the result, which may be `x` itself; None for new memory.
    Examples:
        >>> one, zero = torch.ones(1, 1, 1), torch.zeros(1, 1, 1)
        >>> normalize_moving(torch.tensor([[[1.0], [3.0]]]), one, zero, zero, 4 * one, 0.0 * one)
        tensor([[[0.5000],
                 [1.5000]]])
    """
    centered = torch.sub(x, mean, out=out)
    scale = gamma * torch.rsqrt(variance + epsilon)
    return torch.addcmul(beta, centered, scale, out=out)


def update_moving(
    moving_mean: Tensor,
    moving_variance: Tensor,
    mean: Tensor,
    variance: Tensor,
    momentum: Tensor,
    batch_size: int,
) -> None:
    """Move the averages towards the batch's statistics, in place.

    As in torch, the unbiased variance is averaged; Keras averages the biased one.

    Args:
        moving_mean, moving_variance: the averages, `[K, 1, H]`; changed in place.
        mean, variance: statistics of the batch, `[K, 1, H]`; the variance is biased.
        momentum: weight of the past, `[K, 1, 1]`.
        batch_size: number of rows of the batch.
    """
    unbiased = variance * (batch_size / max(batch_size - 1, 1))
    torch.lerp(mean, moving_mean, momentum, out=moving_mean)
    torch.lerp(unbiased, moving_variance, momentum, out=moving_variance)


BATCH_NORM_PARAMETERS = {
    "input": Parameter(False, "also normalize the inputs, after the input layer", kind="boolean"),
    "momentum": Parameter(
        0.9,
        "weight of the past in v̄ ← v̄·momentum + v·(1 − momentum)",
        low=0.0,
        high=1.0,
        open_high=True,
    ),
    "epsilon": Parameter(1e-5, "ε, added to the variance", low=1e-12),
}

BATCH_NORMS = table(
    BatchNorm("off", "h = f(z)"),
    BatchNorm("before_activation", "h = f(BN(z))", before=True),
    BatchNorm("after_activation", "h = BN(f(z))", after=True),
)
