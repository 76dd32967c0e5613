"""Partial dependence equals scikit-learn's, and its band the samples of changed tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import inspection
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from autotrain.errors import AutotrainError, DataError
from autotrain.predictor import Predictor, load
from autotrain.predictor.block_sizes import BlockSizes
from autotrain.predictor.partial_dependence import rows_of_values
from tests.winners import mixed_table, random_bundle, train


def table(n: int = 80) -> np.ndarray:
    rows = np.random.default_rng(0).normal(size=(n, 5))
    rows[:, 1] = rows[:, 1].round()
    return rows


class Classifier(ClassifierMixin, BaseEstimator):
    def __init__(self, predictor: Predictor) -> None:
        self.predictor, self.classes_ = predictor, predictor.classes_

    def fit(self, X: Any, y: Any) -> None: ...

    def predict_proba(self, X: Any) -> np.ndarray:
        return self.predictor.predict_proba(X)


class Regressor(RegressorMixin, BaseEstimator):
    def __init__(self, predictor: Predictor) -> None:
        self.predictor, self.n_features_in_ = predictor, 5

    def fit(self, X: Any, y: Any) -> None: ...

    def predict(self, X: Any) -> np.ndarray:
        return self.predictor.predict(X)


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("task", ["multiclass", "regression"])
@pytest.mark.parametrize("column", ["x0", "x1"])
def test_curve_equals_scikit_learns(task: str, n_members: int, column: str) -> None:
    bundle = random_bundle(task=task, n_members=n_members)
    if task == "multiclass":
        bundle = replace(bundle, calibration={"temperature": 2.0, "temperature_point": 0.5})
    predictor, place = Predictor(bundle), int(column[1])
    found = predictor.partial_dependence(table(), column, grid=9, n_samples=0, alpha=0.2)
    if column == "x1":
        assert found.grid.tolist() == np.unique(table()[:, 1]).tolist()
    else:
        ends = np.quantile(table()[:, 0], [0.05, 0.95], method="nearest")
        assert (len(found.grid), found.grid[0], found.grid[-1]) == (9, *ends)
        assert set(found.grid) < set(table()[:, 0])
    expected = inspection.partial_dependence(
        (Classifier if task == "multiclass" else Regressor)(predictor),
        table(),
        [place],
        method="brute",
        kind="both",
        custom_values={place: found.grid},
    )
    # [classes, values] and [classes, rows, values]
    average, single = expected["average"], expected["individual"]
    mean = found.mean if task == "multiclass" else found.mean[:, None]
    rows = found.rows if task == "multiclass" else found.rows[:, :, None]
    np.testing.assert_allclose(mean.T, average, rtol=1e-5)
    quantiles = np.quantile(single, [0.1, 0.9], axis=1)  # [2, classes, values]
    np.testing.assert_allclose(rows, np.moveaxis(quantiles, 2, 0), rtol=1e-5)
    assert found.band is None
    assert found.n_samples == 0


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_band_is_that_of_the_samples_of_changed_tables(task: str) -> None:
    predictor = Predictor(random_bundle(task=task, n_members=2))
    found = predictor.partial_dependence(table(), "x1", n_samples=30, seed=3, alpha=0.2)
    assert found.band is not None
    for place, value in enumerate(found.grid):
        rows = table()
        rows[:, 1] = value
        samples = predictor.predict_distribution(rows, 30, seed=3, notices=[]).samples
        assert samples is not None
        expected = np.quantile(samples.mean(axis=1), [0.1, 0.9], axis=0)
        np.testing.assert_allclose(found.band[place], expected, rtol=1e-5)
    sizes = BlockSizes(encoded=200, samples=900, layer=64 * 12, rows=64)
    small = Predictor(predictor.bundle, sizes).partial_dependence(
        table(), "x1", n_samples=30, seed=3, alpha=0.2
    )
    assert small.band is not None
    np.testing.assert_allclose(small.band, found.band, rtol=1e-5)
    np.testing.assert_allclose(small.mean, found.mean, rtol=1e-5)


def test_band_needs_dropout() -> None:
    predictor = Predictor(random_bundle({"dropout.rate": 0.0}))
    assert predictor.partial_dependence(table(), "x1").band is None


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("mixed")
    params = {"embedding": "plr", "encoder": "embedding", "encoder.embedding.one_hot_limit": 2}
    return load(train(mixed_table(), params, target="left").export(folder / "best").path)


@pytest.mark.parametrize("column", ["age", "city", "member", "sex", "since"])
def test_values_of_every_kind_of_column(column: str, mixed: Predictor) -> None:
    """A value of the result, written into every row, gives the mean of the result."""
    frame = mixed_table()
    found = mixed.partial_dependence(frame, column, grid=6, n_samples=2)
    known = frame[column].dropna()
    if column in ("age", "since"):
        assert len(found.grid) == 6
        assert set(pd.Series(found.grid)) <= set(known)
        assert (np.diff(found.grid) > 0).all()
    else:
        # The most frequent first; a missing cell is a level.
        counts = frame[column].map(str).where(frame[column].notna()).value_counts(dropna=False)
        levels = [None if pd.isna(level) else level for level in counts.index]
        order = dict(zip(levels, counts, strict=True))
        taken = [order[level] for level in found.grid]
        assert taken == sorted(counts, reverse=True)[:6]
    for value, mean in zip(found.grid, found.mean, strict=True):
        changed = frame.assign(**{column: value})
        np.testing.assert_allclose(mixed.predict_proba(changed).mean(axis=0), mean, rtol=1e-4)


def test_rows_of_values() -> None:
    numbers = np.array([3.0, np.nan, 1.0, 2.0, 1.0])
    assert rows_of_values(numbers, 3).tolist() == [2, 3, 0]
    assert rows_of_values(numbers, 1).tolist() in ([2], [4])
    texts = np.array(["b", "a", None, "a"], dtype=object)
    assert rows_of_values(texts, 2).tolist() == [1, 0]
    # Equal quantiles are one value.
    many = np.array([0.0] * 90 + list(range(1, 11)))
    assert many[rows_of_values(many, 4)].tolist() == [0, 5]


def test_columns_of_the_frame() -> None:
    of_classes = Predictor(random_bundle()).partial_dependence(table(), "x1", n_samples=5)
    frame = of_classes.to_frame()
    assert frame["value"].tolist() == of_classes.grid.tolist()
    assert frame["mean_b"].tolist() == of_classes.mean[:, 1].tolist()
    assert of_classes.band is not None
    assert frame["band_high_c"].tolist() == of_classes.band[:, 1, 2].tolist()
    of_numbers = Predictor(random_bundle(task="regression")).partial_dependence(
        table(), "x1", n_samples=0
    )
    assert list(of_numbers.to_frame()) == ["value", "mean", "rows_low", "rows_high"]


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"column": "x9"}, "column"),
        ({"column": 1}, "column"),
        ({"grid": 0}, "grid"),
        ({"grid": [1.0, 2.0]}, "grid"),
        ({"n_samples": -1}, "n_samples"),
        ({"alpha": 1.0}, "alpha"),
        ({"seed": -1}, "seed"),
    ],
)
def test_wrong_arguments_raise(options: dict[str, Any], parameter: str) -> None:
    predictor = Predictor(random_bundle())
    with pytest.raises(AutotrainError) as caught:
        predictor.partial_dependence(table(), **{"column": "x0", **options})
    assert caught.value.parameter == parameter


@pytest.mark.parametrize("n", [0, 3])
def test_a_column_without_a_value_raises(n: int) -> None:
    rows = np.full((n, 5), np.nan)
    with pytest.raises(DataError, match=f"got {n} rows without one"):
        Predictor(random_bundle()).partial_dependence(rows, "x0")
