"""Test rows that equal a training row, on which a score does not show how well a model generalizes.

Rows are compared in the columns that the model reads and as it reads them: `1` and `1.0` are one
number, texts are compared without the spaces around them, and a missing cell equals a missing cell.
They are compared by hashes of 64 bits, so that a million rows take seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from autotrain.data.arrays import plain
from autotrain.data.columns import Column
from autotrain.data.values import days, numbers, texts
from autotrain.vocabulary import repeats_text

MOST_SHOWN = 5
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that no hash is lost, and large, so that the order of columns counts."""


@dataclass(frozen=True)
class Repeats:
    """The test rows that equal a training row.

    Args:
        places: `[R]` their places among the test rows.
        n_same_target: how many of them have the target of such a training row, too.
    """

    places: np.ndarray
    n_same_target: int

    def notes(self, n_test: int, rows: np.ndarray) -> list[str]:
        """Return a notice when any test row repeats a training row.

        Args:
            rows: `[N]` places of the test rows in their table.
        """
        n = len(self.places)
        if not n:
            return []
        shown = ", ".join(str(row + 1) for row in rows[self.places[:MOST_SHOWN]])
        more = ", …" if n > MOST_SHOWN else ""
        return [
            f"{repeats_text(n, n_test, self.n_same_target)} (row{'s' if n > 1 else ''} "
            f"{shown}{more}): the test score may be too good. Remove repeated rows from the table, "
            "or pass test rows that are not in it"
        ]


def find_repeats(
    train: pd.DataFrame,
    y_train: np.ndarray,
    test: pd.DataFrame,
    y_test: np.ndarray,
    columns: Sequence[Column],
) -> Repeats:
    """Find the test rows that equal a training row in these columns.

    Args:
        y_train, y_test: `[N]` class numbers or numbers.
        columns: those that the model reads.
    """
    known, asked = row_hashes(train, columns), row_hashes(test, columns)
    places = np.flatnonzero(np.isin(asked, known))
    both = np.isin(_hashed(asked[places], y_test[places]), _hashed(known, y_train))
    return Repeats(places, int(both.sum()))


def row_hashes(frame: pd.DataFrame, columns: Sequence[Column]) -> np.ndarray:
    """Return a hash of each row's cells in these columns, uint64 `[N]`."""
    labels = {str(label): label for label in frame.columns}
    found = np.zeros(len(frame), dtype=np.uint64)
    for column in columns:
        found = _hashed(found, _cells(frame[labels[column.name]], column))
    return found


def _hashed(before: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return the hashes of rows to which another cell is added, whatever overflows."""
    return before * MULTIPLIER + pd.util.hash_array(cells)


def _cells(cells: pd.Series[Any], column: Column) -> np.ndarray:
    """Return one number for each cell, the same for cells that the model reads as the same."""
    if column.kind in ("categorical", "boolean"):
        found, inverse = texts(plain(cells), boolean=column.kind == "boolean")
        # A text cannot be empty, so the empty one is free for a missing cell.
        coded = [(text or "").encode("utf-8", "backslashreplace").decode() for text in found]
        levels = np.array(coded, dtype=object)
        return pd.util.hash_array(levels)[inverse]
    read, _ = days(cells, column.zone) if column.kind == "date" else numbers(plain(cells))
    # 0 and −0 are one number, and so are all NaN.
    return np.where(np.isnan(read), np.nan, read + 0.0)
