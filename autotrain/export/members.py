"""What a trial left, as members of a bundle: one per fold, each with its own preprocessing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autotrain.bundle import Member
from autotrain.data.dataset import Dataset, Fold
from autotrain.network.config import view_of
from autotrain.space.config import TrialConfig
from autotrain.training.slot import Outcome


def members_of(
    config: TrialConfig, outcomes: Sequence[Outcome], dataset: Dataset
) -> tuple[Member, ...]:
    """Return the trained networks of a trial with what stands before and after them.

    Args:
        outcomes: one per fold of the dataset, in the folds' order, each with weights.
    Raises: ValueError when they do not fit the dataset or the configuration.
    """
    if len(outcomes) != len(dataset.folds):
        raise ValueError(f"{len(dataset.folds)} folds need as many outcomes: {len(outcomes)}")
    members = []
    for place, (outcome, fold) in enumerate(zip(outcomes, dataset.folds, strict=True)):
        if outcome.parameters is None or outcome.statistics is None:
            raise ValueError(f"fold {place} ended without weights ({outcome.cause})")
        member = Member(
            config=config,
            n_outputs=len(dataset.classes) or 1,
            preprocessor=dataset.encoded(place, view_of(config)).preprocessor,
            parameters=np.asarray(outcome.parameters, dtype=np.float32),
            statistics=np.asarray(outcome.statistics, dtype=np.float32),
            target_mean=fold.target_mean,
            target_std=fold.target_std,
            target_low=float(fold.y_train.min()),
            target_high=float(fold.y_train.max()),
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
    """Return the class weights `[C]` of the training loss; None when all are the same."""
    weights = dataset.folds[0].weights
    if weights is None or weights.of_classes is None:
        return None
    return [float(weight) for weight in weights.of_classes]


def metric_weights(fold: Fold) -> np.ndarray:
    """Return what a fold's validation rows count in the metric, `[N]`."""
    weights = None if fold.weights is None else fold.weights.metric
    return np.ones(len(fold.y_valid)) if weights is None else weights
