"""NPZ files and IDX pictures become tables with the column "target"."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotrain.data.files import read_table
from autotrain.data.loading import load_dataset
from autotrain.errors import DataError

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (12, 4, 3), dtype=np.uint8)
LABELS = np.arange(12, dtype=np.uint8) % 3


def idx(array: np.ndarray, code: int = 8) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + (
        array.astype(array.dtype.newbyteorder(">")).tobytes()
    )


def write_idx(folder: Path, part: str = "train", ending: str = "-ubyte") -> Path:
    is_gz = ending.endswith(".gz")
    images = folder / f"{part}-images-idx3{ending}"
    labels = folder / f"{part}-labels-idx1{ending}"
    for path, array in ((images, PICTURES), (labels, LABELS)):
        path.write_bytes(gzip.compress(idx(array)) if is_gz else idx(array))
    return images


@pytest.mark.parametrize("ending", ["-ubyte", "-ubyte.gz"])
def test_file_of_pictures_finds_its_labels(ending: str, tmp_path: Path) -> None:
    table = read_table(write_idx(tmp_path, ending=ending))
    assert (table.kind, table.target, table.test_frame) == ("pixels", "target", None)
    assert list(table.frame.columns) == [f"pixel_{place}" for place in range(12)] + ["target"]
    np.testing.assert_array_equal(table.frame.iloc[:, :-1], PICTURES.reshape(12, 12))
    np.testing.assert_array_equal(table.frame["target"], LABELS)
    assert table.frame["pixel_0"].dtype == np.uint8


@pytest.mark.parametrize("part", ["t10k", "test"])
def test_folder_gives_training_and_test_pictures(part: str, tmp_path: Path) -> None:
    write_idx(tmp_path)
    assert read_table(tmp_path).test_frame is None
    write_idx(tmp_path, part)
    table = read_table(str(tmp_path))
    assert table.test_frame is not None
    assert table.frame.shape == table.test_frame.shape == (12, 13)


def test_numbers_of_other_types_are_read(tmp_path: Path) -> None:
    values = RNG.normal(size=(4, 5)).astype(np.float32)
    (tmp_path / "x-images.idx2").write_bytes(idx(values, 13))
    (tmp_path / "x-labels.idx2").write_bytes(idx(LABELS[:4]))
    frame = read_table(tmp_path / "x-images.idx2").frame
    np.testing.assert_array_equal(frame.iloc[:, :-1], values)
    assert frame["pixel_0"].dtype == np.float32  # in the machine's byte order


def test_wrong_idx_files_are_refused(tmp_path: Path) -> None:
    images = write_idx(tmp_path)
    labels = tmp_path / "train-labels-idx1-ubyte"
    whole = images.read_bytes()
    for content, part in [
        (whole[:-1], "must have 144 bytes of data for shape (12, 4, 3), got 143"),
        (b"abcd", "it starts with 61 62 63 64"),
        (b"", "it starts with nothing"),
        (idx(PICTURES[:5]), "one label for each image"),
    ]:
        images.write_bytes(content)
        with pytest.raises(DataError) as caught:
            read_table(images)
        assert part in str(caught.value)
    with pytest.raises(DataError, match="it contains labels"):
        read_table(labels)
    images.write_bytes(whole)
    labels.unlink()
    with pytest.raises(DataError, match="its labels in the same folder as train-labels-idx1-ubyte"):
        read_table(images)
    broken = tmp_path / "b-images-idx3-ubyte.gz"
    broken.write_bytes(gzip.compress(whole)[:-9])
    with pytest.raises(DataError, match="must be a complete IDX file"):
        read_table(broken)


def test_npz_of_a_table(tmp_path: Path) -> None:
    x, y = RNG.normal(size=(6, 2)), np.array(["a", "b"] * 3)
    np.savez(tmp_path / "a.npz", X=x, y=y)
    table = read_table(tmp_path / "a.npz")
    assert (table.name, table.kind, table.target) == ("a", "table", "target")
    assert list(table.frame.columns) == ["x0", "x1", "target"]
    np.testing.assert_array_equal(table.frame[["x0", "x1"]], x)
    assert table.frame["target"].tolist() == y.tolist()


def test_npz_of_pictures_with_test_rows(tmp_path: Path) -> None:
    np.savez_compressed(
        tmp_path / "mnist.npz",
        x_train=PICTURES,
        y_train=LABELS[:, None],
        x_test=PICTURES[:3],
        y_test=LABELS[:3],
    )
    table = read_table(tmp_path / "mnist.npz")
    assert table.kind == "pixels"
    assert table.frame.shape == (12, 13)
    assert table.test_frame is not None
    assert table.test_frame.shape == (3, 13)


def test_wrong_npz_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, data=PICTURES)
    with pytest.raises(DataError, match="arrays X and y, got data"):
        read_table(path)
    np.savez(path, X=np.zeros((3, 2)), y=np.zeros(4))
    with pytest.raises(DataError, match=r"got X \(3, 2\) and y \(4,\)"):
        read_table(path)
    np.savez(path, X=np.array([{}, {}], dtype=object), y=np.zeros(2), allow_pickle=True)
    with pytest.raises(DataError, match="Object arrays are not supported"):
        read_table(path)
    path.write_bytes(b"no zip file at all")
    with pytest.raises(DataError, match="must be an NPZ file of plain arrays"):
        read_table(path)
    path.write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(DataError, match="must be an NPZ file of plain arrays"):
        read_table(path)


def test_npz_in_the_other_byte_order_is_read(tmp_path: Path) -> None:
    x, y = RNG.normal(size=(6, 2)).astype(">f4"), np.arange(6).astype(">i8")
    np.savez(tmp_path / "a.npz", X=x, y=y)
    frame = read_table(tmp_path / "a.npz").frame
    np.testing.assert_array_equal(frame.iloc[[5, 0], :2], x[[5, 0]])
    assert frame["target"].iloc[[1, 2]].tolist() == [1, 2]


@pytest.mark.parametrize("name", ["X", "x_train", "x_test"])
def test_npz_without_labels_is_rows_to_predict(name: str, tmp_path: Path) -> None:
    x = RNG.normal(size=(5, 2))
    arrays: dict[str, Any] = {name: x}
    np.savez(tmp_path / "a.npz", **arrays)
    table = read_table(tmp_path / "a.npz")
    assert list(table.frame.columns) == ["x0", "x1"]
    assert table.test_frame is None
    with pytest.raises(DataError, match="must contain labels for training or scoring"):
        load_dataset(tmp_path / "a.npz")


def test_test_rows_without_labels_are_not_used(tmp_path: Path) -> None:
    x, y = RNG.normal(size=(40, 2)), np.arange(40) % 2
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x[:3])
    table = read_table(tmp_path / "a.npz")
    assert table.test_frame is not None
    assert table.test_frame.shape == (3, 2)
    data = load_dataset(tmp_path / "a.npz")
    assert data.n_test == 8
    assert any("have no 'target' and are ignored: 20% of the other rows" in n for n in data.notes)


def test_only_the_named_arrays_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    objects = np.array([{}, {}], dtype=object)
    np.savez(path, X=np.zeros((3, 2)), y=np.zeros(3), note=objects, allow_pickle=True)
    assert read_table(path).frame.shape == (3, 3)


def test_npz_larger_than_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, X=np.zeros((1000, 100)), y=np.zeros(1000), more=np.zeros((10**5, 9)))
    monkeypatch.setattr("autotrain.data.memory.available", lambda: 2_000_000)
    assert read_table(path).frame.shape == (1000, 101)
    monkeypatch.setattr("autotrain.data.memory.available", lambda: 1_000_000)
    with pytest.raises(DataError, match=r"must take at most 50% of the available memory"):
        read_table(path)


def npz(path: Path, header: str, data: bytes = bytes(48)) -> None:
    """Write X with a header of one's own, and labels."""
    text = header.encode().ljust(117) + b"\n"
    labels = io.BytesIO()
    np.save(labels, np.zeros(3))
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("X.npy", b"\x93NUMPY\x01\x00v\x00" + text + data)
        file.writestr("y.npy", labels.getvalue())


