"""Which of the trained models predict best together: greedy selection on out-of-fold predictions.

    start with the best; add the model whose addition makes the average score best; stop when
    none does, or when there are enough

Every fold's validation rows are predicted by the models that did not train on them, and their
average is scored as a trial is: by the study's metric, the mean over folds. What is averaged is
what the predictor averages: probabilities, or numbers. The rows that choose the members have
chosen each of them before, so the score of an ensemble on them is, like a winner's, a little too
good.

Source: Caruana, Niculescu-Mizil, Crew & Ksikes 2004, "Ensemble selection from libraries of models",
ICML, section 2. Differs from it: each model at most once, so that all weigh the same; and no
bagging of the candidates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autotrain.bundle import Bundle, Member
from autotrain.data.dataset import Dataset, Fold
from autotrain.fused.metrics import function_of
from autotrain.fused.plan import view_of
from autotrain.members import members_of, metric_weights
from autotrain.predictor import Predictor
from autotrain.study.trained import Trained
from autotrain.tasks import Metric, metric_for

MOST_NUMBERS = 1 << 26
"""Predictions of all candidates held at a time: 256 MB. Beyond it, rows are thinned out evenly."""
BLOCK_NUMBERS = 1 << 20
"""Numbers scored at a time: 8 MB in float64."""
LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class FoldPredictions:
    """What M candidates say of one fold's validation rows.

    Args:
        predictions: float32 `[M, N, C]` probabilities; or `[M, N]`, of a standardized target.
        y: `[N]` class numbers, or the standardized target.
        weights: `[N]`, what each row counts in the metric; None when all count alike.
        target_std: one unit of a standardized target.
    """

    predictions: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None = None
    target_std: float = 1.0


def choose(
    candidates: Sequence[Trained], dataset: Dataset, metric: Metric, n_members: int
) -> tuple[Trained, ...]:
    """Return the trained models that predict best together, in the order in which they joined.

    Args:
        candidates: at least one, each with the weights of all folds; repeats of a trial count as
            models of their own.
        metric: the study's.
        n_members: at most so many; 1 gives the candidate with the best value.
    Raises: ValueError when there is no candidate, or one lacks weights.
    """
    # Of equals the earlier trial, as everywhere.
    ordered = sorted(candidates, key=lambda c: (metric.sign * c.value, c.number, c.repeat))
    if not ordered or n_members < 1:
        raise ValueError(f"expected candidates and members: {len(ordered)}, {n_members}")
    if n_members == 1:
        return (ordered[0],)
    places = select(out_of_fold(ordered, dataset), metric, n_members)
    return tuple(ordered[place] for place in places)


def select(folds: Sequence[FoldPredictions], metric: Metric, n_members: int) -> tuple[int, ...]:
    """Return which of M candidates predict best together with equal weight, first the best one.

    Args:
        folds: at least one, all of the same candidates.
        n_members: at most so many.
    Returns: 1 to `n_members` places of candidates; of equals the first.
    """
    totals = [np.zeros(fold.predictions.shape[1:]) for fold in folds]
    chosen: list[int] = []
    best = math.inf
    while len(chosen) < min(n_members, len(folds[0].predictions)):
        values = np.mean(
            [
                _values(fold, total, len(chosen), metric)
                for fold, total in zip(folds, totals, strict=True)
            ],
            axis=0,
        )
        scores = np.where(np.isfinite(values), metric.sign * values, math.inf)
        scores[chosen] = math.inf
        place = int(scores.argmin())
        if chosen and not scores[place] < best:
            break
        best = float(scores[place])
        chosen.append(place)
        for fold, total in zip(folds, totals, strict=True):
            total += fold.predictions[place]
    return tuple(chosen)


def out_of_fold(candidates: Sequence[Trained], dataset: Dataset) -> list[FoldPredictions]:
    """Return what each candidate says of every fold's validation rows, dropout off.

    Raises: ValueError when a candidate lacks weights.
    """
    of_all = [members_of(c.config, c.outcomes, dataset) for c in candidates]
    n_rows = sum(len(fold.y_valid) for fold in dataset.folds)
    size = len(candidates) * n_rows * max(len(dataset.classes), 1)
    step = -(-size // MOST_NUMBERS)
    folds = []
    for place, fold in enumerate(dataset.folds):
        predictions: np.ndarray | None = None
        for number, members in enumerate(of_all):
            own = _predictions(members[place], fold, dataset, step)
            if predictions is None:
                predictions = np.empty((len(of_all), *own.shape), dtype=np.float32)
            predictions[number] = own
        assert predictions is not None
        weights = metric_weights(fold)[::step]
        folds.append(
            FoldPredictions(
                predictions,
                fold.y_valid[::step],
                # Of rows that all count nothing, none is better than another.
                weights if weights.any() else None,
                fold.target_std,
            )
        )
    return folds


def _predictions(member: Member, fold: Fold, dataset: Dataset, step: int) -> np.ndarray:
    """Return probabilities `[N, C]`, or numbers `[N]` of the standardized target."""
    x = dataset.encoded(member.fold, view_of(member.config)).x_valid[::step]
    bundle = Bundle(
        task=dataset.task,
        target=dataset.target,
        classes=dataset.classes,
        label_dtype=dataset.label_dtype,
        members=(member,),
        metric=metric_for(dataset.task).name,
    )
    drawn = Predictor(bundle).draw([np.ascontiguousarray(x)], 0, 0)[0]
    if bundle.is_classification:
        return np.exp(drawn)
    # A large mean would cost float32 its digits; averages are the same in either scale.
    return (drawn - fold.target_mean) / fold.target_std


def _values(fold: FoldPredictions, total: np.ndarray, n: int, metric: Metric) -> np.ndarray:
    """Return the metric `[M]` when each candidate is added to `n` whose sum is `total`."""
    y = torch.from_numpy(fold.y)
    weights = None if fold.weights is None else torch.from_numpy(fold.weights)
    size = max(BLOCK_NUMBERS // max(total.size, 1), 1)
    parts = []
    for start in range(0, len(fold.predictions), size):
        block = fold.predictions[start : start + size]
        average = torch.from_numpy((total + block) / (n + 1))
        of_rows = (len(block), -1)
        parts.append(
            function_of(metric)(
                average if average.ndim == 2 else _log(average),
                y.expand(of_rows),
                None if weights is None else weights.expand(of_rows),
            )
        )
    values: np.ndarray = torch.cat(parts).double().numpy()
    # As in training: standardized numbers keep their digits.
    return values * fold.target_std if metric.in_target_units else values


def _log(p: Tensor) -> Tensor:
    # A class that float32 rounds to 0 must not make a row infinitely bad.
    return p.clamp(min=LEAST_PROBABILITY).log()
