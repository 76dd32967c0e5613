"""The encoded rows of a fold, and how they reach another process.

`Dataset.encoded_folds` makes them; `training/rows.py` copies them to a device. `pack` writes their
arrays to files, which any number of processes map into memory by `unpack`. The inputs of a view
are packed for themselves, when the first training reads them: a short search needs few views.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autotrain.data.codes import Columns
from autotrain.data.weights import RowWeights
from autotrain.errors import StorageError
from autotrain.techniques.view import View


@dataclass(frozen=True)
class EncodedView:
    """Inputs of one fold in one view.

    Args:
        x_train, x_valid: training and validation rows, float32 `[N, W]`, C-contiguous. W may differ
            between folds.
        columns: kinds of the W columns.
    """

    x_train: np.ndarray
    x_valid: np.ndarray
    columns: Columns


@dataclass(frozen=True)
class EncodedFold:
    """One training and validation split: targets, weights, and the inputs in each view.

    Args:
        y_train, y_valid: class indices int64, or standardized targets float32, `[N]`.
        views: inputs by view; see `LazyViews`.
        target_mean, target_std: mean and standard deviation of the training target; 0 and 1 for
            classification.
        weights: weights of the rows; None for equal weights. Either all folds have them or none.
    """

    y_train: np.ndarray
    y_valid: np.ndarray
    views: dict[View, EncodedView]
    target_mean: float = 0.0
    target_std: float = 1.0
    weights: RowWeights | None = None

    @property
    def target_range(self) -> tuple[float, float]:
        """Lowest and highest training target, standardized."""
        return float(self.y_train.min()), float(self.y_train.max())


class LazyViews(dict[View, EncodedView]):
    """The inputs of a fold by view, each encoded when it is first read.

    Args:
        encode: encodes the rows of the fold in a view.
    """

    def __init__(self, encode: Callable[[View], EncodedView]) -> None:
        super().__init__()
        self._encode = encode

    def __missing__(self, view: View) -> EncodedView:
        self[view] = self._encode(view)
        return self[view]


class Packed(NamedTuple):
    """Objects whose arrays are in files, one file per array; small enough for a pipe.

    Args:
        content: the pickled objects without their arrays.
        files: files of the arrays, in the order in which `content` asks for them.
    """

    content: bytes
    files: tuple[Path, ...]


class PackedRows:
    """The rows of a study as files: the targets at once, the inputs of a view on request.

    Args:
        folds: the folds, whose views may be encoded on request.
        folder: an existing folder for the files.
    """

    def __init__(self, folds: Sequence[EncodedFold], folder: Path) -> None:
        self._folds = folds
        self._folder = folder
        self._packed: dict[tuple[int, ...], Packed] = {}
        self._n_packed = 0
        self.targets = self._pack([replace(fold, views={}) for fold in folds])
        """The folds without inputs."""

    def view(self, view: View) -> Packed:
        """Return the inputs of all folds in a view, a sequence of `EncodedView`.

        Raises:
            StorageError: when the files cannot be written.
        """
        inputs = [fold.views[view] for fold in self._folds]
        # Views that share their arrays share their files.
        key = tuple(map(id, inputs))
        if key not in self._packed:
            self._packed[key] = self._pack(inputs)
        return self._packed[key]

    def _pack(self, items: Sequence[Any]) -> Packed:
        self._n_packed += 1
        folder = self._folder / str(self._n_packed)
        try:
            folder.mkdir()
            return pack(items, folder)
        except OSError as error:
            raise StorageError(
                f"{tempfile.gettempdir()} must take the rows for the worker processes, got: "
                f"{error.strerror or error}. Free space there, set TMPDIR to another folder, "
                "or train with one worker."
            ) from error


def pack(items: Sequence[Any], folder: Path) -> Packed:
    """Write the arrays of folds or views to files in `folder`, which must exist.

    Arrays are out-of-band buffers of the pickle (PEP 574). An array that two views share is written
    once.
    """
    buffers: list[pickle.PickleBuffer] = []
    content = pickle.dumps(tuple(items), protocol=5, buffer_callback=buffers.append)
    files = tuple(folder / f"{number}.array" for number in range(len(buffers)))
    for file, buffer in zip(files, buffers, strict=True):
        file.write_bytes(buffer.raw())
    return Packed(content, files)


def unpack(packed: Packed) -> tuple[Any, ...]:
    """Return the objects with their arrays mapped into memory, read-only."""
    # An empty file cannot be mapped.
    buffers = [np.memmap(file, mode="r") if file.stat().st_size else b"" for file in packed.files]
    items: tuple[Any, ...] = pickle.loads(packed.content, buffers=buffers)
    return items
