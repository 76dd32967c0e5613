"""A column has the same meaning in every library: integers, categories, durations, decimals."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from autotrain.data.arrays import plain
from autotrain.data.inputs import open_table
from autotrain.errors import DataError

LARGE = [2**60 + 1, None, 2**60 + 2, 7]
NEW_YORK = "America/New_York"


class Series:
    """A column as polars offers it."""

    def __init__(self, cells: list[Any], dtype: str) -> None:
        self._cells = cells
        self.dtype = dtype

    def to_list(self) -> list[Any]:
        return self._cells

    def to_numpy(self) -> np.ndarray:
        return np.array([np.nan if cell is None else cell for cell in self._cells])

    def null_count(self) -> int:
        return self._cells.count(None)


WHOLE: dict[str, Any] = {
    "nullable": pd.Series(LARGE, dtype="Int64"),
    "list": LARGE,
    "objects": np.array(LARGE, dtype=object),
    "arrow": pa.chunked_array([LARGE[:1], LARGE[1:]]),
    "arrow array": pa.array(LARGE),
    "arrow dictionary": pa.array(LARGE).dictionary_encode(),
    "run-end encoded": pc.run_end_encode(pa.array(LARGE)),
    "pandas in arrow": pd.Series(LARGE, dtype=pd.ArrowDtype(pa.int64())),
    "categories": pd.Series(LARGE, dtype="Int64").astype("category"),
    "categorical": pd.Categorical(pd.Series(LARGE, dtype="Int64")),
    "decimals": [None if cell is None else decimal.Decimal(cell) for cell in LARGE],
    "arrow decimals": pa.array([n and decimal.Decimal(n) for n in LARGE], pa.decimal128(20, 0)),
    "polars": Series(LARGE, "Int64"),
}


@pytest.mark.parametrize("form", WHOLE)
def test_large_whole_numbers_beside_a_missing_cell_stay_exact(form: str) -> None:
    assert plain(WHOLE[form]).tolist() == LARGE


@pytest.mark.parametrize("form", [name for name in WHOLE if "run-end" not in name])
def test_large_whole_numbers_without_gaps_are_integers(form: str) -> None:
    column = WHOLE[form]
    kept = [0, 2, 3]
    if isinstance(column, Series):
        column = Series([column.to_list()[place] for place in kept], "Int64")
    elif isinstance(column, pd.Series):
        column = column.iloc[kept]
    else:
        column = column.take(kept) if hasattr(column, "take") else [column[p] for p in kept]
    assert plain(column).tolist() == [LARGE[place] for place in kept]


def test_small_whole_numbers_beside_a_missing_cell_are_floats() -> None:
    for column in (pd.Series([1, None], dtype="Int8"), pd.Series([1, None], dtype="category")):
        values = plain(column)
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values, [1, np.nan])


@pytest.mark.parametrize("cell", [2**64, -(2**63) - 1, 10**40])
def test_whole_numbers_beyond_64_bits_stay_exact(cell: int) -> None:
    assert plain([cell, 1]).tolist() == [cell, 1]


def test_rows_of_large_whole_numbers_stay_exact() -> None:
    view = open_table([[2**60 + 1, 0.5], [2, 1]], (("a", "b"),))
    assert view.column("a").tolist() == [2**60 + 1, 2]


SECONDS = [90.0, np.nan, 0.5]
DURATIONS = [datetime.timedelta(seconds=90), None, datetime.timedelta(seconds=0.5)]
LASTING: dict[str, Any] = {
    "pandas": pd.Series(pd.to_timedelta(SECONDS, unit="s")),
    "milliseconds": np.array([90_000, "NaT", 500], dtype="timedelta64[ms]"),
    "objects": np.array(DURATIONS, dtype=object),
    "list": DURATIONS,
    "NumPy's own": [np.timedelta64(90, "s"), np.timedelta64("NaT"), np.timedelta64(500, "ms")],
    "pandas objects": pd.Series(
        [pd.Timedelta("90s"), pd.NaT, pd.Timedelta("500ms")], dtype="object"
    ),
    "arrow": pa.chunked_array([pa.array(DURATIONS, pa.duration("us"))]),
    "arrow in nanoseconds": pa.array(DURATIONS, pa.duration("ns")),
    "polars": Series(DURATIONS, "Duration(time_unit='us')"),
}


@pytest.mark.parametrize("form", LASTING)
def test_durations_are_seconds_in_every_form(form: str) -> None:
    values = plain(LASTING[form])
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, SECONDS)


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ("1.50", 1.5),
        ("3.00", 3),
        ("NaN", np.nan),
        ("sNaN", np.nan),
        ("-inf", -np.inf),
        ("0.1", 0.1),
    ],
)
def test_decimals_are_numbers(cell: str, wanted: float) -> None:
    np.testing.assert_array_equal(plain([decimal.Decimal(cell), None]).tolist()[0], wanted)


def test_decimals_that_floats_cannot_distinguish_stay_decimals() -> None:
    cells = [decimal.Decimal("0.12345678901234567891"), decimal.Decimal("0.12345678901234567892")]
    assert plain(cells).tolist() == cells


@pytest.mark.parametrize("dtype", [">f4", ">i8", ">u2", ">f8", ">M8[s]", ">U3"])
def test_other_byte_orders_become_native(dtype: str) -> None:
    values = np.array([3, 1, 2]).astype(dtype)
    assert plain(values).dtype.isnative
    np.testing.assert_array_equal(plain(values), values)


def test_half_precision_is_read_as_single() -> None:
    assert plain(np.array([0.5, 2], dtype=np.float16)).dtype == np.float32


@pytest.mark.parametrize(
    ("column", "wanted"),
    [
        (pa.array(["a", None], pa.string_view()), ["a", None]),
        (pa.array(["a", None], pa.large_string()), ["a", None]),
        (pa.array([b"a", None], pa.binary_view()), [b"a", None]),
        (pa.array([True, None]), [True, None]),
        (pa.nulls(2), [None, None]),
        (pa.array([datetime.date(2024, 1, 31)]), [datetime.date(2024, 1, 31)]),
        (pa.array([True, False]), [True, False]),
        (pa.array([1.5, 2], pa.float16()), [1.5, 2]),
    ],
    ids=str,
)
def test_arrow_cells_become_python_objects(column: Any, wanted: list[Any]) -> None:
    assert plain(column).tolist() == wanted
    assert plain(pa.chunked_array([column])).tolist() == wanted


def test_times_with_a_zone_keep_it() -> None:
    moments = pd.Series(pd.date_range("2024-03-01", periods=2, tz=NEW_YORK))
    for column in (
        moments,
        pa.Array.from_pandas(moments),
        pd.Series(moments, dtype=pd.ArrowDtype(pa.timestamp("us", NEW_YORK))),
        Series(moments.dt.to_pydatetime().tolist(), f"Datetime(time_zone='{NEW_YORK}')"),
    ):
        assert [cell.isoformat() for cell in plain(column)] == [
            "2024-03-01T00:00:00-05:00",
            "2024-03-02T00:00:00-05:00",
        ]


def test_column_of_lists_is_refused_with_its_name() -> None:
    with pytest.raises(DataError, match="column 'a' must have one cell per row"):
        open_table({"a": [[1, 2], [3, 4]]}, (("a",),))


def test_named_index_is_a_column_if_it_is_needed() -> None:
    frame = pd.DataFrame({"x": [1, 2]}, index=pd.Index([5, 6], name="age"))
    assert open_table(frame, (("age", "x"),)).column("age").tolist() == [5, 6]
    assert open_table(frame, (("x",),)).names == ("x",)
    by_two = frame.set_index("x", append=True)
    assert open_table(by_two, (("age", "x"),)).column("x").tolist() == [1, 2]


def test_whole_numbers_of_128_bits_stay_exact() -> None:
    assert plain(Series([2**70, 1], "Int128")).tolist() == [2**70, 1]


def test_lists_in_an_arrow_column_stay_cells() -> None:
    assert plain(pa.array([[1, 2], [3, 4]])).tolist() == [[1, 2], [3, 4]]
    assert plain(pa.array([[1, 2], [3, 4]])).shape == (2,)
