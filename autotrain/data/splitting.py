"""Which rows train, validate, calibrate and test: seeded, disjoint, stratified by class.

Each class gives every part its share, rounded by largest remainder, and always keeps a row for
training; so a class of two rows breaks nothing. Folds deal a class's rows around like cards.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

from autotrain.errors import DataError

VALIDATION_FRACTION = 0.2
MAX_VALIDATION_ROWS = 10_000
# (rows, folds below so many rows); from the last number on one part is held out. Hundreds of trials
# overfit a few hundred held-out rows, and where there are more, the folds' networks predict better
# together than one that had more trials to be chosen from (docs/lab-notebook.md).
FOLDS = ((10_000, 5), (30_000, 3))
CALIBRATION_FRACTION = 0.25
MAX_CALIBRATION_ROWS = 2_000
"""τ is then right to 3 %."""
MIN_CALIBRATION_ROWS = 500
"""Fewer would miss the share that intervals and sets promise by more (1.3 points, one standard
deviation at 90 %) than it does harm to share the rows that choose (docs/benchmarks.md)."""
_FOLDS = re.compile(r"(\d+)-fold")


class Parts(NamedTuple):
    """Places of rows, ascending.

    Args:
        train: what networks learn from.
        valid: what stops trainings and chooses among trials.
        calibration: what noise, temperature and conformal scores are fitted on; None: the rows
            that validate.
    """

    train: np.ndarray
    valid: np.ndarray
    calibration: np.ndarray | None


def read_fraction(test: Any) -> float | None:
    """Return the fraction of test rows, or None when `test` is no number but names a table.

    Raises: DataError when it is a number that is no fraction.
    """
    if not isinstance(test, str | int | float | np.number):
        return None
    try:
        fraction = float(test)
    except ValueError:
        return None
    if not 0 <= fraction < 1:
        raise DataError(
            "test: expected a fraction of the rows (at least 0, less than 1) or a file, however: "
            f"{test}. 0.2 is usual, 0 keeps no test rows."
        )
    return fraction


def split_test(
    y: np.ndarray, fraction: float, seed: int, *, stratify: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of the rows for training and validation, and of the test rows."""
    everything = np.arange(len(y))
    if fraction == 0:
        return everything, everything[:0]
    n_test = min(max(1, round(fraction * len(y))), len(y) - 2)
    return holdout(y, n_test, np.random.default_rng([seed, 0]), stratify=stratify)


def split_validation(y: np.ndarray, validation: str, seed: int, *, stratify: bool) -> list[Parts]:
    """Return, for each fold, which rows do what.

    Of many rows held out a quarter, at most 2,000, calibrates and does nothing else. Rows of folds
    do both: each is predicted by networks that did not train on it.

    Args:
        y: `[N]` target of the rows that are not for the test.
        validation: "holdout" (20 %, at most 10,000 rows, one fold), "K-fold", or "auto": as
            many folds as `FOLDS` says.
    Raises: DataError for any other word, and when there are fewer rows than folds.
    """
    rng = np.random.default_rng([seed, 1])
    match = _FOLDS.fullmatch(str(validation).strip().lower())
    n_folds = 1 if match is None else int(match[1])
    if validation == "auto":
        n_folds = next((folds for below, folds in FOLDS if len(y) < below), 1)
    elif n_folds < 2 and validation != "holdout":
        raise DataError(
            "validation: expected auto, holdout or K-fold with K at least 2 (such as 5-fold), "
            f"however: {validation!r}."
        )
    if n_folds > 1:
        pairs = fold_rows(y, n_folds, rng, stratify=stratify)
        return [Parts(train, valid, None) for train, valid in pairs]
    n_valid = min(MAX_VALIDATION_ROWS, max(1, round(VALIDATION_FRACTION * len(y))))
    train, valid = holdout(y, n_valid, rng, stratify=stratify)
    if not len(valid):
        raise DataError(
            f"validation: expected at least one row, however: none of the {len(y)} rows beside the "
            f"test rows can validate{_WHO_CAN}. Use a smaller --test, or a target whose values "
            "repeat."
        )
    n_apart = min(MAX_CALIBRATION_ROWS, round(CALIBRATION_FRACTION * len(valid)))
    if n_apart < MIN_CALIBRATION_ROWS:
        return [Parts(train, valid, None)]
    choosing, apart = holdout(y[valid], n_apart, rng, stratify=stratify)
    return [Parts(train, valid[choosing], valid[apart])]


_WHO_CAN = " (the only row of a class always trains)"


def holdout(
    y: np.ndarray, n_out: int, rng: np.random.Generator, *, stratify: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Choose about `n_out` of N rows.

    Args:
        y: `[N]` class index when `stratify`, otherwise only its length counts.
        n_out: wanted number of chosen rows, less than N.
        stratify: every class keeps its share, and at least one row that is not chosen.
    Returns: places of the rows that stay and of those chosen, each ascending.
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
    # Ties go to a random class, otherwise the first classes would always be tested more.
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
    """Deal N rows to folds; each fold validates once while the others train.

    The row of a class that has only one here always trains.

    Returns: per fold the training and the validation rows, ascending.
    Raises: DataError when there are fewer rows than folds.
    """
    order = rng.permutation(len(y))
    if stratify:
        order = order[np.argsort(y[order], kind="stable")]
        order = order[np.bincount(y)[y[order]] > 1]
    if len(order) < n_folds:
        raise DataError(
            f"validation: expected at least as many rows as folds ({n_folds}), however: "
            f"{len(order)} rows beside the test rows can validate{_WHO_CAN if stratify else ''}. "
            "Use fewer folds or holdout, or a smaller --test."
        )
    fold_of = np.full(len(y), -1)
    fold_of[order] = np.arange(len(order)) % n_folds
    return [
        (np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold))
        for fold in range(n_folds)
    ]
