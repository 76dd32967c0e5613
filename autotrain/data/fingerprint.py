"""Fingerprint of a table, which depends only on its cells, column names and types."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from autotrain.data.arrays import plain

ROWS_AT_ONCE = 65_536


def fingerprint(frames: list[pd.DataFrame], target: str, rows_at_once: int = ROWS_AT_ONCE) -> str:
    """Return the SHA-256 of the tables' content and the name of the target.

    Paths, the row index, compression and file type have no influence: a CSV file and its Parquet
    copy have the same fingerprint if the types are the same.
    """
    digest = hashlib.sha256()
    digest.update(repr(("autotrain table 1", target, len(frames))).encode())
    for frame in frames:
        digest.update(repr((frame.shape, [str(name) for name in frame.columns])).encode())
        for place in range(frame.shape[1]):
            column = frame.iloc[:, place]
            # The fingerprint uses durations in their own unit, but `plain` returns seconds.
            is_duration = isinstance(column.dtype, np.dtype) and column.dtype.kind == "m"
            _add(digest, column.to_numpy() if is_duration else plain(column), rows_at_once)
    return digest.hexdigest()


def _add(digest: Any, values: np.ndarray, rows_at_once: int) -> None:
    if values.dtype.kind in "mM":
        values = values.astype(f"{values.dtype.kind}8[us]").astype(np.int64)
    if values.dtype.kind in "biuf":
        digest.update(values.dtype.str.encode())
        digest.update(np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).data)
        return
    digest.update(b"texts")
    for start in range(0, len(values), rows_at_once):
        # The lengths distinguish "ab", "c" from "a", "bc"; the types distinguish 1 from "1".
        cells = [
            cell if type(cell) is str else f"\0{type(cell).__name__}{cell}"
            for cell in values[start : start + rows_at_once].tolist()
        ]
        digest.update(np.fromiter(map(len, cells), "<i8", len(cells)).tobytes())
        digest.update("".join(cells).encode("utf-8", "surrogatepass"))
