"""Convert a column of any library to a NumPy array with the same meaning.

The entry point is `plain`. All columns are `[N]`, one cell per row. Cells keep what a float or a
NumPy dtype would lose: integers beyond 2⁵³ stay Python integers if a cell is missing, and times
with a time zone stay `datetime` objects with their zone. Durations become seconds. This file
imports only NumPy, and uses columns of pandas, Arrow and polars through their own methods, so that
a predictor does not need these libraries.
"""

from __future__ import annotations

import datetime
import decimal
import math
from typing import Any

import numpy as np

MOST_EXACT = 2**53
"""Float64 represents every integer up to this number exactly."""

_EXACT_DIGITS = 15
"""Number of decimal digits that a float64 keeps."""
_ARROW_NUMBERS = frozenset(
    ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
)
_ARROW_FLOATS = frozenset(("halffloat", "float", "double"))
_SECOND = np.timedelta64(1, "s")


def plain(column: Any) -> np.ndarray:
    """Return a column as a NumPy array in the machine's byte order.

    Args:
        column: a column of pandas, polars or Arrow, an array, or a list of cells.
    Returns: `[N]`. Numbers and booleans are unchanged. Durations are float64 seconds, NaN where
        missing. Nullable integers are float64 with NaN if float64 represents them exactly.
        Everything else is an array of objects, with None, NaN, NaT or pandas' NA where missing.
    """
    if hasattr(column, "to_pylist") and hasattr(column, "type"):
        return _of_arrow(column)
    dtype = getattr(column, "dtype", None)
    if dtype is None:
        return _of_cells(column)
    if isinstance(dtype, np.dtype):
        return _native(np.asarray(column))
    if hasattr(dtype, "pyarrow_dtype"):  # a pandas column in Arrow memory
        return _of_arrow(column.array.__arrow_array__())
    coded = getattr(column, "cat", column)  # a Series has `cat`, a Categorical does not
    if hasattr(coded, "codes") and hasattr(coded, "categories"):
        return _of_categories(coded.codes, coded.categories)
    if hasattr(column, "to_list") and hasattr(column, "null_count"):
        return _of_polars(column)
    kind = getattr(dtype, "kind", "")
    if kind in ("i", "u", "f"):
        return _of_nullable(column, kind)
    return _native(np.asarray(column))


def _of_arrow(column: Any) -> np.ndarray:
    kind = str(column.type)
    is_number = (kind in _ARROW_NUMBERS and not column.null_count) or kind in _ARROW_FLOATS
    if is_number or (kind.startswith("timestamp[") and "tz=" not in kind):
        # An array copies only if it is allowed to; a chunked array always does.
        is_array = not hasattr(column, "chunks")
        return _native(column.to_numpy(zero_copy_only=False) if is_array else column.to_numpy())
    return _native(_objects(column.to_pylist()))


def _of_polars(column: Any) -> np.ndarray:
    kind = str(column.dtype)
    is_whole = kind.removeprefix("U") in ("Int8", "Int16", "Int32", "Int64") or kind == "Boolean"
    if kind.startswith("Float") or (is_whole and not column.null_count()):
        return _native(column.to_numpy())
    if kind.startswith("Datetime") and getattr(column.dtype, "time_zone", None) is None:
        return _native(column.to_numpy())
    return _native(_objects(column.to_list()))


def _of_categories(codes: Any, categories: Any) -> np.ndarray:
    """Return the cells of a categorical column, in which the code −1 is a missing cell."""
    places = np.asarray(codes)
    levels = plain(categories)
    if not len(levels):
        return np.full(len(places), None, dtype=object)
    missing = places < 0
    if not missing.any():
        return levels[places]
    if levels.dtype.kind == "f" or _is_exact(levels):
        return _with_gaps(levels[places].astype(np.float64), missing, np.nan)
    return _with_gaps(levels.astype(object)[places], missing, None)


