"""Read CSV and TSV files, plain or compressed, with every mistake of the file named.

The file is checked before pandas reads it: compression, UTF-8, the delimiter, the header. Texts
stay texts: "true" and "yes" are categories, as the file has them.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import warnings
import zlib
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from autotrain.data.inputs import duplicates
from autotrain.data.reading import DECIMAL, THOUSANDS, UNKNOWN, Reading
from autotrain.data.values import MISSING
from autotrain.data.whole_numbers import exact, may_be_rounded
from autotrain.errors import DataError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SAMPLE_LINES = 50
SAMPLE_BYTES = 1 << 18
HEADER_ADVICE = (
    " The first line looks like data, not like names: add a line of column names on top."
)
COMMAS = {
    DECIMAL: "numbers are read with a decimal comma",
    THOUSANDS: "commas in numbers are read as thousands separators",
}
_MAGIC = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd"}
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
_DECIMAL_POINT = re.compile(r"-?\d+\.\d+")


class TextTable(NamedTuple):
    """A table as it stands in a text file.

    Attributes:
        notes: what was found.
        commas: what commas in its numbers are, see `Reading`; empty when there are none.
    """

    frame: pd.DataFrame
    notes: list[str]
    commas: str


class _Sample(NamedTuple):
    """The first lines of a file, split by one delimiter."""

    rows: list[list[str]]
    lines: list[int]  # the file's line that each row ends on

    @property
    def width(self) -> int:
        """Cells of the header."""
        return len(self.rows[0])

    @property
    def is_even(self) -> bool:
        """Tell whether there are rows, and all have as many cells as the header, more than one."""
        return self.width > 1 and len(self.rows) > 1 and {*map(len, self.rows)} == {self.width}


def read_text(path: Path, reading: Reading = UNKNOWN) -> TextTable:
    """Read a text table with a header line.

    Args:
        reading: what is known of it before.
    Raises: DataError.
    """
    content = _decompress(path)
    _check_utf8(path, content)
    usual = "\t" if ".tsv" in path.name.lower() else ","
    delimiter, sample = _sniff(path, content, usual)
    notes = []
    if delimiter != usual:
        notes.append(f"read with {DELIMITERS[delimiter]} as the delimiter")
    header = _check_header(path, sample.rows)
    if looks_like_data(header) and not _are_places(header):
        notes.append(
            f"the first line ({', '.join(header[:5])}{', …' if len(header) > 5 else ''}) is taken "
            "as column names and looks like data: when it is a row, add a line of names on top"
        )
    notes += _check_widths(path, sample)
    frame = _parse(path, content, delimiter)
    # pandas makes True of "true"; the file's own words are the user's labels.
    as_written = [
        own
        for own, name in zip(frame.columns, header, strict=True)
        if name in reading.texts or _holds_booleans(frame[own])
    ]
    if as_written:
        again = _parse(path, content, delimiter, as_written)
        frame = frame.assign(**{own: again[own] for own in as_written})
    frame = _with_exact_numbers(path, frame, content, delimiter)
    frame.columns = pd.Index(header)
    if delimiter == ",":
        return TextTable(frame, notes, "")
    frame, commas = _with_commas_read(path, frame, reading)
    return TextTable(frame, [*notes, *([COMMAS[commas]] if commas else [])], commas)


def _with_exact_numbers(
    path: Path, frame: pd.DataFrame, content: bytes, delimiter: str
) -> pd.DataFrame:
    """Read again, exactly, whole numbers that became floats for a missing cell."""
    rounded = [name for name in frame.columns if may_be_rounded(frame[name])]
    if not rounded:
        return frame
    as_texts = _parse(path, content, delimiter, rounded)
    columns = {name: exact(as_texts[name]) for name in rounded}
    return frame.assign(**{name: column for name, column in columns.items() if column is not None})


def _holds_booleans(column: pd.Series) -> bool:
    if column.dtype == bool:
        return True
    return column.dtype == object and any(isinstance(cell, bool) for cell in column)


def _parse(
    path: Path, content: bytes, delimiter: str, texts: list[str] | None = None
) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                io.BytesIO(content),
                sep=delimiter,
                encoding="utf-8-sig",
                index_col=False,
                skipinitialspace=True,
                keep_default_na=False,
                na_values=sorted(MISSING),
                low_memory=False,
                usecols=texts,
                dtype=dict.fromkeys(texts, "str") if texts is not None else None,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, csv.Error, ValueError) as error:
        message = str(error).strip().splitlines()[0].removeprefix("Error tokenizing data. C error:")
        raise DataError(
            f"{path}: expected the same number of cells in every line, however: "
            f"{message.strip().rstrip('.')}. Mend the line; cells that hold a {delimiter!r} stand "
            "in quotes."
        ) from None


def _decompress(path: Path) -> bytes:
    ending = path.suffix.lower() if path.suffix.lower() in _MAGIC else ""
    raw = path.read_bytes()
    kind = next((kind for kind, magic in _MAGIC.items() if raw.startswith(magic)), "")
    if ending and ending != kind:
        raise DataError(
            f"{path}: expected a {ending} file, however: it starts with {raw[:4].hex(' ')}. "
            "Compress it again, or take the ending away when it is plain text."
        )
    try:
        if kind == ".gz":
            with pa.input_stream(pa.BufferReader(raw), compression="gzip") as stream:
                return bytes(stream.read())
        if kind == ".zst":
            with pa.input_stream(pa.BufferReader(raw), compression="zstd") as stream:
                return bytes(stream.read())
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        raise DataError(
            f"{path}: expected a whole {kind} file, however: {str(error).rstrip('.')}. "
            "Copy or download it again."
        ) from None
    return raw


def _check_utf8(path: Path, content: bytes) -> None:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(
            f"{path}: expected UTF-8 text, however: it is UTF-16. "
            f"Convert it: iconv -f UTF-16 -t UTF-8 {path.name} > utf8.csv"
        )
    if b"\0" in content[:SAMPLE_BYTES]:
        raise DataError(
            f"{path}: expected text, however: byte {content.index(0)} is zero. "
            "This is no CSV file; save the table as CSV."
        )
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(content), SAMPLE_BYTES):
        piece = content[start : start + SAMPLE_BYTES]
        try:
            decoder.decode(piece, final=start + SAMPLE_BYTES >= len(content))
        except UnicodeDecodeError as error:
            # The decoder keeps the head of a cut character, so its start may lie before `start`.
            place = start + error.start - (len(error.object) - len(piece))
            line = content.count(b"\n", 0, place) + 1
            raise DataError(
                f"{path}: expected UTF-8 text, however: byte {place} (line {line}) is "
                f"0x{content[place]:02x}. Convert it: iconv -f LATIN1 -t UTF-8 {path.name} > "
                "utf8.csv"
            ) from None


def _sniff(path: Path, content: bytes, usual: str) -> tuple[str, _Sample]:
    """Return the delimiter and the first lines split by it.

    Another delimiter than the usual one is taken only when every line has as many cells by it.
    """
    head = content[:SAMPLE_BYTES].decode("utf-8-sig", "ignore")
    if not head.strip():
        raise DataError(f"{path}: expected a table, however: the file holds only blanks.")
    is_whole = len(content) <= SAMPLE_BYTES
    samples = {delimiter: _split(head, delimiter, is_whole) for delimiter in DELIMITERS}
    if samples[usual].is_even:
        return usual, samples[usual]
    even = [delimiter for delimiter in DELIMITERS if samples[delimiter].is_even]
    if even:
        best = max(even, key=lambda delimiter: samples[delimiter].width)
        return best, samples[best]
    likely = max(DELIMITERS, key=lambda delimiter: samples[delimiter].width)
    if samples[usual].width == 1 and samples[likely].width > 1:
        if len(samples[likely].rows) == 1:
            return likely, samples[likely]
        raise DataError(
            f"{path}: expected columns parted by {DELIMITERS[usual]}, however: the header "
            f"{samples[usual].rows[0][0][:60]!r} looks parted by {DELIMITERS[likely]}, and not all "
            "lines have as many cells. Save the table again with commas."
        )
    return usual, samples[usual]


def _split(head: str, delimiter: str, is_whole: bool) -> _Sample:
    reader = csv.reader(io.StringIO(head), delimiter=delimiter, skipinitialspace=True)
    rows: list[list[str]] = []
    lines: list[int] = []
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
        pass  # a cell larger than the module takes; pandas says what is wrong
    return _Sample(rows or [[head]], lines or [1])


def _check_widths(path: Path, sample: _Sample) -> list[str]:
    """Refuse lines longer than the header, which would lose cells; say which are shorter."""
    notes = []
    for row, line in zip(sample.rows[1:], sample.lines[1:], strict=False):
        if len(row) > sample.width and any(row[sample.width :]):
            raise DataError(
                f"{path}: expected the same number of cells in every line, however: the header has "
                f"{sample.width} cells and line {line} has {len(row)}. Mend the header or the line."
            )
        if len(row) < sample.width:
            notes.append(
                f"line {line} has {len(row)} cells of {sample.width}: the others are read as "
                "missing"
            )
    return notes[:3]


def _check_header(path: Path, rows: list[list[str]]) -> list[str]:
    header = [cell.strip() for cell in rows[0]]
    header = [cell or f"Unnamed: {place}" for place, cell in enumerate(header)]
    advice = HEADER_ADVICE if looks_like_data(header) else ""
    if len(set(header)) != len(header):
        raise DataError(duplicates(str(path), header) + advice)
    if len(rows) == 1:
        raise DataError(
            f"{path}: expected rows, however: only a header of {len(header)} columns. "
            "Give a table with rows." + advice
        )
    return header


def looks_like_data(header: list[str]) -> bool:
    """Tell whether a header is more likely the first row of a table without one."""
    cells = sum(1 for cell in header if _is_number(cell) or cell in MISSING)
    return 4 * cells >= len(header) or any(_DECIMAL_POINT.fullmatch(cell) for cell in header)


def _are_places(header: list[str]) -> bool:
    """Tell whether the numbers among the names only count the columns: 0, 1, 2, … or 1, 2, …"""
    found = [cell for cell in header if _is_number(cell)]
    return any(found == [str(first + place) for place in range(len(found))] for first in (0, 1))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _with_commas_read(
    path: Path, frame: pd.DataFrame, reading: Reading
) -> tuple[pd.DataFrame, str]:
    """Read numbers that are written with commas; all of the file say together what these are.

    Returns: the table, and DECIMAL, THOUSANDS, or nothing where it is neither.
    Raises: DataError when they may be either.
    """
    # Of each column that may be such numbers: the first of them, and which of the two it may be.
    found: dict[str, tuple[str, bool, bool]] = {}
    has_points = False
    for name in frame.columns:
        column = frame[name]
        if name in reading.texts:
            continue
        if column.dtype.kind == "f":
            # Of whole numbers without gaps pandas makes no such column.
            known = column.dropna()
            has_points = has_points or len(known) == len(column) or not (known % 1 == 0).all()
        if column.dtype.kind != "O" and not isinstance(column.dtype, pd.StringDtype):
            continue
        cells = [str(cell).strip() for cell in column.dropna().unique()]
        with_comma = [cell for cell in cells if "," in cell]
        decimal = all(map(_DECIMAL_COMMA.fullmatch, with_comma))
        thousands = all(map(_THOUSANDS.fullmatch, with_comma))
        are_numbers = all("," in cell or _is_number(cell) for cell in cells)
        if with_comma and are_numbers and (decimal or thousands):
            found[name] = (with_comma[0], decimal, thousands)
            has_points = has_points or any("." in cell for cell in cells)
    may_be = {
        DECIMAL: not has_points and all(decimal for _, decimal, _ in found.values()),
        THOUSANDS: all(thousands for _, _, thousands in found.values()),
    }
    if not found or not any(may_be.values()):
        return frame, ""
    commas = next(what for what, may in may_be.items() if may)
    if all(may_be.values()):
        if not reading.commas:
            name, (cell, _, _) = next(iter(found.items()))
            raise DataError(
                f"{path}: expected numbers whose comma has one meaning, however: {cell!r} in "
                f"column {name!r} may be {cell.replace(',', '')} or {cell.replace(',', '.')}. "
                "Write the numbers without thousands separators, with a decimal point."
            )
        commas = reading.commas
    instead = "." if commas == DECIMAL else ""
    numbers = {
        name: pd.to_numeric(frame[name].astype("str").str.strip().str.replace(",", instead))
        for name in found
    }
    return frame.assign(**numbers), commas
