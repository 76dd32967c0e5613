"""The dataset of a study: split and encoded, with everything fitted on training rows only.

`load_dataset` reads the table, drops rows without a target or with weight 0, infers the task and
the column kinds, and splits the rows. For each fold it then fits the preprocessing on the
training rows and encodes all rows. The result is a `Dataset`.
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
from autotrain.techniques.view import View
from autotrain.vocabulary import count_text

MIN_ROWS = 10
"""Fewer rows with a target cannot be split into three useful parts."""
TEST_FRACTION = 0.2


@dataclass(frozen=True)
class Encoded:
    """The inputs `[N, D]` float32 of one fold in one view, and the fitted preprocessor."""

    x_train: np.ndarray
    x_valid: np.ndarray
    preprocessor: Preprocessor


@dataclass(frozen=True)
class Fold:
    """One training and validation split: encoded rows, and the values fitted on its training rows.

    Args:
        train_rows: `[N]` indices of the training rows in the original table.
        valid_rows: the same for the validation rows.
        calibration_rows: the same for the rows used only for calibration. None: the validation
            rows are used.
        x_train: float32 `[N, D]`, C-contiguous; D may differ between folds.
        y_train: `[N]` class indices int64, or standardized target float32.
        x_valid: as `x_train`.
        y_valid: as `y_train`.
        preprocessor: fitted on the training rows.
        target_mean: mean of the training target; 0 for classification.
        target_std: standard deviation of the training target; 1 for classification.
        weights: the weights of the rows; None if all are equal.
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
    """A table ready for training. `x_train` and similar properties refer to the first fold.

    Args:
        name: short name of the data.
        source: the source as the user gave it.
        task: "binary", "multiclass" or "regression".
        task_reason: the reason for the task, one sentence.
        target: name of the target column.
        classes: the original labels, sorted; empty for regression.
        label_dtype: type of the labels: "str", "int64", "float64" or "bool".
        folds: at least one fold.
        x_test: float32 `[N, D]`, encoded by the first fold's preprocessor; N may be 0.
        y_test: as `Fold.y_train`.
        notes: notices for the user.
        fingerprint: SHA-256 of the content.
        split: {"test", "validation", "seed"} as JSON. `load_dataset(…, **split)` repeats the split.
        raw: all rows as read, features and target.
        raw_test_rows: the test rows as read, features and target.
        test_rows: `[N]` indices of the test rows in the table; empty if they come from another
            table.
        columns: the kept columns.
        levels: number of levels of each categorical column in the first fold's training rows.
        weights: name of the column of sample weights; None without weights.
        commas: meaning of commas in the numbers of a text file, see `Reading`.
        reading: further settings to read another table in the same way, as JSON. "written" is the
            number format of the target and the weights, "names" has the column names of a file
            without a header, and "missing" has the user's words for a missing cell.
        repeats: the test rows that equal a training or validation row; None without test rows.
        test_weights: `[N]` sample weights of the test rows. None without weights, or if a separate
            test table does not have the column.
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
        """Return the notices, including those about how these views encode the columns."""
        return [*self.notes, *rare_levels(self.columns, self.levels, views)]

    def encoded(self, place: int, view: View) -> Encoded:
        """Return a fold's inputs in one view, fitted on its training rows.

        Two one-hot limits share their arrays if no column has a number of levels between them.

        Args:
            place: index of the fold.
            view: the encoding of a configuration.
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
        """Return the lowest limit that embeds the same columns; 0 if no column is embedded."""
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
        """Number of training rows of the first fold."""
        return len(self.y_train)

    @property
    def n_valid(self) -> int:
        """Number of validation rows of the first fold."""
        return len(self.y_valid)

    @property
    def n_validated(self) -> int:
        """Number of validation rows of all folds together."""
        return sum(len(fold.y_valid) for fold in self.folds)

    @property
    def n_calibration(self) -> int:
        """Number of rows used only for calibration; 0 if the validation rows are used."""
        rows = self.folds[0].calibration_rows
        return 0 if rows is None else len(rows)

    @property
    def n_test(self) -> int:
        """Number of test rows."""
        return len(self.y_test)

    @property
    def n_features(self) -> int:
        """Number of kept columns."""
        return len(self.preprocessor.columns)

    @property
    def is_pictures(self) -> bool:
        """Whether all kept columns are pixels."""
        return all(column.kind == "pixel" for column in self.columns)

    @property
    def n_inputs(self) -> int:
        """D, number of inputs of the network."""
        return self.preprocessor.n_inputs

    def raw_test(self) -> tuple[pd.DataFrame, pd.Series[Any]]:
        """Return the features of the test rows as they were read, and their targets."""
        return self.apart(self.raw_test_rows)

    def raw_valid(self) -> tuple[pd.DataFrame, pd.Series[Any]]:
        """Return the features of the first fold's validation rows as read, and their targets."""
        return self.apart(self.raw.iloc[self.folds[0].valid_rows])

    def apart(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series[Any]]:
        """Return the features and the targets of rows as they were read."""
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
        # Rows or columns that were dropped before may be the cause.
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
    """Implement `load_dataset`; `notes` receives the notices one by one, also before an error."""
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
            notes.append(f"dropped {left_out} with weight 0 in {weights!r}")
    if len(frame) < MIN_ROWS:
        raise DataError(
            f"{table.source} must have at least {MIN_ROWS} rows with a target"
            f"{' and a positive weight' if weights is not None else ''}, got {len(frame)}. "
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
            f"the test rows of {table.source} have no {target!r} and are ignored: "
            f"{fraction:.0%} of the other rows are held out as the test set"
        )
    stratify = coded.task != "regression"
    rest, test_places = split_test(coded.y, fraction or 0.0, seed, stratify=stratify)
    folds: list[Fold] = []
    levels: dict[str, int] = {}
    # All folds keep the same columns, so that their networks have the same inputs.
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
                f"the test rows ({other.source}) have no column {weights!r} and get equal weights"
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
    """Return the columns that a network may read, without target and weights."""
    return frame.drop(columns=[name for name in (target, weights) if name in frame])


def _with_numerals(columns: Sequence[Column], table: RawTable, asked: Reading) -> list[Column]:
    """Return the columns with the number formats, so that other tables are read alike."""
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
    """Return the settings to read another table, as JSON; see `Dataset.reading`."""
    others = {target, *([] if weights is None else [weights])}
    written = {name: how.to_json() for name, how in table.written.items() if name in others}
    names = [] if table.has_header else [str(name) for name in table.frame.columns]
    kept = {"written": written, "names": names, "missing": list(asked.missing)}
    return {name: value for name, value in kept.items() if value}


def _is_auto(test: Any) -> bool:
    return test is None or (isinstance(test, str) and test == "auto")


def _test_fraction(table: RawTable, test: Any, target: str) -> float | None:
    """Return the fraction of test rows; None if they come from another table."""
    if _is_auto(test):
        has_own = table.test_frame is not None and target in table.test_frame
        return None if has_own else TEST_FRACTION
    return read_fraction(test)


def _test_table(table: RawTable, test: Any, names: Sequence[str], reading: Reading) -> RawTable:
    """Return the format's own test rows, or the table given by the user, with these columns."""
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
    """Fit on the training rows and encode both parts; return the fold and its level counts."""
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
