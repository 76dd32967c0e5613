"""Noise and temperature against closed forms, other implementations, and data that is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from autotrain.export.calibration import (
    coverage_of_levels,
    fit_noise,
    fit_temperature,
    reliability,
    significant_temperature,
)
from autotrain.predictor import ClassificationDistribution, load
from autotrain.predictor.mixture import Noise, log_likelihood, quantiles
from autotrain.predictor.probabilities import Recalibration
from benchmarks.uci_dropout import fit_tau
from tests.winners import train


def mean_log_likelihood(samples: np.ndarray, y: np.ndarray, tau: float) -> float:
    return float(
        log_likelihood(torch.from_numpy(samples), torch.from_numpy(y), Noise.normal(tau)).mean()
    )


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


# ---- the noise of a regression ------------------------------------------------------------------


def penalized_likelihood(samples: np.ndarray, y: np.ndarray, noise: Noise) -> float:
    each = log_likelihood(torch.from_numpy(samples), torch.from_numpy(y), noise)
    return float(each.sum()) - 0.5 * math.log(noise.spread) ** 2


@pytest.mark.parametrize("tails", [2, 4, np.inf])
@pytest.mark.parametrize("spread", [0.05, 0.5])
def test_no_noise_of_a_grid_is_better(tails: float, spread: float) -> None:
    generator = np.random.default_rng(3)
    samples, y = drawn(0.0, spread)
    y = y + 0.3 * (
        generator.normal(size=300) if np.isinf(tails) else generator.standard_t(tails, 300)
    )
    found = fit_noise(samples, y)
    best = penalized_likelihood(samples, y, found)
    for dof in (np.inf, 16, 8, 4, 2):
        for scale in np.geomspace(0.05, 2, 25):
            for factor in np.geomspace(0.05, 10, 25):
                noise = Noise(dof, float(scale), float(factor))
                assert penalized_likelihood(samples, y, noise) <= best + 1e-2


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_noise_has_the_targets_unit(unit: float) -> None:
    samples, y = drawn(0.3, 0.5)
    one, other = fit_noise(samples, y), fit_noise(samples * unit, y * unit)
    assert other.dof == one.dof
    assert other.scale == pytest.approx(one.scale * unit, rel=1e-3)
    assert other.spread == pytest.approx(one.spread, rel=1e-2)


def test_known_tails_and_a_known_factor_are_found() -> None:
    generator = np.random.default_rng(5)
    n, n_samples, factor = 4_000, 25, 0.5
    spread = generator.uniform(0.1, 3, n)
    samples = generator.normal(size=n) + spread * generator.normal(size=(n_samples, n))
    mean = samples.mean(0)
    own = samples[generator.integers(0, n_samples, n), np.arange(n)]
    y = mean + factor * (own - mean) + 0.2 * generator.standard_t(2, n)
    found = fit_noise(samples, y)
    assert found.dof == 2
    assert found.spread == pytest.approx(factor, rel=0.05)
    assert found.scale == pytest.approx(0.2, rel=0.1)


def test_few_large_errors_do_not_widen_all_intervals() -> None:
    samples, y = drawn(0.2, 0.0, n_rows=4_000, n_samples=3)
    y[::50] += 20 * (y[::50] - samples.mean(0)[::50])
    widths, shares = [], []
    for noise in (Noise.normal(fit_tau(samples, y)), fit_noise(samples, y)):
        levels = coverage_of_levels(samples, y, noise)
        shares.append(next(v["observed"] for v in levels if v["expected"] == 0.9))
        ends = quantiles(torch.from_numpy(samples), noise, torch.tensor([0.05, 0.95]).double())
        widths.append(float((ends[:, 1] - ends[:, 0]).mean()))
    assert shares[0] > 0.97
    assert 0.9 <= shares[1] < 0.965
    assert widths[1] < widths[0] / 2


def test_weight_of_a_row_equals_repeated_rows() -> None:
    samples, y = drawn(0.3, 0.4, n_rows=60)
    times = np.random.default_rng(0).integers(0, 2, 60)
    some = fit_noise(samples[:, times > 0], y[times > 0])
    weighted = fit_noise(samples, y, times.astype(float))
    assert weighted.scale == pytest.approx(some.scale, rel=0.02)
    assert weighted.spread == pytest.approx(some.spread, rel=0.05)


@given(
    st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=1, max_size=20),
    st.integers(1, 4),
)
@settings(max_examples=40, deadline=None)
def test_any_numbers_give_usable_noise(rows: list[tuple[float, float]], n: int) -> None:
    columns = np.array(rows)
    found = fit_noise(columns[:, 0] * np.linspace(1, 2, n)[:, None], columns[:, 1])
    assert 0 < found.scale < math.inf
    assert 0 <= found.spread < math.inf
    assert 0 < found.typical_error < math.inf


# ---- the temperature of a classification -------------------------------------------------------


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return torch.log_softmax(torch.from_numpy(logits), dim=1).numpy()


def judged(temperature: float, n_rows: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return log p `[N, 3]` that are too sure by so much, and labels drawn from what is true."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.normal(size=(n_rows, 3))
    y = (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)
    return log_softmax(logits * temperature), y


def penalized(log_p: np.ndarray, y: np.ndarray, w: np.ndarray, temperature: float) -> float:
    logits = log_p / temperature
    right = logits[np.arange(len(y)), y] - special.logsumexp(logits, axis=1)
    n = w.sum() ** 2 / (w**2).sum()  # effective rows
    return float(-(w * right).sum() / w.sum() * n + 2 * math.log(temperature) ** 2)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_rows", [5, 50, 1000])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_no_temperature_of_a_dense_grid_is_better(
    temperature: float, n_rows: int, weighted: bool
) -> None:
    log_p, y = judged(temperature, n_rows=n_rows, seed=n_rows)
    weights = np.random.default_rng(1).uniform(0, 3, n_rows) if weighted else np.ones(n_rows)
    found = fit_temperature(log_p, y, weights if weighted else None)
    best = penalized(log_p, y, weights, found)
    grid = np.geomspace(0.05, 20, 2000)
    assert best <= min(penalized(log_p, y, weights, t) for t in grid) + 1e-9


@pytest.mark.parametrize("weighted", [False, True])
def test_two_classes_are_a_logistic_regression_without_intercept(weighted: bool) -> None:
    # Of so many rows that the prior hardly counts.
    n_rows = 50_000
    generator = np.random.default_rng(3)
    odds = 3 * generator.normal(size=n_rows)
    y = (generator.uniform(size=n_rows) < 1 / (1 + np.exp(-0.4 * odds))).astype(int)
    weights = generator.uniform(0, 3, n_rows) if weighted else np.ones(n_rows)
    log_p = log_softmax(np.stack([np.zeros(n_rows), odds], axis=1))
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10)
    model.fit(odds[:, None], y, weights)
    found = fit_temperature(log_p, y, weights if weighted else None)
    assert 1 / found == pytest.approx(float(model.coef_[0, 0]), rel=2e-3)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 5.0])
def test_a_known_temperature_is_found(temperature: float) -> None:
    log_p, y = judged(temperature, n_rows=20_000)
    assert fit_temperature(log_p, y) == pytest.approx(temperature, rel=0.03)


def test_perfect_rows_do_not_give_certainty() -> None:
    log_p = log_softmax(np.tile([0.0, 5.0, 1.0], (30, 1)))
    y = np.ones(30, dtype=int)
    temperature = fit_temperature(log_p, y)
    assert 0.5 < temperature < 1
    # The less so the fewer they are.
    assert temperature < fit_temperature(log_p[:5], y[:5]) < 1


def test_few_confident_rows_do_not_change_the_temperature_of_others() -> None:
    log_p, y = judged(1.0, n_rows=100)
    sure = log_softmax(np.tile([0.0, 80.0, 0.0], (50, 1)))
    both, labels = np.concatenate([log_p, sure]), np.concatenate([y, np.ones(50, dtype=int)])
    assert fit_temperature(both, labels) == pytest.approx(fit_temperature(log_p, y), rel=1e-3)


def test_probabilities_that_are_all_wrong_become_nearly_equal() -> None:
    log_p, y = log_softmax(np.tile([0.0, 5.0], (300, 1))), np.zeros(300, dtype=int)
    proba = Recalibration(fit_temperature(log_p, y)).apply(torch.from_numpy(log_p)).exp().numpy()
    assert proba[0, 1] < 0.6


@pytest.mark.parametrize("weighted", [False, True])
def test_insignificant_temperature_is_1(weighted: bool) -> None:
    # Of so many data sets drawn at temperature 1 one in six or so seems to gain: z > 1.
    taken = []
    for seed in range(40):
        log_p, y = judged(1.0, n_rows=400, seed=seed)
        weights = np.random.default_rng(seed).uniform(0, 3, 400) if weighted else None
        found = significant_temperature(log_p, y, weights)
        fitted = fit_temperature(log_p, y, weights)
        assert found in (1.0, fitted)
        if found != 1:
            after = Recalibration(fitted).apply(torch.from_numpy(log_p)).numpy()
            gains = (after - log_p)[np.arange(400), y]
            own = np.ones(400) if weights is None else weights
            mean = np.average(gains, weights=own)
            assert mean**2 > (own**2 * (gains - mean) ** 2).sum() / own.sum() ** 2
        taken.append(found != 1)
    assert 0 < sum(taken) < 15
    log_p, y = judged(2.0, n_rows=400)
    assert significant_temperature(log_p, y) == fit_temperature(log_p, y)


def test_rows_with_weight_0_have_no_effect() -> None:
    log_p, y = judged(2.0)
    weights = np.ones(len(y))
    weights[100:] = 0
    alone = fit_temperature(log_p[:100], y[:100])
    assert fit_temperature(log_p, y, weights) == pytest.approx(alone, rel=1e-5)


def test_a_temperature_needs_rows_that_fit() -> None:
    for log_p, y in (
        (np.zeros((0, 2)), np.zeros(0, int)),
        (np.zeros((3, 2)), np.zeros(2, int)),
        (np.zeros(3), np.zeros(3, int)),
    ):
        with pytest.raises(ValueError, match=r"log p \[N, C\] must fit y \[N\]"):
            fit_temperature(log_p, y)


# ---- reliability, for the model card -----------------------------------------------------------


def test_groups_of_the_likeliest_class_by_hand() -> None:
    proba = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.45, 0.55]] * 5)
    y = np.array([0, 1, 1, 1] * 5)
    groups = reliability(proba, y)
    assert sum(group["n_rows"] for group in groups) == 20
    assert [group["expected"] for group in groups] == sorted(g["expected"] for g in groups)
    # Twenty rows in ten groups: the surest two are rows of 0.9, all right.
    assert groups[-1] == pytest.approx({"expected": 0.9, "observed": 1.0, "n_rows": 2})
    assert groups[0] == pytest.approx({"expected": 0.55, "observed": 1.0, "n_rows": 2})
    # What is weighed by nothing is not drawn.
    weights = np.where(proba.max(1) == 0.9, 0.0, 1.0)
    assert max(g["expected"] for g in reliability(proba, y, weights)) == pytest.approx(0.8)


def test_probabilities_equal_the_frequency_of_right_labels() -> None:
    log_p, y = judged(1.0, n_rows=50_000)
    for group in reliability(np.exp(log_p), y):
        assert group["observed"] == pytest.approx(group["expected"], abs=0.025)


def test_intervals_have_their_coverage() -> None:
    samples, y = drawn(0.2, 0.0, n_rows=20_000, n_samples=3)
    for level in coverage_of_levels(samples, y, Noise.normal(0.2**-2)):
        assert level["observed"] == pytest.approx(level["expected"], abs=0.02)
    # Of twice the noise, by the normal distribution's own function.
    (half,) = (
        v for v in coverage_of_levels(samples, y, Noise.normal(0.4**-2)) if v["expected"] == 0.5
    )
    expected = 2 * stats.norm.cdf(2 * stats.norm.ppf(0.75)) - 1
    assert half["observed"] == pytest.approx(expected, abs=0.01)


# ---- classes that had weights in training ----------------------------------------------------


def test_class_weights_are_divided_out_exactly() -> None:
    """What learns w_c p_c, normalized, is turned back into p."""
    generator = np.random.default_rng(0)
    p = generator.dirichlet(np.ones(4), 50)
    weights = [0.2, 1.0, 3.0, 17.0]
    learned = p * weights / (p * weights).sum(axis=1, keepdims=True)
    found = Recalibration(1.0, weights).apply(torch.from_numpy(np.log(learned))).exp().numpy()
    np.testing.assert_allclose(found, p, rtol=1e-12)
    # Too sure as well: both are undone.
    sharper = learned**2.5 / (learned**2.5).sum(axis=1, keepdims=True)
    found = Recalibration(2.5, weights).apply(torch.from_numpy(np.log(sharper))).exp().numpy()
    np.testing.assert_allclose(found, p, rtol=1e-12)


@pytest.mark.parametrize("overconfidence", [0.5, 2.0])
def test_temperature_is_1_for_averages_of_folds(overconfidence: float) -> None:
    log_p, y = judged(overconfidence, n_rows=2_000)
    alone = significant_temperature(log_p, y)
    assert alone == pytest.approx(overconfidence, rel=0.2)
    assert significant_temperature(log_p, y, highest=1.0) == pytest.approx(min(alone, 1.0))


def test_temperature_is_fitted_with_class_weights() -> None:
    generator = np.random.default_rng(1)
    p = generator.dirichlet(np.full(3, 0.5), 20_000)
    y = (p.cumsum(axis=1) < generator.uniform(size=(len(p), 1))).sum(axis=1)
    weights = [1.0, 4.0, 0.25]
    learned = p * weights / (p * weights).sum(axis=1, keepdims=True)
    sure = np.log(learned**1.7 / (learned**1.7).sum(axis=1, keepdims=True))
    assert fit_temperature(sure, y, class_weights=weights) == pytest.approx(1.7, rel=0.03)
    assert significant_temperature(np.log(learned), y, None, weights) == 1.0


def test_calibrated_probabilities_are_those_of_the_table(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    x = generator.normal(size=(4_000, 2))
    positive = generator.uniform(size=4_000) < 1 / (1 + np.exp(2.2 - 1.5 * x[:, 0]))
    frame = pd.DataFrame(x, columns=["a", "b"]).assign(y=np.where(positive, "yes", "no"))
    winner = train(frame, {"training.epochs": 4}, target="y", class_weights="balanced", test=0.3)
    predictor = load(winner.export(tmp_path / "best").path)
    features, labels = winner.dataset.raw_test()
    share = float((labels == "yes").mean())
    result = predictor.predict_distribution(features, 20)
    assert isinstance(result, ClassificationDistribution)
    calibrated, weighted = result.calibrated_mean[:, 1].mean(), result.mean[:, 1].mean()
    assert abs(calibrated - share) < 0.03
    assert weighted > share + 0.1
    point = predictor.predict_proba(features)[:, 1].mean()
    assert abs(point - share) < 0.03
    # The decision keeps what the weights were for.
    assert (result.label == "yes").mean() > (result.calibrated_mean[:, 1] > 0.5).mean() + 0.1
    scores = predictor.evaluate(features, labels, n_samples=20)
    # All sides judge the probabilities of the table, and the decision as it is made.
    as_trained = log_loss(labels, result.mean, labels=["no", "yes"])
    assert scores["monte_carlo"]["log_loss"] < as_trained - 0.05
    assert scores["calibrated"]["log_loss"] < as_trained - 0.05
    assert scores["calibrated"]["ece"] < 0.05
    assert scores["monte_carlo_calibrated"]["ece"] < 0.05
    accuracy = float((result.label == labels.to_numpy()).mean())
    assert scores["deterministic"]["accuracy"] == pytest.approx(accuracy)
    assert scores["calibrated"]["accuracy"] == pytest.approx(accuracy)
