"""scikit-learn estimators that run a whole search in `fit`.

    model = MLPSearchClassifier(timeout=60, random_state=0)
    model.fit(X, y).predict_proba(X)

`fit` runs a study in a temporary folder and keeps its exported model; predictions come from the
`Predictor`. A data frame may have the same kinds of columns as on the command line: numbers,
strings, booleans and dates, with missing cells.
"""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import (
    Tags,
    assert_all_finite,
    check_array,
    check_random_state,
    column_or_1d,
)
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from autotrain.bundle.temporary import temporary_folder
from autotrain.data.loading import MIN_ROWS
from autotrain.errors import AutotrainError
from autotrain.predictor import Predictor
from autotrain.predictor.distribution import ClassificationDistribution, Distribution
from autotrain.search.device import find_device
from autotrain.search.opening import copy_in_memory
from autotrain.search.settings import SETTINGS, StudySettings
from autotrain.study import Study

TARGET, WEIGHTS = "target", "sample_weight"
SEEDS = 2**31
OF_CLASSES = ("proba", "point", "mean", "calibrated_mean", "std", "prediction_set", "samples")
"""The arrays of a distribution that have an axis of classes."""


class _MLPSearch(BaseEstimator):
    """Base class of both estimators; they differ in how they read and predict the target."""

    _names: list[str]
    _keeps_cells: bool
    _has_names: bool

    def __init__(
        self,
        *,
        space: Any = StudySettings.space,
        n_trials: int | None = None,
        timeout: float | None = 60.0,
        metric: str | None = StudySettings.metric,
        sampler: str = StudySettings.sampler,
        pruner: str = StudySettings.pruner,
        pruner_options: Mapping[str, float] | None = StudySettings.pruner_options,
        validation: str = StudySettings.validation,
        finalists: int = StudySettings.finalists,
        ensemble: int | str = StudySettings.ensemble,
        n_jobs: int | None = None,
        device: str = StudySettings.device,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.space = space
        self.n_trials = n_trials
        self.timeout = timeout
        self.metric = metric
        self.sampler = sampler
        self.pruner = pruner
        self.pruner_options = pruner_options
        self.validation = validation
        self.finalists = finalists
        self.ensemble = ensemble
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        # A time limit makes the number of trials random, and several processes make their order
        # random.
        by_time = self.n_trials is None or self.timeout is not None
        tags.non_deterministic = by_time or self.n_jobs not in (None, 1)
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        # `n_features_in_` is no sign of a fitted model: it is set even if `fit` fails later.
        return hasattr(self, "predictor_")

    def _search(
        self,
        frame: pd.DataFrame,
        y: np.ndarray,
        task: str,
        sample_weight: np.ndarray | None,
        class_weights: str | dict[int, float] | None = None,
    ) -> Predictor:
        """Run the study, store its results as attributes, and return the predictor."""
        if len(frame) < MIN_ROWS:
            raise ValueError(
                f"X must have at least {MIN_ROWS} rows for training and validation, got "
                f"n_samples={len(frame)}."
            )
        target, weights = _free(TARGET, frame), _free(WEIGHTS, frame)
        frame = frame.assign(**{target: y})
        if sample_weight is not None:
            frame[weights] = sample_weight
        parameters = self.get_params(deep=False)
        shared = {name: value for name, value in parameters.items() if name in SETTINGS}
        seed = int(check_random_state(self.random_state).randint(SEEDS))
        with (
            _value_errors(),
            temporary_folder() as folder,
            Study(
                "search",
                data=frame,
                target=target,
                task=task,
                test=0.0,
                weights=None if sample_weight is None else weights,
                class_weights=class_weights,
                workers=workers_for(self.n_jobs, self.device),
                seed=seed,
                directory=folder,
                **shared,
            ) as study,
        ):
            study.optimize(self.n_trials, self.timeout, quiet=not self.verbose)
            self.best_params_ = study.best_params
            self.best_score_ = study.best_value
            self.trials_ = study.trials_dataframe()
            self.study_ = copy_in_memory(study.optuna_study)
            self.n_iter_ = sum(trial.last_step or 0 for trial in self.study_.trials)
            return study.best_predictor()

    def _frame(self, X: Any, *, reset: bool) -> pd.DataFrame:
        """Return `[N, D]` rows as a data frame with the column names of training.

        Columns of an array are named by their position. If training used an array, or the names
        differ from those of training, columns are matched by position.

        Args:
            reset: True in `fit`, which defines the names.
        """
        if reset:
            self.__dict__.pop("predictor_", None)
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, reset=reset, skip_check_array=True)
            if not len(X):
                raise ValueError(
                    f"Found array with 0 sample(s) (shape={X.shape}) while a minimum of 1 is "
                    "required."
                )
            # Column names may be other types than strings, and the index may be anything.
            frame = X.set_axis([str(name) for name in X.columns], axis=1).reset_index(drop=True)
            keeps_cells = True  # The columns of a data frame have types already.
        else:
            X = validate_data(
                self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan", accept_sparse=False
            )
            # With texts in training, later tables are not converted to numbers either: "007" in
            # training is text, also in a later table in which all cells look like numbers.
            keeps_cells = X.dtype.kind in "US" if reset else self._keeps_cells
            if X.dtype.kind == "O" and not keeps_cells:
                try:
                    X = check_array(X, dtype="numeric", ensure_all_finite="allow-nan")
                except ValueError:
                    keeps_cells = True
            names = [f"x{place}" for place in range(X.shape[1])] if reset else self._names
            frame = pd.DataFrame(X, columns=names)
        if reset:
            self._names, self._keeps_cells = list(frame.columns), keeps_cells
            self._has_names = isinstance(X, pd.DataFrame)
        elif not (self._has_names and set(self._names) <= set(frame.columns)):
            frame = frame.set_axis(self._names, axis=1)
        return frame

    def predict_distribution(self, X: Any, n_samples: int = 100, **arguments: Any) -> Distribution:
        """Predict with uncertainty estimates; see `Predictor.predict_distribution`.

        Args:
            X: `[N, D]` array or data frame with the columns of training.
            n_samples: number of Monte-Carlo samples.
            arguments: the other arguments of `Predictor.predict_distribution`.
        Returns: a `RegressionDistribution`, or for classes a `ClassificationDistribution`.
        Examples:
            >>> model.predict_distribution(X[:2], n_samples=20).n_samples
            20
        """
        check_is_fitted(self)
        frame = self._frame(X, reset=False)
        with _value_errors():
            return self.predictor_.predict_distribution(frame, n_samples, **arguments)


