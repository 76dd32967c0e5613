"""`read_table` finds the reader of a source, or raises an error that names the problem."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from autotrain.data.files import read_table
from autotrain.errors import DataError

FRAME = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None], "c": [0.5, 1.5, 2.5]})


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("t.csv", lambda path: FRAME.to_csv(path, index=False)),
        ("t.csv.gz", lambda path: FRAME.to_csv(path, index=False)),
        ("t.tsv", lambda path: FRAME.to_csv(path, index=False, sep="\t")),
        ("t.txt", lambda path: FRAME.to_csv(path, index=False)),
        ("t.parquet", lambda path: FRAME.to_parquet(path, index=False)),
        ("t.feather", lambda path: FRAME.to_feather(path)),
        ("T.CSV", lambda path: FRAME.to_csv(path, index=False)),
    ],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_every_file_type_gives_the_table(name: str, write: Any, kind: Any, tmp_path: Path) -> None:
    write(tmp_path / name)
    table = read_table(kind(tmp_path / name))
    pd.testing.assert_frame_equal(table.frame, FRAME)
    assert (table.name, table.kind, table.target) == (name[:1], "table", None)
    assert table.source == str(tmp_path / name)


def test_frame_is_read_and_not_changed() -> None:
    frame = FRAME.rename(columns={"a": 1}).set_index(pd.Index([3, 4, 5]))
    table = read_table(frame)
    assert list(table.frame.columns) == ["1", "b", "c"]
    assert list(frame.columns) == [1, "b", "c"]
    assert list(frame.index) == [3, 4, 5]
    assert (table.name, table.source) == ("frame", "data frame")
    assert read_table(table) is table


class OtherFrame:
    """A frame of another library that can become one of pandas."""

    columns = ("a",)

    def __getitem__(self, name: str) -> list[int]:
        raise AssertionError(name)

    def to_pandas(self) -> pd.DataFrame:
        return FRAME


def test_frame_of_another_library_is_read() -> None:
    pd.testing.assert_frame_equal(read_table(OtherFrame()).frame, FRAME)


def test_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    FRAME.to_csv(tmp_path / "t.csv", index=False)
    assert len(read_table("~/t.csv").frame) == 3


def test_error_of_a_missing_file_suggests_a_name(tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "titanic.csv", index=False)
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / "titanik.csv")
    assert "does not exist." in str(caught.value)
    assert f"Did you mean {tmp_path / 'titanic.csv'}?" in str(caught.value)
    with pytest.raises(DataError, match=r"contains titanic\.csv\."):
        read_table(tmp_path / "zzz")
    with pytest.raises(DataError, match=r"The folder .* does not exist either"):
        read_table(tmp_path / "no" / "titanic.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"The folder .* is empty"):
        read_table(tmp_path / "empty" / "titanic.csv")


def test_empty_file(tmp_path: Path) -> None:
    for name in ("a.csv", "a.parquet"):
        (tmp_path / name).touch()
        with pytest.raises(DataError, match="the file is empty"):
            read_table(tmp_path / name)


def test_folder_instead_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be a file, got an empty folder"):
        read_table(tmp_path)
    FRAME.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match=r"got a folder that contains t\.csv"):
        read_table(tmp_path)


@pytest.mark.parametrize("name", ["t.xlsx", "t.json", "t", "t.gz"])
def test_unknown_type(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"text")
    with pytest.raises(DataError, match=r"must end in one of \.csv, \.tsv.*Save the table as CSV"):
        read_table(tmp_path / name)


@pytest.mark.parametrize(("name", "kind"), [("t.parquet", "Parquet"), ("t.feather", "Feather")])
def test_broken_binary_tables(name: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"not at all")
    with pytest.raises(DataError, match=f"must be a {kind} file, but .*Write it again"):
        read_table(tmp_path / name)


def test_only_a_header_in_any_type(tmp_path: Path) -> None:
    FRAME.iloc[:0].to_parquet(tmp_path / "t.parquet", index=False)
    for source in (tmp_path / "t.parquet", FRAME.iloc[:0]):
        with pytest.raises(DataError, match="must have rows, got only a header of 3 columns"):
            read_table(source)


def test_doubled_names_in_a_frame() -> None:
    frame = pd.DataFrame([[1, 2]], columns=["a", " a"])
    with pytest.raises(DataError, match=r"data frame: column names must be unique.*'a' \(2"):
        read_table(frame)


@pytest.mark.parametrize("source", [5, None, [[1, 2]]])
def test_other_objects_are_refused(source: Any) -> None:
    with pytest.raises(
        DataError, match="data must be a path, sklearn:NAME, openml:ID or a data frame"
    ):
        read_table(source)
