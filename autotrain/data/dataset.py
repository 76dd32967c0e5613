"""The data set of a study: split, encoded, coded; everything fitted on training rows only.

`load_dataset` goes one way: read, leave out rows without target or of weight 0, find the task, type
the columns, split, then per fold fit the preprocessing on the training rows and encode. A `Dataset`
comes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from autotrain.data.columns import Column, keep_useful, measure, read_columns
from autotrain.data.files import RawTable, read_table
from autotrain.data.fingerprint import fingerprint
from autotrain.data.fitting import VIEW, fit_preprocessor, rare_levels
from autotrain.data.labelled import read_test_table, rows_with_target, target_of
from autotrain.data.leaks import find_leaks
from autotrain.data.numerals import Numeral
from autotrain.data.preprocessing import Preprocessor
from autotrain.data.reading import Reading
from autotrain.data.repeats import Repeats, find_repeats
from autotrain.data.splitting import read_fraction, split_test, split_validation
from autotrain.data.targets import Label, Target, changed_labels, rare_classes, read_target
from autotrain.data.trained import reading_of
from autotrain.data.view import View
from autotrain.data.weights import (
    ClassWeights,
    RowWeights,
    check_class_weights,
    fold_weights,
    read_weights,
    weights_column,
    weights_of_classes,
)
from autotrain.errors import AutotrainError, DataError
from autotrain.wording import count_text

MIN_ROWS = 10
"""Fewer rows with a target cannot be split into three parts worth the name."""
TEST_FRACTION = 0.2


@dataclass(frozen=True)
class Encoded:
    """One fold's inputs in one view, float32 `[N, D]`, and what was fitted for it."""

    x_train: np.ndarray
    x_valid: np.ndarray
    preprocessor: Preprocessor


@dataclass(frozen=True)
class Fold:
    """One way to train and validate: encoded rows and what was fitted on its training rows.

    Args:
        train_rows: `[N]` places of the training rows in the table as read.
        valid_rows: the same for validation.
        calibration_rows: the same of those that only calibrate; None: the validation rows do.
        x_train: float32 `[N, D]`, C-contiguous; D may differ between folds.
        y_train: int64 `[N]` class index, or float32 standardized target.
        x_valid: as `x_train`.
        y_valid: as `y_train`.
        preprocessor: fitted on the training rows.
        target_mean: regression: mean of the training target; otherwise 0.
        target_std: regression: standard deviation of the training target; otherwise 1.
        weights: what each row counts; None when all count alike.
    """

    train_rows: np.ndarray
    valid_rows: np.ndarray
    x_train: np.ndarray
    y_train: np.ndarray
    x_valid: np.ndarray
    y_valid: np.ndarray
    preprocessor: Preprocessor
    target_mean: float
    target_std: float
    weights: RowWeights | None = None
    calibration_rows: np.ndarray | None = None


