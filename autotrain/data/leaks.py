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
ONE_TO_ONE = "has one value for each class"
BY_GAPS = "is empty for some classes and filled for the others"
APART = "has a separate range of numbers for each class"
FINER = "has only values that each occur with one class"


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
        cells = frame[column.name]
        values = np.asarray(pd.isna(cells)) if is_date else plain(cells)
        if task == "regression":
            is_straight = column.kind == "numeric" and _follows(values, y)
            how = "follows the target in a straight line" if is_straight else None
        elif is_date:
            how = BY_GAPS if _tells_by_gaps(values, y) else None
        elif values.dtype.kind in "iufb":
            how = _revealed_by_numbers(values, y, are_amounts=column.kind == "numeric")
        else:
            how = _revealed_by_texts(values, y, column)
        if how is not None:
            warnings.append(
                f"column {column.name!r} {how}, which may leak the target. It is kept. Drop it "
                "from the table if it is not known at the time of prediction"
            )
    return warnings


def _revealed_by_numbers(values: np.ndarray, y: np.ndarray, *, are_amounts: bool) -> str | None:
    """Return how a column of numbers or booleans `[N]` reveals the class; None if it does not.

    Numbers are sorted, which takes a tenth of the time of `np.unique` with indices.
    """
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), dtype=bool)
    known, classes = (values[~missing], y[~missing]) if missing.any() else (values, y)
    of_classes = [known[classes == label] for label in np.unique(classes)]
    sizes = _sizes(known)
    has_repeats = MIN_ROWS < len(known) > len(sizes)
    is_pure = has_repeats and sum(len(_sizes(of)) for of in of_classes) == len(sizes)
    n_classes = len(np.unique(y))
    if is_pure and len(sizes) == n_classes == len(of_classes) > 1:
        return ONE_TO_ONE
    if _tells_by_gaps(missing, y):
        return BY_GAPS
    if are_amounts and len(known) > MIN_ROWS and _are_apart(of_classes, n_classes):
        return APART
    if is_pure and _is_no_chance(sizes, np.array(list(map(len, of_classes)))):
        return FINER
    return None


def _revealed_by_texts(values: np.ndarray, y: np.ndarray, column: Column) -> str | None:
    """Return how a column of texts `[N]` reveals the class; None if it does not."""
    found, inverse = texts(values, boolean=column.kind == "boolean")
    code_of = {text: code for code, text in enumerate(dict.fromkeys(found))}
    codes = np.array([code_of[text] for text in found], dtype=np.int64)[inverse]
    known = codes != code_of.get(None, -1)
    n_pairs = len(np.unique(codes[known] * (y.max() + 1) + y[known]))
    sizes = np.bincount(codes[known])
    sizes = sizes[sizes > 0]
    of_classes = np.unique(y[known], return_counts=True)[1]
    is_pure = n_pairs == len(sizes) and known.sum() > MIN_ROWS
    if is_pure and len(sizes) == len(of_classes) == len(np.unique(y)) > 1:
        return ONE_TO_ONE
    if _tells_by_gaps(np.asarray(pd.isna(values)), y):
        return BY_GAPS
    if column.kind == "numeric" and _parts(values, y):
        return APART
    return FINER if is_pure and _is_no_chance(sizes, of_classes) else None


def _sizes(values: np.ndarray) -> np.ndarray:
    """Return the number of rows of each value of a column."""
    ordered = np.sort(values)
    is_new = np.ones(len(ordered), dtype=bool)
    is_new[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(is_new)
    return np.diff(starts, append=len(ordered))


def _is_no_chance(sizes: np.ndarray, of_classes: np.ndarray) -> bool:
    """Whether more levels than classes are pure, too often for chance.

        Π_levels Σ_classes p_c^n_l < 1e-12

    The product is the probability that all levels are pure if the n_l rows of a level draw their
    classes with probabilities p_c. A level of one row is always pure and contributes a factor 1.

    Args:
        sizes: number of rows of each level, all pure.
        of_classes: number of rows of each class.
    """
    if not len(sizes) > len(of_classes) > 1:
        return False
    shares = of_classes / of_classes.sum()
    different, n_of_size = np.unique(sizes, return_counts=True)
    pure = np.log((shares[None] ** different[:, None]).sum(axis=1).clip(np.finfo(float).tiny))
    return float((pure * n_of_size).sum()) < np.log(CHANCE)


def _tells_by_gaps(missing: np.ndarray, y: np.ndarray) -> bool:
    if min(missing.sum(), (~missing).sum()) <= MIN_ROWS:
        return False
    return not np.intersect1d(y[missing], y[~missing]).size


def _parts(values: np.ndarray, y: np.ndarray) -> bool:
    """Whether the classes have separate ranges of a number `[N]`, each with enough rows."""
    read, _ = numbers(values)
    known = ~np.isnan(read)
    x, classes = read[known], y[known]
    of_classes = [x[classes == label] for label in np.unique(classes)]
    return known.sum() > MIN_ROWS and _are_apart(of_classes, len(np.unique(y)))


def _are_apart(of_classes: Sequence[np.ndarray], n_classes: int) -> bool:
    """Whether the numbers of all classes are in separate ranges, each with enough rows."""
    ranges = sorted(
        (float(of.min()), float(of.max())) for of in of_classes if len(of) >= MIN_ROWS_A_CLASS
    )
    return len(ranges) == n_classes and all(low[1] < high[0] for low, high in pairwise(ranges))


def _follows(values: np.ndarray, y: np.ndarray) -> bool:
    read, _ = numbers(values)
    known = ~np.isnan(read)
    if known.sum() <= MIN_ROWS:
        return False
    x, target = read[known] - read[known].mean(), y[known] - y[known].mean()
    size = float(np.sqrt(np.square(x).sum() * np.square(target).sum()))
    return size > 0 and abs(float((x * target).sum())) / size > CORRELATION
