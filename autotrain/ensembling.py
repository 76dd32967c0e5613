"""Which of the trained models predict best together: greedy selection on out-of-fold predictions.

    greedy   start with the best; add the model whose addition makes the average score best; stop
             when none does, or when there are enough
    bagged   where there are few rows: greedy among a random half of the models, 20 times; those
             that were chosen most often are the members, as many as keep three quarters of the
             greatest gain

Every fold's validation rows are predicted by the models that did not train on them, and their
average is scored as a trial is: by the study's metric, the mean over folds. What is averaged is
what the predictor averages: probabilities, or numbers. Greedy alone fits a few hundred rows too
well: it takes what happens to cancel on them. Where there are many rows it is bagging that errs:
of few good models, half of the bags lack the best ones. The rows that choose the members have
chosen each of them before, so the score of an ensemble on them is, like a winner's, a little too
good.

Source: Caruana, Niculescu-Mizil, Crew & Ksikes 2004, "Ensemble selection from libraries of models",
ICML, sections 2 and 2.3. Differs from it: each model at most once and votes instead of sums, so
that all members weigh the same and there are no more than wanted.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
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
from autotrain.study.checkpoints import MOST as MOST_CANDIDATES
from autotrain.study.trained import Trained
from autotrain.tasks import Metric, metric_for

MOST_NUMBERS = 1 << 26
"""Predictions of all candidates held at a time: 256 MB. Beyond it, rows are thinned out evenly."""
BLOCK_NUMBERS = 1 << 20
"""Numbers scored at a time: 8 MB in float64."""
FEW_ROWS = 2_500
"""Up to so many validation rows the choice is bagged; on more, greedy alone did better."""
N_BAGS = 20
BAG_SEED = 0
KEPT_GAIN = 0.75
"""There are as many members as keep this share of what the best number of them gains over the best
model alone: which number is best on a few hundred rows is chance, and more are safer than fewer."""
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
    """Return the trained models that predict best together, in the order of their own values.

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


def ensemble_seconds(n_members: int, export_s: float) -> float:
    """Return how long it takes to choose and export so many members at most; 0 below 2.

    Half of an export is the calibration, whose samples several members share; the rest predicts the
    validation rows three times for each member, the choice once for each candidate. While models
    train, all takes longer than at the end (docs/benchmarks.md).

    Args:
        export_s: how long the export of one model took while others trained.
    """
    return 0.0 if n_members < 2 else (1 + n_members / 4 + MOST_CANDIDATES / 8) * export_s


def select(folds: Sequence[FoldPredictions], metric: Metric, n_members: int) -> tuple[int, ...]:
    """Return which of M candidates predict best together with equal weight.

    Args:
        folds: at least one, all of the same candidates, the best candidates first.
        n_members: at most so many.
    Returns: 1 to `n_members` places of candidates in their order; the same folds give the same.
        The best candidate alone need not be among several.
    """
    if sum(len(fold.y) for fold in folds) > FEW_ROWS:
        return tuple(sorted(greedy(folds, metric, n_members)))
    n_candidates = len(folds[0].predictions)
    generator = np.random.default_rng(BAG_SEED)
    votes = np.zeros(n_candidates, dtype=np.int64)
    for _ in range(N_BAGS):
        bag = generator.permutation(n_candidates)[: (n_candidates + 1) // 2]
        votes[list(greedy(folds, metric, n_members, among=bag))] += 1
    voted = np.argsort(-votes, kind="stable")[:n_members]
    ranked = [int(place) for place in voted if votes[place]]
    scores = _leading(folds, metric, ranked)
    alone = greedy(folds, metric, 1)
    best, before = scores.min(), _leading(folds, metric, alone)[0]
    if not best < before:
        return alone
    enough = np.flatnonzero(scores <= best + (1 - KEPT_GAIN) * (before - best))
    return tuple(sorted(ranked[: int(enough[-1]) + 1]))


def greedy(
    folds: Sequence[FoldPredictions],
    metric: Metric,
    n_members: int,
    among: Collection[int] | None = None,
) -> tuple[int, ...]:
    """Return which of M candidates predict best together: each is the best to add to those before.

    Args:
        folds, n_members: as for `select`.
        among: places of the candidates that may be chosen, at least one; None for all.
    Returns: 1 to `n_members` places, first the best one; of equals the first.
    """
    totals = [np.zeros(fold.predictions.shape[1:]) for fold in folds]
    left = np.arange(len(folds[0].predictions)) if among is None else np.sort([*among])
    chosen: list[int] = []
    best = math.inf
    while len(left) and len(chosen) < n_members:
        scores = _scores(folds, totals, left, len(chosen), metric)
        place = int(scores.argmin())
        if chosen and not scores[place] < best:
            break
        best = float(scores[place])
        chosen.append(int(left[place]))
        for fold, total in zip(folds, totals, strict=True):
            total += fold.predictions[chosen[-1]]
        left = np.delete(left, place)
    return tuple(chosen)


def _leading(folds: Sequence[FoldPredictions], metric: Metric, ranked: Sequence[int]) -> np.ndarray:
    """Return the scores `[R]` of the first one, the first two, … of R ranked candidates."""
    totals = [np.zeros(fold.predictions.shape[1:]) for fold in folds]
    scores = []
    for n, place in enumerate(ranked):
        scores.append(_scores(folds, totals, np.array([place]), n, metric)[0])
        for fold, total in zip(folds, totals, strict=True):
            total += fold.predictions[place]
    return np.array(scores)


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
        # Of rows that all count nothing, none is better than another.
        counting = weights if weights.any() else None
        folds.append(FoldPredictions(predictions, fold.y_valid[::step], counting, fold.target_std))
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


def _scores(
    folds: Sequence[FoldPredictions],
    totals: Sequence[np.ndarray],
    places: np.ndarray,
    n: int,
    metric: Metric,
) -> np.ndarray:
    """Return the scores `[P]` when each candidate of `places` is added to `n` of these sums.

    Lower is better; infinite where the metric is not defined.
    """
    of_folds = [
        _values(fold, total, places, n, metric) for fold, total in zip(folds, totals, strict=True)
    ]
    values = np.mean(of_folds, axis=0)
    scores: np.ndarray = np.where(np.isfinite(values), metric.sign * values, math.inf)
    return scores


def _values(
    fold: FoldPredictions, total: np.ndarray, places: np.ndarray, n: int, metric: Metric
) -> np.ndarray:
    """Return the metric `[P]` of one fold when each candidate of `places` is added to `n`."""
    y = torch.from_numpy(fold.y)
    weights = None if fold.weights is None else torch.from_numpy(fold.weights)
    size = max(BLOCK_NUMBERS // max(total.size, 1), 1)
    parts = []
    for start in range(0, len(places), size):
        block = fold.predictions[places[start : start + size]]
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
