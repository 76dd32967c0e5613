"""Infer the task and the classes, and encode the target.

    a categorical column, texts, booleans, or
      two labels of any kind                       classification
    at most 20 distinct integers that start at
      -1, 0 or 1, each in at least three rows
      on average                                   multiclass (class codes such as 0, 1, 2)
    integers beyond 2^53, as few and as often      multiclass (codes that a float cannot represent)
    all other numbers                              regression (amounts, counts, grades from 3 to 9)

Integers that start at another number are a scale, whose order regression preserves. Codes that
start at 0 or 1 have no order. `task=` overrides this, and `Target.reason` explains the choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autotrain.data.arrays import MOST_EXACT, plain
from autotrain.data.codes import are_texts, with_spellings
from autotrain.data.lookalikes import lookalikes_note, zeros_note
from autotrain.data.numerals import PLAIN, Numeral, numbers_like, resembling_numbers
from autotrain.data.values import (
    LARGEST,
    MOST_SPOILT,
    boolean_text_of,
    distinct,
    number_of,
    text_of,
)
from autotrain.errors import DataError, unknown
from autotrain.vocabulary import count_text

TASKS = ("binary", "multiclass", "regression")
MAX_CODES = 20
"""More distinct integers are amounts, not class codes."""
MIN_ROWS_A_CODE = 3
MAX_CLASSES = 1000
MOST_OTHERS = 0.5
"""Largest fraction of other cells, such as a word for missing, in a target of numbers."""

Label = str | int | float | bool


@dataclass(frozen=True)
class Target:
    """The target of a table.

    Args:
        name: name of its column.
        task: "binary", "multiclass" or "regression".
        reason: the reason for the task, one sentence for the user.
        classes: the original labels, sorted; empty for regression.
        label_dtype: type of the labels that `predict` returns: "str", "int64", "float64" or "bool".
        y: `[N]` class indices int64, or for regression the numbers of the table float64.
        numeral: regression: number format of text in another table.
    """

    name: str
    task: str
    reason: str
    classes: tuple[Label, ...]
    label_dtype: str
    y: np.ndarray
    numeral: Numeral = PLAIN

    @property
    def texts(self) -> set[str]:
        """The column's name if its labels are text, so that other files are read alike."""
        return {self.name} if are_texts(self.classes) else set()

    def encode(self, values: Any, where: str) -> np.ndarray:
        """Encode the target `[N]` of another table (a test file) in the same way.

        Raises:
            DataError: when a label is not among the classes or a cell is not a number.
        """
        column = plain(values)
        if self.task == "regression":
            return _as_numbers(column, self.name, where, self.numeral)
        text = boolean_text_of if self.label_dtype == "bool" else text_of
        places: dict[Any, int] = with_spellings(
            {text(label): place for place, label in enumerate(self.classes)}
        )
        # Exact labels take precedence: "1" and "1.0" may be two classes of a text column.
        places.update({label: place for place, label in enumerate(self.classes)})
        labels, inverse = _labels(column, self.name, had_missing=False)
        found = [places.get(label, places.get(text(label), -1)) for label in labels]
        if self.label_dtype == "int64" and column.dtype.kind == "f":
            _refuse_rounded(labels, self.name, where)
        strange = [label for label, place in zip(labels, found, strict=True) if place < 0]
        if strange:
            raise DataError(
                f"{where}: labels in {self.name!r} must be classes of the training table "
                f"({_shown(self.classes)}), got {_shown(strange)}. "
                "Drop these rows, or add rows with these labels to the training table."
            )
        return np.array(found, dtype=np.int64)[inverse]


