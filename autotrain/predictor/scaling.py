"""The scalers of techniques/scalers.py in torch, for the module that `to_torch` returns.

All functions map numbers `[N, P]` to `[N, P]`, with arrays `[…, P]` of the scaler. Each formula is
written a second time, because an exported graph must contain it. A test compares the two for every
row of `SCALERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from autotrain.techniques.scalers import (
    LEAST_NUMBER,
    QUANTILE_EDGE,
    SMOOTH_CLIP,
    normal_quantile,
)

MOST = 1e100
Tensors = Mapping[str, Tensor]


def standard(x: Tensor, p: Tensors) -> Tensor:
    """z = (x − mean) / scale."""
    return (x - p["mean"]) / p["scale"]


def none(x: Tensor, p: Tensors) -> Tensor:
    """z = (x − shift) · factor: x itself for ordinary columns."""
    return (x - p["shift"]) * p["factor"]


def robust_smooth_clip(x: Tensor, p: Tensors) -> Tensor:
    """u = (x − median) · factor;  z = u / √(1 + (u/3)²)."""
    # Beyond this limit z is 3 to the last digit; without the limit the square could overflow.
    u = _clip((x - p["median"]) * p["factor"], -MOST, MOST)
    return u / torch.sqrt(1 + (u / SMOOTH_CLIP) ** 2)


def quantile_normal(x: Tensor, p: Tensors) -> Tensor:
    """z = Φ⁻¹(rank); equal quantiles get the middle of their ranks."""
    q, x = _flushed(p["quantiles"]), _flushed(x)
    n = len(q)
    if n == 1:
        return torch.zeros_like(x)
    x = torch.minimum(torch.maximum(x, q[0]), q[-1])
    up = _rank(x, q, (q.unsqueeze(0) <= x.unsqueeze(1)).sum(1) - 1)
    down = _rank(x, q, (q.unsqueeze(0) < x.unsqueeze(1)).sum(1) - 1)
    rank = (up + down) / 2
    return normal_quantile(_clip(rank, QUANTILE_EDGE, 1 - QUANTILE_EDGE), torch)


def _clip(x: Tensor, low: float, high: float) -> Tensor:
    # Not `clamp`, because a graph would store its limits in single precision.
    limits = x.new_tensor([low, high])
    return torch.minimum(torch.maximum(x, limits[0]), limits[1])


def _flushed(x: Tensor) -> Tensor:
    return torch.where(x.abs() < LEAST_NUMBER, 0.0, x)


def _rank(x: Tensor, q: Tensor, below: Tensor) -> Tensor:
    """Return the rank, interpolated between quantile `below` and the next one."""
    n = len(q)
    low = below.clamp(0, n - 2)
    left, right = q.gather(0, low), q.gather(0, low + 1)
    width = right - left
    share = torch.where(width > 0, (x - left) / torch.where(width > 0, width, 1.0), 0.0)
    return torch.where(below >= n - 1, n - 1.0, low + share) / (n - 1)


SCALINGS: dict[str, Callable[[Tensor, Tensors], Tensor]] = {
    "standard": standard,
    "robust_smooth_clip": robust_smooth_clip,
    "quantile_normal": quantile_normal,
    "none": none,
}