@pytest.mark.parametrize(
    ("shape", "dtype", "part"),
    [
        ("(1000000, 1000000)", "'<f8'", "48 bytes for the shape"),
        (f"({10**30}, 2)", "'<f8'", "48 bytes for the shape"),
        ("(-3, 2)", "'<f8'", "48 bytes for the shape"),
        (f"({'1, ' * 9})", "'<f8'", "in at most 8 axes"),
        ("(3,)", "[('a', '<f8'), ('b', '<f8')]", "must contain numbers, booleans, text"),
        ("(3, 1)", "'<c16'", "must contain numbers, booleans, text"),
        ("(3, 2)", "'|V8'", "must contain numbers, booleans, text"),
        ("(3, 2", "'<f8'", "must be an NPZ file of plain arrays"),
    ],
    ids=["8 TB", "10^30 rows", "negative", "nine axes", "fields", "complex", "raw", "broken"],
)
def test_headers_that_do_not_fit_are_refused(
    shape: str, dtype: str, part: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.npz"
    npz(path, f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}}}")
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert part in str(caught.value)


def test_header_that_fits_is_read(tmp_path: Path) -> None:
    npz(tmp_path / "a.npz", "{'descr': '<f8', 'fortran_order': True, 'shape': (3, 2)}")
    assert read_table(tmp_path / "a.npz").frame.shape == (3, 3)


@pytest.mark.parametrize(
    ("axes", "part"),
    [
        ((2**32 - 1,) * 4, "bytes of data for shape"),
        ((2**16, 2**16, 2**16, 2**16), "bytes of data for shape"),
        ((1,) * 255, "1 to 8 axes"),
    ],
    ids=["huge", "wraps to 0", "255 axes"],
)
def test_idx_shapes_that_are_broken_are_refused(
    axes: tuple[int, ...], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autotrain.data.memory.available", lambda: None)
    path = write_idx(tmp_path)
    path.write_bytes(struct.pack(f">BBBB{len(axes)}I", 0, 0, 8, len(axes), *axes) + b"1234")
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert part in str(caught.value)


def test_idx_larger_than_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_idx(tmp_path, ending="-ubyte.gz")
    monkeypatch.setattr("autotrain.data.memory.available", lambda: 200)
    with pytest.raises(DataError, match="of the available memory"):
        read_table(path)
