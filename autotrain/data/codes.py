"""Codes: the conversion of raw columns to encoded columns, as data that JSON can store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from autotrain.data.values import DATE_PARTS, number_of, text_of
from autotrain.data.zones import AS_WRITTEN, is_zone

FARTHEST_DAY = 5_000_000
"""Largest accepted distance from 1970 in days; every date that can be written is nearer."""


@dataclass(frozen=True)
class Columns:
    """Kinds of the columns of encoded rows, in this order.

    Args:
        n_numeric: number of numeric columns, which can be embedded.
        levels: number of levels of each column of codes, which are embedded.
        n_plain: number of other columns, which are inputs without any change.
    """

    n_numeric: int
    levels: tuple[int, ...]
    n_plain: int

    @property
    def n_codes(self) -> int:
        """Number of columns of codes."""
        return len(self.levels)

    @property
    def width(self) -> int:
        """Number of all columns."""
        return self.n_numeric + self.n_codes + self.n_plain

    @classmethod
    def plain(cls, n: int) -> Columns:
        """Return `n` plain columns."""
        return cls(0, (), n)


@dataclass(frozen=True)
class ColumnCode:
    """The encoding of one column.

    Args:
        name: the column's name in the training table.
        kind: "numeric", "pixel", "date", "categorical" or "boolean".
        dtype: the column's type in the training table, for display.
        levels: categorical and boolean: the texts that have their own input, in the order of the
            inputs. None is the missing cell.
        has_infrequent: whether one more input is shared by all other texts, seen in training or
            not.
        is_binary: whether two levels share one input, −1 for the first level and 1 for the second.
        parts: date: the numbers that it is expanded to, names of `values.DATE_PARTS`.
        origin: date: the earliest training date, days since 1970-01-01.
        is_code: whether the column is one number, the index of its level in `levels`. All other
            texts share one more code.
        has_missing: numeric and date: whether one more input is 1 where the value is missing.
        had_missing: numeric and date: whether values were missing in training. If not, missing
            values in another table cause a notice.
        zone: date: the time zone of the training column's times, see `zones.py`.
        written: numeric: the number format of the training table, as `Numeral.to_json` returns it;
            empty for plain numbers.
    """

    name: str
    kind: str
    dtype: str
    levels: tuple[str | None, ...] = ()
    has_infrequent: bool = False
    is_binary: bool = False
    parts: tuple[str, ...] = ()
    origin: float = 0.0
    is_code: bool = False
    has_missing: bool = False
    had_missing: bool = False
    zone: str = AS_WRITTEN
    written: tuple[str, ...] = ()

    @property
    def is_number(self) -> bool:
        """Whether the column is one scaled number."""
        return self.kind in ("numeric", "pixel")

    @property
    def is_scaled(self) -> bool:
        """Whether its inputs are numbers with median, mean and scale."""
        return self.is_number or self.kind == "date"

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs: the column, "column=level" or "column.part"."""
        if self.is_number or self.is_code:
            return (self.name,)
        if self.kind == "date":
            return tuple(f"{self.name}.{part}" for part in self.parts)
        levels = ["(missing)" if level is None else level for level in self.levels]
        names = [f"{self.name}={level}" for level in levels[1 if self.is_binary else 0 :]]
        return tuple(names + ([f"{self.name}=(other)"] if self.has_infrequent else []))

    @property
    def n_inputs(self) -> int:
        """Number of inputs of this column, without the one for missing values."""
        # Wide tables have thousands of columns of numbers, for which no list is made.
        return 1 if self.is_number or self.is_code else len(self.input_names)

    @property
    def n_codes(self) -> int:
        """Number of codes if `is_code`: one for each level, and one for all other texts."""
        return len(self.levels) + 1

    def places(self) -> tuple[dict[str | None, int], int]:
        """Return the input that each level sets (-1: no input), and the input of any other text.

        Booleans are found in every spelling.
        """
        places = with_spellings(
            {level: place - self.is_binary for place, level in enumerate(self.levels)}
        )
        return places, len(self.levels) if self.has_infrequent or self.is_code else -1

    def to_json(self) -> dict[str, Any]:
        """Return the fields that differ from their default, which keeps 784 pixels readable."""
        always = ("name", "dtype")  # a name may be empty
        # `asdict` copies every value, which takes seconds for the members of a wide table.
        values = {name: getattr(self, name) for name in _IS_VALUE}
        kept = {name: value for name, value in values.items() if value or name in always}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in kept.items()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> ColumnCode:
        """Return the column from the result of `to_json`.

        Raises:
            TypeError: when a field is missing or unknown, or has a value of a wrong type.
        """
        read: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in fields.items()
        }
        code = cls(**read)
        # The values of all other fields are the defaults.
        wrong = [name for name in read if not _IS_VALUE[name](read[name])]
        if wrong:
            raise TypeError(f"{wrong[0]} {fields[wrong[0]]!r}"[:200])
        return code


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_IS_VALUE: Mapping[str, Callable[[Any], bool]] = {
    "name": _is_text,
    "kind": lambda value: value in ("numeric", "pixel", "date", "categorical", "boolean"),
    "dtype": _is_text,
    "levels": lambda value: (
        isinstance(value, tuple) and all(level is None or _is_text(level) for level in value)
    ),
    "has_infrequent": _is_bool,
    "is_binary": _is_bool,
    "parts": lambda value: isinstance(value, tuple) and all(part in DATE_PARTS for part in value),
    "origin": lambda value: isinstance(value, int | float) and abs(value) <= FARTHEST_DAY,
    "is_code": _is_bool,
    "has_missing": _is_bool,
    "had_missing": _is_bool,
    "zone": is_zone,
    "written": lambda value: isinstance(value, tuple) and all(map(_is_text, value)),
}
"""Check of each field, because the file of a bundle may contain anything."""


def are_texts(levels: Iterable[Any]) -> bool:
    """Whether levels are texts that are not plain numbers, such as "007", "1.50" or "A1".

    A file with only some of these levels may look like a file of numbers.
    """
    return any(
        isinstance(level, str) and text_of(number_of(level)) != level
        for level in levels
        if level is not None
    )


def with_spellings(places: Mapping[Any, int]) -> dict[Any, int]:
    """Return the places by text, extended by the other spellings of booleans.

    A boolean is "true" in some files, True in pandas, and TRUE in spreadsheets.
    """
    found = dict(places)
    for text, place in places.items():
        if isinstance(text, str) and text.lower() in ("true", "false"):
            for spelling in (text.lower(), text.capitalize(), text.upper()):
                found.setdefault(spelling, place)
    return found