class MLPSearchClassifier(ClassifierMixin, _MLPSearch):
    """Classifier that searches for, trains and keeps the best network.

    Args:
        space: a shipped space's name, a TOML file, a dictionary or a `SearchSpace`.
        n_trials: number of trials; None for no limit.
        timeout: seconds; None for no limit. Without any limit the search takes ten minutes. A
            search with a time limit is not reproducible: set `n_trials` and `timeout=None`.
        metric: metric to optimize, a name in `metrics.METRICS`; None for log_loss.
        class_weight: "balanced", {label: weight} or None: class weights in the training loss, like
            `class_weights` of `autotrain.Study`. Scores ignore them. `predict` uses them;
            `predict_proba` divides by them, so that its probabilities refer to the class
            frequencies of the table.
        sampler, pruner, pruner_options, validation, finalists, ensemble, device: as for
            `autotrain.Study`.
        n_jobs: number of processes, as in scikit-learn: None is 1, which trains in this process;
            −1 is one per core, −2 one fewer. On a GPU any negative number is one per GPU.
        random_state: random seed, as in scikit-learn.
        verbose: above 0 to show the progress.

    Attributes:
        predictor_: the `Predictor` of the best model.
        classes_: `[C]` the labels, sorted.
        best_params_: the winning trial's parameters with Optuna's names.
        best_score_: validation score of the exported model or ensemble.
        trials_: a data frame with one row per trial.
        study_: the Optuna study in memory, for `optuna.visualization` for example.
        n_iter_: number of epochs of all trials together.
        n_features_in_, feature_names_in_: as in scikit-learn.
    Examples:
        >>> from sklearn.datasets import load_iris
        >>> from autotrain import MLPSearchClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> space = {"extends": "quick", "training": {"epochs": 5}}
        >>> model = MLPSearchClassifier(space=space, n_trials=1, timeout=None, random_state=0)
        >>> model.fit(X, y).predict_proba(X[:1]).shape
        (1, 3)
    """

    def __init__(
        self,
        *,
        space: Any = StudySettings.space,
        n_trials: int | None = None,
        timeout: float | None = 60.0,
        metric: str | None = StudySettings.metric,
        class_weight: str | Mapping[Any, float] | None = None,
        sampler: str = StudySettings.sampler,
        pruner: str = StudySettings.pruner,
        pruner_options: Mapping[str, float] | None = StudySettings.pruner_options,
        validation: str = StudySettings.validation,
        finalists: int = StudySettings.finalists,
        ensemble: int | str = StudySettings.ensemble,
        n_jobs: int | None = None,
        device: str = StudySettings.device,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        shared = {k: v for k, v in locals().items() if k not in ("self", "class_weight")}
        _MLPSearch.__init__(self, **shared)
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Search within `n_trials` and `timeout`, and keep the best trained model.

        Args:
            X: `[N, D]` array or data frame.
            y: `[N]` labels.
            sample_weight: `[N]` sample weights, used for training and scoring.
        Returns: the estimator itself.
        Raises:
            ValueError: when the table cannot be used, or a parameter is invalid.
        Examples:
            >>> model.fit(X, y).classes_
            array([0, 1, 2])
        """
        frame = self._frame(X, reset=True)
        labels = _target(frame, y)
        _check_known(labels)
        check_classification_targets(labels)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, frame, ensure_non_negative=True)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        counted = np.unique(codes if weights is None else codes[weights > 0])
        if len(counted) < 2:
            found = f"one class, {self.classes_[counted[0]]!r}" if len(counted) else "none"
            raise ValueError(
                f"y must have at least two classes with a positive sample weight, got {found}."
            )
        of_classes = _class_weights(self.class_weight, self.classes_, labels)
        task = "binary" if len(self.classes_) == 2 else "multiclass"
        # The study gets codes, because labels may have any type and "1" must not become a number.
        if isinstance(of_classes, dict):
            of_classes = {code: of_classes[code] for code in map(int, counted)}
        self.predictor_ = self._search(frame, codes, task, weights, of_classes)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict the labels `[N]`: the most probable class, with `class_weight` applied.

        Args:
            X: `[N, D]` array or data frame with the columns of training.
        Returns: `[N]` labels, of the type of `classes_`.
        Examples:
            >>> model.predict(X[:2]).shape
            (2,)
        """
        check_is_fitted(self)
        frame = self._frame(X, reset=False)
        with _value_errors():
            found: np.ndarray = self.classes_[self.predictor_.predict(frame)]
        return found

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict calibrated probabilities `[N, C]` with dropout off; columns as in `classes_`.

        Args:
            X: `[N, D]` array or data frame with the columns of training.
        Returns: `[N, C]` float64; each row sums to 1.
        Examples:
            >>> model.predict_proba(X[:2]).sum(axis=1).round(6)
            array([1., 1.])
        """
        check_is_fitted(self)
        frame = self._frame(X, reset=False)
        with _value_errors():
            return self._of_classes(self.predictor_.predict_proba(frame))

    def predict_distribution(
        self, X: Any, n_samples: int = 100, **arguments: Any
    ) -> ClassificationDistribution:
        """Predict with uncertainty estimates; see `Predictor.predict_distribution`.

        Returns: the distribution, with the labels and the order of `classes_`.
        Args:
            X: `[N, D]` array or data frame with the columns of training.
            n_samples: number of Monte-Carlo samples.
            arguments: the other arguments of `Predictor.predict_distribution`.
        Examples:
            >>> model.predict_distribution(X[:2], n_samples=20).entropy.shape
            (2,)
        """
        found = super().predict_distribution(X, n_samples, **arguments)
        assert isinstance(found, ClassificationDistribution)
        arrays: dict[str, Any] = {
            name: self._of_classes(array)
            for name in OF_CLASSES
            if (array := getattr(found, name)) is not None
        }
        label = self.classes_[found.label]
        return replace(found, classes=self.classes_, label=label, **arrays)

    def _of_classes(self, values: np.ndarray) -> np.ndarray:
        """Return values `[…, K]` of the trained classes, extended to all `classes_` `[…, C]`.

        A class whose rows all have weight 0 was not trained. It gets 0 and is in no prediction set.
        """
        spread = np.zeros((*values.shape[:-1], len(self.classes_)), dtype=values.dtype)
        spread[..., self.predictor_.classes_] = values
        return spread


class MLPSearchRegressor(RegressorMixin, _MLPSearch):
    """Regressor that searches for, trains and keeps the best network.

    Args: as for `MLPSearchClassifier`, without class_weight; the default metric is rmse.
    Attributes: as for `MLPSearchClassifier`, without classes_.

    Examples:
        >>> from sklearn.datasets import load_diabetes
        >>> from autotrain import MLPSearchRegressor
        >>> X, y = load_diabetes(return_X_y=True)
        >>> space = {"extends": "quick", "training": {"epochs": 5}}
        >>> model = MLPSearchRegressor(space=space, n_trials=1, timeout=None, random_state=0)
        >>> model.fit(X, y).predict(X[:2]).shape
        (2,)
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Search within `n_trials` and `timeout`, and keep the best trained model.

        Args:
            X: `[N, D]` array or data frame.
            y: `[N]` numbers.
            sample_weight: `[N]` sample weights, used for training and scoring.
        Returns: the estimator itself.
        Raises:
            ValueError: when the table cannot be used, or a parameter is invalid.
        Examples:
            >>> model.fit(X, y).n_features_in_
            10
        """
        frame = self._frame(X, reset=True)
        target = check_array(_target(frame, y), ensure_2d=False, dtype=np.float64, input_name="y")
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, frame, ensure_non_negative=True)
        self.predictor_ = self._search(frame, target, "regression", weights)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict `[N]` float64 numbers in the units of the target.

        Args:
            X: `[N, D]` array or data frame with the columns of training.
        Returns: `[N]` float64.
        Examples:
            >>> model.predict(X[:3]).dtype
            dtype('float64')
        """
        check_is_fitted(self)
        frame = self._frame(X, reset=False)
        with _value_errors():
            return self.predictor_.predict(frame)


def _target(X: Any, y: Any) -> np.ndarray:
    """Return the target as an array `[N]` with one value per row."""
    if y is None:
        raise ValueError("This estimator requires y to be passed, but the target y is None.")
    target = column_or_1d(y, warn=True)
    check_consistent_length(X, target)
    return np.asarray(target)


def _check_known(labels: np.ndarray) -> None:
    """Raise ValueError when labels are missing or infinite."""
    if labels.dtype.kind == "f":
        assert_all_finite(labels, input_name="y")
    elif pd.isna(labels).any():
        raise ValueError("Input y contains NaN.")


def _class_weights(
    class_weight: str | Mapping[Any, float] | None, classes: np.ndarray, labels: np.ndarray
) -> str | dict[int, float] | None:
    """Return class weights for `Study`, with the label's index in `classes` as the key.

    Raises:
        ValueError: when a weight is negative or not finite, a label is unknown, or a text is not
            "balanced".
    """
    if class_weight is None:
        return None
    # This function of scikit-learn also checks the names and labels.
    weights = compute_class_weight(class_weight, classes=classes, y=labels).astype(np.float64)
    wrong = weights[~((weights >= 0) & (weights < np.inf))]
    if len(wrong):
        raise ValueError(
            f"class_weight must be finite numbers of at least 0, got {wrong[0]:g}. "
            "Correct the weight."
        )
    if isinstance(class_weight, str):
        return class_weight
    return {place: float(weight) for place, weight in enumerate(weights)}


def workers_for(n_jobs: Any, device: str) -> int:
    """Return the study's number of workers; 0 for one per core, or per GPU."""
    if n_jobs is None:
        return 1
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, numbers.Integral):
        raise ValueError(f"n_jobs must be an integer or None, got {n_jobs!r}.")
    if n_jobs < 0 and find_device(device) == "cuda":
        return 0
    return int(effective_n_jobs(n_jobs))


@contextlib.contextmanager
def _value_errors() -> Iterator[None]:
    """Raise `AutotrainError` as ValueError, which callers of scikit-learn expect."""
    try:
        yield
    except AutotrainError as error:
        raise ValueError(str(error)) from error


def _free(name: str, frame: pd.DataFrame) -> str:
    """Return a name that no column has, made by appending underscores."""
    while name in frame.columns:
        name += "_"
    return name
