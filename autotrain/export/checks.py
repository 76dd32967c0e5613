"""Check a written bundle against the training records of its members.

The bundle, as read back from the disk, predicts the raw validation rows of every fold. Its outputs
must equal those of the trained weights, and its score the one that training recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from autotrain.bundle import Bundle, Member
from autotrain.data.dataset import Dataset
from autotrain.data.encoded import EncodedFold
from autotrain.export.members import metric_weights
from autotrain.metrics import row_of
from autotrain.network.config import view_of
from autotrain.predictor import Predictor
from autotrain.predictor.joint import Joint

OUTPUT_TOLERANCE = 1e-5
"""Largest difference between the float32 outputs in training and in prediction: of probabilities,
or of numbers in standard deviations of the target."""


def checked_scores(
    written: Bundle, members: Sequence[Member], dataset: Dataset
) -> dict[str, float | None]:
    """Return the scores of the written bundle on the raw validation rows, averaged over folds.

    The rows of a fold are predicted by the members that did not train on them: by each alone, to
    compare it with its training record, and by all of them together.

    Raises:
        RuntimeError: when a member's outputs or score differ from those in training.
    """
    of_folds: list[dict[str, float | None]] = []
    for place, fold in enumerate(dataset.folds):
        rows = dataset.raw.iloc[dataset.splits[place].valid]
        features, labels = dataset.apart(rows)
        weights = None if dataset.weights is None else rows[dataset.weights]
        read_back = _of_fold(written.members, place)
        scores: dict[str, float | None] = {}
        for member, own in zip(_of_fold(members, place), read_back, strict=True):
            predictor = Predictor(replace(written, members=(own,)))
            trained = Joint(replace(written, members=(member,)))
            x_valid = dataset.encoded(place, view_of(member.config)).x_valid
            _check_outputs(predictor, trained, features, fold, x_valid)
            scores = _evaluate(predictor, features, labels, weights)
            _check_score(written.metric, scores, member, fold)
        if len(read_back) > 1:
            together = Predictor(replace(written, members=read_back))
            scores = _evaluate(together, features, labels, weights)
        of_folds.append(scores)
    return {name: _mean([scores[name] for scores in of_folds]) for name in of_folds[0]}


def _of_fold(members: Sequence[Member], fold: int) -> tuple[Member, ...]:
    return tuple(member for member in members if member.fold == fold)


def _evaluate(
    predictor: Predictor, features: Any, labels: Any, weights: Any
) -> dict[str, float | None]:
    evaluation = predictor.evaluate(features, labels, n_samples=0, weights=weights)
    scores: dict[str, float | None] = evaluation["deterministic"]
    return scores


def _check_outputs(
    read_back: Predictor, trained: Joint, features: Any, fold: EncodedFold, x_valid: np.ndarray
) -> None:
    """Compare the bundle's predictions for raw rows with those of the trained weights."""
    expected = trained.draw([torch.from_numpy(x_valid)], 0, 0)[0]
    if read_back.bundle.is_classification:
        difference = np.abs(read_back.predict_proba(features, calibrated=False) - np.exp(expected))
    else:
        difference = np.abs(read_back.predict(features) - expected) / fold.target_std
        difference = difference / (1 + np.abs(expected - fold.target_mean) / fold.target_std)
    if not float(difference.max()) <= OUTPUT_TOLERANCE:
        raise RuntimeError(
            f"predictions of the written bundle differ from the trained model by {difference.max()}"
        )


def _check_score(
    metric: str, scores: Mapping[str, float | None], member: Member, fold: EncodedFold
) -> None:
    score, recorded = scores[metric], member.value
    if recorded is None or score is None:
        raise RuntimeError(
            f"{metric} is {score} on the validation rows, but recorded as {recorded}"
        )
    if not abs(score - recorded) <= _tolerance(metric, recorded, fold):
        raise RuntimeError(
            f"the written bundle scores {metric} {score} on the validation rows of fold "
            f"{member.fold}, but training recorded {recorded} at epoch {member.best_epoch}"
        )


def _tolerance(metric: str, recorded: float, fold: EncodedFold) -> float:
    """Return the largest accepted difference between a score and the recorded one.

    Training computes in float32. The tolerance of smooth metrics is 1e-4 of the value, plus the
    precision lost by a large target mean. The tolerance of metrics that count rows is two rows,
    whose classes may be tied up to rounding.
    """
    row, weights = row_of(metric), metric_weights(fold)
    if row == "accuracy":
        return 2 * _largest_share(weights)
    if row in ("balanced_accuracy", "f1", "roc_auc", "average_precision"):
        classes = [weights[fold.y_valid == label] for label in np.unique(fold.y_valid)]
        return 1e-3 + 2 * max(_largest_share(own) for own in classes if own.any())
    if row in ("rmse", "mae", "pinball"):
        return 1e-4 * abs(recorded) + 1e-6 * (abs(fold.target_mean) + fold.target_std)
    return 1e-4 * max(1.0, abs(recorded))


def _largest_share(weights: np.ndarray) -> float:
    """Return the largest weight of a row, as a fraction of the sum."""
    return float(weights.max() / weights.sum())


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
