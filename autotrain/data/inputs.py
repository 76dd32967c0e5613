"""One view of every kind of table: a data frame, columns by name, or rows of numbers.

The entry point is `open_table`, and the preprocessor reads the `TableView` that it returns. This
file imports only NumPy and uses pandas and polars frames through their own attributes (`columns`,
`[name]`), so that the predictor does not need these libraries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from autotrain.data.arrays import MOST_EXACT, plain
from autotrain.errors import DataError, nearest

T = TypeVar("T")


class TableView:
    """Columns by name, as plain 1-D arrays.

    Args:
        columns: label of each column by its name; `data[label]` is the column.
        data: a frame, a mapping, or a 2-D array whose labels are positions.
        n_rows: the number of rows.

    Attributes:
        keeps: whether columns that were read are kept for the next reader. False by default,
            because all columns together may be large.
    """

    def __init__(self, data: Any, columns: Mapping[str, Any], n_rows: int) -> None:
        self._data = data
        self._columns = dict(columns)
        self._read: dict[Hashable, Any] = {}
        self.n_rows = n_rows
        self.keeps = False

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of the table, in its order."""
        return tuple(self._columns)

    def once(self, key: Hashable, read: Callable[[], T]) -> T:
        """Return the result of `read`, or the kept result of an earlier call with this key."""
        if not self.keeps:
            return read()
        if key not in self._read:
            self._read[key] = read()
        found: T = self._read[key]
        return found

    def column(self, name: str) -> np.ndarray:
        """Return one column `[N]`."""
        return self.once(("column", name), lambda: self._column(name))

    def _column(self, name: str) -> np.ndarray:
        return plain(self.source(name))

    def source(self, name: str) -> Any:
        """Return one column as the table has it, for readers that use its type."""
        label = self._columns[name]
        return self._data[:, label] if isinstance(self._data, np.ndarray) else self._data[label]

    def block(self, names: Sequence[str]) -> np.ndarray | None:
        """Return several columns `[N, len(names)]`; None unless all are plain numbers."""
        return self.once(("block", *names), lambda: self._block(names))

    def _block(self, names: Sequence[str]) -> np.ndarray | None:
        labels = [self._columns[name] for name in names]
        if isinstance(self._data, np.ndarray):
            return self._data[:, labels] if self._data.dtype.kind in "iuf" else None
        dtypes = getattr(self._data, "dtypes", None)
        if not hasattr(dtypes, "loc"):
            return None
        part = self._data if labels == list(self._data.columns) else self._data[labels]
        if all(isinstance(dtype, np.dtype) and dtype.kind in "iuf" for dtype in part.dtypes):
            return np.asarray(part)
        return None


def open_table(data: Any, orders: Sequence[Sequence[str]]) -> TableView:
    """Return a view of `data` as columns by name.

    Args:
        data: a frame, an Arrow table, a mapping of name to column, a list of mappings, or a 2-D
            array or list of rows whose columns are in one of `orders`.
        orders: possible column names of an array without names; the width decides.
    Raises:
        DataError: when `data` is none of these, or lengths or widths do not fit.
    """
    if isinstance(data, np.ndarray) and data.dtype.names:
        data = {name: data[name] for name in data.dtype.names}
    if isinstance(data, list | tuple) and data and all(isinstance(row, Mapping) for row in data):
        names = list(dict.fromkeys(name for row in data for name in row))
        data = {name: [row.get(name) for row in data] for name in names}
    if isinstance(data, Mapping):
        return _open_mapping(data)
    if hasattr(data, "column_names") and hasattr(data, "column"):  # an Arrow table
        names = [str(name).strip() for name in data.column_names]
        if len(set(names)) != len(names):
            raise DataError(duplicates("the data", names))
        return _open_mapping({name: data.column(place) for place, name in enumerate(names)})
    if hasattr(data, "columns") and hasattr(data, "__getitem__"):
        data = _with_index(data, orders)
        labels = list(data.columns)
        named = {str(label).strip(): label for label in labels}
        if len(named) != len(labels):
            raise DataError(duplicates("the data", [str(label).strip() for label in labels]))
        return TableView(data, named, len(data))
    return _open_rows(data, orders)


