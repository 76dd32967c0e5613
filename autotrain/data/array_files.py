"""Arrays on disk: NPZ files, and IDX pictures (the format of MNIST)."""

from __future__ import annotations

import gzip
import re
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from autotrain.errors import DataError

TARGET = "target"
_IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_IDX_NAME = re.compile(r"[.-]idx\d?-ubyte(\.gz)?$|\.idx\d?(\.gz)?$|-ubyte(\.gz)?$", re.IGNORECASE)


def is_idx(path: Path) -> bool:
    """Tell whether a path is an IDX file, or a folder with IDX training pictures."""
    if path.is_dir():
        return _find(path, "train", "images") is not None
    return _IDX_NAME.search(path.name) is not None


def read_idx(path: Path) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Read pictures and labels: one table, and the folder's test pictures when it has some."""
    if path.is_dir():
        images = _find(path, "train", "images")
        test_images = _find(path, "t10k", "images") or _find(path, "test", "images")
        assert images is not None
        train = _pictures(images)
        return train, _pictures(test_images) if test_images is not None else None
    if "labels" in path.name:
        raise DataError(
            f"{path}: expected pictures, however: these are labels. Name the images file beside it."
        )
    return _pictures(path), None


def _find(folder: Path, part: str, what: str) -> Path | None:
    names = sorted(
        entry.name
        for entry in folder.iterdir()
        if _IDX_NAME.search(entry.name) and part in entry.name and what in entry.name
    )
    return folder / names[0] if names else None


def _pictures(path: Path) -> pd.DataFrame:
    """Read one file of pictures and the labels that lie beside it."""
    images = _read(path)
    labels_path = _labels_beside(path)
    labels = _read(labels_path)
    if images.ndim < 2 or labels.ndim != 1 or len(images) != len(labels):
        raise DataError(
            f"{path}: expected one label for each picture, however: pictures have shape "
            f"{images.shape} and labels ({labels_path.name}) {labels.shape}."
        )
    return pixel_frame(images, labels)


def _labels_beside(path: Path) -> Path:
    wanted = path.name.replace("images", "labels").replace("idx3", "idx1")
    stem = wanted.removesuffix(".gz")
    for name in (wanted, stem, f"{stem}.gz"):
        if name != path.name and (path.parent / name).exists():
            return path.parent / name
    raise DataError(
        f"{path}: expected its labels beside it as {wanted}, however: there is no such file."
    )


def _read(path: Path) -> np.ndarray:
    try:
        opener = gzip.open if path.name.lower().endswith(".gz") else open
        with opener(path, "rb") as file:
            content = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: expected a whole IDX file, however: {error}.") from None
    n_axes = content[3] if len(content) >= 4 else 0
    dtype = _IDX_TYPES.get(content[2]) if len(content) >= 4 and content[:2] == b"\0\0" else None
    if dtype is None or len(content) < 4 + 4 * n_axes or n_axes == 0:
        raise DataError(
            f"{path}: expected an IDX file (two zero bytes, a type, axes), however: it starts with "
            f"{content[:4].hex(' ') or 'nothing'}. Download it again."
        )
    shape = struct.unpack(f">{n_axes}I", content[4 : 4 + 4 * n_axes])
    wanted = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if len(content) - 4 - 4 * n_axes != wanted:
        raise DataError(
            f"{path}: expected {wanted} bytes of data for shape {shape}, however: "
            f"{len(content) - 4 - 4 * n_axes}. Download it again."
        )
    array = np.frombuffer(content, dtype, offset=4 + 4 * n_axes).reshape(shape)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def pixel_frame(images: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Return pictures `[N, …]` as a table of pixel columns and the target."""
    flat = images.reshape(len(images), -1)
    frame = pd.DataFrame(flat, columns=[f"pixel_{place}" for place in range(flat.shape[1])])
    return frame.assign(**{TARGET: labels})


_NPZ_PAIRS = (("X", "y"), ("x", "y"), ("x_train", "y_train"), ("X_train", "y_train"))
_NPZ_TESTS = (("x_test", "y_test"), ("X_test", "y_test"))


def read_npz(path: Path) -> tuple[pd.DataFrame, pd.DataFrame | None, bool]:
    """Read X and y (or x_train, y_train, x_test, y_test).

    Returns: the table, the test table when there is one, and whether it holds pixels: uint8 arrays
        with more than two axes.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path}: expected an NPZ file of plain arrays, however: "
            f"{str(error).splitlines()[0].rstrip('.')}. Write it with "
            "numpy.savez(path, X=…, y=…); object arrays are not read."
        ) from None
    pair = next((pair for pair in _NPZ_PAIRS if set(pair) <= set(arrays)), None)
    if pair is None:
        raise DataError(
            f"{path}: expected arrays X and y, however: it holds {', '.join(arrays) or 'none'}. "
            "Write it with numpy.savez(path, X=…, y=…)."
        )
    tests = next((pair for pair in _NPZ_TESTS if set(pair) <= set(arrays)), None)
    x = arrays[pair[0]]
    train = _table(path, x, arrays[pair[1]])
    test = _table(path, arrays[tests[0]], arrays[tests[1]]) if tests is not None else None
    return train, test, x.ndim > 2 and x.dtype == np.uint8


def _table(path: Path, x: np.ndarray, y: np.ndarray) -> pd.DataFrame:
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if x.ndim < 2 or y.ndim != 1 or len(x) != len(y):
        raise DataError(
            f"{path}: expected X [N, columns] and y [N], however: X has shape {x.shape} and y "
            f"{y.shape}."
        )
    if x.ndim > 2:
        return pixel_frame(x, y)
    frame = pd.DataFrame(x, columns=[f"x{place}" for place in range(x.shape[1])])
    return frame.assign(**{TARGET: y})
