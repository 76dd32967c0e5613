"""What is predicted: the task, the classes, and the coded target.

    a categorical column, texts, booleans, or
      two labels of any kind                       classification
    whole numbers, at most 20 different, that
      count from -1, 0 or 1, each on three rows
      or more on average                           multiclass (class codes such as 0, 1, 2)
    whole numbers beyond 2^53, as few and as
      often                                        multiclass (codes: no float keeps them apart)
    all other numbers                              regression (amounts, counts, grades from 3 to 9)

Whole numbers that start elsewhere are a scale whose order regression keeps; codes that count from 0
or 1 have no order to keep. `task=` overrides, and the reason is there for the user to read.
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
from autotrain.wording import count_text

TASKS = ("binary", "multiclass", "regression")
MAX_CODES = 20
"""More different whole numbers are amounts, not class codes."""
MIN_ROWS_A_CODE = 3
MAX_CLASSES = 1000
MOST_OTHERS = 0.5
"""So large a share of a target of numbers may be something else, such as a word for missing."""

Label = str | int | float | bool


@dataclass(frozen=True)
class Target:
    """The target of a table.

    Args:
        name: its column.
        task: "binary", "multiclass" or "regression".
        reason: why this task, one sentence for the user.
        classes: the user's own labels, sorted; empty for regression.
        label_dtype: "str", "int64", "float64" or "bool": what `predict` gives back.
        y: `[N]` int64 class index; regression: float64 as in the table.
        numeral: regression: how texts of numbers in another table may be written.
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
        """Its column when its labels are texts, to be read so in another file too."""
        return {self.name} if are_texts(self.classes) else set()

    def encode(self, values: Any, where: str) -> np.ndarray:
        """Code the target of another table (a test file) in the same way.

        Raises: DataError when a label is not among the classes or a cell is no number.
        """
        column = plain(values)
        if self.task == "regression":
            return _as_numbers(column, self.name, where, self.numeral)
        text = boolean_text_of if self.label_dtype == "bool" else text_of
        places: dict[Any, int] = with_spellings(
            {text(label): place for place, label in enumerate(self.classes)}
        )
        # The label as it is comes first: "1" and "1.0" may be two classes of a text column.
        places.update({label: place for place, label in enumerate(self.classes)})
        labels, inverse = _labels(column, self.name, had_missing=False)
        found = [places.get(label, places.get(text(label), -1)) for label in labels]
        if self.label_dtype == "int64" and column.dtype.kind == "f":
            _refuse_rounded(labels, self.name, where)
        strange = [label for label, place in zip(labels, found, strict=True) if place < 0]
        if strange:
            raise DataError(
                f"{where}: expected the classes of the training table in {self.name!r} "
                f"({_shown(self.classes)}), however: {_shown(strange)}. "
                "Drop these rows, or add such rows to the training table."
            )
        return np.array(found, dtype=np.int64)[inverse]


def read_target(values: Any, name: str, task: str = "auto", *, had_missing: bool = False) -> Target:
    """Find the task and code the target.

    Args:
        values: the target of every row, none missing.
        task: "auto", or the task that the user wants.
        had_missing: rows without a target were dropped; pandas then made whole numbers real, and
            they become whole again.
    Raises: DataError when it is constant, infinite, has so many classes that it looks like an
        identifier, or does not suit the task that was asked for.
    """
    if task not in ("auto", *TASKS):
        raise DataError(unknown("task", task, ("auto", *TASKS)))
    is_category = _is_category(values)
    column = plain(values)
    labels, inverse = _labels(column, name, had_missing=had_missing)
    if len(labels) < 2:
        raise DataError(
            f"target {name!r}: expected at least two different values, however: all {len(column)} "
            f"rows hold {_shown(labels)}. Choose another target column."
        )
    if column.dtype.kind == "f":
        _refuse_infinities(column, name, "the table")
    reason = f"{task}, as asked"
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
    """Tell whether a column is categorical (pandas), which only its user can have said."""
    return hasattr(getattr(values, "dtype", None), "categories")


