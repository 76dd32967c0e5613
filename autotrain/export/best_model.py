"""`BestModel`: the folder `best/` with the best trained model of a study.

The model is exported whenever a new best trial completes, and restored from checkpoints, or by
retraining, when the folder is missing or damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from autotrain.bundle import ENSEMBLE, Bundle, read_bundle
from autotrain.bundle.selection import (
    CONTENDERS,
    GREEDY,
    INSTEAD,
    KEPT,
    MEAN,
    ONLY,
    SMALLER,
    VALUE,
    Selection,
)
from autotrain.data.dataset import Dataset
from autotrain.errors import BundleError, SpaceError
from autotrain.export.ensemble import (
    choose,
    ensemble_seconds,
    has_few_rows,
    is_clearly_better,
    most_members,
)
from autotrain.export.writer import export_ensemble, record_selection
from autotrain.metrics import Metric
from autotrain.network.config import view_of
from autotrain.search.attributes import EXPORTED, GIVEN, fold_epochs_of
from autotrain.search.checkpoints import Checkpoints
from autotrain.search.facts import trial_seed, value_of
from autotrain.search.finalists import Winner
from autotrain.search.finals import Finals, winner_of
from autotrain.search.given import config_of
from autotrain.search.publisher import Published
from autotrain.search.record import own_trials
from autotrain.search.retraining import train_again
from autotrain.search.sampling.samplers import seed_number
from autotrain.search.settings import AUTO, Definition
from autotrain.search.trained import Trained
from autotrain.search.trial_store import best_trial
from autotrain.space.config import TrialConfig
from autotrain.space.search_space import SearchSpace
from autotrain.training.rows import problem_of
from autotrain.training.trainer import Trainer


@dataclass(frozen=True)
class BestModel:
    """The folder of a study's best model.

    Args:
        path: the folder, which is replaced atomically.
        dataset, metric, definition, space, checkpoints: those of the study.
        on_stage: called with the name of each stage, such as "calibrating".
    """

    path: Path
    dataset: Dataset
    metric: Metric
    definition: Definition
    space: SearchSpace
    checkpoints: Checkpoints
    on_stage: Callable[[str], None] = lambda stage: None

    def publish(self, trained: Trained, *others: Trained) -> tuple[str, ...]:
        """Export a trial's model, alone or in an ensemble; return notes for the user."""
        exported = export_ensemble(
            self.path,
            (trained, *others),
            dataset=self.dataset,
            metric=self.metric.name,
            class_weights=self.definition.class_weights,
            on_stage=self.on_stage,
            training={
                "study": self.definition.name,
                "trial": trained.number,
                "repeat": trained.repeat,
                "seed": trained.seed,
                "best_epoch": trained.outcomes[0].best_epoch,
            },
        )
        return exported.notes

    def seconds_for_export(self, export_s: float) -> float:
        """Return an upper estimate of the seconds to export an ensemble of the checkpoints.

        Args:
            export_s: processor time of the export of one model, in seconds.
        """
        n_members = most_members(self.definition.ensemble, self.dataset)
        return ensemble_seconds(n_members, len(self.checkpoints), export_s)

    def export_trial(self, folder: Path, study: optuna.Study, number: int) -> None:
        """Export the model of one trial to another folder, with the same checks as the winner.

        Raises:
            StudyError: when the trial does not exist or has no checkpoint.
            StorageError: when the folder cannot be written.
        """
        trials = study.get_trials(deepcopy=False)
        kept = self.checkpoints.of_trial(number) if number < len(trials) else None
        if kept is None or not self._is_of(study, trials[number], kept):
            raise self.checkpoints.not_kept(number)
        replace(self, path=folder).publish(kept)

    def export(self, study: optuna.Study, device: str, ensemble: int | str) -> Published:
        """Export the study's winner or an ensemble, and record in the bundle why it was chosen.

        Args:
            study: the Optuna study.
            device: device for retraining, "cpu" or "cuda".
            ensemble: largest number of members, below 2 for the winner alone; or "auto".
        Raises:
            RuntimeError: when no model can be exported and the folder has no model of the study.
        """
        n_members = most_members(ensemble, self.dataset)
        if ensemble == AUTO and not _has_searched(study):
            n_members = 0
        published = self._export(study, device, n_members)
        if self._is_own(study):
            selection = self.selection(study, read_bundle(self.path))
            if selection is not None:
                record_selection(self.path, selection)
        return published

    def selection(self, study: optuna.Study, bundle: Bundle) -> Selection | None:
        """Return the record of why a model was chosen; None before a trial is complete.

        Args:
            bundle: the model.
        """
        trials = own_trials(study.get_trials(deepcopy=False), study.user_attrs)
        trial, winner = winner_of(trials, study.user_attrs, self.metric)
        best = best_trial(trials, self.metric)
        if trial is None or best is None or best.value is None:
            return None
        states = [t.state for t in trials]
        n_complete = states.count(TrialState.COMPLETE)
        selection = Selection(
            trial=bundle.training["trial"],
            reason=self._reason(bundle, trial.number, winner, n_complete),
            n_trials=n_complete + states.count(TrialState.PRUNED),
            n_complete=n_complete,
            best_trial=best.number,
            best_value=best.value,
        )
        if winner is None or winner.number != selection.trial:
            return selection
        return replace(
            selection,
            n_trainings=winner.n_trainings,
            mean=winner.estimate,
            seed_std=winner.seed_std,
            best_mean=winner.leader_estimate,
            kept_over=winner.kept_over,
        )

    def _reason(self, bundle: Bundle, number: int, winner: Winner | None, n_complete: int) -> str:
        """Return the `reason` of a `Selection`.

        Args:
            number: number of the winning trial.
        """
        if ENSEMBLE in bundle.training:
            return CONTENDERS if has_few_rows(self.dataset) else GREEDY
        if bundle.training["trial"] != number:
            return INSTEAD
        if winner is not None and winner.kept_over is not None:
            return KEPT
        if winner is not None:
            return SMALLER if winner.is_smaller else MEAN
        return ONLY if n_complete == 1 else VALUE

    def decide(self, study: optuna.Study, finals: Finals | None) -> Winner | None:
        """Return the winner among the finished repeats; None if the trial with the best value wins.

        The model that an earlier run exported remains the winner unless a later trial is clearly
        better, because most changes of the winner are due to chance. The comparison needs the
        checkpoints of both.
        """
        if finals is None:
            return None
        decided, exported = finals.decide(), study.user_attrs.get(EXPORTED)
        trials = own_trials(study.get_trials(deepcopy=False), study.user_attrs)
        best = best_trial(trials, self.metric)
        if exported is None or best is None:
            return decided
        trial, repeat, n_trials, waiting = exported
        number, own = (best.number, 0) if decided is None else (decided.number, decided.repeat)
        if number < n_trials and number not in waiting:
            return decided
        old, new = self._complete(study, trial, repeat), self._complete(study, number, own)
        if old is None or new is None or is_clearly_better(new, old, self.dataset, self.metric):
            return decided
        return finals.keep(trial, repeat, over=number) or decided

    def _complete(self, study: optuna.Study, number: int, repeat: int) -> Trained | None:
        """Return the checkpoint of a complete trial; None if there is no checkpoint."""
        kept = self.checkpoints.find(number, repeat)
        trial = study.get_trials(deepcopy=False)[number]
        if kept is None or trial.state != TrialState.COMPLETE:
            return None
        return kept if self._is_of(study, trial, kept) else None

    def exported(self, study: optuna.Study) -> list[Any] | None:
        """Return the record of the exported model for a later `decide`; see `EXPORTED`."""
        if not self._is_own(study):
            return None
        training = read_bundle(self.path).training
        if ENSEMBLE in training:
            return None
        trials = study.get_trials(deepcopy=False)
        waiting = [trial.number for trial in trials if trial.state == TrialState.WAITING]
        return [training["trial"], training["repeat"], len(trials), waiting]

    def _export(self, study: optuna.Study, device: str, n_members: int) -> Published:
        failures: list[str] = []
        if n_members > 1:
            # A trial with a checkpoint can be incomplete: it was interrupted before it was
            # recorded as complete, and is retried with another number.
            trials = {trial.number: trial for trial in _complete_trials(study)}
            kept = [
                trained
                for trained in self.checkpoints.all()
                if trained.number in trials and self._is_of(study, trials[trained.number], trained)
            ]
            self.on_stage("choosing the members of the ensemble")
            chosen = choose(kept, self.dataset, self.metric, n_members) if kept else ()
            if len(chosen) > 1:
                try:
                    return Published(self.publish(*chosen))
                except RuntimeError as error:
                    failures.append(_failed("The ensemble", error))
        notes, others = self.restore(study, device, alone=True)
        failures += others
        if failures and not self._is_own(study):
            raise RuntimeError(" ".join(failures))
        return Published(notes, tuple(failures))

    def restore(self, study: optuna.Study, device: str, *, alone: bool = False) -> Published:
        """Export the study's winner if the folder does not contain it already.

        The weights come from the checkpoints or, if these are missing, from retraining. If the
        winner cannot be exported, its first training is exported instead, and if that fails too,
        the trial with the best value.

        Args:
            study: the Optuna study.
            device: device for retraining, "cpu" or "cuda".
            alone: replace also an ensemble of this study, which is kept otherwise.
        """
        trials = own_trials(study.get_trials(deepcopy=False), study.user_attrs)
        trial, winner = winner_of(trials, study.user_attrs, self.metric)
        best = best_trial(trials, self.metric)
        if trial is None or best is None:
            return Published(None)
        first = 0 if winner is None else winner.repeat
        wanted = {(trial.number, first): trial, (trial.number, 0): trial, (best.number, 0): best}
        failures: list[str] = []
        for (number, repeat), trial in wanted.items():
            instead = (f"The model is that of trial {number}.",) if failures else ()
            if self._holds(study, trial, repeat, alone=alone):
                return Published(None, (*failures, *instead))
            try:
                epochs = winner.epochs if winner is not None and repeat else None
                trained = self._trained(study, trial, device, epochs=epochs, repeat=repeat)
                return Published(self.publish(trained), (*failures, *instead))
            except RuntimeError as error:
                again = ", retrained," if repeat else ""
                failures.append(_failed(f"Trial {number}{again}", error))
        return Published(None, tuple(failures))

    def _trained(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        device: str,
        *,
        epochs: Sequence[int] | None,
        repeat: int,
    ) -> Trained:
        """Return a trained model from its checkpoint, or retrain it as recorded.

        Raises:
            RuntimeError: when retraining diverges.
        """
        kept = self.checkpoints.find(trial.number, repeat)
        if kept is not None and self._is_of(study, trial, kept):
            return kept
        if epochs is None:
            epochs = fold_epochs_of(trial)
        trained = self._train_again(study, trial, device, epochs=epochs, repeat=repeat)
        if trained is None:
            raise RuntimeError("its weights are lost, and retraining diverged")
        return trained

    def _train_again(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        device: str,
        *,
        epochs: Sequence[int],
        repeat: int,
    ) -> Trained | None:
        config, seed = self._config(trial), self._seed(study, trial)
        self.on_stage(f"retraining trial {trial.number}, whose weights are lost")
        outcomes = train_again(
            Trainer(
                problem_of(self.dataset, self.metric),
                self.dataset.encoded_folds([view_of(config)]),
                device,
            ),
            config,
            seed,
            n_folds=len(self.dataset.folds),
            epochs=epochs,
            repeat=repeat,
        )
        if any(outcome.parameters is None for outcome in outcomes):
            return None
        value = value_of(outcomes)
        return Trained(trial.number, value, config, seed, outcomes, repeat)

    def _is_own(self, study: optuna.Study) -> bool:
        """Whether the folder contains a model of this study."""
        try:
            bundle = read_bundle(self.path)
        except BundleError:
            return False
        if bundle.data.get("fingerprint") != self.dataset.fingerprint:
            return False
        trials = study.get_trials(deepcopy=False)
        number = bundle.training.get("trial")
        if not isinstance(number, int) or not 0 <= number < len(trials):
            return False
        # The study's name is no evidence: the folder may have been renamed or copied.
        return self._is_training_of(study, trials[number], bundle)

    def _is_training_of(self, study: optuna.Study, trial: FrozenTrial, bundle: Bundle) -> bool:
        """Whether the first member was trained by this trial."""
        is_seed = bundle.training.get("seed") == self._seed(study, trial)
        try:
            return is_seed and bundle.members[0].config == self._config(trial)
        except SpaceError:
            return False

    def _holds(self, study: optuna.Study, trial: FrozenTrial, repeat: int, *, alone: bool) -> bool:
        """Whether the folder contains this model or, unless `alone`, an ensemble of the study."""
        try:
            bundle = read_bundle(self.path)
        except BundleError:
            return False
        training = bundle.training
        if ENSEMBLE in training:
            return self._is_own(study) and not alone
        # An equal number alone could belong to another study that used the folder.
        found = (training.get("trial"), training.get("repeat", 0))
        return found == (trial.number, repeat) and self._is_training_of(study, trial, bundle)

    def _is_of(self, study: optuna.Study, trial: FrozenTrial, trained: Trained) -> bool:
        """Whether a checkpoint is from this trial, not from another with the same number."""
        return (trained.config, trained.seed) == (self._config(trial), self._seed(study, trial))

    def _config(self, trial: FrozenTrial) -> TrialConfig:
        return config_of(trial, self.space)

    def _seed(self, study: optuna.Study, trial: FrozenTrial) -> int:
        return trial_seed(self.definition.seed, seed_number(study, trial))


def _has_searched(study: optuna.Study) -> bool:
    """Whether a complete trial came from a search, and not from `train`."""
    return any(trial.user_attrs.get(GIVEN) != "train" for trial in _complete_trials(study))


def _complete_trials(study: optuna.Study) -> list[FrozenTrial]:
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return own_trials(complete, study.user_attrs)


def _failed(what: str, error: RuntimeError) -> str:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"{what} could not be exported ({reason})."
