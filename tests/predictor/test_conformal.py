"""Conformal prediction: the promised share of rows, from the definition and by counting."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autotrain.predictor import ClassificationDistribution, Predictor, RegressionDistribution
from autotrain.predictor.conformal import (
    Scores,
    class_scores,
    class_sets,
    intervals,
    least_rows,
    limit_of,
    value_scores,
)
from tests.winners import random_bundle


def table(n: int = 40) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 5))


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=60),
    st.sampled_from([0.01, 0.05, 0.1, 0.2, 1 / 3, 0.5, 0.9]),
)
def test_the_limit_is_an_order_statistic(values: list[float], alpha: float) -> None:
    scores = np.sort(values)
    limit = limit_of(Scores.of(scores.tolist()), alpha)
    n = len(scores)
    rank = math.ceil((n + 1) * (1 - alpha) - 1e-9)
    if rank > n:
        assert limit == math.inf
        return
    assert limit == np.quantile(scores, rank / n, method="inverted_cdf")


@pytest.mark.parametrize(("n", "alpha"), [(9, 0.1), (19, 0.05), (99, 0.01), (1, 0.5)])
def test_so_many_rows_are_just_enough(n: int, alpha: float) -> None:
    assert least_rows(alpha) == n
    assert limit_of(Scores.of(range(1, n + 1)), alpha) == n
    assert limit_of(Scores.of(range(1, n)), alpha) == math.inf


@pytest.mark.parametrize(("n", "alpha"), [(20, 0.1), (50, 0.2)])
def test_of_rows_alike_the_promised_share_is_inside(n: int, alpha: float) -> None:
    # Of exchangeable scores exactly ⌈(n + 1)(1 − α)⌉ / (n + 1) are below the limit, on average.
    scores = np.random.default_rng(1).exponential(size=(20_000, n + 1))
    limits = np.array([limit_of(Scores.of(np.sort(row[:-1]).tolist()), alpha) for row in scores])
    inside = (scores[:, -1] <= limits).mean()
    expected = math.ceil((n + 1) * (1 - alpha)) / (n + 1)
    assert inside == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 20_000))


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5, 0.95])
@pytest.mark.parametrize("sizes", [(17,), (8, 9), (1, 5, 30)])
def test_sets_are_those_of_the_definition(sizes: tuple[int, ...], alpha: float) -> None:
    # Romano, Sesia & Candès 2020, eq. 8, with the scores of Sadinle, Lei & Wasserman.
    generator = np.random.default_rng(2)
    proba = generator.dirichlet(np.ones(4), size=(len(sizes), 30))
    scores = [class_scores(generator.dirichlet(np.ones(4), n), np.zeros(n, int)) for n in sizes]
    scores[0][0] = 1 - proba[0, 3, 2]  # a tie is no stranger
    found = class_sets(
        torch.from_numpy(proba), [Scores.of(np.sort(s).tolist()) for s in scores], alpha
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


def test_folds_keep_the_promise_where_their_average_breaks_it() -> None:
    # Very sure networks, each wrong on a few rows of its own: on many rows one of them is.
    generator = np.random.default_rng(4)
    n_folds, n, n_rows, alpha = 5, 400, 4_000, 0.1
    truth = generator.integers(0, 3, n_rows)

    def says(y: np.ndarray) -> np.ndarray:
        doubt = generator.uniform(0, 1e-3, len(y))
        doubt[generator.random(len(y)) < 0.05] = 0.9
        p = np.full((len(y), 3), 0.0)
        p[np.arange(len(y)), y], p[np.arange(len(y)), (y + 1) % 3] = 1 - doubt, doubt
        return p

    scores = []
    for _ in range(n_folds):
        y = generator.integers(0, 3, n)
        scores.append(np.sort(class_scores(says(y), y)))
    of_folds = torch.tensor(np.stack([says(truth) for _ in range(n_folds)]))
    rows = torch.arange(n_rows)
    held = (
        class_sets(of_folds, [Scores.of(s.tolist()) for s in scores], alpha)[rows, truth]
        .double()
        .mean()
    )
    assert held > 1 - alpha - 0.02
    pooled = [Scores.of(np.sort(np.concatenate(scores)).tolist())]
    of_average = class_sets(of_folds.mean(0, keepdim=True), pooled, alpha)
    assert of_average[rows, truth].double().mean() < 1 - alpha - 0.02


@pytest.mark.parametrize("alpha", [0.05, 0.25, 0.5, 0.9])
def test_a_row_that_counts_three_times_is_three_rows(alpha: float) -> None:
    generator = np.random.default_rng(5)
    values, times = np.sort(generator.uniform(size=25)), generator.integers(1, 6, 25)
    weighted = Scores.of(values.tolist(), times.tolist())
    repeated = Scores.of(np.repeat(values, times).tolist())
    assert limit_of(weighted, alpha) == limit_of(repeated, alpha)
    proba = torch.from_numpy(generator.dirichlet(np.ones(3), size=(1, 40)))
    proba[0, 0, 0] = 1 - values[3]
    assert torch.equal(class_sets(proba, [weighted], alpha), class_sets(proba, [repeated], alpha))


@pytest.mark.parametrize(("n", "alpha"), [(9, 0.1), (19, 0.05), (99, 0.01)])
def test_rounded_weights_are_no_fewer_rows(n: int, alpha: float) -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        weights = generator.integers(1, 30, n)
        rounded = [float(f"{weight:.6g}") for weight in weights / weights.mean()]
        bundle = random_bundle(task="regression")
        own = {"conformal_scores": [1.0] * n, "conformal_weights": rounded}
        predictor = Predictor(replace(bundle, calibration={**bundle.calibration, **own}))
        result = predictor.predict_distribution(table(), 20, alpha=alpha)
        assert isinstance(result, RegressionDistribution)
        assert result.conformal_interval is not None
        assert np.isfinite(result.conformal_interval).all()


def test_the_predictor_weighs_its_scores() -> None:
    for task, name in (("regression", ""), ("multiclass", "fold_")):
        weights = [1.0, 1.0, 1.0, 9.0]
        scores = [0.1, 0.3, 0.55, 0.8]
        bundle = random_bundle(task=task)
        own: dict[str, Any] = {"conformal_scores": scores, "conformal_weights": weights}
        if name:
            own = {"conformal_fold_scores": [scores], "conformal_fold_weights": [weights]}
        bundle = replace(bundle, calibration={**bundle.calibration, **own})
        result = Predictor(bundle).predict_distribution(table(), 20, alpha=0.4)
        # ⌈13 · 0.6⌉ = 8: three rows count 3, the last one all others.
        if isinstance(result, ClassificationDistribution):
            np.testing.assert_array_equal(result.prediction_set, 1 - result.point <= 0.8)
        else:
            assert result.conformal_interval is not None
            upper = result.mean + 0.8 * result.total_std
            np.testing.assert_allclose(result.conformal_interval[:, 1], upper)


def test_scores_and_intervals_agree() -> None:
    generator = np.random.default_rng(2)
    mean, std = generator.normal(size=30), generator.uniform(0.5, 2, 30)
    values = generator.normal(size=30)
    strange = value_scores(mean, std, values)
    for limit in (0.5, 1.0, 2.0):
        low, high = intervals(torch.from_numpy(mean), torch.from_numpy(std), limit).numpy().T
        np.testing.assert_array_equal((low <= values) & (values <= high), strange <= limit)


def with_scores(scores: list[float], **kinds: Any) -> Predictor:
    bundle = random_bundle(**kinds)
    own: dict[str, Any] = {"conformal_scores": scores}
    if bundle.is_classification:
        own = {"conformal_fold_scores": [scores]}
    return Predictor(replace(bundle, calibration={**bundle.calibration, **own}))


def test_the_predictor_gives_sets_of_the_folds() -> None:
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


def test_the_predictor_gives_intervals_in_the_targets_units() -> None:
    predictor = with_scores([0.5, 1.0, 1.5, 2.5], task="regression")
    result = predictor.predict_distribution(table(), 20, alpha=0.4)
    assert isinstance(result, RegressionDistribution)
    assert result.conformal_interval is not None
    np.testing.assert_allclose(
        result.conformal_interval[:, 0], result.mean - 1.5 * result.total_std
    )
    np.testing.assert_allclose(
        result.conformal_interval[:, 1], result.mean + 1.5 * result.total_std
    )
    frame = result.to_frame()
    np.testing.assert_array_equal(frame["conformal_upper"], result.conformal_interval[:, 1])


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_too_few_rows_hold_everything_and_say_so(task: str) -> None:
    predictor, notices = with_scores([0.1, 0.2, 0.3], task=task), list[str]()
    result = predictor.predict_distribution(table(), 5, alpha=0.1, notices=notices)
    (notice,) = notices
    assert "3 rows that calibrate are too few for it, 9 are needed" in notice
    if isinstance(result, ClassificationDistribution):
        assert result.prediction_set is not None
        assert result.prediction_set.all()
    else:
        assert result.conformal_interval is not None
        assert np.isinf(result.conformal_interval).all()


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_a_bundle_without_scores_gives_neither(task: str) -> None:
    result = Predictor(random_bundle(task=task)).predict_distribution(table(), 5)
    if isinstance(result, ClassificationDistribution):
        assert result.prediction_set is None
    else:
        assert result.conformal_interval is None
    assert not [name for name in result.to_dict() if "set" in name or "conformal" in name]


def test_evaluation_counts_what_is_inside() -> None:
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
            "size": np.average(high - low, weights=weights[known]),
        }
        assert found["coverage"][name] == pytest.approx(expected)
    assert predictor.evaluate(table(), y, n_samples=0)["coverage"] == {}


def test_evaluation_counts_sets() -> None:
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
                "size": result.prediction_set.sum(1).mean(),
            }
        )
    }
