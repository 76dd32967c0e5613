"""Random text tables, written in many ways and read again: no traceback, and no wrong number.

    python -m benchmarks.fuzz_readers --tables 10000

Each table has one way to write numbers (decimal mark, thousands separator), a delimiter, quotes, an
encoding, line ends, a header or none; its columns have units, minus signs and texts for a missing
number. A refused table must raise a `DataError`. A column of numbers that is read as text must
have a notice. Every accepted number must equal the number that was written.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pandas as pd
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from autotrain.data.columns import read_columns
from autotrain.data.files import RawTable, read_table
from autotrain.data.numerals import written
from autotrain.data.reading import Reading
from autotrain.data.values import number_of
from autotrain.errors import AutotrainError

DELIMITERS = (",", ";", "\t", "|")
THOUSANDS = ("", ",", ".", " ", "\u00a0", "\u202f", "'", "’", "_")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1")
UNITS = ("", "", "", "${}", "{} €", "{} %", "{}%", "EUR {}")
MINUS = ("-{}", "-{}", "\u2212{}", "({})")
MISSING = ("", "NA", "?", "-", "--", ".", "n/a", "N.A.", "unknown", "#DIV/0!")
WORDS = ("red", "dark blue", "Ulm", "São Paulo", "it's", "a, b", "x;y", 'say "so"', "yes", "no")
NAMES = ("amount", "rate", "größe", "unit price", "n", "total_eur", "a.b", "2019", "x1")
TOLERANCE = 4e-16
"""pandas reads the last bit of a plain number as it can."""


@dataclass(frozen=True)
class Column:
    """One column: its name, its cells as written, and its numbers; None where it is text."""

    name: str
    cells: tuple[str, ...]
    numbers: tuple[float, ...] | None


@dataclass(frozen=True)
class Table:
    """A text table and how it is written."""

    columns: tuple[Column, ...]
    delimiter: str
    decimal: str
    quoting: int
    quote: str
    line_end: str
    encoding: str
    has_header: bool
    is_told: bool

    def content(self) -> bytes:
        """Return the file."""
        out = io.StringIO()
        writer = csv.writer(
            out,
            delimiter=self.delimiter,
            quotechar=self.quote,
            quoting=self.quoting,  # type: ignore[arg-type]
            lineterminator=self.line_end,
        )
        if self.has_header:
            writer.writerow([column.name for column in self.columns])
        writer.writerows(zip(*(column.cells for column in self.columns), strict=True))
        try:
            return out.getvalue().encode(self.encoding)
        except UnicodeEncodeError:
            return out.getvalue().encode("utf-8")


def write_number(value: Decimal, decimal: str, thousands: str, unit: str, minus: str) -> str:
    """Return a number as people write it."""
    text = f"{abs(value):,f}".replace(",", "\0").replace(".", decimal).replace("\0", thousands)
    text = unit.format(text) if unit else text
    return minus.format(text) if value < 0 else text


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Draw a table."""
    decimal = draw(st.sampled_from((".", ",")))
    thousands = draw(st.sampled_from([mark for mark in THOUSANDS if mark != decimal]))
    n_rows = draw(st.integers(2, 12))
    n_columns = draw(st.integers(2, 5))
    columns = []
    for place in range(n_columns):
        name = f"{draw(st.sampled_from(NAMES))}{place}"
        if draw(st.integers(0, 3)) == 0:
            words = draw(st.lists(st.sampled_from(WORDS), min_size=n_rows, max_size=n_rows))
            columns.append(Column(name, tuple(words), None))
            continue
        columns.append(draw(number_columns(name, n_rows, decimal, thousands)))
    quote = draw(st.sampled_from(('"', '"', '"', "'")))
    quotings = (csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
    return Table(
        tuple(columns),
        draw(st.sampled_from(DELIMITERS)),
        decimal,
        csv.QUOTE_ALL if quote == "'" else draw(st.sampled_from(quotings)),
        quote,
        draw(st.sampled_from(("\n", "\r\n", "\r"))),
        draw(st.sampled_from((*ENCODINGS[:2] * 3, *ENCODINGS))),
        draw(st.sampled_from((True, True, False))),
        draw(st.booleans()),
    )


@st.composite
def number_columns(draw: st.DrawFn, name: str, n_rows: int, decimal: str, thousands: str) -> Column:
    """Draw a column of numbers, some of them missing."""
    places = draw(st.integers(0, 4))
    most = 10 ** draw(st.integers(1, 9))
    least = -most if draw(st.booleans()) else 0
    unit, minus = draw(st.sampled_from(UNITS)), draw(st.sampled_from(MINUS))
    marker = draw(st.sampled_from(MISSING))
    share = draw(st.sampled_from((0, 0, 0.2, 0.8)))
    chance = random.Random(draw(st.integers(0, 2**32 - 1)))  # Hypothesis likes equal numbers
    cells, numbers = [], []
    for _ in range(n_rows):
        value = Decimal(chance.randint(least, most)).scaleb(-places)
        is_missing = chance.random() < share
        cells.append(marker if is_missing else write_number(value, decimal, thousands, unit, minus))
        numbers.append(math.nan if is_missing else float(value))
    return Column(name, tuple(cells), tuple(numbers))


class Checker:
    """Reads tables and counts what came of them.

    Args:
        folder: for the files.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "table.csv"
        self.tables: Counter[str] = Counter()
        self.columns: Counter[str] = Counter()
        self.n_cells = 0

    def check(self, table: Table) -> None:
        """Read a table.

        Raises: AssertionError when a number is wrong, or something is not told.
        """
        self.path.write_bytes(table.content())
        is_told = table.is_told or not table.has_header
        reading = Reading.of({"header": table.has_header} if is_told else {})
        try:
            read = read_table(self.path, reading)
        except AutotrainError as error:
            self.tables[f"refused: {_reason(str(error), table)}"] += 1
            return
        self.tables["read"] += 1
        names = [column.name for column in table.columns]
        if not table.has_header:
            names = [f"x{place}" for place in range(1, len(names) + 1)]
        assert list(read.frame) == names, (list(read.frame), names)
        assert len(read.frame) == len(table.columns[0].cells)
        kinds = {column.name: column.kind for column in read_columns(read.frame)[0]}
        for name, column in zip(names, table.columns, strict=True):
            self.columns[self._column(table, read, name, column, kinds[name])] += 1

    def _column(self, table: Table, read: RawTable, name: str, column: Column, kind: str) -> str:
        if column.numbers is None:
            return "text"
        if kind not in ("numeric", "missing"):
            reasons = [note for note in read.notes if repr(name) in note]
            assert reasons or _may_be_text(column), f"{name!r} is text without a word"
            return f"numbers as text: {_short(reasons)}"
        found = pd.Series([_number(cell) for cell in read.frame[name]])
        pairs = list(zip(found, column.numbers, strict=True))
        if all(_is_same(one, other) for one, other in pairs):
            self.n_cells += len(pairs)
            return "numbers, all equal"
        told = any("points are read as decimal marks" in note for note in read.notes)
        may_be_english = table.decimal == "," and _looks_english(table)
        assert may_be_english, list(zip(column.cells, pairs, strict=True))
        return f"points without any sign of their meaning{', told' if told else ''}"


def _reason(message: str, table: Table) -> str:
    for words, reason in (
        ("must be UTF-8 text, got UTF-16", "UTF-16"),
        ("must be UTF-8", "no UTF-8"),
        ("must be unambiguous", "numbers that may be two"),
        ("must be separated by", "delimiter"),
        ("same number of cells", "uneven lines"),
        ("is zero", "zero bytes"),
    ):
        if words in message:
            if reason == "UTF-16":
                assert table.encoding == "utf-16"
            if reason == "no UTF-8":
                assert table.encoding in ("cp1252", "latin-1")
            if reason == "numbers that may be two":
                assert _has_open_cell(table), message
            assert reason not in ("delimiter", "uneven lines"), message
            return reason
    raise AssertionError(message)


def _has_open_cell(table: Table) -> bool:
    cells = [written(cell) for column in table.columns for cell in column.cells]
    return any(cell is not None and cell.is_open for cell in cells)


def _looks_english(table: Table) -> bool:
    """Return True when no cell shows that points are no decimal marks."""
    for column in table.columns:
        cells = [written(cell) for cell in column.cells] if column.numbers is not None else []
        if any(cell is not None and cell.english is None for cell in cells):
            return False
    return True


def _may_be_text(column: Column) -> bool:
    """Return True when a column has too few numbers, or words that may be a category."""
    numbers = {
        cell
        for cell, number in zip(column.cells, column.numbers or (), strict=True)
        if not math.isnan(number)
    }
    return len(numbers) < 2


def _short(reasons: list[str]) -> str:
    for words in (
        "different units",
        "in different ways",
        "phone numbers",
        "decimal commas",
        "--missing",
    ):
        if any(words in reason for reason in reasons):
            return words
    return "at most one different number next to words for missing, no notice"


def _number(cell: object) -> float:
    number = number_of(cell)
    return math.nan if number is None else number


def _is_same(one: float, other: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return math.isclose(one, other, rel_tol=TOLERANCE)


def run(n_tables: int, first_seed: int, folder: Path) -> Checker:
    """Check a number of tables, which follow from the seed.

    Raises: AssertionError with the smallest table that fails.
    """
    checker = Checker(folder)

    @seed(first_seed)
    @settings(
        max_examples=n_tables,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(tables())
    def check(table: Table) -> None:
        checker.check(table)

    check()
    return checker


def main() -> None:
    """Check tables and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tables", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        checker = run(arguments.tables, arguments.seed, Path(folder))
    total = sum(checker.tables.values())
    print(f"{total:,} tables in {time.monotonic() - started_s:.0f} s, seed {arguments.seed}")
    for what, counts in (("tables", checker.tables), ("columns", checker.columns)):
        print(f"{what}:")
        for name, count in counts.most_common():
            print(f"  {count:8,}  {name}")
    print(f"{checker.n_cells:,} cells of numbers accepted, all equal to those written")


if __name__ == "__main__":
    main()
