"""Read formatted numbers, such as:

    1,234.5   1.234,5   1 234,5   1'234   1_234   $1,234   12 €   12.5 %   (3.2)   −5

Each cell is read in two ways: with a decimal point (`english`) and with a decimal comma
(`continental`). `read_cells` collects the evidence of all cells of a column, and
`number_columns.py` decides from all columns which way a file uses. This file imports only NumPy,
because the predictor reads such cells too.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autotrain.data.values import distinct, is_missing, number_of, numbers

POINT, COMMA = ".", ","
PERCENT = "%"
MANY_NUMBERS = 20
"""A column with more distinct numbers is a scale, not a set of codes."""
LONG_CODE = 6
"""Least number of digits of grouped numbers of equal length that may be codes."""
MOST_MARKERS = 3
LEAST_WITH_UNIT = 10
"""With fewer different cells such as "12 kg", a column may as well be one of categories."""
MOST_UNITS = 3
MOST_WITHOUT_UNIT = 0.05
_SIGNS = "- -- --- – — . .. ... ? ?? *"
_SHORT = "na n.a. n.a n/a n/d nd n.d. k.a. null none nil nan unk tbd"
_WORDS = "missing unknown undefined empty blank"
_ERRORS = "#n/a #value! #div/0! #ref! #num! #name? #null!"  # of spreadsheets
_PHRASES = ("not available", "not applicable", "not reported", "no data", "keine angabe", "k. a.")
MARKERS = frozenset([*f"{_SIGNS} {_SHORT} {_WORDS} {_ERRORS}".split(), *_PHRASES])
"""Texts, in lower case, that mean a missing number in a column of numbers."""

_SPACES = "\u00a0\u202f\u2009\u2007\u2008\u3000"
_PLAIN = str.maketrans(
    dict.fromkeys(_SPACES, " ") | dict.fromkeys("\u2212\u2013\ufe63\uff0d", "-") | {"’": "'"}
)
_CURRENCY = (
    r"(?:(?:US|AU|CA|NZ|HK|[ACRS])?\$|[¢-¥֏؋৲৳৻૱௹฿៛₠-⃀﷼﹩＄￠￡￥￦]|kr\.?|zł|Kč|Rs\.?|"
    r"(?:USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|RON|RUB|TRY|BRL|MXN|ZAR|KRW|"
    r"SGD|HKD|ILS|THB)\b)"
)
_CELL = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[+-])?\s*(?P<before>{_CURRENCY})?\s*(?P<inner>[+-])?"
    r"(?P<body>[.,]?[0-9](?:[0-9.,'_ ]*[0-9.,])?)(?P<power>[eE][+-]?[0-9]+)?"
    rf"\s*(?P<after>%|{_CURRENCY})?\s*(?P<close>\))?"
)
_WITH_WORD = re.compile(
    r"[<>~≈±]?\s*[+-]?[0-9][0-9.,' ]*?\s*(°?[^\W\d_]{1,4}(?:/[^\W\d_]{1,4})?[²³23]?)"
)
_PADDED = re.compile(r"0[0-9]+")


def _body(decimal: str, grouped: str) -> re.Pattern[str]:
    """Return the pattern of digits with this decimal mark and thousands separator."""
    point, mark = re.escape(decimal), re.escape(grouped)
    whole = rf"[0-9]+|[1-9][0-9]{{0,2}}(?:{mark}[0-9]{{3}})+"
    if grouped == COMMA:  # lakhs and crores: 12,34,567
        whole += r"|[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}"
    other = r"[1-9][0-9]{0,2}(?P<neutral>[ '_])[0-9]{3}(?:(?P=neutral)[0-9]{3})*"
    return re.compile(rf"(?P<whole>{whole}|{other})?(?:{point}(?P<fraction>[0-9]*))?")


_BODIES = {POINT: _body(POINT, COMMA), COMMA: _body(COMMA, POINT)}


@dataclass(frozen=True)
class Numeral:
    """The number format of one column.

    Args:
        decimal: the decimal mark, "." or ",".
        thousands: the thousands separator; empty for none.
        unit: "%" or a currency before or after the numbers; empty for none.
        missing: texts that mean a missing number in this column.
    """

    decimal: str = POINT
    thousands: str = ""
    unit: str = ""
    missing: tuple[str, ...] = ()

    def to_json(self) -> list[str]:
        """Return the fields as a list of strings; empty for plain numbers."""
        fields = [self.decimal, self.thousands, self.unit, *self.missing]
        return [] if self == PLAIN else fields

    @classmethod
    def from_json(cls, fields: Iterable[str]) -> Numeral:
        """Return the format from the result of `to_json`."""
        given = [*fields]
        decimal, thousands, unit = [*given, "", "", ""][:3]
        return cls(COMMA if decimal == COMMA else POINT, thousands, unit, tuple(given[3:]))

    @property
    def shows_mark(self) -> bool:
        """Whether the column shows the meaning of commas and points in its numbers."""
        return self.decimal == COMMA or self.thousands == COMMA


PLAIN = Numeral()


@dataclass(frozen=True)
class Written:
    """One cell as a number.

    Args:
        english: its value with a decimal point; None if it is not a number then.
        continental: its value with a decimal comma; None if it is not a number then.
        unit: see `Numeral`.
        groups: the thousands separator by decimal mark.
        n_digits: number of digits of the integer part if it is grouped by a mark other than a
            comma; otherwise 0.
        n_groups: number of thousands separators.
        is_sure: whether the cell shows the decimal mark by more than a single comma.
    """

    english: float | None
    continental: float | None
    unit: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)
    n_digits: int = 0
    n_groups: int = 0
    is_sure: bool = False

    def value(self, decimal: str) -> float | None:
        """Return the value with this decimal mark."""
        return self.english if decimal == POINT else self.continental

    @property
    def is_open(self) -> bool:
        """Whether both ways give a number, and the numbers differ."""
        both = self.english is not None and self.continental is not None
        return both and self.english != self.continental


def is_padded(cell: Any) -> bool:
    """Whether a cell is a string of digits with a leading zero, such as "007"."""
    return isinstance(cell, str) and _PADDED.fullmatch(cell.strip()) is not None


def written(cell: str) -> Written | None:
    """Return a text as a formatted number; None if it is not a number."""
    text = cell.strip().translate(_PLAIN)
    match = _CELL.fullmatch(text)
    if match is None:
        plain = number_of(text)  # such as inf
        return None if plain is None or math.isnan(plain) else Written(plain, plain)
    if bool(match["open"]) != bool(match["close"]) or (match["sign"] and match["inner"]):
        return None
    if match["before"] and match["after"]:
        return None
    if match["open"] and (match["sign"] or match["inner"]):
        return None
    is_negative = match["open"] or "-" in (match["sign"], match["inner"])
    if match["sign"] == "+" and re.search("[ '_]", match["body"]):
        return None  # a phone number
    values: dict[str, float | None] = {}
    groups: dict[str, str] = {}
    n_digits = n_groups = 0
    for decimal, pattern in _BODIES.items():
        body = pattern.fullmatch(match["body"])
        if body is None or not (body["whole"] or body["fraction"]):
            values[decimal] = None
            continue
        whole, fraction = body["whole"] or "", body["fraction"] or ""
        marks = re.sub(r"[0-9]", "", whole)
        digits = re.sub(r"[^0-9]", "", whole)
        number = float(f"{digits or 0}.{fraction or 0}{match['power'] or ''}")
        values[decimal] = -number if is_negative else number
        if marks:
            groups[decimal] = marks[0]
            if marks[0] != COMMA and len(digits) >= LONG_CODE:
                n_digits, n_groups = len(digits), len(marks)
    english, continental = values[POINT], values[COMMA]
    if english is None and continental is None:
        return None
    unit = match["before"] or match["after"] or ""
    found = set(match["body"]) - set("0123456789")
    is_sure = bool(unit) or len(found) > 1 or found == {POINT} or match["body"].count(COMMA) > 1
    return Written(english, continental, unit.strip(), groups, n_digits, n_groups, is_sure)


def resembling_numbers(texts: Sequence[str]) -> list[int]:
    """Return the indices of texts that are numbers; empty if all of these are plain numbers.

    This includes numbers with the same word after them, such as "12 kg".
    """
    words = [match[1] if (match := _WITH_WORD.fullmatch(text.strip())) else "" for text in texts]
    most = max({*words} - {""}, key=words.count, default=None)
    are_plain = [number_of(text) is not None for text in texts]
    found = [
        place
        for place, (text, word) in enumerate(zip(texts, words, strict=True))
        if are_plain[place] or word == most or written(text) is not None
    ]
    return [] if all(are_plain[place] for place in found) else found


def units_of(texts: Sequence[str]) -> dict[str, str]:
    """Return the unknown units of a column of numbers, each with an example.

    Args:
        texts: the different cells of a column.
    Returns: the cell "12 kg" by the unit "kg", the most frequent unit first; empty unless nearly
        all cells are numbers with one of a few units.
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        match = _WITH_WORD.fullmatch(text.strip())
        if match is not None and written(text) is None:
            found.setdefault(match[1], []).append(text.strip())
    n_with_unit = sum(map(len, found.values()))
    n_others = sum(text.strip().lower() not in MARKERS for text in texts) - n_with_unit
    is_little = n_with_unit < LEAST_WITH_UNIT or len(found) > MOST_UNITS
    if is_little or n_others > MOST_WITHOUT_UNIT * len(texts):
        return {}
    by_number = sorted(found, key=lambda unit: -len(found[unit]))
    return {unit: found[unit][0] for unit in by_number}


