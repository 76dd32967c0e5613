"""Find the target column, drop rows without a target, and check a separate test table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from autotrain.data.arrays import plain
from autotrain.data.files import RawTable, read_table
from autotrain.data.headers import HEADER_ADVICE, looks_like_data
from autotrain.data.inputs import open_table, require
from autotrain.data.reading import UNKNOWN, Reading
from autotrain.data.text_tables import missing_words
from autotrain.data.values import distinct, text_of
from autotrain.errors import DataError, unknown
from autotrain.vocabulary import count_text, user_path


def target_of(table: RawTable, target: str | None) -> str:
    """Return the name of the target column, given by the user or by the format.

    Raises:
        DataError: when the column does not exist; the message suggests the nearest name.
    """
    names = [str(name) for name in table.frame.columns]
    # The column names of a frame may be numbers, but here all names are strings.
    target = table.target if target is None else str(target).strip()
    if target is None:
        raise DataError(
            f"{table.source}: target must be the name of a column, got None. "
            f"Choose from: {', '.join(names[:30])}{', …' if len(names) > 30 else ''}.",
            parameter="target",
        )
    if target in names:
        return target
    if target == table.target:
        raise DataError(
            f"{table.source} must contain labels for training or scoring, got only features. "
            "Write both: numpy.savez(path, X=…, y=…)."
        )
    if not table.has_header and (place := _place_of(target, len(names))) is not None:
        return names[place]
    message = f"{table.source}: {unknown('target column', target, names)}"
    if len(names) == 1 and target in names[0]:
        raise DataError(
            f"{table.source}: columns must be separated by commas, but the header is read as one "
            f"column, {names[0][:60]!r}. Save the table again with commas."
        )
    raise DataError(message + (HEADER_ADVICE if looks_like_data(names) else ""))


def _place_of(target: str, width: int) -> int | None:
    """Return the index of a column given by number (1: first, -1: last), or None."""
    try:
        number = int(target)
    except ValueError:
        return None
    if not 1 <= abs(number) <= width:
        return None
    return number - 1 if number > 0 else width + number


def rows_with_target(
    table: RawTable, target: str, reading: Reading = UNKNOWN
) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """Drop the rows whose target is missing.

    Args:
        reading: the settings with which the table was read.
    Returns: the remaining rows, their indices `[N]` in the table, and a notice with the number of
        dropped rows.
    Raises:
        DataError: when no row remains.
    """
    values = plain(table.frame[target])
    words: dict[str, int] = {}
    if values.dtype.kind in "biufmM":
        missing = np.asarray(pd.isna(values))
    else:
        try:
            cells, inverse = distinct(values)
        except TypeError:
            raise DataError(
                f"{table.source}: target {target!r} must have one label or number in every cell, "
                "got lists or other objects. Choose another target column."
            ) from None
        is_missing = [text_of(cell) is None for cell in cells]
        missing = np.array(is_missing, dtype=bool)[inverse]
        counts = np.bincount(inverse, minlength=len(cells))
        for cell, lacks, count in zip(cells, is_missing, counts, strict=True):
            if lacks and isinstance(cell, str) and cell.strip():
                words[cell.strip()] = words.get(cell.strip(), 0) + int(count)
    if not missing.any():
        return table.frame, np.arange(len(missing)), []
    if table.is_from_text:
        place = [str(name) for name in table.frame.columns].index(target)
        path = user_path(table.source)
        words = missing_words(path, place, reading, has_header=table.has_header)
    n_missing = int(missing.sum())
    if n_missing == len(missing):
        choose = "Or choose" if words else "Choose"
        raise DataError(
            f"{table.source}: the target {target!r} must have values, but it is missing in all "
            f"{n_missing} rows ({_read_as_missing(n_missing, words)}. {choose} another target "
            "column."
        )
    rows = np.flatnonzero(~missing)
    note = (
        f"{n_missing} of {len(missing)} rows of {table.source} are dropped: their target "
        f"{target!r} is missing ({_read_as_missing(n_missing, words)}"
    )
    return table.frame.iloc[rows], rows, [note]


def _read_as_missing(n_missing: int, words: Mapping[str, int]) -> str:
    """Return the content of missing cells and the fix, with the closing bracket."""
    shown = [f"{word!r} in {count_text(count, 'row')}" for word, count in words.items()]
    n_empty = n_missing - sum(words.values())
    if not shown:
        return "an empty cell)"
    if n_empty > 0:
        shown.append(f"an empty cell in {count_text(n_empty, 'row')}")
    return (
        f"{', '.join(shown)}). If such a word is a class, replace it by another word in the table"
    )


def read_test_table(test: Any, names: Sequence[str], reading: Reading) -> RawTable:
    """Read a file (or frame) of test rows and check that it has the training table's columns.

    Args:
        reading: the settings of the training table.
    Raises:
        DataError: when columns are missing; the message names the file and the columns.
    """
    table = read_table(test, reading)
    try:
        require(open_table(table.frame, (names,)), names)
    except DataError as error:
        raise DataError(f"{table.source}: {error}") from None
    return table
