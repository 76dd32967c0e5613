"""`Preprocessor.encode` accepts any table, names mistakes, and can be saved."""

from __future__ import annotations

import datetime
import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotrain.data.columns import read_columns
from autotrain.data.fitting import fit_preprocessor
from autotrain.data.preprocessing import Preprocessor
from autotrain.data.values import number_of
from autotrain.errors import BundleError, DataError

ARRAYS = ("fill", "mean", "scale")


def fitted(frame: pd.DataFrame) -> Preprocessor:
    columns, _ = read_columns(frame)
    preprocessor, _ = fit_preprocessor(frame, columns, [str(name) for name in frame.columns])
    return preprocessor


FRAME = pd.DataFrame(
    {
        "age": [20, 30, 40, 50],
        "size": [1.5, np.nan, 2.5, 3.5],
        "colour": ["red", "green", "blue", "red"],
        "code": pd.Series([1, 2, 3, 1], dtype="category"),
        "is_new": [True, False, False, True],
        "day": pd.to_datetime(["2024-01-31", "2024-02-01", "2023-12-31", "2024-01-31"]),
    }
)
PREPROCESSOR = fitted(FRAME)
ENCODED = PREPROCESSOR.encode(FRAME)


def test_inputs_have_names() -> None:
    assert PREPROCESSOR.input_names == (
        *("age", "size", "day.year", "day.month", "day.day", "day.weekday", "day.days"),
        *("colour=blue", "colour=green", "colour=red"),
        *("code=1", "code=2", "code=3", "is_new=True"),
    )
    assert PREPROCESSOR.n_inputs == ENCODED.shape[1] == 14
    assert PREPROCESSOR.column_names == PREPROCESSOR.features == tuple(FRAME.columns)


def test_matrix_is_float32_in_c_order() -> None:
    assert ENCODED.dtype == np.float32
    assert ENCODED.flags.c_contiguous
    np.testing.assert_array_equal(ENCODED[:, 7:].sum(axis=1), [3, 1, 1, 3])


def changed(**columns: Any) -> pd.DataFrame:
    return FRAME.assign(**columns)


def as_dict(frame: pd.DataFrame) -> dict[str, Any]:
    return {str(name): frame[name].to_numpy() for name in frame.columns}


SAME = {
    "frame": FRAME,
    "reordered": FRAME[FRAME.columns[::-1]],
    "arrays by name": as_dict(FRAME),
    "lists by name": {name: list(column) for name, column in as_dict(FRAME).items()},
    "records": FRAME.to_dict("records"),
    "rows of objects": FRAME.to_numpy(dtype=object),
    "list of rows": FRAME.to_numpy(dtype=object).tolist(),
    "nullable": FRAME.convert_dtypes(),
    "texts": FRAME.astype("str").where(FRAME.notna(), None),
    "dates": changed(day=[moment.date() for moment in FRAME["day"]]),
    "iso texts": changed(day=FRAME["day"].dt.strftime("%Y-%m-%d")),
    "categories": changed(colour=FRAME["colour"].astype("category"), code=[1, 2, 3, 1]),
    "floats for codes": changed(code=[1.0, 2.0, 3.0, 1.0], is_new=[1, 0, 0, 1]),
    "other index": FRAME.set_index(pd.Index([7, 7, 8, 9])),
}


@pytest.mark.parametrize("name", SAME)
def test_one_table_in_many_forms_gives_one_matrix(name: str) -> None:
    np.testing.assert_array_equal(PREPROCESSOR.encode(SAME[name]), ENCODED)


def test_named_fields_and_plain_numbers() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [3, 5, 9]})
    preprocessor = fitted(frame)
    wanted = preprocessor.encode(frame)
    for same in (frame.to_numpy(), frame.to_numpy().tolist(), frame.to_records(index=False)):
        np.testing.assert_array_equal(preprocessor.encode(same), wanted)
    np.testing.assert_array_equal(preprocessor.encode(np.asfortranarray(frame)), wanted)


def test_size_of_chunks_changes_nothing() -> None:
    values = np.random.default_rng(0).normal(size=(50, 3))
    values[3, 1] = np.nan
    preprocessor = fitted(pd.DataFrame(values, columns=["a", "b", "c"]))
    whole = preprocessor.encode(values)
    np.testing.assert_array_equal(preprocessor.encode(values, chunk_cells=7), whole)