def _with_index(data: Any, orders: Sequence[Sequence[str]]) -> Any:
    """Return a frame with those levels of its index as columns whose names are in `orders`."""
    levels = getattr(getattr(data, "index", None), "names", ())
    if not hasattr(data, "reset_index") or all(name is None for name in levels):
        return data
    present = {str(label).strip() for label in data.columns}
    wanted = {name for order in orders for name in order} - present
    levels = [name for name in levels if name is not None and str(name).strip() in wanted]
    return data.reset_index(level=levels) if levels else data


def _open_mapping(data: Mapping[Any, Any]) -> TableView:
    columns = {str(name).strip(): plain(column) for name, column in data.items()}
    nested = [name for name, column in columns.items() if column.ndim > 1]
    if nested:
        raise DataError(
            f"column {nested[0]!r} must have one cell per row, got the shape "
            f"{columns[nested[0]].shape}. Put each of its parts into a separate column."
        )
    lengths = {name: len(column) if column.ndim else -1 for name, column in columns.items()}
    if -1 in lengths.values() or len(set(lengths.values())) > 1:
        shown = ", ".join(
            f"{name}: {'one value' if length < 0 else length}"
            for name, length in list(lengths.items())[:8]
        )
        raise DataError(
            f"all columns must have the same length, got {shown}. "
            'Give each column as a list, also for one row: {"age": [37]}.'
        )
    return TableView(columns, {name: name for name in columns}, next(iter(lengths.values()), 0))


def _open_rows(data: Any, orders: Sequence[Sequence[str]]) -> TableView:
    try:
        rows = data if isinstance(data, np.ndarray) else _rows(data)
        is_ragged = rows.dtype == object and rows.ndim == 1 and any(map(_is_row, rows))
    except (TypeError, ValueError):
        is_ragged = True
    if is_ragged:
        raise DataError(
            "all rows must have the same length, got different lengths. Give every row a cell for "
            "each column."
        )
    if rows.ndim == 1 and rows.size == 0:
        rows = rows.reshape(0, len(orders[0]))
    if rows.ndim != 2:
        raise DataError(
            "the data must be a data frame, columns by name, or rows [N, columns], got "
            f"{type(data).__name__} of shape {rows.shape}. Write one row as [[…]]."
        )
    for order in orders:
        if rows.shape[1] == len(order):
            return TableView(rows, {name: place for place, name in enumerate(order)}, len(rows))
    raise DataError(
        f"rows must have {len(orders[0])} columns ({_listed(orders[0])}), got {rows.shape[1]}. "
        "Give the columns in the order of the training table, or by name."
    )


def _is_row(cell: Any) -> bool:
    return isinstance(cell, list | tuple | np.ndarray)


def _rows(data: Any) -> np.ndarray:
    """Return rows as an array `[N, F]` that keeps the types of mixed cells."""
    cells = np.array(data, dtype=object)
    kinds = set(map(type, cells.ravel().tolist()))
    if not kinds <= {int, float} or not cells.size:
        return cells
    read = np.array(data, dtype=np.float64)
    has_large = int in kinds and bool((np.abs(read) >= MOST_EXACT).any())
    return cells if has_large else read


def require(view: TableView, wanted: Sequence[str]) -> tuple[str, ...]:
    """Check that a table has the wanted columns, and return the names of its other columns.

    Raises:
        DataError: when columns are missing. The message names each with the most similar extra
            column.
    """
    came, known = set(view.names), set(wanted)
    extra = [name for name in view.names if name not in known]
    lacking = [name for name in wanted if name not in came]
    if lacking:
        lines = []
        for name in lacking[:20]:
            near = nearest(name, extra)
            lines.append(f"{name!r}" + (f" (is it {near!r}?)" if near is not None else ""))
        more = f" and {len(lacking) - 20} more" if len(lacking) > 20 else ""
        raise DataError(
            f"the table must have the {len(wanted)} columns of the training table, but "
            f"{len(lacking)} {'is' if len(lacking) == 1 else 'are'} missing: "
            f"{', '.join(lines)}{more}. Its columns are: {_listed(view.names) or 'none'}."
        )
    return tuple(extra)


def duplicates(where: str, names: Sequence[str]) -> str:
    """Return the error message for repeated column names."""
    repeated = [(name, count) for name, count in Counter(names).items() if count > 1]
    shown = ", ".join(f"{name!r} ({count} times)" for name, count in repeated[:8])
    return (
        f"{where}: column names must be unique, got {shown}. Rename or drop the repeated columns."
    )


def _listed(names: Sequence[str], most: int = 30) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
