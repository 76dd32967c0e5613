"""Names of a text file's columns: its first line, the user's, or the training table's."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotrain.data.files import RawTable, read_table
from autotrain.data.labelled import target_of
from autotrain.data.reading import Reading
from autotrain.errors import DataError

ROWS = ["e,x,s,n", "p,x,y,w", "e,b,s,n", "e,x,s,w"]


def read(folder: Path, lines: list[str], **options: object) -> RawTable:
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return read_table(path, Reading.of(options))


@pytest.mark.parametrize(
    "lines",
    [
        ROWS,
        ["'5.1','3.5','a'", "'4.9','3.0','b'", "'4.7','3.2','a'"],
        ["Ulm,yes,Ada", "Bonn,yes,Bob", "Ulm,no,Cy"],
        ["7,12,a", "8,14,b"],
    ],
)
def test_first_line_that_looks_like_a_row_gives_a_notice(lines: list[str], tmp_path: Path) -> None:
    (note,) = (note for note in read(tmp_path, lines).notes if "looks like data" in note)
    assert "--no-header" in note
    assert "--names" in note
    assert not [n for n in read(tmp_path, lines, header=True).notes if "looks like data" in n]
    table = read(tmp_path, lines, header=False)
    assert len(table.frame) == len(lines)
    assert list(table.frame) == [f"x{place}" for place in range(1, len(table.frame.columns) + 1)]
    assert not [n for n in table.notes if "looks like data" in n]


def test_names_that_occur_once_below_are_names(tmp_path: Path) -> None:
    lines = ["name,city,age", "city,Ulm,31", "Ada,Bonn,44"]
    assert read(tmp_path, lines).notes == ()
    # The header of another part of the file is no row.
    assert read(tmp_path, ["name,city", "Ada,Bonn", "name,city", "Bob,Ulm"]).notes == ()


def test_doubled_cells_of_a_row_get_the_right_advice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"column names must be unique.*--no-header"):
        read(tmp_path, ["e,x,x,n", "p,x,x,w", "e,b,x,n"])


def test_given_names_are_used(tmp_path: Path) -> None:
    table = read(tmp_path, ROWS, names=["kind", "cap", "face", "hue"])
    assert (list(table.frame), len(table.frame)) == (["kind", "cap", "face", "hue"], 4)
    named = read(tmp_path, ["kind,cap,face,hue", *ROWS], names=["kind", "cap", "face", "hue"])
    assert len(named.frame) == 4
    with pytest.raises(DataError, match="one name for each of the 4 columns, got 2"):
        read(tmp_path, ROWS, names=["kind", "cap"])


@pytest.mark.parametrize(
    ("target", "name"), [("x2", "x2"), ("2", "x2"), ("-1", "x4"), ("5", None), ("0", None)]
)
def test_target_by_its_position(target: str, name: str | None, tmp_path: Path) -> None:
    table = read(tmp_path, ROWS, header=False)
    if name is not None:
        assert target_of(table, target) == name
        return
    with pytest.raises(DataError, match="no target column"):
        target_of(table, target)


def test_positions_are_for_files_without_names_only(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no target column '1'"):
        target_of(read(tmp_path, ["a,b", "1,2", "3,4"]), "1")


def test_single_row_without_names_is_a_table(tmp_path: Path) -> None:
    assert read(tmp_path, ["1,2,3"], header=False).frame.to_numpy().tolist() == [[1, 2, 3]]


def test_control_characters_of_a_name_are_shown_as_escapes(tmp_path: Path) -> None:
    notes = read(tmp_path, ["7,\x1b[2J,x", "8,1,b"]).notes
    assert notes
    assert not any("\x1b" in note for note in notes)
