"""The results of a study: its trials, its winner and the model in `best/`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import pandas as pd
from optuna.trial import FrozenTrial

from autotrain.bundle import Bundle
from autotrain.bundle.selection import Selection, selection_of, validation_error, validation_score
from autotrain.data.dataset import Dataset
from autotrain.errors import BundleError, NoTrialSucceededError
from autotrain.metrics import Metric
from autotrain.predictor import Predictor, load
from autotrain.reporting.trial import TrialReport, report_of
from autotrain.search.definition import Definition
from autotrain.search.device import count_workers
from autotrain.search.given import config_of
from autotrain.search.opening import seen_study
from autotrain.search.record import own_trials
from autotrain.search.sampling.untried import Untried
from autotrain.search.storage.lock import is_held
from autotrain.search.winner import Winner, winner_of
from autotrain.space.search_space import SearchSpace
from autotrain.vocabulary import user_path

if TYPE_CHECKING:
    from autotrain.reporting.report.written import Report

BEST = "best"


class Results(ABC):
    """The methods of `Study` that only read."""

    definition: Definition
    """The settings, as in `study.toml`."""
    folder: Path
    """The study's folder, as an absolute path."""
    device: str
    """The device of the training: "cpu" or "cuda"."""
    metric: Metric
    """The metric that the search optimizes."""
    space: SearchSpace
    """The search space, resolved for the data."""
    _untried: Untried | None

    dataset: Dataset
    """The table, split into training, validation and test rows."""

    @property
    @abstractmethod
    def _is_open(self) -> bool:
        """Whether the study is locked by this process, or its storage is an object."""

    @property
    @abstractmethod
    def optuna_study(self) -> optuna.Study:
        """The Optuna study itself."""

    @property
    def n_workers(self) -> int:
        """The number of workers: the setting, or one per GPU, or `default_workers` on the CPU.

        Examples:
            >>> study.n_workers
            1
        """
        return count_workers(self.definition.workers, self.device)

    @property
    def best_trial(self) -> FrozenTrial:
        """The winning trial, chosen among the complete trials by the finals.

        It need not have the best validation value; see `winner`.

        Raises:
            NoTrialSucceededError: when no trial is complete.
        Examples:
            >>> study.best_trial.state.name
            'COMPLETE'
        """
        study = self.optuna_study
        trial, _ = winner_of(study.trials, study.user_attrs, self.metric)
        if trial is None:
            raise NoTrialSucceededError(
                f"study {self.definition.name!r} has no complete trial yet. Call optimize()."
            )
        return trial

    @property
    def winner(self) -> Winner | None:
        """The decision of the finals; None when the trial with the best value won without them.

        Examples:
            >>> study.winner is None  # So few trials are not retrained.
            True
        """
        study = self.optuna_study
        return winner_of(study.get_trials(deepcopy=False), study.user_attrs, self.metric)[1]

    @property
    def best_value(self) -> float:
        """Validation score of the model or ensemble in `best/`.

        Each validation row is predicted with dropout off by the networks that did not train on it.
        The score is the mean over folds. `best_trial.value` is the score of the winning trial's
        first training, with its first seed.

        Raises:
            NoTrialSucceededError: when no trial is complete.
            BundleError: when the folder is missing or damaged; `export_best` writes it again.
        Examples:
            >>> 0 < study.best_value < 2
            True
        """
        value = validation_score(self._best_bundle())
        assert value is not None
        return value

    @property
    def best_error(self) -> float | None:
        """Standard error of `best_value` over the validation rows; None if it is undefined.

        It measures how much the score varies between samples of rows. It does not include the
        optimism from choosing the model by these rows; see `selection`.

        Raises: as `best_value`.
        Examples:
            >>> 0 < study.best_error < study.best_value
            True
        """
        return validation_error(self._best_bundle())

    @property
    def selection(self) -> Selection | None:
        """The reason why the model in `best/` was chosen; None before the end of a search.

        Raises: as `best_value`.
        Examples:
            >>> study.selection.reason
            'value'
        """
        return selection_of(self._best_bundle())

    def _best_bundle(self) -> Bundle:
        try:
            return self.best_predictor().bundle
        except BundleError:
            _ = self.best_trial  # Raises NoTrialSucceededError when no trial is complete.
            raise

    @property
    def best_params(self) -> dict[str, Any]:
        """The winning trial's parameters with Optuna's names.

        Examples:
            >>> "optimizer.learning_rate" in study.best_params
            True
        """
        return dict(self.best_trial.params)

    @property
    def best_config(self) -> dict[str, Any]:
        """The winning trial's configuration as nested dictionaries, with the fixed values.

        Pass it to `train` or `enqueue`, or write it with `tomli_w` for `autotrain train --config`.

        Examples:
            >>> study.best_config["training"]
            {'batch_size': 16, 'epochs': 5}
        """
        return config_of(self.best_trial, self.space).to_dict()

    @property
    def n_untried(self) -> int | None:
        """Number of untried configurations in a finite space; 0 when all were tried.

        None when a parameter is a real number, or the space has more than 10,000 configurations.

        Examples:
            >>> print(study.n_untried)
            None
        """
        if self._untried is None:
            return None
        return self._untried.count(self._own_trials())

    def trial(self, number: int) -> TrialReport:
        """Return a report of one trial: configuration, learning curve, diagnostics, flags and end.

        Args:
            number: number of the trial.
        Returns: a `TrialReport`.
        Raises:
            StudyError: when the study has no trial with that number.
        Examples:
            >>> report = study.trial(0)
            >>> report.number, report.state
            (0, 'complete')
        """
        study = self.optuna_study
        trials = study.get_trials(deepcopy=False)
        return report_of(self.definition, trials, number, study.user_attrs)

    def report(self, path: str | Path | None = None) -> Report:
        """Write a report of the study: one HTML file with tables and figures, which works offline.

        It compares the exported model with simpler ones on the same rows, and shows the search, the
        trials, what mattered, and the model on the test rows. The file contains values of the
        table. Nothing of the study changes. While another process runs a search, the report shows
        the study so far.

        Args:
            path: the file; None for `report.html` in the study's folder.
        Returns: a `Report`, which a notebook displays inline; `path` is the file.
        Raises:
            StudyError: when the study does not exist yet, or the file cannot be written.
        Examples:
            >>> study.report().path.name
            'report.html'
        """
        # Plots are loaded only for a report.
        from autotrain.reporting.report.facts import Content
        from autotrain.reporting.report.written import write_report

        if self._is_open:
            study = self.optuna_study
            trials, user_attrs, lost = study.get_trials(deepcopy=False), study.user_attrs, None
        else:
            # Without the lock, because another process may run a search.
            with seen_study(self.folder, self.definition.storage, stays_open=False) as seen:
                trials, user_attrs, lost = seen.trials, seen.user_attrs, seen.lost
        try:
            predictor: Predictor | None = self.best_predictor()
        except BundleError:
            predictor = None
        content = Content(
            folder=self.folder,
            definition=self.definition,
            space=self.space,
            metric=self.metric,
            dataset=self.dataset,
            trials=trials,
            user_attrs=user_attrs,
            lost=lost,
            is_running=not self._is_open and is_held(self.folder),
            predictor=predictor,
        )
        return write_report(content, None if path is None else user_path(str(path)))

    def _own_trials(self) -> list[FrozenTrial]:
        """Return the trials without those that other programs added."""
        study = self.optuna_study
        return own_trials(study.get_trials(deepcopy=False), study.user_attrs)

    def trials_dataframe(self) -> pd.DataFrame:
        """Return a data frame with one row per trial, like `optuna.Study.trials_dataframe`.

        Returns: Optuna's columns: number, value, times, parameters, user attributes and state.
        Examples:
            >>> list(study.trials_dataframe().columns[:3])
            ['number', 'value', 'datetime_start']
        """
        return self.optuna_study.trials_dataframe()

    @property
    def best_path(self) -> Path:
        """Folder of the exported model; it exists as soon as one trial is complete.

        Examples:
            >>> study.best_path.parts[-3:]
            ('studies', 'flowers', 'best')
        """
        return self.folder / BEST

    def best_predictor(self) -> Predictor:
        """Load the exported model.

        Returns: a `Predictor` of the model in `best/`.
        Raises:
            BundleError: when no model has been exported yet.
        Examples:
            >>> study.best_predictor().predict([[5.1, 3.5, 1.4, 0.2]]).shape
            (1,)
        """
        return load(self.best_path)
