"""Notices about texts that look the same but differ for a model; the texts are not changed.

"007" may be a code, but a parser reads the number 7. The last letter of "café" may be one or two
characters, and zero-width spaces are invisible; a model treats such texts as different categories.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

from autotrain.data.numerals import is_padded

MOST_SHOWN = 3
_INVISIBLE = "Cf"
"""Unicode category of invisible characters: zero-width spaces, direction marks."""


def zeros_note(what: str, cells: Iterable[Any]) -> list[str]:
    """Return a notice if a target that is read as numbers loses leading zeros.

    Args:
        what: the target, such as "target 'zip'".
        cells: its distinct cells.
    """
    found = [cell.strip() for cell in cells if is_padded(cell)]
    if not found:
        return []
    shown = ", ".join(map(repr, found[:MOST_SHOWN])) + (", …" if len(found) > MOST_SHOWN else "")
    return [
        f"{what} is read as numbers, which loses leading zeros (for example in {shown}). If these "
        "are codes, use task multiclass"
    ]


def lookalikes_note(what: str, texts: Iterable[str | None]) -> list[str]:
    """Return a notice if texts look the same but are different.

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
        f"{what} has texts that look alike but are different categories: {shown}{more}. If they "
        "mean the same, make them equal with unicodedata.normalize('NFC', text), and remove "
        "zero-width characters and no-break spaces"
    ]


def _as_seen(text: str) -> str:
    """Return a text as it looks: accents composed, invisible characters removed, plain spaces."""
    composed = unicodedata.normalize("NFC", text)
    visible = [c for c in composed if unicodedata.category(c) != _INVISIBLE]
    return " ".join("".join(visible).split())
