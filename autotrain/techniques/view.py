"""A view: the encoding of the rows that a configuration asks for.

The rows of a study are encoded once for every view that its space contains. Slots of a fleet can
read different views.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class View:
    """Encoding of numbers and categories.

    Args:
        scaler: a row of `SCALERS`.
        missing: a row of `MISSING`.
        one_hot_limit: largest number of levels of a one-hot column; columns with more levels are
            codes. 0 if all columns are one-hot.
    """

    scaler: str = "standard"
    missing: str = "median"
    one_hot_limit: int = 0
