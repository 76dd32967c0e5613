"""Which of the trained models predict best together, by their out-of-fold predictions.

    contenders   where there are few rows: the best models among those that are not clearly worse
                 than the very best, by at most two standard errors of the difference
    greedy       where there are many: start with the best; add the model whose addition makes the
                 average score best; stop when none does, or when there are enough. Of what an
                 average gains on one network of each model only half counts where the models are
                 averages over folds already

Every fold's validation rows are predicted by the models that did not train on them, and their
average is scored as a trial is: by the study's metric, the mean over folds. What is averaged is
what the predictor averages: probabilities, or numbers. Greedy fits a few hundred rows too well: it
takes what happens to cancel on them. The rows that choose the members have chosen each of them
before, so the score of an ensemble on them is, like a winner's, a little too good.

Source: Caruana, Niculescu-Mizil, Crew & Ksikes 2004, "Ensemble selection from libraries of models",
ICML, section 2. Differs from it: each model at most once, so that all members weigh the same.
Contenders: measured, docs/lab-notebook.md.
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
from autotrain.export.members import class_weights_of, members_of, metric_weights
from autotrain.metrics import Metric, metric_for
from autotrain.network.config import view_of
from autotrain.network.metric_formulas import influence, metric_function
from autotrain.predictor import Predictor
from autotrain.search.settings import AUTO
from autotrain.search.trained import Trained

MOST_NUMBERS = 1 << 26
"""Predictions of all candidates held at a time: 256 MB. Beyond it, rows are thinned out evenly."""
BLOCK_NUMBERS = 1 << 20
"""Numbers scored at a time: 8 MB in float64."""
MARGIN = 1.5
"""Time kept for an ensemble, by what it should take: other processes share the machine."""
FEW_ROWS = 2_500
"""Up to so many validation rows contenders are chosen; on more, greedy did as well."""
CONTENDING = 2.0
"""A model contends when it is worse than the best by at most so many standard errors."""
CLEARLY = 1.0
"""A winner of an earlier run stays unless another model is better by more standard errors."""
AUTO_MEMBERS = 4
"""Members of an ensemble at most where the user leaves it to the number of rows. Eight were no
better (docs/benchmarks.md) and take twice as long to predict."""
LASTING = 0.5
"""Share of an average's gain that is left when what is averaged is the mean of several folds.

Part of what sets two networks apart is chance, and the folds average that away already. Measured by
how far apart two models are on new rows, as means of folds, against on validation rows, alone: 0.34
to 0.82 on tables of more than 2,500 rows (docs/lab-notebook.md).
"""
LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class FoldPredictions:
    """What M candidates say of one fold's validation rows.

    Args:
        predictions: float32 `[M, N, C]` probabilities; or `[M, N]`, of a standardized target.
        y: `[N]` class numbers, or the standardized target.
        weights: `[N]`, what each row counts in the metric; None when all count alike.
        target_std: one unit of a standardized target.
        class_weights: `[C]`, of the classes in the training loss; None when all are the same.
    """

    predictions: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None = None
    target_std: float = 1.0
    class_weights: Sequence[float] | None = None


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


def ensemble_seconds(n_members: int, n_candidates: int, export_s: float) -> float:
    """Return the longest time to choose and export an ensemble; 0 without an ensemble.

    Half of an export is the calibration, whose samples several members share. The rest predicts the
    validation rows a few times for each member; the choice does so once for each candidate.
    Measured in processor time: an export of eight members takes 4.5 to 5.3 times as long as that of
    one, a choice among 24 candidates 0.9 to 1.1 times (docs/benchmarks.md).

    Args:
        n_members: at most as many trainings are exported together.
        n_candidates: trainings that are kept.
        export_s: processor time that the export of one model took.
    """
    n_members = min(n_members, n_candidates)
    if n_members < 2:
        return 0.0
    return MARGIN * (1 + n_members / 2 + n_candidates / 24) * export_s


def select(folds: Sequence[FoldPredictions], metric: Metric, n_members: int) -> tuple[int, ...]:
    """Return which of M candidates predict best together with equal weight.

    Args:
        folds: at least one, all of the same candidates, the best candidates first.
        n_members: at most so many.
    Returns: 1 to `n_members` places of candidates in their order; the same folds give the same.
        The best candidate alone need not be among several.
    """
    rule = contenders if sum(len(fold.y) for fold in folds) <= FEW_ROWS else greedy
    return tuple(sorted(rule(folds, metric, n_members)))


def has_few_rows(dataset: Dataset) -> bool:
    """Tell whether `contenders` choose the members, and not `greedy`."""
    return dataset.n_validated <= FEW_ROWS


def most_members(ensemble: int | str, dataset: Dataset) -> int:
    """Return how many trainings are exported together at most; below 2 one alone.

    Args:
        ensemble: the study's setting. With "auto" it depends on the validation rows: where they are
            few, choosing one training among contenders is mostly luck, and their average is better.
    """
    if ensemble == AUTO:
        return AUTO_MEMBERS if has_few_rows(dataset) else 0
    return int(ensemble)


def contenders(folds: Sequence[FoldPredictions], metric: Metric, n_members: int) -> tuple[int, ...]:
    """Return which of M candidates are not clearly worse than the best of them.

    The standard error is that of the difference to the best on the same rows, so that rows hard for
    both do not count.

    Args:
        folds, n_members: as for `select`.
    Returns: 1 to `n_members` places, from the best on; of equals the first.
    """
    scores = _alone(folds, metric)
    ranked = np.argsort(scores, kind="stable")
    defined = ranked[np.isfinite(scores[ranked])]
    if not len(defined):
        return (int(ranked[0]),)
    best = int(defined[0])
    behind = scores[defined] - scores[best]
    errors = _paired_errors(folds, metric, best)[defined]
    return tuple(int(place) for place in defined[behind <= CONTENDING * errors][:n_members])


def is_clearly_better(new: Trained, old: Trained, dataset: Dataset, metric: Metric) -> bool:
    """Tell whether a model is better than another by more than `CLEARLY` standard errors.

    The standard error is that of the difference of their scores on the same validation rows.

    Args:
        new, old: each with the weights of all folds.
    """
    folds = out_of_fold([new, old], dataset)
    scores, errors = _alone(folds, metric), _paired_errors(folds, metric, 0)
    return bool(scores[1] - scores[0] > CLEARLY * errors[1])


def _alone(folds: Sequence[FoldPredictions], metric: Metric) -> np.ndarray:
    """Return each candidate's own score `[M]`, lower is better."""
    nothing = [np.zeros(fold.predictions.shape[1:]) for fold in folds]
    return _scores(folds, nothing, np.arange(len(folds[0].predictions)), 0, metric)


