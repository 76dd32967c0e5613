"""Read arrays from disk: NPZ files, and IDX images (the format of MNIST)."""

from __future__ import annotations

import gzip
import math
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.lib import format as npy

from autotrain.data.memory import check_fits
from autotrain.errors import DataError

TARGET = "target"
MOST_AXES = 8
"""Maximum number of axes of an array; a file with more is broken."""
READ_BYTES = 1 << 24
_NPZ_KINDS = "biufmMUS"
_IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_IDX_NAME = re.compile(r"[.-]idx\d?-ubyte(\.gz)?$|\.idx\d?(\.gz)?$|-ubyte(\.gz)?$", re.IGNORECASE)


def is_idx(path: Path) -> bool:
    """Whether a path is an IDX file or a folder with IDX training images."""
    if path.is_dir():
        return _find(path, "train", "images") is not None
    return _IDX_NAME.search(path.name) is not None


def read_idx(path: Path) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Return the table of images and labels, and the folder's test images if it has any."""
    if path.is_dir():
        images = _find(path, "train", "images")
        test_images = _find(path, "t10k", "images") or _find(path, "test", "images")
        assert images is not None
        train = _pictures(images)
        return train, _pictures(test_images) if test_images is not None else None
    if "labels" in path.name:
        raise DataError(
            f"{path} must contain images, but it contains labels. Give the file with the images."
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
    """Read one file of images, and the labels from the same folder."""
    images = _read(path)
    labels_path = _labels_path(path)
    labels = _read(labels_path)
    if images.ndim < 2 or labels.ndim != 1 or len(images) != len(labels):
        raise DataError(
            f"{path} must have one label for each image, got images of shape {images.shape} and "
            f"labels of shape {labels.shape} in {labels_path.name}."
        )
    return pixel_frame(images, labels)


def _labels_path(path: Path) -> Path:
    wanted = path.name.replace("images", "labels").replace("idx3", "idx1")
    stem = wanted.removesuffix(".gz")
    for name in (wanted, stem, f"{stem}.gz"):
        if name != path.name and (path.parent / name).exists():
            return path.parent / name
    raise DataError(
        f"{path} must have its labels in the same folder as {wanted}, but that file does not exist."
    )


def _read(path: Path) -> np.ndarray:
    try:
        is_gz = path.name.lower().endswith(".gz")
        with cast(IO[bytes], gzip.open(path) if is_gz else path.open("rb")) as file:
            dtype, shape = _read_header(path, file)
            wanted = math.prod(shape) * dtype.itemsize
            check_fits(str(path), wanted)
            content = _read_up_to(file, wanted)
            n_more = len(file.read(1))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} must be a complete IDX file, but reading failed ({error}). Download it again."
        ) from None
    if len(content) != wanted or n_more:
        raise DataError(
            f"{path} must have {wanted} bytes of data for shape {shape}, got "
            f"{'more' if n_more else len(content)}. Download it again."
        )
    array = np.frombuffer(content, dtype).reshape(shape)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _read_up_to(file: IO[bytes], n_bytes: int) -> bytearray:
    """Return at most `n_bytes` bytes; a false header cannot make this use more memory."""
    content = bytearray()
    while len(content) < n_bytes:
        part = file.read(min(n_bytes - len(content), READ_BYTES))
        if not part:
            break
        content += part
    return content


def _read_header(path: Path, file: IO[bytes]) -> tuple[np.dtype, tuple[int, ...]]:
    """Return the type and the shape from the header of an IDX file."""
    start = file.read(4)
    n_axes = start[3] if len(start) == 4 else 0
    dtype = _IDX_TYPES.get(start[2]) if len(start) == 4 and start[:2] == b"\0\0" else None
    axes = file.read(4 * n_axes)
    if dtype is None or len(axes) < 4 * n_axes or not 0 < n_axes <= MOST_AXES:
        raise DataError(
            f"{path} must be an IDX file (two zero bytes, a type, 1 to {MOST_AXES} axes), "
            f"but it starts with {start.hex(' ') or 'nothing'}. Download it again."
        )
    return np.dtype(dtype), struct.unpack(f">{n_axes}I", axes)


def pixel_frame(images: np.ndarray, labels: np.ndarray | None) -> pd.DataFrame:
    """Return images `[N, …]` as a table of pixel columns, with the target if there are labels."""
    flat = images.reshape(len(images), math.prod(images.shape[1:]))
    frame = pd.DataFrame(flat, columns=[f"pixel_{place}" for place in range(flat.shape[1])])
    return frame if labels is None else frame.assign(**{TARGET: labels})


