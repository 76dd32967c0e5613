"""The predictive distribution of a regression: an equal mixture of S Student t distributions.

    p(y | x) = 1/S Σ_s t_ν(y; m_s(x), σ)          m_s(x) = ȳ(x) + c (ŷ_s(x) − ȳ(x))

ŷ_s is the prediction under mask s and ȳ their mean. σ and ν describe the error that dropout does
not explain; the factor c scales the spread of the samples. ν = ∞ is the normal distribution; with
c = 1 it is the mixture of Gal & Ghahramani 2016, arXiv:1506.02142, whose precision is τ = 1/σ².
Everything here is in the target's units.

ν is even or infinite: then the distribution function has a closed form, and neither SciPy nor a
table is needed (Abramowitz & Stegun 1964, 26.7.4).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

BLOCK_NUMBERS = 1 << 16
"""Largest number of samples computed at a time: half a megabyte, which fits the cache."""
MOST_STEPS = 100
SMALL_STEP = 1e-5
"""In σ. After such a small step of Newton's method the error is about its square."""
SMALL_BRACKET = 1e-9
"""In standard deviations of the mixture."""
ONE_SIGMA = 0.8413447460685429
"""Φ(1): a normal error is below one standard deviation with this probability."""


class Noise(NamedTuple):
    """The error of a regression that dropout does not explain.

    Args:
        dof: ν, degrees of freedom of Student's t distribution: even, or infinite (normal).
        scale: σ > 0, in the target's units.
        spread: c ≥ 0, factor on the spread of the Monte-Carlo samples.
    """

    dof: float
    scale: float
    spread: float = 1.0

    @classmethod
    def normal(cls, tau: float) -> Noise:
        """Return normal noise of precision τ, without a change of the samples' spread.

        Examples:
            >>> Noise.normal(tau=4.0).scale
            0.5
        """
        return cls(math.inf, tau**-0.5)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Noise:
        """Return the noise that `to_json` wrote."""
        dof = record["dof"]
        # JSON may contain an integer, whose square need not fit into a tensor's 64 bits.
        scale, spread = float(record["scale"]), float(record["spread"])
        return cls(math.inf if dof is None else float(dof), scale, spread)

    def to_json(self) -> dict[str, Any]:
        """Return the noise as JSON, with the typical error for the model card.

        The dof of normal noise is null.
        """
        dof = None if math.isinf(self.dof) else int(self.dof)
        return {
            "dof": dof,
            "scale": self.scale,
            "spread": self.spread,
            "typical_error": self.typical_error,
        }

    @property
    def typical_error(self) -> float:
        """The 68 % quantile of the absolute error where all samples agree.

        It is the standard deviation of normal noise. With heavy tails the standard deviation would
        be of little use: it follows the few largest errors, and is infinite for ν = 2.
        """
        return self.scale * standard_quantile(self.dof, ONE_SIGMA)

    def centers(self, samples: Tensor) -> Tensor:
        """Return m `[S, N]` of samples ŷ `[S, N]`."""
        if self.spread == 1:
            return samples
        mean = samples.mean(0)
        return mean + self.spread * (samples - mean)


def noise_in(calibration: Mapping[str, Any], name: str) -> Noise | None:
    """Return the noise that a bundle contains under a name; None when it has none."""
    record = calibration.get(name)
    return None if record is None else Noise.from_json(record)


def standard_cdf(dof: float, u: Tensor) -> Tensor:
    """Return the distribution function of the standard normal or t distribution, shaped like u.

    F(u) = ½ + ½ sin θ Σ_{j < ν/2} a_j cos^{2j} θ,   tan θ = u/√ν,   a_j = a_{j−1} (2j − 1)/2j
    """
    if math.isinf(dof):
        return torch.special.ndtr(u)
    squared = u * u
    cosine, term = dof / (dof + squared), torch.ones_like(u)
    total = term
    for j in range(1, int(dof) // 2):
        term = term * cosine * ((2 * j - 1) / (2 * j))
        total = total + term
    return 0.5 + 0.5 * total * u / (dof + squared).sqrt()


def standard_log_density(dof: float, u: Tensor) -> Tensor:
    """Return the log density of the standard normal or t distribution, shaped like u."""
    if math.isinf(dof):
        return -0.5 * u * u - 0.5 * math.log(2 * math.pi)
    constant = math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2) - 0.5 * math.log(dof * math.pi)
    return constant - (dof + 1) / 2 * torch.log1p(u * u / dof)


