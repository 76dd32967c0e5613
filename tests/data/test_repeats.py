"""Test rows that equal training rows are found and counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from autotrain.data.columns import Column, read_columns
from autotrain.data.loading import load_dataset
from autotrain.data.repeats import find_repeats, row_hashes


def columns_of(frame: pd.DataFrame) -> list[Column]:
    return read_columns(frame)[0]


def mixed(n: int, seed: int = 0) -> pd.DataFrame:
    """Few values, so that rows repeat."""
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "number": generator.choice([0.5, 1.0, -0.0, np.nan], n),
            "text": generator.choice(np.array(["a", "b", None], dtype=object), n),
            "day": generator.choice(np.array(["2024-01-31", "2024-02-01"], dtype=object), n),
            "flag": generator.choice([True, False], n),
        }
    )


def test_repeats_equal_those_of_a_loop() -> None:
    train, test = mixed(40), mixed(60, seed=1)
    generator = np.random.default_rng(2)
    y_train, y_test = generator.integers(3, size=40), generator.integers(3, size=60)

    def key(frame: pd.DataFrame, place: int) -> tuple[Any, ...]:
        return tuple("missing" if pd.isna(cell) else cell for cell in frame.iloc[place])

    known = {key(train, place) for place in range(40)}
    both = {(key(train, place), y_train[place]) for place in range(40)}
    expected = [place for place in range(60) if key(test, place) in known]
    n_both = sum((key(test, place), y_test[place]) in both for place in range(60))
    found = find_repeats(train, y_train, test, y_test, columns_of(train))
    assert found.places.tolist() == expected
    assert found.n_same_target == n_both
    assert 0 < n_both < len(expected) < 60


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("numeric", [1.5, -0.0, np.nan], ["1.5", "0", None]),
        ("categorical", ["a", "1", None], [" a ", 1.0, ""]),
        ("boolean", [True, False, None], ["true", "0", "?"]),
        ("date", ["2024-01-31", None], [np.datetime64("2024-01-31"), None]),
    ],
)
def test_cells_that_the_model_reads_alike_are_equal(
    kind: str, one: list[Any], other: list[Any]
) -> None:
    columns = [Column("x", kind, "object")]
    hashes = [
        row_hashes(pd.DataFrame({"x": pd.Series(cells, dtype=object)}), columns)
        for cells in (one, other)
    ]
    assert hashes[0].tolist() == hashes[1].tolist()
    assert len(set(hashes[0].tolist())) == len(one)


def test_columns_are_not_interchangeable() -> None:
    frame = pd.DataFrame({"a": ["x", "y"], "b": ["y", "x"]})
    first, second = row_hashes(frame, columns_of(frame))
    assert first != second


def test_dataset_counts_repeats_in_its_test_rows() -> None:
    """Only columns that the model reads count: not the weights, nor one that numbers the rows."""
    generator = np.random.default_rng(0)
    half = pd.DataFrame(generator.normal(size=(50, 3)), columns=list("abc"))
    half["y"] = generator.choice(["no", "yes"], 50)
    table = pd.concat([half, half], ignore_index=True)
    table["w"] = generator.uniform(1, 2, 100)
    table["id"] = [f"row {place}" for place in range(100)]
    dataset = load_dataset(table, "y", weights="w", seed=3)
    assert dataset.repeats is not None
    rows = set(dataset.test_rows.tolist())
    expected = [row for row in dataset.test_rows.tolist() if (row + 50) % 100 not in rows]
    assert dataset.test_rows[dataset.repeats.places].tolist() == expected
    assert dataset.repeats.n_same_target == len(expected)
    (note,) = (note for note in dataset.notes if "equal a training row" in note)
    assert f"{len(expected)} of 20 test rows" in note
    assert str(expected[0] + 1) in note


def test_separate_test_table_is_compared() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 40))
    train = pd.DataFrame({0: x, "y": y})
    test = pd.DataFrame({0: [x[3], 70, x[5]], "y": [y[3], 0.0, 9.0]})
    dataset = load_dataset(train, "y", test=test)
    assert dataset.repeats is not None
    assert dataset.repeats.places.tolist() == [0, 2]
    assert dataset.repeats.n_same_target == 1


def test_no_repeats_give_no_notice() -> None:
    table = pd.DataFrame({"x": np.arange(50.0) ** 2, "y": np.arange(50.0) % 7})
    dataset = load_dataset(table, "y")
    assert dataset.repeats is not None
    assert not len(dataset.repeats.places)
    assert not any("training row" in note for note in dataset.notes)
    assert load_dataset(table, "y", test=0.0).repeats is None


def test_texts_that_are_not_unicode_are_compared() -> None:
    frame = pd.DataFrame({"x": pd.Series(["\ud800", "\ud801", "a"], dtype="object")})
    found = row_hashes(frame, read_columns(frame)[0])
    assert len(set(found.tolist())) == 3
