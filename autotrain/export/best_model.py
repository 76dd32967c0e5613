"""`BestModel`: the folder `best/` with the best trained model of a study.

The model is exported whenever a new best trial completes, and restored from checkpoints, or by
retraining, when the folder is missing or damaged. Every export goes through `publish`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from autotrain.bundle import ENSEMBLE
from autotrain.data.dataset import Dataset
from autotrain.errors import StudyError
from autotrain.export.costs import StageTimes, end_seconds
from autotrain.export.deciding import GoalOfStudy
from autotrain.export.ensemble import (
    choose,
    has_few_rows,
    is_clearly_better,
    most_members,
)
from autotrain.export.origin import Origin
from autotrain.export.replay import Replay, replay_of
from autotrain.export.scoring import record_selection
from autotrain.export.winner import Training, choose_winner, selection_record
from autotrain.export.writer import notes_of, write_model
from autotrain.metrics import Metric
from autotrain.network.config import view_of
from autotrain.search.attributes import EXPORTED, THRESHOLD, fold_epochs_of, has_epochs
from autotrain.search.checkpoints import Checkpoints
from autotrain.search.definition import Definition
from autotrain.search.facts import value_of
from autotrain.search.finals import Finals
from autotrain.search.publisher import Published
from autotrain.search.retraining import train_again
from autotrain.search.settings import AUTO
from autotrain.search.trained import Trained
from autotrain.search.trial_store import best_trial
from autotrain.search.winner import Winner, winner_of
from autotrain.space.search_space import SearchSpace
from autotrain.training.rows import problem_of
from autotrain.training.trainer import Trainer


@dataclass(frozen=True)
class BestModel:
    """The folder of a study's best model.

    Args:
        path: the folder, which is replaced atomically.
        study, dataset, metric, definition, space, checkpoints: those of the study.
        device: device for retraining, "cpu" or "cuda".
        on_stage: called with the name of each stage, such as "calibrating".
    """

    path: Path
    study: optuna.Study
    dataset: Dataset
    metric: Metric
    definition: Definition
    space: SearchSpace
    checkpoints: Checkpoints
    device: str
    on_stage: Callable[[str], None] = lambda stage: None

    @property
    def origin(self) -> Origin:
        """The trials that a model of this study can come from."""
        return Origin(
            self.study,
            self.space,
            self.checkpoints,
            self.definition.seed,
            self.dataset.fingerprint,
        )

    def publish(self, trained: Trained, *others: Trained) -> Published:
        """Export a trained model, or the ensemble of several.

        Raises:
            StorageError: when the folder cannot be written.
            RuntimeError: when the model fails its check, which is a bug.
        """
        times = StageTimes(self.on_stage)
        decision = GoalOfStudy(self.study.user_attrs.get(THRESHOLD))
        bundle = write_model(
            self.path,
            (trained, *others),
            dataset=self.dataset,
            metric=self.metric.name,
            study=self.definition.name,
            class_weights=self.definition.class_weights,
            decide=decision,
            on_stage=times.enter,
        )
        scoring_s = times.scoring_seconds(bundle, self.dataset)
        notes = (*notes_of(bundle), *decision.notes)
        return Published(bundle, notes, export_s=times.total_s(), scoring_s=scoring_s)

    def seconds_for_export(self, export_s: float, scoring_s: float) -> float:
        """Return an upper estimate of the seconds that the end of a run takes.

        Args:
            export_s: seconds of the export of one model.
            scoring_s: the same of its test score; 0 if it is not scored.
        """
        n_members = most_members(self.definition.ensemble, self.dataset)
        return end_seconds(
            min(n_members, len(self.checkpoints)), len(self.checkpoints), export_s, scoring_s
        )

    def choose_winner(self, finals: Finals | None) -> Winner | None:
        """Return the winner of the study; see `winner.choose_winner`."""
        origin = self.origin
        best = best_trial(origin.trials, self.metric)
        record = self.study.user_attrs.get(EXPORTED)
        exported: tuple[Training, Callable[[int], bool]] | None = None
        if record is not None:
            trial, repeat, n_trials, waiting = record
            exported = (trial, repeat), lambda number: number >= n_trials or number in waiting

        def is_better(new: Training, old: Training) -> bool:
            found = [origin.complete_checkpoint(*each) for each in (old, new)]
            if found[0] is None or found[1] is None:
                return True
            return is_clearly_better(found[1], found[0], self.dataset, self.metric)

        return choose_winner(finals, None if best is None else best.number, exported, is_better)

    def export(self, ensemble: int | str) -> Published:
        """Export the study's winner or an ensemble, and record in the bundle why it was chosen.

        Args:
            ensemble: largest number of members, below 2 for the winner alone; or "auto".
        Raises:
            RuntimeError: when no model can be exported and the folder has no model of the study.
        """
        n_members = most_members(ensemble, self.dataset)
        if ensemble == AUTO and not self.origin.has_searched:
            n_members = 0
        published = self._export(n_members)
        self._record_selection()
        return published

    def export_trial(self, folder: Path, number: int) -> None:
        """Export the model of one trial to another folder, with the same checks as the winner.

        Raises:
            StudyError: when the trial does not exist or has no result.
            StorageError: when the folder cannot be written.
        """
        trial = self._trial_with_result(number)
        kept = self.checkpoints.of_trial(number)
        if kept is None or not self.origin.is_of(trial, kept):
            kept = self._trained(trial, 0, None)
        replace(self, path=folder).publish(kept)

    def replay(self, number: int) -> Replay:
        """Train a trial again from its record, and compare the result.

        Raises:
            StudyError: when the trial does not exist or has no result.
        """
        trial = self._trial_with_result(number)
        kept = self.origin.checkpoint(trial, 0)
        again = self._retrained(trial, 0, fold_epochs_of(trial))
        return replay_of(trial, again, kept)

    def _trial_with_result(self, number: int) -> FrozenTrial:
        """Return a trial that was trained to a finite value.

        Raises:
            StudyError: when the trial does not exist or has no result.
        """
        trials = {trial.number: trial for trial in self.origin.trials}
        trial = trials.get(number)
        value = None if trial is None else trial.value
        if trial is None or value is None or not math.isfinite(value) or not has_epochs(trial):
            state = "no such trial" if trial is None else f"a trial that is {trial.state.name}"
            raise StudyError(
                f"study {self.definition.name!r} must have a result of trial {number}, got "
                f"{state}. List the trials: autotrain show {self.definition.name}.",
                parameter="trial",
            )
        return trial

    def exported(self) -> list[Any] | None:
        """Return the record of the exported model for a later `choose_winner`; see `EXPORTED`."""
        bundle = self.origin.bundle_in(self.path)
        if bundle is None or ENSEMBLE in bundle.training:
            return None
        trials = self.study.get_trials(deepcopy=False)
        waiting = [trial.number for trial in trials if trial.state == TrialState.WAITING]
        return [bundle.training["trial"], bundle.training["repeat"], len(trials), waiting]

    def restore(self, *, alone: bool = False) -> Published:
        """Export the study's winner if the folder does not contain it already.

        The weights come from the checkpoints or, if these are missing, from retraining. If the
        winner cannot be exported, its first training is exported instead, and if that fails too,
        the trial with the best value.

        Args:
            alone: replace also an ensemble of this study, which is kept otherwise.
        """
        trials = self.origin.trials
        trial, winner = winner_of(trials, self.study.user_attrs, self.metric)
        best = best_trial(trials, self.metric)
        if trial is None or best is None:
            return Published()
        first = 0 if winner is None else winner.repeat
        wanted = {(trial.number, first): trial, (trial.number, 0): trial, (best.number, 0): best}
        failures: list[str] = []
        for (number, repeat), trial in wanted.items():
            instead = (f"The model is that of trial {number}.",) if failures else ()
            if self.origin.is_in(self.path, number, repeat, alone=alone):
                return Published(failures=(*failures, *instead))
            try:
                epochs = winner.epochs if winner is not None and repeat else None
                published = self.publish(self._trained(trial, repeat, epochs))
                return replace(published, failures=(*failures, *instead))
            except RuntimeError as error:
                again = ", retrained," if repeat else ""
                failures.append(_failed(f"Trial {number}{again}", error))
        return Published(failures=tuple(failures))

    def _export(self, n_members: int) -> Published:
        """Export an ensemble of up to `n_members` or, if that is not possible, the winner."""
        failures: list[str] = []
        if n_members > 1:
            kept = self.origin.all_checkpoints()
            self.on_stage("choosing the members of the ensemble")
            chosen = choose(kept, self.dataset, self.metric, n_members) if kept else ()
            if len(chosen) > 1:
                try:
                    return self.publish(*chosen)
                except RuntimeError as error:
                    failures.append(_failed("The ensemble", error))
        restored = self.restore(alone=True)
        failures += restored.failures
        if failures and self.origin.bundle_in(self.path) is None:
            raise RuntimeError(" ".join(failures))
        return replace(restored, failures=tuple(failures))

    def _record_selection(self) -> None:
        """Record in the bundle why its model was chosen."""
        bundle = self.origin.bundle_in(self.path)
        trials = self.origin.trials
        trial, winner = winner_of(trials, self.study.user_attrs, self.metric)
        if bundle is None or trial is None:
            return
        selection = selection_record(
            bundle, trials, trial, winner, self.metric, has_few_rows=has_few_rows(self.dataset)
        )
        if selection is not None:
            record_selection(self.path, selection)

    def _trained(self, trial: FrozenTrial, repeat: int, epochs: Sequence[int] | None) -> Trained:
        """Return a trained model from its checkpoint, or retrain it as recorded.

        Args:
            epochs: epochs of each fold of this training; None for those of the trial.
        Raises:
            RuntimeError: when retraining diverges.
        """
        kept = self.origin.checkpoint(trial, repeat)
        if kept is not None:
            return kept
        self.on_stage(f"retraining trial {trial.number}, which has no checkpoint")
        return self._retrained(trial, repeat, fold_epochs_of(trial) if epochs is None else epochs)

    def _retrained(self, trial: FrozenTrial, repeat: int, epochs: Sequence[int]) -> Trained:
        """Train a trial again as recorded.

        Raises:
            RuntimeError: when it diverges.
        """
        config, seed = self.origin.config(trial), self.origin.trial_seed(trial)
        outcomes = train_again(
            Trainer(
                problem_of(self.dataset, self.metric),
                self.dataset.encoded_folds([view_of(config)]),
                self.device,
            ),
            config,
            seed,
            n_folds=len(self.dataset.folds),
            epochs=epochs,
            repeat=repeat,
        )
        if any(outcome.parameters is None for outcome in outcomes):
            raise RuntimeError("it has no checkpoint, and retraining diverged")
        return Trained(trial.number, value_of(outcomes), config, seed, outcomes, repeat)


def _failed(what: str, error: RuntimeError) -> str:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"{what} could not be exported ({reason})."
