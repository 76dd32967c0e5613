"""Cells of any type become numbers, texts and days."""

from __future__ import annotations

import datetime
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotrain.data.values import (
    DATE_PARTS,
    MISSING,
    boolean_text_of,
    date_parts,
    day_of,
    days,
    distinct,
    is_missing,
    number_of,
    numbers,
    text_of,
    texts,
)


@pytest.mark.parametrize(
    "cell",
    [None, math.nan, np.nan, pd.NA, pd.NaT, np.datetime64("NaT"), *sorted(MISSING), " ? ", "  "],
)
def test_missing_cells(cell: object) -> None:
    assert is_missing(cell)
    assert text_of(cell) is None
    assert math.isnan(number_of(cell) or 0.0)
    assert math.isnan(day_of(cell) or 0.0)


@pytest.mark.parametrize("cell", [0, 0.0, False, "0", "no", "none of these", "-"])
def test_cells_that_are_not_missing(cell: object) -> None:
    assert not is_missing(cell)


@pytest.mark.parametrize("cell", [1, 1.0, "1", "1.0", " 1.00 ", np.int64(1), np.float32(1.0)])
def test_one_is_one_category_in_every_type(cell: object) -> None:
    assert text_of(cell) == "1"


@pytest.mark.parametrize(
    ("cell", "text"),
    [("01", "01"), (1.5, "1.5"), ("1.50", "1.50"), (True, "True"), (b"ab", "ab"), ("1.0a", "1.0a")],
)
def test_other_texts_stay(cell: object, text: str) -> None:
    assert text_of(cell) == text


@pytest.mark.parametrize("cell", [True, np.True_, "true", "TRUE", "True ", 1, 1.0, "1"])
def test_booleans(cell: object) -> None:
    assert boolean_text_of(cell) == "True"


def test_boolean_and_a_one_are_two_cells() -> None:
    cells, inverse = distinct(np.array([True, 1, False, 0, 1.0], dtype=object))
    assert [str(cells[index]) for index in inverse] == ["True", "1", "False", "0", "1.0"]


@pytest.mark.parametrize(
    ("cell", "number"),
    [("1.5", 1.5), (" 2 ", 2.0), ("1e-3", 1e-3), (True, 1.0), ("-inf", -math.inf)],
)
def test_numbers(cell: object, number: float) -> None:
    assert number_of(cell) == number


def test_number_too_large_for_a_float_is_infinite() -> None:
    assert number_of(10**400) == math.inf


@pytest.mark.parametrize(
    "cell",
    ["1,5", "1_000", "abc", datetime.date(2024, 1, 1), np.datetime64("2024-01-01"), 1j, b"1"],
)
def test_other_cells_are_not_numbers(cell: object) -> None:
    assert number_of(cell) is None


def test_first_bad_row_is_returned() -> None:
    read, bad = numbers(np.array(["1", "", "x", "2", "y"], dtype=object))
    assert bad == 2
    np.testing.assert_array_equal(read, [1, np.nan, np.nan, 2, np.nan])


def test_durations_are_seconds() -> None:
    read, bad = numbers(np.array([60, "NaT"], dtype="timedelta64[s]"))
    assert bad is None
    np.testing.assert_array_equal(read, [60, np.nan])


@given(
    st.datetimes(min_value=datetime.datetime(1, 1, 2), max_value=datetime.datetime(9999, 12, 30))
)
def test_date_is_the_same_day_in_every_type(moment: datetime.datetime) -> None:
    moment = moment.replace(microsecond=0)
    wanted = (moment - datetime.datetime(1970, 1, 1)) / datetime.timedelta(days=1)
    zone = datetime.timezone(datetime.timedelta(hours=5))
    cells = [
        moment,
        moment.replace(tzinfo=zone),
        np.datetime64(moment),
        moment.isoformat(),
        moment.isoformat(" ") + "Z",
        moment.isoformat() + ".25+05:00",
    ]
    for cell in cells:
        assert day_of(cell) == pytest.approx(wanted, abs=1e-9)
    whole, _ = days(np.array([moment], dtype="datetime64[us]"))
    assert whole[0] == pytest.approx(wanted, abs=1e-9)
    assert day_of(moment.date()) == math.floor(wanted)


@pytest.mark.parametrize(
    "cell", ["2024-02-30", "2024-1-1", "2024", "31.01.2024", "today", 20240101]
)
def test_other_cells_are_not_dates(cell: object) -> None:
    assert day_of(cell) is None


@given(st.lists(st.datetimes(max_value=datetime.datetime(2200, 1, 1)), min_size=1, max_size=20))
def test_date_parts_are_those_of_the_calendar(moments: list[datetime.datetime]) -> None:
    moments = [moment.replace(microsecond=0) for moment in moments]
    since = np.array([day_of(moment) for moment in moments])
    found = date_parts(since, origin=10.0, parts=DATE_PARTS)
    for moment, row in zip(moments, found, strict=True):
        day = (moment.date() - datetime.date(1970, 1, 11)).days
        hour = moment.hour + moment.minute / 60 + moment.second / 3600
        wanted = [moment.year, moment.month, moment.day, moment.weekday(), day, hour]
        np.testing.assert_allclose(row, wanted, atol=1e-6)


@given(st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1)))
def test_second_of_the_day_is_the_same_hour_on_every_day(moment: datetime.datetime) -> None:
    """Equal times of day must be equal numbers: scalers by rank tell them apart otherwise."""
    moment = moment.replace(microsecond=0)
    seconds = moment.hour * 3600 + moment.minute * 60 + moment.second
    found = date_parts(np.array([day_of(moment)]), 0.0, ("hour",))
    assert found.item() == seconds / 3600


def test_missing_date_has_missing_parts() -> None:
    assert np.isnan(date_parts(np.array([np.nan]), 0.0, DATE_PARTS)).all()


def test_empty_columns() -> None:
    for empty in (np.array([], dtype=object), np.array([]), np.array([], dtype="U1")):
        assert len(numbers(empty)[0]) == len(days(empty)[0]) == len(texts(empty)[1]) == 0


def test_moment_of_pandas_after_the_year_9999_is_a_day() -> None:
    moment = np.datetime64("20000-01-01T06:00", "s")
    wanted, _ = days(np.array([moment]))
    assert day_of(pd.Timestamp(moment)) == wanted[0]


@pytest.mark.parametrize("cell", [datetime.timedelta(minutes=2), np.timedelta64(120, "s")])
def test_duration_is_its_seconds(cell: Any) -> None:
    assert number_of(cell) == 120


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_date_has_one_text_in_every_unit(unit: str) -> None:
    values = np.array(["2024-01-31", "2024-01-31T12:30", "NaT"], dtype=f"datetime64[{unit}]")
    assert texts(values)[0] == ["2024-01-31", "2024-01-31 12:30:00", None]


def test_bytes_that_are_not_text_stay_different() -> None:
    assert len({text_of(b"\xff"), text_of(b"\xfe"), text_of(b"a")}) == 3
