"""Conformal prediction: the guaranteed coverage, from the definition and by counting."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autotrain.errors import AutotrainError
from autotrain.predictor import ClassificationDistribution, Predictor, RegressionDistribution
from autotrain.predictor.conformal import (
    TIE,
    ConformalScores,
    class_scores,
    class_sets,
    intervals,
    least_rows,
    n_effective,
    rounded_up,
    scores_in,
)
from tests.winners import random_bundle


def table(n: int = 40) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 5))


scores_of = ConformalScores.of


def limit_of(scores: ConformalScores, alpha: float) -> float:
    """Return the half width of the interval of one fold around 0, in units of its scale."""
    one = torch.ones(1, 1, dtype=torch.float64)
    low, high = intervals(0 * one, one, [scores], alpha)[0].tolist()
    assert low == -high
    return high


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=60),
    st.sampled_from([0.01, 0.05, 0.1, 0.2, 1 / 3, 0.5, 0.9]),
)
def test_limit_of_one_fold_is_an_order_statistic(values: list[float], alpha: float) -> None:
    scores = np.sort(values)
    limit = limit_of(scores_of(scores.tolist()), alpha)
    n = len(scores)
    rank = math.ceil((n + 1) * (1 - alpha) - 1e-9)
    if rank > n:
        assert limit == math.inf
        return
    expected = np.quantile(scores, rank / n, method="inverted_cdf") + TIE
    assert limit == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "alpha"), [(9, 0.1), (19, 0.05), (99, 0.01), (1, 0.5)])
def test_least_number_of_rows_is_just_enough(n: int, alpha: float) -> None:
    assert least_rows(alpha) == n
    assert limit_of(scores_of(range(1, n + 1)), alpha) == pytest.approx(n, abs=2 * TIE)
    assert limit_of(scores_of(range(1, n)), alpha) == math.inf


@pytest.mark.parametrize(("n", "alpha"), [(20, 0.1), (50, 0.2)])
def test_exchangeable_rows_have_the_promised_coverage(n: int, alpha: float) -> None:
    # On average exactly ⌈(n + 1)(1 − α)⌉ / (n + 1) exchangeable scores are below the limit.
    scores = np.random.default_rng(1).exponential(size=(2_000, n + 1))
    limits = np.array([limit_of(scores_of(np.sort(row[:-1]).tolist()), alpha) for row in scores])
    inside = (scores[:, -1] <= limits).mean()
    expected = math.ceil((n + 1) * (1 - alpha)) / (n + 1)
    assert inside == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 2_000))


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("sizes", [(17,), (8, 9), (1, 5, 30)])
def test_intervals_equal_their_definition(sizes: tuple[int, ...], alpha: float) -> None:
    # Barber, Candès, Ramdas & Tibshirani 2021, eq. 11, with a scale for each fold and row.
    generator = np.random.default_rng(3)
    center = generator.normal(size=(len(sizes), 20))
    scale = generator.uniform(0.5, 2, size=center.shape)
    scores = [np.sort(generator.exponential(size=n)) for n in sizes]
    found = intervals(
        torch.from_numpy(center),
        torch.from_numpy(scale),
        [scores_of(own.tolist()) for own in scores],
        alpha,
    ).numpy()
    rank = math.ceil((sum(sizes) + 1) * (1 - alpha) - 1e-9)
    for row in range(20):
        each = [
            (c, own * s) for c, s, own in zip(center[:, row], scale[:, row], scores, strict=True)
        ]
        upper = np.sort(np.concatenate([c + half for c, half in each]))
        lower = -np.sort(-np.concatenate([c - half for c, half in each]))
        expected = [-np.inf, np.inf] if rank > sum(sizes) else [lower[rank - 1], upper[rank - 1]]
        np.testing.assert_allclose(found[row], expected, atol=3 * TIE)


def test_ends_are_exact_with_a_huge_score_and_an_empty_fold() -> None:
    generator = np.random.default_rng(11)
    center = torch.tensor(generator.normal(size=(3, 30)))
    values = np.sort(generator.exponential(size=(2, 40)))
    values[0, -1] = 1e12
    weights = generator.uniform(0.5, 2, size=values.shape)
    scores = [scores_of(v.tolist(), w.tolist()) for v, w in zip(values, weights, strict=True)]
    found = intervals(center, torch.ones_like(center), [scores[0], scores_of([]), scores[1]], 0.2)
    total = weights.sum()
    enough = (total + (weights**2).sum() / total) * 0.8
    for row in range(30):
        upper = (center[[0, 2], row].numpy()[:, None] + values).ravel()
        order = np.argsort(upper)
        end = upper[order][np.searchsorted(weights.ravel()[order].cumsum(), enough)]
        assert found[row, 1] == pytest.approx(end, abs=3 * TIE)


@pytest.mark.parametrize("weights", [[], [5e-324] * 20])
def test_weights_without_finite_inverse_are_read(weights: list[float]) -> None:
    record = {"conformal_fold_scores": [[1.0] * len(weights)], "conformal_fold_weights": [weights]}
    scores = scores_in(record)
    assert scores is not None
    assert scores[0].weights.tolist() == [1.0] * len(weights)


def test_intervals_of_folds_have_the_promised_coverage() -> None:
    """Five nearest-neighbour models, each trained on four fifths, and new rows."""
    generator = np.random.default_rng(6)
    held, alpha, n = [], 0.2, 50
    for _ in range(60):
        x = generator.uniform(-2, 2, n + 40)
        y = np.sin(2 * x) + generator.standard_t(3, n + 40) * 0.3
        fold = np.arange(n) % 5

        # Row i of fold k has the y of the nearest row of another fold.
        apart = np.abs(x[:, None] - x[:n])
        nearest = [np.where(fold == k, np.inf, apart).argmin(1) for k in range(5)]
        scores = [np.sort(np.abs(y - y[own])[:n][fold == k]) for k, own in enumerate(nearest)]
        center = torch.tensor(np.stack([y[own[n:]] for own in nearest]))
        found = intervals(
            center, torch.ones_like(center), [scores_of(s.tolist()) for s in scores], alpha
        )
        low, high = found.numpy().T
        held.append(((low <= y[n:]) & (y[n:] <= high)).mean())
    assert 1 - alpha - 0.02 < np.mean(held) < 1 - alpha / 2


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5, 0.95])
@pytest.mark.parametrize("sizes", [(17,), (8, 9), (1, 5, 30)])
def test_sets_equal_their_definition(sizes: tuple[int, ...], alpha: float) -> None:
    # Romano, Sesia & Candès 2020, eq. 8, with the scores of Sadinle, Lei & Wasserman.
    generator = np.random.default_rng(2)
    proba = generator.dirichlet(np.ones(4), size=(len(sizes), 30))
    scores = [class_scores(generator.dirichlet(np.ones(4), n), np.zeros(n, int)) for n in sizes]
    scores[0][0] = 1 - proba[0, 3, 2]  # a tie is no stranger
    found = class_sets(
        torch.from_numpy(proba), [scores_of(np.sort(s).tolist()) for s in scores], alpha
    )
    for row in range(30):
        for label in range(4):
            stranger = sum(
                score < 1 - proba[fold, row, label]
                for fold, of_fold in enumerate(scores)
                for score in of_fold
            )
            expected = stranger < (1 - alpha) * (sum(sizes) + 1) - 1e-9
            assert found[row, label] == expected


def test_folds_have_coverage_where_their_average_does_not() -> None:
    # Overconfident networks are wrong on different rows, so on many rows one of them is wrong.
    generator = np.random.default_rng(4)
    n_folds, n, n_rows, alpha = 5, 400, 4_000, 0.1
    truth = generator.integers(0, 3, n_rows)

    def predicted(y: np.ndarray) -> np.ndarray:
        doubt = generator.uniform(0, 1e-3, len(y))
        doubt[generator.random(len(y)) < 0.05] = 0.9
        p = np.full((len(y), 3), 0.0)
        p[np.arange(len(y)), y], p[np.arange(len(y)), (y + 1) % 3] = 1 - doubt, doubt
        return p

    scores = []
    for _ in range(n_folds):
        y = generator.integers(0, 3, n)
        scores.append(np.sort(class_scores(predicted(y), y)))
    of_folds = torch.tensor(np.stack([predicted(truth) for _ in range(n_folds)]))
    rows = torch.arange(n_rows)
    held = (
        class_sets(of_folds, [scores_of(s.tolist()) for s in scores], alpha)[rows, truth]
        .double()
        .mean()
    )
    assert held > 1 - alpha - 0.02
    pooled = [scores_of(np.sort(np.concatenate(scores)).tolist())]
    of_average = class_sets(of_folds.mean(0, keepdim=True), pooled, alpha)
    assert of_average[rows, truth].double().mean() < 1 - alpha - 0.02


@pytest.mark.parametrize("alpha", [0.05, 0.25, 0.5, 0.9])
def test_equal_weights_change_nothing(alpha: float) -> None:
    generator = np.random.default_rng(5)
    values = np.sort(generator.uniform(size=25))
    weighted, plain = (
        scores_of(values.tolist(), [1.0] * 25),
        scores_of(values.tolist()),
    )
    assert limit_of(weighted, alpha) == limit_of(plain, alpha)
    proba = torch.from_numpy(generator.dirichlet(np.ones(3), size=(1, 40)))
    assert torch.equal(class_sets(proba, [weighted], alpha), class_sets(proba, [plain], alpha))


def test_unequal_weights_lower_the_effective_number_of_rows() -> None:
    weights = np.array([1.0, 1, 1, 1, 6])
    scores = scores_of([1, 2, 3, 4, 5], weights.tolist())
    assert n_effective([scores]) == pytest.approx(100 / 40)
    # The new row weighs 40/10 = 4: 14 · 0.7 = 9.8 of 10, the last row; 14 · 0.75 is more than 10.
    assert limit_of(scores, 0.3) == pytest.approx(5, abs=1e-5)
    assert limit_of(scores, 0.25) == math.inf


def test_new_row_has_the_mean_weight_of_rows_drawn_by_weight() -> None:
    # Σw = 30 and Σw²/Σw = 140/30: 34.7 · 0.6 = 20.8 is beyond the 19 light rows, 31 · 0.6 is not.
    scores = scores_of(range(1, 21), [1.0] * 19 + [11.0])
    assert limit_of(scores, 0.4) == pytest.approx(20, abs=1e-5)


def test_rounding_errors_do_not_change_sets() -> None:
    scores = [scores_of([0.5] * 9)]
    for nearly in (0.5, np.nextafter(0.5, 0), 0.5 - 1e-8):
        assert class_sets(torch.tensor([[[nearly]]], dtype=torch.float64), scores, 0.1).all()
    assert not class_sets(torch.tensor([[[0.49]]], dtype=torch.float64), scores, 0.1).any()


def test_weighted_rows_have_the_promised_coverage() -> None:
    """Weights are log-normal, and each new row is drawn in proportion to its weight."""
    generator = np.random.default_rng(7)
    held, n, alpha = [], 50, 0.1
    for _ in range(2_000):
        weights = generator.lognormal(0, 0.5, n)
        values = np.sort(generator.exponential(size=n))
        limit = limit_of(scores_of(values.tolist(), (weights / weights.mean()).tolist()), alpha)
        held.append(1 - math.exp(-limit))
    assert 0.9 <= np.mean(held) < 0.93


@pytest.mark.parametrize("n_distinct", [4, 8, 16])
def test_equal_rows_have_equal_scores(n_distinct: int) -> None:
    generator = np.random.default_rng(8)
    held = []
    for _ in range(200):
        values = 1 - generator.uniform(0.2, 1, n_distinct)
        drawn = np.sort(values[generator.integers(0, n_distinct, 500)])
        scores = scores_of(rounded_up(drawn))
        new = torch.from_numpy(1 - values).reshape(1, -1, 1)
        held.append(class_sets(new, [scores], 0.1).double().mean())
    assert np.mean(held) > 0.9


@given(st.lists(st.floats(0, 1e6) | st.floats(1e-12, 1e-3), min_size=1, max_size=20))
def test_scores_are_rounded_up_slightly(values: list[float]) -> None:
    found = np.array(rounded_up(np.array(values)))
    assert (found >= values).all()
    assert (found <= np.array(values) * (1 + 1e-5)).all()


def test_sets_by_class_compare_each_class_with_its_own_rows() -> None:
    generator = np.random.default_rng(9)
    labels = [generator.integers(0, 3, 30).tolist() for _ in range(2)]
    values = [np.sort(generator.uniform(size=30)).tolist() for _ in range(2)]
    scores = [scores_of(v, None, own) for v, own in zip(values, labels, strict=True)]
    proba = torch.from_numpy(generator.dirichlet(np.ones(3), size=(2, 25)))
    found = class_sets(proba, scores, 0.2, per_class=True)
    for c in range(3):
        own = [
            scores_of([v for v, y in zip(vs, ys, strict=True) if y == c])
            for vs, ys in zip(values, labels, strict=True)
        ]
        assert torch.equal(found[:, c], class_sets(proba[..., [c]], own, 0.2)[:, 0])


def test_rare_class_has_the_same_coverage_in_sets_by_class() -> None:
    """One row in ten has the class, and the model rarely predicts it."""
    generator = np.random.default_rng(10)

    def predicted(n: int) -> tuple[np.ndarray, np.ndarray]:
        y = (generator.random(n) < 0.1).astype(int)
        p = np.clip(0.1 + 0.1 * y + 0.1 * generator.normal(size=n), 0.001, 0.999)
        return y, np.stack([1 - p, p], axis=1)

    y, p = predicted(2_000)
    order = np.argsort(class_scores(p, y))
    scores = scores_of(class_scores(p, y)[order].tolist(), None, y[order].tolist())
    truth, proba = predicted(20_000)
    rare = np.flatnonzero(truth == 1)
    by_all = class_sets(torch.from_numpy(proba[None]), [scores], 0.1).numpy()
    by_class = class_sets(torch.from_numpy(proba[None]), [scores], 0.1, per_class=True).numpy()
    assert by_all[rare, 1].mean() < 0.3
    assert by_class[rare, 1].mean() == pytest.approx(0.9, abs=0.04)
    assert by_class[truth == 0, 0].mean() == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize(("n", "alpha"), [(9, 0.1), (19, 0.05), (99, 0.01)])
def test_rounded_weights_keep_the_number_of_rows(n: int, alpha: float) -> None:
    bundle = random_bundle(task="regression")
    own = {"conformal_fold_scores": [[1.0] * n], "conformal_fold_weights": [[0.333333] * n]}
    predictor = Predictor(replace(bundle, calibration={**bundle.calibration, **own}))
    result = predictor.predict_distribution(table(), 20, alpha=alpha)
    assert isinstance(result, RegressionDistribution)
    assert result.conformal_interval is not None
    assert np.isfinite(result.conformal_interval).all()


def test_predictor_uses_the_weights_of_its_scores() -> None:
    for task in ("regression", "multiclass"):
        bundle = random_bundle(task=task)
        own: dict[str, Any] = {
            "conformal_fold_scores": [[0.1, 0.3, 0.55, 0.8]],
            "conformal_fold_weights": [[1.0, 1.0, 1.0, 9.0]],
        }
        bundle = replace(bundle, calibration={**bundle.calibration, **own})
        # The new row weighs 84/12 = 7 rows: 19 · 0.45 = 8.55, and the first three rows count 3.
        result = Predictor(bundle).predict_distribution(table(), 20, alpha=0.55)
        if isinstance(result, ClassificationDistribution):
            np.testing.assert_array_equal(result.prediction_set, 1 - result.point <= 0.8 + TIE)
        else:
            assert result.conformal_interval is not None
            upper = result.point + 0.8 * result.total_error
            np.testing.assert_allclose(result.conformal_interval[:, 1], upper, rtol=1e-5)


def with_scores(scores: list[float], **kinds: Any) -> Predictor:
    bundle = random_bundle(**kinds)
    labels = [place % 3 for place in range(len(scores))]
    own: dict[str, Any] = {"conformal_fold_scores": [scores]}
    if bundle.is_classification:
        own["conformal_fold_labels"] = [labels]
    return Predictor(replace(bundle, calibration={**bundle.calibration, **own}))


def test_predictor_returns_sets_of_the_folds() -> None:
    predictor = with_scores([0.1, 0.3, 0.55, 0.8])
    result = predictor.predict_distribution(table(), 20, alpha=0.4)
    assert isinstance(result, ClassificationDistribution)
    # ⌈5 · 0.6⌉ = 3: the third score.
    np.testing.assert_array_equal(result.prediction_set, 1 - result.point <= 0.55)
    assert result.alpha == 0.4
    assert result.prediction_set is not None
    assert 0 < result.prediction_set.mean() < 1
    frame = result.to_frame()
    np.testing.assert_array_equal(frame["in_set_b"], result.prediction_set[:, 1])


def test_predictor_returns_intervals_in_units_of_the_target() -> None:
    predictor = with_scores([0.5, 1.0, 1.5, 2.5], task="regression")
    result = predictor.predict_distribution(table(), 20, alpha=0.4)
    assert isinstance(result, RegressionDistribution)
    assert result.conformal_interval is not None
    # ⌈5 · 0.6⌉ = 3: the third score, around the prediction with dropout off.
    for end, sign in ((0, -1), (1, 1)):
        expected = result.point + sign * 1.5 * result.total_error
        np.testing.assert_allclose(result.conformal_interval[:, end], expected, rtol=1e-5)
    frame = result.to_frame()
    np.testing.assert_array_equal(frame["conformal_upper"], result.conformal_interval[:, 1])


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_too_few_rows_give_complete_sets_and_a_notice(task: str) -> None:
    predictor, notices = with_scores([0.1, 0.2, 0.3], task=task), list[str]()
    result = predictor.predict_distribution(table(), 5, alpha=0.1, notices=notices)
    (notice,) = notices
    assert "at least 9 calibration rows and the bundle has 3" in notice
    if isinstance(result, ClassificationDistribution):
        assert result.prediction_set is not None
        assert result.prediction_set.all()
    else:
        assert result.conformal_interval is not None
        assert np.isinf(result.conformal_interval).all()


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_bundle_without_scores_has_neither_sets_nor_intervals(task: str) -> None:
    result = Predictor(random_bundle(task=task)).predict_distribution(table(), 5)
    if isinstance(result, ClassificationDistribution):
        assert result.prediction_set is None
    else:
        assert result.conformal_interval is None
    assert not [name for name in result.to_dict() if "set" in name or "conformal" in name]


def error_of(inside: np.ndarray, weights: np.ndarray | None = None) -> float:
    own = np.ones(len(inside)) if weights is None else weights
    n = own.sum() ** 2 / (own**2).sum()
    p = (np.average(inside, weights=own) * n + 1) / (n + 2)
    return math.sqrt(p * (1 - p) / n)


def test_sets_by_class_need_per_class() -> None:
    predictor, notices = with_scores(np.linspace(0, 0.9, 30).tolist()), list[str]()
    by_class = predictor.predict_distribution(table(), 5, 0.2, per_class=True, notices=notices)
    assert isinstance(by_class, ClassificationDistribution)
    assert notices == []
    scores = [scores_of(np.linspace(0, 0.9, 30)[c::3].tolist()) for c in range(3)]
    for c, own in enumerate(scores):
        expected = class_sets(torch.from_numpy(by_class.point[None, :, [c]]), [own], 0.2)[:, 0]
        assert by_class.prediction_set is not None
        np.testing.assert_array_equal(by_class.prediction_set[:, c], expected)
    predictor.predict_distribution(table(), 5, 0.05, per_class=True, notices=notices)
    assert "a, b, c" in notices[0]
    with pytest.raises(AutotrainError):
        with_scores([0.1], task="regression").predict_distribution(table(), per_class=True)


def test_evaluation_measures_coverage_of_intervals() -> None:
    predictor = with_scores([0.5, 1.0, 1.5, 2.5], task="regression")
    result = predictor.predict_distribution(table(), 20, alpha=0.4)
    assert isinstance(result, RegressionDistribution)
    generator = np.random.default_rng(3)
    y = result.mean + generator.normal(size=40) * 2
    y[5] = np.nan
    weights = generator.uniform(0, 2, 40)
    found = predictor.evaluate(table(), y, n_samples=20, alpha=0.4, weights=weights)
    assert found["alpha"] == 0.4
    known = ~np.isnan(y)
    for name in ("interval", "conformal_interval"):
        low, high = getattr(result, name)[known].T
        inside = (low <= y[known]) & (y[known] <= high)
        expected = {
            "coverage": np.average(inside, weights=weights[known]),
            "coverage_error": error_of(inside, weights[known]),
            "size": np.average(high - low, weights=weights[known]),
        }
        assert found["coverage"][name] == pytest.approx(expected)
    assert predictor.evaluate(table(), y, n_samples=0)["coverage"] == {}


def test_evaluation_measures_coverage_of_sets() -> None:
    predictor = with_scores([0.1, 0.3, 0.55, 0.8])
    result = predictor.predict_distribution(table(), 20, alpha=0.4)
    assert isinstance(result, ClassificationDistribution)
    assert result.prediction_set is not None
    places = np.random.default_rng(4).integers(0, 3, 40)
    found = predictor.evaluate(table(), np.array(["a", "b", "c"])[places], n_samples=20, alpha=0.4)
    assert found["coverage"] == {
        "prediction_set": pytest.approx(
            {
                "coverage": result.prediction_set[np.arange(40), places].mean(),
                "coverage_error": error_of(result.prediction_set[np.arange(40), places]),
                "size": result.prediction_set.sum(1).mean(),
            }
        )
    }
