"""The noise τ against closed forms, a dense grid, and data whose noise is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autotrain.calibration import fit_tau
from autotrain.predictor.mixture import log_likelihood


def mean_log_likelihood(samples: np.ndarray, y: np.ndarray, tau: float) -> float:
    return float(log_likelihood(torch.from_numpy(samples), torch.from_numpy(y), tau).mean())


def drawn(
    noise: float, spread: float, n_samples: int = 20, n_rows: int = 300, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    centre = generator.normal(size=n_rows)
    samples = centre + spread * generator.normal(size=(n_samples, n_rows))
    return samples, centre + noise * generator.normal(size=n_rows)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_one_sample_gives_one_over_the_mean_squared_error(unit: float) -> None:
    samples, y = drawn(0.3, 0.5, n_samples=1)
    expected = 1 / ((y - samples[0]) ** 2).mean()
    assert fit_tau(samples * unit, y * unit) == pytest.approx(expected / unit**2, rel=1e-5)
    assert fit_tau(samples[0] * unit, y * unit) == pytest.approx(expected / unit**2, rel=1e-5)


def test_equal_samples_are_one_sample() -> None:
    samples, y = drawn(0.3, 0.5, n_samples=1)
    repeated = np.repeat(samples, 7, axis=0)
    assert fit_tau(repeated, y) == pytest.approx(fit_tau(samples, y), rel=1e-5)


@pytest.mark.parametrize("noise", [0.05, 0.5, 3.0])
@pytest.mark.parametrize("spread", [0.01, 0.5, 3.0])
def test_no_point_of_a_dense_grid_is_better(noise: float, spread: float) -> None:
    samples, y = drawn(noise, spread)
    tau = fit_tau(samples, y)
    best = mean_log_likelihood(samples, y, tau)
    grid = [mean_log_likelihood(samples, y, t) for t in np.geomspace(1e-6, 1e8, 500)]
    assert best >= max(grid) - 1e-9
    # Nor one close by: the top is found, not only its neighbourhood.
    assert best >= mean_log_likelihood(samples, y, tau * 1.001)
    assert best >= mean_log_likelihood(samples, y, tau / 1.001)


def test_two_tops_do_not_mislead() -> None:
    # Nine rows in ten are met exactly by one of two samples, the others by none.
    y = np.zeros(200)
    samples = np.stack([np.full(200, 1e-3), np.full(200, 5.0)])
    samples[:, ::10] = 5.0
    tau = fit_tau(samples, y)
    grid = [mean_log_likelihood(samples, y, t) for t in np.geomspace(1e-4, 1e8, 4000)]
    assert mean_log_likelihood(samples, y, tau) >= max(grid) - 1e-6


def test_known_noise_is_found() -> None:
    # Samples that do not spread: all of the error is noise.
    samples, y = drawn(0.2, 0.0, n_rows=20_000, n_samples=3)
    assert 1 / math.sqrt(fit_tau(samples, y)) == pytest.approx(0.2, rel=0.02)


def test_a_perfect_fit_has_a_finite_precision() -> None:
    y = np.linspace(-1, 1, 50)
    tau = fit_tau(np.stack([y, y]), y)
    assert math.isfinite(tau)
    assert tau >= 1e6
    constant = fit_tau(np.zeros((2, 5)), np.zeros(5))
    assert math.isfinite(constant)


@given(
    st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=1, max_size=20),
    st.integers(1, 4),
)
def test_any_numbers_give_a_usable_precision(rows: list[tuple[float, float]], n: int) -> None:
    columns = np.array(rows)
    samples = columns[:, 0] * np.linspace(1, 2, n)[:, None]
    tau = fit_tau(samples, columns[:, 1])
    assert 0 < tau < math.inf
    assert 1 / math.sqrt(tau) > 0


@pytest.mark.parametrize(
    ("samples", "y"),
    [((3, 4), (5,)), ((3, 0), (0,)), ((4,), (4, 1))],
)
def test_shapes_are_checked(samples: tuple[int, ...], y: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"samples \[S, N\] must fit y \[N\]"):
        fit_tau(np.zeros(samples), np.zeros(y))