def _paired_errors(folds: Sequence[FoldPredictions], metric: Metric, place: int) -> np.ndarray:
    """Return the standard errors `[M]` of the differences to the candidate at `place`."""
    of_rows = np.concatenate([influences(fold, metric) for fold in folds], axis=1) / len(folds)
    errors: np.ndarray = np.linalg.norm(of_rows - of_rows[place], axis=1)
    return errors


def influences(fold: FoldPredictions, metric: Metric) -> np.ndarray:
    """Return how fast each candidate's metric changes as a row counts more, `[M, N]`.

    See `metrics.influence`.
    """
    y = torch.from_numpy(fold.y)
    weights = None if fold.weights is None else torch.from_numpy(fold.weights)
    found = np.stack(
        [
            influence(metric, _outputs(own[None])[0], y, weights, fold.class_weights).numpy()
            for own in fold.predictions
        ]
    )
    return found * fold.target_std if metric.in_target_units else found


def greedy(folds: Sequence[FoldPredictions], metric: Metric, n_members: int) -> tuple[int, ...]:
    """Return which of M candidates predict best together: each is the best to add to those before.

    What counts is the mean of the members' own scores and, where there are several folds, `LASTING`
    of what their average is better.

    Args:
        folds, n_members: as for `select`.
    Returns: 1 to `n_members` places, first the best one; of equals the first.
    """
    totals = [np.zeros(fold.predictions.shape[1:]) for fold in folds]
    left = np.arange(len(folds[0].predictions))
    alone = _alone(folds, metric)
    chosen: list[int] = []
    best = math.inf
    while len(left) and len(chosen) < n_members:
        scores = _scores(folds, totals, left, len(chosen), metric)
        if len(folds) > 1:
            apart = (alone[chosen].sum() + alone[left]) / (len(chosen) + 1)
            scores = LASTING * scores + (1 - LASTING) * apart
        place = int(scores.argmin())
        if chosen and not scores[place] < best:
            break
        best = float(scores[place])
        chosen.append(int(left[place]))
        for fold, total in zip(folds, totals, strict=True):
            total += fold.predictions[chosen[-1]]
        left = np.delete(left, place)
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
        folds.append(_of_fold(predictions, fold, dataset, step))
    return folds


def _of_fold(
    predictions: np.ndarray, fold: Fold, dataset: Dataset, step: int = 1
) -> FoldPredictions:
    """Return predictions of every `step`-th validation row with what they are scored by."""
    weights = metric_weights(fold)[::step]
    return FoldPredictions(
        predictions,
        fold.y_valid[::step],
        # Of rows that all count nothing, none is better than another.
        weights if weights.any() else None,
        fold.target_std,
        class_weights_of(dataset),
    )


def row_error(members: Sequence[Member], dataset: Dataset, metric: Metric) -> float | None:
    """Return the standard error over rows of the members' validation score.

    A fold's rows are predicted by the average of the members that did not train on them, dropout
    off. The score is the mean over folds; rows are independent.

    Args:
        members: of a bundle; each fold of the dataset has at least one.
    Returns: in the metric's units; None where it is not defined on these rows.
    """
    squares = 0.0
    for place, fold in enumerate(dataset.folds):
        own = [_predictions(m, fold, dataset, 1) for m in members if m.fold == place]
        average = np.stack(own).mean(axis=0, keepdims=True)
        found = influences(_of_fold(average, fold, dataset), metric)
        squares += float(np.square(found).sum())
    error = math.sqrt(squares) / len(dataset.folds) if math.isfinite(squares) else math.nan
    return error if math.isfinite(error) else None


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
        of_rows = (len(block), -1)
        parts.append(
            metric_function(metric, fold.class_weights)(
                _outputs((total + block) / (n + 1)),
                y.expand(of_rows),
                None if weights is None else weights.expand(of_rows),
            )
        )
    values: np.ndarray = torch.cat(parts).double().numpy()
    # As in training: standardized numbers keep their digits.
    return values * fold.target_std if metric.in_target_units else values


def _outputs(predictions: np.ndarray) -> Tensor:
    """Return what metrics are computed from: log probabilities `[P, N, C]`, or numbers `[P, N]`."""
    outputs = torch.from_numpy(predictions).double()
    # A class that float32 rounds to 0 must not make a row infinitely bad.
    return outputs if outputs.ndim == 2 else outputs.clamp(min=LEAST_PROBABILITY).log()
