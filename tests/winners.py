"""Trained winners for the tests of bundle, predictor and export: small, quick, the real thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autotrain.data.dataset import Dataset, load_dataset
from autotrain.export import Exported, export_winner
from autotrain.fused.rows import FoldArrays, Problem
from autotrain.fused.slot import Admission, Outcome
from autotrain.fused.trainer import Trainer
from autotrain.space.config import TrialConfig
from autotrain.tasks import metric_for

SMALL = {
    "network.hidden_layers": 2,
    "network.hidden_units": 12,
    "activation": "elu",
    "dropout": "dropout",
    "dropout.rate": 0.2,
    "optimizer": "adam",
    "optimizer.learning_rate": 0.01,
    "training.batch_size": 32,
    "training.epochs": 8,
}


@dataclass(frozen=True)
class Winner:
    """A trained model and the data set it was trained on."""

    dataset: Dataset
    config: TrialConfig
    outcomes: tuple[Outcome, ...]
    metric: str

    def export(self, folder: Path, **changes: Any) -> Exported:
        arguments = {
            "config": self.config,
            "outcomes": self.outcomes,
            "dataset": self.dataset,
            "metric": self.metric,
            "training": {"study": "test", "trial": 3},
        }
        return export_winner(folder, **(arguments | changes))


def train(
    source: Any,
    params: Mapping[str, Any] | None = None,
    *,
    target: str | None = None,
    metric: str | None = None,
    **options: Any,
) -> Winner:
    """Train one small configuration on every fold of a data set."""
    dataset = load_dataset(source, target, **options)
    config = TrialConfig.from_params({**SMALL, **(params or {})})
    chosen = metric_for(dataset.task, metric)
    folds = [
        FoldArrays(f.x_train, f.y_train, f.x_valid, f.y_valid, f.target_mean, f.target_std)
        for f in dataset.folds
    ]
    trainer = Trainer(Problem(dataset.task, len(dataset.classes) or 1, chosen), folds)
    for fold in range(len(folds)):
        trainer.admit(Admission(fold, config, seed=5, fold=fold))
    outcomes = [message for message in trainer.run() if isinstance(message, Outcome)]
    outcomes.sort(key=lambda outcome: outcome.slot)
    return Winner(dataset, config, tuple(outcomes), chosen.name)
