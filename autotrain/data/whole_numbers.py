"""Read integers beyond 2⁵³ from a text file, which a float cannot represent exactly.

pandas reads a column of integers as floats if a cell is missing. Such a column is read again as
text and becomes nullable integers.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from autotrain.data.arrays import MOST_EXACT

_WHOLE = re.compile(r"[+-]?\d+")


def may_be_rounded(column: pd.Series) -> bool:
    """Whether a column may contain rounded integers."""
    if column.dtype.kind != "f":
        return False
    known = column.to_numpy()[~np.isnan(column.to_numpy())]
    return bool((np.abs(known) >= MOST_EXACT).any())


def exact(texts: pd.Series) -> pd.Series | None:
    """Return a column as nullable integers; None if it has other cells than 64-bit integers.

    Args:
        texts: the cells as written in the file.
    """
    cells = [cell.strip() if isinstance(cell, str) else None for cell in texts]
    if not all(cell is None or _WHOLE.fullmatch(cell) for cell in cells):
        return None
    # A list, not a series, because pandas would convert a series to floats again.
    whole = [None if cell is None else int(cell) for cell in cells]
    known = [number for number in whole if number is not None]
    dtypes: tuple[tuple[Any, int, int], ...] = (
        (pd.Int64Dtype(), -(2**63), 2**63),
        (pd.UInt64Dtype(), 0, 2**64),
    )
    for dtype, low, high in dtypes:
        if known and low <= min(known) and max(known) < high:
            return pd.Series(whole, dtype=dtype, index=texts.index)
    return None
