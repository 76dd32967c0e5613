"""Settings for reading text where a table is ambiguous.

`Reading.of` takes the user's options: decimal mark, thousands separator, words for a missing cell
and column names. A bundle keeps the settings found in its training table, because a few rows may
not show them: "007" may look like a number, and "1,000" may be 1 or 1000.
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
    """Settings that are known before a table is read.

    Args:
        texts: columns that are text, whatever they contain.
        commas: meaning of commas in ambiguous numbers, DECIMAL or THOUSANDS. Points then have the
            other meaning. Empty if unknown.
        written: number formats of known numeric columns.
        decimal: decimal mark given by the user; empty for none.
        thousands: thousands separator given by the user; empty for none.
        missing: additional words for a missing cell.
        header: whether the first line has the column names; None if unknown.
        names: the column names, if the file may have no header.
        optional_names: those of `names` that may be absent from a file.
        asked: names of the options that the user gave.
    """

    texts: Collection[str] = ()
    commas: str = ""
    written: Mapping[str, Numeral] = field(default_factory=dict)
    decimal: str = ""
    thousands: str = ""
    missing: tuple[str, ...] = ()
    header: bool | None = None
    names: tuple[str, ...] = ()
    optional_names: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: Mapping[str, Any] | Reading | None) -> Reading:
        """Return the settings for the options of a user.

        Args:
            options: "decimal": "." or ",". "thousands": one of `SEPARATORS`. "missing" and "names":
                lists of strings. "header": whether the first line has the names. None values are
                ignored.
        Raises:
            DataError: when an option is invalid; the message names it.
        """
        return UNKNOWN.given(options)

    def given(self, options: Mapping[str, Any] | Reading | None) -> Reading:
        """Return these settings, overridden by the options of a user; see `of`."""
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
                "both. Omit one of them."
            )
        header = asked.get("header")
        if header is not None and not isinstance(header, bool):
            raise DataError(f"header must be True or False, got {header!r}.")
        names = _texts(asked, "names")
        if len({*names}) != len(names):
            raise DataError(f"names must be unique, got {', '.join(map(repr, names))}.")
        if names and header:
            raise DataError(
                "names must be omitted if header is True, because the first line has the names. "
                "Omit one of them."
            )
        if header is not None or names:
            read |= {"header": False if names else header, "names": names, "optional_names": ()}
            if (
                not names and not header
            ):  # a file without a header has the names of the training table
                read |= {"names": self.names, "optional_names": self.optional_names}
        return replace(self, **read)

    @property
    def mark(self) -> str:
        """The decimal mark implied by the user's options; empty for none."""
        if self.decimal:
            return self.decimal
        return {COMMA: POINT, POINT: COMMA}.get(self.thousands, "")

    def to_json(self) -> dict[str, Any]:
        """Return the user's options, in the form that `of` accepts."""
        asked = {name: getattr(self, name) for name in self.asked}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asked.items()
        }

    def known(self, name: str) -> Numeral | None:
        """Return the number format of a column; None for an unknown column."""
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
        raise DataError(f"{name} must be a list of strings, got {texts!r}.")
    return tuple(text.strip() for text in texts)


UNKNOWN = Reading()
