"""The encoded rows of a fold, and how they reach another process.

`Dataset.encoded_folds` makes them; `training/rows.py` copies them to a device. `pack` writes their
arrays to files, which any number of processes map into memory by `unpack`.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from autotrain.data.codes import Columns
from autotrain.data.weights import RowWeights
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
        views: inputs by view.
        target_mean, target_std: mean and standard deviation of the training target; 0 and 1 for
            classification.
        weights: weights of the rows; None for equal weights. Either all folds have them or none.
    """

    y_train: np.ndarray
    y_valid: np.ndarray
    views: Mapping[View, EncodedView]
    target_mean: float = 0.0
    target_std: float = 1.0
    weights: RowWeights | None = None

    @property
    def target_range(self) -> tuple[float, float]:
        """Lowest and highest training target, standardized."""
        return float(self.y_train.min()), float(self.y_train.max())


class PackedFolds(NamedTuple):
    """Folds whose arrays are in files, one file per array; small enough for a pipe.

    Args:
        content: the pickled folds without their arrays.
        files: files of the arrays, in the order in which `content` asks for them.
    """

    content: bytes
    files: tuple[Path, ...]


def pack(folds: Sequence[EncodedFold], folder: Path) -> PackedFolds:
    """Write the arrays of folds to files in `folder`, which must exist.

    Arrays are out-of-band buffers of the pickle (PEP 574). An array that two views share is written
    once.
    """
    buffers: list[pickle.PickleBuffer] = []
    content = pickle.dumps(tuple(folds), protocol=5, buffer_callback=buffers.append)
    files = tuple(folder / f"{number}.array" for number in range(len(buffers)))
    for file, buffer in zip(files, buffers, strict=True):
        file.write_bytes(buffer.raw())
    return PackedFolds(content, files)


def unpack(packed: PackedFolds) -> tuple[EncodedFold, ...]:
    """Return the folds with their arrays mapped into memory, read-only."""
    # An empty file cannot be mapped.
    buffers = [np.memmap(file, mode="r") if file.stat().st_size else b"" for file in packed.files]
    folds: tuple[EncodedFold, ...] = pickle.loads(packed.content, buffers=buffers)
    return folds
