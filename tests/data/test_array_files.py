"""NPZ files and IDX pictures become tables with the column "target"."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from autotrain.data.files import read_table
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
def test_a_file_of_pictures_finds_its_labels(ending: str, tmp_path: Path) -> None:
    table = read_table(write_idx(tmp_path, ending=ending))
    assert (table.kind, table.target, table.test_frame) == ("pixels", "target", None)
    assert list(table.frame.columns) == [f"pixel_{place}" for place in range(12)] + ["target"]
    np.testing.assert_array_equal(table.frame.iloc[:, :-1], PICTURES.reshape(12, 12))
    np.testing.assert_array_equal(table.frame["target"], LABELS)
    assert table.frame["pixel_0"].dtype == np.uint8


@pytest.mark.parametrize("part", ["t10k", "test"])
def test_a_folder_gives_training_and_test_pictures(part: str, tmp_path: Path) -> None:
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
        (whole[:-1], "expected 144 bytes of data for shape (12, 4, 3), however: 143"),
        (b"abcd", "it starts with 61 62 63 64"),
        (b"", "it starts with nothing"),
        (idx(PICTURES[:5]), "one label for each picture"),
    ]:
        images.write_bytes(content)
        with pytest.raises(DataError) as caught:
            read_table(images)
        assert part in str(caught.value)
    with pytest.raises(DataError, match="these are labels"):
        read_table(labels)
    images.write_bytes(whole)
    labels.unlink()
    with pytest.raises(DataError, match="its labels beside it as train-labels-idx1-ubyte"):
        read_table(images)
    broken = tmp_path / "b-images-idx3-ubyte.gz"
    broken.write_bytes(gzip.compress(whole)[:-9])
    with pytest.raises(DataError, match="expected a whole IDX file"):
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
    with pytest.raises(DataError, match="arrays X and y, however: it holds data"):
        read_table(path)
    np.savez(path, X=np.zeros((3, 2)), y=np.zeros(4))
    with pytest.raises(DataError, match=r"X has shape \(3, 2\) and y \(4,\)"):
        read_table(path)
    np.savez(path, X=np.array([{}, {}], dtype=object), y=np.zeros(2), allow_pickle=True)
    with pytest.raises(DataError, match="object arrays are not read"):
        read_table(path)
    path.write_bytes(b"no zip file at all")
    with pytest.raises(DataError, match="expected an NPZ file of plain arrays"):
        read_table(path)
    path.write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(DataError, match="expected an NPZ file of plain arrays"):
        read_table(path)
