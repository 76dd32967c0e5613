"""Column names of a text table: from its first line, the user or the training table.

A first line that looks like a row causes a notice, because that row would be lost.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

from autotrain.data.inputs import duplicates
from autotrain.data.numerals import written
from autotrain.data.reading import Reading
from autotrain.data.values import MISSING
from autotrain.errors import DataError

HEADER_ADVICE = (
    " The first line looks like data, not like column names. If the file has no header, use "
    '--no-header, or give the names with --names a,b,… (in Python: reading={"names": ["a", "b", '
    "…]})."
)
_DECIMAL_POINT = re.compile(r"-?\d+\.\d+")


class Header(NamedTuple):
    """The names of the columns.

    Attributes:
        names: one for each column.
        is_line: whether the first line is the header.
        notes: notices for the user.
    """

    names: list[str]
    is_line: bool
    notes: list[str]


def read_header(where: str, rows: Sequence[list[str]], reading: Reading) -> Header:
    """Return the names of the columns.

    Args:
        where: the file, for errors.
        rows: its first lines, split into cells.
        reading: `header` and `names` from the user or the training table.
    Raises:
        DataError: when names repeat or do not fit the columns, or the file has no row.
    """
    first = [cell.strip() for cell in rows[0]]
    if reading.header is False and not _are_names(first, reading):
        names = _names_for(where, len(first), reading)
        return Header(names, False, [])
    header = [cell or f"Unnamed: {place}" for place, cell in enumerate(first)]
    looks = looks_like_data(header) or repeats_below(rows)
    advice = HEADER_ADVICE if looks and reading.header is None else ""
    if len(set(header)) != len(header):
        raise DataError(duplicates(where, header) + advice)
    if len(rows) == 1:
        raise DataError(
            f"{where} must have rows, got only a header of {len(header)} columns. "
            "Give a table with rows." + advice
        )
    notes = []
    if advice and not _are_places(header):
        shown = ", ".join(_shown(cell) for cell in header[:5]) + (", …" if len(header) > 5 else "")
        notes.append(
            f"the first line ({shown}) is used as column names but looks like data. If it is a "
            "row, use --no-header, or give the names with --names a,b,… (in Python: "
            'reading={"names": ["a", "b", …]}). If it has the names, --header silences this notice'
        )
    return Header(header, True, notes)


def looks_like_data(header: Sequence[str]) -> bool:
    """Whether a header has cells of a row: numbers or missing cells."""
    cells = [cell.strip("'") for cell in header]
    found = sum(1 for cell in cells if _is_numeral(cell) or cell in MISSING)
    return 4 * found >= len(cells) or any(_DECIMAL_POINT.fullmatch(cell) for cell in cells)


def repeats_below(rows: Sequence[list[str]]) -> bool:
    """Whether most cells of the first line occur again in their column."""
    first = [cell.strip() for cell in rows[0]]
    others = [row for row in rows[1:] if [cell.strip() for cell in row] != first]
    filled = [place for place, cell in enumerate(first) if cell]
    again = [
        place
        for place in filled
        if any(place < len(row) and row[place].strip() == first[place] for row in others)
    ]
    return len(filled) > 1 and 2 * len(again) > len(filled)


def _are_names(first: Sequence[str], reading: Reading) -> bool:
    """Whether a line has the expected names, in a file that may have no header."""
    needed = set(reading.names) - set(reading.optional_names)
    return bool(needed) and needed <= set(first) and len(set(first)) == len(first)


def _names_for(where: str, width: int, reading: Reading) -> list[str]:
    if not reading.names:
        return [f"x{place}" for place in range(1, width + 1)]
    # A file to predict may lack the target and the weights.
    for count in range(len(reading.optional_names) + 1):
        for lacking in combinations(reading.optional_names, count):
            names = [name for name in reading.names if name not in lacking]
            if len(names) == width:
                return names
    raise DataError(
        f"{where}: names must have one name for each of the {width} columns, got "
        f"{len(reading.names)} ({', '.join(map(repr, reading.names[:8]))}"
        f"{', …' if len(reading.names) > 8 else ''}). Give them with --names (in Python: "
        'reading={"names": […]}).'
    )


def _are_places(header: Sequence[str]) -> bool:
    """Whether the numbers among the names only number the columns: 0, 1, 2, … or 1, 2, …"""
    found = [cell for cell in header if _is_numeral(cell)]
    if not found:
        return False
    return any(found == [str(first + place) for place in range(len(found))] for first in (0, 1))


def _is_numeral(cell: str) -> bool:
    return written(cell) is not None


def _shown(cell: str) -> str:
    return cell if cell.isprintable() else repr(cell)
