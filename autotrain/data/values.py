"""Convert the cells of a column to numbers, texts and days.

Each function takes one column as a 1-D array of any dtype, converts the distinct cells and expands
the result to the rows, so that a column of a million rows with ten levels needs ten conversions. To
add a kind of cell, add a branch to `number_of`, `text_of` or `day_of`. This file imports only
NumPy, because the predictor uses it too.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from autotrain.data.arrays import plain, seconds_of
from autotrain.data.zones import AS_WRITTEN, ISO_DATE, NAIVE, has_zone, on_clock, wall_clock

MISSING = frozenset(
    ("", "?", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NaT", "null", "NULL", "None", "<NA>")
)
"""Texts that mean a missing cell, compared without surrounding spaces."""

LARGEST = 1e100
"""Larger numbers are treated as infinite, because their squares overflow."""

MOST_SPOILT = 0.05
"""Largest fraction of other cells in a column of numbers or dates that looks like a mistake."""

SECONDS_A_DAY = 86_400
_WHOLE = re.compile(r"-?\d+\.0+")
_BOOLEAN_TEXTS = {"true": "True", "1": "True", "false": "False", "0": "False"}
_MISSING_TYPES = ("NAType", "NaTType")
_NO_CELLS = (tuple, frozenset, complex)
"""Types that are hashable but not allowed in a column."""


def distinct(values: np.ndarray) -> tuple[list[Any], np.ndarray]:
    """Return the distinct cells of a column `[N]`, and the index `[N]` of each row's cell.

    Raises:
        TypeError: when a cell cannot be compared (for example a list).
    """
    if values.dtype.kind in "biuf":
        found, inverse = np.unique(values, return_inverse=True)
        return found.tolist(), inverse
    if values.dtype.kind == "M":
        values = values.astype("datetime64[us]")  # the text of a cell must not depend on the unit
    cells = values.tolist()
    kinds = set(map(type, cells))
    if any(issubclass(kind, _NO_CELLS) for kind in kinds):
        raise TypeError("a cell is not a number, text or date")
    if any(issubclass(kind, datetime.datetime) for kind in kinds):
        return _distinct_times(cells)
    if kinds & {bool, np.bool_} and len(kinds - {bool, np.bool_, str, type(None)}) > 0:
        # 1 == True == 1.0 in a dictionary, but they are different cells of a table.
        keyed = [(type(cell), cell) for cell in cells]
        order = {key: index for index, key in enumerate(dict.fromkeys(keyed))}
        inverse = np.fromiter(map(order.__getitem__, keyed), np.intp, len(cells))
        return [key[1] for key in order], inverse
    order = {cell: index for index, cell in enumerate(dict.fromkeys(cells))}
    return list(order), np.fromiter(map(order.__getitem__, cells), np.intp, len(cells))


def _distinct_times(cells: list[Any]) -> tuple[list[Any], np.ndarray]:
    """Return `distinct` for times; the same moment in two time zones is two cells."""
    keyed = [
        (cell, getattr(cell, "tzinfo", None), getattr(cell, "fold", 0), type(cell))
        for cell in cells
    ]
    order = {key: index for index, key in enumerate(dict.fromkeys(keyed))}
    inverse = np.fromiter(map(order.__getitem__, keyed), np.intp, len(cells))
    return [key[0] for key in order], inverse


def is_missing(cell: Any) -> bool:
    """Whether one cell is missing: None, NaN, NaT, pandas' NA or a text of `MISSING`."""
    if cell is None or type(cell).__name__ in _MISSING_TYPES:
        return True
    if isinstance(cell, str):
        return cell.strip() in MISSING
    return bool(cell != cell)


def number_of(cell: Any) -> float | None:
    """Return the number in a cell; NaN if it is missing, None if it is not a number."""
    if is_missing(cell):
        return math.nan
    if isinstance(cell, str) and "_" in cell:
        return None  # Python reads "1_000" as a number, but a table does not mean one
    if isinstance(cell, datetime.timedelta | np.timedelta64):
        return seconds_of(cell)
    if isinstance(cell, datetime.date | datetime.time | bytes | np.datetime64):
        return None
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None
    except OverflowError:
        return math.inf


def text_of(cell: Any) -> str | None:
    """Return the text that identifies a category; None if the cell is missing.

    1, 1.0, "1" and "1.0" are the same category "1". Surrounding spaces are ignored.
    """
    if is_missing(cell):
        return None
    if isinstance(cell, np.generic):
        cell = cell.item()
    if isinstance(cell, bytes):
        cell = cell.decode("utf-8", "backslashreplace")
    if isinstance(cell, str):
        cell = cell.strip()
        return cell.partition(".")[0] if _WHOLE.fullmatch(cell) else cell
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime.datetime) and cell.tzinfo is None:
        # The text of a date must not depend on the type that the table uses for dates.
        has_clock = cell.time() != datetime.time()
        return cell.isoformat(" ") if has_clock else cell.date().isoformat()
    return str(cell)


def boolean_text_of(cell: Any) -> str | None:
    """Return "True" or "False", None if the cell is missing, and otherwise its text."""
    text = text_of(cell)
    return text if text is None else _BOOLEAN_TEXTS.get(text.lower(), text)


