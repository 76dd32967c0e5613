"""The dataset of a study: a split table, its targets, and its inputs in each view.

`loading.load_dataset` makes a `Dataset` and fits its default view. Another view is fitted and
encoded by the first call of `Dataset.encoded` that asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from autotrain.data.columns import Column
from autotrain.data.encoded import EncodedFold, EncodedView, LazyViews
from autotrain.data.fitting import VIEW, fit_preprocessor, rare_levels
from autotrain.data.preprocessing import Preprocessor
from autotrain.data.repeats import Repeats
from autotrain.data.splitting import Split
from autotrain.data.targets import Label
from autotrain.techniques.view import View


@dataclass(frozen=True)
class Dataset:
    """A table ready for training.

    Args:
        name: short name of the data.
        source: the source as the user gave it.
        task: "binary", "multiclass" or "regression".
        task_reason: the reason for the task, one sentence.
        target: name of the target column.
        classes: the original labels, sorted; empty for regression.
        label_dtype: type of the labels: "str", "int64", "float64" or "bool".
        splits: rows of each fold, as indices of the table; at least one fold.
        folds: targets and weights of each fold; the first one with its inputs in the default view.
        x_test: float32 `[N, D]`, encoded by the first fold's preprocessor; N may be 0.
        y_test: `[N]`, as `EncodedFold.y_train` of the first fold.
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
        fitted: the preprocessor and the inputs of each fold and view that was asked for.
    """

    name: str
    source: str
    task: str
    task_reason: str
    target: str
    classes: tuple[Label, ...]
    label_dtype: str
    splits: tuple[Split, ...]
    folds: tuple[EncodedFold, ...]
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
    fitted: dict[tuple[int, View], tuple[Preprocessor, EncodedView]] = field(
        default_factory=dict, repr=False
    )

    def notes_for(self, views: Iterable[View]) -> list[str]:
        """Return the notices, including those about how these views encode the columns."""
        return [*self.notes, *rare_levels(self.columns, self.levels, views)]

    def encoded(self, fold: int = 0, view: View = VIEW) -> EncodedView:
        """Return the inputs of a fold in one view.

        Two one-hot limits share their arrays if no column has a number of levels between them.
        Without missing cells, the encodings of missing cells share them too.

        Args:
            fold: number of the fold.
            view: the encoding of a configuration.
        """
        return self._fit(fold, view)[1]

    def preprocessor(self, fold: int = 0, view: View = VIEW) -> Preprocessor:
        """Return the preprocessing of a view, fitted on the training rows of a fold."""
        return self._fit(fold, view)[0]

    def encoded_folds(self, views: Iterable[View]) -> list[EncodedFold]:
        """Return all folds with their inputs in each of some views."""
        views = list(views)
        return [
            replace(fold, views={view: self.encoded(number, view) for view in views})
            for number, fold in enumerate(self.folds)
        ]

    def lazy_folds(self) -> list[EncodedFold]:
        """Return all folds, whose inputs in a view are encoded when they are first read."""
        return [
            replace(fold, views=LazyViews(partial(self.encoded, number)))
            for number, fold in enumerate(self.folds)
        ]

    def _fit(self, fold: int, view: View) -> tuple[Preprocessor, EncodedView]:
        has_gaps = any(column.has_missing for column in self.columns)
        missing = view.missing if has_gaps else VIEW.missing
        key = fold, replace(view, missing=missing, one_hot_limit=self._limit_of(view))
        if key not in self.fitted:
            features = features_of(self.raw, self.target, self.weights)
            preprocessor, _, encoded = fit_view(features, self.columns, self.splits[fold], key[1])
            self.fitted[key] = preprocessor, encoded
        return self.fitted[key]

    def _limit_of(self, view: View) -> int:
        """Return the lowest limit that embeds the same columns; 0 if no column is embedded."""
        counts = [column.n_levels for column in self.columns if column.kind == "categorical"]
        if view.one_hot_limit >= max(counts, default=0):
            return 0
        below = [count for count in counts if count <= view.one_hot_limit]
        return max(below, default=min(view.one_hot_limit, 1))

    @property
    def n_outputs(self) -> int:
        """Number of outputs of a network: the number of classes, or 1 for regression."""
        return len(self.classes) or 1

    @property
    def n_train(self) -> int:
        """Number of training rows of the first fold."""
        return len(self.folds[0].y_train)

    @property
    def n_valid(self) -> int:
        """Number of validation rows of the first fold."""
        return len(self.folds[0].y_valid)

    @property
    def n_validated(self) -> int:
        """Number of validation rows of all folds together."""
        return sum(len(fold.y_valid) for fold in self.folds)

    @property
    def n_calibration(self) -> int:
        """Number of rows used only for calibration; 0 if the validation rows are used."""
        rows = self.splits[0].calibration
        return 0 if rows is None else len(rows)

    @property
    def n_test(self) -> int:
        """Number of test rows."""
        return len(self.y_test)

    @property
    def n_features(self) -> int:
        """Number of kept columns."""
        return len(self.columns)

    @property
    def is_pictures(self) -> bool:
        """Whether all kept columns are pixels."""
        return all(column.kind == "pixel" for column in self.columns)

    @property
    def n_inputs(self) -> int:
        """D, number of inputs of the network in the default view."""
        return self.preprocessor().n_inputs

    def raw_test(self) -> tuple[pd.DataFrame, pd.Series[Any]]:
        """Return the features of the test rows as they were read, and their targets."""
        return self.apart(self.raw_test_rows)

    def raw_valid(self, fold: int = 0) -> tuple[pd.DataFrame, pd.Series[Any]]:
        """Return the features of a fold's validation rows as they were read, and their targets."""
        return self.apart(self.raw.iloc[self.splits[fold].valid])

    def apart(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series[Any]]:
        """Return the features and the targets of rows as they were read."""
        return features_of(frame, self.target, self.weights), frame[self.target]


def features_of(frame: pd.DataFrame, target: str, weights: str | None) -> pd.DataFrame:
    """Return the columns that a network may read, without target and weights."""
    return frame.drop(columns=[name for name in (target, weights) if name in frame])


def fit_view(
    features: pd.DataFrame, columns: Sequence[Column], split: Split, view: View
) -> tuple[Preprocessor, dict[str, int], EncodedView]:
    """Fit a view on the training rows of a fold, and encode its training and validation rows.

    Args:
        features: the columns that a network may read.
        columns: the kept columns.
        split: indices of the fold's rows in `features`.
        view: the encoding.
    Returns: the preprocessor, the number of levels of each categorical column in the training rows,
        and the encoded rows.
    """
    train, names = features.iloc[split.train], [str(name) for name in features]
    preprocessor, levels = fit_preprocessor(train, columns, names, view)
    x_train, x_valid = map(preprocessor.encode, (train, features.iloc[split.valid]))
    return preprocessor, levels, EncodedView(x_train, x_valid, preprocessor.input_columns)
