"""Kinds of columns; useless columns are dropped with a notice."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autotrain.data.columns import keep_useful, read_columns
from autotrain.errors import DataError

KINDS: list[tuple[str, Any, str]] = [
    ("whole numbers", [1, 2, 1], "numeric"),
    ("few whole numbers", [0, 1, 0], "numeric"),
    ("fractions and missing", [1.5, np.nan, 2.0], "numeric"),
    ("numbers as texts", pd.Series(["1", " ", "2.5"], dtype="object"), "numeric"),
    ("question marks", ["1", "?", "2"], "numeric"),
    ("nullable", pd.Series([1, None, 2], dtype="Int64"), "numeric"),
    ("durations", pd.to_timedelta([1, 2, 3], unit="s"), "numeric"),
    ("unsigned", np.array([1, 2, 3], dtype=np.uint8), "numeric"),
    ("texts", ["a", "b", "a"], "categorical"),
    ("yes and no", ["yes", "no", "yes"], "categorical"),
    ("a category of numbers", pd.Series([1, 2, 1], dtype="category"), "categorical"),
    ("a category of booleans", pd.Series([True, False], dtype="category"), "boolean"),
    ("numbers and a text", ["1", "2", "many"], "categorical"),
    ("booleans", [True, False, True], "boolean"),
    ("booleans with missing", pd.Series([True, None, False], dtype="object"), "boolean"),
    ("nullable booleans", pd.Series([True, None, False], dtype="boolean"), "boolean"),
    ("boolean texts", ["true", "FALSE", None], "boolean"),
    ("ISO dates", ["2024-01-31", "2024-02-01 12:30", None], "date"),
    ("dates", np.array(["2024-01-31", "NaT"], dtype="datetime64[ns]"), "date"),
    ("dates with a zone", pd.date_range("2024-01-31", periods=3, tz="Asia/Tokyo"), "date"),
    ("periods", pd.period_range("2024-01", periods=3, freq="M"), "date"),
    ("duration objects", pd.Series([datetime.timedelta(1), None] * 2, dtype="object"), "numeric"),
    ("decimals", [decimal.Decimal("1.5"), None, decimal.Decimal("2")], "numeric"),
    ("no date", ["2024-02-30", "2024-01-01", "2024-01-01"], "categorical"),
    ("nothing", [None, np.nan, None], "missing"),
    ("blank texts", ["", "NA", "?"], "missing"),
    ("an empty category", pd.Series([None] * 3, dtype="category"), "missing"),
    ("no times", np.array(["NaT", "NaT"], dtype="datetime64[us]"), "missing"),
]


@pytest.mark.parametrize(("name", "cells", "kind"), KINDS, ids=[row[0] for row in KINDS])
def test_kinds(name: str, cells: Any, kind: str) -> None:
    (column,), _ = read_columns(pd.DataFrame({name: cells}))
    assert (column.name, column.kind) == (name, kind)


def test_pixels_are_used_unchanged() -> None:
    columns, notes = read_columns(pd.DataFrame(np.zeros((2, 3), np.uint8)), are_pixels=True)
    assert [column.kind for column in columns] == ["pixel"] * 3
    assert notes == []


def test_few_texts_among_numbers_give_a_notice() -> None:
    _, notes = read_columns(pd.DataFrame({"size": ["1", "2", "3", "4", "5"] * 5 + ["n.a."]}))
    assert notes[0].startswith(
        "column 'size' contains numbers and 1 other cell (for example 'n.a.')"
    )


def test_few_other_cells_among_dates_give_a_notice() -> None:
    dates = [f"2024-01-{day:02}" for day in range(1, 31)]
    _, notes = read_columns(pd.DataFrame({"when": [*dates, "0000-00-00"]}))
    assert notes[0].startswith(
        "column 'when' contains dates and 1 other cell (for example '0000-00-00')"
    )


def test_dates_in_another_format_give_a_notice() -> None:
    _, notes = read_columns(pd.DataFrame({"when": ["31.01.2024", "01.02.2024"]}))
    assert "column 'when' looks like dates that are not written as 2024-01-31" in notes[0]


def test_infinities_are_refused_all_at_once() -> None:
    frame = pd.DataFrame({"a": [1, np.inf, -np.inf], "b": [1, 2, 3], "c": ["1", "2", "inf"]})
    with pytest.raises(DataError) as caught:
        read_columns(frame)
    assert "'a' (2, the first in row 2); 'c' (1, the first in row 3)" in str(caught.value)
    assert "'b'" not in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "part"),
    [([[1], [2]], "lists or other objects"), ([1j, 2j], "complex numbers")],
)
def test_cells_of_other_kinds_are_refused(cells: Any, part: str) -> None:
    with pytest.raises(DataError, match=f"column 'a'.*{part}"):
        read_columns(pd.DataFrame({"a": cells}))


def dropped(cells: Any, name: str = "column", rows: Any = None) -> str:
    """Return the reason why a column is dropped, empty when it is kept."""
    frame = pd.DataFrame({name: cells, "other": np.arange(len(cells)) % 3})
    columns, _ = read_columns(frame)
    rows = np.arange(len(frame)) if rows is None else np.asarray(rows)
    kept, notes = keep_useful(frame, columns, rows)
    assert len(kept) + len(notes) == 2
    return notes[0] if notes else ""


N = 40
RNG = np.random.default_rng(0)
SHUFFLED = RNG.permutation(1000)[:N]

DROPPED: list[tuple[str, Any, str, str]] = [
    ("constant", [5] * N, "x", "all training rows have the value 5"),
    ("constant text", ["a"] * N, "x", "all training rows have the value 'a'"),
    ("constant boolean", [True] * N, "x", "all training rows have the value"),
    ("one date", ["2024-01-31"] * N, "x", "all training rows have the value '2024-01-31'"),
    ("no value", [None] * N, "x", "all its cells are empty"),
    ("all texts differ", [f"name {n}" for n in range(N)], "x", "40 different texts in 40"),
    ("nearly all differ", [f"n{n}" for n in range(N - 3)] + ["n1"] * 3, "x", "37 different texts"),
    ("counts from 0", np.arange(N), "x", "it only numbers the rows"),
    ("counts from 1", np.arange(1, N + 1), "x", "it only numbers the rows"),
    ("counts as text", [str(n) for n in range(N)], "x", "it only numbers the rows"),
    *(
        ("an id", SHUFFLED, name, "it is an identifier by its name")
        for name in ("id", "userId", "row_no")
    ),
    ("an unnamed index", SHUFFLED, "Unnamed: 0", "it is an identifier by its name"),
]


@pytest.mark.parametrize(("what", "cells", "name", "reason"), DROPPED)
def test_useless_columns_are_dropped(what: str, cells: Any, name: str, reason: str) -> None:
    note = dropped(cells, name)
    assert note.startswith(f"column {name!r} is dropped: "), what
    assert reason in note


KEPT: list[tuple[str, Any, str]] = [
    ("all numbers differ", SHUFFLED, "price"),
    ("a name that ends like an id", SHUFFLED, "paid"),
    ("fractions", SHUFFLED / 7, "id"),
    ("an id that repeats", SHUFFLED // 2, "id"),
    ("one text and missing", ["a", None] * (N // 2), "x"),
    ("one number and missing", [5.0, np.nan] * (N // 2), "x"),
    ("one date and missing", ["2024-01-31", None] * (N // 2), "x"),
    ("texts that repeat", ["a", "b"] * (N // 2), "x"),
    ("all dates differ", pd.date_range("2024-01-01", periods=N), "x"),
    ("counts with a gap", [*range(N - 1), N], "x"),
]


@pytest.mark.parametrize(("what", "cells", "name"), KEPT)
def test_useful_columns_are_kept(what: str, cells: Any, name: str) -> None:
    assert dropped(cells, name) == "", what


def test_column_that_counts_rows_is_found_in_some_of_its_rows() -> None:
    rows = np.sort(RNG.permutation(1000)[:N])
    assert "it only numbers the rows" in dropped(rows + 1, rows=rows)
    assert dropped(np.sort(SHUFFLED), rows=rows) == ""


def test_few_rows_do_not_show_an_identifier() -> None:
    assert dropped([f"name {n}" for n in range(9)]) == ""


def test_nothing_left_is_an_error() -> None:
    frame = pd.DataFrame({"a": [1] * 3, "b": [None] * 3})
    with pytest.raises(DataError) as caught:
        keep_useful(frame, read_columns(frame)[0], np.arange(3))
    for part in ("all are dropped", "'a' is dropped", "'b' is dropped"):
        assert part in str(caught.value)
