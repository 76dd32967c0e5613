"""Find the text columns that contain formatted numbers, such as "1,234.5" or "12 €".

`read_numbers` looks at all columns of a table, because one column may show what the marks of
another mean: 49.203 is an integer in a table with 0,189, and a fraction in a table with 0.189.
Unambiguous columns are converted, with a notice. Ambiguous numbers raise an error. A column that
only partly contains numbers stays text, with a notice. The cells are read in `numerals.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from autotrain.data.numerals import (
    COMMA,
    POINT,
    Cells,
    Numeral,
    read_cells,
    same_unit,
    units_of,
    written,
)
from autotrain.data.reading import DECIMAL, THOUSANDS, Reading
from autotrain.data.values import MOST_SPOILT, is_missing, number_of
from autotrain.errors import DataError
from autotrain.vocabulary import count_text

SAMPLE_CELLS = 500
LEAST_NUMBERS = 0.1
"""Least fraction of numbers among the first distinct cells; with fewer, a column is text."""
MOST_OTHERS = 0.5
"""Largest fraction of other cells in a column of numbers that causes a notice."""
LARGEST_WHOLE = 2**53
ADVICE = 'Give the decimal mark with --decimal (in Python: reading={"decimal": ","})'

Texts = Callable[[list[str]], pd.DataFrame]


class Numbers(NamedTuple):
    """A table with formatted numbers converted.

    Attributes:
        commas: meaning of commas in its numbers, see `Reading`; empty without commas.
        written: number format of each column that was text.
    """

    frame: pd.DataFrame
    notes: list[str]
    commas: str
    written: dict[str, Numeral]


@dataclass
class _Judge:
    """The columns of one table that may be numbers, and the marks that they show together."""

    where: str
    reading: Reading
    is_comma_parted: bool
    found: dict[str, Cells] = field(default_factory=dict)
    counts: dict[str, pd.Series[Any]] = field(default_factory=dict)
    is_point_sure: bool = False
    may_have_comma: bool = False
    notes: list[str] = field(default_factory=list)
    units: dict[str, dict[str, str]] = field(default_factory=dict)

    def look_at(self, name: str, column: pd.Series[Any]) -> None:
        """Add a text column if its cells are numbers; add a notice if only some are."""
        counts = _counts(column)
        if counts is None:
            return
        known = self.reading.known(name)
        texts = [cell for cell in counts.index if isinstance(cell, str)]
        missing = self.reading.missing if known is None else known.missing
        sample = texts[:SAMPLE_CELLS]
        if known is None and (units := units_of(sample)):
            self.units[name] = units
            return
        n_numbers = sum(written(text) is not None for text in sample)
        if known is None and n_numbers < max(LEAST_NUMBERS * len(sample), 1):
            return
        cells = read_cells(texts, missing)
        if cells.others:
            self._note_others(name, cells, counts)
            return
        is_little = len(cells.numbers) < (2 if cells.markers else 1)
        if known is None and (is_little or cells.has_padded):
            return
        reason = self._reason_against(cells, known)
        if not reason:
            self.found[name], self.counts[name] = cells, counts
        else:
            self.may_have_comma = self.may_have_comma or cells.decimals == (COMMA,)
            if _is_noted_here(counts):
                self._note(name, reason)

    def _note(self, name: str, reason: str) -> None:
        self.notes.append(f"column {name!r} {reason}")

    def _note_others(self, name: str, cells: Cells, counts: pd.Series[Any]) -> None:
        total, n_others = int(counts.sum()), sum(int(counts[text]) for text in cells.others)
        if cells.are_many and n_others <= MOST_OTHERS * total and _is_noted_here(counts):
            self._note(
                name,
                f"contains numbers and {count_text(n_others, 'other cell')} (for example "
                f"{cells.others[0][:60]!r}), and is read as text. Correct these cells, or give a "
                'word for missing numbers with --missing (in Python: reading={"missing": […]})',
            )

    def _reason_against(self, cells: Cells, known: Numeral | None) -> str:
        """Return the reason why a column is not read as numbers; empty if it is."""
        shown = ", ".join(repr(text) for text in list(cells.numbers)[:3])
        if not cells.decimals:
            one, other = (
                next(text for text, cell in cells.numbers.items() if cell.value(mark) is None)
                for mark in (COMMA, POINT)
            )
            return (
                f"has numbers in different formats ({one!r}, {other!r}) and is read as text. Write "
                "all its numbers in the same format"
            )
        if not cells.has_clear_unit:
            first = {cell.unit: text for text, cell in cells.numbers.items()}
            return (
                f"has numbers in different units ({', '.join(map(repr, first.values()))}) and is "
                "read as text. Convert them to one unit"
            )
        if known is not None:
            found = cells.numbers.items()
            strange = [text for text, cell in found if not same_unit(cell.unit, known)]
            return (
                ""
                if not strange
                else (
                    f"has {strange[0]!r}, but the numbers of the training table have "
                    f"{f'the unit {known.unit!r}' if known.unit else 'no unit'}"
                )
            )
        if cells.may_be_codes and not self.reading.thousands:
            return (
                f"has grouped numbers that all have the same length ({shown}), like phone numbers, "
                "and is read as text. If they are amounts, give --thousands (in "
                'Python: reading={"thousands": " "})'
            )
        words = [text for text in cells.markers if any(map(str.isalpha, text))]
        words = [text for text in words if text not in self.reading.missing]
        if words and not cells.are_many:
            return (
                f"has only {len(cells.numbers)} different numbers and {words[0]!r}, and is read as "
                f"text. If that word means a missing number, give --missing {words[0]!r} (in "
                f'Python: reading={{"missing": [{words[0]!r}]}})'
            )
        return ""

    def unit_notes(self) -> list[str]:
        """Return one notice for all columns of numbers with a unit that is not known."""
        if not self.units:
            return []
        units = list(dict.fromkeys(unit for found in self.units.values() for unit in found))
        examples = [cell for found in self.units.values() for cell in found.values()][:5]
        has_several = any(len(found) > 1 for found in self.units.values())
        convert = " after you convert each column to one unit" if has_several else ""
        return [
            f"{_columns(list(self.units))}: numbers with the unit"
            f"{'s' if len(units) > 1 else ''} {', '.join(map(repr, units[:5]))} are read as text "
            f"(for example {', '.join(map(repr, examples))}). Remove the unit{convert} to read "
            "them as numbers"
        ]

    # ---- the decimal mark ----------------------------------------------------------------------

    @property
    def has_point(self) -> bool:
        """Whether some column shows that points are decimal marks."""
        return self.is_point_sure or any(c.decimals == (POINT,) for c in self.found.values())

    def has_comma(self, *, surely: bool = False) -> bool:
        """Whether some column shows that commas are decimal marks."""
        return any(
            cells.decimals == (COMMA,) and (cells.is_sure or not surely)
            for cells in self.found.values()
        )

    def open_columns(self, mark: str) -> list[str]:
        """Return the columns with this mark whose numbers depend on the decimal mark."""
        cells = {name: found.open_cell for name, found in self.found.items()}
        return [name for name, cell in cells.items() if cell is not None and mark in cell]

    def shown_mark(self) -> str:
        """Return the decimal mark that the columns show together; empty if they show none.

        A single comma is weak evidence, because "48,11" may be a pair of numbers. It counts only if
        no column has decimal points, and only in files that are not separated by commas.
        """
        if self.reading.mark:
            return self.reading.mark
        if self.has_point:
            return POINT if not self.has_comma(surely=True) else ""
        if self.has_comma(surely=True) or (self.has_comma() and not self.is_comma_parted):
            return COMMA
        return ""

    def mark_of(self, name: str) -> str:
        """Return a column's decimal mark; empty if the column stays text.

        Raises:
            DataError: when its numbers are ambiguous.
        """
        cells, shown = self.found[name], self.shown_mark()
        if len(cells.decimals) == 1:
            (mark,) = cells.decimals
            if mark == POINT or cells.is_sure or self.reading.mark == COMMA:
                return mark
            if self.reading.mark == POINT:
                self._note(
                    name,
                    f"has {next(iter(cells.numbers))!r}, which is not a number with the decimal "
                    "mark '.', and is read as text. Omit the option, or write '.' in all cells",
                )
                return ""
            known = self.reading.known(name)
            if shown == POINT or (self.has_point and (known is None or known.decimal == POINT)):
                self._note(
                    name,
                    f"has decimal commas ({next(iter(cells.numbers))!r}), but other columns have "
                    f"decimal points, so it is read as text. {ADVICE} to read it as numbers",
                )
                return ""
            return mark
        if cells.open_cell is None:
            return POINT
        if shown:
            return shown
        known = self.reading.known(name)
        if known is not None and known.shows_mark:
            return known.decimal
        if self.reading.commas:
            return COMMA if self.reading.commas == DECIMAL else POINT
        if COMMA in cells.open_cell or self.has_comma() or self.may_have_comma:
            self._refuse(name, cells)
        return POINT

    def _refuse(self, name: str, cells: Cells) -> None:
        text = cells.open_cell or ""
        cell = cells.numbers[text]
        others = [repr(other) for other in cells.numbers if cells.numbers[other].is_open][:3]
        names = [*self.open_columns(COMMA), *self.open_columns(POINT)]
        more = "" if len(names) < 2 else f" (and {count_text(len({*names}) - 1, 'other column')})"
        raise DataError(
            f"{self.where}: numbers must be unambiguous, but {text!r} in column {name!r}{more} "
            f"may be {_number_text(cell.english)} or {_number_text(cell.continental)} (cells: "
            f"{', '.join(others)}). Give --decimal . or --decimal , (in Python: "
            'reading={"decimal": "."} or reading={"decimal": ","}).'
        )


def read_numbers(
    frame: pd.DataFrame,
    reading: Reading,
    where: str,
    *,
    is_comma_parted: bool = True,
    as_texts: Texts | None = None,
) -> Numbers:
    """Convert the text columns that contain formatted numbers.

    Args:
        frame: the table; its column labels are strings.
        reading: the user's options and the settings of the training table.
        where: the table's name, for errors.
        is_comma_parted: whether commas separate the cells of the file.
        as_texts: returns columns of floats as they are written in the file; None without a file.
    Raises:
        DataError: when a number is ambiguous.
    """
    judge = _Judge(where, reading, is_comma_parted)
    floats = []
    for name in map(str, frame.columns):
        column = frame[name]
        if name in reading.texts:
            continue
        if column.dtype.kind == "f" and isinstance(column.dtype, np.dtype):
            if _shows_point(column.to_numpy()):
                judge.is_point_sure = True
            else:
                floats.append(name)
        elif column.dtype == object or isinstance(column.dtype, pd.StringDtype):
            judge.look_at(name, column)
    rewritten: Mapping[str, pd.Series[Any]] = {}
    is_asked = reading.mark == COMMA or judge.may_have_comma or judge.has_comma()
    is_asked = is_asked or bool(judge.open_columns(COMMA))
    marks = [known.decimal for known in map(reading.known, floats) if known is not None]
    is_learned = reading.commas == DECIMAL or COMMA in marks
    is_doubtful = not is_comma_parted and not judge.is_point_sure
    if floats and as_texts is not None and (is_asked or is_doubtful or is_learned):
        again = as_texts(floats)
        rewritten = {name: again[name] for name in floats}
        for name, column in rewritten.items():
            judge.look_at(name, column)
    elif as_texts is None:  # most frames were read from a text file by pandas
        judge.is_point_sure = judge.is_point_sure or _have_fractions(frame, floats)
    return _convert(frame, judge, rewritten)


def _have_fractions(frame: pd.DataFrame, names: Sequence[str]) -> bool:
    return any(bool((frame[name].dropna() % 1 != 0).any()) for name in names)


def _convert(
    frame: pd.DataFrame, judge: _Judge, rewritten: Mapping[str, pd.Series[Any]]
) -> Numbers:
    numbers: dict[str, pd.Series[Any]] = {}
    numerals: dict[str, Numeral] = {}
    said: dict[Numeral, list[str]] = {}
    commas: set[str] = set()
    for name, cells in judge.found.items():
        mark = judge.mark_of(name)
        if not mark:
            continue
        numeral = cells.numeral(mark)
        if COMMA in (numeral.decimal, numeral.thousands):
            commas.add(DECIMAL if numeral.decimal == COMMA else THOUSANDS)
        if name in rewritten and mark == POINT:
            continue  # pandas has already read it correctly
        is_plain = all(number_of(text) is not None for text in (*cells.numbers, *cells.markers))
        if is_plain and mark == POINT:
            continue
        numerals[name] = numeral
        source = rewritten.get(name, frame[name])
        numbers[name] = _as_numbers(source, cells, mark)
        said.setdefault(numeral, []).append(name)
    doubtful = [
        name
        for name in judge.open_columns(POINT)
        if name in rewritten
        and name not in numbers
        and not judge.shown_mark()
        and not judge.reading.commas
        and judge.reading.known(name) is None
    ]
    notes = [
        *judge.notes,
        *judge.unit_notes(),
        *(_conversion_note(judge, names, how) for how, names in said.items()),
    ]
    if doubtful:
        cell = judge.found[doubtful[0]].open_cell
        notes.append(
            f"{_columns(doubtful)}: points are read as decimal marks (for example in {cell!r}). If "
            "they are thousands separators, give --thousands . (in Python: "
            'reading={"thousands": "."})'
        )
    one = commas.pop() if len(commas) == 1 else ""
    return Numbers(frame.assign(**numbers) if numbers else frame, notes, one, numerals)


def _counts(column: pd.Series[Any]) -> pd.Series[Any] | None:
    """Return the count of each distinct cell that is not missing.

    None if the column has cells that are neither text nor numbers.
    """
    try:
        counts = column.dropna().value_counts(sort=False)
    except TypeError:  # lists
        return None
    cells = list(counts.index)
    if not all(isinstance(cell, str | int | float | np.number) for cell in cells):
        return None
    if any(isinstance(cell, bool) for cell in cells):
        return None
    return counts[[not is_missing(cell) for cell in cells]]


def _is_noted_here(counts: pd.Series[Any]) -> bool:
    """Whether many cells are not plain numbers; `columns.py` has the notice for a few."""
    n_plain = sum(int(count) for cell, count in counts.items() if number_of(cell) is not None)
    total = int(counts.sum())
    return total - n_plain > MOST_SPOILT * total


def _shows_point(values: np.ndarray) -> bool:
    """Whether a number of a column `[N]` has a point that cannot be a thousands separator."""
    known = np.abs(values[np.isfinite(values)])
    known = known[known % 1 != 0]
    thousandths = known * 1000
    is_finer = np.abs(thousandths - np.rint(thousandths)) > 1e-6
    return bool(((known < 1) | (known >= 1000) | is_finer).any())


def _as_numbers(column: pd.Series[Any], cells: Cells, mark: str) -> pd.Series[Any]:
    codes, different = pd.factorize(column)
    values = [
        math.nan
        if is_missing(cell)
        else cells.value(cell, mark)
        if isinstance(cell, str)
        else float(cell)
        for cell in different
    ]
    read = np.array([*values, math.nan])[codes]  # code −1 is a missing cell
    is_whole = all(value.is_integer() and abs(value) < LARGEST_WHOLE for value in values)
    if is_whole and len(read) and not (codes < 0).any():
        read = read.astype(np.int64)
    return pd.Series(read, index=column.index, name=column.name)


def _conversion_note(judge: _Judge, names: Sequence[str], numeral: Numeral) -> str:
    """Return a notice on how columns are read, with the number of cells and an example."""
    parts = []
    special = {
        name: {
            text: cell
            for text, cell in judge.found[name].numbers.items()
            if number_of(text) is None or (POINT in text and numeral.decimal == COMMA)
        }
        for name in names
    }
    n_cells = sum(
        int(judge.counts[name][text]) for name, cells in special.items() for text in cells
    )
    example = next((pair for cells in special.values() for pair in cells.items()), None)
    if example is not None:
        text, cell = example
        marks = []
        if numeral.decimal == COMMA:
            marks.append("decimal commas")
        if numeral.thousands:
            marks.append(f"{numeral.thousands!r} as the thousands separator")
        if numeral.unit:
            marks.append(f"the unit {numeral.unit!r}")
        with_marks = f"with {' and '.join(marks)} " if marks else ""
        value = cell.value(numeral.decimal)
        parts.append(
            f"{count_text(n_cells, 'cell')} {with_marks}{'is' if n_cells == 1 else 'are'} read as "
            f"numbers (for example {text!r} as {_number_text(value)})"
        )
    for marker in numeral.missing:
        n_cells = sum(
            int(count)
            for name in names
            for text, count in judge.counts[name].items()
            if isinstance(text, str) and text.strip() == marker
        )
        if n_cells:
            parts.append(f"{marker!r} ({count_text(n_cells, 'cell')}) is read as missing")
    return f"{_columns(names)}: {'; '.join(parts)}"


def _columns(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:5])) + (", …" if len(names) > 5 else "")
    return f"column {shown}" if len(names) == 1 else f"{len(names)} columns ({shown})"


def _number_text(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "missing"
    return f"{value:.15g}"
