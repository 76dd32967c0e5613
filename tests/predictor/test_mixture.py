"""The mixture of a regression against scipy, also for extreme parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from autotrain.predictor.mixture import (
    Noise,
    below,
    deviation,
    log_likelihood,
    quantiles,
    standard_cdf,
    standard_log_density,
    standard_quantile,
    total_error,
)

SPREADS = (0.0, 1e-3, 0.3, 1.0, 3.0, 30.0, 1e4)


def samples_of(spread: float, n_samples: int = 50, n_rows: int = 20, seed: int = 0) -> torch.Tensor:
    draws = np.random.default_rng(seed).normal(size=(n_samples, n_rows))
    return torch.from_numpy(7 + spread * draws)


def cdf(y: np.ndarray, samples: torch.Tensor, tau: float) -> np.ndarray:
    below: np.ndarray = stats.norm.cdf(y, samples.numpy(), tau**-0.5).mean(0)
    return below


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("tau", [1.0, 1e-6, 1e6])
def test_quantiles_have_their_level(spread: float, tau: float) -> None:
    samples = samples_of(spread * tau**-0.5)
    levels = (0.001, 0.05, 0.5, 0.77, 0.999)
    found = quantiles(samples, Noise.normal(tau), torch.tensor(levels, dtype=torch.float64)).numpy()
    assert found.shape == (20, 5)
    for place, level in enumerate(levels):
        np.testing.assert_allclose(cdf(found[:, place], samples, tau), level, atol=1e-6)
    assert (np.diff(found, axis=1) >= 0).all()


@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0, 3.0])
def test_quantiles_equal_scipy(spread: float) -> None:
    samples = samples_of(spread)
    found = quantiles(
        samples, Noise.normal(0.25), torch.tensor([0.03], dtype=torch.float64)
    ).numpy()[:, 0]
    for row, quantile in enumerate(found):
        ys = samples[:, row].numpy()
        expected = optimize.brentq(
            lambda y, ys=ys: stats.norm.cdf(y, ys, 2.0).mean() - 0.03, -100, 100, xtol=1e-13
        )
        assert quantile == pytest.approx(expected, abs=1e-8)


@given(
    samples=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12),
    log_tau=st.floats(-20, 20),
    level=st.floats(1e-4, 1 - 1e-4),
)
def test_quantiles_of_any_samples(samples: list[float], log_tau: float, level: float) -> None:
    tau = float(np.exp(log_tau))
    column = torch.tensor(samples, dtype=torch.float64).unsqueeze(1)
    found = float(quantiles(column, Noise.normal(tau), torch.tensor([level], dtype=torch.float64)))
    # With distant samples the distribution function is nearly a staircase: check both sides.
    step = 1e-6 * (tau**-0.5 + 1e-3 * float(column.std(correction=0)))
    step += 4 * np.finfo(float).eps * float(column.abs().max())
    below, above = (cdf(np.array([found + side]), column, tau)[0] for side in (-step, step))
    assert below - 1e-9 <= level <= above + 1e-9


@pytest.mark.parametrize("tau", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("spread", SPREADS)
def test_log_likelihood_equals_scipy(spread: float, tau: float) -> None:
    samples, y = samples_of(spread), np.linspace(-3, 20, 20)
    found = log_likelihood(samples, torch.from_numpy(y), Noise.normal(tau)).numpy()
    logs = stats.norm.logpdf(y, samples.numpy(), tau**-0.5)
    np.testing.assert_allclose(found, np.logaddexp.reduce(logs, axis=0) - np.log(50), rtol=1e-9)


def test_log_likelihood_does_not_underflow() -> None:
    far = log_likelihood(
        samples_of(0.0), torch.full((20,), 1e6, dtype=torch.float64), Noise.normal(1.0)
    )
    assert torch.isfinite(far).all()
    assert float(far[0]) == pytest.approx(stats.norm.logpdf(1e6, 7, 1), rel=1e-9)


def test_deviation_equals_numpy() -> None:
    samples = samples_of(2.0)
    np.testing.assert_allclose(deviation(samples), samples.numpy().std(0), rtol=1e-12)
    assert (deviation(samples[:1]) == 0).all()
    assert deviation(samples[:, :0]).shape == (0,)


DEGREES = (2.0, 4.0, 8.0, 16.0, 100.0, np.inf)


def scipys(dof: float) -> Any:
    return stats.norm() if np.isinf(dof) else stats.t(dof)


@pytest.mark.parametrize("dof", DEGREES)
def test_standard_distribution_equals_scipy(dof: float) -> None:
    u = np.concatenate([np.linspace(-8, 8, 81), [-1e3, 1e3, -1e8, 1e8]])
    own = torch.from_numpy(u)
    np.testing.assert_allclose(standard_cdf(dof, own), scipys(dof).cdf(u), rtol=1e-9, atol=1e-15)
    expected = scipys(dof).logpdf(u)
    np.testing.assert_allclose(standard_log_density(dof, own), expected, rtol=1e-10)
    for level in (1e-6, 0.05, 0.3, 0.5, 0.77, 0.999):
        expected = scipys(dof).ppf(level)
        assert standard_quantile(dof, level) == pytest.approx(expected, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("spread", [0.0, 0.3, 30.0])
@pytest.mark.parametrize("dof", [2.0, 8.0])
@pytest.mark.parametrize("factor", [0.0, 0.5, 3.0])
def test_mixture_is_the_mean_of_its_components(dof: float, spread: float, factor: float) -> None:
    samples, noise = samples_of(spread), Noise(dof, 0.7, factor)
    drawn = samples.numpy()
    centers = drawn.mean(0) + factor * (drawn - drawn.mean(0))
    y = np.linspace(-3, 20, 20)
    parts = stats.t.logpdf(y, dof, centers, 0.7)
    found = log_likelihood(samples, torch.from_numpy(y), noise).numpy()
    np.testing.assert_allclose(found, np.logaddexp.reduce(parts, axis=0) - np.log(50), rtol=1e-9)
    expected = stats.t.cdf(y, dof, centers, 0.7).mean(0)
    np.testing.assert_allclose(below(samples, torch.from_numpy(y), noise), expected, rtol=1e-9)
    levels = torch.tensor([0.001, 0.05, 0.5, 0.9], dtype=torch.float64)
    whole = quantiles(samples, noise, levels)
    np.testing.assert_allclose(quantiles(samples, noise, levels, 70), whole, 1e-6, 1e-6)
    for level, q in zip(levels, whole.T, strict=True):
        reached = stats.t.cdf(q.numpy(), dof, centers, 0.7).mean(0)
        np.testing.assert_allclose(reached, float(level), atol=1e-6)


@pytest.mark.parametrize("dof", DEGREES)
def test_typical_error_is_the_68_percent_quantile(dof: float) -> None:
    noise = Noise(dof, 2.5, 0.4)
    inside = scipys(dof).cdf(noise.typical_error / 2.5) - scipys(dof).cdf(
        -noise.typical_error / 2.5
    )
    assert inside == pytest.approx(2 * stats.norm.cdf(1) - 1)
    expected = np.hypot(0.4 * 3, noise.typical_error)
    assert total_error(3.0, noise) == pytest.approx(expected)
    assert Noise.from_json(noise.to_json()) == noise
