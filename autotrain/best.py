"""`best/`: the best trained model of a study, written when found, made anew when gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial

from autotrain.arguments import fold_arrays, problem_of
from autotrain.bundle import read_bundle
from autotrain.data.dataset import Dataset
from autotrain.errors import BundleError
from autotrain.export import export_winner
from autotrain.fused.plan import view_of
from autotrain.fused.trainer import Trainer
from autotrain.space.search_space import SearchSpace
from autotrain.study.coordinator import trial_seed
from autotrain.study.definition import Definition
from autotrain.study.ledger import best_trial
from autotrain.study.retraining import train_again
from autotrain.study.sampling import seed_number
from autotrain.study.trained import Trained
from autotrain.tasks import Metric


@dataclass(frozen=True)
class Best:
    """The folder of a study's best model.

    Args:
        path: the folder; replaced at once, never half written.
        dataset, metric, definition, space: the study's.
    """

    path: Path
    dataset: Dataset
    metric: Metric
    definition: Definition
    space: SearchSpace

    def publish(self, trained: Trained) -> tuple[str, ...]:
        """Export a trial's model; return what the user should be told."""
        exported = export_winner(
            self.path,
            config=trained.config,
            outcomes=trained.outcomes,
            dataset=self.dataset,
            metric=self.metric.name,
            class_weights=self.definition.class_weights,
            training={
                "study": self.definition.name,
                "trial": trained.number,
                "seed": trained.seed,
                "best_epoch": trained.outcomes[0].best_epoch,
            },
        )
        return exported.notes

    def restore(self, study: optuna.Study, device: str) -> tuple[str, ...] | None:
        """Train the best trial again when the folder does not hold it: to the same weights.

        A folder that was removed or damaged would otherwise stay so until a better trial came.

        Returns: what the user should be told; None when there was nothing to do.
        """
        trials = study.get_trials(deepcopy=False)
        best = best_trial(trials, self.metric)
        if best is None or best.value is None or self._holds(best.value, trials):
            return None
        config = self.space.config_from(best.params)
        seed = trial_seed(self.definition.seed, seed_number(study, best))
        folds = fold_arrays(self.dataset, [view_of(config)])
        outcomes = train_again(
            Trainer(problem_of(self.dataset, self.metric), folds, device),
            config,
            seed,
            n_folds=len(self.dataset.folds),
            epochs=best.user_attrs.get("epochs", config.epochs),
        )
        if any(outcome.parameters is None for outcome in outcomes):
            return None
        return self.publish(Trained(best.number, best.value, config, seed, outcomes))

    def _holds(self, value: float, trials: Sequence[FrozenTrial]) -> bool:
        """Whether the model in the folder is of a trial with this value."""
        try:
            number = read_bundle(self.path).training.get("trial")
        except BundleError:
            return False
        return any(trial.number == number and trial.value == value for trial in trials)
