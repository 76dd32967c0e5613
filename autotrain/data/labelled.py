"""The rows that have a target: of the training table, and of a test table of its own.

Here the user's word for the target is checked against the table, rows without a target are left
out and counted, and a test file is checked to have the training table's columns.
"""

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
from autotrain.paths import user_path
from autotrain.wording import count_text


def target_of(table: RawTable, target: str | None) -> str:
    """Return the name of the target's column: the user's word, or what the format gives.

    Raises: DataError when there is no such column, with the nearest name.
    """
    names = [str(name) for name in table.frame.columns]
    # Columns of a frame may be numbers; here all names are texts.
    target = table.target if target is None else str(target).strip()
    if target is None:
        raise DataError(
            f"{table.source}: expected the name of the target column, however: none is given. "
            f"Columns: {', '.join(names[:30])}{', …' if len(names) > 30 else ''}."
        )
    if target in names:
        return target
    if target == table.target:
        raise DataError(
            f"{table.source} must have labels to train on or to score, got rows alone. Write them "
            "beside the rows: numpy.savez(path, X=…, y=…)."
        )
    if not table.has_header and (place := _place_of(target, len(names))) is not None:
        return names[place]
    message = f"{table.source}: {unknown('target column', target, names)}"
    if len(names) == 1 and target in names[0]:
        raise DataError(
            f"{table.source}: expected columns parted by a comma, however: the header is read as "
            f"one column, {names[0][:60]!r}. Save the table again with commas."
        )
    raise DataError(message + (HEADER_ADVICE if looks_like_data(names) else ""))


def _place_of(target: str, width: int) -> int | None:
    """Return the column that a number means: 1 is the first one, -1 the last; None for none."""
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
    """Leave out the rows whose target is missing.

    Args:
        reading: how the table was read.
    Returns: the rows left, their places in the table, and a note that counts the others.
    Raises: DataError when none is left.
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
                f"{table.source}: target {target!r} must hold one label or number in every cell, "
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
    """Say what the cells hold, and what to do where it is a class; closes the bracket before it."""
    shown = [f"{word!r} in {count_text(count, 'row')}" for word, count in words.items()]
    n_empty = n_missing - sum(words.values())
    if not shown:
        return "an empty cell)"
    if n_empty > 0:
        shown.append(f"an empty cell in {count_text(n_empty, 'row')}")
    return f"{', '.join(shown)}). If such a word is a class, write another word for it in the table"


def read_test_table(test: Any, names: Sequence[str], reading: Reading) -> RawTable:
    """Read a file (or frame) of test rows and check that it has the training table's columns.

    Args:
        reading: what the training table has shown.
    Raises: DataError naming the file and the columns that it lacks.
    """
    table = read_table(test, reading)
    try:
        require(open_table(table.frame, (names,)), names)
    except DataError as error:
        raise DataError(f"{table.source}: {error}") from None
    return table
