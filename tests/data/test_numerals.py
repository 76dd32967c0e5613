"""Formatted numbers are read, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from autotrain.data.numerals import (
    Numeral,
    is_padded,
    numbers_like,
    read_cells,
    resembling_numbers,
    written,
)

CELLS: list[tuple[str, float | None, float | None, str]] = [
    ("8,217.5", 8217.5, None, ""),
    ("8.217,5", None, 8217.5, ""),
    ("61.407", 61.407, 61407.0, ""),
    ("61,407", 61407.0, 61.407, ""),
    ("0,33", None, 0.33, ""),
    ("0.33", 0.33, None, ""),
    ("7,654,321", 7654321.0, None, ""),
    ("7.654.321,9", None, 7654321.9, ""),
    ("12,34,567", 1234567.0, None, ""),
    ("9 871", 9871.0, 9871.0, ""),
    ("9\u00a0871", 9871.0, 9871.0, ""),
    ("9\u202f871,25", None, 9871.25, ""),
    ("9'871.25", 9871.25, None, ""),
    ("9’871", 9871.0, 9871.0, ""),
    ("9_871", 9871.0, 9871.0, ""),
    ("$8,217.50", 8217.5, None, "$"),
    ("-$8", -8.0, -8.0, "$"),
    ("$-8", -8.0, -8.0, "$"),
    ("US$ 8", 8.0, 8.0, "US$"),
    ("8 €", 8.0, 8.0, "€"),
    ("CHF 8'217.50", 8217.5, None, "CHF"),
    ("33.5 %", 33.5, None, "%"),
    ("33%", 33.0, 33.0, "%"),
    ("(4.75)", -4.75, None, ""),
    ("($4)", -4.0, -4.0, "$"),
    ("\u22126", -6.0, -6.0, ""),
    ("+6", 6.0, 6.0, ""),
    ("2,5e3", None, 2500.0, ""),
    (" 42 ", 42.0, 42.0, ""),
]


@pytest.mark.parametrize(("text", "english", "continental", "unit"), CELLS)
def test_formatted_numbers_are_read(
    text: str, english: float | None, continental: float | None, unit: str
) -> None:
    cell = written(text)
    assert cell is not None
    assert (cell.english, cell.continental, cell.unit) == (english, continental, unit)


@pytest.mark.parametrize(
    "text",
    [
        *("1.2.3", "10.4.17.2", "2024-03-09", "09.03.2024", "9:45", "1,2,3", "1 23", "12 3456"),
        *("1,23,4", "(5", "5)", "-(5)", "--5", "$5€", "5 kg", "A5", "+49 170 555", "", "-", "n/a"),
        *("1,234.567,8", "1.234.5", "0,123,456", "1__234", "5 %%", "1 234 56"),
    ],
)
def test_other_texts_are_not_numbers(text: str) -> None:
    assert written(text) is None


def test_texts_with_leading_zeros_are_not_numbers() -> None:
    found = {text: is_padded(text) for text in ("007", "-01", "0", "0.5", "00.5", "70", " 0123 ")}
    assert [text for text, padded in found.items() if padded] == ["007", " 0123 "]


def test_cells_of_a_column_give_evidence() -> None:
    cells = read_cells(["1,5", "2.000", "n.a.", "gone"], missing=["gone"])
    assert cells.decimals == (",",)
    assert cells.numeral(",") == Numeral(",", ".", "", ("n.a.", "gone"))
    assert cells.value("2.000", ",") == 2000
    assert np.isnan(cells.value("n.a.", ","))
    assert read_cells(["1,5", "abc"]).others == ("abc",)
    # More words than a few are no words for a missing number.
    assert len(read_cells(["1", "-", ".", "*", "n.d."]).others) == 4


def test_column_must_have_one_unit() -> None:
    assert read_cells(["5 %", "6%", "0"]).has_clear_unit
    assert read_cells(["$5", "6"]).has_clear_unit
    assert not read_cells(["5 %", "6"]).has_clear_unit
    assert not read_cells(["$5", "€6"]).has_clear_unit


def test_groups_of_one_length_may_be_phone_numbers() -> None:
    assert read_cells(["555 123 456", "555 987 654", "600 111 222"]).may_be_codes
    assert read_cells(["560 001", "560 034", "110 092"]).may_be_codes
    assert not read_cells(["555 123 456", "87 654", "600"]).may_be_codes
    assert not read_cells(["49 203", "97 647", "69 303"]).may_be_codes


LIKE: list[tuple[list[object], Numeral, list[float], int | None]] = [
    (["61.407", "0"], Numeral(",", "."), [61407, 0], None),
    (["61.407", "0.5"], Numeral(",", "."), [61.407, 0.5], None),
    (["61.407", 2.5, None], Numeral(",", "."), [61407, 2.5, np.nan], None),
    (["61.407"], Numeral(), [61.407], None),
    (["61,407"], Numeral(".", ","), [61407], None),
    (["61,407"], Numeral(), [np.nan], 0),
    (["7", "gone", "-"], Numeral(missing=("gone",)), [7, np.nan, np.nan], None),
    (["7", "gone"], Numeral(), [7, np.nan], 1),
    (["7 %", "8"], Numeral(unit="%"), [7, 8], None),
    (["8", "7 %"], Numeral(), [8, np.nan], 1),
    (["$7"], Numeral(), [7], None),
    (["$7"], Numeral(unit="€"), [np.nan], 0),
    (["1,5", "abc", "2.5"], Numeral(), [np.nan, np.nan, 2.5], 0),
]


@pytest.mark.parametrize(("cells", "known", "wanted", "bad"), LIKE)
def test_cells_are_read_as_in_training(
    cells: list[object], known: Numeral, wanted: list[float], bad: int | None
) -> None:
    found, first = numbers_like(np.array(cells, dtype=object), known)
    assert first == bad
    np.testing.assert_array_equal(found, wanted)


def test_numeral_is_the_same_when_it_is_read_again() -> None:
    for numeral in (Numeral(), Numeral(",", "."), Numeral(unit="%", missing=("-", "n.a."))):
        assert Numeral.from_json(numeral.to_json()) == numeral


def test_texts_that_resemble_numbers() -> None:
    assert resembling_numbers(["12 kg", "15 kg", "7.5kg", "abc"]) == [0, 1, 2]
    assert resembling_numbers(["12", "15", "abc"]) == []
    assert resembling_numbers(["12", "1,5", "2.5"]) == [0, 1, 2]
