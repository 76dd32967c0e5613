"""From a source to a `Dataset`, in named steps.

`load_dataset` reads the table, drops rows without a target or with weight 0 (`_usable_rows`),
splits the rows (`_split`), chooses the columns (`_columns`), fits the first fold's preprocessing on
its training rows (`_folds`), finds the test rows (`_held_out` or `_separate`) and encodes them.
Each step adds its notices to one list. The preprocessing of another fold or view is fitted when
`Dataset.encoded` is first asked for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from autotrain.data.columns import Column, keep_useful, measure, read_columns
from autotrain.data.dataset import Dataset, features_of, fit_view
from autotrain.data.encoded import EncodedFold
from autotrain.data.files import RawTable, read_table
from autotrain.data.fingerprint import fingerprint
from autotrain.data.fitting import VIEW
from autotrain.data.labelled import read_test_table, rows_with_target, target_of
from autotrain.data.leaks import find_leaks
from autotrain.data.numerals import Numeral
from autotrain.data.preprocessing import Preprocessor
from autotrain.data.reading import Reading
from autotrain.data.repeats import Repeats, find_repeats
from autotrain.data.splitting import Split, read_fraction, split_test, split_validation
from autotrain.data.targets import Target, changed_labels, rare_classes, read_target
from autotrain.data.trained import reading_of
from autotrain.data.weights import (
    ClassWeights,
    check_class_weights,
    fold_weights,
    read_weights,
    weights_column,
    weights_of_classes,
)
from autotrain.errors import AutotrainError, DataError
from autotrain.vocabulary import count_text

MIN_ROWS = 10
"""Fewer rows with a target cannot be split into three useful parts."""
TEST_FRACTION = 0.2


@dataclass(frozen=True)
class _Usable:
    """The rows of a table that have a target and a positive weight.

    Args:
        table: the table with all rows.
        reading: the user's options.
        target, weights: names of these columns; `weights` may be None.
        frame: the usable rows as read.
        rows: `[N]` their indices in the table.
        row_weights: `[N]` their weights; None without weights.
        coded: their target.
    """

    table: RawTable
    reading: Reading
    target: str
    weights: str | None
    frame: pd.DataFrame
    rows: np.ndarray
    row_weights: np.ndarray | None
    coded: Target

    @property
    def y(self) -> np.ndarray:
        """Class indices, or numbers before standardization, `[N]`."""
        return self.coded.y

    @property
    def features(self) -> pd.DataFrame:
        """The columns that a network may read, `[N]` rows."""
        return features_of(self.frame, self.target, self.weights)


@dataclass(frozen=True)
class _TestRows:
    """The test rows, before they are encoded.

    Args:
        frame: the rows as read.
        y: `[N]` class indices, or numbers before standardization.
        rows: `[N]` their indices in their table.
        weights: `[N]` sample weights; None without.
        source: their table, for notices.
        setting: the value of `Dataset.split["test"]`.
        own_table: their table if it is another one.
    """

    frame: pd.DataFrame
    y: np.ndarray
    rows: np.ndarray
    weights: np.ndarray | None
    source: str
    setting: float | str
    own_table: RawTable | None = None


def load_dataset(
    source: Any,
    target: str | None = None,
    *,
    task: str = "auto",
    test: Any = None,
    validation: str = "holdout",
    seed: int = 0,
    weights: str | None = None,
    class_weights: ClassWeights | None = None,
    reading: Mapping[str, Any] | None = None,
) -> Dataset:
    """Read a table and prepare it for training.

    Args:
        source: a source for `read_table`: a path, "sklearn:NAME", "openml:ID" or a data frame.
        target: the column to predict; None if the format defines it.
        task: "auto", "binary", "multiclass" or "regression".
        test: fraction of the rows in [0, 1) (0: no test rows), or a file or frame of test rows.
            None or "auto": the format's own test rows if it has any, otherwise 0.2.
        validation: "holdout", "K-fold" such as "5-fold", or "auto". "holdout" is 20 % of the other
            rows, at most 10,000; if these are at least 2,000, a quarter of them (at most 2,000) is
            used only for calibration. "auto" is 5-fold below 10,000 rows, 3-fold below 30,000, and
            otherwise "holdout".
        seed: seed of the split. The same seed and rows give the same split.
        weights: column with sample weights; not used as a feature. Rows with weight 0 are dropped.
        class_weights: "balanced", or a weight for each label (default 1).
        reading: options for reading text, see `Reading.of`.
    Raises:
        DataError: when the table cannot be used as it is.
        StudyError: when class weights do not fit the classes.
    """
    notes: list[str] = []
    with _notes_in_errors(notes):
        asked = Reading.of(reading)
        usable = _usable_rows(read_table(source, asked), target, weights, asked, task, notes)
        check_class_weights(class_weights, usable.coded.classes, usable.target)
        fraction = _test_fraction(usable, test, notes)
        rest, test_places, splits = _split(usable, fraction, validation, seed)
        columns = _columns(usable, rest, notes)
        by_class = _class_weights(usable, rest, class_weights)
        folds, preprocessor, levels = _folds(usable, columns, splits, by_class, notes)
        if fraction is None:
            test_rows = _separate(usable, test, preprocessor, notes)
        else:
            test_rows = _held_out(usable, test_places, fraction)
        x_test = _encode(preprocessor, test_rows, usable, notes)
        repeats = _repeats(usable, rest, test_rows, columns, notes)
    table, coded, first = usable.table, usable.coded, folds[0]
    return Dataset(
        name=table.name,
        source=table.source,
        task=coded.task,
        task_reason=coded.reason,
        target=usable.target,
        classes=coded.classes,
        label_dtype=coded.label_dtype,
        splits=tuple(_in_table(split, usable.rows) for split in splits),
        folds=tuple(folds),
        x_test=x_test,
        y_test=_standardized(test_rows.y, coded.task, first.target_mean, first.target_std),
        notes=tuple(notes),
        fingerprint=fingerprint(
            [each.frame for each in (table, test_rows.own_table) if each], usable.target
        ),
        split={"test": test_rows.setting, "validation": validation, "seed": seed},
        raw=table.frame,
        raw_test_rows=test_rows.frame,
        test_rows=test_rows.rows if test_rows.own_table is None else usable.rows[:0],
        columns=tuple(columns),
        levels=levels,
        weights=usable.weights,
        test_weights=test_rows.weights,
        commas=table.commas,
        reading=_kept_reading(usable),
        repeats=repeats,
        fitted={(0, VIEW): (preprocessor, first.views[VIEW])},
    )


@contextlib.contextmanager
def _notes_in_errors(notes: Sequence[str]) -> Iterator[None]:
    """Add the notices to an error, because rows or columns that were dropped may be its cause."""
    try:
        yield
    except AutotrainError as error:
        for note in notes:
            error.add_note(f"Note: {note}")
        raise


def _usable_rows(
    table: RawTable,
    target: str | None,
    weights: str | None,
    asked: Reading,
    task: str,
    notes: list[str],
) -> _Usable:
    """Drop the rows without a target or with weight 0, and read the target of the others."""
    target = target_of(table, target)
    notes += table.notes
    frame, rows, dropped = rows_with_target(table, target, asked)
    notes += dropped
    names = [str(name) for name in table.frame.columns]
    weights = weights_column(weights, names, target, table.source)
    row_weights = None
    if weights is not None:
        row_weights = read_weights(frame[weights], weights, table.source, rows)
        counts = row_weights > 0
        if not counts.all():
            frame, rows, row_weights = frame[counts], rows[counts], row_weights[counts]
            left_out = count_text(int((~counts).sum()), "row")
            notes.append(f"dropped {left_out} with weight 0 in {weights!r}")
    if len(frame) < MIN_ROWS:
        raise DataError(
            f"{table.source} must have at least {MIN_ROWS} rows with a target"
            f"{'' if weights is None else ' and a positive weight'}, got {len(frame)}. "
            "Give more rows."
        )
    coded = read_target(frame[target], target, task, had_missing=bool(dropped))
    return _Usable(table, asked, target, weights, frame, rows, row_weights, coded)


# ---- the split ---------------------------------------------------------------------------------


def _is_auto(test: Any) -> bool:
    return test is None or (isinstance(test, str) and test == "auto")


def _test_fraction(usable: _Usable, test: Any, notes: list[str]) -> float | None:
    """Return the fraction of test rows; None if they come from another table."""
    if not _is_auto(test):
        return read_fraction(test)
    own = usable.table.test_frame
    if own is None:
        return TEST_FRACTION
    if usable.target in own:
        return None
    notes.append(
        f"the test rows of {usable.table.source} have no {usable.target!r} and are ignored: "
        f"{TEST_FRACTION:.0%} of the other rows are held out as the test set"
    )
    return TEST_FRACTION


def _split(
    usable: _Usable, fraction: float | None, validation: str, seed: int
) -> tuple[np.ndarray, np.ndarray, list[Split]]:
    """Return indices `[N]` of usable rows: all but the test rows, the test rows, and each fold."""
    stratify = usable.coded.task != "regression"
    rest, test_places = split_test(usable.y, fraction or 0.0, seed, stratify=stratify)
    splits = split_validation(usable.y[rest], validation, seed, stratify=stratify)
    return rest, test_places, [_in_table(split, rest) for split in splits]


def _in_table(split: Split, rows: np.ndarray) -> Split:
    """Return a split of some rows as indices of the table that they are from, at `rows` `[N]`."""
    apart = None if split.calibration is None else rows[split.calibration]
    return Split(rows[split.train], rows[split.valid], apart)


# ---- columns and folds -------------------------------------------------------------------------


def _columns(usable: _Usable, rest: np.ndarray, notes: list[str]) -> list[Column]:
    """Return the columns that all folds keep, so that their networks have the same inputs.

    Args:
        rest: `[N]` indices of the usable rows that are not test rows.
    """
    features, table = usable.features, usable.table
    columns, looks = read_columns(features, are_pixels=table.kind == "pixels")
    plain = Numeral(missing=usable.reading.missing)
    columns = [
        # The number format is kept, so that other tables are read alike.
        replace(column, written=tuple(table.written.get(column.name, plain).to_json()))
        if column.kind == "numeric"
        else column
        for column in columns
    ]
    known = features.iloc[rest]
    kept, useless = keep_useful(known, columns, usable.rows[rest])
    labels = changed_labels(usable.frame[usable.target], usable.coded)
    notes += [*labels, *rare_classes(usable.coded), *looks, *useless]
    return measure(known, kept)


def _class_weights(
    usable: _Usable, rest: np.ndarray, given: ClassWeights | None
) -> np.ndarray | None:
    """Return the weight of each class `[C]`; None if all are equal."""
    if given is None:
        return None
    own = None if usable.row_weights is None else usable.row_weights[rest]
    return weights_of_classes(given, usable.coded.classes, usable.y[rest], own)


def _folds(
    usable: _Usable,
    columns: Sequence[Column],
    splits: Sequence[Split],
    by_class: np.ndarray | None,
    notes: list[str],
) -> tuple[list[EncodedFold], Preprocessor, dict[str, int]]:
    """Make the folds; fit and encode the default view of the first one.

    Args:
        splits: indices of usable rows.
        by_class: `[C]` class weights; None if all are equal.
    Returns: folds, the preprocessor of the first one, and the number of levels of each categorical
        column in its training rows.
    """
    features, task, y = usable.features, usable.coded.task, usable.y
    preprocessor, levels, encoded = fit_view(features, columns, splits[0], VIEW)
    train = splits[0].train
    notes += find_leaks(features.iloc[train], columns, y[train], task)
    folds: list[EncodedFold] = []
    for number, split in enumerate(splits):
        where = f" of fold {number}" if len(splits) > 1 else ""
        weights = fold_weights(usable.row_weights, by_class, y, split.train, split.valid, where)
        mean, std = 0.0, 1.0
        if task == "regression":
            mean, std = float(y[split.train].mean()), float(y[split.train].std()) or 1.0
        y_train = _standardized(y[split.train], task, mean, std)
        y_valid = _standardized(y[split.valid], task, mean, std)
        views = {} if number else {VIEW: encoded}
        folds.append(EncodedFold(y_train, y_valid, views, mean, std, weights))
    return folds, preprocessor, levels


def _standardized(y: np.ndarray, task: str, mean: float, std: float) -> np.ndarray:
    """Return targets `[N]` as float32 in standard deviations, or class indices as they are."""
    return ((y - mean) / std).astype(np.float32) if task == "regression" else y


# ---- the test rows -----------------------------------------------------------------------------


def _held_out(usable: _Usable, places: np.ndarray, fraction: float) -> _TestRows:
    """Return the test rows of the table itself, at `places` `[N]` of its usable rows."""
    return _TestRows(
        usable.frame.iloc[places],
        usable.y[places],
        usable.rows[places],
        None if usable.row_weights is None else usable.row_weights[places],
        usable.table.source,
        fraction,
    )


def _separate(
    usable: _Usable, test: Any, preprocessor: Preprocessor, notes: list[str]
) -> _TestRows:
    """Read the format's own test rows, or the table given by the user, like the training table."""
    table, target, weights = usable.table, usable.target, usable.weights
    marks = {name: getattr(usable.reading, name) or None for name in ("decimal", "thousands")}
    reading = reading_of(
        [preprocessor], target, usable.coded.texts, table.commas, _kept_reading(usable), weights
    ).given(marks)
    if _is_auto(test) and table.test_frame is not None:
        other = RawTable(table.name, f"{table.source} (test)", table.test_frame, table.kind)
    else:
        names = [str(name) for name in table.frame.columns if str(name) != weights]
        other = read_test_table(test, names, reading)
    frame, rows, dropped = rows_with_target(other, target, reading)
    y = usable.coded.encode(frame[target], other.source)
    notes += [*(f"{other.source}: {note}" for note in other.notes), *dropped]
    row_weights = None
    if weights is not None and weights in frame:
        row_weights = read_weights(frame[weights], weights, other.source, rows)
    elif weights is not None:
        notes.append(
            f"the test rows ({other.source}) have no column {weights!r} and get equal weights"
        )
    if fingerprint([other.frame], target) == fingerprint([table.frame], target):
        notes.append(f"the test rows ({other.source}) are the training rows")
    setting = "auto" if _is_auto(test) else other.source
    return _TestRows(frame, y, rows, row_weights, other.source, setting, other)


