"""Make the members of a bundle from a trial: one per fold, with the fold's preprocessing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autotrain.bundle import Member
from autotrain.data.dataset import Dataset
from autotrain.data.encoded import EncodedFold
from autotrain.network.config import view_of
from autotrain.space.config import TrialConfig
from autotrain.training.slot import Outcome


def members_of(
    config: TrialConfig, outcomes: Sequence[Outcome], dataset: Dataset
) -> tuple[Member, ...]:
    """Return the trained networks of a trial with their preprocessing and target scale.

    Args:
        config: the trial's configuration.
        outcomes: one per fold of the dataset, in the folds' order, each with weights.
        dataset: the study's dataset.
    Raises:
        ValueError: when the outcomes do not fit the dataset or the configuration.
    """
    if len(outcomes) != len(dataset.folds):
        raise ValueError(
            f"outcomes must be one per fold ({len(dataset.folds)}), got {len(outcomes)}."
        )
    members = []
    for place, (outcome, fold) in enumerate(zip(outcomes, dataset.folds, strict=True)):
        if outcome.parameters is None or outcome.statistics is None:
            raise ValueError(f"fold {place} has no weights ({outcome.cause}).")
        low, high = fold.target_range
        member = Member(
            config=config,
            n_outputs=dataset.n_outputs,
            preprocessor=dataset.preprocessor(place, view_of(config)),
            parameters=np.asarray(outcome.parameters, dtype=np.float32),
            statistics=np.asarray(outcome.statistics, dtype=np.float32),
            target_mean=fold.target_mean,
            target_std=fold.target_std,
            target_low=low,
            target_high=high,
            fold=place,
            best_epoch=outcome.best_epoch,
            value=outcome.best_value,
            diagnosis=outcome.diagnosis,
        )
        if len(member.parameters) != member.layout.n_parameters:
            raise ValueError(
                f"fold {place}: {len(member.parameters)} parameters do not fit the configuration, "
                f"which has {member.layout.n_parameters}"
            )
        members.append(member)
    return tuple(members)


def class_weights_of(dataset: Dataset) -> list[float] | None:
    """Return the class weights `[C]` of the training loss; None when all are equal."""
    weights = dataset.folds[0].weights
    if weights is None or weights.of_classes is None:
        return None
    return [float(weight) for weight in weights.of_classes]


def metric_weights(fold: EncodedFold) -> np.ndarray:
    """Return the weights `[N]` of a fold's validation rows in the metric."""
    weights = None if fold.weights is None else fold.weights.metric
    return np.ones(len(fold.y_valid)) if weights is None else weights