@dataclass(frozen=True)
class Dataset:
    """A table ready for training; `x_train` and the like are those of the first fold.

    Args:
        name: short name of the data.
        source: what the user gave.
        task: "binary", "multiclass" or "regression".
        task_reason: why, one sentence.
        target: the target's column.
        classes: the user's own labels, sorted; empty for regression.
        label_dtype: type of the labels: "str", "int64", "float64", "bool".
        folds: at least one.
        x_test: float32 `[N, D]`, encoded by the first fold's preprocessor; N may be 0.
        y_test: as `Fold.y_train`.
        notes: what the user should be told.
        fingerprint: SHA-256 of the content.
        split: {"test", "validation", "seed"} as JSON: `load_dataset(…, **split)` splits again so.
        raw: all rows as read, features and target (for evaluation end to end).
        raw_test_rows: the test rows as read, features and target.
        test_rows: `[N]` places of the test rows in the table; empty when they come from elsewhere.
        columns: the kept columns.
        levels: of each column of categories, how many the first fold's training rows have.
        weights: the column of the rows' weights; None when all count alike.
        commas: what commas in a text file's numbers were, see `Reading`.
        reading: how else another table's texts are to be read, as JSON: "written", how the
            target's and the weights' numbers were written; "names", the columns of a file that has
            none; "missing", the user's words for a missing cell.
        repeats: the test rows that equal a row that the search sees; None without test rows.
        test_weights: `[N]` of the test rows; None when all count alike, or when a test table of its
            own lacks the column.
    """

    name: str
    source: str
    task: str
    task_reason: str
    target: str
    classes: tuple[Label, ...]
    label_dtype: str
    folds: tuple[Fold, ...]
    x_test: np.ndarray
    y_test: np.ndarray
    notes: tuple[str, ...]
    fingerprint: str
    split: dict[str, Any]
    raw: pd.DataFrame
    raw_test_rows: pd.DataFrame
    test_rows: np.ndarray
    columns: tuple[Column, ...]
    levels: Mapping[str, int]
    weights: str | None = None
    test_weights: np.ndarray | None = None
    commas: str = ""
    reading: Mapping[str, Any] = field(default_factory=dict)
    repeats: Repeats | None = None
    _encoded: dict[tuple[int, View], Encoded] = field(default_factory=dict, repr=False)

    def notes_for(self, views: Iterable[View]) -> list[str]:
        """Return the notes, and those about how these views encode the columns."""
        return [*self.notes, *rare_levels(self.columns, self.levels, views)]

    def encoded(self, place: int, view: View) -> Encoded:
        """Return a fold's inputs as a configuration wants them; fitted on its training rows.

        Limits between which no column lies have the same arrays.
        """
        fold = self.folds[place]
        view = replace(view, one_hot_limit=self._limit_of(view))
        if view == VIEW:
            return Encoded(fold.x_train, fold.x_valid, fold.preprocessor)
        if (place, view) not in self._encoded:
            features = _features(self.raw, self.target, self.weights)
            train = features.iloc[fold.train_rows]
            names = [str(name) for name in features]
            preprocessor, _ = fit_preprocessor(train, self.columns, names, view)
            valid = features.iloc[fold.valid_rows]
            self._encoded[place, view] = Encoded(
                preprocessor.encode(train), preprocessor.encode(valid), preprocessor
            )
        return self._encoded[place, view]

    def _limit_of(self, view: View) -> int:
        """Return the lowest limit that makes codes of the same columns; 0 when of none."""
        counts = [column.n_levels for column in self.columns if column.kind == "categorical"]
        if view.one_hot_limit >= max(counts, default=0):
            return 0
        below = [count for count in counts if count <= view.one_hot_limit]
        return max(below, default=min(view.one_hot_limit, 1))

    @property
    def x_train(self) -> np.ndarray:
        """Encoded training rows `[N, D]` of the first fold."""
        return self.folds[0].x_train

    @property
    def y_train(self) -> np.ndarray:
        """Coded training target `[N]` of the first fold."""
        return self.folds[0].y_train

    @property
    def x_valid(self) -> np.ndarray:
        """Encoded validation rows `[N, D]` of the first fold."""
        return self.folds[0].x_valid

    @property
    def y_valid(self) -> np.ndarray:
        """Coded validation target `[N]` of the first fold."""
        return self.folds[0].y_valid

    @property
    def preprocessor(self) -> Preprocessor:
        """The preprocessing fitted on the first fold's training rows."""
        return self.folds[0].preprocessor

    @property
    def target_mean(self) -> float:
        """Mean of the first fold's training target; 0 for classification."""
        return self.folds[0].target_mean

    @property
    def target_std(self) -> float:
        """Standard deviation of the first fold's training target; 1 for classification."""
        return self.folds[0].target_std

    @property
    def n_train(self) -> int:
        """Training rows of the first fold."""
        return len(self.y_train)

    @property
    def n_valid(self) -> int:
        """Validation rows of the first fold."""
        return len(self.y_valid)

    @property
    def n_validated(self) -> int:
        """Validation rows of all folds."""
        return sum(len(fold.y_valid) for fold in self.folds)

    @property
    def n_calibration(self) -> int:
        """Rows that only calibrate; 0 when the validation rows do."""
        rows = self.folds[0].calibration_rows
        return 0 if rows is None else len(rows)

    @property
    def n_test(self) -> int:
        """Test rows."""
        return len(self.y_test)

    @property
    def n_features(self) -> int:
        """Raw columns that are kept."""
        return len(self.preprocessor.columns)

    @property
    def is_pictures(self) -> bool:
        """Whether all columns that are kept are pixels."""
        return all(column.kind == "pixel" for column in self.columns)

    @property
    def n_inputs(self) -> int:
        """D, inputs of the network."""
        return self.preprocessor.n_inputs

    def raw_test(self) -> tuple[pd.DataFrame, pd.Series[Any]]:
        """Return the test rows as they were read: all features, and the labels."""
        return self.apart(self.raw_test_rows)

    def raw_valid(self) -> tuple[pd.DataFrame, pd.Series[Any]]:
        """Return the first fold's validation rows as they were read: all features, and labels."""
        return self.apart(self.raw.iloc[self.folds[0].valid_rows])

    def apart(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series[Any]]:
        """Return the features of rows as they were read, and their labels."""
        return _features(frame, self.target, self.weights), frame[self.target]


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
    """Read a table and make it ready for training.

    Args:
        source: what `read_table` takes: a path, "sklearn:NAME", "openml:ID", a data frame.
        target: the column to predict; may be left out when the format names it.
        task: "auto", "binary", "multiclass" or "regression".
        test: fraction of the rows in [0, 1), 0 for none; or a file or frame of test rows. None or
            "auto" is the format's own test rows when it has some, otherwise 0.2.
        validation: "holdout": 20 % of the other rows, at most 10,000 (of 2,000 and more a quarter,
            at most 2,000, only calibrates); "K-fold"; or "auto": 5-fold below 10,000 rows, 3-fold
            below 30,000, else the holdout.
        seed: of the split; the same seed and rows give the same split.
        weights: the column that says what each row counts; it is no feature. A row of weight 0 is
            left out, as one without target is.
        class_weights: "balanced", or a weight for each label (1 for those not named).
        reading: how texts are read: see `Reading.of`.
    Raises: DataError when the table cannot be used as it is, StudyError when class weights do not
        fit the classes.
    """
    notes: list[str] = []
    try:
        return _load(
            source,
            target,
            notes,
            task=task,
            test=test,
            validation=validation,
            seed=seed,
            weights=weights,
            class_weights=class_weights,
            reading=reading,
        )
    except AutotrainError as error:
        # What was left out before may be the reason.
        for note in notes:
            error.add_note(f"Note: {note}")
        raise


