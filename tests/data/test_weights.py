"""Weights of rows and classes: read, checked, not used as features, of mean 1 in every fold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.class_weight import compute_class_weight

from autotrain.data.loading import load_dataset
from autotrain.errors import DataError, StudyError
from autotrain.techniques.view import View


def table(n: int = 60) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "x": generator.normal(size=n),
            "count": generator.integers(0, 5, n),
            "y": generator.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1]),
        }
    )


@pytest.mark.parametrize("validation", ["holdout", "3-fold"])
def test_every_fold_has_the_weights_of_its_rows(validation: str) -> None:
    frame = table()
    data = load_dataset(frame, "y", weights="count", validation=validation)
    counts = frame["count"].to_numpy(float)
    for fold, split in zip(data.folds, data.splits, strict=True):
        weights = fold.weights
        assert weights is not None
        assert weights.metric is not None
        for own, rows in ((weights.train, split.train), (weights.valid, split.valid)):
            np.testing.assert_allclose(own, counts[rows] / counts[rows].mean(), rtol=1e-14)
        np.testing.assert_array_equal(weights.metric, weights.valid)
    assert data.test_weights is not None
    np.testing.assert_array_equal(data.test_weights, counts[data.test_rows])


def test_column_of_weights_is_not_a_feature() -> None:
    data = load_dataset(table(), "y", weights="count")
    assert [column.name for column in data.columns] == ["x"]
    assert data.preprocessor().features == ("x",)
    assert data.preprocessor(0, View(scaler="quantile_normal")).features == ("x",)
    for frame, labels in (data.raw_test(), data.raw_valid()):
        assert list(frame) == ["x"]
        assert labels.name == "y"


def test_weights_are_none_by_default() -> None:
    data = load_dataset(table(), "y")
    assert data.folds[0].weights is None
    assert data.test_weights is None
    assert [column.name for column in data.columns] == ["x", "count"]


def test_balanced_class_weights_equal_scikit_learn() -> None:
    data = load_dataset(table(), "y", class_weights="balanced", validation="3-fold")
    codes = {"a": 0, "b": 1, "c": 2}
    rest = np.setdiff1d(np.arange(60), data.test_rows)
    every = table()["y"].map(codes).to_numpy()[rest]
    by_class = compute_class_weight("balanced", classes=np.arange(3), y=every)
    for fold in data.folds:
        y = fold.y_train
        assert fold.weights is not None
        assert fold.weights.of_classes is not None
        np.testing.assert_allclose(fold.weights.of_classes, by_class, rtol=1e-14)
        train = by_class[y]
        np.testing.assert_allclose(fold.weights.train, train / train.mean(), rtol=1e-14)
        valid = by_class[fold.y_valid]
        np.testing.assert_allclose(fold.weights.valid, valid / valid.mean(), rtol=1e-14)
        assert fold.weights.metric is None, "the metric stays what it is"


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e99])
def test_balanced_class_weights_of_weighted_rows_equal_scikit_learn(unit: float) -> None:
    frame = table().assign(w=unit * np.random.default_rng(1).uniform(0.01, 5, 60))
    data = load_dataset(
        frame, "y", weights="w", class_weights="balanced", validation="3-fold", test=0
    )
    every, own = frame["y"].map({"a": 0, "b": 1, "c": 2}).to_numpy(), frame["w"].to_numpy() / unit
    by_class = compute_class_weight("balanced", classes=np.arange(3), y=every, sample_weight=own)
    sums = np.bincount(every, by_class[every] * own)
    np.testing.assert_allclose(sums, sums.mean(), rtol=1e-12)
    for fold, split in zip(data.folds, data.splits, strict=True):
        assert fold.weights is not None
        wanted = by_class[fold.y_train] * own[split.train]
        np.testing.assert_allclose(fold.weights.train, wanted / wanted.mean(), rtol=1e-12)


def test_named_classes_and_rows_multiply() -> None:
    frame = table()
    data = load_dataset(frame, "y", weights="count", class_weights={"c": 4, "b": 0.5})
    [fold], [split] = data.folds, data.splits
    of_labels = frame["y"].map({"a": 1.0, "b": 0.5, "c": 4.0}) * frame["count"]
    expected = of_labels.to_numpy()[split.train]
    assert fold.weights is not None
    assert fold.weights.metric is not None
    np.testing.assert_allclose(fold.weights.train, expected / expected.mean(), rtol=1e-14)
    counts = frame["count"].to_numpy(float)[split.valid]
    np.testing.assert_allclose(fold.weights.metric, counts / counts.mean(), rtol=1e-14)


def test_labels_may_be_spelled_differently() -> None:
    frame = table().assign(y=np.tile([0, 1], 30))
    one = load_dataset(frame, "y", class_weights={1: 3.0}).folds[0].weights
    counts: Any = {"1": np.float32(3)}  # as np.unique(…, return_counts=True) may give them
    other = load_dataset(frame, "y", class_weights=counts).folds[0].weights
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one.train, other.train)


@pytest.mark.parametrize("validation", ["holdout", "3-fold"])
@pytest.mark.parametrize("target", ["y", "x"])
@pytest.mark.parametrize("seed", range(3))
def test_row_of_weight_0_changes_nothing(validation: str, target: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    frame = table().assign(count=1.0 + table()["count"], gap=generator.choice([1.0, np.nan], 60))
    garbage = pd.DataFrame(
        {
            "x": generator.choice([-1e9, 1e9, 3.0], 40),
            "count": 0.0,
            "y": generator.choice(["a", "b", "c", "none"], 40),
            "gap": generator.choice(["many", "", "7"], 40),
        }
    )
    order = generator.permutation(100)
    both = pd.concat([frame, garbage]).iloc[order].reset_index(drop=True)
    own = both[both["count"] > 0].reset_index(drop=True).astype({"gap": float})
    with_it = load_dataset(both, target, weights="count", validation=validation, seed=seed)
    without = load_dataset(own, target, weights="count", validation=validation, seed=seed)
    assert "dropped 40 rows with weight 0 in 'count'" in with_it.notes
    assert (with_it.task, with_it.classes) == (without.task, without.classes)
    np.testing.assert_array_equal(with_it.test_weights, without.test_weights)
    for place, (one, other) in enumerate(zip(with_it.folds, without.folds, strict=True)):
        assert (one.target_mean, one.target_std) == (other.target_mean, other.target_std)
        assert one.weights is not None
        assert other.weights is not None
        for name in ("train", "valid", "metric"):
            np.testing.assert_array_equal(getattr(one.weights, name), getattr(other.weights, name))
        np.testing.assert_array_equal(one.y_train, other.y_train)
        np.testing.assert_array_equal(one.y_valid, other.y_valid)
        for view in (View(), View("robust_smooth_clip", "indicator")):
            encoded = [data.encoded(place, view) for data in (with_it, without)]
            np.testing.assert_array_equal(encoded[0].x_train, encoded[1].x_train)
            np.testing.assert_array_equal(encoded[0].x_valid, encoded[1].x_valid)


def test_dropped_row_needs_no_weight() -> None:
    frame = table().astype({"count": float})
    frame.loc[5, ["y", "count"]] = [None, np.nan]
    assert load_dataset(frame, "y", weights="count").folds[0].weights is not None
    frame.loc[8, "count"] = np.nan
    with pytest.raises(DataError, match="got an empty cell in row 9"):
        load_dataset(frame, "y", weights="count")


def test_separate_test_rows_have_weights() -> None:
    frame, other = table(), table(20)
    data = load_dataset(frame, "y", weights="count", test=other)
    np.testing.assert_array_equal(data.test_weights, other["count"])
    without = load_dataset(frame, "y", weights="count", test=other.drop(columns="count"))
    assert without.test_weights is None
    assert without.n_test == 20
    assert any("have no column 'count' and get equal weights" in note for note in without.notes)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([1.0] * 59 + [-1.0], r"weights in 'w' must be numbers of at least 0, got -1\.0 in row 60"),
        ([1.0] * 59 + [np.inf], "got inf in row 60"),
        ([1.0] * 58 + [np.nan, 1.0], r"got an empty cell in row 59\. Correct the cell"),
        (["1"] * 59 + ["much"], "got 'much' in row 60"),
        ([0.0] * 60, "must be positive, but all 60 are 0"),
        ([1.0] + [0.0] * 59, "at least 10 rows with a target and a positive weight, got 1"),
    ],
)
def test_invalid_weights_are_refused(cells: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(table().assign(w=cells), "y", weights="w")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cuont", r"no weights column 'cuont'\. Did you mean 'count'\? Known: x, count\."),
        ("y", "weights must not be the target column, got 'y'"),
    ],
)
def test_invalid_columns_of_weights_are_refused(name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(table(), "y", weights=name)


@pytest.mark.parametrize(
    ("target", "given", "message"),
    [
        ("y", "balance", "must be 'balanced' or a weight for each class, got 'balance'"),
        ("y", {"d": 1.0}, r"class_weights: no class 'd'\..* Known: a, b, c\."),
        ("y", {"a": -1.0}, "must be numbers of at least 0, got -1.0 for class 'a'"),
        ("y", {"a": "much"}, "got 'much' for class 'a'"),
        ("x", "balanced", "class_weights must be None for a regression, but 'x' is a number"),
    ],
)
def test_invalid_class_weights_are_refused(target: str, given: Any, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        load_dataset(table(), target, class_weights=given)
