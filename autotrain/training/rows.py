"""The rows that all slots of a trainer share, on its device.

Training and validation rows of every fold lie in one tensor, so that slots of different folds can
train in one fleet: a fold is an offset.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from autotrain.data.dataset import Dataset
from autotrain.data.weights import RowWeights
from autotrain.errors import StudyError
from autotrain.metrics import CLASSIFICATION, Metric, metric_for
from autotrain.network.layout import Columns
from autotrain.techniques.embeddings import bin_edges
from autotrain.techniques.view import View


@dataclass(frozen=True)
class Inputs:
    """One fold's inputs in one view: float32 `[N, W]` each, and what their columns are."""

    x_train: np.ndarray
    x_valid: np.ndarray
    columns: Columns


@dataclass(frozen=True)
class FoldArrays:
    """One fold as arrays: inputs `[N, W]` float32, labels int64 or standardized targets `[N]`.

    Args:
        columns: what the columns of the inputs are; None for plain ones.
        views: the same rows as configurations may ask for them (`view_of`); empty when all read
            `x_train` and `x_valid`.
        weights: what each row counts; None when all count alike. All folds have them, or none.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_valid: np.ndarray
    y_valid: np.ndarray
    target_mean: float = 0.0
    target_std: float = 1.0
    columns: Columns | None = None
    views: Mapping[View, Inputs] = field(default_factory=dict)
    weights: RowWeights | None = None

    def inputs(self, view: View) -> Inputs:
        """Return the inputs of a view."""
        if self.views:
            return self.views[view]
        columns = self.columns or Columns.plain(self.x_train.shape[1])
        return Inputs(self.x_train, self.x_valid, columns)


@dataclass(frozen=True)
class Problem:
    """What is to be learned, without the rows.

    Args:
        task: a word of `tasks.TASKS`.
        n_outputs: classes, or 1 for regression.
        metric: what early stopping, pruning and selection follow; a quantile's is also trained.
    """

    task: str
    n_outputs: int
    metric: Metric

    @property
    def is_classification(self) -> bool:
        """Whether the targets are class numbers."""
        return self.task in CLASSIFICATION


@dataclass(frozen=True)
class FoldRows:
    """Where one fold's rows lie, and what its target was.

    `target_low` and `target_high` are the range of its training target, standardized.
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
    """All folds' inputs in one view, on the device.

    Args:
        x_train: `[ΣN, W]`, fold after fold.
        x_valid: `[F, N, W]`: slots of several folds are evaluated in one pass.
        columns: of each fold; the narrower ones are padded with 0 on the right.
    """

    x_train: Tensor
    x_valid: Tensor
    columns: tuple[Columns, ...]


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
        self.folds: list[FoldRows] = []
        self._arrays = folds
        self._device, self._dtype = device, dtype
        self._views: dict[View, ViewRows] = {}
        self._bins: dict[tuple[int, View, int], tuple[np.ndarray, np.ndarray]] = {}
        start = 0
        for fold in folds:
            n_train, n_valid = len(fold.y_train), len(fold.y_valid)
            low, high = float(fold.y_train.min()), float(fold.y_train.max())
            self.folds.append(
                FoldRows(start, n_train, n_valid, fold.target_mean, fold.target_std, low, high)
            )
            start += n_train
        self.n_train = min(fold.n_train for fold in self.folds)
        target_dtype = torch.int64 if problem.is_classification else dtype
        self.y_train = self._join([fold.y_train for fold in folds], target_dtype)
        self.y_valid = [self._join([fold.y_valid], target_dtype) for fold in folds]
        weights = [fold.weights for fold in folds if fold.weights is not None]
        # None: all rows count alike.
        self.w_train = self._join([own.train for own in weights], dtype) if weights else None
        self.w_valid = [self._join([own.valid], dtype) for own in weights]
        self.w_metric = [
            self._join([own.metric], dtype) for own in weights if own.metric is not None
        ]
        # Those of the classes in the loss; all folds have the same ones.
        self.class_weights = weights[0].of_classes if weights else None

    def valid_weights(self, fold: int, k: int) -> tuple[Tensor | None, Tensor | None]:
        """Return what a fold's validation rows count in the loss and in the metric, `[k, N]`."""
        both = [
            each[fold].expand(k, -1) if each else None for each in (self.w_valid, self.w_metric)
        ]
        return both[0], both[1]

    def _join(self, arrays: list[np.ndarray], to: torch.dtype) -> Tensor:
        joined = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        return _tensor(joined).to(self._device, to)

    def view(self, view: View) -> ViewRows:
        """Return a view's inputs; they are brought to the device when first asked for."""
        if view not in self._views:
            each = [fold.inputs(view) for fold in self._arrays]
            width = max(inputs.columns.width for inputs in each)
            n_valid = max(fold.n_valid for fold in self.folds)
            x_train = self._join([_padded(i.x_train, width) for i in each], self._dtype)
            x_valid = self._join([_padded(i.x_valid, width, n_valid) for i in each], self._dtype)
            self._views[view] = ViewRows(
                x_train,
                x_valid.view(len(each), n_valid, width),
                tuple(inputs.columns for inputs in each),
            )
        return self._views[view]

    def training_inputs(self, fold: int, view: View) -> Tensor:
        """Return a fold's training inputs `[N, W]`, without padding."""
        rows, place = self.view(view), self.folds[fold]
        x = rows.x_train[place.train_start : place.train_start + place.n_train]
        return x[:, : rows.columns[fold].width]

    def bins(self, fold: int, view: View, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
        """Return edges and widths `[D, n_bins]` of the numbers' bins on a fold's training rows."""
        key = fold, view, n_bins
        if key not in self._bins:
            n_numeric = self.view(view).columns[fold].n_numeric
            x = self.training_inputs(fold, view)[:, :n_numeric]
            self._bins[key] = bin_edges(x.cpu().numpy(), n_bins)
        return self._bins[key]


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


def problem_of(dataset: Dataset, metric: Metric) -> Problem:
    """Return what is to be learned from a data set."""
    n_outputs = len(dataset.classes) if dataset.task in CLASSIFICATION else 1
    return Problem(dataset.task, n_outputs, metric)


def fold_arrays(dataset: Dataset, views: Iterable[View]) -> list[FoldArrays]:
    """Return a data set's folds as the trainer takes them, in every view that may be asked for."""
    views = list(views)
    arrays = []
    for place, fold in enumerate(dataset.folds):
        inputs = {}
        for view in views:
            encoded = dataset.encoded(place, view)
            columns = Columns(*encoded.preprocessor.kinds)
            inputs[view] = Inputs(encoded.x_train, encoded.x_valid, columns)
        arrays.append(
            FoldArrays(
                fold.x_train,
                fold.y_train,
                fold.x_valid,
                fold.y_valid,
                fold.target_mean,
                fold.target_std,
                views=inputs,
                weights=fold.weights,
            )
        )
    return arrays


def check_metric(metric: Metric, dataset: Dataset) -> None:
    """Refuse a metric that no model could be given on some fold's validation rows.

    Raises:
        StudyError: when it needs targets that differ, and they do not.
    """
    if not metric.needs_variety:
        return
    for place, fold in enumerate(dataset.folds):
        counting = fold.y_valid
        if fold.weights is not None and fold.weights.metric is not None:
            counting = counting[fold.weights.metric > 0]
        if len(np.unique(counting)) < 2:
            where = "the validation rows" + (f" of fold {place}" if len(dataset.folds) > 1 else "")
            kind = "class" if dataset.task in CLASSIFICATION else "value"
            raise StudyError(
                f"--metric {metric.name} needs targets that differ, however: {where} "
                f"({len(counting)}) hold one {kind} only. Give more rows for validation, or "
                f"choose --metric {metric_for(dataset.task).name}."
            )
