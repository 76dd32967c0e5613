"""The fitted preprocessing as plain numbers and texts; NumPy only, so that a bundle needs no more.

`Preprocessor` is what `fitting.py` writes down: per number a median and what its scaler found, per
category its levels. It encodes any table to the float32 matrix the networks take, and goes to disk
as JSON (names, levels) and arrays (numbers). A new kind of column is a `ColumnCode` kind with its
branch in `Preprocessor.encode` and its fit in `fitting.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from autotrain.data.codes import ColumnCode, are_texts
from autotrain.data.inputs import TableView, open_table, require
from autotrain.data.numerals import Numeral, numbers_like
from autotrain.data.values import date_parts, day_of, days, texts
from autotrain.data.zones import wrong_zone
from autotrain.errors import COPY_AGAIN, BundleError, DataError
from autotrain.techniques.scalers import QUANTILES_TO_ENDS, SCALERS, Scaler
from autotrain.vocabulary import count_text

FORMAT = 4
OLDER_FORMATS = {2: {QUANTILES_TO_ENDS.name: QUANTILES_TO_ENDS}, 3: {}}
"""What is still read, and the scalers that were others then."""
FIRST_SIGNED_FORMAT = 3
"""Before, the one input of two levels was 0 or 1."""
FIRST_EXACT_HOUR_FORMAT = 4
"""Before, hours were off by the rounding of days, which a scaler of many equal hours made large."""
FIRST_WITH_GAPS_FORMAT = 4
"""Before, it was not written down which numbers had been missing."""
FILL = "fill"
CHUNK_CELLS = 1 << 20
"""Numbers are scaled in float64 this many cells at a time, so that memory stays bounded."""


class Kinds(NamedTuple):
    """How many of the encoded columns are numbers, codes and plain, in this order.

    `levels` are the codes that each column of codes may hold.
    """

    n_numeric: int
    levels: tuple[int, ...]
    n_plain: int


class Preprocessor:
    """Encode tables as the training table was encoded.

    Numbers come first, scaled; a missing one first becomes the training median. Then the codes of
    columns that are to be embedded. Then what a network reads as it is: pixels, a 1 among zeros for
    each category, a 1 where a number was missing. Two levels share one input, which is −1 or 1. A
    level that training never saw (and a missing cell, when training saw none) goes to the input of
    infrequent levels when there is one, otherwise to zeros.

    Args:
        columns: the kept columns in the order of the training table.
        features: all columns of the training table without the target, kept or dropped.
        arrays: "fill", medians float64 `[S]`, one entry per scaled input, in input order; and what
            the scaler found, `[…, S]`.
        scaler: a row of `SCALERS`.
        format: the one it was written in; what it then meant, it goes on to mean.
    """

    def __init__(
        self,
        columns: tuple[ColumnCode, ...],
        features: tuple[str, ...],
        arrays: Mapping[str, np.ndarray],
        scaler: str = "standard",
        format: int = FORMAT,
    ) -> None:
        self.columns = columns
        self.features = features
        self.format = format
        older: Mapping[str, Scaler] = OLDER_FORMATS.get(format, {})
        self.scaler = older[scaler] if scaler in older else SCALERS[scaler]
        names = (FILL, *self.scaler.arrays)
        self._arrays = {name: np.asarray(arrays[name], dtype=np.float64) for name in names}
        n_scaled = sum(column.n_inputs for column in columns if column.is_scaled)
        for name, array in self._arrays.items():
            if not array.ndim or array.shape[-1] != n_scaled:
                raise BundleError(
                    f"preprocessing: {name} must have one entry per scaled input ({n_scaled}), "
                    f"however: its shape is {array.shape}. {COPY_AGAIN}"
                )
        self._starts, self._indicators = self._places()

    def _places(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return where each column's inputs start, and where what says that it is missing is."""
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
    def kinds(self) -> Kinds:
        """What the encoded columns are."""
        n_numeric = sum(c.n_inputs for c in self.columns if c.is_scaled and c.kind != "pixel")
        levels = tuple(c.n_codes for c in self.columns if c.is_code)
        return Kinds(n_numeric, levels, self._n_inputs - n_numeric - len(levels))

    @property
    def column_names(self) -> tuple[str, ...]:
        """The raw columns that `encode` needs."""
        return tuple(column.name for column in self.columns)

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The raw columns that a reader of a text file must take for texts, whatever they hold."""
        return tuple(column.name for column in self.columns if are_texts(column.levels))

    @property
    def input_names(self) -> tuple[str, ...]:
        """A name for each of the D inputs."""
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

    def encode(self, data: Any, *, notices: list[str] | None = None) -> np.ndarray:
        """Turn a table into the network's inputs.

        Args:
            data: a data frame, a mapping of column to values, a list of mappings, or rows `[N, F]`
                in the order of the training table. Order of named columns is free. Or a view of
                one of these: see `open_for_several`.
            notices: receives a sentence about ignored columns and about unseen categories.
        Returns: float32 `[N, D]`, C-contiguous; N may be 0.
        Raises: DataError when columns are missing, a number or date cannot be read, or a value is
            infinite or too far away for float32.
        """
        view = data if isinstance(data, TableView) else self._open(data)
        extra = require(view, self.column_names)
        features = set(self.features)
        unknown = [name for name in extra if name not in features]
        if unknown and notices is not None:
            shown = ", ".join(unknown[:10]) + (", …" if len(unknown) > 10 else "")
            count = count_text(len(unknown), "column")
            notices.append(f"ignored {count} that training did not have: {shown}")
        encoded = np.zeros((view.n_rows, self.n_inputs), dtype=np.float32)
        first_scaled = 0
        # Neighbouring columns of plain numbers are read together.
        for is_number, run in groupby(self.columns, lambda column: column.is_number):
            columns = list(run)
            block = view.block([column.name for column in columns]) if is_number else None
            if block is not None:
                self._scale(block, encoded, first_scaled, columns, notices)
                first_scaled += len(columns)
                continue
            for column in columns:
                if column.is_scaled:
                    read = self._numbers(view, column)
                    self._scale(read, encoded, first_scaled, [column], notices)
                    first_scaled += column.n_inputs
                else:
                    self._categories(view, column, encoded, notices)
        return encoded

    def open_for_several(self, data: Any) -> TableView:
        """Return a view of a table from which each cell is read once, whoever encodes it.

        For the preprocessors of one study's folds, which differ in what was fitted and in their
        encodings. The view keeps what it read.

        Raises: DataError when `data` is no table.
        """
        view = self._open(data)
        view.keeps = True
        return view

    def _open(self, data: Any) -> TableView:
        return open_table(data, (self.features, self.column_names))

    def _numbers(self, view: TableView, column: ColumnCode) -> np.ndarray:
        """Read a numeric or date column as float64 `[N, n_inputs]`."""
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
                f"column {column.name!r}: expected {wanted}, however: row {bad + 1} holds "
                f"{_shown(values[bad])}. Mend the cell, or leave it empty when it is missing."
            )
        if column.kind == "date":
            is_exact = self.format >= FIRST_EXACT_HOUR_FORMAT
            return date_parts(read, column.origin, column.parts, exact_hours=is_exact)
        return read[:, None]

    def _scale(
        self,
        block: np.ndarray,
        encoded: np.ndarray,
        first_scaled: int,
        columns: list[ColumnCode],
        notices: list[str] | None,
    ) -> None:
        width = block.shape[1]
        n_missing = np.zeros(width, dtype=np.int64)
        scaled = slice(first_scaled, first_scaled + width)
        arrays = {name: array[..., scaled] for name, array in self._arrays.items()}
        # Columns of a run stand side by side, but pixels stand behind.
        first = self._starts[columns[0].name]
        indicated = [
            (place, self._indicators[column.name])
            for place, column in enumerate(columns)
            if column.has_missing
        ]
        step = max(1, CHUNK_CELLS // max(1, width))
        for start in range(0, len(block), step):
            chunk = block[start : start + step].astype(np.float64)
            missing = np.isnan(chunk)
            n_missing += missing.sum(axis=0)
            for place, indicator in indicated:
                encoded[start : start + step, indicator] = missing[:, place]
            if missing.any():
                chunk = np.where(missing, arrays[FILL], chunk)
            self._refuse_infinite(chunk, block, start, columns)
            with np.errstate(over="ignore"):
                target = encoded[start : start + step, first : first + width]
                target[:] = self.scaler.apply(chunk, arrays)
            if not np.isfinite(target).all():
                row, place = np.argwhere(~np.isfinite(target))[0]
                self._refuse(block, start + int(row), int(place), columns)
        if notices is None or self.format < FIRST_WITH_GAPS_FORMAT:
            return
        # Of a date all parts are missing at once.
        for column, count in zip(columns, n_missing, strict=False):
            if count and not column.had_missing and column.kind != "pixel":
                notices.append(_none_missing(column, int(count)))

    def _refuse_infinite(
        self, chunk: np.ndarray, block: np.ndarray, start: int, columns: list[ColumnCode]
    ) -> None:
        # A scaler that levels off would hide it.
        if not np.isfinite(chunk).all():
            row, place = np.argwhere(~np.isfinite(chunk))[0]
            self._refuse(block, start + int(row), int(place), columns)

    def _refuse(self, block: np.ndarray, row: int, place: int, columns: list[ColumnCode]) -> None:
        value = block[row, place]
        name = columns[place].name if len(columns) > 1 else columns[0].name
        what = "is infinite" if np.isinf(value) else "is too far from the training values"
        raise DataError(
            f"column {name!r}: expected finite numbers, however: row {row + 1} holds {value}, "
            f"which {what}. Mend the cell, or leave it empty when it is missing."
        )

    @staticmethod
    def _texts(view: TableView, column: ColumnCode) -> tuple[list[str | None], np.ndarray]:
        """Return the different texts of a column, None for the missing cell, and each row's."""
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
            if column.is_binary and self.format >= FIRST_SIGNED_FORMAT:
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
                    f"column {column.name!r}: training never saw the categories of "
                    f"{count_text(count, 'cell')} ({shown}{', …' if len(unseen) > 3 else ''})"
                )
            count = int(np.isin(inverse, empty).sum())
            if count:
                notices.append(_none_missing(column, count))

    def start_of(self, column: ColumnCode) -> int:
        """Return the place of a column's first input."""
        return self._starts[column.name]

    def indicator_of(self, column: ColumnCode) -> int:
        """Return the place of the input that is 1 where a column's cell is missing."""
        return self._indicators[column.name]

    def raw_numbers(self, data: Any) -> np.ndarray:
        """Return the numbers that are scaled, as they are: float64 `[N, P]`, NaN where missing.

        Dates come as their parts. Raises: DataError as `encode`.
        """
        view = self._open(data)
        require(view, self.column_names)
        scaled = [column for column in self.columns if column.is_scaled]
        parts = [self._numbers(view, column) for column in scaled]
        return np.concatenate([np.empty((view.n_rows, 0)), *parts], axis=1)

    def raw_texts(self, data: Any, names: Sequence[str]) -> dict[str, list[str | None]]:
        """Return columns of texts as `encode` reads them: one text a row, None where missing.

        Raises: DataError as `encode`.
        """
        view = self._open(data)
        require(view, self.column_names)
        found: dict[str, list[str | None]] = {}
        for name in names:
            (column,) = (each for each in self.columns if each.name == name)
            levels, inverse = self._texts(view, column)
            found[name] = [levels[place] for place in inverse]
        return found

    def typical_numbers(self, z: np.ndarray) -> np.ndarray:
        """Return numbers `[N, P]` as `raw_numbers` gives them, such as training had.

        Args:
            z: `[N, P]` how many standard deviations from the column's center, within (−3, 3).
        """
        return self.scaler.typical(z, self._arrays)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the fitted numbers: "fill" (medians) and what the scaler found, float64."""
        return {name: array.copy() for name, array in self._arrays.items()}

    def to_json(self) -> dict[str, Any]:
        """Return everything else as JSON: columns, kinds, dtypes, levels."""
        return {
            "format": self.format,
            "scaler": self.scaler.name,
            "shapes": {name: list(array.shape) for name, array in self._arrays.items()},
            "features": list(self.features),
            "columns": [column.to_json() for column in self.columns],
        }

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Preprocessor:
        """Build the preprocessor that `to_json` and `to_arrays` wrote down.

        Raises: BundleError when the parts are incomplete or of another format.
        """
        if parts.get("format") not in (FORMAT, *OLDER_FORMATS):
            raise BundleError(
                f"preprocessing: expected format {FORMAT}, however: {parts.get('format')!r}. "
                "Use the version of autotrain that wrote the bundle."
            )
        try:
            columns = tuple(ColumnCode.from_json(column) for column in parts["columns"])
            features = tuple(parts["features"])
            return cls(columns, features, arrays, parts["scaler"], parts["format"])
        except (KeyError, TypeError) as error:
            raise BundleError(
                "preprocessing: expected columns, features, a scaler and its arrays, "
                f"however: {error}. {COPY_AGAIN}"
            ) from None


def _none_missing(column: ColumnCode, count: int) -> str:
    cells = count_text(count, "cell")
    return f"column {column.name!r}: {cells} missing, where training had none missing"


def array_shapes(parts: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every array that `to_json` speaks of.

    Raises: KeyError, TypeError or ValueError when it does not say so properly.
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
            f"column {name!r}: expected one number, text or date in every cell, however: some hold "
            "lists or other objects. Give each its own column."
        ) from None


def _shown(cell: Any) -> str:
    text = repr(cell.item() if isinstance(cell, np.generic) else cell)
    return text if len(text) <= 60 else text[:57] + "…"