@dataclass(frozen=True)
class Cells:
    """The distinct cells of one column, sorted by their meaning.

    Args:
        numbers: the distinct cells that are numbers.
        markers: the distinct texts for a missing number.
        others: the distinct cells that are neither.
    """

    numbers: Mapping[str, Written]
    markers: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @functools.cached_property
    def decimals(self) -> tuple[str, ...]:
        """The decimal marks with which all cells are numbers."""
        cells = self.numbers.values()
        return tuple(
            decimal
            for decimal in (POINT, COMMA)
            if all(cell.value(decimal) is not None for cell in cells)
        )

    @functools.cached_property
    def has_padded(self) -> bool:
        """Whether some cell has a leading zero, which a number would lose."""
        return any(map(is_padded, self.numbers))

    @functools.cached_property
    def open_cell(self) -> str | None:
        """The first cell whose value depends on the decimal mark; None if there is no such cell."""
        return next((text for text, cell in self.numbers.items() if cell.is_open), None)

    @functools.cached_property
    def is_sure(self) -> bool:
        """Whether some cell shows the decimal mark by more than a single comma."""
        return any(
            cell.is_sure and (cell.english is None or cell.continental is None)
            for cell in self.numbers.values()
        )

    @property
    def units(self) -> set[str]:
        """The units, with "" for a nonzero number without a unit."""
        cells = self.numbers.values()
        return {cell.unit for cell in cells if cell.unit or cell.english != 0}

    @property
    def has_clear_unit(self) -> bool:
        """Whether all numbers have the same unit; only a currency may be omitted in some cells."""
        named = self.units - {""}
        return len(named) < 2 and not (PERCENT in named and "" in self.units)

    @property
    def may_be_codes(self) -> bool:
        """Whether all numbers are grouped and have the same length, like phone numbers."""
        cells = list(self.numbers.values())
        lengths = {cell.n_digits for cell in cells}
        if len(cells) < 3 or len(lengths) > 1 or 0 in lengths:
            return False
        by_point = any(cell.groups.get(COMMA) == POINT for cell in cells)
        return all(cell.n_groups > 1 for cell in cells) if by_point else True

    @property
    def are_many(self) -> bool:
        """Whether the number of distinct numbers is large enough for a scale."""
        return len(self.numbers) > MANY_NUMBERS

    def numeral(self, decimal: str) -> Numeral:
        """Return the number format of the column, with this decimal mark."""
        cells = self.numbers.values()
        grouped = [cell.groups[decimal] for cell in cells if decimal in cell.groups]
        has_mark = any(cell.english != cell.continental for cell in cells)
        unit = next((cell.unit for cell in cells if cell.unit), "")
        mark = decimal if has_mark else POINT
        return Numeral(mark, grouped[0] if grouped else "", unit, self.markers)

    def value(self, text: str, decimal: str) -> float:
        """Return the number in a cell; NaN for a marker."""
        cell = self.numbers.get(text)
        value = None if cell is None else cell.value(decimal)
        return math.nan if value is None else value


