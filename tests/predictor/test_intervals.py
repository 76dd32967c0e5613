"""Confidence intervals against textbooks: scipy, double loops, naive bootstraps, closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import expit, logit
from torch import Tensor

from autotrain.metrics import METRICS, metric_named
from autotrain.predictor import intervals
from autotrain.predictor.bootstrap import bootstrap_t
from autotrain.predictor.intervals import interval
from autotrain.predictor.shares import area, effective, harmonic, wilson

CLASSIFICATION = [name for name, metric in METRICS.items() if "binary" in metric.tasks]
REGRESSION = [name for name, metric in METRICS.items() if "regression" in metric.tasks]


def classified(n: int, n_classes: int, margin: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % n_classes
    noise = torch.randn(n, n_classes, generator=generator, dtype=torch.float64)
    return (noise + margin * torch.eye(n_classes)[y]).log_softmax(-1), y


def predicted(n: int, noise: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    y = torch.randn(n, generator=generator, dtype=torch.float64)
    return y + noise * torch.randn(n, generator=generator, dtype=torch.float64), y


def test_every_metric_has_a_method() -> None:
    assert set(intervals._METHODS) == set(METRICS)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (30, 30), (110, 114), (7, 500), (1, 20_000)])
def test_wilson_equals_scipy(k: int, n: int) -> None:
    expected = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k / n, n) == pytest.approx((expected.low, expected.high), abs=1e-7)


@pytest.mark.parametrize("n", [30, 114, 500])
@pytest.mark.parametrize("share", [0.76, 0.9, 0.97, 0.985])
def test_wilson_has_its_exact_coverage(share: float, n: int) -> None:
    """Summed over all counts of the binomial distribution."""
    counts = np.arange(n + 1)
    covered = [low <= share <= high for low, high in (wilson(k / n, n) for k in counts)]
    coverage = stats.binom.pmf(counts, n, share) @ covered
    assert 0.92 < coverage < 0.98


def test_accuracy_uses_wilson_with_effective_rows() -> None:
    outputs, y = classified(90, 3, 1.5)
    right = (outputs.argmax(-1) == y).double()
    assert interval(METRICS["accuracy"], outputs, y) == wilson(float(right.mean()), 90)
    weights = torch.arange(90.0, dtype=torch.float64)
    share = float((right * weights).sum() / weights.sum())
    n = float(weights.sum()) ** 2 / float((weights**2).sum())
    found = interval(METRICS["accuracy"], outputs, y, weights)
    assert found == pytest.approx(wilson(share, n))


def placements(scores: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the fraction of negatives below each positive row, and the reverse, by loops."""
    positive, negative = scores[y == 1], scores[y == 0]

    def order(a: float, b: float) -> float:
        return 1.0 if a > b else 0.5 if a == b else 0.0

    return (
        np.array([np.mean([order(p, q) for q in negative]) for p in positive]),
        np.array([np.mean([order(p, q) for p in positive]) for q in negative]),
    )


@pytest.mark.parametrize("margin", [0.5, 1.2])
def test_upper_end_of_the_area_equals_delong(margin: float) -> None:
    outputs, y = classified(80, 2, margin)
    outputs, y = outputs.mul(4).round()[:67] / 4, y[:67]  # with ties
    scores = (outputs[:, 1] - outputs[:, 0]).numpy()
    of_positive, of_negative = placements(scores, y.numpy())
    a = of_positive.mean()
    error = math.sqrt(of_positive.var(ddof=1) / 33 + of_negative.var(ddof=1) / 34)
    ends = expit(logit(a) + np.array([-1, 1]) * stats.norm.ppf(0.975) * error / (a * (1 - a)))
    found = interval(METRICS["roc_auc"], outputs, y)
    assert found is not None
    assert found[1] == pytest.approx(ends[1], rel=1e-6)
    assert ends[0] - 0.03 < found[0] <= ends[0]
    # A reversed order has the mirrored interval.
    mirrored = interval(METRICS["roc_auc"], outputs.flip(1), y)
    assert mirrored == pytest.approx((1 - found[1], 1 - found[0]), abs=1e-9)


def test_area_of_a_perfect_order_equals_newcombe() -> None:
    """The end is the least area t with 1 − t ≤ 1.96 √V(t), V of two exponential distributions."""
    m, n = 12, 30

    def excess(t: float) -> float:
        q1, q2 = t / (2 - t), 2 * t * t / (1 + t)
        # Newcombe replaces both numbers of rows in Hanley and McNeil's variance by their mean.
        same = (m + n) / 2 - 1
        v = (t * (1 - t) + same * (q1 - t * t) + same * (q2 - t * t)) / (m * n)
        return 1 - t - stats.norm.ppf(0.975) * math.sqrt(v)

    low, high = area(1.0, 0.0, m, n)
    assert high == 1
    assert excess(low) == pytest.approx(0, abs=1e-6)
    assert 0.7 < low < 0.95


