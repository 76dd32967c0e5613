"""What a study has found: its trials, its winner and the model in `best/`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna.trial import FrozenTrial

from autotrain.bundle import Bundle
from autotrain.bundle.selection import Selection, selection_of, validation_error, validation_score
from autotrain.errors import BundleError, NoTrialSucceededError
from autotrain.metrics import Metric
from autotrain.predictor import Predictor, load
from autotrain.reporting.trial import TrialReport, report_of
from autotrain.search.finalists import Winner
from autotrain.search.finals import winner_of
from autotrain.search.given import config_of
from autotrain.search.record import own_trials
from autotrain.search.sampling.untried import Untried
from autotrain.search.settings import Definition
from autotrain.space.search_space import SearchSpace

BEST = "best"


class Results(ABC):
    """The part of `Study` that reads.

    Attributes:
        definition: what the study is.
        folder: where it is kept.
        metric, space: its own.
    """

    definition: Definition
    folder: Path
    metric: Metric
    space: SearchSpace
    _untried: Untried | None

    @property
    @abstractmethod
    def optuna_study(self) -> optuna.Study:
        """The Optuna study itself."""

    @property
    def best_trial(self) -> FrozenTrial:
        """The winner: of the complete trials the best one, as the finals decided.

        Not always the one with the best validation value: see `winner`.

        Raises:
            NoTrialSucceededError: when there is none.
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
        """What the finals say of the winner; None when the best trial won without them."""
        study = self.optuna_study
        return winner_of(study.get_trials(deepcopy=False), study.user_attrs, self.metric)[1]

    @property
    def best_value(self) -> float:
        """Validation score of the model in `best/`; of an ensemble that of its average.

        Each validation row is predicted by the networks that did not train on it, dropout off; the
        score is the mean over folds. The value that Optuna knows of the winning trial is
        `best_trial.value`: that of its first training, from its first seed.

        Raises:
            NoTrialSucceededError: when no trial is complete.
            BundleError: when the folder is gone or damaged; `export_best` writes it again.
        """
        value = validation_score(self._best_bundle())
        assert value is not None
        return value

    @property
    def best_error(self) -> float | None:
        """Standard error of `best_value` over the validation rows; None where not defined.

        It says how far the score of other rows of the same kind may lie, not how much better the
        validation rows look because they chose the model: see `selection`.

        Raises: as `best_value`.
        """
        return validation_error(self._best_bundle())

    @property
    def selection(self) -> Selection | None:
        """Why the model in `best/` was chosen; None until a search has ended.

        Raises: as `best_value`.
        """
        return selection_of(self._best_bundle())

    def _best_bundle(self) -> Bundle:
        try:
            return self.best_predictor().bundle
        except BundleError:
            _ = self.best_trial  # a study without a complete trial has another error
            raise

    @property
    def best_params(self) -> dict[str, Any]:
        """The best trial's parameters, Optuna's names."""
        return dict(self.best_trial.params)

    @property
    def best_config(self) -> dict[str, Any]:
        """The best trial's whole configuration, fixed values included, in nested tables.

        `train`, `enqueue` and, written with `tomli_w`, `autotrain train --config` take it.
        """
        return config_of(self.best_trial, self.space).to_dict()

    @property
    def n_untried(self) -> int | None:
        """How many configurations of a finite space are left to try; 0 when all have been tried.

        None where a parameter is real, or the space has more than 10,000 configurations.
        """
        if self._untried is None:
            return None
        return self._untried.count(self._own_trials())

    def trial(self, number: int) -> TrialReport:
        """Describe one trial: configuration, learning curve, health by layer, flags, its end.

        Raises:
            StudyError: when the study has no trial of that number.

        Examples:
            >>> study.trial(3).flags  # doctest: +SKIP
            {'vanishing': 'The gradient hardly reaches some layers, ...'}
        """
        study = self.optuna_study
        trials = study.get_trials(deepcopy=False)
        return report_of(self.definition, trials, number, study.user_attrs)

    def _own_trials(self) -> list[FrozenTrial]:
        """Return the trials that are not added by others."""
        study = self.optuna_study
        return own_trials(study.get_trials(deepcopy=False), study.user_attrs)

    def trials_dataframe(self) -> pd.DataFrame:
        """Return one row per trial, as `optuna.Study.trials_dataframe`."""
        return self.optuna_study.trials_dataframe()

    @property
    def best_path(self) -> Path:
        """Where the best trained model is, complete from the first finished trial on."""
        return self.folder / BEST

    def best_predictor(self) -> Predictor:
        """Load the best trained model.

        Raises:
            BundleError: when none was exported yet.
        """
        return load(self.best_path)
