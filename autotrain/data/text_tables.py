"""Read CSV and TSV files, plain or compressed, with a clear error for each kind of mistake.

The file is checked before pandas reads it: compression and UTF-8 (`text_files.py`), delimiter and
quotation mark, and the column names (`headers.py`). Formatted numbers are converted afterwards
(`number_columns.py`). Text is not changed: "true" and "yes" are categories, and so are digits with
leading zeros.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from autotrain.data.headers import Header, read_header
from autotrain.data.number_columns import Texts, read_numbers
from autotrain.data.numerals import Numeral, is_padded, written
from autotrain.data.reading import UNKNOWN, Reading
from autotrain.data.text_files import SAMPLE_BYTES, read_content, take_separator
from autotrain.data.values import MISSING
from autotrain.data.whole_numbers import exact, may_be_rounded
from autotrain.errors import DataError
from autotrain.vocabulary import count_text

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SAMPLE_LINES = 50
QUOTE, APOSTROPHE = '"', "'"
LEAST_SWALLOWED = 2
"""Least number of line breaks in a cell that may have swallowed rows."""
_QUOTED = re.compile('(?:^|[\\r\\n,;\\t|])[ ]*"')
_PADDED = re.compile(rb"""(?:^|[\r\n,;\t|"'])[ ]*0[0-9]+[ ]*(?:$|[\r\n,;\t|"'])""")


class TextTable(NamedTuple):
    """The content of a text file.

    Attributes:
        notes: notices for the user.
        commas: meaning of commas in its numbers, see `Reading`; empty without commas.
        written: number format of each column whose numbers are not plain.
        has_header: whether its first line has the column names.
    """

    frame: pd.DataFrame
    notes: list[str]
    commas: str
    written: dict[str, Numeral]
    has_header: bool


class _Sample(NamedTuple):
    """The first lines of a file, split by one delimiter."""

    rows: list[list[str]]
    lines: list[int]  # line number in the file at which each row ends

    @property
    def width(self) -> int:
        """Number of cells of the header."""
        return len(self.rows[0])

    @property
    def is_even(self) -> bool:
        """Whether all rows have the same number of cells as the header, which is at least 2."""
        return self.width > 1 and len(self.rows) > 1 and {*map(len, self.rows)} == {self.width}


class _Form(NamedTuple):
    """Delimiter, quotation mark and further settings of a file."""

    delimiter: str
    quote: str
    missing: tuple[str, ...]
    has_header: bool = True


def read_text(path: Path, reading: Reading = UNKNOWN) -> TextTable:
    """Read a text table.

    Args:
        reading: the user's options and the settings of the training table.
    Raises:
        DataError: when the file cannot be read as a table.
    """
    content, separator = take_separator(read_content(path))
    usual = "\t" if ".tsv" in path.name.lower() else ","
    delimiter, quote, sample = _sniff(path, content, usual, separator)
    notes = []
    if delimiter != usual:
        notes.append(f"read with {DELIMITERS.get(delimiter, repr(delimiter))} as the delimiter")
    if quote == APOSTROPHE:
        notes.append(f"read with {APOSTROPHE} as the quotation mark")
    header = read_header(str(path), sample.rows, reading)
    notes += header.notes
    notes += _check_widths(path, sample)
    form = _Form(delimiter, quote, reading.missing, header.is_line)
    frame = _parse(path, content, form)
    _check_width(path, frame, header)
    places = dict(zip(header.names, frame.columns, strict=True))

    def as_texts(names: list[str]) -> pd.DataFrame:
        again = _parse(path, content, form, [places[name] for name in names])
        own = {place: name for name, place in places.items()}
        return again.rename(columns=own)[names]

    frame.columns = pd.Index(header.names)
    as_written = [name for name in header.names if _is_text(frame[name], name, reading)]
    whole = _whole_columns(frame, reading)
    # The search takes a second for 50 MB, so it is for tables with such columns only.
    as_written += whole if whole and _PADDED.search(content) else []
    if as_written:
        again = as_texts(as_written)
        kept = [
            name
            for name in as_written
            if _is_text(frame[name], name, reading) or again[name].map(is_padded).any()
        ]
        frame = frame.assign(**{name: again[name] for name in kept})
    frame = _with_exact_numbers(frame, as_texts)
    notes += swallowed_rows(frame, delimiter)
    read = read_numbers(
        frame, reading, str(path), is_comma_parted=delimiter == ",", as_texts=as_texts
    )
    return TextTable(read.frame, [*notes, *read.notes], read.commas, read.written, header.is_line)


def _with_exact_numbers(frame: pd.DataFrame, as_texts: Texts) -> pd.DataFrame:
    """Return a frame with large integers exact that became floats because of a missing cell."""
    rounded = [name for name in map(str, frame.columns) if may_be_rounded(frame[name])]
    if not rounded:
        return frame
    again = as_texts(rounded)
    columns = {name: exact(again[name]) for name in rounded}
    return frame.assign(**{name: column for name, column in columns.items() if column is not None})


def _is_text(column: pd.Series[Any], name: str, reading: Reading) -> bool:
    """Whether a column must be text: by its settings, or because pandas reads "true" as True."""
    if name in reading.texts or column.dtype == bool:
        return True
    return column.dtype == object and any(isinstance(cell, bool) for cell in column)


def _whole_columns(frame: pd.DataFrame, reading: Reading) -> list[str]:
    """Return the columns of integers that may be digits with leading zeros, such as "007"."""
    known = {*reading.texts, *reading.written}
    return [
        name
        for name in map(str, frame.columns)
        if name not in known
        and frame[name].dtype.kind in "iuf"
        and _is_whole(frame[name].to_numpy())
    ]


def _is_whole(values: np.ndarray) -> bool:
    """Whether all numbers that are not missing are integers."""
    if values.dtype.kind != "f":
        return True
    # The first rows of most columns show it.
    return all(
        bool((np.isnan(part) | (np.floor(part) == part)).all()) for part in (values[:1000], values)
    )


def swallowed_rows(frame: pd.DataFrame, delimiter: str) -> list[str]:
    """Return a notice for each column with a cell that looks like several rows of the file."""
    notes = []
    inside = len(frame.columns) - 1
    for name in frame.columns if inside else ():
        column = frame[name]
        if column.dtype != object and not isinstance(column.dtype, pd.StringDtype):
            continue
        texts = column.dropna().astype(str)
        texts = texts[texts.str.count("[\r\n]+") >= LEAST_SWALLOWED]
        for row, text in texts.items():
            lines = re.split("[\r\n]+", text)[1:-1]
            like_rows = sum(line.count(delimiter) == inside for line in lines)
            if 2 * like_rows > len(lines):
                notes.append(
                    f"column {name!r}, row {int(str(row)) + 1}: one cell has "
                    f"{count_text(len(lines) + 1, 'line break')} and "
                    f"{count_text(text.count(delimiter), 'delimiter')} ({text[:30]!r}…). If it "
                    "contains several rows, close its quotation mark"
                )
                break
    return notes


def missing_words(path: Path, place: int, reading: Reading, *, has_header: bool) -> dict[str, int]:
    """Return the words of a column that are read as a missing cell, with their counts.

    Args:
        place: index of the column.
        reading: the settings with which the file was read.
        has_header: whether its first line has the column names.
    """
    content, separator = take_separator(read_content(path))
    usual = "\t" if ".tsv" in path.name.lower() else ","
    delimiter, quote, _ = _sniff(path, content, usual, separator)
    form = _Form(delimiter, quote, reading.missing, has_header)
    cells = _parse(path, content, form, [place], keeps_words=True).iloc[:, 0].str.strip()
    found = cells[cells.isin([word for word in (*MISSING, *reading.missing) if word])]
    return {str(word): int(count) for word, count in found.value_counts().items()}


def _parse(
    path: Path,
    content: bytes,
    form: _Form,
    texts: list[Any] | None = None,
    *,
    keeps_words: bool = False,
) -> pd.DataFrame:
    """Parse the file with pandas.

    Args:
        texts: names or indices of columns; only these are read, as text. None: all columns are
            read, with the types that pandas infers.
        keeps_words: whether the words for a missing cell are kept as text.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                io.BytesIO(content),
                sep=form.delimiter,
                quotechar=form.quote,
                header=0 if form.has_header else None,
                encoding="utf-8-sig",
                index_col=False,
                skipinitialspace=True,
                keep_default_na=False,
                na_values=[] if keeps_words else sorted({*MISSING, *form.missing}),
                na_filter=not keeps_words,
                low_memory=False,
                usecols=texts,
                dtype="str" if texts is not None else None,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, csv.Error, ValueError) as error:
        message = str(error).strip().splitlines()[0].removeprefix("Error tokenizing data. C error:")
        raise DataError(
            f"{path} must have the same number of cells in every line, but reading failed "
            f"({message.strip().rstrip('.')}). Correct the line, and quote cells that contain "
            f"{form.delimiter!r}."
        ) from None


def _check_width(path: Path, frame: pd.DataFrame, header: Header) -> None:
    if len(frame.columns) != len(header.names):
        raise DataError(
            f"{path} must have the same number of cells in every line, got {len(header.names)} in "
            f"the first line and {len(frame.columns)} in others. Correct the line."
        )


def _sniff(path: Path, content: bytes, usual: str, separator: str) -> tuple[str, str, _Sample]:
    """Return the delimiter, the quotation mark, and the first lines split by them.

    An unusual delimiter is used only if it splits every line into the same number of cells, or if
    the file names it.
    """
    size = SAMPLE_BYTES
    while True:
        # Read a larger sample if one cell of the first row is longer than this one.
        head = content[:size].decode("utf-8-sig", "ignore")
        is_whole = len(content) <= size
        if not head.strip() and is_whole:
            raise DataError(f"{path} must contain a table, but the file has only blanks.")
        delimiter, quote = _marks(path, head, usual, separator, is_whole)
        sample = _split(head, delimiter, quote, is_whole)
        if is_whole or len(sample.rows) > 1:
            return delimiter, quote, sample
        size *= 8


def _marks(path: Path, head: str, usual: str, separator: str, is_whole: bool) -> tuple[str, str]:
    """Return the delimiter and the quotation mark of the first lines."""
    may_quote = _QUOTED.search(head) is None and head.count(APOSTROPHE) > 1
    marks = separator or tuple(DELIMITERS)
    if may_quote:
        shares = {
            quote: max(
                (
                    _clean_share(sample, tuple(DELIMITERS))
                    for mark in marks
                    if (sample := _split(head, mark, quote, is_whole)).is_even
                ),
                default=0.0,
            )
            for quote in (QUOTE, APOSTROPHE)
        }
        if shares[APOSTROPHE] > shares[QUOTE]:
            return _delimiter(path, head, usual, separator, APOSTROPHE, is_whole), APOSTROPHE
    delimiter = _delimiter(path, head, usual, separator, QUOTE, is_whole)
    sample = _split(head, delimiter, QUOTE, is_whole)
    if may_quote and len(sample.rows) > 1 and _is_quoted(sample):
        return delimiter, APOSTROPHE
    return delimiter, QUOTE


def _is_quoted(sample: _Sample) -> bool:
    """Whether in every row some cell begins with an apostrophe and one ends with one."""

    def is_quoted(row: list[str]) -> bool:
        parts = [cell.strip() for cell in row]
        starts = [place for place, part in enumerate(parts) if part.startswith(APOSTROPHE)]
        ends = [place for place, part in enumerate(parts) if part.endswith(APOSTROPHE)]
        return bool(starts and ends) and starts[0] <= ends[-1] and len(starts) == len(ends)

    return all(map(is_quoted, sample.rows[1:]))


def _delimiter(
    path: Path, head: str, usual: str, separator: str, quote: str, is_whole: bool
) -> str:
    if separator:
        return separator
    samples = {mark: _split(head, mark, quote, is_whole) for mark in DELIMITERS}
    even = [mark for mark in DELIMITERS if samples[mark].is_even]
    if len(even) > 1 and usual in even:
        # Commas and semicolons both split 1,5;2,5 evenly, so prefer the one with clean cells.
        return max(even, key=lambda mark: (_clean_share(samples[mark], even), mark == usual))
    if usual in even:
        return usual
    if even:
        return max(even, key=lambda mark: samples[mark].width)
    likely = max(DELIMITERS, key=lambda mark: samples[mark].width)
    if samples[usual].width == 1 and samples[likely].width > 1:
        if len(samples[likely].rows) == 1:
            return likely
        raise DataError(
            f"{path}: columns must be separated by {DELIMITERS[usual]}, but the header "
            f"{samples[usual].rows[0][0][:60]!r} looks separated by {DELIMITERS[likely]}, and the "
            "lines have different numbers of cells. Save the table again with commas."
        )
    return usual


def _clean_share(sample: _Sample, delimiters: Sequence[str]) -> float:
    """Return the fraction of cells without a delimiter inside; commas in numbers are allowed."""

    def is_clean(cell: str) -> bool:
        found = {mark for mark in delimiters if mark in cell}
        return not found or (found == {","} and written(cell) is not None)

    cells = [cell.strip(f" {APOSTROPHE}") for row in sample.rows for cell in row]
    return sum(map(is_clean, cells)) / len(cells)


def _split(head: str, delimiter: str, quote: str, is_whole: bool) -> _Sample:
    lines_of = io.StringIO(head, newline=None)  # all line ends become "\n"
    reader = csv.reader(lines_of, delimiter=delimiter, quotechar=quote, skipinitialspace=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    limit = csv.field_size_limit(max(len(head), csv.field_size_limit()))
    try:
        for row in reader:
            if row:
                rows.append(row)
                lines.append(reader.line_num)
            if len(rows) > SAMPLE_LINES:
                break
        else:
            if not is_whole and len(rows) > 1:
                del rows[-1]  # the sample may end inside a line
    except csv.Error:
        pass  # pandas reports the error when it reads the file
    finally:
        csv.field_size_limit(limit)
    return _Sample(rows or [[head]], lines or [1])


def _check_widths(path: Path, sample: _Sample) -> list[str]:
    """Refuse lines longer than the header, which would lose cells, and return shorter lines."""
    notes = []
    for row, line in zip(sample.rows[1:], sample.lines[1:], strict=False):
        if len(row) > sample.width and any(row[sample.width :]):
            raise DataError(
                f"{path} must have the same number of cells in every line, got {sample.width} in "
                f"the header and {len(row)} in line {line}. Correct the header or the line."
            )
        if len(row) < sample.width:
            notes.append(
                f"line {line} has only {len(row)} of {sample.width} cells; the others are read as "
                "missing"
            )
    return notes[:3]
