"""Groups of raw columns that move together, found in encoded rows.

    two columns of numbers      |Spearman's rank correlation|
    numbers and categories      correlation ratio of the ranks, corrected for the number of levels
    two columns of categories   Cramér's V, corrected for the numbers of levels

All three are about 0 for independent columns and about 1 where one column determines the other. A
date counts as its number of days, a missing number as the median. `associations` computes all
pairs, and `associated_groups` clusters the columns so that every two of a group are associated.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from autotrain.data.codes import ColumnCode
from autotrain.data.preprocessing import Preprocessor
from autotrain.errors import AutotrainError

THRESHOLD = 0.7
"""Columns with at least this association are grouped.

Source: Dormann et al. 2013, "Collinearity", doi:10.1111/j.1600-0587.2012.07348.x: regressions are
distorted when |r| > 0.7.
"""
MANY_ROWS = 20_000
"""With more rows, associations are computed on about this many rows, evenly spaced."""


def associated_groups(
    preprocessor: Preprocessor, x: np.ndarray, threshold: float = THRESHOLD
) -> list[tuple[str, ...]]:
    """Return the groups of at least two raw columns that move together.

    Columns are clustered hierarchically by 1 − association with complete linkage, so that every
    two columns of a group have at least this association.

    Args:
        preprocessor: the one that encoded the rows.
        x: `[N, D]` encoded rows.
        threshold: in (0, 1].
    Returns: names of the columns of each group, in the order of the table.
    Raises:
        AutotrainError: when scipy is not installed.
    """
    found = associations(preprocessor, x[:: max(len(x) // MANY_ROWS, 1)])
    if len(found) < 2:
        return []
    distance = np.clip(1 - found, 0, 1)[np.triu_indices(len(found), 1)]
    hierarchy = _hierarchy()
    tree = hierarchy.linkage(distance, "complete")
    # Rounding must not separate columns at the threshold.
    labels = hierarchy.fcluster(tree, 1 - threshold + 1e-9, "distance")
    names = np.array(preprocessor.column_names, dtype=object)
    groups = [tuple(names[labels == label]) for label in dict.fromkeys(labels.tolist())]
    return [group for group in groups if len(group) > 1]


def associations(preprocessor: Preprocessor, x: np.ndarray) -> np.ndarray:
    """Return the association of every two raw columns, `[P, P]` float64 with ones on the diagonal.

    Args:
        preprocessor: the one that encoded the rows, with P columns.
        x: `[N, D]` encoded rows.
    """
    columns = preprocessor.columns
    numbers = [place for place, column in enumerate(columns) if column.is_scaled]
    levels = {
        place: _levels(preprocessor, column, x)
        for place, column in enumerate(columns)
        if not column.is_scaled
    }
    ranks = np.empty((len(x), len(numbers)))
    for to, place in enumerate(numbers):
        ranks[:, to] = _ranks(x[:, _number_of(preprocessor, columns[place])])
    found = np.eye(len(columns))
    found[np.ix_(numbers, numbers)] = np.abs(_correlations(ranks))
    for place, own in levels.items():
        found[place, numbers] = found[numbers, place] = correlation_ratios(own, ranks)
        for other in levels:
            if other < place:
                found[place, other] = found[other, place] = cramers_v(own, levels[other])
    np.fill_diagonal(found, 1.0)
    return found


def correlation_ratios(levels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return how far the levels determine each column of numbers, `[P]` in [0, 1].

        ε² = 1 − (1 − η²) (N − 1) / (N − L),    η² = Σ_l n_l (mean_l − mean)² / Σ (v − mean)²

    Args:
        levels: `[N]` numbers 0 … L − 1 of the levels, all of which occur.
        values: `[N, P]`.
    Returns: ε, 0 where ε² is negative. With ranks as values, η² (N − 1) is the statistic of
        Kruskal and Wallis.
    Source: Kelley 1935, "An unbiased correlation ratio measure", doi:10.1073/pnas.21.9.554.
    """
    counts = np.bincount(levels)
    n_rows, n_levels = len(levels), len(counts)
    if n_rows <= n_levels:
        return np.zeros(values.shape[1])
    centered = values - values.mean(axis=0)
    starts = np.concatenate([[0], counts.cumsum()[:-1]])
    sums = np.add.reduceat(centered[levels.argsort(kind="stable")], starts, axis=0)
    between, total = (sums**2 / counts[:, None]).sum(axis=0), (centered**2).sum(axis=0)
    share = np.divide(between, total, out=np.zeros_like(total), where=total > 0)
    found: np.ndarray = 1 - (1 - share) * (n_rows - 1) / (n_rows - n_levels)
    return np.sqrt(np.where(total > 0, found.clip(0, 1), 0))


def cramers_v(first: np.ndarray, second: np.ndarray) -> float:
    """Return Cramér's V of two columns of levels, corrected for its bias.

    Args:
        first, second: `[N]` numbers 0 … L − 1 of the levels, all of which occur.
    Source: Bergsma 2013, "A bias-correction for Cramér's V and Tschuprow's T",
        doi:10.1016/j.jkss.2012.10.002.
    """
    rows, columns = int(first.max()) + 1, int(second.max()) + 1
    n = len(first)
    if min(rows, columns) < 2 or n < 2:
        return 0.0
    table = np.bincount(first * columns + second, minlength=rows * columns).reshape(rows, columns)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    square = float(((table - expected) ** 2 / expected).sum()) / n
    square = max(square - (rows - 1) * (columns - 1) / (n - 1), 0.0)
    most = min(k - 1 - (k - 1) ** 2 / (n - 1) for k in (rows, columns))
    return min(float(np.sqrt(square / most)), 1.0) if most > 0 else 0.0


def _number_of(preprocessor: Preprocessor, column: ColumnCode) -> int:
    """Return the input with the number of a column; of a date, the days if it has them."""
    offset = column.parts.index("days") if "days" in column.parts else 0
    return preprocessor.start_of(column) + offset


def _levels(preprocessor: Preprocessor, column: ColumnCode, x: np.ndarray) -> np.ndarray:
    """Return each row's level `[N]` as numbers 0 … L − 1; levels that do not occur are skipped."""
    start = preprocessor.start_of(column)
    block = x[:, start : start + column.n_inputs]
    found: np.ndarray = np.unique(
        block @ np.arange(1, column.n_inputs + 1, dtype=np.float32), return_inverse=True
    )[1]
    return found


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks `[N]` of numbers; equal numbers have their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: np.ndarray = (counts.cumsum() - (counts - 1) / 2)[inverse]
    return found


def _correlations(values: np.ndarray) -> np.ndarray:
    """Return the correlations `[P, P]` of columns `[N, P]`; 0 for a constant column."""
    centered = values - values.mean(axis=0)
    length = np.sqrt((centered**2).sum(axis=0))
    unit = np.divide(centered, length, out=np.zeros_like(centered), where=length > 0)
    found: np.ndarray = unit.T @ unit
    return found


def _hierarchy() -> Any:
    # Prediction must not need scipy, so it is imported only for groups.
    try:
        return importlib.import_module("scipy.cluster.hierarchy")
    except ModuleNotFoundError:
        raise AutotrainError(
            "groups must be None or a list of groups without scipy, which is not installed, got "
            "'auto'. Install scipy, or pass groups=None.",
            parameter="groups",
        ) from None