def _encode(
    preprocessor: Preprocessor, test_rows: _TestRows, usable: _Usable, notes: list[str]
) -> np.ndarray:
    """Return the encoded test rows, float32 `[N, D]`."""
    features = features_of(test_rows.frame, usable.target, usable.weights)
    odd: list[str] = []
    try:
        encoded = preprocessor.encode(features, notices=odd)
    except DataError as error:
        raise DataError(f"{test_rows.source}: {error}") from None
    if test_rows.own_table is not None:
        notes += [f"the test rows ({test_rows.source}): {note}" for note in odd]
    return encoded


def _repeats(
    usable: _Usable,
    rest: np.ndarray,
    test_rows: _TestRows,
    columns: Sequence[Column],
    notes: list[str],
) -> Repeats | None:
    """Return the test rows that equal another row; None without test rows."""
    if not len(test_rows.y):
        return None
    asked = features_of(test_rows.frame, usable.target, usable.weights)
    known = usable.features.iloc[rest]
    repeats = find_repeats(known, usable.y[rest], asked, test_rows.y, columns)
    notes += repeats.notes(len(test_rows.y), test_rows.rows)
    return repeats


def _kept_reading(usable: _Usable) -> dict[str, Any]:
    """Return the settings to read another table, as JSON; see `Dataset.reading`."""
    table = usable.table
    others = {name for name in (usable.target, usable.weights) if name is not None}
    written = {name: how.to_json() for name, how in table.written.items() if name in others}
    names = [] if table.has_header else [str(name) for name in table.frame.columns]
    kept = {"written": written, "names": names, "missing": list(usable.reading.missing)}
    return {name: value for name, value in kept.items() if value}
