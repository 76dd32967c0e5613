"""The names of a text table's columns: its first line, or what the user or the training table says.

A first line that looks like a row is said, because that row would be lost.
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
    " The first line looks like data, not like names: if the file has no names, give --no-header, "
    'or the names with --names a,b,… (in Python: reading={"names": ["a", "b", …]}).'
)
_DECIMAL_POINT = re.compile(r"-?\d+\.\d+")


class Header(NamedTuple):
    """The names of the columns.

    Attributes:
        names: one for each column.
        is_line: whether the first line has them, and is no row.
        notes: what the user should know.
    """

    names: list[str]
    is_line: bool
    notes: list[str]


def read_header(where: str, rows: Sequence[list[str]], reading: Reading) -> Header:
    """Find the names of the columns.

    Args:
        where: the file, for errors.
        rows: its first lines, split into cells.
        reading: `header` and `names` as the user or the training table says.
    Raises: DataError when names repeat, do not fit the columns, or there is no row.
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
            f"{where}: expected rows, however: only a header of {len(header)} columns. "
            "Give a table with rows." + advice
        )
    notes = []
    if advice and not _are_places(header):
        shown = ", ".join(_shown(cell) for cell in header[:5]) + (", …" if len(header) > 5 else "")
        notes.append(
            f"the first line ({shown}) is taken as column names and looks like data: if it is a "
            "row, give --no-header, or the names with --names a,b,… (in Python: "
            'reading={"names": ["a", "b", …]}); if it has the names, --header ends this note'
        )
    return Header(header, True, notes)


def looks_like_data(header: Sequence[str]) -> bool:
    """Tell whether a header has cells of a row: numbers, or none at all."""
    cells = [cell.strip("'") for cell in header]
    found = sum(1 for cell in cells if _is_number(cell) or cell in MISSING)
    return 4 * found >= len(cells) or any(_DECIMAL_POINT.fullmatch(cell) for cell in cells)


def repeats_below(rows: Sequence[list[str]]) -> bool:
    """Tell whether most cells of the first line are found again in the columns below them."""
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
    """Tell whether a line has the names of a file that may have none."""
    needed = set(reading.names) - set(reading.beside)
    return bool(needed) and needed <= set(first) and len(set(first)) == len(first)


def _names_for(where: str, width: int, reading: Reading) -> list[str]:
    if not reading.names:
        return [f"x{place}" for place in range(1, width + 1)]
    # A file to predict may lack the target and the weights.
    for count in range(len(reading.beside) + 1):
        for lacking in combinations(reading.beside, count):
            names = [name for name in reading.names if name not in lacking]
            if len(names) == width:
                return names
    raise DataError(
        f"{where}: names must give one name for each of the {width} columns, got "
        f"{len(reading.names)} ({', '.join(map(repr, reading.names[:8]))}"
        f"{', …' if len(reading.names) > 8 else ''}). Give them with --names (in Python: "
        'reading={"names": […]}).'
    )


def _are_places(header: Sequence[str]) -> bool:
    """Tell whether the numbers among the names only count the columns: 0, 1, 2, … or 1, 2, …"""
    found = [cell for cell in header if _is_number(cell)]
    if not found:
        return False
    return any(found == [str(first + place) for place in range(len(found))] for first in (0, 1))


def _is_number(cell: str) -> bool:
    return written(cell) is not None


def _shown(cell: str) -> str:
    return cell if cell.isprintable() else repr(cell)
