"""Parquet, Feather and Arrow tables keep the meaning of their columns, or are refused."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import feather, parquet

from autotrain.data.files import read_table
from autotrain.data.fingerprint import fingerprint
from autotrain.data.loading import load_dataset
from autotrain.errors import DataError

LARGE = [2**60 + 1, None, 2**60 + 2, 7]


class Stream:
    """A frame of another library that offers Arrow's stream."""

    columns = ("a",)

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __getitem__(self, name: str) -> list[int]:
        raise AssertionError(name)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)


def through(way: str, table: pa.Table, folder: Path) -> pd.DataFrame:
    if way == "parquet":
        parquet.write_table(table, folder / "t.parquet")
        return read_table(folder / "t.parquet").frame
    if way == "feather":
        feather.write_feather(table, str(folder / "t.feather"))
        return read_table(folder / "t.feather").frame
    return read_table(Stream(table) if way == "stream" else table).frame


@pytest.mark.parametrize("way", ["parquet", "feather", "arrow", "stream"])
def test_large_whole_numbers_with_a_gap_stay_exact(way: str, tmp_path: Path) -> None:
    table = pa.table({"a": LARGE, "u": pa.array([2**63 + 1, None, 1, 2], pa.uint64())})
    frame = through(way, table, tmp_path)
    assert frame["a"].dtype == "Int64"
    assert frame["a"].dropna().tolist() == [n for n in LARGE if n is not None]
    assert frame["u"].dropna().tolist() == [2**63 + 1, 1, 2]


@pytest.mark.parametrize("way", ["frame", "columns", "records", "structured", "parquet", "csv"])
def test_labels_beyond_2_53_are_those_of_the_table(way: str, tmp_path: Path) -> None:
    labels = [2**60 + 1, 2**60 + 2, 2**60 + 3]
    cells: list[int | None] = [labels[n % 3] for n in range(60)]
    columns: dict[str, list[Any]] = {"x": [n / 7 for n in range(60)], "y": cells}
    frame = pd.DataFrame({"x": columns["x"], "y": pd.array(cells, dtype="Int64")})
    if way != "structured":
        cells[4], frame.loc[4, "y"] = None, pd.NA
    source: Any = {
        "frame": frame,
        "columns": columns,
        "records": [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ],
        "structured": frame.astype({"y": "int64"} if way == "structured" else {}).to_records(
            index=False
        ),
    }.get(way, tmp_path / f"t.{way}")
    if way == "parquet":
        frame.to_parquet(source)
    elif way == "csv":
        frame.to_csv(source, index=False)
    data = load_dataset(source, "y")
    assert data.task == "multiclass"
    assert data.classes == tuple(labels)
    assert data.label_dtype == "int64"


def test_categories_stay_categories(tmp_path: Path) -> None:
    cells = pd.Categorical([30, 10, None, 30], categories=[30, 20, 10], ordered=True)
    table = pa.Table.from_pandas(pd.DataFrame({"a": cells}))
    for way in ("parquet", "arrow"):
        dtype: Any = through(way, table, tmp_path)["a"].dtype
        assert set(dtype.categories) == {30, 10} | ({20} if way == "arrow" else set())


def test_chunks_with_their_own_dictionaries_are_one_column() -> None:
    chunks = [pa.array(["a", "b"]).dictionary_encode(), pa.array(["b", None]).dictionary_encode()]
    frame = read_table(pa.table({"a": pa.chunked_array(chunks)})).frame
    assert frame["a"].astype(object).fillna("").tolist() == ["a", "b", "b", ""]


READ: dict[str, tuple[Any, list[Any]]] = {
    "string_view": (pa.array(["x", "y"], pa.string_view()), ["x", "y"]),
    "large_string": (pa.array(["x", "y"], pa.large_string()), ["x", "y"]),
    "binary_view": (pa.array([b"x", b"y"], pa.binary_view()), [b"x", b"y"]),
    "run-end encoded": (pc.run_end_encode(pa.array(["x", "x"])), ["x", "x"]),
    "float16": (pa.array([0.5, 2], pa.float16()), [0.5, 2]),
    "decimal": (pa.array([decimal.Decimal("1.5")] * 2), [decimal.Decimal("1.5")] * 2),
    "date": (pa.array([datetime.date(2024, 1, 2)] * 2), [datetime.date(2024, 1, 2)] * 2),
    "time": (pa.array([datetime.time(9, 30)] * 2), [datetime.time(9, 30)] * 2),
    "null": (pa.nulls(2), [None, None]),
    "dictionary of views": (
        pa.DictionaryArray.from_arrays([1, 0], pa.array(["x", "y"], pa.string_view())),
        ["y", "x"],
    ),
    "extension": (
        pa.ExtensionArray.from_storage(pa.json_(), pa.array(["1", "2"])),
        ["1", "2"],
    ),
}


@pytest.mark.parametrize("kind", READ)
def test_unusual_types_are_read(kind: str) -> None:
    array, wanted = READ[kind]
    frame = read_table(pa.table({"a": array})).frame
    assert frame["a"].tolist() == wanted


