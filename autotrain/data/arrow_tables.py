"""Convert Arrow tables (Parquet, Feather, polars and other libraries) to pandas frames.

The conversion of pandas turns integers with a missing cell into floats. Here every column keeps its
meaning: nullable integers, categories and time zones. A type that pandas does not support (views,
run-end encoding) is decoded first. A type without one value per cell (lists, structs) raises an
error that names the column. To support another type, add a branch to `_series`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from autotrain.data.inputs import duplicates
from autotrain.errors import DataError

_NULLABLE = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
}


def frame_of(table: pa.Table, where: str) -> pd.DataFrame:
    """Return an Arrow table as a frame, with the named index of a pandas frame as a column.

    Args:
        where: source of the table, for errors.
    Raises:
        DataError: when a column's type has no cells, or two columns have the same name.
    """
    names = [str(name).strip() for name in table.column_names]
    if len(set(names)) != len(names):
        raise DataError(duplicates(where, names))
    places = {name: place for place, name in enumerate(names)}
    levels, unnamed, ranges = _index_of(table)
    categorical = _categorical_names(table)
    series: dict[str, Any] = {name: v for name, v in ranges.items() if name not in names}
    # The index comes first in pandas and last in the file.
    order = [name for name in names if name in levels] + [n for n in names if n not in levels]
    for name in order:
        if name not in unnamed:
            own = _series(table.column(places[name]), f"{where}: column {name!r}")
            series[name] = own.astype("category") if name in categorical else own
    return pd.DataFrame(series, index=pd.RangeIndex(table.num_rows))


def _index_of(table: pa.Table) -> tuple[set[str], set[str], dict[str, np.ndarray]]:
    """Return the columns of a named index, those of an unnamed index, and named ranges."""
    about = table.schema.pandas_metadata
    if not isinstance(about, Mapping):
        return set(), set(), {}
    levels: set[str] = set()
    unnamed: set[str] = set()
    ranges: dict[str, np.ndarray] = {}
    for level in about.get("index_columns") or ():
        if isinstance(level, str):
            (unnamed if level.startswith("__index_level_") else levels).add(level.strip())
        elif isinstance(level, Mapping) and level.get("name") is not None:
            start, step = int(level.get("start", 0)), int(level.get("step", 1))
            ranges[str(level["name"]).strip()] = start + step * np.arange(table.num_rows)
    return levels, unnamed, ranges


def _categorical_names(table: pa.Table) -> set[str]:
    """Return the columns that were categorical in pandas; Parquet does not mark such numbers."""
    about = table.schema.pandas_metadata
    columns = about.get("columns") if isinstance(about, Mapping) else None
    return {
        str(column.get("name")).strip()
        for column in columns or ()
        if isinstance(column, Mapping) and column.get("pandas_type") == "categorical"
    }


def _series(column: pa.ChunkedArray, where: str) -> pd.Series[Any]:
    kind = column.type
    while isinstance(kind, pa.BaseExtensionType) and not _is_of_pandas(kind):
        column = pa.chunked_array([_storage(chunk) for chunk in column.chunks], kind.storage_type)
        kind = column.type
    if pt.is_run_end_encoded(kind):
        return _series(pc.run_end_decode(column), where)
    if pt.is_dictionary(kind):
        return _categories(column, where)
    if pt.is_nested(kind) or pt.is_interval(kind):
        raise DataError(
            f"{where} must have one number, text or date in every cell, got the type {kind}. "
            "Put each of its parts into a separate column, or drop the column."
        )
    if str(kind) in ("string_view", "binary_view"):
        column = column.cast(pa.large_string() if str(kind) == "string_view" else pa.large_binary())
    mapper = _NULLABLE.get if column.null_count else None
    try:
        return column.to_pandas(types_mapper=mapper)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise DataError(
            f"{where} must have a type that pandas reads, got {kind} "
            f"({str(error).splitlines()[0].rstrip('.')}). Convert or drop the column."
        ) from None


def _is_of_pandas(kind: pa.BaseExtensionType) -> bool:
    return getattr(kind, "extension_name", "").startswith("pandas.")


def _storage(chunk: Any) -> Any:
    return chunk.storage


def _categories(column: pa.ChunkedArray, where: str) -> pd.Series[Any]:
    ordered = bool(column.type.ordered)
    levels: pd.Series[Any] = pd.Series()
    codes: list[np.ndarray] = []
    for chunk in column.unify_dictionaries().chunks:
        levels = _series(pa.chunked_array([chunk.dictionary]), where)
        codes.append(chunk.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False))
    if not codes:
        return pd.Series(pd.Categorical([], ordered=ordered))
    # A dictionary may contain a level twice, and a null.
    categories = pd.Index(levels.dropna().drop_duplicates())
    place_of = np.append(categories.get_indexer(pd.Index(levels)), -1)
    places = place_of[np.concatenate(codes)]
    return pd.Series(pd.Categorical.from_codes(places, categories=categories, ordered=ordered))