def _load(
    source: Any,
    target: str | None,
    notes: list[str],
    *,
    task: str,
    test: Any,
    validation: str,
    seed: int,
    weights: str | None,
    class_weights: ClassWeights | None,
    reading: Mapping[str, Any] | None,
) -> Dataset:
    """Do what `load_dataset` does; `notes` receives what to tell the user, as it is found."""
    asked = Reading.of(reading)
    table = read_table(source, asked)
    target = target_of(table, target)
    notes += table.notes
    frame, rows, dropped = rows_with_target(table, target, asked)
    notes += dropped
    names = [str(name) for name in table.frame.columns]
    weights = weights_column(weights, names, target, table.source)
    of_rows = None
    if weights is not None:
        of_rows = read_weights(frame[weights], weights, table.source, rows)
        counts = of_rows > 0
        if not counts.all():
            frame, rows, of_rows = frame[counts], rows[counts], of_rows[counts]
            left_out = count_text(int((~counts).sum()), "row")
            notes.append(f"{left_out} of weight 0 in {weights!r}: left out")
    if len(frame) < MIN_ROWS:
        raise DataError(
            f"{table.source}: expected at least {MIN_ROWS} rows with a target"
            f"{' and a weight above 0' if weights is not None else ''}, however: {len(frame)}. "
            "Give more rows."
        )
    coded = read_target(frame[target], target, task, had_missing=bool(dropped))
    check_class_weights(class_weights, coded.classes, target)
    features = _features(frame, target, weights)
    columns, looks = read_columns(features, are_pixels=table.kind == "pixels")
    columns = _with_numerals(columns, table, asked)

    fraction = _test_fraction(table, test, target)
    if _is_auto(test) and table.test_frame is not None and fraction is not None:
        notes.append(
            f"the test rows of {table.source} have no {target!r} and do not test: "
            f"{fraction:.0%} of the others do"
        )
    stratify = coded.task != "regression"
    rest, test_places = split_test(coded.y, fraction or 0.0, seed, stratify=stratify)
    folds: list[Fold] = []
    levels: dict[str, int] = {}
    # The same columns in all folds, so that their networks are alike.
    kept, useless = keep_useful(features.iloc[rest], columns, rows[rest])
    kept = measure(features.iloc[rest], kept)
    notes += [*changed_labels(frame[target], coded), *rare_classes(coded), *looks, *useless]
    splits = split_validation(coded.y[rest], validation, seed, stratify=stratify)
    by_class = None
    if class_weights is not None:
        own_rows = None if of_rows is None else of_rows[rest]
        by_class = weights_of_classes(class_weights, coded.classes, coded.y[rest], own_rows)
    for place, (train, valid, calibration) in enumerate(splits):
        fold, own_levels = _fit_fold(features, kept, rows, coded, rest[train], rest[valid])
        if not folds:
            levels = own_levels
            notes += find_leaks(features.iloc[rest[train]], kept, coded.y[rest[train]], coded.task)
        where = f" of fold {place}" if len(splits) > 1 else ""
        own = fold_weights(of_rows, by_class, coded.y, rest[train], rest[valid], where)
        apart = None if calibration is None else rows[rest[calibration]]
        folds.append(replace(fold, weights=own, calibration_rows=apart))

    kept_reading = _kept_reading(table, asked, target, weights)
    frames = [table.frame]
    record: float | str
    test_weights: np.ndarray | None = None
    if fraction is None:
        known = reading_of(
            [folds[0].preprocessor], target, coded.texts, table.commas, kept_reading, weights
        ).given({"decimal": asked.decimal or None, "thousands": asked.thousands or None})
        other = _test_table(table, test, [name for name in names if name != weights], known)
        raw_test, test_rows_read, dropped = rows_with_target(other, target, known)
        y_test, test_rows = coded.encode(raw_test[target], other.source), rows[:0]
        notes += [*(f"{other.source}: {note}" for note in other.notes), *dropped]
        if weights is not None and weights in raw_test:
            test_weights = read_weights(raw_test[weights], weights, other.source, test_rows_read)
        elif weights is not None:
            notes.append(
                f"the test rows ({other.source}) have no column {weights!r}: all weigh the same"
            )
        if fingerprint([other.frame], target) == fingerprint([table.frame], target):
            notes.append(f"the test rows ({other.source}) are the training rows")
        frames.append(other.frame)
        places = test_rows_read
        where, record = other.source, "auto" if _is_auto(test) else other.source
    else:
        raw_test, y_test = frame.iloc[test_places], coded.y[test_places]
        places = test_rows = rows[test_places]
        if of_rows is not None:
            test_weights = of_rows[test_places]
        where, record = table.source, fraction
    asked_rows = _features(raw_test, target, weights)
    odd: list[str] = []
    x_test, repeats = _encode(folds[0].preprocessor, asked_rows, where, odd), None
    if fraction is None:
        notes += [f"the test rows ({where}): {note}" for note in odd]
    if len(y_test):
        repeats = find_repeats(features.iloc[rest], coded.y[rest], asked_rows, y_test, kept)
        notes += repeats.notes(len(y_test), places)
    return Dataset(
        name=table.name,
        source=table.source,
        task=coded.task,
        task_reason=coded.reason,
        target=target,
        classes=coded.classes,
        label_dtype=coded.label_dtype,
        folds=tuple(folds),
        x_test=x_test,
        y_test=_scale(y_test, coded.task, folds[0].target_mean, folds[0].target_std),
        notes=tuple(notes),
        fingerprint=fingerprint(frames, target),
        split={"test": record, "validation": validation, "seed": seed},
        raw=table.frame,
        raw_test_rows=raw_test,
        test_rows=test_rows,
        columns=tuple(kept),
        levels=levels,
        commas=table.commas,
        reading=kept_reading,
        repeats=repeats,
        weights=weights,
        test_weights=test_weights,
    )