_NPZ_PAIRS = (("X", "y"), ("x", "y"), ("x_train", "y_train"), ("X_train", "y_train"))
_NPZ_TESTS = (("x_test", "y_test"), ("X_test", "y_test"))


class ArrayTable(NamedTuple):
    """The tables of an NPZ file.

    Attributes:
        frame: the rows of X or x_train, or of x_test if the file has only these. The target is
            included if the file has labels.
        test_frame: the rows of x_test if the file also has training rows. The target is included
            if the file has y_test.
        are_pixels: whether X is uint8 with more than two axes.
    """

    frame: pd.DataFrame
    test_frame: pd.DataFrame | None
    are_pixels: bool


def read_npz(path: Path) -> ArrayTable:
    """Read X and y, or x_train, y_train, x_test, y_test; y, y_train and y_test are optional.

    Other arrays are ignored.

    Raises:
        DataError: when X is missing, or an array is broken, larger than memory, or of a type that
            is not supported.
    """
    try:
        with zipfile.ZipFile(path) as file:
            names = [name.removesuffix(".npy") for name in file.namelist()]
            pair, tests = _named(names, _NPZ_PAIRS), _named(names, _NPZ_TESTS)
            chosen = [each for each in (pair, tests) if each is not None]
            if not chosen:
                raise DataError(
                    f"{path} must contain the arrays X and y, got {', '.join(names) or 'none'}. "
                    "Write it with numpy.savez(path, X=…, y=…)."
                )
            wanted = [name for each in chosen for name in each if name in names]
            check_fits(str(path), sum(file.getinfo(f"{name}.npy").file_size for name in wanted))
            arrays = {name: _read_array(path, file, name) for name in wanted}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} must be an NPZ file of plain arrays, but reading failed "
            f"({(str(error).splitlines() or [''])[0].rstrip('.')}). Write it with "
            "numpy.savez(path, X=…, y=…). Object arrays are not supported."
        ) from None
    tables = [_table(path, arrays[x], arrays.get(y)) for x, y in chosen]
    first = arrays[chosen[0][0]]
    are_pixels = first.ndim > 2 and first.dtype == np.uint8
    return ArrayTable(tables[0], tables[1] if len(tables) > 1 else None, are_pixels)


def _named(names: Sequence[str], pairs: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
    """Return the array names of rows and labels; a pair of which only the rows exist comes last."""
    whole = next((pair for pair in pairs if set(pair) <= set(names)), None)
    return whole or next((pair for pair in pairs if pair[0] in names), None)


def _read_array(path: Path, file: zipfile.ZipFile, name: str) -> np.ndarray:
    """Read one array `[N, …]`, whose header must fit the size of its part of the file."""
    info = file.getinfo(f"{name}.npy")
    with file.open(info) as stream:
        version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        try:
            shape, _, dtype = read_header(stream)
        except (SyntaxError, tokenize.TokenError, TypeError, RecursionError, MemoryError) as error:
            raise ValueError(f"the header of {name} is broken ({type(error).__name__})") from None
        if dtype.hasobject:
            raise ValueError(f"{name} contains objects")
        if dtype.kind not in _NPZ_KINDS or len(shape) > MOST_AXES:
            raise DataError(
                f"{path}: array {name} must contain numbers, booleans, text, dates or durations "
                f"in at most {MOST_AXES} axes, got {dtype} with shape {shape}. Write each of its "
                "fields or parts as a separate number."
            )
        if math.prod(shape) * dtype.itemsize != info.file_size - stream.tell():
            raise ValueError(
                f"{name} has {info.file_size - stream.tell()} bytes for the shape {shape} of "
                f"{dtype}"
            )
    with file.open(info) as stream:
        array = npy.read_array(stream, allow_pickle=False)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _table(path: Path, x: np.ndarray, y: np.ndarray | None) -> pd.DataFrame:
    if y is not None and y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if x.ndim < 2 or (y is not None and (y.ndim != 1 or len(x) != len(y))):
        shape = "" if y is None else f" and y {y.shape}"
        raise DataError(
            f"{path} must have X of shape [N, columns] and y of shape [N], got X {x.shape}{shape}."
        )
    if x.ndim > 2:
        return pixel_frame(x, y)
    frame = pd.DataFrame(x, columns=[f"x{place}" for place in range(x.shape[1])])
    return frame if y is None else frame.assign(**{TARGET: y})
