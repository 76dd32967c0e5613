"""Infer the kind of each column, and drop the columns that cannot help.

`read_columns` infers the kind of every feature from the whole table. The kind is a property of the
table's format, not a fitted number, so test rows may be read for it. `keep_useful` then decides
which columns are dropped, and gives the reason. It uses only training and validation rows. To add a
kind of column, add a branch to `_kind_of`; to add a reason to drop a column, add one to `_useless`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from autotrain.data.arrays import plain
from autotrain.data.lookalikes import lookalikes_note
from autotrain.data.numerals import is_padded
from autotrain.data.values import (
    LARGEST,
    MOST_SPOILT,
    boolean_text_of,
    day_of,
    days,
    distinct,
    is_missing,
    number_of,
    numbers,
    texts,
)
from autotrain.data.zones import AS_WRITTEN, NAIVE, has_zone, zone_of, zone_of_type
from autotrain.errors import DataError
from autotrain.vocabulary import count_text

MIN_ROWS_ID = 10
"""With fewer rows a column is never treated as an identifier."""
ID_SHARE = 0.9
"""Least fraction of distinct cells in a text column that is treated as an identifier."""
_ID_NAME = re.compile(
    r"(?:^|[_\W])(?:id|uuid|guid|index|idx|key|nr|no|row|rowid|rownames)$|^unnamed: 0$",
    re.IGNORECASE,
)
_ID_CAMEL = re.compile(r"[a-z]I[Dd]$")
_OTHER_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}(?:[ T]\d{1,2}:\d{2}.*)?")


@dataclass(frozen=True)
class Column:
    """One feature of the table: its name, kind and original dtype.

    Args:
        kind: "numeric", "categorical", "boolean", "date", "pixel" or "missing" (all cells empty).
        n_levels: categorical: number of distinct cells in the training and validation rows
            together, so that all folds treat the column alike. The missing cell counts as one.
        has_missing: numeric and date: whether a value is missing in any of these rows.
        tells_by_gaps: whether all present values are equal, so that only the gaps are informative.
        zone: date: the time zone of its times, see `zones.py`.
        written: numeric: the number format, as `Numeral.to_json` returns it; empty for plain
            numbers.
    """

    name: str
    kind: str
    dtype: str
    n_levels: int = 0
    has_missing: bool = False
    tells_by_gaps: bool = False
    zone: str = AS_WRITTEN
    written: tuple[str, ...] = ()


def read_columns(
    frame: pd.DataFrame, *, are_pixels: bool = False
) -> tuple[list[Column], list[str]]:
    """Infer the kind of every column of a table of features.

    Returns: the columns in order, and notices about columns that look like another kind.
    Raises:
        DataError: when a number is infinite; the message names all such columns.
    """
    if are_pixels:
        return [Column(str(name), "pixel", str(frame[name].dtype)) for name in frame.columns], []
    columns, notes = [], []
    for name in frame.columns:
        kind, note = _kind_of(frame[name], str(name))
        zone = _zone_of(frame[name], str(name)) if kind == "date" else AS_WRITTEN
        columns.append(Column(str(name), kind, str(frame[name].dtype), zone=zone))
        if note:
            notes.append(f"column {str(name)!r} {note}")
        if kind == "categorical":
            notes += lookalikes_note(f"column {str(name)!r}", texts(plain(frame[name]))[0])
    _refuse_infinities(frame, columns)
    return columns, notes


def _kind_of(series: pd.Series[Any], name: str) -> tuple[str, str]:
    if isinstance(series.dtype, pd.CategoricalDtype):
        if not series.notna().any():
            return "missing", ""
        return ("boolean" if series.dtype.categories.dtype == bool else "categorical"), ""
    if has_zone(series):
        return ("date" if series.notna().any() else "missing"), ""
    values = plain(series)
    if values.dtype.kind == "b":
        return "boolean", ""
    if values.dtype.kind in "iuf":
        return ("missing" if pd.isna(values).all() else "numeric"), ""
    if values.dtype.kind == "M":
        return ("missing" if pd.isna(values).all() else "date"), ""
    if values.dtype.kind == "c":
        raise DataError(
            f"column {name!r} must contain real numbers, got complex numbers. "
            "Put the real and the imaginary part into separate columns."
        )
    try:
        cells, inverse = distinct(values)
    except TypeError:
        raise DataError(
            f"column {name!r} must have one number, text or date in every cell, got lists or other "
            "objects. Put each of their parts into a separate column."
        ) from None
    return _kind_of_cells(cells, inverse)


def _zone_of(series: pd.Series[Any], name: str) -> str:
    if has_zone(series):
        return zone_of_type(series)
    values = plain(series)
    if values.dtype.kind == "M":
        return NAIVE
    cells, _ = distinct(values)
    return zone_of((cell for cell in cells if not is_missing(cell)), name)


def _kind_of_cells(cells: list[Any], inverse: np.ndarray) -> tuple[str, str]:
    known = [cell for cell in cells if boolean_text_of(cell) is not None]
    if not known:
        return "missing", ""
    if all(
        isinstance(cell, bool | np.bool_ | str) and boolean_text_of(cell) in ("True", "False")
        for cell in known
    ) and any(number_of(cell) is None or isinstance(cell, bool | np.bool_) for cell in known):
        return "boolean", ""
    padded = next((cell for cell in known if is_padded(cell)), None)
    if padded is not None:
        return "categorical", (
            f"has leading zeros (for example {padded!r}) and is read as text, because numbers "
            "would lose them. Remove the zeros to read it as numbers"
        )
    not_numbers = [cell for cell in known if number_of(cell) is None]
    if not not_numbers:
        return "numeric", ""
    if all(day_of(cell) is not None for cell in not_numbers) and len(not_numbers) == len(known):
        return "date", ""
    counts = np.bincount(inverse, minlength=len(cells))
    by_cell = dict(zip(map(id, cells), counts.tolist(), strict=True))
    n_known = sum(by_cell[id(cell)] for cell in known)
    n_texts = sum(by_cell[id(cell)] for cell in not_numbers)
    shown = repr(not_numbers[0])
    if n_texts <= MOST_SPOILT * n_known:
        return "categorical", (
            f"contains numbers and {count_text(n_texts, 'other cell')} (for example {shown}), and "
            "is read as text. Correct or clear these cells to read it as numbers"
        )
    no_dates = [cell for cell in known if day_of(cell) is None]
    n_others = sum(by_cell[id(cell)] for cell in no_dates)
    if n_others <= MOST_SPOILT * n_known:
        return "categorical", (
            f"contains dates and {count_text(n_others, 'other cell')} (for example "
            f"{no_dates[0]!r}), and is read as text. Correct or clear these cells to read it as "
            "dates"
        )
    if all(isinstance(cell, str) and _OTHER_DATE.fullmatch(cell.strip()) for cell in known):
        return "categorical", (
            f"looks like dates that are not written as 2024-01-31 (for example {shown}), and is "
            "read as text. Write the dates in that form to read it as dates"
        )
    return "categorical", ""


def _refuse_infinities(frame: pd.DataFrame, columns: Sequence[Column]) -> None:
    found = []
    for label, column in zip(frame.columns, columns, strict=True):
        if column.kind == "numeric":
            read, _ = numbers(plain(frame[label]))
            infinite = np.flatnonzero(np.abs(read) > LARGEST)
            if len(infinite):
                found.append(
                    f"{column.name!r} ({len(infinite)}, the first in row {infinite[0] + 1})"
                )
    if found:
        raise DataError(
            f"numbers must be finite and at most {LARGEST:g}, got larger ones in column "
            f"{'; '.join(found)}. Clear these cells if they are missing, or correct the numbers."
        )


def keep_useful(
    frame: pd.DataFrame, columns: Sequence[Column], rows: np.ndarray
) -> tuple[list[Column], list[str]]:
    """Choose the columns to learn from.

    Args:
        frame: the features of the training and validation rows together, so that all folds have
            the same columns.
        columns: their kinds, from `read_columns`.
        rows: `[N]` each row's place in the original table. It shows that a column counts the rows
            although the test rows are not in `frame`.
    Returns: the kept columns, and a notice with the reason for each dropped column.
    Raises:
        DataError: when no column is kept.
    """
    kept, notes = [], []
    for label, column in zip(frame.columns, columns, strict=True):
        reason = (
            ""
            if _is_surely_useful(frame[label], column)
            else _useless(plain(frame[label]), column, rows)
        )
        if reason:
            notes.append(f"column {column.name!r} is dropped: {reason}")
        else:
            kept.append(column)
    if not kept:
        raise DataError(
            "the table must have at least one useful column, but all are dropped ("
            + ("; ".join(notes) or "the table has only the target")
            + "). Give a table with columns that vary."
        )
    return kept, notes


def measure(frame: pd.DataFrame, columns: Sequence[Column]) -> list[Column]:
    """Return the columns with the number of levels and the gaps in these rows."""
    measured = []
    for column in columns:
        if column.kind == "categorical":
            n_levels = len(texts(plain(frame[column.name]), boolean=False)[0])
            measured.append(replace(column, n_levels=n_levels))
        elif column.kind in ("numeric", "date"):
            cells = frame[column.name]
            is_date = column.kind == "date"
            read, _ = days(cells, column.zone) if is_date else numbers(plain(cells))
            known = read[~np.isnan(read)]
            has_missing = len(known) < len(read)
            tells = has_missing and bool((known == known[:1]).all())
            measured.append(replace(column, has_missing=has_missing, tells_by_gaps=tells))
        else:
            measured.append(column)
    return measured


def _is_surely_useful(series: pd.Series[Any], column: Column) -> bool:
    """Whether a column is kept without reading its cells: pixels and varying times with a zone."""
    return column.kind == "pixel" or (has_zone(series) and series.nunique() > 1)


def _useless(values: np.ndarray, column: Column, rows: np.ndarray) -> str:
    """Return the reason why a column of cells `[N]` is useless; empty if it is useful."""
    boolean = column.kind == "boolean"
    if column.kind == "missing":
        return "all its cells are empty"
    if values.dtype.kind in "iufb":
        found, counts = np.unique(values[~np.isnan(values)], return_counts=True)
        levels: list[Any] = found.tolist()
    else:
        read, inverse = texts(values, boolean=boolean)
        present = np.bincount(inverse, minlength=len(read))
        levels = list({text for text, count in zip(read, present, strict=True) if text and count})
        counts = present[[text is not None for text in read]]
    n_known = int(counts.sum())
    if not levels:
        return "its cells are empty in all training rows"
    if len(levels) == 1 and n_known == len(values):
        return f"all training rows have the value {levels[0]!r}"
    if n_known < MIN_ROWS_ID:
        return ""
    if column.kind == "categorical" and len(levels) >= ID_SHARE * n_known:
        return (
            f"it has {len(levels)} different texts in {n_known} training rows (an identifier or "
            "free text)"
        )
    if column.kind == "numeric" and len(levels) == n_known == len(values):
        return _counts_rows(values, column.name, rows)
    return ""


def _counts_rows(values: np.ndarray, name: str, rows: np.ndarray) -> str:
    read, _ = numbers(values)
    if not np.equal(np.floor(read), read).all():
        return ""
    if np.ptp(read - rows) == 0 and read[0] - rows[0] in (0, 1):
        return "it only numbers the rows"
    if _ID_NAME.search(name) or _ID_CAMEL.search(name):
        return "it is an identifier by its name and its values, which are all different integers"
    return ""