def read_target(values: Any, name: str, task: str = "auto", *, had_missing: bool = False) -> Target:
    """Infer the task and encode the target.

    Args:
        values: the target of every row, without missing cells.
        task: "auto", or the task that the user requests.
        had_missing: whether rows without a target were dropped. pandas then reads integers as
            floats, and they are converted back.
    Raises:
        DataError: when the target is constant or infinite, has too many classes, or does not fit
            the requested task.
    """
    if task not in ("auto", *TASKS):
        raise DataError(unknown("task", task, ("auto", *TASKS)))
    is_category = _is_category(values)
    column = plain(values)
    labels, inverse = _labels(column, name, had_missing=had_missing)
    if len(labels) < 2:
        raise DataError(
            f"target {name!r} must have at least two different values, got {_shown(labels)} in all "
            f"{len(column)} rows. Choose another target column."
        )
    if column.dtype.kind == "f":
        _refuse_infinities(column, name, "the table")
    reason = f"{task}: given, not inferred"
    if task == "auto" and is_category:
        task = "binary" if len(labels) == 2 else "multiclass"
        reason = f"{task}: {len(labels)} categories"
    elif task == "auto":
        _refuse_spoilt_numbers(labels, inverse, name)
        task, reason = _infer(labels, len(column))
    if task == "regression":
        y = _as_numbers(column, name, "the table")
        _refuse_tiny(y, name)
        return Target(name, task, reason, (), "float64", y)
    _check_classes(labels, inverse, name, task)
    return Target(name, task, reason, tuple(labels), _dtype_of(labels, name), inverse)


def _is_category(values: Any) -> bool:
    """Whether the user made this a categorical column."""
    return hasattr(getattr(values, "dtype", None), "categories")


def _refuse_spoilt_numbers(labels: Sequence[Label], inverse: np.ndarray, name: str) -> None:
    """Refuse amounts of which some are not plain numbers; each would become a separate class."""
    if not isinstance(labels[0], str):
        return
    strange = resembling_numbers([str(label) for label in labels])
    n_strange = int(np.isin(inverse, strange).sum())
    if len(strange) > MAX_CODES and n_strange >= (1 - MOST_OTHERS) * len(inverse):
        raise DataError(
            f"target {name!r} must contain plain numbers or classes, got {len(strange)} texts that "
            f"look like numbers, such as {_shown([labels[place] for place in strange[:3]])}. "
            "Write plain numbers, give --decimal, --thousands or --missing (in Python: "
            "reading={…}), or use task multiclass."
        )
    spoilt = [place for place, label in enumerate(labels) if number_of(label) is None]
    rows = np.flatnonzero(np.isin(inverse, spoilt))
    n_numbers = len(labels) - len(spoilt)
    most = MOST_OTHERS if n_numbers > MAX_CODES else MOST_SPOILT
    if spoilt and len(labels) > MAX_CODES and len(rows) <= most * len(inverse):
        raise DataError(
            f"target {name!r} must contain numbers or classes, got {n_numbers} different numbers "
            f"and {len(rows)} of {len(inverse)} cells with something else, such as "
            f"{labels[inverse[rows[0]]]!r} in row {rows[0] + 1} of those with a target. Correct or "
            "clear these cells for a regression, or use task multiclass."
        )


def _infer(labels: Sequence[Label], n_rows: int) -> tuple[str, str]:
    """Return the task and the reason, by the rules in the docstring of this file."""
    count = len(labels)
    if count == 2:
        return "binary", f"binary: two labels ({_shown(labels)})"
    numbers_read = [number_of(label) for label in labels]
    if isinstance(labels[0], str):
        if count > MAX_CODES and None not in numbers_read:
            return "regression", f"regression: {count} different numbers"
        return "multiclass", f"multiclass: {count} labels"
    if not all(float(label).is_integer() for label in labels):
        return "regression", f"regression: {count} different numbers"
    if count > MAX_CODES or n_rows < MIN_ROWS_A_CODE * count:
        return "regression", f"regression: {count} different integers in {n_rows} rows"
    if any(abs(float(label)) >= MOST_EXACT for label in (labels[0], labels[-1])):
        return (
            "multiclass",
            f"multiclass: {count} integers beyond 2^53, which are codes rather than amounts",
        )
    if labels[0] not in (-1, 0, 1):
        return (
            "regression",
            f"regression: integers from {labels[0]:g} to {labels[-1]:g}, a scale that does not "
            "start at 0 or 1 (task multiclass treats them as classes)",
        )
    return (
        "multiclass",
        f"multiclass: {count} integers that start at {labels[0]:g} (task regression treats them "
        "as amounts)",
    )


