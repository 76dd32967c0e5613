"""The task is inferred from the target with a reason, and wrong targets are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from autotrain.data.targets import changed_labels, read_target
from autotrain.errors import DataError

TASKS: list[tuple[str, Any, str, tuple[Any, ...], str]] = [
    ("texts", ["b", "a", "b", "a"], "binary", ("a", "b"), "str"),
    ("three texts", ["c", "a", "b"] * 2, "multiclass", ("a", "b", "c"), "str"),
    ("booleans", [True, False] * 2, "binary", (False, True), "bool"),
    ("0 and 1", [0, 1] * 2, "binary", (0, 1), "int64"),
    ("two fractions", [0.5, 1.5] * 2, "binary", (0.5, 1.5), "float64"),
    ("0.0 and 1.0", [0.0, 1.0] * 2, "binary", (0.0, 1.0), "float64"),
    ("codes from 0", [0, 1, 2] * 3, "multiclass", (0, 1, 2), "int64"),
    ("codes from 1 with a gap", [1, 2, 5] * 3, "multiclass", (1, 2, 5), "int64"),
    ("codes from -1", [-1, 0, 1] * 3, "multiclass", (-1, 0, 1), "int64"),
    ("grades from 3", [3, 4, 5, 6] * 5, "regression", (), "float64"),
    ("too few rows a code", [0, 1, 2, 3, 4] * 2, "regression", (), "float64"),
    ("21 whole numbers", list(range(21)) * 4, "regression", (), "float64"),
    ("20 whole numbers", list(range(20)) * 4, "multiclass", tuple(range(20)), "int64"),
    ("fractions", [0.5, 1.0, 2.0] * 5, "regression", (), "float64"),
    ("numbers as text", [str(n / 2) for n in range(30)], "regression", (), "float64"),
    ("pixels' labels", np.array([0, 1, 2] * 3, np.uint8), "multiclass", (0, 1, 2), "int64"),
    ("a category", pd.Series(["x", "y"] * 3, dtype="category"), "binary", ("x", "y"), "str"),
    ("mixed", pd.Series(["x", 1, 1.0, "x"], dtype="object"), "binary", ("1", "x"), "str"),
    (
        "whole numbers and others",
        pd.Series([1, 0.5] * 3, dtype="object"),
        "binary",
        (0.5, 1.0),
        "float64",
    ),
    ("spaces", ["x ", "x", " y", "y"], "binary", ("x", "y"), "str"),
]


@pytest.mark.parametrize(("what", "cells", "task", "classes", "dtype"), TASKS)
def test_tasks(what: str, cells: Any, task: str, classes: tuple[Any, ...], dtype: str) -> None:
    target = read_target(cells, "y")
    assert (target.task, target.classes, target.label_dtype) == (task, classes, dtype), what
    assert target.reason.startswith(f"{task}: ")
    assert [type(label) for label in target.classes] == [type(label) for label in classes]
    if classes and what not in ("mixed", "spaces"):
        assert [target.classes[index] for index in target.y] == list(cells)
        assert target.y.dtype == np.int64


def test_nullable_whole_numbers_stay_whole() -> None:
    big = 2**53
    cells = pd.array([big, big + 1, None, big] * 3, dtype="Int64")
    labels = read_target(pd.Series(cells).dropna(), "y", "binary")
    assert (labels.classes, labels.label_dtype) == ((big, big + 1), "int64")


def test_few_words_among_codes_are_classes() -> None:
    target = read_target(["1", "2", "3"] * 20 + ["none of these"], "y")
    assert (target.task, len(target.classes)) == ("multiclass", 4)


def test_numbers_of_regression_are_untouched() -> None:
    np.testing.assert_array_equal(read_target([1.5, 2.5, 9.0], "y").y, [1.5, 2.5, 9.0])


def test_whole_numbers_with_missing_cells_stay_whole() -> None:
    assert read_target([0.0, 1.0] * 2, "y", had_missing=True).classes == (0, 1)
    assert read_target([0.5, 1.0] * 2, "y", had_missing=True).classes == (0.5, 1.0)


@pytest.mark.parametrize(
    ("cells", "task", "classes"),
    [
        ([3, 4, 5] * 2, "multiclass", (3, 4, 5)),
        ([0, 1, 2] * 4, "regression", ()),
        (["1", "2", "4"] * 2, "regression", ()),
        ([0, 1] * 2, "multiclass", (0, 1)),
        ([0, 1] * 2, "regression", ()),
    ],
)
def test_user_may_choose_the_task(cells: Any, task: str, classes: tuple[Any, ...]) -> None:
    target = read_target(cells, "y", task)
    assert (target.task, target.classes, target.reason) == (
        task,
        classes,
        f"{task}: given, not inferred",
    )


WRONG: list[tuple[str, Any, str, list[str]]] = [
    ("constant", [1] * 5, "auto", ["'y'", "at least two different values", "got 1 in all 5 rows"]),
    ("an id", [f"id{n}" for n in range(50)], "auto", ["50 different labels", "an identifier"]),
    ("numbers", list(range(50)), "multiclass", ["like an identifier", "task regression"]),
    ("too many", list(range(1001)) * 3, "multiclass", ["at most 1000"]),
    ("not binary", ["a", "b", "c"] * 2, "binary", ["must have two labels", "'a', 'b', 'c'"]),
    ("no numbers", ["1", "2", "x"] * 2, "regression", ["got 'x' in row 3 of the table"]),
    ("infinite", [1.0, np.inf, 2.0, -np.inf], "auto", ["got 2 larger ones in the table", "row 2"]),
    ("tiny", np.arange(40) * 1e-150, "regression", ["at least 1e-100", "got 3.9e-149"]),
    ("lists", pd.Series([[1], [2], [1]]), "auto", ["lists or other objects"]),
    (
        "spoilt",
        [f"{n / 100}" for n in range(60)] + ["unknown"],
        "auto",
        ["60 different numbers and 1 of 61 cells", "row 61", "'unknown'", "multiclass"],
    ),
    ("single", np.array([1, np.inf], np.float32), "auto", ["got 1 larger ones in the table"]),
    ("task", [0, 1], "classification", ["no task 'classification'", "multiclass"]),
]


@pytest.mark.parametrize(("what", "cells", "task", "parts"), WRONG)
def test_wrong_targets_get_one_clear_error(
    what: str, cells: Any, task: str, parts: list[str]
) -> None:
    with pytest.raises(DataError) as caught:
        read_target(cells, "y", task)
    for part in parts:
        assert part in str(caught.value), what


@pytest.mark.parametrize(
    ("cells", "other", "wanted"),
    [
        (["a", "b"] * 2, ["b", "a "], [1, 0]),
        ([0, 1] * 2, ["1", "0"], [1, 0]),
        ([0, 1] * 2, [1.0, 0.0], [1, 0]),
        (["0", "1"] * 2, [1, 0], [1, 0]),
        ([True, False] * 2, ["true", "False"], [1, 0]),
        ([True, False] * 2, [1, 0], [1, 0]),
        (["1", "1.0"] * 2, ["1.0", "1"], [1, 0]),
        (["true", "false"] * 2, [True, False], [1, 0]),
        (["TRUE", "FALSE"] * 2, ["false", "True"], [0, 1]),
        (["true", "True"] * 2, ["True", "true"], [0, 1]),
    ],
)
def test_another_table_is_encoded_alike(cells: Any, other: Any, wanted: list[int]) -> None:
    assert read_target(cells, "y").encode(other, "test.csv").tolist() == wanted


def test_other_classes_in_another_table_are_refused() -> None:
    with pytest.raises(DataError, match=r"test.csv: .*'a', 'b'\), got 'c'"):
        read_target(["a", "b"] * 2, "y").encode(["a", "c"], "test.csv")


def test_other_numbers_in_another_table_are_read() -> None:
    target = read_target([0.5, 1.5, 7.0], "y")
    np.testing.assert_array_equal(target.encode(["1.5", "99"], "test.csv"), [1.5, 99])
    with pytest.raises(DataError, match=r"got 'x' in row 2 of test.csv"):
        target.encode(["1.5", "x"], "test.csv")


def test_labels_that_no_array_can_contain_are_refused() -> None:
    labels = np.array([2**63 + 5, 3] * 20, dtype=np.uint64)
    with pytest.raises(DataError, match=r"at most 64 bits .*, got 9223372036854775813\."):
        read_target(labels, "y", "binary")


LARGE = [2**60 + 1, 2**60 + 2, 2**60 + 3]


def test_few_whole_numbers_beyond_2_53_are_classes() -> None:
    target = read_target(pd.Series(LARGE * 4), "y")
    assert (target.task, target.classes) == ("multiclass", tuple(LARGE))
    np.testing.assert_array_equal(target.encode(pd.Series(LARGE[::-1]), "t"), [2, 1, 0])


def test_floats_are_not_labels_if_classes_are_beyond_2_53() -> None:
    target = read_target(pd.Series(LARGE * 4), "y")
    with pytest.raises(DataError, match="t: labels of 'y' must be integers, got the float"):
        target.encode(pd.Series([float(LARGE[0])]), "t")


def test_large_labels_that_are_floats_give_a_notice() -> None:
    values = pd.Series([float(LARGE[0]), 2.0**61] * 6)
    (note,) = changed_labels(values, read_target(values, "y"))
    assert "labels may already be merged" in note
    values = pd.Series([0.0, 1.0] * 6)
    assert changed_labels(values, read_target(values, "y")) == []


def test_large_numbers_that_regression_merges_give_a_notice() -> None:
    values = pd.Series([2**60 + n for n in range(30)])
    (note,) = changed_labels(values, read_target(values, "y"))
    assert "which regression rounds: 29 fewer different values" in note


def test_whole_numbers_and_whole_floats_are_whole() -> None:
    target = read_target(np.array([2**60 + 1, 2.0, 2**60 + 3] * 4, dtype=object), "y")
    assert target.classes == (2, 2**60 + 1, 2**60 + 3)


def test_large_whole_numbers_beside_fractions_are_refused() -> None:
    with pytest.raises(DataError, match="that a float represents exactly"):
        read_target(np.array([2**60 + 1, 0.5] * 6, dtype=object), "y")


def test_durations_are_seconds_and_give_a_notice() -> None:
    values = pd.Series(pd.to_timedelta(np.arange(30) * 1.5, unit="min"))
    target = read_target(values, "y")
    np.testing.assert_array_equal(target.y, np.arange(30) * 90)
    assert changed_labels(values, target) == [
        "target 'y' contains durations, which are read as seconds"
    ]
    np.testing.assert_array_equal(target.encode(values.astype(object), "t"), target.y)
