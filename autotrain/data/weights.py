"""Sample weights and class weights.

A sample weight is used in the loss, in every metric and in the test score. Class weights are used
only in the loss, for training and validation rows. Metrics do not use class weights. Metrics of
labels score the decisions, which depend on the class weights. Metrics of probabilities score the
probabilities after the class weights are divided out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autotrain.data.arrays import plain
from autotrain.data.targets import Label
from autotrain.data.values import LARGEST, numbers, text_of
from autotrain.errors import DataError, StudyError, unknown

BALANCED = "balanced"
ClassWeights = str | Mapping[Any, float]


@dataclass(frozen=True)
class RowWeights:
    """One fold's weights, float64 `[N]`.

    Args:
        train: weights of the training rows in the loss; mean 1.
        valid: weights of the validation rows in the loss; mean 1.
        metric: weights of the validation rows in the metric, mean 1; None if all are equal.
        of_classes: `[C]` weights of the classes in the loss, positive; None without class weights.
            A class of weight 0 is not learned and has 1 here, so that nothing is divided out.
    """

    train: np.ndarray
    valid: np.ndarray
    metric: np.ndarray | None
    of_classes: np.ndarray | None = None


def weights_column(name: str | None, names: Sequence[str], target: str, source: str) -> str | None:
    """Return the name of the column of weights.

    Raises:
        DataError: when the column does not exist or is the target.
    """
    if name is None or (name in names and name != target):
        return name
    if name == target:
        raise DataError(
            f"{source}: weights must not be the target column, got {name!r}. Choose another "
            "column, or omit it.",
            parameter="weights",
        )
    others = [other for other in names if other != target]
    raise DataError(f"{source}: {unknown('weights column', name, others)}")


def read_weights(values: Any, name: str, source: str, rows: np.ndarray | None = None) -> np.ndarray:
    """Return one weight per row, float64 `[N]`.

    Args:
        rows: `[N]` indices of the rows in the table, for errors; None if no row was dropped.
    Raises:
        DataError: when a weight is missing, not a number, infinite or negative, or all are 0.
    """
    column = plain(values)
    where = f"{source}: weights in {name!r} must be numbers of at least 0, got "
    try:
        read, bad = numbers(column)
    except TypeError:
        raise DataError(f"{where}lists or other objects.") from None
    if bad is None:
        wrong = np.flatnonzero(~((read >= 0) & (read <= LARGEST)))
        if not len(wrong):
            if not read.any():
                raise DataError(
                    f"{source}: at least one weight in {name!r} must be positive, but all "
                    f"{len(read)} are 0. Choose another column, or omit it."
                )
            return read
        bad = int(wrong[0])
    cell = column[bad].item() if isinstance(column[bad], np.generic) else column[bad]
    shown = "an empty cell" if text_of(cell) is None else repr(cell)
    place = bad if rows is None else int(rows[bad])
    raise DataError(
        f"{where}{shown} in row {place + 1}. Correct the cell, or use the weight 0 to exclude the "
        "row."
    )


def check_class_weights(given: ClassWeights | None, classes: Sequence[Label], target: str) -> None:
    """Check that class weights fit the classes.

    Raises:
        StudyError: when they do not.
    """
    if given is None:
        return
    if not classes:
        raise StudyError(
            f"class_weights must be None for a regression, but {target!r} is a number. Omit them, "
            "or set the task if it was inferred wrongly.",
            parameter="class_weights",
        )
    if isinstance(given, str):
        if given != BALANCED:
            raise StudyError(
                f"class_weights must be {BALANCED!r} or a weight for each class, got {given!r}.",
                parameter="class_weights",
            )
        return
    texts = [text_of(label) for label in classes]
    for label, weight in given.items():
        if text_of(label) not in texts:
            raise StudyError(
                f"class_weights: {unknown('class', label, map(str, classes))}",
                parameter="class_weights",
            )
        is_number = isinstance(weight, int | float | np.number) and not isinstance(weight, bool)
        if not is_number or not 0 <= float(weight) <= LARGEST:
            raise StudyError(
                f"class_weights must be numbers of at least 0, got {weight!r} for class {label!r}.",
                parameter="class_weights",
            )


def class_weights_as_json(given: ClassWeights | None) -> str | dict[str, float] | None:
    """Return class weights as JSON, with labels as strings."""
    if given is None or isinstance(given, str):
        return given
    return {str(text_of(label)): float(weight) for label, weight in given.items()}


def weights_of_classes(
    given: ClassWeights,
    classes: Sequence[Label],
    y: np.ndarray,
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """Return the weight of each class `[C]`; 1 for classes that are not named.

        balanced: w_c = n / (C n_c)

    Here n is the sum of all sample weights and n_c that of class c, so that every class has the
    same total weight.

    Args:
        y: `[N]` class indices of all rows except the test rows; all folds share the weights.
        rows: `[N]` sample weights of these rows; None if all are equal.
    Equals: `sklearn.utils.class_weight.compute_class_weight`.
    """
    if isinstance(given, str):
        own = None if rows is None else rows / rows.mean()
        sums = np.bincount(y, weights=own, minlength=len(classes)).astype(np.float64)
        # A class without rows gets the weight of a class with one row.
        return sums.sum() / (len(classes) * np.where(sums > 0, sums, 1.0))
    named = {text_of(label): float(weight) for label, weight in given.items()}
    return np.array([named.get(text_of(label), 1.0) for label in classes])


def fold_weights(
    weights: np.ndarray | None,
    by_class: np.ndarray | None,
    y: np.ndarray,
    train: np.ndarray,
    valid: np.ndarray,
    where: str,
) -> RowWeights | None:
    """Return the weights of a fold's rows; None if all are equal.

    Args:
        weights: `[N]` sample weights of all rows of the table, or None.
        by_class: `[C]` class weights, or None.
        y: `[N]` encoded target.
        train, valid: indices of the fold's rows.
        where: name of the fold, for errors.
    Raises:
        DataError: when all weights of a part are 0.
    """
    if weights is None and by_class is None:
        return None
    rows = np.ones(len(y)) if weights is None else weights
    of_loss = rows if by_class is None else rows * by_class[y]
    return RowWeights(
        _to_mean_one(of_loss[train], f"the training rows{where}"),
        _to_mean_one(of_loss[valid], f"the validation rows{where}"),
        None if weights is None else _to_mean_one(rows[valid], f"the validation rows{where}"),
        None if by_class is None else np.where(by_class > 0, by_class, 1.0),
    )


def _to_mean_one(weights: np.ndarray, rows: str) -> np.ndarray:
    if not weights.any():
        raise DataError(
            f"at least one weight must be positive, but {rows} ({len(weights)}) all have weight 0. "
            "Give more rows a positive weight, or change validation or seed."
        )
    # The sum of huge weights may be infinite, so divide by the largest one first.
    scaled = weights / weights.max()
    return scaled / scaled.mean()