def read_cells(texts: Iterable[str], missing: Iterable[str] = ()) -> Cells:
    """Sort the distinct cells of a column into numbers, texts for a missing number, and others.

    Args:
        missing: texts that are known to mean a missing number.
    """
    known = set(missing)
    found: dict[str, Written] = {}
    markers: list[str] = []
    others: list[str] = []
    for text in texts:
        stripped = text.strip()
        cell = None if stripped in known else written(text)
        if cell is not None:
            found[text] = cell
        elif stripped in known or stripped.lower() in MARKERS:
            markers.append(text)
        else:
            others.append(text)
    stripped_markers = tuple(dict.fromkeys(text.strip() for text in markers))
    if len(set(stripped_markers) - known) > MOST_MARKERS:
        others += markers
        stripped_markers = ()
    return Cells(found, stripped_markers, tuple(others))


def numbers_like(values: np.ndarray, known: Numeral) -> tuple[np.ndarray, int | None]:
    """Read a column `[N]` like `values.numbers`, but text in the format of the training table.

    Raises:
        TypeError: as `values.distinct`.
    """
    if values.dtype.kind in "OUT" and known.decimal == COMMA:
        return written_numbers(values, known)
    read, bad = numbers(values)
    return (read, bad) if bad is None else written_numbers(values, known)


