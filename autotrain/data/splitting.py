"""Split rows into training, validation, calibration and test rows, seeded and stratified by class.

Each class contributes its fraction to every part, rounded by the largest-remainder method, and
keeps at least one training row. The rows of a class are assigned to the folds in turn.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

from autotrain.errors import DataError

VALIDATION_FRACTION = 0.2
MAX_VALIDATION_ROWS = 10_000
# Pairs of (row limit, number of folds below that limit). Larger tables use a holdout. Hundreds of
# trials overfit a few hundred held-out rows. With more rows, the networks of several folds together
# still predict better than one network selected from more trials (docs/lab-notebook.md).
FOLDS = ((10_000, 5), (30_000, 3))
CALIBRATION_FRACTION = 0.25
MAX_CALIBRATION_ROWS = 2_000
"""With this number of rows, τ has a relative error of 3 %."""
MIN_CALIBRATION_ROWS = 500
"""With fewer rows, the coverage of intervals and sets would deviate by more than 1.3 percentage
points (one standard deviation at 90 %), which is worse than calibrating on the validation rows
(docs/benchmarks.md)."""
_FOLDS = re.compile(r"(\d+)-fold")


class Split(NamedTuple):
    """Indices of rows, ascending.

    Args:
        train: rows for training.
        valid: rows for early stopping and for the choice among trials.
        calibration: rows for noise, temperature and conformal scores. None: the validation rows are
            used.
    """

    train: np.ndarray
    valid: np.ndarray
    calibration: np.ndarray | None


def read_fraction(test: Any) -> float | None:
    """Return the fraction of test rows, or None if `test` is a table.

    Raises:
        DataError: when it is a number outside [0, 1).
    """
    if not isinstance(test, str | int | float | np.number):
        return None
    try:
        fraction = float(test)
    except ValueError:
        return None
    if not 0 <= fraction < 1:
        raise DataError(
            f"test must be a fraction in [0, 1) or a table of test rows, got {test}. The default "
            "is 0.2, and 0 means no test rows.",
            parameter="test",
        )
    return fraction


def split_test(
    y: np.ndarray, fraction: float, seed: int, *, stratify: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Split N rows by their target `[N]`; return indices of the other rows and of the test rows."""
    everything = np.arange(len(y))
    if fraction == 0:
        return everything, everything[:0]
    n_test = min(max(1, round(fraction * len(y))), len(y) - 2)
    return holdout(y, n_test, np.random.default_rng([seed, 0]), stratify=stratify)


def split_validation(y: np.ndarray, validation: str, seed: int, *, stratify: bool) -> list[Split]:
    """Return the parts of each fold.

    If many rows are held out, a quarter of them (at most 2,000) is used only for calibration. With
    several folds the same rows validate and calibrate, because each of them is predicted by
    networks that did not train on it.

    Args:
        y: `[N]` target of all rows except the test rows.
        validation: "holdout" (20 %, at most 10,000 rows, one fold), "K-fold" such as "5-fold", or
            "auto", which takes the number of folds from `FOLDS`.
    Raises:
        DataError: when `validation` is invalid, or there are fewer rows than folds.
    """
    rng = np.random.default_rng([seed, 1])
    match = _FOLDS.fullmatch(str(validation).strip().lower())
    n_folds = 1 if match is None else int(match[1])
    if validation == "auto":
        n_folds = next((folds for below, folds in FOLDS if len(y) < below), 1)
    elif n_folds < 2 and validation != "holdout":
        raise DataError(
            "validation must be auto, holdout or K-fold with K at least 2 (such as 5-fold), "
            f"got {validation!r}.",
            parameter="validation",
        )
    if n_folds > 1:
        pairs = fold_rows(y, n_folds, rng, stratify=stratify)
        return [Split(train, valid, None) for train, valid in pairs]
    n_valid = min(MAX_VALIDATION_ROWS, max(1, round(VALIDATION_FRACTION * len(y))))
    train, valid = holdout(y, n_valid, rng, stratify=stratify)
    if not len(valid):
        raise DataError(
            f"the validation split must have at least one row, but none of the {len(y)} rows "
            f"outside the test set can validate{_WHO_CAN}. Use a smaller test fraction, or a "
            "target whose values repeat."
        )
    n_apart = min(MAX_CALIBRATION_ROWS, round(CALIBRATION_FRACTION * len(valid)))
    if n_apart < MIN_CALIBRATION_ROWS:
        return [Split(train, valid, None)]
    choosing, apart = holdout(y[valid], n_apart, rng, stratify=stratify)
    return [Split(train, valid[choosing], valid[apart])]


_WHO_CAN = " (the only row of a class is always used for training)"


def holdout(
    y: np.ndarray, n_out: int, rng: np.random.Generator, *, stratify: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Choose about `n_out` of N rows.

    Args:
        y: `[N]` class indices if `stratify`; otherwise only its length is used.
        n_out: wanted number of chosen rows, less than N.
        stratify: whether to choose the same fraction of every class, and leave at least one row of
            each.
    Returns: indices of the other rows and of the chosen rows, each ascending.
    """
    n_rows = len(y)
    shuffled = rng.permutation(n_rows)
    if not stratify:
        return np.sort(shuffled[n_out:]), np.sort(shuffled[:n_out])
    counts = np.bincount(y)
    most = np.maximum(counts - 1, 0)
    exact = counts * (n_out / n_rows)
    give = np.minimum(np.floor(exact).astype(np.int64), most)
    remainder = np.where(give < most, exact - give, -1.0)
    # Ties are broken at random. Otherwise the first classes would always get more test rows.
    by_remainder = np.lexsort((rng.random(len(counts)), -remainder))
    for label in by_remainder[: max(0, n_out - int(give.sum()))]:
        give[label] += remainder[label] >= 0
    by_class = shuffled[np.argsort(y[shuffled], kind="stable")]
    first_of_class = np.cumsum(counts) - counts
    rank = np.arange(n_rows) - np.repeat(first_of_class, counts)
    chosen = rank < np.repeat(give, counts)
    return np.sort(by_class[~chosen]), np.sort(by_class[chosen])


def fold_rows(
    y: np.ndarray, n_folds: int, rng: np.random.Generator, *, stratify: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Assign N rows to folds; each fold is the validation set once.

    The only row of a class is always used for training.

    Args:
        y: `[N]` class indices if `stratify`; otherwise only its length is used.
    Returns: indices of the training and validation rows of each fold, ascending.
    Raises:
        DataError: when there are fewer rows than folds.
    """
    order = rng.permutation(len(y))
    if stratify:
        order = order[np.argsort(y[order], kind="stable")]
        order = order[np.bincount(y)[y[order]] > 1]
    if len(order) < n_folds:
        raise DataError(
            f"validation must have at least one row per fold ({n_folds}), but only {len(order)} "
            f"rows outside the test set can validate{_WHO_CAN if stratify else ''}. "
            "Use fewer folds or holdout, or a smaller test fraction.",
            parameter="validation",
        )
    fold_of = np.full(len(y), -1)
    fold_of[order] = np.arange(len(order)) % n_folds
    return [
        (np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold))
        for fold in range(n_folds)
    ]