def day_of(cell: Any, zone: str = AS_WRITTEN) -> float | None:
    """Return the days since 1970-01-01 on the wall clock of a time zone, see `zones.py`.

    NaN if the cell is missing. None if it is not an ISO date ("2024-01-31", "2024-01-31 18:30"), or
    has a zone although it must not, or the reverse.
    """
    if is_missing(cell):
        return math.nan
    if type(cell).__name__ == "Period":  # a month or quarter of pandas is read as its first day
        cell = cell.start_time
    if isinstance(cell, np.datetime64):
        cell = cell.astype("datetime64[us]").item()
    if zone != AS_WRITTEN:
        cell = on_clock(cell, zone)
    if isinstance(cell, datetime.datetime):
        seconds = cell.hour * 3600 + cell.minute * 60 + cell.second
        try:
            return cell.toordinal() - _EPOCH + seconds / SECONDS_A_DAY
        except NotImplementedError:  # a pandas time after the year 9999
            moment: Any = cell.replace(tzinfo=None)
            since: float = moment.to_julian_date() - _EPOCH_JULIAN
            return math.floor(since) + seconds / SECONDS_A_DAY
    if isinstance(cell, datetime.date):
        return float(cell.toordinal() - _EPOCH)
    match = ISO_DATE.fullmatch(cell.strip()) if isinstance(cell, str) else None
    if match is None:
        return None
    try:
        day = datetime.date.fromisoformat(match[1]).toordinal() - _EPOCH
        hour, minute, second = (int(part or 0) for part in match.groups()[1:])
        clock = datetime.time(hour, minute, second)
    except ValueError:
        return None
    return day + (clock.hour * 3600 + clock.minute * 60 + clock.second) / SECONDS_A_DAY


_EPOCH = datetime.date(1970, 1, 1).toordinal()
_EPOCH_JULIAN = 2_440_587.5


def numbers(values: np.ndarray) -> tuple[np.ndarray, int | None]:
    """Return a column as float64 `[N]` (NaN: missing), and the first row that is not a number."""
    if values.dtype.kind in "biuf":
        return values.astype(np.float64), None
    return _read(values, number_of)


def days(column: Any, zone: str = AS_WRITTEN) -> tuple[np.ndarray, int | None]:
    """Return a column as days since 1970-01-01 (float64), and the first row that is not a date.

    Args:
        column: `[N]` cells of any kind, or a pandas series.
        zone: the time zone whose clock is read, see `zones.py`. A time that does not fit the zone
            is not a date.
    """
    if has_zone(column):
        # Converting the whole column at once is much faster than cell by cell.
        clock = wall_clock(column, zone)
        if clock is not None:
            return _days_on_clock(clock), None
        if zone == NAIVE:
            known = np.flatnonzero(~np.asarray(column.isna()))
            return np.full(len(column), math.nan), int(known[0]) if len(known) else None
    values = column if isinstance(column, np.ndarray) else plain(column)
    if values.dtype.kind == "M":
        since = values.astype("datetime64[s]") - np.datetime64(0, "s")
        if zone in (AS_WRITTEN, NAIVE):
            return since / np.timedelta64(1, "D"), None
        known = np.flatnonzero(~np.isnat(values))
        return since / np.timedelta64(1, "D"), int(known[0]) if len(known) else None
    return _read(values, partial(day_of, zone=zone))


def _days_on_clock(times: np.ndarray) -> np.ndarray:
    """Return times `[N]` without a zone as days since 1970-01-01, rounded as `day_of` rounds."""
    missing = np.isnat(times)
    seconds = np.where(missing, 0, times.astype("datetime64[s]").astype(np.int64))
    whole = seconds // SECONDS_A_DAY
    return np.where(missing, math.nan, whole + (seconds - whole * SECONDS_A_DAY) / SECONDS_A_DAY)


def _read(
    values: np.ndarray, reader: Callable[[Any], float | None]
) -> tuple[np.ndarray, int | None]:
    cells, inverse = distinct(values)
    read = [reader(cell) for cell in cells]
    bad = [index for index, value in enumerate(read) if value is None]
    table = np.array([math.nan if value is None else value for value in read], dtype=np.float64)
    first = int(np.flatnonzero(np.isin(inverse, bad))[0]) if bad else None
    return table[inverse] if len(cells) else np.empty(0), first


def texts(values: np.ndarray, *, boolean: bool = False) -> tuple[list[str | None], np.ndarray]:
    """Return the text of every distinct cell (None: missing), and each row's index `[N]`."""
    cells, inverse = distinct(values)
    reader = boolean_text_of if boolean else text_of
    return [reader(cell) for cell in cells], inverse


DATE_PARTS = ("year", "month", "day", "weekday", "days", "hour")
"""Numbers that a date is expanded to. "days" is relative to the earliest training date, and
"weekday" is 0 on Mondays."""


def date_parts(since_1970: np.ndarray, origin: float, parts: tuple[str, ...]) -> np.ndarray:
    """Expand days since 1970-01-01 `[N]` to the named parts `[N, len(parts)]`; NaN stays NaN."""
    known = ~np.isnan(since_1970)
    since = np.where(known, since_1970, 0.0)
    whole = np.floor(since)
    of_day = since - whole
    date = whole.astype(np.int64).astype("datetime64[D]")
    month = date.astype("datetime64[M]")
    year = date.astype("datetime64[Y]")
    read = {
        "year": lambda: year.astype(np.int64) + 1970.0,
        "month": lambda: (month - year.astype("datetime64[M]")).astype(np.int64) + 1.0,
        "day": lambda: (date - month.astype("datetime64[D]")).astype(np.int64) + 1.0,
        "weekday": lambda: (whole + 3) % 7,
        "days": lambda: whole - origin,
        # Rounded, so that the same time of day gives exactly the same hour on every day.
        "hour": lambda: np.rint(of_day * SECONDS_A_DAY) / 3600,
    }
    expanded = np.stack([read[part]() for part in parts], axis=1)
    return np.where(known[:, None], expanded, np.nan)
