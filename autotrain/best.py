"""`best/`: the best trained model of a study, written when found, made anew when gone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial

from autotrain.arguments import fold_arrays, problem_of
from autotrain.bundle import ENSEMBLE, read_bundle
from autotrain.data.dataset import Dataset
from autotrain.ensembling import choose
from autotrain.errors import BundleError
from autotrain.export import export_ensemble
from autotrain.fused.plan import view_of
from autotrain.fused.trainer import Trainer
from autotrain.space.config import TrialConfig
from autotrain.space.search_space import SearchSpace
from autotrain.study.checkpoints import Checkpoints
from autotrain.study.definition import Definition
from autotrain.study.finals import winner_of
from autotrain.study.retraining import train_again
from autotrain.study.running import trial_seed, value_of
from autotrain.study.sampling import seed_number
from autotrain.study.trained import Trained
from autotrain.tasks import Metric


@dataclass(frozen=True)
class Best:
    """The folder of a study's best model.

    Args:
        path: the folder; replaced at once, never half written.
        dataset, metric, definition, space, checkpoints: the study's.
    """

    path: Path
    dataset: Dataset
    metric: Metric
    definition: Definition
    space: SearchSpace
    checkpoints: Checkpoints

    def publish(self, trained: Trained, *others: Trained) -> tuple[str, ...]:
        """Export a trial's model, alone or with others; return what the user should be told."""
        exported = export_ensemble(
            self.path,
            (trained, *others),
            dataset=self.dataset,
            metric=self.metric.name,
            class_weights=self.definition.class_weights,
            training={
                "study": self.definition.name,
                "trial": trained.number,
                "repeat": trained.repeat,
                "seed": trained.seed,
                "best_epoch": trained.outcomes[0].best_epoch,
            },
        )
        return exported.notes

    def hand_over(self, study: optuna.Study, device: str, n_members: int) -> tuple[str, ...] | None:
        """Put the study's winner into the folder, or those trainings that predict best together.

        Args:
            n_members: at most so many trainings; below 2 the winner alone.
        Returns: what the user should be told; None when there was nothing to do.
        """
        if n_members > 1:
            trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
            kept = [
                trained
                for trained in self.checkpoints.all()
                if trained.number in trials and self._is_of(study, trials[trained.number], trained)
            ]
            chosen = choose(kept, self.dataset, self.metric, n_members) if kept else ()
            if len(chosen) > 1:
                return self.publish(*chosen)
        return self.restore(study, device, alone=True)

    def restore(
        self, study: optuna.Study, device: str, *, alone: bool = False
    ) -> tuple[str, ...] | None:
        """Put the study's winner into the folder, if another model is there.

        Its weights come from the checkpoints, or else are trained again; so too when the folder
        was removed or damaged.

        Args:
            alone: an ensemble is another model; otherwise one of this study stays.
        Returns: what the user should be told; None when there was nothing to do.
        """
        trials = study.get_trials(deepcopy=False)
        trial, winner = winner_of(trials, study.user_attrs, self.metric)
        repeat = 0 if winner is None else winner.repeat
        if trial is None or self._holds(study, trial, repeat, alone=alone):
            return None
        trained = self.checkpoints.find(trial.number, repeat)
        if trained is None or not self._is_of(study, trial, trained):
            epochs = None if winner is None else winner.epochs
            if epochs is None:
                epochs = trial.user_attrs["epochs"]
            trained = self._train_again(study, trial, device, epochs=epochs, repeat=repeat)
        return None if trained is None else self.publish(trained)

    def _train_again(
        self, study: optuna.Study, trial: FrozenTrial, device: str, *, epochs: int, repeat: int
    ) -> Trained | None:
        config, seed = self._config(trial), self._seed(study, trial)
        outcomes = train_again(
            Trainer(
                problem_of(self.dataset, self.metric),
                fold_arrays(self.dataset, [view_of(config)]),
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

    def _holds(self, study: optuna.Study, trial: FrozenTrial, repeat: int, *, alone: bool) -> bool:
        """Whether the model in the folder is this one, or an ensemble of this study."""
        try:
            bundle = read_bundle(self.path)
        except BundleError:
            return False
        training = bundle.training
        if ENSEMBLE in training:
            is_own = bundle.data.get("fingerprint") == self.dataset.fingerprint
            return is_own and training.get("study") == self.definition.name and not alone
        # A number alone might be that of another study that was in the folder.
        found = (training.get("trial"), training.get("repeat", 0), training.get("seed"))
        is_it = found == (trial.number, repeat, self._seed(study, trial))
        return is_it and bundle.members[0].config == self._config(trial)

    def _is_of(self, study: optuna.Study, trial: FrozenTrial, trained: Trained) -> bool:
        """Whether a checkpoint is of this trial, and not of another that had its number."""
        return (trained.config, trained.seed) == (self._config(trial), self._seed(study, trial))

    def _config(self, trial: FrozenTrial) -> TrialConfig:
        return self.space.config_from(trial.params)

    def _seed(self, study: optuna.Study, trial: FrozenTrial) -> int:
        return trial_seed(self.definition.seed, seed_number(study, trial))