REFUSED: dict[str, Any] = {
    "list": pa.array([[1.0], [2.0]]),
    "large list": pa.array([[1.0], [2.0]], pa.large_list(pa.float64())),
    "struct": pa.array([{"b": 1}, {"b": 2}]),
    "map": pa.array([[("b", 1)], []], pa.map_(pa.string(), pa.int64())),
    "union": pa.UnionArray.from_sparse(
        pa.array([0, 0], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]
    ),
    "interval": pa.array([(1, 2, 3), (4, 5, 6)], pa.month_day_nano_interval()),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_error_names_the_type_of_a_column_without_cells(kind: str) -> None:
    with pytest.raises(DataError, match=r"column 'a' must have one number, text or date"):
        read_table(pa.table({"a": REFUSED[kind]}))


@pytest.mark.parametrize("target", ["a", "y"])
def test_objects_that_are_not_cells_are_refused(target: str) -> None:
    for cell in ([1, 2], (1, 2), {"b": 1}, np.zeros(2), 1 + 2j, frozenset("a")):
        frame = pd.DataFrame({"a": pd.Series([cell] * 20, dtype="object"), "y": [0, 1] * 10})
        with pytest.raises(DataError, match=r"'a'.* one (number|label)"):
            load_dataset(frame, target)


def test_complex_numbers_are_refused() -> None:
    frame = pd.DataFrame({"a": np.arange(20) * 1j, "y": [0, 1] * 10})
    for target in ("a", "y"):
        with pytest.raises(DataError, match="'a'"):
            load_dataset(frame, target)


FRAME = pd.DataFrame({"x": [1.5, 2.5, None]}, index=pd.Index([30, 40, 50], name="age"))


@pytest.mark.parametrize("way", ["frame", "parquet", "feather", "arrow"])
def test_named_index_is_a_column(way: str, tmp_path: Path) -> None:
    by_two = FRAME.assign(city=["a", "b", "c"]).set_index("city", append=True)
    for frame, names in ((FRAME, ["age", "x"]), (by_two, ["age", "city", "x"])):
        table = pa.Table.from_pandas(frame)
        read = read_table(frame).frame if way == "frame" else through(way, table, tmp_path)
        assert list(read.columns) == names
        assert read["age"].tolist() == [30, 40, 50]


@pytest.mark.parametrize("way", ["frame", "parquet"])
def test_unnamed_index_is_not_a_column(way: str, tmp_path: Path) -> None:
    for index in (pd.RangeIndex(3), pd.Index([5, 7, 6]), pd.Index(["a", "b", "c"])):
        frame = FRAME.set_axis(index, axis=0)
        table = pa.Table.from_pandas(frame)
        read = read_table(frame).frame if way == "frame" else through(way, table, tmp_path)
        assert list(read.columns) == ["x"]


@pytest.mark.parametrize("way", ["frame", "parquet"])
def test_range_with_a_name_is_a_column(way: str, tmp_path: Path) -> None:
    frame = FRAME.set_axis(pd.RangeIndex(4, 10, 2, name="step"), axis=0)
    table = pa.Table.from_pandas(frame)
    read = read_table(frame).frame if way == "frame" else through(way, table, tmp_path)
    assert read["step"].tolist() == [4, 6, 8]


def test_column_comes_before_an_index_of_its_name() -> None:
    frame = FRAME.assign(age=[1, 2, 3])
    assert read_table(frame).frame["age"].tolist() == [1, 2, 3]


def test_doubled_names_are_refused() -> None:
    table = pa.table([pa.array([1]), pa.array([2])], names=["a", "a "])
    with pytest.raises(DataError, match=r"'a' \(2 times\)"):
        read_table(table)


def test_folder_named_like_a_partition_is_not_a_column(tmp_path: Path) -> None:
    folder = tmp_path / "year=2024"
    folder.mkdir()
    assert list(through("parquet", pa.table({"a": [1]}), folder).columns) == ["a"]


def test_frame_in_the_other_byte_order_can_be_cut() -> None:
    frame = pd.DataFrame({"a": np.array([3, 1, 2], ">i4"), "b": ["x", "y", "z"]})
    read = read_table(frame).frame
    assert read.iloc[[2, 0]]["a"].tolist() == [2, 3]
    assert frame["a"].dtype == ">i4"


def test_fingerprint_equals_that_of_the_frame_of_pandas(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "n": [1, 2],
            "f": [0.5, None],
            "gap": pd.array([1, None], dtype="Int64"),
            "t": ["a", None],
            "day": [datetime.date(2024, 1, 1), None],
            "when": pd.date_range("2024-01-01", periods=2),
            "took": pd.to_timedelta([1, 2], unit="s"),
            "c": pd.Categorical(["u", None]),
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    mine = read_table(tmp_path / "t.parquet").frame
    assert fingerprint([mine], "n") == fingerprint([pd.read_parquet(tmp_path / "t.parquet")], "n")


@pytest.mark.parametrize("way", ["frame", "parquet", "feather", "arrow"])
@pytest.mark.parametrize("ordered", [True, False])
def test_categories_of_numbers_are_classes(way: str, ordered: bool, tmp_path: Path) -> None:
    grades = pd.Categorical([4.5, 3.0, 6.25] * 20, ordered=ordered)
    frame = pd.DataFrame({"x": np.arange(60) / 7, "y": grades})
    table = pa.Table.from_pandas(frame)
    read = frame if way == "frame" else through(way, table, tmp_path)
    data = load_dataset(read, "y")
    assert (data.task, data.classes) == ("multiclass", (3.0, 4.5, 6.25))
    assert data.task_reason == "multiclass: 3 categories"
    assert load_dataset(read, "y", task="regression").task == "regression"


def test_two_categories_are_binary() -> None:
    frame = pd.DataFrame({"x": np.arange(60) / 7, "y": pd.Categorical([3, 7] * 30)})
    assert load_dataset(frame, "y").task == "binary"
