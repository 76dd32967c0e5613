"""With a tolerance, sampling stops row by row; the samples are the same, only fewer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autotrain.errors import AutotrainError
from autotrain.predictor import Distribution, Predictor
from autotrain.predictor.distribution import RegressionDistribution
from tests.winners import random_bundle

TASKS = ["multiclass", "regression"]


def table(n: int = 60) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 5)) * np.linspace(0.01, 3, n)[:, None]


def drawn(result: Distribution) -> set[int]:
    assert result.n_drawn is not None
    return set(result.n_drawn.tolist())


def middle(predictor: Predictor, n_samples: int) -> float:
    """Return a tolerance that about half of the rows reach with `n_samples`."""
    error = predictor.predict_distribution(table(), n_samples).mc_error
    return float(np.median(error.max(1) if error.ndim == 2 else error))


@pytest.mark.parametrize("n_members", [1, 3, 20])
@pytest.mark.parametrize("task", TASKS)
def test_each_row_equals_a_prediction_with_its_number_of_samples(task: str, n_members: int) -> None:
    predictor = Predictor(random_bundle(task=task, n_members=n_members))
    tolerance = middle(predictor, 40)
    result = predictor.predict_distribution(table(), 100, 0.13, 3, tolerance=tolerance)
    assert result.n_drawn is not None
    numbers = sorted(set(result.n_drawn.tolist()))
    assert len(numbers) > 1
    assert numbers[0] >= max(20, n_members)
    assert numbers[-1] <= 100
    for n in numbers:
        # alpha is not a level at which the staircase of a few distant samples is flat.
        whole = predictor.predict_distribution(table(), n, 0.13, 3)
        rows = result.n_drawn == n
        for name in whole.to_dict():
            found, expected = result.to_dict()[name][rows], whole.to_dict()[name][rows]
            if found.dtype.kind == "f":
                np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6, err_msg=name)
            else:
                np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(result.mc_error[rows], whole.mc_error[rows], rtol=1e-4)


@pytest.mark.parametrize("task", TASKS)
def test_rows_stop_as_soon_as_they_reach_the_tolerance(task: str) -> None:
    predictor = Predictor(random_bundle(task=task))
    tolerance = middle(predictor, 40)
    result = predictor.predict_distribution(table(), 200, tolerance=tolerance)
    assert result.n_drawn is not None
    error = result.mc_error.max(1) if task == "multiclass" else result.mc_error
    ended = result.n_drawn < 200
    assert (error[ended] <= tolerance).all()
    # A row that continued had a larger error with half of its samples.
    for n in set(result.n_drawn.tolist()) - {20, 200}:
        before = predictor.predict_distribution(table(), n // 2).mc_error
        before = before.max(1) if task == "multiclass" else before
        assert (before[result.n_drawn == n] > tolerance * (1 - 1e-6)).all()


@pytest.mark.parametrize("task", TASKS)
def test_very_large_and_small_tolerances(task: str) -> None:
    predictor = Predictor(random_bundle(task=task))
    all_at_once = predictor.predict_distribution(table(), 100, tolerance=1e9)
    assert drawn(all_at_once) == {20}
    never = predictor.predict_distribution(table(), 100, tolerance=1e-12)
    assert drawn(never) == {100}
    few = predictor.predict_distribution(table(), 5, tolerance=1e-12)
    assert drawn(few) == {5}
    assert never.samples is None
    nobody = predictor.predict_distribution(table()[:0], 100, tolerance=0.1)
    assert len(nobody.mean) == 0
    one = predictor.predict_distribution(table()[-1:], 100, tolerance=1e-12)
    np.testing.assert_allclose(one.mean, never.mean[-1:], rtol=1e-4)


def test_quantiles_need_equal_numbers_of_samples() -> None:
    predictor = Predictor(random_bundle(task="regression"))
    result = predictor.predict_distribution(table(), 20, tolerance=1e9)
    assert isinstance(result, RegressionDistribution)
    with pytest.raises(AutotrainError, match=r"samples=True\) without tolerance"):
        result.quantiles(0.5)


@pytest.mark.parametrize("wrong", [0, -1.0, float("nan"), "a", float("inf")])
def test_invalid_tolerance_raises(wrong: Any) -> None:
    with pytest.raises(AutotrainError, match="tolerance must be a finite number greater than 0"):
        Predictor(random_bundle()).predict_distribution(table(), tolerance=wrong)


def test_samples_cannot_be_kept_with_a_tolerance() -> None:
    with pytest.raises(AutotrainError, match="samples must not be True when tolerance is given"):
        Predictor(random_bundle()).predict_distribution(table(), tolerance=0.1, samples=True)