def rare_classes(target: Target) -> list[str]:
    """Return a notice about classes with one row, which is used for training only."""
    if target.task == "regression":
        return []
    counts = np.bincount(target.y, minlength=len(target.classes))
    single = [label for label, count in zip(target.classes, counts, strict=True) if count == 1]
    if not single:
        return []
    have = "has only one row, which is" if len(single) == 1 else "have only one row each, which is"
    return [
        f"target {target.name!r}: {_shown(single)} {have} used for training, never for validation "
        "or the test"
    ]


def changed_labels(values: Any, target: Target) -> list[str]:
    """Return notices about labels that `predict` returns in another form than the table has.

    Args:
        values: the argument of `read_target`.
    """
    column = plain(values)
    what = f"target {target.name!r}"
    if target.task == "regression":
        dtype = str(getattr(values, "dtype", ""))
        is_duration = "timedelta" in dtype or "duration" in dtype
        found = [f"{what} contains durations, which are read as seconds"] if is_duration else []
        if column.dtype.kind not in "iufb":
            found += zeros_note(what, distinct(column)[0])
        n_merged = 0 if column.dtype.kind == "f" else _n_merged(column, target.y)
        if n_merged:
            found.append(
                f"{what} contains integers beyond 2^53, which regression rounds: {n_merged} fewer "
                "different values. Use task multiclass to keep them exact"
            )
        return found
    if column.dtype.kind == "f" and any(abs(label) >= MOST_EXACT for label in _numbers_of(target)):
        return [
            f"{what} contains integers beyond 2^53 as floats, which are not exact: labels may "
            "already be merged. Give the column as nullable integers (Int64) or as text"
        ]
    if target.label_dtype != "str":
        return []
    cells, _ = distinct(column)
    alike = lookalikes_note(what, (label for label in target.classes if isinstance(label, str)))
    changed = [cell for cell in cells if not isinstance(cell, str) or cell != cell.strip()]
    if not changed:
        return alike
    n_merged = len(cells) - len(target.classes)
    merged = f"; {count_text(n_merged, 'label')} fewer than before" if n_merged else ""
    return [
        f"{what}: labels are read as text without surrounding spaces: {_shown(changed)}{merged}",
        *alike,
    ]


def _n_merged(column: np.ndarray, y: np.ndarray) -> int:
    """Return the number of distinct values that are lost by reading the target as numbers."""
    if not len(y) or np.abs(y).max() < MOST_EXACT:
        return 0
    cells, _ = distinct(column)
    return len({text_of(cell) for cell in cells}) - len(np.unique(y))


def _numbers_of(target: Target) -> list[float]:
    return [label for label in target.classes if isinstance(label, int | float)]


def _refuse_rounded(labels: Sequence[float], name: str, where: str) -> None:
    """Refuse labels that are floats beyond 2⁵³, because they are not exact."""
    rounded = [label for label in labels if abs(label) >= MOST_EXACT]
    if rounded:
        raise DataError(
            f"{where}: labels of {name!r} must be integers, got the float {rounded[0]!r}, which "
            "may represent several of them. Give the column as nullable integers (Int64)."
        )


def _check_classes(labels: Sequence[Label], inverse: np.ndarray, name: str, task: str) -> None:
    counts = np.bincount(inverse, minlength=len(labels))
    are_numbers = not isinstance(labels[0], str)
    if task == "binary" and len(labels) != 2:
        raise DataError(
            f"target {name!r} must have two labels for task binary, got {len(labels)} "
            f"({_shown(labels)}). Use task multiclass, or merge the labels to two."
        )
    n_rows = int(counts.sum())
    if len(labels) > MAX_CLASSES or (len(labels) > MAX_CODES and 2 * len(labels) > n_rows):
        raise DataError(
            f"target {name!r} must have classes that repeat, at most {MAX_CLASSES}, got "
            f"{len(labels)} different labels in {n_rows} rows ({_shown(labels, 3)}), like an "
            f"identifier. {'Use task regression' if are_numbers else 'Choose another target'}."
        )


