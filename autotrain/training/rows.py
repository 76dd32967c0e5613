"""The rows that all slots of a trainer share, on its device.

`Rows` copies the `EncodedFold`s of a `Dataset` to the device. The training rows of all folds are in
one tensor, so slots of different folds can train in one fleet: a fold is an offset.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from autotrain.data.codes import Columns
from autotrain.data.encoded import EncodedFold
from autotrain.errors import StudyError
from autotrain.metrics import CLASSIFICATION, Metric, metric_for
from autotrain.techniques.embeddings import bin_edges
from autotrain.techniques.view import View

if TYPE_CHECKING:
    # Importing pandas and scikit-learn would take most of the start of a worker.
    from autotrain.data.dataset import Dataset


@dataclass(frozen=True)
class Problem:
    """The learning problem, without the rows.

    Args:
        task: a word of `metrics.TASKS`.
        n_outputs: number of classes, or 1 for regression.
        metric: metric for early stopping, pruning and selection. If it has a quantile, it is also
            the training loss.
    """

    task: str
    n_outputs: int
    metric: Metric

    @property
    def is_classification(self) -> bool:
        """Whether the targets are labels."""
        return self.task in CLASSIFICATION


@dataclass(frozen=True)
class FoldRows:
    """Positions of the rows of one fold, and the scale of its target.

    Args:
        train_start: index of its first training row among those of all folds.
        n_train, n_valid: number of training and validation rows.
        target_mean, target_std: the standardization of the target.
        target_low, target_high: range of the training target, standardized.
    """

    train_start: int
    n_train: int
    n_valid: int
    target_mean: float
    target_std: float
    target_low: float
    target_high: float


@dataclass(frozen=True)
class ViewRows:
    """Encoded rows of all folds in one view, on the device.

    Args:
        x_train: training rows, fold after fold, `[ΣN, W]`.
        x_valid: validation rows, `[F, N, W]`, so that slots of all folds share one pass.
        columns: kinds of the columns by fold; narrower folds are padded with 0 on the right.
    """

    x_train: Tensor
    x_valid: Tensor
    columns: tuple[Columns, ...]


class Rows:
    """The rows of all folds as tensors on one device.

    Args:
        problem: task, number of outputs and metric.
        folds: the folds. They may differ in width, because one-hot columns depend on the training
            rows. Narrower folds are padded with 0, and so are the inputs of their networks.
        device: device of the tensors.
        dtype: dtype of inputs, targets and weights.
    """

    def __init__(
        self,
        problem: Problem,
        folds: Sequence[EncodedFold],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.problem = problem
        self.folds: list[FoldRows] = []
        self._encoded = folds
        self._device, self._dtype = device, dtype
        self._views: dict[View, ViewRows] = {}
        self._bins: dict[tuple[int, View, int], tuple[np.ndarray, np.ndarray]] = {}
        start = 0
        for fold in folds:
            n_train, n_valid = len(fold.y_train), len(fold.y_valid)
            mean, std = fold.target_mean, fold.target_std
            self.folds.append(FoldRows(start, n_train, n_valid, mean, std, *fold.target_range))
            start += n_train
        self.n_train = min(fold.n_train for fold in self.folds)
        target_dtype = torch.int64 if problem.is_classification else dtype
        self.y_train = self._join([fold.y_train for fold in folds], target_dtype)
        self.y_valid = [self._join([fold.y_valid], target_dtype) for fold in folds]
        weights = [fold.weights for fold in folds if fold.weights is not None]
        # Without sample weights, `w_train` is None and the lists are empty.
        self.w_train = self._join([w.train for w in weights], dtype) if weights else None
        self.w_valid = [self._join([w.valid], dtype) for w in weights]
        self.w_metric = [self._join([w.metric], dtype) for w in weights if w.metric is not None]
        # Weights of the classes in the loss; they are the same in all folds.
        self.class_weights = weights[0].of_classes if weights else None

    def valid_weights(self, fold: int, k: int) -> tuple[Tensor | None, Tensor | None]:
        """Return the validation rows' weights in loss and metric, `[k, N]`; None if equal."""
        of_loss, of_metric = (
            by_fold[fold].expand(k, -1) if by_fold else None
            for by_fold in (self.w_valid, self.w_metric)
        )
        return of_loss, of_metric

    def _join(self, arrays: list[np.ndarray], to: torch.dtype) -> Tensor:
        """Return the rows `[N, …]` of all folds as one tensor `[ΣN, …]` on the device."""
        joined = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        return _tensor(joined).to(self._device, to)

    def view(self, view: View) -> ViewRows:
        """Return the encoded rows of a view; the first call copies them to the device."""
        if view not in self._views:
            by_fold = [fold.views[view] for fold in self._encoded]
            width = max(encoded.columns.width for encoded in by_fold)
            n_valid = max(fold.n_valid for fold in self.folds)
            x_train = self._join([_padded(i.x_train, width) for i in by_fold], self._dtype)
            x_valid = self._join([_padded(i.x_valid, width, n_valid) for i in by_fold], self._dtype)
            self._views[view] = ViewRows(
                x_train,
                x_valid.view(len(by_fold), n_valid, width),
                tuple(encoded.columns for encoded in by_fold),
            )
        return self._views[view]

    def training_inputs(self, fold: int, view: View) -> Tensor:
        """Return the encoded training rows `[N, W]` of a fold, without padding."""
        rows, start = self.view(view), self.folds[fold].train_start
        x = rows.x_train[start : start + self.folds[fold].n_train]
        return x[:, : rows.columns[fold].width]

    def bins(self, fold: int, view: View, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
        """Return edges and widths `[D, n_bins]` of the bins of a fold's numeric columns."""
        key = fold, view, n_bins
        if key not in self._bins:
            n_numeric = self.view(view).columns[fold].n_numeric
            x = self.training_inputs(fold, view)[:, :n_numeric]
            self._bins[key] = bin_edges(x.cpu().numpy(), n_bins)
        return self._bins[key]


def _padded(x: np.ndarray, n_columns: int, n_rows: int | None = None) -> np.ndarray:
    """Return `x` `[N, D]`, padded with 0 to `[n_rows, n_columns]`; None keeps the rows."""
    missing = (0 if n_rows is None else n_rows - len(x), n_columns - x.shape[1])
    return np.pad(x, [(0, more) for more in missing]) if any(missing) else x


def _tensor(array: np.ndarray) -> Tensor:
    """Return a tensor that shares the memory of an array, which may be read-only (a memory map)."""
    if array.flags.writeable:
        return torch.from_numpy(array)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
        return torch.from_numpy(array)


def problem_of(dataset: Dataset, metric: Metric) -> Problem:
    """Return the learning problem of a dataset: its task, number of outputs and metric."""
    return Problem(dataset.task, dataset.n_outputs, metric)


def check_metric(metric: Metric, dataset: Dataset) -> None:
    """Raise an error if a metric is undefined on the validation rows of a fold.

    Raises:
        StudyError: if the metric needs different targets and all are equal.
    """
    if not metric.needs_variety:
        return
    for number, fold in enumerate(dataset.folds):
        counting = fold.y_valid
        if fold.weights is not None and fold.weights.metric is not None:
            counting = counting[fold.weights.metric > 0]
        if len(np.unique(counting)) < 2:
            where = "the validation rows" + (f" of fold {number}" if len(dataset.folds) > 1 else "")
            kind = "class" if dataset.task in CLASSIFICATION else "value"
            raise StudyError(
                f"metric {metric.name} needs different targets, but {where} ({len(counting)}) "
                f"contain only one {kind}. Use more rows for validation, or choose the metric "
                f"{metric_for(dataset.task).name}."
            )