def _features(frame: pd.DataFrame, target: str, weights: str | None) -> pd.DataFrame:
    """Return what a network may read: neither the target nor the weights."""
    return frame.drop(columns=[name for name in (target, weights) if name in frame])


def _with_numerals(columns: Sequence[Column], table: RawTable, asked: Reading) -> list[Column]:
    """Note down how the numbers of columns were written, for tables to come."""
    plain = Numeral(missing=asked.missing)
    return [
        replace(column, written=tuple(table.written.get(column.name, plain).to_json()))
        if column.kind == "numeric"
        else column
        for column in columns
    ]


def _kept_reading(
    table: RawTable, asked: Reading, target: str, weights: str | None
) -> dict[str, Any]:
    """Return how another table is to be read, as JSON; see `Dataset.reading`."""
    beside = {target, *([] if weights is None else [weights])}
    written = {name: how.to_json() for name, how in table.written.items() if name in beside}
    names = [] if table.has_header else [str(name) for name in table.frame.columns]
    kept = {"written": written, "names": names, "missing": list(asked.missing)}
    return {name: value for name, value in kept.items() if value}


def _is_auto(test: Any) -> bool:
    return test is None or (isinstance(test, str) and test == "auto")


def _test_fraction(table: RawTable, test: Any, target: str) -> float | None:
    """Return the fraction of test rows, None when they come from elsewhere."""
    if _is_auto(test):
        has_own = table.test_frame is not None and target in table.test_frame
        return None if has_own else TEST_FRACTION
    return read_fraction(test)