def _refuse_spoilt_numbers(labels: Sequence[Label], inverse: np.ndarray, name: str) -> None:
    """Refuse amounts of which some are no plain numbers: each would be a class of its own."""
    if not isinstance(labels[0], str):
        return
    strange = resembling_numbers([str(label) for label in labels])
    n_strange = int(np.isin(inverse, strange).sum())
    if len(strange) > MAX_CODES and n_strange >= (1 - MOST_OTHERS) * len(inverse):
        raise DataError(
            f"target {name!r}: expected plain numbers or classes, however: {len(strange)} texts "
            f"look like numbers, such as {_shown([labels[place] for place in strange[:3]])}. "
            "Write plain numbers, give --decimal, --thousands or --missing, or use task multiclass."
        )
    spoilt = [place for place, label in enumerate(labels) if number_of(label) is None]
    rows = np.flatnonzero(np.isin(inverse, spoilt))
    n_numbers = len(labels) - len(spoilt)
    most = MOST_OTHERS if n_numbers > MAX_CODES else MOST_SPOILT
    if spoilt and len(labels) > MAX_CODES and len(rows) <= most * len(inverse):
        raise DataError(
            f"target {name!r}: expected numbers or classes, however: all but {len(rows)} of "
            f"{len(inverse)} cells are numbers, {len(labels) - len(spoilt)} different ones, and "
            f"row {rows[0] + 1} of those with a target holds {labels[inverse[rows[0]]]!r}. Mend or "
            "empty these cells for a regression, or use task multiclass."
        )


def _infer(labels: Sequence[Label], n_rows: int) -> tuple[str, str]:
    """Return the task and the reason, by the rules above."""
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
        return "regression", f"regression: {count} different whole numbers in {n_rows} rows"
    if any(abs(float(label)) >= MOST_EXACT for label in (labels[0], labels[-1])):
        return (
            "multiclass",
            f"multiclass: {count} whole numbers beyond 2^53, codes rather than amounts",
        )
    if labels[0] not in (-1, 0, 1):
        return (
            "regression",
            f"regression: whole numbers from {labels[0]:g} to {labels[-1]:g}, a scale that does "
            "not count from 0 or 1 (task multiclass takes them as classes)",
        )
    return (
        "multiclass",
        f"multiclass: {count} whole numbers that count from {labels[0]:g} (task regression takes "
        "them as amounts)",
    )


def rare_classes(target: Target) -> list[str]:
    """Return what to tell of classes that have one row, which trains and is never judged."""
    if target.task == "regression":
        return []
    counts = np.bincount(target.y, minlength=len(target.classes))
    single = [label for label, count in zip(target.classes, counts, strict=True) if count == 1]
    if not single:
        return []
    have = (
        "has one row, which trains and is"
        if len(single) == 1
        else "have one row each: they train and are"
    )
    return [f"target {target.name!r}: {_shown(single)} {have} never validated or tested"]


def changed_labels(values: Any, target: Target) -> list[str]:
    """Return what to tell of labels that are not kept as they are: `predict` gives them otherwise.

    Args:
        values: what `read_target` read.
    """
    column = plain(values)
    what = f"target {target.name!r}"
    if target.task == "regression":
        dtype = str(getattr(values, "dtype", ""))
        is_duration = "timedelta" in dtype or "duration" in dtype
        found = [f"target {target.name!r} holds durations: read as seconds"] if is_duration else []
        if column.dtype.kind not in "iufb":
            found += zeros_note(what, distinct(column)[0])
        n_merged = 0 if column.dtype.kind == "f" else _n_merged(column, target.y)
        if n_merged:
            found.append(
                f"target {target.name!r} holds whole numbers beyond 2^53, which regression rounds: "
                f"{n_merged} fewer different values. Use task multiclass to keep them apart"
            )
        return found
    if column.dtype.kind == "f" and any(abs(label) >= MOST_EXACT for label in _numbers_of(target)):
        return [
            f"target {target.name!r} holds whole numbers beyond 2^53 as floats, which do not tell "
            "neighbours apart: labels may have been merged before. Give the column as nullable "
            "integers (Int64) or as texts"
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
        f"target {target.name!r}: labels are texts without spaces around them: "
        f"{_shown(changed)} {'is' if len(changed) == 1 else 'are'} read so{merged}",
        *alike,
    ]


def _n_merged(column: np.ndarray, y: np.ndarray) -> int:
    """Return how many different values the target has more than the numbers read from it."""
    if not len(y) or np.abs(y).max() < MOST_EXACT:
        return 0
    cells, _ = distinct(column)
    return len({text_of(cell) for cell in cells}) - len(np.unique(y))


