"""The fitted preprocessing as plain numbers and texts; NumPy only, so that a bundle needs no more.

`Preprocessor` is what `fitting.py` writes down from scikit-learn's fitted objects: per column a
median, mean and scale, or levels. It encodes any table to the float32 matrix the networks take, and
goes to disk as JSON (names, levels) and arrays (numbers). A new kind of column is a `ColumnCode`
kind with its branch in `Preprocessor.encode` and its fit in `fitting.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import numpy as np

from autotrain.data.codes import ColumnCode
from autotrain.data.inputs import TableView, open_table, require
from autotrain.data.values import date_parts, days, numbers, texts
from autotrain.errors import BundleError, DataError
from autotrain.wording import count_text

FORMAT = 1
ARRAYS = ("fill", "mean", "scale")
CHUNK_CELLS = 1 << 20
"""Numbers are scaled in float64 this many cells at a time, so that memory stays bounded."""


class Preprocessor:
    """Encode tables as the training table was encoded.

        z = (x - mean) / scale,  a missing x first becomes the training median

    A category gives one 1 among zeros; two levels share one input. A level that training never saw
    (and a missing cell, when training saw none) goes to the input of infrequent levels when there
    is one, otherwise to zeros; for two levels that is the first level's code.

    Args:
        columns: the kept columns in the order of the training table.
        features: all columns of the training table without the target, kept or dropped.
        arrays: "fill", "mean", "scale": float64 `[S]`, one entry per scaled input, in input order.
    """

    def __init__(
        self,
        columns: tuple[ColumnCode, ...],
        features: tuple[str, ...],
        arrays: Mapping[str, np.ndarray],
    ) -> None:
        self.columns = columns
        self.features = features
        self._arrays = {name: np.asarray(arrays[name], dtype=np.float64) for name in ARRAYS}
        n_scaled = sum(column.n_inputs for column in columns if column.is_scaled)
        for name, array in self._arrays.items():
            if array.shape != (n_scaled,):
                raise BundleError(
                    f"preprocessing: {name} must have one entry per scaled input ({n_scaled}), "
                    f"however: its shape is {array.shape}. Export the bundle again."
                )

    @property
    def column_names(self) -> tuple[str, ...]:
        """The raw columns that `encode` needs."""
        return tuple(column.name for column in self.columns)

    @property
    def input_names(self) -> tuple[str, ...]:
        """A name for each of the D inputs."""
        return tuple(name for column in self.columns for name in column.input_names)

    @property
    def n_inputs(self) -> int:
        """D, the width of the encoded matrix."""
        return sum(column.n_inputs for column in self.columns)

    def encode(self, data: Any, *, notices: list[str] | None = None) -> np.ndarray:
        """Turn a table into the network's inputs.

        Args:
            data: a data frame, a mapping of column to values, a list of mappings, or rows `[N, F]`
                in the order of the training table. Order of named columns is free.
            notices: receives a sentence about ignored columns and about unseen categories.
        Returns: float32 `[N, D]`, C-contiguous; N may be 0.
        Raises: DataError when columns are missing, a number or date cannot be read, or a value is
            infinite or too far away for float32.
        """
        view = open_table(data, (self.features, self.column_names))
        extra = require(view, self.column_names)
        unknown = [name for name in extra if name not in set(self.features)]
        if unknown and notices is not None:
            shown = ", ".join(unknown[:10]) + (", …" if len(unknown) > 10 else "")
            count = count_text(len(unknown), "column")
            notices.append(f"ignored {count} that training did not have: {shown}")
        encoded = np.zeros((view.n_rows, self.n_inputs), dtype=np.float32)
        first = first_scaled = 0
        for is_number, run in groupby(self.columns, lambda column: column.is_number):
            columns = list(run)
            block = view.block([column.name for column in columns]) if is_number else None
            if block is not None:
                self._scale(block, encoded, first, first_scaled, columns)
                first += len(columns)
                first_scaled += len(columns)
                continue
            for column in columns:
                if column.is_scaled:
                    read = self._numbers(view, column)
                    self._scale(read, encoded, first, first_scaled, [column])
                    first_scaled += column.n_inputs
                else:
                    self._one_hot(view, column, encoded, first, notices)
                first += column.n_inputs
        return encoded

    def _numbers(self, view: TableView, column: ColumnCode) -> np.ndarray:
        """Read a numeric or date column as float64 `[N, n_inputs]`."""
        values = view.column(column.name)
        read, bad = _checked(days if column.kind == "date" else numbers, values, column.name)
        if bad is not None:
            wanted = "ISO dates such as 2024-01-31" if column.kind == "date" else "numbers"
            raise DataError(
                f"column {column.name!r}: expected {wanted}, however: row {bad + 1} holds "
                f"{_shown(values[bad])}. Mend the cell, or leave it empty when it is missing."
            )
        if column.kind == "date":
            return date_parts(read, column.origin, column.parts)
        return read[:, None]

    def _scale(
        self,
        block: np.ndarray,
        encoded: np.ndarray,
        first: int,
        first_scaled: int,
        columns: list[ColumnCode],
    ) -> None:
        width = block.shape[1]
        fill, mean, scale = (
            self._arrays[name][first_scaled : first_scaled + width] for name in ARRAYS
        )
        step = max(1, CHUNK_CELLS // max(1, width))
        for start in range(0, len(block), step):
            chunk = block[start : start + step].astype(np.float64)
            missing = np.isnan(chunk)
            if missing.any():
                chunk = np.where(missing, fill, chunk)
            chunk -= mean
            with np.errstate(over="ignore"):
                chunk /= scale
                target = encoded[start : start + step, first : first + width]
                target[:] = chunk
            if not np.isfinite(target).all():
                row, place = np.argwhere(~np.isfinite(target))[0]
                self._refuse(block, start + int(row), int(place), columns)

    def _refuse(self, block: np.ndarray, row: int, place: int, columns: list[ColumnCode]) -> None:
        value = block[row, place]
        name = columns[place].name if len(columns) > 1 else columns[0].name
        what = "is infinite" if np.isinf(value) else "is too far from the training values"
        raise DataError(
            f"column {name!r}: expected finite numbers, however: row {row + 1} holds {value}, "
            f"which {what}. Mend the cell, or leave it empty when it is missing."
        )

    def _one_hot(
        self,
        view: TableView,
        column: ColumnCode,
        encoded: np.ndarray,
        first: int,
        notices: list[str] | None,
    ) -> None:
        found, inverse = _checked(
            lambda values: texts(values, boolean=column.kind == "boolean"),
            view.column(column.name),
            column.name,
        )
        places, other = column.places()
        place_of = np.array([places.get(text, other) for text in found], dtype=np.intp)
        place = place_of[inverse]
        rows = np.flatnonzero(place >= 0)
        encoded[rows, first + place[rows]] = 1.0
        if notices is not None and not column.has_infrequent:
            unseen = [index for index, text in enumerate(found) if text not in places]
            empty = [index for index in unseen if found[index] is None]
            unseen = [index for index in unseen if found[index] is not None]
            count = int(np.isin(inverse, unseen).sum())
            if count:
                shown = ", ".join(_shown(found[index]) for index in unseen[:3])
                notices.append(
                    f"column {column.name!r}: training never saw the categories of "
                    f"{count_text(count, 'cell')} ({shown}{', …' if len(unseen) > 3 else ''})"
                )
            count = int(np.isin(inverse, empty).sum())
            if count:
                notices.append(
                    f"column {column.name!r}: {count_text(count, 'cell')} missing, where training "
                    "had none missing"
                )

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the fitted numbers: "fill" (medians), "mean", "scale", float64 `[S]` each."""
        return {name: array.copy() for name, array in self._arrays.items()}

    def to_json(self) -> dict[str, Any]:
        """Return everything else as JSON: columns, kinds, dtypes, levels."""
        return {
            "format": FORMAT,
            "features": list(self.features),
            "columns": [column.to_json() for column in self.columns],
        }

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Preprocessor:
        """Build the preprocessor that `to_json` and `to_arrays` wrote down.

        Raises: BundleError when the parts are incomplete or of another format.
        """
        if parts.get("format") != FORMAT:
            raise BundleError(
                f"preprocessing: expected format {FORMAT}, however: {parts.get('format')!r}. "
                "Use the version of autotrain that wrote the bundle."
            )
        try:
            columns = tuple(ColumnCode.from_json(column) for column in parts["columns"])
            return cls(columns, tuple(parts["features"]), {name: arrays[name] for name in ARRAYS})
        except (KeyError, TypeError) as error:
            raise BundleError(
                f"preprocessing: expected columns, features and the arrays {', '.join(ARRAYS)}, "
                f"however: {error}. Export the bundle again."
            ) from None


def _checked(reader: Any, values: np.ndarray, name: str) -> Any:
    try:
        return reader(values)
    except TypeError:
        raise DataError(
            f"column {name!r}: expected one number, text or date in every cell, however: some hold "
            "lists or other objects. Give each its own column."
        ) from None


def _shown(cell: Any) -> str:
    text = repr(cell.item() if isinstance(cell, np.generic) else cell)
    return text if len(text) <= 60 else text[:57] + "…"