def _test_table(table: RawTable, test: Any, names: Sequence[str], reading: Reading) -> RawTable:
    """Return the format's own test rows, or the table that the user names, with these columns."""
    if _is_auto(test) and table.test_frame is not None:
        return RawTable(table.name, f"{table.source} (test)", table.test_frame, table.kind)
    return read_test_table(test, names, reading)


def _fit_fold(
    features: pd.DataFrame,
    columns: Sequence[Column],
    rows: np.ndarray,
    coded: Target,
    train: np.ndarray,
    valid: np.ndarray,
) -> tuple[Fold, dict[str, int]]:
    """Fit on the training rows, encode both parts; return the fold and its columns' levels."""
    train_frame = features.iloc[train]
    preprocessor, levels = fit_preprocessor(train_frame, columns, [str(name) for name in features])
    mean, std = 0.0, 1.0
    if coded.task == "regression":
        mean, std = float(coded.y[train].mean()), float(coded.y[train].std()) or 1.0
    fold = Fold(
        train_rows=rows[train],
        valid_rows=rows[valid],
        x_train=preprocessor.encode(train_frame),
        y_train=_scale(coded.y[train], coded.task, mean, std),
        x_valid=preprocessor.encode(features.iloc[valid]),
        y_valid=_scale(coded.y[valid], coded.task, mean, std),
        preprocessor=preprocessor,
        target_mean=mean,
        target_std=std,
    )
    return fold, levels


def _encode(
    preprocessor: Preprocessor, frame: pd.DataFrame, where: str, notices: list[str]
) -> np.ndarray:
    try:
        return preprocessor.encode(frame, notices=notices)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


def _scale(y: np.ndarray, task: str, mean: float, std: float) -> np.ndarray:
    return ((y - mean) / std).astype(np.float32) if task == "regression" else y