def test_error_names_the_row_of_the_table_and_not_of_the_chunk() -> None:
    values = np.random.default_rng(0).normal(size=(50, 3))
    preprocessor = fitted(pd.DataFrame(values, columns=["a", "b", "c"]))
    values[40, 1] = np.inf
    with pytest.raises(DataError, match=r"column 'b' must .*got inf in row 41"):
        preprocessor.encode(values, chunk_cells=9)


def test_rows_without_dropped_columns_fit_too() -> None:
    frame = pd.DataFrame({"same": [1, 1, 1], "x": [1.0, 2.0, 3.0], "y": [4.0, 1.0, 1.0]})
    columns = [column for column in read_columns(frame)[0] if column.name != "same"]
    preprocessor, _ = fit_preprocessor(frame, columns, list(frame.columns))
    wanted = preprocessor.encode(frame)
    np.testing.assert_array_equal(preprocessor.encode(frame.to_numpy()), wanted)
    np.testing.assert_array_equal(preprocessor.encode(frame[["x", "y"]].to_numpy()), wanted)


def test_lists_of_mixed_cells_keep_their_missing_cells() -> None:
    preprocessor = fitted(pd.DataFrame({"level": ["a", "1", None] * 4}))
    encoded = preprocessor.encode({"level": ["a", 1, None]})
    np.testing.assert_array_equal(encoded, [[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    preprocessor = fitted(pd.DataFrame({"level": pd.Series([True, 1, "x"] * 4, dtype="object")}))
    np.testing.assert_array_equal(preprocessor.encode({"level": [True, 1]}), [[0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize("empty", [FRAME.iloc[:0], np.empty((0, 6)), [], as_dict(FRAME.iloc[:0])])
def test_no_rows_give_an_empty_matrix(empty: Any) -> None:
    assert PREPROCESSOR.encode(empty).shape == (0, 14)


def test_unseen_and_missing_categories_are_zeros_and_give_notices() -> None:
    frame = changed(colour=["violet", None, "red", "violet"])
    notices: list[str] = []
    encoded = PREPROCESSOR.encode(frame, notices=notices)
    np.testing.assert_array_equal(encoded[:, 7:10], [[0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]])
    assert notices == [
        "column 'colour': 2 cells with categories that are not in the training rows ('violet')",
        "column 'colour': 1 cell missing, but no cell was missing in training",
    ]


def test_missing_numbers_and_dates_give_notices_if_training_had_none() -> None:
    notices: list[str] = []
    cells = {"age": [20, None, None, 50], "size": [None] * 4, "day": ["2024-01-31", None, "", None]}
    PREPROCESSOR.encode(changed(**cells), notices=notices)
    assert notices == [
        "column 'age': 2 cells missing, but no cell was missing in training",
        "column 'day': 3 cells missing, but no cell was missing in training",
    ]


def test_extra_columns_are_ignored_with_a_notice() -> None:
    notices: list[str] = []
    encoded = PREPROCESSOR.encode(changed(weight=1, height=2), notices=notices)
    np.testing.assert_array_equal(encoded, ENCODED)
    assert notices == ["ignored 2 columns that the training table did not have: weight, height"]


def test_missing_numbers_and_dates_become_the_median() -> None:
    frame = changed(age=None, day=pd.NaT)
    encoded = PREPROCESSOR.encode(frame)
    fill, mean, scale = (PREPROCESSOR.to_arrays()[name] for name in ARRAYS)
    z = ((fill - mean) / scale).astype(np.float32)
    np.testing.assert_array_equal(encoded[:, 0], np.full(4, z[0]))
    np.testing.assert_array_equal(encoded[:, 2:7], np.tile(z[2:], (4, 1)))


def test_infrequent_input_includes_unseen_and_missing_cells() -> None:
    names = [f"level{number % 70}" for number in range(700)] + ["level1"] * 50
    preprocessor = fitted(pd.DataFrame({"name": names}))
    encoded = preprocessor.encode({"name": ["never seen", None, "level1"]})
    assert encoded.shape == (3, 64)
    np.testing.assert_array_equal(encoded[:2, -1], [1, 1])
    assert encoded[2, -1] == 0
    np.testing.assert_array_equal(encoded.sum(axis=1), [1, 1, 1])


WRONG: dict[str, tuple[Any, list[str]]] = {
    "missing columns": (
        FRAME.drop(columns=["age", "colour", "day"]).assign(Age=1, color="red"),
        ["3 are missing", "'age' (is it 'Age'?)", "'colour' (is it 'color'?)", "'day'"],
    ),
    "text for a number": (
        changed(age=["20", "3O", "40", "50"]),
        ["column 'age'", "must contain numbers", "got '3O' in row 2"],
    ),
    "a date for a number": (changed(age=datetime.date(2024, 1, 1)), ["column 'age'", "row 1"]),
    "text for a date": (
        changed(day=["2024-01-31", "yesterday", "2024-01-31", "2024-01-31"]),
        ["column 'day'", "ISO dates", "got 'yesterday' in row 2"],
    ),
    "infinite": (
        changed(size=[1.0, 2.0, -np.inf, 1.0]),
        ["column 'size'", "got -inf in row 3", "infinite"],
    ),
    "infinite text": (changed(size=["1", "inf", "2", "3"]), ["column 'size'", "row 2"]),
    "too far": (changed(size=1e300), ["column 'size'", "too far from the training values"]),
    "lists in cells": (changed(colour=[[1], [2], [3], [4]]), ["column 'colour'", "lists"]),
    "too few columns": (np.zeros((2, 5)), ["must have 6 columns (age, size", "got 5"]),
    "one row flat": ([1, 2, 3, 4, 5, 6], ["must be a data frame", "[[…]]"]),
    "ragged rows": ([[1, 2], [3]], ["rows must have the same length"]),
    "ragged columns": (
        {"age": [1, 2], "size": [1]},
        ["columns must have the same length", "age: 2", "size: 1"],
    ),
    "single values": ({"age": 1, "size": 2}, ["age: one value", '{"age": [37]}']),
    "repeated columns": (
        pd.concat([FRAME, FRAME[["age"]]], axis=1),
        ["column names must be unique", "'age' (2 times)"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_tables_get_one_clear_error(name: str) -> None:
    table, parts = WRONG[name]
    with pytest.raises(DataError) as caught:
        PREPROCESSOR.encode(table)
    for part in parts:
        assert part in str(caught.value)


# "inf" is a number, and an infinite one is refused.
TEXTS = st.text(max_size=5).filter(lambda text: number_of(text) not in (math.inf, -math.inf))
CELLS = st.one_of(st.none(), TEXTS, st.integers(-99, 99), st.booleans())


@settings(max_examples=40)
@given(
    st.lists(CELLS, min_size=2, max_size=30),
    st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=2, max_size=30),
)
def test_saving_and_loading_changes_nothing(levels: list[Any], numbers: list[Any]) -> None:
    n_rows = min(len(levels), len(numbers))
    numbers[0] = 1.0
    frame = pd.DataFrame(
        {
            "level": pd.Series(levels[:n_rows], dtype="object"),
            "number": pd.Series(numbers[:n_rows], dtype="float64"),
        }
    )
    columns = [column for column in read_columns(frame)[0] if column.kind != "missing"]
    columns = [column for column in columns if column.kind != "date"]
    preprocessor, _ = fit_preprocessor(frame, columns, list(frame.columns))
    parts = json.loads(json.dumps(preprocessor.to_json(), allow_nan=False))
    again = Preprocessor.from_parts(parts, preprocessor.to_arrays())
    np.testing.assert_array_equal(again.encode(frame), preprocessor.encode(frame))
    assert again.columns == preprocessor.columns
    assert again.input_names == preprocessor.input_names


def test_saving_and_loading_every_kind() -> None:
    parts = json.loads(json.dumps(PREPROCESSOR.to_json()))
    again = Preprocessor.from_parts(parts, PREPROCESSOR.to_arrays())
    np.testing.assert_array_equal(again.encode(FRAME), ENCODED)
    assert [column.dtype for column in again.columns][:2] == ["int64", "float64"]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"columns": [{"kind": "numeric"}]}, "must have columns"),
        ({"columns": []}, "one entry per scaled input (0)"),
    ],
)
def test_broken_parts_are_refused(change: dict[str, Any], part: str) -> None:
    with pytest.raises(BundleError) as caught:
        Preprocessor.from_parts({**PREPROCESSOR.to_json(), **change}, PREPROCESSOR.to_arrays())
    assert part in str(caught.value)


def test_name_may_be_empty() -> None:
    now = fitted(FRAME.rename(columns={"age": ""}))
    again = Preprocessor.from_parts(now.to_json(), now.to_arrays())
    assert again.column_names[0] == ""
    np.testing.assert_array_equal(again.encode(FRAME.rename(columns={"age": ""})), ENCODED)


@pytest.mark.parametrize(
    "change",
    [
        {"name": None},
        {"name": 3},
        {"kind": "numbers"},
        {"kind": []},
        {"dtype": 1},
        {"levels": "ab"},
        {"levels": [1, 2]},
        {"levels": [["a"]]},
        {"has_infrequent": 1},
        {"is_binary": -1},
        {"is_binary": 10**30},
        {"parts": ["century"]},
        {"parts": [None]},
        {"parts": [[]]},
        {"origin": 10**400},
        {"origin": "1"},
        {"origin": math.nan},
        {"is_code": None},
        {"has_missing": "yes"},
        {"had_missing": {}},
    ],
)
def test_forged_column_is_refused(change: dict[str, Any]) -> None:
    """Also where the checksums are right: whoever forges a file computes them anew."""
    parts = PREPROCESSOR.to_json()
    for place in range(len(parts["columns"])):
        columns = [dict(column) for column in parts["columns"]]
        columns[place] |= change
        with pytest.raises(BundleError):
            Preprocessor.from_parts({**parts, "columns": columns}, PREPROCESSOR.to_arrays())


@pytest.mark.parametrize(
    ("cells", "texts", "wanted"),
    [
        (["a", "b", "a"], ["a", "b", "never seen", None], [-1, 1, 0, 0]),
        (["a", None, "a"], ["a", "b", "never seen", None], [-1, 0, 0, 1]),
        ([True, False, True], [True, False, None, "maybe"], [1, -1, 0, 0]),
    ],
)
def test_two_levels_share_one_input_and_unseen_cells_are_zero(
    cells: list[Any], texts: list[Any], wanted: list[float]
) -> None:
    now = fitted(pd.DataFrame({"x": pd.Series(cells, dtype="object")}))
    assert now.n_inputs == 1
    np.testing.assert_array_equal(now.encode({"x": texts})[:, 0], wanted)


def test_same_time_of_every_day_is_exactly_the_same_hour() -> None:
    frame = pd.DataFrame({"x": pd.date_range("2024-01-01 10:00", periods=3, freq="D")})
    preprocessor = fitted(frame.assign(x=frame["x"] + pd.to_timedelta([0, 1, 2], "h")))
    assert preprocessor.raw_numbers(frame)[:, -1].tolist() == [10.0] * 3


def test_missing_array_is_refused() -> None:
    arrays = PREPROCESSOR.to_arrays()
    del arrays["scale"]
    with pytest.raises(BundleError, match="scale"):
        Preprocessor.from_parts(PREPROCESSOR.to_json(), arrays)


def test_encoding_loads_neither_pandas_nor_scikit_learn() -> None:
    code = (
        "import sys, autotrain.data.preprocessing as p; import numpy as np\n"
        "c = p.ColumnCode('a', 'categorical', 'str', levels=('x', 'y', None))\n"
        "q = p.Preprocessor((c,), ('a',), {n: np.empty(0) for n in ('fill', 'mean', 'scale')})\n"
        "assert q.encode({'a': ['x', None]}).tolist() == [[1, 0, 0], [0, 0, 1]]\n"
        "print([m for m in ('pandas', 'sklearn', 'scipy', 'pyarrow', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_arrow_tables_are_tables() -> None:
    table = pa.Table.from_pandas(FRAME.astype({"code": "int64"}))
    np.testing.assert_array_equal(PREPROCESSOR.encode(table), ENCODED)
