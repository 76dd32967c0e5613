"""Read a table from a file, a folder of images, a data frame or a public dataset.

The entry point is `read_table`. The kind of source decides the reader: `text_tables.py` (CSV, TSV),
`array_files.py` (NPZ, IDX) or `public_sets.py` (sklearn:, openml:). Parquet and Feather are read
here. To add a format, write a reader and add one line to `_READERS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import feather, parquet

from autotrain.data.array_files import is_idx, read_idx, read_npz
from autotrain.data.arrays import plain
from autotrain.data.arrow_tables import frame_of
from autotrain.data.inputs import duplicates, open_table
from autotrain.data.number_columns import read_numbers
from autotrain.data.numerals import Numeral
from autotrain.data.public_sets import read_openml, read_sklearn
from autotrain.data.reading import UNKNOWN, Reading
from autotrain.data.text_tables import read_text
from autotrain.errors import DataError, nearest
from autotrain.vocabulary import user_path

TARGET = "target"
"""Name of the target in formats that define one: sklearn:, NPZ, IDX."""
MANY_COLUMNS, FEW_ROWS = 64, 100_000
"""Bounds of a wide table. In others, the time for each column is small, or a copy is large."""


@dataclass(frozen=True)
class RawTable:
    """A table as it was read, before any row or column is dropped or encoded.

    Args:
        name: short name for display: the file's name without its endings.
        source: the source as the user gave it.
        frame: all columns including the target. Column names are unique strings.
        kind: "table", or "pixels" if all features are pixels of one image.
        target: name of the target if the format defines it, even if this table does not have the
            column; otherwise None.
        test_frame: the format's own test rows (x_test, or IDX test files), possibly without the
            target; otherwise None.
        notes: notices about the reading.
        is_from_text: whether it was a text file, in which words such as NA mean a missing cell.
        commas: meaning of commas in its numbers, see `Reading`.
        written: number format of each column that was text.
        has_header: whether the file itself has the column names.
    """

    name: str
    source: str
    frame: pd.DataFrame
    kind: str = "table"
    target: str | None = None
    test_frame: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()
    is_from_text: bool = False
    commas: str = ""
    written: Mapping[str, Numeral] = field(default_factory=dict)
    has_header: bool = True


def read_table(source: Any, reading: Reading = UNKNOWN) -> RawTable:
    """Read a table.

    Args:
        source: a path (.csv .tsv .txt, also .gz and .zst; .parquet .feather .npz, IDX files or
            their folder), "sklearn:NAME", "openml:ID", or a data frame.
        reading: the user's options, or the settings of the training table, for cells that are
            ambiguous.
    Raises:
        DataError: when the source is missing, unreadable, empty or of an unknown type.
    """
    if isinstance(source, RawTable):
        return source
    table = _read(source, reading)
    n_rows, n_columns = table.frame.shape
    if n_columns < MANY_COLUMNS or n_rows > FEW_ROWS or table.kind == "pixels":
        return table
    # The reader of a file puts every column into an array of its own. In a wide table, selecting
    # rows of thousands of arrays takes seconds. A copy has one array for each type.
    return replace(table, frame=table.frame.copy())


def _read(source: Any, reading: Reading) -> RawTable:
    """Read a table; see `read_table`."""
    if _is_in_memory(source):
        return _with_numbers(_named(RawTable("frame", "data frame", _as_pandas(source))), reading)
    if not isinstance(source, str | os.PathLike):
        raise DataError(
            "data must be a path, sklearn:NAME, openml:ID or a data frame (or columns or rows by "
            f"name), got {type(source).__name__}.",
            parameter="data",
        )
    text = os.fspath(source)
    scheme, colon, name = text.partition(":")
    if colon and scheme == "sklearn":
        return _named(RawTable(name, text, read_sklearn(name), target=TARGET))
    if colon and scheme == "openml":
        frame, target = read_openml(name)
        return _named(RawTable(f"openml-{name}", text, frame, target=target))
    table = _named(_read_path(user_path(text), text, reading))
    return table if table.is_from_text else _with_numbers(table, reading)


def _with_numbers(table: RawTable, reading: Reading) -> RawTable:
    """Convert the text columns of a typed table that contain formatted numbers."""
    if {"names", "header"} & {*reading.asked}:
        raise DataError(
            f"{table.source}: names and header must be omitted for a table with named columns. "
            "Remove them."
        )
    if table.kind != "table":
        return table
    frame = table.frame
    if reading.missing:
        words = {*reading.missing}
        texts = frame.select_dtypes(include=["object", "string"])
        frame = frame.assign(
            **{
                str(name): texts[name].where(~texts[name].map(lambda cell: _is_word(cell, words)))
                for name in texts
            }
        )
    read = read_numbers(frame, reading, table.source)
    return replace(
        table,
        frame=read.frame,
        notes=(*table.notes, *read.notes),
        commas=read.commas,
        written=read.written,
    )


def _is_word(cell: Any, words: Collection[str]) -> bool:
    return isinstance(cell, str) and cell.strip() in words


def _read_path(path: Path, text: str, reading: Reading) -> RawTable:
    if "://" in text:
        raise DataError(f"{text} must be a file, got a URL. Download it first: curl -LO {text}")
    if not path.exists():
        raise DataError(f"{text} does not exist.{_near_files(path)}")
    name = _short_name(path)
    if is_idx(path):
        frame, test_frame = read_idx(path)
        return RawTable(name, text, frame, "pixels", TARGET, test_frame)
    if path.is_dir():
        inside = sorted(entry.name for entry in path.iterdir())[:8]
        raise DataError(
            f"{text} must be a file, got "
            + (f"a folder that contains {', '.join(inside)}" if inside else "an empty folder")
            + ". Give a file, or a folder with IDX images (train-images-idx3-ubyte, …)."
        )
    if path.stat().st_size == 0:
        raise DataError(f"{text} must contain a table, but the file is empty (0 bytes).")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in (".gz", ".zst"):
        suffixes.pop()
    ending = suffixes[-1] if suffixes else ""
    if ending in _TEXTS:
        read = read_text(path, reading)
        return RawTable(
            name,
            text,
            read.frame,
            notes=tuple(read.notes),
            is_from_text=True,
            commas=read.commas,
            written=read.written,
            has_header=read.has_header,
        )
    reader = _READERS.get(ending)
    if reader is None:
        raise DataError(
            f"{text} must end in one of {', '.join((*_TEXTS, *_READERS))} (text also .gz or .zst) "
            f"or be an IDX file, got {''.join(path.suffixes[-2:]) or 'no ending'}. "
            "Save the table as CSV."
        )
    return reader(path, name, text)


def _read_npz(path: Path, name: str, text: str) -> RawTable:
    read = read_npz(path)
    kind = "pixels" if read.are_pixels else "table"
    return RawTable(name, text, read.frame, kind, TARGET, read.test_frame)


def _read_parquet(path: Path, name: str, text: str) -> RawTable:
    return RawTable(name, text, _read_arrow(path, _parquet, "Parquet"))


def _read_feather(path: Path, name: str, text: str) -> RawTable:
    return RawTable(name, text, _read_arrow(path, feather.read_table, "Feather"))


def _parquet(path: Path) -> pa.Table:
    # A folder such as "key=1" above the file must not become a column.
    return parquet.read_table(path, partitioning=None)


def _read_arrow(path: Path, read: Callable[[Path], pa.Table], kind: str) -> pd.DataFrame:
    try:
        return frame_of(read(path), str(path))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(
            f"{path} must be a {kind} file, but reading failed ({_first_line(error)}). "
            "Write it again."
        ) from None


_TEXTS = (".csv", ".tsv", ".txt", ".data")
_READERS: dict[str, Callable[[Path, str, str], RawTable]] = {
    ".parquet": _read_parquet,
    ".feather": _read_feather,
    ".npz": _read_npz,
}


def _named(table: RawTable) -> RawTable:
    """Strip all column names; refuse repeated names and tables without rows."""
    for frame in (table.frame, table.test_frame):
        if frame is None:
            continue
        names = [str(label).strip() for label in frame.columns]
        if len(set(names)) != len(names):
            raise DataError(duplicates(table.source, names))
        if names != list(frame.columns):
            frame.columns = pd.Index(names)
        if len(frame) == 0:
            raise DataError(
                f"{table.source} must have rows, got only a header of {len(names)} columns. "
                "Give a table with rows."
            )
    return table


def _is_in_memory(source: Any) -> bool:
    """Whether a source is a table of named columns of any library, or a list of rows."""
    if isinstance(source, np.ndarray):
        return source.dtype.names is not None
    if isinstance(source, list | tuple):
        return bool(source) and all(isinstance(row, Mapping) for row in source)
    has_columns = hasattr(source, "columns") and hasattr(source, "__getitem__")
    return has_columns or isinstance(source, Mapping)


def _as_pandas(frame: Any) -> pd.DataFrame:
    """Return a frame that may be renamed without changing the user's frame.

    Its columns keep their categories and time zones, and have native byte order.
    """
    if isinstance(frame, pd.DataFrame):
        return _in_native_order(_with_named_index(frame))
    if hasattr(frame, "__arrow_c_stream__") and not _holds_objects(frame):
        try:
            return frame_of(pa.table(frame), "the data frame")
        except pa.ArrowException:
            return _by_column(frame)  # a type that Arrow lacks, such as polars' Int128
    if isinstance(frame, Mapping | list | tuple | np.ndarray) or _holds_objects(frame):
        return _by_column(frame)
    if hasattr(frame, "to_pandas"):
        return _as_pandas(pd.DataFrame(frame.to_pandas()))
    raise DataError(f"data must be a data frame, got {type(frame).__name__}.", parameter="data")


def _holds_objects(frame: Any) -> bool:
    """Whether polars columns contain Python objects, for which Arrow would return addresses."""
    return "Object" in map(str, getattr(frame, "dtypes", ()))


def _by_column(frame: Any) -> pd.DataFrame:
    view = open_table(frame, ((),))
    return pd.DataFrame({name: view.column(name) for name in view.names})


def _with_named_index(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with its named index levels as columns, unless a column has the same name."""
    names = {str(label).strip() for label in frame.columns}
    levels = [
        place
        for place, name in enumerate(frame.index.names)
        if name is not None and str(name).strip() not in names
    ]
    if levels:
        frame = frame.reset_index(level=levels)
    return frame.reset_index(drop=True)


def _in_native_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame in native byte order, because pandas cannot select rows of other orders."""
    swapped = [
        place
        for place, dtype in enumerate(frame.dtypes)
        if isinstance(dtype, np.dtype) and not dtype.isnative
    ]
    if not swapped:
        return frame
    columns = [
        pd.Series(plain(frame.iloc[:, place])) if place in swapped else frame.iloc[:, place]
        for place in range(frame.shape[1])
    ]
    return pd.concat(columns, axis=1).set_axis(frame.columns, axis=1)


def _short_name(path: Path) -> str:
    name = path.resolve().name
    for ending in (".gz", ".zst", *_TEXTS, *_READERS):
        name = name[: -len(ending)] if name.lower().endswith(ending) else name
    return name


def _near_files(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f" The folder {folder} does not exist either."
    names = sorted(entry.name for entry in folder.iterdir())
    near = nearest(path.name, names)
    if near is not None:
        return f" Did you mean {folder / near}?"
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f" The folder {folder} contains {shown}." if names else f" The folder {folder} is empty."


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
