"""The fitted preprocessing, which needs only NumPy, so that a bundle has no other dependencies.

A `Preprocessor` is fitted by `fitting.py`: it has a median and scaler arrays per number, and the
levels per category. It encodes any table as the float32 matrix that the networks read, and is saved
as JSON (names, levels) and arrays (numbers). To add a kind of column, add a `ColumnCode` kind, its
branch in `Preprocessor.encode` and its fit in `fitting.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np

from autotrain.data.codes import ColumnCode, Columns, are_texts
from autotrain.data.inputs import TableView, open_table, require
from autotrain.data.numerals import Numeral, numbers_like
from autotrain.data.values import date_parts, day_of, days, texts
from autotrain.data.zones import wrong_zone
from autotrain.errors import COPY_AGAIN, BundleError, DataError
from autotrain.techniques.scalers import SCALERS
from autotrain.vocabulary import count_text

FILL = "fill"
CHUNK_CELLS = 1 << 20
"""Number of cells scaled in float64 at a time, so that memory stays bounded."""
CHUNK_ROWS = 1 << 16
"""Largest number of rows scaled at a time. A chunk of fewer rows has more columns."""


class Preprocessor:
    """Encode tables in the same way as the training table.

    The inputs have this order:

    1. scaled numbers, of which missing ones are replaced by the training median
    2. codes of embedded columns
    3. plain inputs: pixels, one-hot categories, and indicators of missing numbers

    Two levels share one input, which is −1 or 1. A level that is not in the training rows goes to
    the input of infrequent levels if the column has one; otherwise all its inputs are 0. The same
    holds for a missing cell if no cell was missing in training.

    Args:
        columns: the kept columns in the order of the training table.
        features: all columns of the training table except the target, kept or dropped.
        arrays: "fill", the medians `[S]` float64 of the scaled inputs in their order, and the
            arrays `[…, S]` of the scaler.
        scaler: name of a row of `SCALERS`.
    """

    def __init__(
        self,
        columns: tuple[ColumnCode, ...],
        features: tuple[str, ...],
        arrays: Mapping[str, np.ndarray],
        scaler: str = "standard",
    ) -> None:
        self.columns = columns
        self.features = features
        self.scaler = SCALERS[scaler]
        names = (FILL, *self.scaler.arrays)
        self._arrays = {name: np.asarray(arrays[name], dtype=np.float64) for name in names}
        n_scaled = sum(column.n_inputs for column in columns if column.is_scaled)
        for name, array in self._arrays.items():
            if not array.ndim or array.shape[-1] != n_scaled:
                raise BundleError(
                    f"preprocessing: {name} must have one entry per scaled input ({n_scaled}), "
                    f"got the shape {array.shape}. {COPY_AGAIN}"
                )
        self._starts, self._indicators = self._places()
        n_numeric = sum(c.n_inputs for c in columns if c.is_scaled and c.kind != "pixel")
        codes = tuple(c.n_codes for c in columns if c.is_code)
        self.input_columns = Columns(n_numeric, codes, self._n_inputs - n_numeric - len(codes))
        """The kinds of the D encoded columns."""

    def _places(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return each column's first input, and the input that indicates its missing cells."""
        numbers = [c for c in self.columns if c.is_scaled and c.kind != "pixel"]
        codes = [c for c in self.columns if c.is_code]
        others = [
            c for c in self.columns if not c.is_code and (not c.is_scaled or c.kind == "pixel")
        ]
        starts, start = {}, 0
        for column in (*numbers, *codes, *others):
            starts[column.name] = start
            start += column.n_inputs
        indicated = [column.name for column in self.columns if column.has_missing]
        self._n_inputs = start + len(indicated)
        return starts, dict(zip(indicated, range(start, self._n_inputs), strict=True))

    @property
    def column_names(self) -> tuple[str, ...]:
        """The raw columns that `encode` needs."""
        return tuple(column.name for column in self.columns)

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The raw columns that must be read as text from a text file, whatever they contain."""
        return tuple(column.name for column in self.columns if are_texts(column.levels))

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the D inputs."""
        names = [""] * self._n_inputs
        for column in self.columns:
            start = self._starts[column.name]
            names[start : start + column.n_inputs] = column.input_names
            if column.has_missing:
                names[self._indicators[column.name]] = f"{column.name}=(missing)"
        return tuple(names)

    @property
    def n_inputs(self) -> int:
        """D, the width of the encoded matrix."""
        return self._n_inputs

    def encode(
        self, data: Any, *, notices: list[str] | None = None, chunk_cells: int = CHUNK_CELLS
    ) -> np.ndarray:
        """Encode a table as the network's inputs.

        Args:
            data: a data frame, a mapping of column to values, a list of mappings, rows `[N, F]` in
                the order of the training table, or a view from `open_for_several`. Named columns
                may have any order.
            notices: receives notices about ignored columns, missing cells and unseen categories.
            chunk_cells: number of cells scaled at a time.
        Returns: float32 `[N, D]`, C-contiguous; N may be 0.
        Raises:
            DataError: when columns are missing, a number or date cannot be read, or a value is
                infinite or too large for float32.
        """
        view = data if isinstance(data, TableView) else self._open(data)
        extra = require(view, self.column_names)
        features = set(self.features)
        unknown = [name for name in extra if name not in features]
        if unknown and notices is not None:
            shown = ", ".join(unknown[:10]) + (", …" if len(unknown) > 10 else "")
            count = count_text(len(unknown), "column")
            notices.append(f"ignored {count} that the training table did not have: {shown}")
        encoded = np.zeros((view.n_rows, self.n_inputs), dtype=np.float32)
        first_scaled = 0
        # Adjacent columns of plain numbers are read together, which is faster.
        for is_number, run in groupby(self.columns, lambda column: column.is_number):
            columns = list(run)
            block = view.block([column.name for column in columns]) if is_number else None
            if block is not None:
                self._scale(block, encoded, first_scaled, columns, notices, chunk_cells)
                first_scaled += len(columns)
                continue
            for column in columns:
                if column.is_scaled:
                    read = self._numbers(view, column)
                    self._scale(read, encoded, first_scaled, [column], notices, chunk_cells)
                    first_scaled += column.n_inputs
                else:
                    self._categories(view, column, encoded, notices)
        return encoded

    def open_for_several(self, data: Any) -> TableView:
        """Return a view of a table that several preprocessors can encode without reading it again.

        This is for the folds of one study, whose preprocessors read the same columns. The view
        keeps the columns in memory.

        Raises:
            DataError: when `data` is not a table.
        """
        view = self._open(data)
        view.keeps = True
        return view

    def _open(self, data: Any) -> TableView:
        return open_table(data, (self.features, self.column_names))

    def _numbers(self, view: TableView, column: ColumnCode) -> np.ndarray:
        """Read a numeric or date column as float64 `[N, n_inputs]`."""
        read = self._read(view, column)
        if column.kind == "date":
            return date_parts(read, column.origin, column.parts)
        return read[:, None]

    def _read(self, view: TableView, column: ColumnCode) -> np.ndarray:
        """Read a numeric column as float64 `[N]`, or a date column as days since 1970."""
        known = Numeral.from_json(column.written)
        if column.kind == "date":
            reader: Any = partial(days, zone=column.zone)
            source = view.source
        else:
            reader, source = partial(numbers_like, known=known), view.column
        read, bad = view.once(
            (column.kind, column.zone, known, column.name),
            lambda: _checked(reader, source(column.name), column.name),
        )
        if bad is not None:
            values = view.column(column.name)
            if column.kind == "date" and day_of(values[bad]) is not None:
                raise DataError(
                    f"column {column.name!r}, row {bad + 1}: {wrong_zone(values[bad], column.zone)}"
                )
            wanted = "ISO dates such as 2024-01-31" if column.kind == "date" else "numbers"
            raise DataError(
                f"column {column.name!r} must contain {wanted}, got {_shown(values[bad])} in row "
                f"{bad + 1}. Correct the cell, or clear it if it is missing."
            )
        numbers: np.ndarray = read
        return numbers

    def _scale(
        self,
        block: np.ndarray,
        encoded: np.ndarray,
        first_scaled: int,
        columns: list[ColumnCode],
        notices: list[str] | None,
        chunk_cells: int,
    ) -> None:
        """Scale numbers `[N, P]` into the columns of `encoded` `[N, D]`."""
        width = block.shape[1]
        n_missing = np.zeros(width, dtype=np.int64)
        # Whole columns if possible, because a scaler prepares each column.
        n_rows = max(min(len(block), chunk_cells, CHUNK_ROWS), 1)
        # The inputs of a date, one column, stay together.
        n_columns = max(chunk_cells // n_rows, 1) if len(columns) == width else width
        for start, stop in _spans(width, n_columns):
            scaled = slice(first_scaled + start, first_scaled + stop)
            arrays = {name: array[..., scaled] for name, array in self._arrays.items()}
            own = columns[start:stop]
            for row, end in _spans(len(block), n_rows):
                part = slice(row, end), slice(start, stop)
                n_missing[start:stop] += self._scale_chunk(block, encoded, part, own, arrays)
        if notices is None:
            return
        # All parts of a date are missing together, so the first one is enough.
        for column, count in zip(columns, n_missing, strict=False):
            if count and not column.had_missing and column.kind != "pixel":
                notices.append(_none_missing(column, int(count)))

    def _scale_chunk(
        self,
        block: np.ndarray,
        encoded: np.ndarray,
        part: tuple[slice, slice],
        columns: list[ColumnCode],
        arrays: Mapping[str, np.ndarray],
    ) -> np.ndarray:
        """Scale a part of a block, and return the number of missing cells of its columns.

        Args:
            block, encoded: see `_scale`.
            part: rows and columns of the block.
            columns: the columns of the part.
            arrays: those of the scaler for the columns of the part.
        """
        rows, _ = part
        chunk = block[part].astype(np.float64)
        missing = np.isnan(chunk)
        for place, column in enumerate(columns):
            if column.has_missing:
                encoded[rows, self._indicators[column.name]] = missing[:, place]
        if missing.any():
            chunk = np.where(missing, arrays[FILL], chunk)
        # A bounded scaler would hide an infinite value.
        self._refuse_if(~np.isfinite(chunk), block, part, columns)
        # Only adjacent columns are scaled together; pixels start at another input.
        first = self._starts[columns[0].name]
        with np.errstate(over="ignore"):
            target = encoded[rows, first : first + chunk.shape[1]]
            target[:] = self.scaler.apply(chunk, arrays)
        self._refuse_if(~np.isfinite(target), block, part, columns)
        return missing.sum(axis=0)

    @staticmethod
    def _refuse_if(
        is_wrong: np.ndarray,
        block: np.ndarray,
        part: tuple[slice, slice],
        columns: list[ColumnCode],
    ) -> None:
        """Refuse the first cell of a part of a block that is wrong; see `_scale_chunk`."""
        if not is_wrong.any():
            return
        place_in_part = np.argwhere(is_wrong)[0]
        row, place = place_in_part + [each.start for each in part]
        value = block[row, place]
        name = columns[place_in_part[1]].name if len(columns) > 1 else columns[0].name
        what = "is infinite" if np.isinf(value) else "is too far from the training values"
        raise DataError(
            f"column {name!r} must contain finite numbers, got {value} in row {row + 1}, "
            f"which {what}. Correct the cell, or clear it if it is missing."
        )

    @staticmethod
    def _texts(view: TableView, column: ColumnCode) -> tuple[list[str | None], np.ndarray]:
        """Return the distinct texts of a column (None: missing), and each row's index `[N]`."""
        is_boolean = column.kind == "boolean"
        found: tuple[list[str | None], np.ndarray] = view.once(
            (texts, is_boolean, column.name),
            lambda: _checked(
                lambda values: texts(values, boolean=is_boolean),
                view.column(column.name),
                column.name,
            ),
        )
        return found

    def _categories(
        self,
        view: TableView,
        column: ColumnCode,
        encoded: np.ndarray,
        notices: list[str] | None,
    ) -> None:
        found, inverse = self._texts(view, column)
        places, other = column.places()
        place_of = np.array([places.get(text, other) for text in found], dtype=np.intp)
        place, first = place_of[inverse], self._starts[column.name]
        if column.is_code:
            encoded[:, first] = place
        else:
            rows = np.flatnonzero(place >= 0)
            encoded[rows, first + place[rows]] = 1.0
            if column.is_binary:
                is_first = np.array([places.get(text, 0) < 0 for text in found], dtype=bool)
                encoded[is_first[inverse], first] = -1.0
        if notices is not None and not column.has_infrequent:
            unseen = [index for index, text in enumerate(found) if text not in places]
            empty = [index for index in unseen if found[index] is None]
            unseen = [index for index in unseen if found[index] is not None]
            count = int(np.isin(inverse, unseen).sum())
            if count:
                shown = ", ".join(_shown(found[index]) for index in unseen[:3])
                notices.append(
                    f"column {column.name!r}: {count_text(count, 'cell')} with categories that are "
                    f"not in the training rows ({shown}{', …' if len(unseen) > 3 else ''})"
                )
            count = int(np.isin(inverse, empty).sum())
            if count:
                notices.append(_none_missing(column, count))

    def start_of(self, column: ColumnCode) -> int:
        """Return the index of a column's first input."""
        return self._starts[column.name]

    def indicator_of(self, column: ColumnCode) -> int:
        """Return the index of the input that is 1 where a column's cell is missing."""
        return self._indicators[column.name]

    def inputs_of(self, name: str) -> list[int]:
        """Return the indices of all inputs that come from a raw column; none for other columns."""
        found: list[int] = []
        for column in self.columns:
            if column.name == name:
                start = self._starts[name]
                found += range(start, start + column.n_inputs)
                found += [self._indicators[name]] if column.has_missing else []
        return found

    def raw_numbers(self, data: Any) -> np.ndarray:
        """Return the numbers before scaling, float64 `[N, P]`, NaN where missing.

        Dates are expanded to their parts.

        Raises:
            DataError: as `encode`.
        """
        view = self._open(data)
        require(view, self.column_names)
        scaled = [column for column in self.columns if column.is_scaled]
        parts = [self._numbers(view, column) for column in scaled]
        return np.concatenate([np.empty((view.n_rows, 0)), *parts], axis=1)

    def raw_texts(self, data: Any, names: Sequence[str]) -> dict[str, list[str | None]]:
        """Return text columns as `encode` reads them: one text per row, None where missing.

        Raises:
            DataError: as `encode`.
        """
        view = self._open(data)
        require(view, self.column_names)
        found: dict[str, list[str | None]] = {}
        for name in names:
            (column,) = (each for each in self.columns if each.name == name)
            levels, inverse = self._texts(view, column)
            found[name] = [levels[place] for place in inverse]
        return found

    def cells(self, data: Any, name: str) -> np.ndarray:
        """Return one column `[N]` as `encode` reads it.

        Returns: float64 numbers, NaN where missing; datetime64 in seconds for dates; otherwise
            texts, None where missing.
        Raises:
            DataError: as `encode`.
        """
        view = self._open(data)
        require(view, self.column_names)
        (column,) = (each for each in self.columns if each.name == name)
        if not column.is_scaled:
            found, inverse = self._texts(view, column)
            return np.array(found, dtype=object)[inverse]
        read = self._read(view, column)
        if column.kind != "date":
            return read
        seconds = np.where(np.isnan(read), 0, np.rint(read * 86_400)).astype("datetime64[s]")
        return np.where(np.isnan(read), np.datetime64("NaT", "s"), seconds)

    def typical_numbers(self, z: np.ndarray) -> np.ndarray:
        """Return typical numbers of the training table, `[N, P]` as `raw_numbers` returns them.

        Args:
            z: `[N, P]` distances from the column's center in standard deviations, in (−3, 3).
        """
        return self.scaler.typical(z, self._arrays)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return "fill", medians `[S]` float64, and the arrays `[…, S]` of the scaler."""
        return {name: array.copy() for name, array in self._arrays.items()}

    def to_json(self) -> dict[str, Any]:
        """Return everything except the arrays as JSON: columns, kinds, dtypes and levels."""
        return {
            "scaler": self.scaler.name,
            "shapes": {name: list(array.shape) for name, array in self._arrays.items()},
            "features": list(self.features),
            "columns": [column.to_json() for column in self.columns],
        }

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Preprocessor:
        """Return the preprocessor from the results of `to_json` and `to_arrays`.

        Raises:
            BundleError: when the parts are incomplete, or an array has not one entry `[…, S]` per
                scaled input.
        """
        try:
            columns = tuple(ColumnCode.from_json(column) for column in parts["columns"])
            features = tuple(parts["features"])
            return cls(columns, features, arrays, parts["scaler"])
        except (KeyError, TypeError) as error:
            raise BundleError(
                "preprocessing must have columns, features, a scaler and its arrays, "
                f"got an invalid entry: {error}. {COPY_AGAIN}"
            ) from None


def _spans(total: int, step: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of consecutive parts."""
    for start in range(0, total, step):
        yield start, min(start + step, total)


def _none_missing(column: ColumnCode, count: int) -> str:
    cells = count_text(count, "cell")
    return f"column {column.name!r}: {cells} missing, but no cell was missing in training"


def array_shapes(parts: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every array that the result of `to_json` describes.

    Raises:
        KeyError, TypeError or ValueError: when the description is invalid.
    """
    shapes = {}
    for name in (FILL, *SCALERS[parts["scaler"]].arrays):
        shape = parts["shapes"][name]
        if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape):
            raise ValueError(f"preprocessing: shape {shape!r} of {name}")
        shapes[name] = tuple(shape)
    return shapes


def _checked(reader: Any, values: np.ndarray, name: str) -> Any:
    try:
        return reader(values)
    except TypeError:
        raise DataError(
            f"column {name!r} must have one number, text or date in every cell, got lists or other "
            "objects. Put each of their parts into a separate column."
        ) from None


def _shown(cell: Any) -> str:
    text = repr(cell.item() if isinstance(cell, np.generic) else cell)
    return text if len(text) <= 60 else text[:57] + "…"
