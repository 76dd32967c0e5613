"""Split conformal prediction: the promised share of rows, from the definition and by counting."""

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
    class_scores,
    class_sets,
    intervals,
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
    limit = limit_of(scores, alpha)
    n = len(scores)
    rank = math.ceil((n + 1) * (1 - alpha) - 1e-9)
    if rank > n:
        assert limit == math.inf
        return
    assert limit == np.quantile(scores, rank / n, method="inverted_cdf")


@pytest.mark.parametrize(("n", "alpha"), [(9, 0.1), (19, 0.05), (99, 0.01), (1, 0.5)])
def test_so_many_rows_are_just_enough(n: int, alpha: float) -> None:
    assert limit_of(np.arange(n) + 1.0, alpha) == n
    assert limit_of(np.arange(n - 1) + 1.0, alpha) == math.inf


@pytest.mark.parametrize(("n", "alpha"), [(20, 0.1), (50, 0.2)])
def test_of_rows_alike_the_promised_share_is_inside(n: int, alpha: float) -> None:
    # Of exchangeable scores exactly ⌈(n + 1)(1 − α)⌉ / (n + 1) are below the limit, on average.
    scores = np.random.default_rng(1).exponential(size=(20_000, n + 1))
    limits = np.array([limit_of(np.sort(row[:-1]), alpha) for row in scores])
    inside = (scores[:, -1] <= limits).mean()
    expected = math.ceil((n + 1) * (1 - alpha)) / (n + 1)
    assert inside == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 20_000))


def test_scores_and_answers_agree() -> None:
    generator = np.random.default_rng(2)
    proba = generator.dirichlet(np.ones(4), size=30)
    y = generator.integers(0, 4, 30)
    scores = class_scores(proba, y)
    for limit in (0.2, 0.5, 0.9):
        held = class_sets(torch.from_numpy(proba), limit).numpy()[np.arange(30), y]
        np.testing.assert_array_equal(held, scores <= limit)
    mean, std = generator.normal(size=30), generator.uniform(0.5, 2, 30)
    values = generator.normal(size=30)
    strange = value_scores(mean, std, values)
    for limit in (0.5, 1.0, 2.0):
        low, high = intervals(torch.from_numpy(mean), torch.from_numpy(std), limit).numpy().T
        np.testing.assert_array_equal((low <= values) & (values <= high), strange <= limit)


def with_scores(scores: list[float], **kinds: Any) -> Predictor:
    bundle = random_bundle(**kinds)
    calibration = {"temperature": 1.5, "temperature_point": 1.0, **bundle.calibration}
    return Predictor(replace(bundle, calibration={**calibration, "conformal_scores": scores}))


def test_the_predictor_gives_sets_of_calibrated_probabilities() -> None:
    predictor = with_scores([0.1, 0.3, 0.55, 0.8])
    result = predictor.predict_distribution(table(), 20, alpha=0.4)
    assert isinstance(result, ClassificationDistribution)
    assert result.calibrated_proba is not None
    # ⌈5 · 0.6⌉ = 3: the third score.
    np.testing.assert_array_equal(result.prediction_set, 1 - result.calibrated_proba <= 0.55)
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
    assert "3 validation rows are too few for it, 9 are needed" in notice
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