def test_harmonic_number_of_rows_has_the_same_variance() -> None:
    p, counts = 0.3, [10.0, 40.0, 25.0]
    variance = sum(p * (1 - p) / n for n in counts) / 9
    assert p * (1 - p) / harmonic(counts) == pytest.approx(variance)


def test_balanced_accuracy_has_the_variance_of_its_classes() -> None:
    y = torch.tensor([0] * 20 + [1] * 100)
    said = torch.tensor([0] * 12 + [1] * 8 + [1] * 100)
    found = interval(METRICS["balanced_accuracy"], torch.eye(2)[said], y)
    # All wrong rows are in the small class.
    variance = 0.6 * 0.4 / 20 / 4
    assert found == pytest.approx(wilson(0.8, 0.8 * 0.2 / variance))
    right = torch.eye(2)[y]
    assert interval(METRICS["balanced_accuracy"], right, y) == wilson(1.0, harmonic([20, 100]))


def test_average_precision_uses_wilson_with_positive_rows() -> None:
    y = torch.tensor([0] * 40 + [1] * 15)
    right = torch.eye(2)[y]
    assert interval(METRICS["average_precision"], right, y) == wilson(1.0, 15)


def test_f1_uses_wilson_on_the_jaccard_scale() -> None:
    y = torch.tensor([1] * 12 + [0] * 28)
    said = torch.tensor([1] * 9 + [0] * 3 + [1] * 2 + [0] * 26)
    low, high = wilson(9 / 14, 14)
    found = interval(METRICS["f1"], torch.eye(2)[said], y)
    assert found == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)))


def naive(losses: np.ndarray, weights: np.ndarray, draws: int) -> tuple[float, float]:
    """Return a bootstrap-t interval of a weighted mean by a loop."""

    def estimates(x: np.ndarray, w: np.ndarray) -> tuple[float, float]:
        mean = np.average(x, weights=w)
        return mean, math.sqrt((w**2 * (x - mean) ** 2).sum()) / w.sum()

    mean, error = estimates(losses, weights)
    generator, t = np.random.default_rng(9), []
    for _ in range(draws):
        places = generator.integers(len(losses), size=len(losses))
        own, spread = estimates(losses[places], weights[places])
        t.append((own - mean) / spread)
    return mean - np.quantile(t, 0.975) * error, mean - np.quantile(t, 0.025) * error


@pytest.mark.parametrize("is_weighted", [False, True])
def test_bootstrap_t_equals_a_naive_loop(is_weighted: bool) -> None:
    generator = np.random.default_rng(3)
    losses = generator.exponential(size=60)
    weights = generator.uniform(0.5, 1.5, 60) if is_weighted else np.ones(60)
    weights /= weights.mean()
    ones = torch.ones(60).double()
    found = bootstrap_t(
        torch.from_numpy(losses), ones, torch.from_numpy(weights), 6.0, 1.0, n_resamples=4000
    )
    assert found is not None
    low, high = naive(losses, weights, 4000)
    _, higher = naive(np.append(losses, 6.0), np.append(weights, 1.0), 4000)
    width = high - low
    assert found[0] == pytest.approx(low, abs=0.05 * width)
    assert found[1] == pytest.approx(higher, abs=0.05 * width)
    assert found[1] > high


def test_upper_end_is_at_most_that_of_wilson() -> None:
    """Only the unseen row has a loss: it counts as 1 row of 31."""
    losses = torch.full((30,), 1e-9, dtype=torch.float64)
    ones = torch.ones(30).double()
    found = bootstrap_t(losses, ones, ones, 2.0, 1.0)
    assert found is not None
    assert found[1] <= 2 * wilson(1 / 31, 31)[1] + 1e-6
    assert found[1] > 2 / 31


@pytest.mark.parametrize("name", ["log_loss", "brier"])
def test_upper_end_without_a_wrong_row_allows_for_one(name: str) -> None:
    """The unseen row has the expected loss of a wrong row; the end is that of Wilson's interval."""
    p = torch.tensor([0.9] * 20 + [0.99] * 20, dtype=torch.float64)
    outputs = torch.stack([p, 1 - p], 1).log()
    found = interval(METRICS[name], outputs, torch.zeros(40, dtype=torch.long))
    loss = -torch.log(1 - p) if name == "log_loss" else p**2
    wrong = float((loss * (1 - p)).sum() / (1 - p).sum())
    seen = float((-torch.log(p) if name == "log_loss" else (1 - p) ** 2).mean())
    assert found is not None
    most = wrong * wilson((0.5 * wrong + 40 * seen) / 40.5 / wrong, 40.5**2 / 40.25)[1]
    assert found[1] <= most * (1 + 1e-9)
    assert found[1] > most / 2


