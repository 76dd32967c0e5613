"""The rows that all slots of a trainer share, on its device.

Training and validation rows of every fold lie in one tensor, so that slots of different folds can
train in one fleet: a fold is an offset.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autotrain.tasks import CLASSIFICATION, Metric


@dataclass(frozen=True)
class FoldArrays:
    """One fold as arrays: inputs `[N, D]` float32, labels int64 or standardized targets `[N]`."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_valid: np.ndarray
    y_valid: np.ndarray
    target_mean: float = 0.0
    target_std: float = 1.0


@dataclass(frozen=True)
class Problem:
    """What is to be learned, without the rows.

    Args:
        task: a word of `tasks.TASKS`.
        n_outputs: classes, or 1 for regression.
        metric: what early stopping, pruning and selection follow.
    """

    task: str
    n_outputs: int
    metric: Metric

    @property
    def is_classification(self) -> bool:
        """Whether the targets are class numbers."""
        return self.task in CLASSIFICATION


@dataclass(frozen=True)
class Fold:
    """Where one fold's rows lie, and how many inputs they really have."""

    train_start: int
    n_train: int
    n_valid: int
    n_inputs: int
    target_mean: float
    target_std: float


class Rows:
    """All folds' rows as tensors on one device.

    Args:
        problem: the task and its metric.
        folds: one entry a fold; inputs may differ in width (one-hot columns differ from fold to
            fold), the narrower ones are padded with 0 here, and their networks like their hidden
            layers: padding counts as no input.
    """

    def __init__(
        self,
        problem: Problem,
        folds: Sequence[FoldArrays],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.problem = problem
        self.n_inputs = max(fold.x_train.shape[1] for fold in folds)
        self.folds: list[Fold] = []
        start = 0
        for fold in folds:
            n_train, n_valid = len(fold.y_train), len(fold.y_valid)
            n_inputs = fold.x_train.shape[1]
            self.folds.append(
                Fold(start, n_train, n_valid, n_inputs, fold.target_mean, fold.target_std)
            )
            start += n_train
        self.n_train = min(fold.n_train for fold in self.folds)
        target_dtype = torch.int64 if problem.is_classification else dtype

        def join(arrays: list[np.ndarray], to: torch.dtype) -> Tensor:
            return _tensor(arrays[0] if len(arrays) == 1 else np.concatenate(arrays)).to(device, to)

        n_valid = max(fold.n_valid for fold in self.folds)
        self.x_train = join([_padded(fold.x_train, self.n_inputs) for fold in folds], dtype)
        self.y_train = join([fold.y_train for fold in folds], target_dtype)
        # [F, N, D] and [F, N]: slots of several folds are evaluated in one pass.
        self.x_valid = join([_padded(f.x_valid, self.n_inputs, n_valid) for f in folds], dtype)
        self.x_valid = self.x_valid.view(len(folds), n_valid, self.n_inputs)
        self.y_valid = [join([fold.y_valid], target_dtype) for fold in folds]


def _padded(x: np.ndarray, n_columns: int, n_rows: int | None = None) -> np.ndarray:
    """Return `x` `[N, D]` with zeros added to reach so many columns and rows."""
    missing = (0 if n_rows is None else n_rows - len(x), n_columns - x.shape[1])
    return np.pad(x, [(0, more) for more in missing]) if any(missing) else x


def _tensor(array: np.ndarray) -> Tensor:
    """Wrap an array without a copy; a read-only one (a memory map) is never written to."""
    if array.flags.writeable:
        return torch.from_numpy(array)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
        return torch.from_numpy(array)