def _labels(column: np.ndarray, name: str, *, had_missing: bool) -> tuple[list[Any], np.ndarray]:
    """Return the sorted distinct labels and each row's index `[N]`; mixed types become text."""
    try:
        cells, inverse = distinct(column)
    except TypeError:
        raise DataError(
            f"target {name!r} must have one label or number in every cell, got lists or other "
            "objects. Choose another target column."
        ) from None
    cells = [cell.item() if isinstance(cell, np.generic) else cell for cell in cells]
    kinds = {type(cell) for cell in cells}
    if kinds == {str}:
        cells = [cell.strip() for cell in cells]
    elif not (kinds == {bool} or kinds <= {int, float}):
        cells = [text_of(cell) for cell in cells]
    elif kinds == {int, float} and all(float(cell).is_integer() for cell in cells):
        cells = [int(cell) for cell in cells]
    elif kinds == {int, float}:
        cells = [_to_float(cell, name) for cell in cells]
    elif kinds == {float} and had_missing and all(cell.is_integer() for cell in cells):
        cells = [int(cell) for cell in cells]
    labels = sorted(dict.fromkeys(cells))
    place_of = {label: place for place, label in enumerate(labels)}
    return labels, np.array([place_of[cell] for cell in cells], dtype=np.int64)[inverse]


def _to_float(cell: float, name: str) -> float:
    """Return an integer label of a target with fractions as float."""
    if float(cell) != cell:
        raise DataError(
            f"target {name!r} must have numbers that a float represents exactly, got {cell!r} in a "
            "column with fractions. Give the labels as text."
        )
    return float(cell)


def _as_numbers(column: np.ndarray, name: str, where: str, numeral: Numeral = PLAIN) -> np.ndarray:
    y, bad = numbers_like(column, numeral)
    if bad is not None:
        raise DataError(
            f"target {name!r} must contain numbers for regression, got {_shown([column[bad]])} in "
            f"row {bad + 1} of {where}. Correct the cell, or use task multiclass."
        )
    _refuse_infinities(y, name, where)
    return y


def _refuse_infinities(y: np.ndarray, name: str, where: str) -> None:
    # The limit is beyond the range of single precision.
    infinite = np.flatnonzero(np.abs(y.astype(np.float64)) > LARGEST)
    if len(infinite):
        raise DataError(
            f"target {name!r} must contain finite numbers up to {LARGEST:g}, got {len(infinite)} "
            f"larger ones in {where}, the first in row {infinite[0] + 1}. Drop these rows, or "
            "correct the numbers."
        )


def _refuse_tiny(y: np.ndarray, name: str) -> None:
    """Refuse a target with a range so small that squares may become 0."""
    spread = float(np.ptp(y))
    if 0 < spread < 1 / LARGEST:
        raise DataError(
            f"target {name!r} must have a range of at least {1 / LARGEST:g}, got {spread:.3g}, "
            "which is too small to compute with. Convert it to a smaller unit, so that its numbers "
            "become larger."
        )


def _dtype_of(labels: Sequence[Label], name: str) -> str:
    kinds = {type(label) for label in labels}
    far = [label for label in labels if type(label) is int and not -(2**63) <= label < 2**63]
    if kinds == {int} and far:
        raise DataError(
            f"target {name!r} must have signed integers of at most 64 bits as labels, got "
            f"{_shown(far, 3)}. Give them as text."
        )
    if kinds == {bool}:
        return "bool"
    if kinds <= {int, float}:
        return "int64" if kinds == {int} else "float64"
    return "str"


def _shown(labels: Sequence[Any], most: int = 8) -> str:
    plain_labels = [label.item() if isinstance(label, np.generic) else label for label in labels]
    return ", ".join(map(repr, plain_labels[:most])) + (", …" if len(labels) > most else "")
