"""`Exports`: the methods of `Study` that make models, from checkpoints or by training again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna

from autotrain.bundle import copy_bundle, read_bundle, refuse_full
from autotrain.bundle.temporary import temporary_folder
from autotrain.data.dataset import Dataset
from autotrain.export.best_model import BestModel
from autotrain.export.replay import Replay
from autotrain.export.scoring import record_calibration, score_test_rows
from autotrain.metrics import METRICS, Metric, row_of
from autotrain.predictor import Predictor, Threshold, load
from autotrain.search.attributes import EXPORTED, IS_EXPORTED, THRESHOLD, WINNER
from autotrain.search.checkpoints import FOLDER, Checkpoints
from autotrain.search.definition import Definition
from autotrain.search.finals import Finals
from autotrain.search.publisher import Published
from autotrain.search.run import one_thread
from autotrain.search.settings import check_ensemble
from autotrain.space.search_space import SearchSpace
from autotrain.validation import check_count
from autotrain.vocabulary import user_path


class Exports(ABC):
    """The methods of `Study` that make models."""

    definition: Definition
    folder: Path
    device: str
    metric: Metric
    space: SearchSpace
    dataset: Dataset
    """The table, split into training, validation and test rows."""
    export_notes: tuple[str, ...]
    export_failures: tuple[str, ...]

    @property
    @abstractmethod
    def optuna_study(self) -> optuna.Study:
        """The Optuna study itself."""

    @property
    @abstractmethod
    def best_path(self) -> Path:
        """The folder of the best model."""

    @abstractmethod
    def _finals(self) -> Finals | None: ...

    @abstractmethod
    def _note(self, name: str, value: Any) -> None: ...

    def export_best(self, ensemble: int | str | None = None) -> Path:
        """Export the winner, or an ensemble, to `best/`; `optimize` calls it at the end.

        The winner is chosen by all finished repeats, including those of interrupted runs.

        Args:
            ensemble: number of trained models for this export, at most; below 2 only the winner.
                "auto" depends on the number of validation rows, and is the winner alone when all
                trials came from `train`. None for the study's setting.
        Returns: the bundle's folder. Models that cannot be exported are skipped and listed in
            `export_failures`.
        Raises:
            RuntimeError: when no model can be exported, which is a bug.
        Examples:
            >>> study.export_best(ensemble=0).name
            'best'
        """
        return self._export_best(ensemble, lambda stage: None)

    def restore_best(self) -> Path:
        """Write the model in `best/` again if it is missing or damaged.

        The weights come from `checkpoints/`, or from training again as recorded. If the last search
        ended in order, it is the model or the ensemble that was exported then; otherwise it is the
        best model so far.

        Returns: the bundle's folder. `test` scores a model that was written again.
        Raises:
            RuntimeError: when no model can be exported, which is a bug.
        Examples:
            >>> study.restore_best().name
            'best'
        """
        attrs = self.optuna_study.user_attrs
        if not attrs.get(IS_EXPORTED, False):
            self._take(self._best().restore())
            return self.best_path
        return self.export_best(None if attrs.get(EXPORTED) is None else 0)

    def export(self, folder: str | Path, trial: int | None = None) -> Path:
        """Copy a model to another folder, which needs neither the study nor Optuna.

        Args:
            folder: a new or empty folder.
            trial: number of a trial; None for the model in `best/`. A trial without a checkpoint is
                trained again from its record.
        Returns: the folder.
        Raises:
            StudyError: when the trial does not exist or has no result.
            BundleError: when the study has no model yet.
            StorageError: when the folder is not empty or cannot be written.
        Examples:
            >>> autotrain.load(study.export("flowers-model"))
            Predictor(multiclass 'target' from 4 columns)
            >>> study.export("first", trial=0)
            PosixPath('first')
        """
        folder = user_path(str(folder))
        if trial is None:
            copy_bundle(read_bundle(self.best_path), folder)
        else:
            refuse_full(folder)
            number = check_count("trial", trial)
            self._best().export_trial(folder, number)
        return folder

    def _export_best(self, ensemble: int | str | None, on_stage: Callable[[str], None]) -> Path:
        if ensemble is None:
            ensemble = self.definition.ensemble
            self.definition.write_changes(self.folder)
        ensemble = check_ensemble(ensemble)
        self._decide()
        best = replace(self._best(), on_stage=on_stage)
        self._take(best.export(ensemble))
        self._note(EXPORTED, best.exported())
        self._note(IS_EXPORTED, True)
        return self.best_path

    def test(self) -> dict[str, float | None]:
        """Score the best model on the held-out test rows, and record the scores in the bundle.

        Call it once, at the end: a score that influences further choices is no longer a test.

        The bundle also records a 95 % confidence interval of the study's metric, and the fraction
        of test rows that 90 % prediction sets or intervals contain.

        Returns: every metric of the task with dropout off, None for metrics that are undefined on
            these rows. The dictionary is empty when there are no test rows.
        Examples:
            >>> scores = study.test()
            >>> 0 <= scores["accuracy"] <= 1
            True
        """
        if not self.dataset.n_test:
            return {}
        scores = score_test_rows(self.best_path, self.dataset)
        return {name: value for name, value in scores.items() if row_of(name) in METRICS}

    def choose_threshold(
        self,
        *,
        cost: Any = None,
        precision: float | None = None,
        recall: float | None = None,
        positive: Any = None,
    ) -> Threshold:
        """Choose the decision threshold of the model in `best/`, and store it in its bundle.

        The rows are those of `Predictor.threshold` without `X`: none of them trained the networks
        that predict it. The goal is recorded in the study, and a model that is exported later gets
        a threshold by the same goal. If it cannot have one, `export_notes` has the reason.

        Args:
            cost: {"false_positive": c, "false_negative": c}: the lowest mean cost.
            precision: the highest recall with at least this precision.
            recall: the highest precision with at least this recall.
            positive: label of the positive class; None for the second class.
        Returns: the `Threshold`, with its metrics and intervals.
        Raises:
            AutotrainError: as `Predictor.threshold`; nothing is stored.
            BundleError: when no model has been exported yet.
        Examples:
            >>> try:
            ...     study.choose_threshold(precision=0.9)
            ... except autotrain.AutotrainError as error:
            ...     print(str(error).partition(",")[0])
            threshold must be chosen for a model of two classes
        """
        predictor = load(self.best_path).with_threshold(None)
        found = predictor.threshold(
            cost=cost, precision=precision, recall=recall, positive=positive
        )
        self._note(THRESHOLD, {"goal": found.goal, "positive": found.positive})
        record_calibration(self.best_path, predictor.with_threshold(found).bundle.calibration)
        return found

    def remove_threshold(self) -> None:
        """Remove the decision threshold of the model in `best/`, and of later exports.

        Examples:
            >>> study.remove_threshold()
            >>> print(study.best_predictor().stored_threshold)
            None
        """
        self._note(THRESHOLD, None)
        predictor = load(self.best_path)
        if predictor.stored_threshold is not None:
            record_calibration(self.best_path, predictor.with_threshold(None).bundle.calibration)

    def predictor(self, trial: int | None = None) -> Predictor:
        """Return the model of one trial, from its checkpoint or trained again from its record.

        Args:
            trial: number of the trial; None for the model in `best/`, as `best_predictor`.
        Returns: a `Predictor`. It is not stored; see `export`.
        Raises:
            StudyError: when the trial does not exist or has no result.
            BundleError: when no model has been exported yet, and `trial` is None.
        Examples:
            >>> study.predictor(trial=0).predict([[5.1, 3.5, 1.4, 0.2]]).shape
            (1,)
        """
        if trial is None:
            return load(self.best_path)
        with temporary_folder() as folder:
            return load(self.export(folder / "model", trial))

    def replay(self, trial: int) -> Replay:
        """Train a trial again from its record, and compare the result.

        Nothing is written. Values can differ by rounding, because a sum in float32 depends
        slightly on the number of networks that train together.

        Args:
            trial: number of the trial.
        Returns: the recorded value and the new one; see `Replay`.
        Raises:
            StudyError: when the trial does not exist or has no result.
        Examples:
            >>> study.replay(0).is_equal
            True
        """
        with one_thread():
            return self._best().replay(check_count("trial", trial))

    def _decide(self) -> None:
        """Record the winner among the finished repeats; a new best trial invalidates it."""
        winner = self._best().choose_winner(self._finals())
        decision = None if winner is None else winner.to_json()
        if self.optuna_study.user_attrs.get(WINNER) != decision:
            self._note(WINNER, decision)

    def _take(self, published: Published) -> None:
        if published.bundle is not None:
            self.export_notes = published.notes
        self.export_failures = published.failures

    def _best(self) -> BestModel:
        return BestModel(
            self.best_path,
            self.optuna_study,
            self.dataset,
            self.metric,
            self.definition,
            self.space,
            Checkpoints(self.folder / FOLDER, self.metric.sign),
            self.device,
        )
