"""What each row counts: the user's weight of the row, and the weight of its class.

A column of weights says how many rows a row stands for: in the loss, in every metric, in the test
score. Class weights change only what is learned: the loss, in training and on the validation rows.
Metrics do not weigh the classes: metrics of labels judge the decision, which follows the class
weights; metrics of probabilities judge the probabilities with the class weights divided out.
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
        train: of the training rows in the loss; mean 1.
        valid: of the validation rows in the loss; mean 1.
        metric: of the validation rows in the metric, mean 1; None when all count alike.
        of_classes: `[C]`, of the classes in the loss, positive: 1 for a class of weight 0, which is
            not learned, so that nothing is divided out; None when all classes have the same weight.
    """

    train: np.ndarray
    valid: np.ndarray
    metric: np.ndarray | None
    of_classes: np.ndarray | None = None


def weights_column(name: str | None, names: Sequence[str], target: str, source: str) -> str | None:
    """Return the name of the column of weights.

    Raises: DataError when there is no such column, or it is the target.
    """
    if name is None or (name in names and name != target):
        return name
    if name == target:
        raise DataError(
            f"{source}: expected a column of weights beside the target, however: {name!r} is the "
            "target. Choose another column, or none."
        )
    others = [other for other in names if other != target]
    raise DataError(f"{source}: {unknown('weights column', name, others)}")


def read_weights(values: Any, name: str, source: str, rows: np.ndarray | None = None) -> np.ndarray:
    """Read one weight a row, float64 `[N]`.

    Args:
        rows: `[N]` each row's place in the table, to name it in an error; None when all are there.
    Raises: DataError when one is missing, no number, infinite or negative, or all are 0.
    """
    column = plain(values)
    where = f"{source}: expected in {name!r} a weight of at least 0 for every row, however: "
    try:
        read, bad = numbers(column)
    except TypeError:
        raise DataError(f"{where}some cells hold lists or other objects.") from None
    if bad is None:
        wrong = np.flatnonzero(~((read >= 0) & (read <= LARGEST)))
        if not len(wrong):
            if not read.any():
                raise DataError(
                    f"{source}: expected in {name!r} some weight above 0, however: all "
                    f"{len(read)} are 0. Choose another column, or none."
                )
            return read
        bad = int(wrong[0])
    cell = column[bad].item() if isinstance(column[bad], np.generic) else column[bad]
    shown = "nothing" if text_of(cell) is None else repr(cell)
    place = bad if rows is None else int(rows[bad])
    raise DataError(
        f"{where}row {place + 1} holds {shown}. Mend the cell, or give a row that is not to count "
        "the weight 0."
    )


def check_class_weights(given: ClassWeights | None, classes: Sequence[Label], target: str) -> None:
    """Refuse class weights that do not fit the classes.

    Raises: StudyError.
    """
    if given is None:
        return
    if not classes:
        raise StudyError(
            f"--class-weights need classes, however: {target!r} is a number. Leave them out, or "
            "say --task when the task was inferred wrongly."
        )
    if isinstance(given, str):
        if given != BALANCED:
            raise StudyError(
                f"--class-weights must be {BALANCED}, or a weight for each class, however: "
                f"{given!r}."
            )
        return
    texts = [text_of(label) for label in classes]
    for label, weight in given.items():
        if text_of(label) not in texts:
            raise StudyError(f"--class-weights: {unknown('class', label, map(str, classes))}")
        is_number = isinstance(weight, int | float | np.number) and not isinstance(weight, bool)
        if not is_number or not 0 <= float(weight) <= LARGEST:
            raise StudyError(
                f"--class-weights must be numbers of at least 0, however: {weight!r} for class "
                f"{label!r}."
            )


def class_weights_as_json(given: ClassWeights | None) -> str | dict[str, float] | None:
    """Return class weights as a study keeps them: labels as texts."""
    if given is None or isinstance(given, str):
        return given
    return {str(text_of(label)): float(weight) for label, weight in given.items()}


def weights_of_classes(
    given: ClassWeights,
    classes: Sequence[Label],
    y: np.ndarray,
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """Return each class's weight `[C]`; 1 where it is not named.

        balanced: w_c = n / (C n_c), n the sum of the rows' weights, so that every class weighs the
        same on these rows

    Args:
        y: class numbers `[N]` of all rows but the test rows; the folds share their class weights.
        rows: weights of these rows `[N]`; None when all count alike.
    Equals: `sklearn.utils.class_weight.compute_class_weight`.
    """
    if isinstance(given, str):
        own = None if rows is None else rows / rows.mean()
        sums = np.bincount(y, weights=own, minlength=len(classes)).astype(np.float64)
        # A class without a row weighs as much as one of a single row would.
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
    """Return the weights of a fold's rows, or None when all count alike.

    Args:
        weights: the user's, `[N]`, of all rows of the table.
        by_class: `[C]`.
        y: the coded target `[N]`.
        train, valid: places of the fold's rows.
        where: names the fold in an error.
    Raises: DataError when nothing has any weight.
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
            f"expected some weight above 0, however: {rows} ({len(weights)}) all have weight 0. "
            "Give more rows a weight, or use another --validation or --seed."
        )
    # By the largest first: the sum of huge weights may be infinite.
    scaled = weights / weights.max()
    return scaled / scaled.mean()
