"""Texts that a reader takes for something else than the computer does; only told, never changed.

"007" is a code to its writer and the number 7 to a parser. "café" may be written with one or two
characters for its last letter, and a zero-width or no-break space is not seen at all: to a model
these are different categories.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

from autotrain.data.numerals import is_padded

MOST_SHOWN = 3
_INVISIBLE = "Cf"
"""Unicode's category of characters without a width: zero-width spaces, marks of direction."""


def zeros_note(what: str, cells: Iterable[Any]) -> list[str]:
    """Return a notice when leading zeros are lost in a target that is read as numbers.

    Args:
        what: the target, such as "target 'zip'".
        cells: its distinct cells.
    """
    found = [cell.strip() for cell in cells if is_padded(cell)]
    if not found:
        return []
    shown = ", ".join(map(repr, found[:MOST_SHOWN])) + (", …" if len(found) > MOST_SHOWN else "")
    return [
        f"{what} is read as numbers, which loses leading zeros (such as in {shown}). If these are "
        "codes, use task multiclass"
    ]


def lookalikes_note(what: str, texts: Iterable[str | None]) -> list[str]:
    """Return a notice when texts look the same and are different.

    Args:
        what: the column, such as "target 'city'".
        texts: its distinct texts, without the spaces around them.
    """
    known = {text for text in texts if text is not None}
    groups: dict[str, list[str]] = {}
    for text in sorted(known):
        if not text.isascii():
            groups.setdefault(_as_seen(text), []).append(text)
    plain_ones = {text for text in known if text.isascii()}
    alike = [
        ([seen] if seen in plain_ones else []) + group
        for seen, group in groups.items()
        if len(group) + (seen in plain_ones) > 1
    ]
    if not alike:
        return []
    shown = "; ".join(" and ".join(map(ascii, group)) for group in alike[:MOST_SHOWN])
    more = "; …" if len(alike) > MOST_SHOWN else ""
    return [
        f"{what} has texts that look alike and are different categories: {shown}{more}. If they "
        "are the same, write them alike: unicodedata.normalize('NFC', text), without zero-width "
        "characters and no-break spaces"
    ]


def _as_seen(text: str) -> str:
    """Return a text without what is not seen: one form of accents, one kind of space."""
    composed = unicodedata.normalize("NFC", text)
    visible = [c for c in composed if unicodedata.category(c) != _INVISIBLE]
    return " ".join("".join(visible).split())
