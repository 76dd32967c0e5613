"""The user's table, encoded in parts of bounded size.

Errors name the row of the whole table. Tables are cut like a list, like a pandas frame (`iloc`) or
like a polars frame (`slice`); any other kind of table is one part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from autotrain.data.inputs import open_table
from autotrain.data.preprocessing import Preprocessor
from autotrain.errors import DataError
from autotrain.predictor.block_sizes import BLOCK_SIZES


def encoded_parts(
    table: Any,
    preprocessors: Sequence[Preprocessor],
    notices: list[str] | None,
    most: int = BLOCK_SIZES.encoded,
) -> Iterator[list[Tensor]]:
    """Yield encoded rows `[n, D]`, one tensor per preprocessor, part after part of the table.

    Args:
        notices: receives the notices of `Preprocessor.encode`, each once, with the first row of
            its part.
        most: largest number of encoded values of a part.
    Raises: DataError as `Preprocessor.encode` does.
    """
    width = sum(max(p.n_inputs, len(p.features)) for p in preprocessors)
    n_rows = max(most // max(width, 1), 1)
    reported: set[str] = set()
    first_one = preprocessors[0]
    read_alike = len(preprocessors) > 1 and all(
        (p.features, p.column_names) == (first_one.features, first_one.column_names)
        for p in preprocessors
    )
    for first, part in _parts(table, n_rows, first_one):
        encoded: list[Tensor] = []
        found: list[str] | None = None if notices is None else []
        for index, preprocessor in enumerate(preprocessors):
            try:
                if not index and read_alike:
                    part = preprocessor.open_for_several(part)
                x = preprocessor.encode(part, notices=None if index else found)
            except DataError:
                if first:
                    preprocessor.encode(table)  # fails at the same cell and names its row
                raise
            encoded.append(torch.from_numpy(x))
        if notices is not None and found is not None:
            about = f"from row {first + 1} on: " if first else ""
            notices += [about + sentence for sentence in found if sentence not in reported]
            reported.update(found)
        yield encoded


def _parts(table: Any, n_rows: int, preprocessor: Preprocessor) -> Iterator[tuple[int, Any]]:
    """Yield the index of the first row of each part, and the part in the table's own type."""
    if isinstance(table, Mapping):
        total = open_table(table, (preprocessor.features,)).n_rows
    else:
        total = len(table) if hasattr(table, "__len__") else 0
    if total <= n_rows or not _can_cut(table):
        yield 0, table
        return
    for first in range(0, total, n_rows):
        yield first, _cut(table, slice(first, first + n_rows))


def _can_cut(table: Any) -> bool:
    return hasattr(table, "iloc") or hasattr(table, "slice") or _is_sliceable(table)


def _is_sliceable(table: Any) -> bool:
    # Arrays, lists of rows and mappings of columns are cut with a slice.
    return isinstance(table, list | tuple | Mapping) or hasattr(table, "__array_interface__")


def _cut(table: Any, rows: slice) -> Any:
    if isinstance(table, Mapping):
        return {name: _cut(column, rows) for name, column in table.items()}
    if hasattr(table, "iloc"):
        return table.iloc[rows]
    if _is_sliceable(table):
        return table[rows]
    return table.slice(rows.start, rows.stop - rows.start)
