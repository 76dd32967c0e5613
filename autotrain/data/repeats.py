"""Test rows that equal a training row, for which a score does not measure generalization.

Rows are compared in the columns that the model reads, and with the values that it reads: `1` equals
`1.0`, surrounding spaces are ignored, and a missing cell equals a missing cell. The comparison uses
64-bit hashes, so that a million rows take seconds.
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
"""Odd, so that no hash is lost, and large, so that the order of columns matters."""


@dataclass(frozen=True)
class Repeats:
    """The test rows that equal a training row.

    Args:
        places: `[R]` their indices among the test rows.
        n_same_target: number of those that also have the target of an equal training row.
    """

    places: np.ndarray
    n_same_target: int

    def notes(self, n_test: int, rows: np.ndarray) -> list[str]:
        """Return a notice if any test row repeats a training row.

        Args:
            rows: `[N]` indices of the test rows in their table.
        """
        n = len(self.places)
        if not n:
            return []
        shown = ", ".join(str(row + 1) for row in rows[self.places[:MOST_SHOWN]])
        more = ", …" if n > MOST_SHOWN else ""
        return [
            f"{repeats_text(n, n_test, self.n_same_target)} (row{'s' if n > 1 else ''} "
            f"{shown}{more}), so the test score may be too good. Remove repeated rows from the "
            "table, or give test rows that are not in it"
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
        y_train, y_test: `[N]` class indices or numbers.
        columns: the columns that the model reads.
    """
    known, asked = row_hashes(train, columns), row_hashes(test, columns)
    # A hash table of pandas takes a tenth of the time of `np.isin`, which sorts.
    places = np.flatnonzero(pd.Series(asked).isin(known))
    if not len(places):
        return Repeats(places, 0)
    both = pd.Series(_hashed(asked[places], y_test[places])).isin(_hashed(known, y_train))
    return Repeats(places, int(both.sum()))


def row_hashes(frame: pd.DataFrame, columns: Sequence[Column]) -> np.ndarray:
    """Return a hash of each row's cells in these columns, uint64 `[N]`."""
    labels = {str(label): label for label in frame.columns}
    found = np.zeros(len(frame), dtype=np.uint64)
    for column in columns:
        found = _hashed(found, _cells(frame[labels[column.name]], column))
    return found


def _hashed(before: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return the hashes `[N]` of rows after adding another cell; overflow is intended."""
    return before * MULTIPLIER + pd.util.hash_array(cells)


def _cells(cells: pd.Series[Any], column: Column) -> np.ndarray:
    """Return a number per cell, `[N]`; cells that the model cannot distinguish have the same."""
    if column.kind in ("categorical", "boolean"):
        found, inverse = texts(plain(cells), boolean=column.kind == "boolean")
        # A category is never the empty string, so that can represent a missing cell.
        coded = [(text or "").encode("utf-8", "backslashreplace").decode() for text in found]
        levels = np.array(coded, dtype=object)
        return pd.util.hash_array(levels)[inverse]
    read, _ = days(cells, column.zone) if column.kind == "date" else numbers(plain(cells))
    # 0 must equal −0, and every NaN must have the same bits.
    return np.where(np.isnan(read), np.nan, read + 0.0)
