"""Initializers have the distributions of `torch.nn.init` and the moments of their formulas.

To add an initializer, add torch's function for a `torch.nn.Linear` to `REFERENCES` and its σ² (and
whether it is uniform) to `VARIANCES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import init

from autotrain.techniques.initializers import INITIALIZERS

# Layers of different sizes, wide to narrow and narrow to wide, with 1e6 weights each.
LAYERS = ((2000, 500, 0.3), (250, 4000, 2.0))

Reference = Callable[[Tensor, Mapping[str, float], torch.Generator], object]


def _kaiming(draw: Callable[..., Tensor], nonlinearity: str) -> Reference:
    return lambda w, p, g: draw(w, mode="fan_in", nonlinearity=nonlinearity, generator=g)


# With gain 1 ("linear"), He's rule is LeCun's; with gain √2, Glorot's rule is He's of fan_avg.
REFERENCES: dict[str, Reference] = {
    "glorot_normal": lambda w, p, g: init.xavier_normal_(w, generator=g),
    "glorot_uniform": lambda w, p, g: init.xavier_uniform_(w, generator=g),
    "he_normal": _kaiming(init.kaiming_normal_, "relu"),
    "he_uniform": _kaiming(init.kaiming_uniform_, "relu"),
    "lecun_normal": _kaiming(init.kaiming_normal_, "linear"),
    "lecun_uniform": _kaiming(init.kaiming_uniform_, "linear"),
    "he_avg_normal": lambda w, p, g: init.xavier_normal_(w, gain=math.sqrt(2), generator=g),
    "he_avg_uniform": lambda w, p, g: init.xavier_uniform_(w, gain=math.sqrt(2), generator=g),
    "orthogonal": lambda w, p, g: init.orthogonal_(w, generator=g),
    "normal": lambda w, p, g: init.normal_(w, std=p["std"], generator=g),
    # Before scaling by rows, which tests/training/test_initializing.py tests.
    "data_std": _kaiming(init.kaiming_normal_, "linear"),
}

Variance = Callable[[int, int, float], float]
VARIANCES: dict[str, tuple[Variance, bool]] = {
    "glorot_normal": (lambda fan_in, fan_out, std: 2 / (fan_in + fan_out), False),
    "glorot_uniform": (lambda fan_in, fan_out, std: 2 / (fan_in + fan_out), True),
    "he_normal": (lambda fan_in, fan_out, std: 2 / fan_in, False),
    "he_uniform": (lambda fan_in, fan_out, std: 2 / fan_in, True),
    "lecun_normal": (lambda fan_in, fan_out, std: 1 / fan_in, False),
    "lecun_uniform": (lambda fan_in, fan_out, std: 1 / fan_in, True),
    "he_avg_normal": (lambda fan_in, fan_out, std: 4 / (fan_in + fan_out), False),
    "he_avg_uniform": (lambda fan_in, fan_out, std: 4 / (fan_in + fan_out), True),
    "normal": (lambda fan_in, fan_out, std: std**2, False),
    "data_std": (lambda fan_in, fan_out, std: 1 / fan_in, False),
}
INDEPENDENT = [name for name in INITIALIZERS if name != "orthogonal"]


def draw(name: str, fan_in: int, fan_out: int, std: float, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    weights = INITIALIZERS[name].draw(generator, fan_in, fan_out, {"std": std})
    assert weights.shape == (fan_in, fan_out)
    assert weights.dtype == np.float64
    return weights


def draw_reference(name: str, fan_in: int, fan_out: int, std: float, seed: int = 0) -> np.ndarray:
    weights = torch.empty(fan_out, fan_in)
    REFERENCES[name](weights, {"std": std}, torch.Generator().manual_seed(seed))
    return weights.T.numpy()


def has_same_law(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether the two-sample Kolmogorov–Smirnov test accepts equality at the level of 0.001."""
    ours, theirs = np.sort(ours), np.sort(theirs)
    everything = np.concatenate([ours, theirs])
    share_ours = np.searchsorted(ours, everything, side="right") / len(ours)
    share_theirs = np.searchsorted(theirs, everything, side="right") / len(theirs)
    distance = np.abs(share_ours - share_theirs).max()
    return bool(distance < 1.95 * math.sqrt(1 / len(ours) + 1 / len(theirs)))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", INDEPENDENT)
def test_moments_of_a_million_draws(name: str, layer: tuple[int, int, float]) -> None:
    weights = draw(name, *layer).ravel()
    variance, is_uniform = VARIANCES[name]
    sigma = math.sqrt(variance(*layer))
    assert weights.size == 1_000_000
    assert weights.var() == pytest.approx(sigma**2, rel=0.01)
    assert abs(weights.mean()) < 0.01 * sigma
    assert abs((weights**3).mean()) < 0.01 * sigma**3
    assert (weights**4).mean() == pytest.approx((1.8 if is_uniform else 3.0) * sigma**4, rel=0.01)
    if is_uniform:
        assert 0.9999 < np.abs(weights).max() / (math.sqrt(3) * sigma) <= 1


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", INDEPENDENT)
def test_distribution_equals_torch(name: str, layer: tuple[int, int, float]) -> None:
    fan_in, fan_out, std = layer
    small = (fan_in // 5, fan_out // 5, std)
    assert has_same_law(draw(name, *small).ravel(), draw_reference(name, *small).ravel())


@pytest.mark.parametrize("name", INDEPENDENT)
def test_neighbouring_weights_are_uncorrelated(name: str) -> None:
    weights = draw(name, 300, 400, 1.0)
    weights = weights / weights.std()
    assert abs((weights[1:] * weights[:-1]).mean()) < 0.015
    assert abs((weights[:, 1:] * weights[:, :-1]).mean()) < 0.015


@pytest.mark.parametrize(
    ("fan_in", "fan_out"), [(1, 1), (1, 7), (7, 1), (5, 5), (300, 80), (80, 300)]
)
def test_orthogonal_has_an_orthonormal_shorter_side(fan_in: int, fan_out: int) -> None:
    weights = draw("orthogonal", fan_in, fan_out, 1.0)
    product = weights.T @ weights if fan_in >= fan_out else weights @ weights.T
    np.testing.assert_allclose(product, np.eye(min(fan_in, fan_out)), atol=1e-12)


@pytest.mark.parametrize(("fan_in", "fan_out"), [(3, 3), (4, 2), (2, 4)])
def test_orthogonal_is_uniform_as_in_torch(fan_in: int, fan_out: int) -> None:
    # The distribution is that of each entry, and of one product of two, over many matrices.
    ours = np.stack([draw("orthogonal", fan_in, fan_out, 1.0, seed) for seed in range(1500)])
    theirs = np.stack(
        [draw_reference("orthogonal", fan_in, fan_out, 1.0, seed) for seed in range(1500)]
    )
    for i in range(fan_in):
        for j in range(fan_out):
            assert has_same_law(ours[:, i, j], theirs[:, i, j])
            # This follows by symmetry, and fails without the signs of R's diagonal.
            assert abs(ours[:, i, j].mean()) < 0.05
    assert has_same_law(ours[:, 0, 0] * ours[:, 1, 1], theirs[:, 0, 0] * theirs[:, 1, 1])


@pytest.mark.parametrize("name", INITIALIZERS)
def test_draws_use_the_given_generator_only(name: str) -> None:
    first = draw(name, 6, 4, 1.0, seed=1)
    np.testing.assert_array_equal(first, draw(name, 6, 4, 1.0, seed=1))
    assert not np.array_equal(first, draw(name, 6, 4, 1.0, seed=2))