def standard_quantile(dof: float, level: float) -> float:
    """Return the quantile of the standard normal or t distribution, by bisection."""
    if math.isinf(dof):
        return float(torch.special.ndtri(torch.tensor(level, dtype=torch.float64)))
    tail = min(level, 1 - level)
    low, high = 0.0, 1.0

    def above(u: float) -> float:
        return float(standard_cdf(dof, torch.tensor(-u, dtype=torch.float64)))

    while above(high) > tail:
        low, high = high, 2 * high
    for _ in range(MOST_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if above(middle) > tail else (low, middle)
    return high if level > 0.5 else -high


def log_likelihood(samples: Tensor, y: Tensor, noise: Noise) -> Tensor:
    """Return log p(y | x) of each row `[N]`, in nats per unit of the target.

        logsumexp_s log t_ν((y − m_s) / σ) − log S − log σ

    Args:
        samples: ŷ `[S, N]`.
        y: `[N]`.
    """
    each = standard_log_density(noise.dof, (y - noise.centers(samples)) / noise.scale)
    return torch.logsumexp(each, dim=0) - math.log(len(samples)) - math.log(noise.scale)


def below(samples: Tensor, y: Tensor, noise: Noise) -> Tensor:
    """Return p(Y ≤ y | x) of each row `[N]`."""
    return standard_cdf(noise.dof, (y - noise.centers(samples)) / noise.scale).mean(0)


def deviation(samples: Tensor) -> Tensor:
    """Return the standard deviation of samples `[S, …]` over the first axis; 0 for one sample.

    torch's `std` computes the same, but warns when there are no rows.
    """
    return (samples - samples.mean(0)).square_().mean(0).sqrt_()


def total_error(std: Any, noise: Noise) -> Any:
    """Return √((c · std)² + typical_error²), from standard deviations of samples."""
    return ((noise.spread * std) ** 2 + noise.typical_error**2) ** 0.5


def quantiles(
    samples: Tensor, noise: Noise, levels: Tensor, block_numbers: int = BLOCK_NUMBERS
) -> Tensor:
    """Return the mixture's quantiles `[N, Q]`: the y with p(Y ≤ y | x) = level.

    Newton's method inside a bracket: a quantile of a mixture lies between the smallest and the
    largest of its components' quantiles.

    Args:
        samples: ŷ `[S, N]`, float64.
        levels: `[Q]`, each in (0, 1).
        block_numbers: largest number of values computed at a time.
    """
    rows = max(block_numbers // len(samples), 1)
    each = [(float(level), standard_quantile(noise.dof, float(level))) for level in levels]
    parts = [
        torch.stack([_quantile(part, noise, level, z) for level, z in each], dim=1)
        for part in noise.centers(samples).split(rows, dim=1)
    ]
    return torch.cat(parts)


def _quantile(centers: Tensor, noise: Noise, level: float, z: float) -> Tensor:
    """Return the quantile `[N]` of mixtures around `centers` `[S, N]`.

    Args:
        z: the same quantile of one standard component.
    """
    sigma = noise.scale
    low, high = centers.amin(0) + z * sigma, centers.amax(0) + z * sigma
    spread = deviation(centers)
    total = (spread**2 + sigma**2).sqrt()
    # With large noise the mixture is nearly one component; otherwise its distribution function is
    # a staircase with a step at each sample.
    start, steep = centers.mean(0) + z * total, spread > 2 * sigma
    if steep.any():
        start[steep] = centers[:, steep].quantile(level, dim=0)
    y = torch.clamp(start, low, high)
    active = torch.arange(len(y))
    for _ in range(MOST_STEPS):
        at, part = y[active], centers[:, active]
        u = (at - part) / sigma
        excess = standard_cdf(noise.dof, u).mean(0) - level
        density = standard_log_density(noise.dof, u).exp_().mean(0) / sigma
        low[active] = torch.where(excess < 0, at, low[active])
        high[active] = torch.where(excess < 0, high[active], at)
        newton = at - excess / density
        inside = (newton > low[active]) & (newton < high[active])
        y[active] = torch.where(inside, newton, (low[active] + high[active]) / 2)
        small = inside & ((y[active] - at).abs() <= SMALL_STEP * sigma)
        narrow = high[active] - low[active] <= SMALL_BRACKET * total[active]
        # Finished rows leave: a few rows with distant samples need many steps, the others four.
        active = active[~(small | narrow)]
        if not len(active):
            break
    return y
