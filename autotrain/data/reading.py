"""How a table's texts are to be read, where the table leaves it open.

`Reading.of` takes what a user asks for: the decimal mark, the thousands separator, words for a
missing cell, the names of the columns. A bundle keeps what its training table has shown, because a
few rows may not show it: "007" may look like a number, and "1,000" like one or like a thousand.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from autotrain.data.numerals import COMMA, POINT, Numeral
from autotrain.errors import DataError, unknown

DECIMAL, THOUSANDS = "decimal", "thousands"
SEPARATORS = (COMMA, POINT, " ", "'", "_")
OPTIONS = ("decimal", "thousands", "missing", "header", "names")


@dataclass(frozen=True)
class Reading:
    """What is known of a table before one of its files is read.

    Args:
        texts: columns that are texts, whatever they hold.
        commas: what commas in numbers are where that is open, and what dots are not: DECIMAL or
            THOUSANDS; empty when it is not known.
        written: how the numbers of known numeric columns are written.
        decimal: the decimal mark that the user gives; empty for none.
        thousands: the thousands separator that the user gives; empty for none.
        missing: words for a missing cell, beside the usual ones.
        header: whether the first line has the column names; None when that is not known.
        names: the columns' names, when the file may have none.
        beside: those of `names` that a file may lack.
        asked: the names of the options that a user gives.
    """

    texts: Collection[str] = ()
    commas: str = ""
    written: Mapping[str, Numeral] = field(default_factory=dict)
    decimal: str = ""
    thousands: str = ""
    missing: tuple[str, ...] = ()
    header: bool | None = None
    names: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: Mapping[str, Any] | Reading | None) -> Reading:
        """Return a reading of what a user asks for.

        Args:
            options: "decimal": "." or ","; "thousands": one of `SEPARATORS`; "missing" and "names":
                texts; "header": whether the first line has the names. None values are left out.
        Raises: DataError naming the option that cannot be used.
        """
        return UNKNOWN.given(options)

    def given(self, options: Mapping[str, Any] | Reading | None) -> Reading:
        """Return this reading with what a user asks for in addition; see `of`."""
        if isinstance(options, Reading):
            return options
        asked = {name: value for name, value in (options or {}).items() if value is not None}
        for name in asked:
            if name not in OPTIONS:
                raise DataError(f"reading: {unknown('option', name, OPTIONS)}")
        read: dict[str, Any] = {
            "decimal": _mark(asked, "decimal", (POINT, COMMA)),
            "thousands": _mark(asked, "thousands", SEPARATORS),
            "missing": (*self.missing, *_texts(asked, "missing")),
            "asked": (*asked,),
        }
        if read["decimal"] and read["decimal"] == read["thousands"]:
            raise DataError(
                f"decimal and thousands must be two different marks, got {read['decimal']!r} for "
                "both. Leave one of them out."
            )
        header = asked.get("header")
        if header is not None and not isinstance(header, bool):
            raise DataError(f"header must be True or False, got {header!r}.")
        names = _texts(asked, "names")
        if len({*names}) != len(names):
            raise DataError(
                f"names must differ from each other, got {', '.join(map(repr, names))}."
            )
        if names and header:
            raise DataError(
                "names must be left out where header is True: the first line then has the names. "
                "Leave one of them out."
            )
        if header is not None or names:
            read |= {"header": False if names else header, "names": names, "beside": ()}
            if not names and not header:  # columns of a headerless file have the trained names
                read |= {"names": self.names, "beside": self.beside}
        return replace(self, **read)

    @property
    def mark(self) -> str:
        """The decimal mark that the user's options mean; empty when they leave it open."""
        if self.decimal:
            return self.decimal
        return {COMMA: POINT, POINT: COMMA}.get(self.thousands, "")

    def to_json(self) -> dict[str, Any]:
        """Return the user's options as `of` takes them."""
        asked = {name: getattr(self, name) for name in self.asked}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asked.items()
        }

    def known(self, name: str) -> Numeral | None:
        """Return how a column of numbers is written; None of a column that is not known."""
        found = self.written.get(name)
        if found is None or not self.missing:
            return found
        return replace(found, missing=(*found.missing, *self.missing))


def _mark(asked: Mapping[str, Any], name: str, known: Sequence[str]) -> str:
    mark = asked.get(name, "")
    if mark != "" and mark not in known:
        listed = ", ".join(map(repr, known))
        raise DataError(f"{name} must be one of {listed}, got {mark!r}.")
    return str(mark)


def _texts(asked: Mapping[str, Any], name: str) -> tuple[str, ...]:
    texts = asked.get(name, ())
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{name} must be a list of texts, got {texts!r}.")
    return tuple(text.strip() for text in texts)


UNKNOWN = Reading()