def written_numbers(values: np.ndarray, known: Numeral) -> tuple[np.ndarray, int | None]:
    """Read a column of cells in the format of the training table's column.

    The cells' own marks take precedence. The training table decides only what is ambiguous.

    Args:
        values: `[N]` cells of any kind.
        known: number format of the training table's column.
    Returns: float64 `[N]`, and the index of the first row that is not a number in the same unit.
    """
    cells, inverse = distinct(values)
    texts = [cell for cell in cells if isinstance(cell, str) and not is_missing(cell)]
    found = read_cells(texts, known.missing)
    is_learned = known.decimal in found.decimals and (
        found.open_cell is None or COMMA not in found.open_cell or known.shows_mark
    )
    mark = known.decimal if is_learned else ("".join(found.decimals) or POINT)
    read: list[float | None] = []
    for cell in cells:
        value = number_of(cell)
        if isinstance(cell, str) and not is_missing(cell):
            number = found.numbers.get(cell)
            value = math.nan if cell.strip() in found.markers else None
            if number is not None and same_unit(number.unit, known):
                value = number.value(mark) if len(mark) == 1 else None
        read.append(value)
    bad = [place for place, value in enumerate(read) if value is None]
    table = np.array([math.nan if value is None else value for value in read])
    first = int(np.flatnonzero(np.isin(inverse, bad))[0]) if bad else None
    return table[inverse] if cells else np.empty(0), first


def same_unit(unit: str, known: Numeral) -> bool:
    """Whether a unit matches the training table's column; cells may omit the unit."""
    if not unit or (not known.unit and unit != PERCENT):
        return True
    return unit == known.unit
