"""Batch normalization, for K slots at once, and where it may stand.

    x̂ = (x − μ) / √(σ² + ε),   y = γ x̂ + β          Ioffe & Szegedy 2015, arXiv:1502.03167

μ and σ² are those of the batch when training and the moving averages when predicting. `momentum`
is Keras's: v̄ ← v̄·momentum + v·(1 − momentum), so 0.9 here is 0.1 in torch. To add a placement,
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
    """A row of `BATCH_NORMS`: which side of the activation is normalized, if any."""

    before: bool = False
    after: bool = False


class BatchNormCache(NamedTuple):
    """What the backward pass needs: x − μ `[K, B, H]` and 1/√(σ² + ε) `[K, 1, H]`."""

    centered: Tensor
    inverse_std: Tensor


def normalize_batch(
    x: Tensor, gamma: Tensor, beta: Tensor, epsilon: Tensor, centered: Tensor | None = None
) -> tuple[Tensor, BatchNormCache, Tensor, Tensor]:
    """Normalize by the statistics of the batch.

    Means over the batch axis and plain products: `var_mean` measured a hundred times slower.

    Args:
        x: `[K, B, H]`.
        gamma, beta: `[K, 1, H]`.
        epsilon: `[K, 1, 1]`.
        centered: where to write x − μ, for the cache; may be `x` itself. None: a new tensor.
    Returns: y `[K, B, H]`, the cache, and the batch's mean and *biased* variance `[K, 1, H]`.
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
    """Return (dx `[K, B, H]`, dγ `[K, 1, H]`, dβ `[K, 1, H]`) of `normalize_batch`.

        x̂ = (x − μ)/√(σ²+ε),   dβ = Σ dy,   dγ = Σ dy · x̂
        dx = γ/√(σ²+ε) · (dy − dβ/B − x̂ · dγ/B)

    Args:
        dx, d_gamma, d_beta: where to write the results; `dx` may be `dy` itself. None: new tensors.
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
    """Normalize `[K, B, H]` by moving statistics `[K, 1, H]`: the predicting side.

    The mean is subtracted first: of raw inputs, x and μ may be thousands of standard deviations,
    and the difference of their products with the scale would lose that many digits.

    `out` is where to write the result; it may be `x` itself.
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

    The variance that is averaged is the unbiased one, as in torch; Keras averages the biased one.

    Args:
        moving_mean, moving_variance, mean, variance: `[K, 1, H]`; `variance` biased.
        momentum: `[K, 1, 1]`, Keras's convention.
    """
    unbiased = variance * (batch_size / max(batch_size - 1, 1))
    torch.lerp(mean, moving_mean, momentum, out=moving_mean)
    torch.lerp(unbiased, moving_variance, momentum, out=moving_variance)


BATCH_NORM_PARAMETERS = {
    "input": Parameter(
        False, "also normalize the inputs, right after the input layer", kind="boolean"
    ),
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
