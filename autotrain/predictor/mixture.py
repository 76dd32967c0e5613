"""The predictive distribution of a regression: an equal mixture of S normal distributions.

    p(y | x) = 1/S Σ_s N(y; ŷ_s(x), 1/τ)          Gal & Ghahramani 2016, arXiv:1506.02142

ŷ_s is the prediction under mask s, 1/τ the noise that no amount of training explains. Everything
here is in the target's units.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

BLOCK_NUMBERS = 1 << 16
"""Samples worked on at a time: half a megabyte, for the cache."""
MOST_STEPS = 100
SMALL_STEP = 1e-5
"""In σ: after so small a step of Newton's method the error is about its square."""
SMALL_BRACKET = 1e-9
"""In standard deviations of the mixture."""


def log_likelihood(samples: Tensor, y: Tensor, tau: float | Tensor) -> Tensor:
    """Return log p(y | x) of each row `[N]`, in nats per unit of the target.

        logsumexp_s(−τ/2 (y − ŷ_s)²) − log S − ½ log 2π + ½ log τ

    Args:
        samples: ŷ `[S, N]`.
        y: `[N]`.
        tau: precision τ > 0.
    """
    tau = torch.as_tensor(tau, dtype=samples.dtype)
    exponent = -0.5 * tau * (y - samples) ** 2
    constant = 0.5 * torch.log(tau) - 0.5 * math.log(2 * math.pi) - math.log(len(samples))
    return torch.logsumexp(exponent, dim=0) + constant


def deviation(samples: Tensor) -> Tensor:
    """Return the standard deviation of the samples, over the first axis; 0 for one sample.

    torch's `std` gives the same and warns when there are no rows.
    """
    return (samples - samples.mean(0)).square_().mean(0).sqrt_()


def quantiles(samples: Tensor, tau: float, levels: Tensor) -> Tensor:
    """Return the mixture's quantiles `[N, Q]`: the y with p(Y ≤ y | x) = level.

    Newton's method inside a bracket: a quantile of a mixture lies between the smallest and the
    largest of its components' quantiles.

    Args:
        samples: ŷ `[S, N]`, float64.
        tau: precision τ > 0.
        levels: `[Q]`, each in (0, 1).
    """
    rows = max(BLOCK_NUMBERS // len(samples), 1)
    parts = [
        torch.stack([_quantile(part, tau**-0.5, float(level)) for level in levels], dim=1)
        for part in samples.split(rows, dim=1)
    ]
    return torch.cat(parts)


def _quantile(samples: Tensor, sigma: float, level: float) -> Tensor:
    z = float(torch.special.ndtri(torch.tensor(level, dtype=torch.float64)))
    low, high = samples.amin(0) + z * sigma, samples.amax(0) + z * sigma
    spread = deviation(samples)
    total = (spread**2 + sigma**2).sqrt()
    # Nearly normal when the noise rules; otherwise nearly a staircase with a step at each sample.
    start, steep = samples.mean(0) + z * total, spread > 2 * sigma
    if steep.any():
        start[steep] = samples[:, steep].quantile(level, dim=0)
    y = torch.clamp(start, low, high)
    active = torch.arange(len(y))
    for _ in range(MOST_STEPS):
        at, part = y[active], samples[:, active]
        u = (at - part) / sigma
        excess = torch.special.ndtr(u).mean(0) - level
        density = u.square_().mul_(-0.5).exp_().mean(0) / (sigma * math.sqrt(2 * math.pi))
        low[active] = torch.where(excess < 0, at, low[active])
        high[active] = torch.where(excess < 0, high[active], at)
        newton = at - excess / density
        inside = (newton > low[active]) & (newton < high[active])
        y[active] = torch.where(inside, newton, (low[active] + high[active]) / 2)
        small = inside & ((y[active] - at).abs() <= SMALL_STEP * sigma)
        narrow = high[active] - low[active] <= SMALL_BRACKET * total[active]
        # Rows end one by one: a few with far-apart samples need many steps, the others four.
        active = active[~(small | narrow)]
        if not len(active):
            break
    return y