def _of_nullable(column: Any, kind: str) -> np.ndarray:
    missing = np.asarray(column.isna())
    if kind == "f" or not missing.any():
        dtype: Any = {"i": np.int64, "u": np.uint64, "f": np.float64}[kind]
        return np.asarray(
            column.to_numpy(dtype=dtype, **({"na_value": np.nan} if kind == "f" else {}))
        )
    whole = column.to_numpy(dtype=np.int64 if kind == "i" else np.uint64, na_value=0)
    if _is_exact(whole):
        return _with_gaps(whole.astype(np.float64), missing, np.nan)
    return _with_gaps(whole.astype(object), missing, None)


def _with_gaps(values: np.ndarray, missing: np.ndarray, gap: float | None) -> np.ndarray:
    values[missing] = gap
    return values


def _is_exact(values: np.ndarray) -> bool:
    """Whether these are integers that float64 represents exactly."""
    if values.dtype.kind not in "iu" or not len(values):
        return values.dtype.kind in "iu"
    return int(values.min()) >= -MOST_EXACT and int(values.max()) <= MOST_EXACT


def _of_cells(column: Any) -> np.ndarray:
    """Return a list of cells as an array, without changing the type of any cell."""
    if not isinstance(column, list | tuple):
        return _native(np.asarray(column))
    kinds = set(map(type, column))
    if kinds == {int}:
        try:
            return np.array(column, dtype=np.int64)
        except OverflowError:
            return _objects(column)
    if len(kinds) == 1 and all(issubclass(kind, bool | float | str | np.generic) for kind in kinds):
        return _native(np.array(column))
    if kinds and all(issubclass(kind, list | tuple | np.ndarray) for kind in kinds):
        return np.array(column) if len({*map(len, column)}) == 1 else _objects(column)
    # A list such as [1, "a", None] must not become texts "1", "a", "None".
    return _native(_objects(column))


def _objects(cells: Any) -> np.ndarray:
    # NumPy would turn lists inside the cells into more axes.
    found = np.empty(len(cells), dtype=object)
    for place, cell in enumerate(cells):
        found[place] = cell
    return found


def _native(values: np.ndarray) -> np.ndarray:
    """Return an array in native byte order, with durations and decimals as numbers."""
    if values.dtype.kind == "m":
        return np.where(np.isnat(values), np.nan, values / _SECOND)
    if values.dtype == np.longdouble or values.dtype == np.float16:
        # Neither torch nor pandas fully supports these two types.
        return values.astype(np.float64 if values.dtype == np.longdouble else np.float32)
    if not values.dtype.isnative:
        return values.astype(values.dtype.newbyteorder("="))
    if values.dtype.kind == "O" and values.ndim == 1:
        return _settled(values)
    return values


def _settled(values: np.ndarray) -> np.ndarray:
    """Return objects with decimals as numbers; a column of durations only becomes seconds."""
    cells = values.tolist()
    kinds = set(map(type, cells))
    if any(issubclass(kind, decimal.Decimal) for kind in kinds):
        return _objects([_of_decimal(c) if isinstance(c, decimal.Decimal) else c for c in cells])
    if any(issubclass(kind, datetime.timedelta | np.timedelta64) for kind in kinds):
        seconds = [seconds_of(cell) for cell in cells]
        if None not in seconds:
            return np.array(seconds, dtype=np.float64)
    return values


def _of_decimal(cell: decimal.Decimal) -> int | float | decimal.Decimal:
    """Return an equal number, or the decimal itself if no number equals it."""
    if cell.is_nan():
        return math.nan
    if cell.is_infinite():
        return float(cell)
    if cell == cell.to_integral_value():
        return int(cell)
    return float(cell) if len(cell.as_tuple().digits) <= _EXACT_DIGITS else cell


def seconds_of(cell: Any) -> float | None:
    """Return a duration in seconds, NaN when the cell is missing, None when it is something else.

    Missing cells are None, NaN, NaT and pandas' NA.
    """
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return math.nan
    if isinstance(cell, datetime.timedelta):
        return cell.total_seconds()
    if isinstance(cell, np.timedelta64):
        return math.nan if np.isnat(cell) else float(cell / _SECOND)
    return math.nan if isinstance(cell, float) and math.isnan(cell) else None
