"""Warn about columns that reveal the target. They are kept, because only the user can decide."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from autotrain.data.arrays import plain
from autotrain.data.columns import Column
from autotrain.data.values import numbers, texts

MIN_ROWS = 30
MIN_ROWS_A_CLASS = 10
CORRELATION = 0.9999
CHANCE = 1e-12
"""Largest probability of a coincidence that still causes a warning."""


def find_leaks(
    frame: pd.DataFrame, columns: Sequence[Column], y: np.ndarray, task: str
) -> list[str]:
    """Return a warning for each column that alone determines the target of the training rows.

    In classification one of these must hold:

    - Values and classes correspond one to one on more than 30 filled rows.
    - The classes have separate ranges of numbers.
    - No class has both filled and empty cells, with more than 30 of each. An example is the reason
      why a customer left.
    - The column has more values than there are classes, and each value occurs with one class only,
      too often for chance. This is a finer code of the target.

    In regression, the absolute correlation with the target must exceed 0.9999.

    Args:
        frame, y: `[N]` training rows, and their class indices or numbers.
    """
    warnings = []
    for column in columns:
        is_date = column.kind == "date"
        if column.kind == "pixel" or (is_date and task == "regression"):
            continue
        # Only the gaps of a date matter, so its cells are not read.
        missing = np.asarray(pd.isna(frame[column.name]))
        values = missing if is_date else plain(frame[column.name])
        if task == "regression":
            found = column.kind == "numeric" and _follows(values, y)
            how = "follows the target in a straight line"
        elif not is_date and _is_one_to_one(values, y, boolean=column.kind == "boolean"):
            found, how = True, "has one value for each class"
        elif _tells_by_gaps(missing if is_date else pd.isna(values), y):
            found, how = True, "is empty for some classes and filled for the others"
        elif column.kind == "numeric" and _parts(values, y):
            found, how = True, "has a separate range of numbers for each class"
        else:
            found = not is_date and _is_finer(values, y, boolean=column.kind == "boolean")
            how = "has only values that each occur with one class"
        if found:
            warnings.append(
                f"column {column.name!r} {how}, which may leak the target. It is kept. Drop it "
                "from the table if it is not known at the time of prediction"
            )
    return warnings


def _is_finer(values: np.ndarray, y: np.ndarray, *, boolean: bool) -> bool:
    """Whether every value of a column `[N]` occurs with one class, too often for chance.

        Π_levels Σ_classes p_c^n_l < 1e-12

    The product is the probability that all levels are pure if the n_l rows of a level draw their
    classes with probabilities p_c. A level of one row is always pure and contributes a factor 1.
    """
    if values.dtype.kind in "iufb":
        known = ~np.isnan(values) if values.dtype.kind == "f" else np.ones(len(values), dtype=bool)
        _, codes = np.unique(values[known], return_inverse=True)
    else:
        found, inverse = texts(values, boolean=boolean)
        numbered = {text: code for code, text in enumerate(dict.fromkeys(found))}
        of_rows = np.array([numbered[text] for text in found], dtype=np.int64)[inverse]
        known = of_rows != numbered.get(None, -1)
        codes = of_rows[known]
    if known.sum() <= MIN_ROWS:
        return False
    classes = y[known]
    pairs = np.unique(np.stack([codes, classes]), axis=1)
    n_levels, n_classes = len(np.unique(codes)), len(np.unique(classes))
    if not pairs.shape[1] == n_levels > n_classes > 1:
        return False
    shares = np.unique(classes, return_counts=True)[1] / len(classes)
    sizes, n_of_size = np.unique(np.unique(codes, return_counts=True)[1], return_counts=True)
    pure = np.log((shares[None] ** sizes[:, None]).sum(axis=1).clip(np.finfo(float).tiny))
    return float((pure * n_of_size).sum()) < np.log(CHANCE)


def _is_one_to_one(values: np.ndarray, y: np.ndarray, *, boolean: bool) -> bool:
    if values.dtype.kind in "iuf" and len(np.unique(values[~np.isnan(values)])) != len(
        np.unique(y)
    ):
        return False  # most columns end here, before the slow conversion to texts
    found, inverse = texts(values, boolean=boolean)
    code_of = {text: code for code, text in enumerate(dict.fromkeys(found))}
    if len(code_of) - (None in code_of) != len(np.unique(y)):
        return False
    codes = np.array([code_of[text] for text in found], dtype=np.int64)[inverse]
    known = codes != code_of.get(None, -1)
    if known.sum() <= MIN_ROWS:
        return False
    pairs = np.unique(np.stack([codes[known], y[known]]), axis=1)
    n_levels, n_classes = len(np.unique(pairs[0])), len(np.unique(pairs[1]))
    return pairs.shape[1] == n_levels == n_classes > 1


def _tells_by_gaps(missing: np.ndarray, y: np.ndarray) -> bool:
    if min(missing.sum(), (~missing).sum()) <= MIN_ROWS:
        return False
    return not np.intersect1d(y[missing], y[~missing]).size


def _parts(values: np.ndarray, y: np.ndarray) -> bool:
    """Whether the classes have separate ranges of a number `[N]`, each with enough rows."""
    read, _ = numbers(values)
    known = ~np.isnan(read)
    x, classes = read[known], y[known]
    n_classes = len(np.unique(y))
    ranges = sorted(
        (float(of.min()), float(of.max()))
        for of in (x[classes == label] for label in np.unique(classes))
        if len(of) >= MIN_ROWS_A_CLASS
    )
    return (
        known.sum() > MIN_ROWS
        and len(ranges) == n_classes
        and all(low[1] < high[0] for low, high in pairwise(ranges))
    )


def _follows(values: np.ndarray, y: np.ndarray) -> bool:
    read, _ = numbers(values)
    known = ~np.isnan(read)
    if known.sum() <= MIN_ROWS:
        return False
    x, target = read[known] - read[known].mean(), y[known] - y[known].mean()
    size = float(np.sqrt(np.square(x).sum() * np.square(target).sum()))
    return size > 0 and abs(float((x * target).sum())) / size > CORRELATION
