"""Rows are split into disjoint, seeded, stratified parts."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotrain.data.splitting import (
    MAX_CALIBRATION_ROWS,
    MAX_VALIDATION_ROWS,
    fold_rows,
    holdout,
    read_fraction,
    split_test,
    split_validation,
)
from autotrain.errors import DataError


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(
    st.lists(st.integers(0, 5), min_size=4, max_size=80),
    st.floats(0.05, 0.7),
    st.booleans(),
    st.integers(0, 99),
)
def test_holdout_splits_the_rows(
    labels: list[int], fraction: float, stratify: bool, seed: int
) -> None:
    y = np.array(labels)
    n_out = max(1, round(fraction * len(y)))
    stay, out = holdout(y, n_out, rng(seed), stratify=stratify)
    assert sorted([*stay, *out]) == list(range(len(y)))
    if not stratify:
        assert len(out) == n_out
        return
    counts, chosen = np.bincount(y), np.bincount(y[out], minlength=len(np.bincount(y)))
    assert ((counts - chosen)[counts > 0] >= 1).all()
    exact = counts * n_out / len(y)
    most = np.maximum(counts - 1, 0)
    assert (chosen <= np.floor(exact) + 1).all()
    assert (chosen >= np.minimum(np.floor(exact), most)).all()
    assert len(out) == min(n_out, np.minimum(np.floor(exact) + 1, most).sum())


def test_fractions_of_the_classes_are_kept() -> None:
    y = np.repeat([0, 1, 2], [700, 200, 100])
    _, out = holdout(y, 200, rng(), stratify=True)
    assert np.bincount(y[out]).tolist() == [140, 40, 20]


def test_ties_are_broken_at_random() -> None:
    y = np.repeat(np.arange(10), 5)
    tested = np.zeros(10)
    for seed in range(200):
        _, out = holdout(y, 5, rng(seed), stratify=True)
        tested += np.bincount(y[out], minlength=10)
    assert tested.min() > 60  # 100 expected


def test_rows_are_chosen_from_the_whole_table() -> None:
    chosen = np.zeros(40)
    for seed in range(200):
        chosen[holdout(np.repeat([0, 1], 20), 10, rng(seed), stratify=True)[1]] += 1
    assert chosen.min() > 20  # 50 expected
    assert chosen.max() < 80


@given(
    st.lists(st.integers(0, 3), min_size=12, max_size=60),
    st.integers(2, 5),
    st.booleans(),
    st.integers(0, 99),
)
def test_every_row_validates_once(
    labels: list[int], n_folds: int, stratify: bool, seed: int
) -> None:
    y = np.array(labels)
    folds = fold_rows(y, n_folds, rng(seed), stratify=stratify)
    assert len(folds) == n_folds
    single = set(np.flatnonzero(np.bincount(y)[y] == 1)) if stratify else set()
    validated = np.concatenate([valid for _, valid in folds])
    assert sorted(validated) == [row for row in range(len(y)) if row not in single]
    for train, valid in folds:
        assert sorted([*train, *valid]) == list(range(len(y)))
        if stratify:
            assert set(y[train]) == set(y)
    sizes = [len(valid) for _, valid in folds]
    assert max(sizes) - min(sizes) <= 1


def test_folds_are_stratified() -> None:
    y = np.repeat([0, 1, 2], [50, 25, 25])
    for _, valid in fold_rows(y, 5, rng(), stratify=True):
        assert np.bincount(y[valid]).tolist() == [10, 5, 5]


def test_seed_determines_the_split() -> None:
    y = np.repeat([0, 1], 50)
    for split in (
        lambda seed: split_test(y, 0.2, seed, stratify=True)[1],
        lambda seed: split_validation(y, "holdout", seed, stratify=True)[0][1],
        lambda seed: split_validation(y, "3-fold", seed, stratify=True)[0][1],
    ):
        np.testing.assert_array_equal(split(1), split(1))
        assert split(1).tolist() != split(2).tolist()


def test_test_and_validation_rows_are_drawn_independently() -> None:
    y = np.zeros(100, dtype=np.int64)
    _, test = split_test(y, 0.2, 0, stratify=False)
    ((_, valid, _),) = split_validation(y, "holdout", 0, stratify=False)
    assert test.tolist() != valid.tolist()


def test_at_most_ten_thousand_rows_are_held_out() -> None:
    ((train, valid, calibration),) = split_validation(np.zeros(60_000), "auto", 0, stratify=False)
    assert calibration is not None
    assert len(valid) + len(calibration) == MAX_VALIDATION_ROWS
    assert (len(train), len(calibration)) == (50_000, MAX_CALIBRATION_ROWS)
    assert sorted([*train, *valid, *calibration]) == list(range(60_000))


@pytest.mark.parametrize(("n_rows", "n_apart"), [(9_980, None), (9_990, 500), (30_000, 1_500)])
def test_quarter_of_many_validation_rows_calibrates(n_rows: int, n_apart: int | None) -> None:
    y = np.arange(n_rows) % 3
    ((train, valid, calibration),) = split_validation(y, "holdout", 0, stratify=True)
    if n_apart is None:
        assert calibration is None
        assert len(train) + len(valid) == n_rows
        return
    assert calibration is not None
    assert len(calibration) == n_apart
    assert sorted([*train, *valid, *calibration]) == list(range(n_rows))
    assert all(np.all(np.diff(rows) > 0) for rows in (train, valid, calibration))
    # Every class keeps its share.
    assert np.ptp(np.bincount(y[calibration])) <= 1
    other = split_validation(y, "holdout", 1, stratify=True)[0].calibration
    assert other is not None
    assert other.tolist() != calibration.tolist()


def test_calibration_leaves_a_validation_row_of_every_class() -> None:
    y = np.concatenate([np.zeros(9_990, dtype=np.int64), np.ones(10, dtype=np.int64)])
    ((train, valid, _),) = split_validation(y, "holdout", 0, stratify=True)
    assert (1 in y[train], 1 in y[valid]) == (True, True)


def test_fraction_zero_gives_no_test_rows() -> None:
    rest, test = split_test(np.zeros(10), 0.0, 0, stratify=False)
    assert (len(rest), len(test)) == (10, 0)


@pytest.mark.parametrize(
    ("test", "fraction"), [(0.25, 0.25), ("0.25", 0.25), (0, 0), ("a.csv", None), ([1], None)]
)
def test_fractions(test: Any, fraction: float | None) -> None:
    assert read_fraction(test) == fraction


@pytest.mark.parametrize("test", [1, 1.5, -0.1, "2", float("nan")])
def test_wrong_fractions(test: Any) -> None:
    with pytest.raises(DataError, match=re.escape(f"got {test}. The default is 0.2")):
        read_fraction(test)


@pytest.mark.parametrize("validation", ["1-fold", "0-fold", "fold", "5", "5 fold", "none"])
def test_wrong_validations(validation: str) -> None:
    with pytest.raises(DataError, match=f"auto, holdout or K-fold.*got '{validation}'"):
        split_validation(np.zeros(20), validation, 0, stratify=False)


def test_fewer_rows_than_folds() -> None:
    with pytest.raises(DataError, match=r"one row per fold \(9\), but only 8 rows"):
        split_validation(np.zeros(8), "9-fold", 0, stratify=False)
    with pytest.raises(DataError, match=r"one row per fold \(5\), but only 4 rows"):
        split_validation(np.array([0, 0, 0, 0, 1]), "5-fold", 0, stratify=True)


def test_rows_that_cannot_validate_are_refused() -> None:
    with pytest.raises(DataError, match="none of the 12 rows outside the test set can validate"):
        split_validation(np.arange(12), "holdout", 0, stratify=True)
    with pytest.raises(
        DataError, match=r"only 0 rows outside .* can validate \(the only row of a class"
    ):
        split_validation(np.arange(12), "5-fold", 0, stratify=True)


@pytest.mark.parametrize(
    ("n_rows", "n_folds"), [(20, 5), (9_999, 5), (10_000, 3), (29_999, 3), (30_000, 1)]
)
def test_auto_uses_folds_for_few_rows(n_rows: int, n_folds: int) -> None:
    folds = split_validation(np.zeros(n_rows), "auto", 0, stratify=False)
    assert len(folds) == n_folds
    if n_folds > 1:
        assert all(parts.calibration is None for parts in folds)
        validated = np.concatenate([parts.valid for parts in folds])
        assert sorted(validated) == list(range(n_rows))
