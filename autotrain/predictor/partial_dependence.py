"""Partial dependence: the mean prediction as one column moves over its values.

The values are cells of the table, so a value is the encoded cell of one of its rows, and
`changed_columns.py` predicts all rows with it. The Monte-Carlo samples of the same rows give the
band.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autotrain.errors import DataError
from autotrain.predictor.changed_columns import ChangedColumns
from autotrain.predictor.distribution import frame_of
from autotrain.predictor.joint import MemberRows
from autotrain.predictor.monte_carlo import MonteCarlo, Request

ENDS = (0.05, 0.95)
"""Quantiles of the first and the last value of a number; beyond them rows are rare."""


@dataclass(frozen=True, eq=False)
class PartialDependence:
    """The mean prediction for V values of one column.

    Predictions are numbers in the units of the target, or the calibrated probabilities of C
    classes. Arrays then have C as their last axis.

    Attributes:
        column: name of the raw column.
        classes: `[C]` the labels; None for a regression.
        grid: `[V]` the values: float64 or datetime64 in ascending order, or texts, the most
            frequent first (None is the missing cell).
        mean: `[V]` or `[V, C]` mean over the rows of the prediction with dropout off.
        rows: `[V, 2]` or `[V, 2, C]` quantiles alpha/2 and 1 − alpha/2 of the predictions of the
            single rows: how much rows differ from each other.
        band: `[V, 2]` or `[V, 2, C]` the same quantiles of the mean over the rows, over the
            Monte-Carlo samples: the model's own uncertainty about the curve. It need not be around
            `mean`, because a sample has dropout. None without samples or without dropout.
        n_rows: N.
        n_samples: S; 0 without a band.
        alpha: error rate of `band`, and fraction of rows outside of `rows`.
    Examples:
        >>> import autotrain
        >>> from sklearn.datasets import load_iris
        >>> predictor = autotrain.load("studies/iris/best")
        >>> X = load_iris().data
        >>> name = predictor.column_names[2]
        >>> found = predictor.partial_dependence(X, name, grid=10, n_samples=20)
        >>> found.mean.shape, found.band.shape, bool(found.mean[0, 0] > found.mean[-1, 0])
        ((10, 3), (10, 2, 3), True)
    """

    column: str
    classes: np.ndarray | None
    grid: np.ndarray
    mean: np.ndarray
    rows: np.ndarray
    band: np.ndarray | None
    n_rows: int
    n_samples: int
    alpha: float

    def to_dict(self) -> dict[str, np.ndarray]:
        """Return one array `[V]` per column.

        Columns: value, mean, rows_low, rows_high, and with a band band_low, band_high; for classes
        mean_CLASS and so on.

        Returns: arrays by column name.
        Examples:
            >>> list(found.to_dict())[:3]
            ['value', 'mean_setosa', 'mean_versicolor']
        """
        curves = {"mean": self.mean, "rows_low": self.rows[:, 0], "rows_high": self.rows[:, 1]}
        if self.band is not None:
            curves |= {"band_low": self.band[:, 0], "band_high": self.band[:, 1]}
        columns = {"value": self.grid}
        for name, values in curves.items():
            if self.classes is None:
                columns[name] = values
            else:
                columns |= {f"{name}_{own}": values[:, c] for c, own in enumerate(self.classes)}
        return columns

    def to_frame(self) -> Any:
        """Return `to_dict` as a pandas data frame.

        Returns: a frame with V rows.
        Examples:
            >>> found.to_frame().shape
            (10, 16)
        """
        return frame_of(self.to_dict())


def partial_dependence(
    monte_carlo: MonteCarlo, X: Any, column: str, n_values: int, request: Request
) -> PartialDependence:
    """Return the result of `Predictor.partial_dependence`.

    Args:
        monte_carlo: the model.
        X: the user's table.
        column: one of its columns that the model has.
        n_values: largest number of values.
        request: samples and seed of the band, and alpha.
    """
    joint = monte_carlo.joint
    reader = next(each for each in joint.preprocessors if column in each.column_names)
    cells = reader.cells(X, column)
    chosen = rows_of_values(cells, n_values)
    if not len(chosen):
        raise DataError(
            f"X must have a row with a value of {column!r}, got {len(cells)} rows without one. "
            "Pass rows in which the column is known.",
            parameter="X",
        )
    curves = Curves(monte_carlo, joint.rows_of(X), column, torch.from_numpy(chosen))
    mean, rows = curves.of_rows(request.alpha)
    has_band = bool(request.n_samples) and monte_carlo.has_dropout
    return PartialDependence(
        column=column,
        classes=monte_carlo.classes if joint.is_classification else None,
        grid=cells[chosen],
        mean=mean,
        rows=rows,
        band=curves.band(request) if has_band else None,
        n_rows=len(cells),
        n_samples=request.n_samples if has_band else 0,
        alpha=request.alpha,
    )


def rows_of_values(cells: np.ndarray, most: int) -> np.ndarray:
    """Return one row for each value of a column, `[V]`, in the order of `PartialDependence.grid`.

    Args:
        cells: `[N]` float64, datetime64, or texts.
        most: largest number of values.
    """
    if cells.dtype == object:
        codes: dict[str | None, int] = {}
        numbers = np.array([codes.setdefault(cell, len(codes)) for cell in cells], dtype=np.intp)
        _, first, counts = np.unique(numbers, return_index=True, return_counts=True)
        found: np.ndarray = first[np.argsort(-counts, kind="stable")][:most]
        return found
    known = np.flatnonzero(~np.isnan(cells))
    ordered = known[np.argsort(cells[known], kind="stable")]
    _, first = np.unique(cells[ordered], return_index=True)
    if len(first) > most:
        places = np.linspace(*ENDS, most) * (len(ordered) - 1)
        _, first = np.unique(cells[ordered[np.rint(places).astype(np.intp)]], return_index=True)
        first = np.rint(places).astype(np.intp)[first]
    return ordered[first]


class Curves:
    """Predictions of all rows of a table for each value of one column.

    Args:
        monte_carlo: the model.
        xs: the encoded rows, one tensor `[N, D]` per member.
        column: name of the raw column.
        sources: `[V]` the row that has each value.
    """

    def __init__(
        self, monte_carlo: MonteCarlo, xs: MemberRows, column: str, sources: Tensor
    ) -> None:
        self._monte_carlo, self._joint = monte_carlo, monte_carlo.joint
        self._xs, self._column, self._sources = xs, column, sources

    def of_rows(self, alpha: float) -> tuple[np.ndarray, np.ndarray]:
        """Return mean `[V, …]` and quantiles `[V, 2, …]` over the rows, with dropout off."""
        changed, n_rows = ChangedColumns(self._joint, self._xs), len(self._xs[0])
        n_numbers = max(n_rows * self._joint.members[0].n_outputs, 1)
        means, quantiles = [], []
        for own in self._sources.split(max(self._joint.sizes.encoded // n_numbers, 1)):
            values = changed.moved([(self._column,)], own[:, None].expand(-1, n_rows))[0]
            predicted = self._in_units(values).numpy()
            means.append(predicted.mean(axis=1))
            quantiles.append(_quantiles(predicted, alpha, axis=1))
        return np.concatenate(means), np.concatenate(quantiles)

    def band(self, request: Request) -> np.ndarray:
        """Return quantiles `[V, 2, …]` of the mean over the rows, over the samples."""
        banks = self._joint.banks(request.n_samples, request.seed)
        found = []
        for xs in self._with_each_value():
            total: Tensor | float = 0.0
            for rows in self._joint.blocks(xs, request.n_samples):
                total = total + self._in_units(self._joint.samples(rows, banks)).sum(1)
            mean = torch.as_tensor(total).numpy() / len(xs[0])
            found.append(_quantiles(mean[None], request.alpha, axis=1)[0])
        return np.stack(found)

    def _with_each_value(self) -> Iterator[MemberRows]:
        """Yield all encoded rows with one value after another."""
        inputs = [m.preprocessor.inputs_of(self._column) for m in self._joint.members]
        for source in self._sources:
            found = []
            for x, own in zip(self._xs, inputs, strict=True):
                changed = x.clone()
                changed[:, own] = x[source, own]
                found.append(changed)
            yield found

    def _in_units(self, values: Tensor) -> Tensor:
        """Return numbers as they are, and log p `[…, C]` as calibrated probabilities."""
        if not self._joint.is_classification:
            return values
        return self._monte_carlo.point_recalibration.apply(values).exp()


def _quantiles(values: np.ndarray, alpha: float, axis: int) -> np.ndarray:
    """Return the quantiles alpha/2 and 1 − alpha/2 along an axis, as the axis 1 `[V, 2, …]`."""
    return np.moveaxis(np.quantile(values, [alpha / 2, 1 - alpha / 2], axis=axis), 0, 1)