def _numbers_of(target: Target) -> list[float]:
    return [label for label in target.classes if isinstance(label, int | float)]


def _refuse_rounded(labels: Sequence[float], name: str, where: str) -> None:
    """Refuse floats as labels that are whole numbers which floats do not tell apart."""
    rounded = [label for label in labels if abs(label) >= MOST_EXACT]
    if rounded:
        raise DataError(
            f"{where}: labels of {name!r} must be whole numbers, got the float {rounded[0]!r}, "
            "which may stand for several of them. Give the column as nullable integers (Int64)."
        )


def _check_classes(labels: Sequence[Label], inverse: np.ndarray, name: str, task: str) -> None:
    counts = np.bincount(inverse, minlength=len(labels))
    are_numbers = not isinstance(labels[0], str)
    if task == "binary" and len(labels) != 2:
        raise DataError(
            f"target {name!r}: expected two labels for task binary, however: {len(labels)} "
            f"({_shown(labels)}). Use task multiclass, or merge the labels to two."
        )
    n_rows = int(counts.sum())
    if len(labels) > MAX_CLASSES or (len(labels) > MAX_CODES and 2 * len(labels) > n_rows):
        raise DataError(
            f"target {name!r}: expected classes that repeat, at most {MAX_CLASSES}, however: "
            f"{len(labels)} different labels in {n_rows} rows ({_shown(labels, 3)}); it looks like "
            f"an identifier. {'Use task regression' if are_numbers else 'Choose another target'}."
        )


def _labels(column: np.ndarray, name: str, *, had_missing: bool) -> tuple[list[Any], np.ndarray]:
    """Return the sorted distinct labels and each row's index `[N]`; mixed kinds become texts."""
    try:
        cells, inverse = distinct(column)
    except TypeError:
        raise DataError(
            f"target {name!r}: expected one label or number in every cell, however: some hold "
            "lists or other objects. Choose another target column."
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
    """Return a label as float, to stand beside fractions."""
    if float(cell) != cell:
        raise DataError(
            f"target {name!r} must hold whole numbers or fractions that a float tells apart, got "
            f"{cell!r} beside fractions. Give the labels as texts."
        )
    return float(cell)


def _as_numbers(column: np.ndarray, name: str, where: str, numeral: Numeral = PLAIN) -> np.ndarray:
    y, bad = numbers_like(column, numeral)
    if bad is not None:
        raise DataError(
            f"target {name!r}: expected numbers for regression, however: row {bad + 1} of {where} "
            f"holds {_shown([column[bad]])}. Mend the cell, or use task multiclass."
        )
    _refuse_infinities(y, name, where)
    return y


def _refuse_infinities(y: np.ndarray, name: str, where: str) -> None:
    # Single precision has no such number to compare with.
    infinite = np.flatnonzero(np.abs(y.astype(np.float64)) > LARGEST)
    if len(infinite):
        raise DataError(
            f"target {name!r}: expected finite numbers, however: {len(infinite)} in {where} are "
            f"infinite or beyond {LARGEST:g}, the first in row {infinite[0] + 1}. Drop these rows, "
            "or put a number in."
        )


def _refuse_tiny(y: np.ndarray, name: str) -> None:
    """Refuse numbers whose squares may be 0."""
    spread = float(np.ptp(y))
    if 0 < spread < 1 / LARGEST:
        raise DataError(
            f"target {name!r}: expected numbers that differ by more than {1 / LARGEST:g}, however: "
            f"they differ by {spread:.3g}, too little to compute with. Give them in a larger "
            "unit."
        )


def _dtype_of(labels: Sequence[Label], name: str) -> str:
    kinds = {type(label) for label in labels}
    far = [label for label in labels if type(label) is int and not -(2**63) <= label < 2**63]
    if kinds == {int} and far:
        raise DataError(
            f"target {name!r}: expected whole numbers of at most 64 bits with a sign as labels, "
            f"however: {_shown(far, 3)}. Give them as texts."
        )
    if kinds == {bool}:
        return "bool"
    if kinds <= {int, float}:
        return "int64" if kinds == {int} else "float64"
    return "str"


def _shown(labels: Sequence[Any], most: int = 8) -> str:
    plain_labels = [label.item() if isinstance(label, np.generic) else label for label in labels]
    return ", ".join(map(repr, plain_labels[:most])) + (", …" if len(labels) > most else "")
