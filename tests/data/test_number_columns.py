"""Columns of formatted numbers are read from the evidence of all columns of the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autotrain.data.columns import read_columns
from autotrain.data.files import RawTable, read_table
from autotrain.data.reading import Reading
from autotrain.data.targets import read_target
from autotrain.errors import DataError


def read(
    folder: Path, columns: dict[str, list[str]], mark: str = ";", reading: Reading | None = None
) -> RawTable:
    """Read columns as a text file."""
    rows = zip(*columns.values(), strict=True)
    lines = [mark.join(f'"{cell}"' if mark in cell else cell for cell in row) for row in rows]
    path = folder / "table.csv"
    path.write_text("\n".join([mark.join(columns), *lines]) + "\n", encoding="utf-8")
    return read_table(path, reading or Reading())


WHOLE = {"a": ["61.407", "8.250", "1.003"]}
SMALL = {"b": ["0,25", "-1,5", "7"]}


@pytest.mark.parametrize(
    ("columns", "mark", "wanted"),
    [
        (WHOLE | SMALL, ";", [61407, 8250, 1003]),
        (WHOLE | {"b": ["0.25", "1.5", "7"]}, ";", [61.407, 8.25, 1.003]),
        (WHOLE | {"b": ["1.234,5", "1", "7"]}, ",", [61407, 8250, 1003]),
        (WHOLE | {"b": ["x", "y", "z"]}, ",", [61.407, 8.25, 1.003]),
        (WHOLE, ";", [61.407, 8.25, 1.003]),
        ({"a": ["61.407", "8.250", ""]} | SMALL, ";", [61407, 8250, np.nan]),
        ({"a": ["61,407", "8,250", "1"], "b": ["0.5", "2", "3"]}, ",", [61407, 8250, 1]),
        ({"a": ["61,407", "8,250", "1"], "b": ["2,000,000", "2", "3"]}, ",", [61407, 8250, 1]),
        ({"a": ["61,407", "8,250", "1"], "b": ["0,5", "2", "3"]}, ";", [61.407, 8.25, 1]),
        # One text that may be a pair of numbers says nothing against points.
        (
            WHOLE | {"b": ["48,11", "52,3", "1,5"], "c": ["0.5", "1", "2"]},
            ",",
            [61.407, 8.25, 1.003],
        ),
    ],
)
def test_marks_are_inferred_from_all_columns(
    columns: dict[str, list[str]], mark: str, wanted: list[float], tmp_path: Path
) -> None:
    columns = {"id": ["k", "l", "m"], **columns}
    assert read(tmp_path, columns, mark).frame["a"].tolist() == pytest.approx(wanted, nan_ok=True)


@pytest.mark.parametrize(
    ("columns", "mark"),
    [
        ({"a": ["61,407", "8,250", "1"], "b": ["x", "y", "z"]}, ","),
        ({"a": ["61,407", "8,250", "1"], "b": ["x", "y", "z"]}, ";"),
        # Points are sure in one column and commas in another.
        (WHOLE | {"b": ["1.234,5", "1", "7"], "c": ["0.5", "1", "2"]}, ";"),
        # Numbers that may be codes show points that part thousands.
        (WHOLE | {"b": ["6.463.343", "7.056.020", "8.577.766"]}, ","),
        # In a file that commas part, a comma alone does not say what points are.
        (WHOLE | {"b": ["0,25", "1,5", "7"]}, ","),
    ],
)
def test_ambiguous_numbers_are_refused(
    columns: dict[str, list[str]], mark: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"column 'a'.* may be .*--decimal") as caught:
        read(tmp_path, columns, mark)
    assert "61" in str(caught.value)
    for decimal, value in ((".", 0), (",", 1)):
        table = read(tmp_path, columns, mark, Reading.of({"decimal": decimal}))
        text = columns["a"][0]
        both = [float(text.replace(",", "")), float(text.replace(".", "").replace(",", "."))]
        assert table.frame["a"][0] == both[value]


def test_unexplained_points_give_a_notice(tmp_path: Path) -> None:
    columns = {"a": ["61.407", "8.250", "1.003"], "b": ["x", "y", "z"]}
    notes = read(tmp_path, columns).notes
    assert any("column 'a': points are read as decimal marks" in note for note in notes)
    assert not read(tmp_path, columns, ",").notes
    table = read(tmp_path, columns, ";", Reading.of({"thousands": "."}))
    assert table.frame["a"].tolist() == [61407, 8250, 1003]


FORMATS = {
    "currency": (["$1,250.75", "$3", "-$2.50"], [1250.75, 3, -2.5], "the unit '$'"),
    "percent": (["12.5 %", "7%", "0"], [12.5, 7, 0], "the unit '%'"),
    "brackets": (["(3.25)", "7.5", "0"], [-3.25, 7.5, 0], "'(3.25)' as -3.25"),
    "narrow spaces": (["1\u202f250", "12", "7"], [1250, 12, 7], "thousands separator"),
    "minus": (["\u22125", "7", "8"], [-5, 7, 8], "as -5"),
    "dash": (["-", "7", "8"], [np.nan, 7, 8], "'-' (1 cell) is read as missing"),
    "point": ([".", "7", "8"], [np.nan, 7, 8], "'.' (1 cell) is read as missing"),
}


@pytest.mark.parametrize("what", FORMATS)
@pytest.mark.parametrize("is_frame", [False, True])
def test_formats_are_read_with_a_notice(what: str, is_frame: bool, tmp_path: Path) -> None:
    cells, wanted, told = FORMATS[what]
    columns = {"a": cells, "b": ["0.5", "1", "2"]}
    table = read_table(pd.DataFrame(columns)) if is_frame else read(tmp_path, columns)
    np.testing.assert_array_equal(table.frame["a"].astype(float), wanted)
    (note,) = (note for note in table.notes if "'a'" in note)
    assert told in note


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (["5 %", "6", "7 %"], "different units"),
        (["$5", "€6", "7"], "different units"),
        (["1,5", "3.5", "2"], "in different formats"),
        (["555 123 456", "555 987 654", "600 111 222"], "phone numbers"),
        (["unknown", "1", "2"], "--missing 'unknown'"),
    ],
)
def test_uncertain_numbers_stay_texts(cells: list[str], told: str, tmp_path: Path) -> None:
    table = read(tmp_path, {"a": cells, "b": ["0.5", "1", "2"]})
    assert table.frame["a"].tolist() == cells
    (note,) = (note for note in table.notes if "'a'" in note)
    assert told in note
    assert "read as text" in note


def test_options_decide_uncertain_cases(tmp_path: Path) -> None:
    cells = ["555 123 456", "555 987 654", "600 111 222"]
    table = read(tmp_path, {"a": cells}, reading=Reading.of({"thousands": " "}))
    assert table.frame["a"][0] == 555123456
    cells = ["unknown", "1", "2"]
    table = read(tmp_path, {"a": cells}, reading=Reading.of({"missing": ["unknown"]}))
    assert table.frame["a"].isna().tolist() == [True, False, False]
    frame = pd.DataFrame({"a": cells, "b": ["x", "unknown", "y"]})
    table = read_table(frame, Reading.of({"missing": ["unknown"]}))
    assert table.frame.isna().sum().tolist() == [1, 1]
    assert frame["b"][1] == "unknown"


def test_word_among_many_numbers_is_a_missing_cell(tmp_path: Path) -> None:
    cells = [*(str(number / 2) for number in range(40)), *["Unknown"] * 60]
    table = read(tmp_path, {"a": cells, "b": ["x"] * 100})
    assert int(table.frame["a"].isna().sum()) == 60
    # Another word gets a notice.
    cells = [*(str(number / 2) for number in range(40)), *["shut"] * 30]
    (note,) = read(tmp_path, {"a": cells, "b": ["x"] * 70}).notes[1:]
    assert "30 other cells (for example 'shut')" in note


@pytest.mark.parametrize("is_frame", [False, True])
def test_leading_zeros_are_kept_with_a_notice(is_frame: bool, tmp_path: Path) -> None:
    columns = {"zip": ["00501", "02134", "90210", ""], "n": ["10", "20", "30", "40"]}
    table = read_table(pd.DataFrame(columns)) if is_frame else read(tmp_path, columns)
    assert table.frame["zip"].tolist()[:3] == ["00501", "02134", "90210"]
    (column, number), (note,) = read_columns(table.frame)
    assert (column.kind, number.kind) == ("categorical", "numeric")
    assert "leading zeros (for example '00501')" in note


def test_other_codes_stay_texts(tmp_path: Path) -> None:
    columns = {
        "version": ["1.2.3", "1.10.0", "2.0.1"],
        "date": ["09.03.2024", "10.03.2024", "11.03.2024"],
        "phone": ["+49 170 5551234", "555-1234", "(555) 123-4567"],
        "address": ["10.0.0.1", "192.168.100.200", "127.0.0.1"],
    }
    frame = read(tmp_path, columns).frame
    assert frame.to_dict("list") == columns


@pytest.mark.parametrize(
    "cells",
    [
        [f"{number} kg" for number in range(50)],
        [f"{number}.5" if number % 2 else f"{number},5" for number in range(50)],
        [*(str(number) for number in range(40)), *["shut"] * 30],
    ],
)
def test_target_of_numbers_never_becomes_classes(cells: list[str]) -> None:
    with pytest.raises(DataError, match="task multiclass"):
        read_target(np.array(cells, dtype=object), "y")
    assert read_target(np.array(cells * 2, dtype=object), "y", "multiclass").task == "multiclass"


def test_frame_keeps_its_own_index_and_cells() -> None:
    frame = pd.DataFrame({"a": ["1,250", None, 3.5, "7"]}, index=[3, 3, 5, 9])
    table = read_table(frame.assign(b=[0.5, 1, 2, 3]))
    assert table.frame["a"].tolist()[::2] == [1250, 3.5]
    assert frame["a"].tolist()[0] == "1,250"


def test_names_are_for_files_only() -> None:
    with pytest.raises(DataError, match="names and header must be omitted"):
        read_table(pd.DataFrame({"a": [1]}), Reading.of({"names": ["b"]}))


@pytest.mark.parametrize(
    "options",
    [{"decimal": "x"}, {"thousands": "-"}, {"names": "a,b"}, {"missing": [1]}, {"quote": "'"}],
)
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(DataError, match=next(iter(options))):
        Reading.of(options)


def test_one_notice_names_all_columns_with_unknown_units(tmp_path: Path) -> None:
    weights = [f"{number} kg" for number in range(40)]
    speeds = [f"{number}.5 km/h" if number % 2 else f"{number} m/s" for number in range(40)]
    columns = {"weight": weights, "speed": speeds, "floor": ["1st", "2nd"] * 20}
    table = read(tmp_path, columns)
    (note,) = (note for note in table.notes if "unit" in note)
    assert table.frame.to_dict("list") == columns
    for part in ("'weight'", "'speed'", "'kg'", "'0 kg'", "'1.5 km/h'", "Remove the unit"):
        assert part in note


def test_codes_and_few_sizes_have_no_unit(tmp_path: Path) -> None:
    codes = [f"{number}{letter}" for number in range(10) for letter in "ABCD"]
    notes = read(tmp_path, {"seat": codes, "size": ["5 kg", "10 kg"] * 20}).notes
    assert not [note for note in notes if "unit" in note]