def test_probability_of_0_gives_a_finite_interval() -> None:
    outputs = torch.tensor([[0.0, -math.inf]] * 20 + [[-0.1, -2.35]] * 20)
    found = interval(METRICS["log_loss"], outputs, torch.zeros(40, dtype=torch.long))
    assert found is not None
    assert math.isfinite(found[1])
    assert found[0] < found[1]


def test_normal_quantiles_approximate_the_bootstrap() -> None:
    outputs, y = classified(2000, 2, 1.0)
    numbers, targets = predicted(2000, 0.5)
    ones = torch.ones(2000).double()
    squares, spread = (numbers - targets).square(), (targets - targets.mean()).square()
    log_loss = -outputs.gather(1, y.unsqueeze(1)).squeeze(1)
    for losses, scales in ((log_loss, ones), (squares, ones), (squares, spread)):
        worst = float(losses.max())
        drawn = bootstrap_t(losses, scales, ones, worst, 1.0)
        found = bootstrap_t(losses, scales, ones, worst, 1.0, n_resamples=0)
        assert drawn is not None
        assert found is not None
        assert found != drawn
        assert found == pytest.approx(drawn, abs=0.15 * (drawn[1] - drawn[0]))


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("margin", [0.0, 2.0, 50.0, 2000.0, -3.0])
@pytest.mark.parametrize("name", CLASSIFICATION)
def test_interval_has_a_width_and_contains_the_score(
    name: str, margin: float, n_classes: int
) -> None:
    outputs, y = classified(48, n_classes, margin)
    metric = METRICS[name]
    weights = torch.linspace(0.0, 2.0, 48, dtype=torch.float64)
    for own in (None, weights):
        found = interval(metric, outputs, y, own)
        kept = weights > 0 if own is not None else weights >= 0
        value = intervals.ScoredRows(
            outputs[kept], y[kept], (torch.ones(48).double() if own is None else own)[kept]
        ).value(metric)
        assert found is not None
        assert metric.low <= found[0] <= value + 1e-12
        assert value - 1e-12 <= found[1] <= metric.high
        assert found[0] < found[1]
        assert found == interval(metric, outputs, y, own)


@pytest.mark.parametrize("noise", [1e-6, 0.5, 30.0])
@pytest.mark.parametrize("name", [*REGRESSION, "pinball:0.9"])
def test_regression_interval_contains_the_score(name: str, noise: float) -> None:
    outputs, y = predicted(40, noise)
    metric = metric_named(name)
    found = interval(metric, outputs, y)
    assert found is not None
    value = intervals.ScoredRows(outputs, y, torch.ones(40).double()).value(metric)
    assert found[0] < value < found[1]
    # Equal errors in all rows still allow a larger error in an unseen row.
    found = interval(metric, y + 0.3, y)
    assert found is not None
    assert found[0] < found[1]


@pytest.mark.parametrize("name", REGRESSION)
def test_intervals_scale_with_the_unit(name: str) -> None:
    outputs, y = predicted(40, 0.5)
    unit = 1e6
    found, scaled = (interval(METRICS[name], s * outputs, s * y) for s in (1.0, unit))
    assert found is not None
    factor = unit if METRICS[name].in_target_units else 1.0
    assert scaled == pytest.approx((factor * found[0], factor * found[1]), rel=1e-9)


def test_few_effective_rows_have_no_interval() -> None:
    outputs, y = classified(30, 2, 1.0)
    metric = METRICS["accuracy"]
    assert interval(metric, outputs[:9], y[:9]) is None
    assert interval(metric, outputs[:10], y[:10]) is not None
    heavy = torch.tensor([1000.0] * 9 + [1.0] * 21)
    assert effective(heavy) < 10
    assert interval(metric, outputs, y, heavy) is None


def test_no_interval_for_undefined_scores_or_zero_losses() -> None:
    outputs, y = classified(30, 2, 1.0)
    assert interval(METRICS["roc_auc"], outputs, torch.zeros_like(y)) is None
    numbers, targets = predicted(30, 0.0)
    assert interval(METRICS["rmse"], numbers, targets) is None
    # Neither a row of the second class nor a prediction of it.
    assert interval(METRICS["f1"], torch.tensor([[1.0, 0.0]] * 30), torch.zeros_like(y)) is None


def test_absent_classes_are_left_out() -> None:
    outputs, y = classified(60, 4, 1.0)
    y = torch.where(y == 3, 0, y)
    for name in CLASSIFICATION:
        assert interval(METRICS[name], outputs, y) is not None
