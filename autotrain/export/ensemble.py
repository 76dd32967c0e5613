"""Choose the members of an ensemble by their out-of-fold predictions.

    contenders   for few rows: the best models among those that are at most two standard errors
                 of the difference worse than the best
    greedy       for many rows: start with the best model and add the model that improves the score
                 of the average most, until no model does or there are enough. If the models are
                 averages over folds, only half of the gain counts, which is measured with one
                 network of each model

The validation rows of every fold are predicted by the models that did not train on them. The
average of these predictions (probabilities or numbers) is scored like a trial: with the study's
metric, averaged over folds. Greedy overfits a few hundred rows: it prefers models whose errors
cancel on these rows by chance. The same rows have also chosen each member, so the score of an
ensemble on them is slightly optimistic, as is a winner's score.

Source: Caruana, Niculescu-Mizil, Crew & Ksikes 2004, "Ensemble selection from libraries of models",
ICML, section 2. Difference: each model is used at most once, so all members have the same
weight. Contenders: our own, measured in docs/lab-notebook.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autotrain.bundle import Bundle, Member
from autotrain.data.dataset import Dataset
from autotrain.data.encoded import EncodedFold
from autotrain.export.members import class_weights_of, members_of, metric_weights
from autotrain.metrics import Metric, metric_for
from autotrain.network.config import view_of
from autotrain.network.metric_formulas import influence, metric_function
from autotrain.predictor.joint import Joint
from autotrain.search.settings import AUTO
from autotrain.search.trained import Trained

MOST_NUMBERS = 1 << 26
"""Largest number of predictions of all candidates: 256 MB. If more, evenly spaced rows are used."""
BLOCK_NUMBERS = 1 << 20
"""Largest number of predictions that are scored at a time: 8 MB in float64."""
FEW_ROWS = 2_500
"""Largest number of validation rows for `contenders`. With more rows `greedy` was as good."""
CONTENDING = 2.0
"""Largest difference between a contender and the best model, in standard errors."""
CLEARLY = 1.0
"""Difference, in standard errors, by which a model must be better to replace an earlier winner."""
AUTO_MEMBERS = 4
"""Largest number of members with `ensemble="auto"`. Eight members were not better
(docs/benchmarks.md) and take twice as long to predict."""
LASTING = 0.5
"""Fraction of an average's gain that remains when the models are means over folds.

Part of the difference between two networks is random, and the mean over folds already reduces it.
The fraction was measured as the difference of two models as means over folds on new rows, divided
by that of their single networks on validation rows: 0.34 to 0.82 on tables of more than 2,500 rows
(docs/lab-notebook.md).
"""
LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class FoldPredictions:
    """Predictions of M candidates for one fold's validation rows.

    Args:
        predictions: float32 `[M, N, C]` probabilities, or `[M, N]` values of a standardized target.
        y: `[N]` class indices, or the standardized target.
        weights: `[N]` sample weights in the metric; None when all are equal.
        target_std: standard deviation of the target, the unit of a standardized target.
        class_weights: `[C]` class weights in the training loss; None when all are equal.
    """

    predictions: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None = None
    target_std: float = 1.0
    class_weights: Sequence[float] | None = None


def choose(
    candidates: Sequence[Trained], dataset: Dataset, metric: Metric, n_members: int
) -> tuple[Trained, ...]:
    """Return the trained models whose average predicts best, sorted by their own values.

    Args:
        candidates: at least one, each with the weights of all folds. Repeats of a trial are
            separate candidates.
        dataset: the study's dataset.
        metric: the study's metric.
        n_members: largest number of members; 1 returns the candidate with the best value.
    Raises:
        ValueError: when there is no candidate, or one has no weights.
    """
    # Ties are resolved in favor of the earlier trial, as everywhere.
    ordered = sorted(candidates, key=lambda c: (metric.sign * c.value, c.number, c.repeat))
    if not ordered or n_members < 1:
        raise ValueError(
            f"candidates and n_members must be positive, got {len(ordered)} and {n_members}."
        )
    if n_members == 1:
        return (ordered[0],)
    places = select(out_of_fold(ordered, dataset), metric, n_members)
    return tuple(ordered[place] for place in places)


def ensemble_seconds(n_members: int, n_candidates: int, export_s: float) -> float:
    """Estimate the processor time to choose and export an ensemble, in seconds; 0 without one.

    Half of an export is the calibration, whose samples are shared by the members. The other half
    predicts the validation rows a few times for each member. The choice predicts them once for each
    candidate. Measured in processor time, an export of eight members takes 4.5 to 5.3 times as long
    as that of one. A choice among 24 candidates takes 0.9 to 1.1 times that (docs/benchmarks.md).

    Args:
        n_members: largest number of members.
        n_candidates: number of checkpoints.
        export_s: processor time of the export of one model, in seconds.
    """
    n_members = min(n_members, n_candidates)
    if n_members < 2:
        return 0.0
    return (1 + n_members / 2 + n_candidates / 24) * export_s


def select(
    folds: Sequence[FoldPredictions], metric: Metric, n_members: int, few_rows: int = FEW_ROWS
) -> tuple[int, ...]:
    """Return the indices of the candidates whose average predicts best.

    Args:
        folds: at least one, all with the same M candidates, the best candidates first.
        metric: the study's metric.
        n_members: largest number of members.
        few_rows: largest number of validation rows for `contenders`.
    Returns: 1 to `n_members` indices, ascending. The best single candidate may be absent.
    """
    rule = contenders if sum(len(fold.y) for fold in folds) <= few_rows else greedy
    return tuple(sorted(rule(folds, metric, n_members)))


def has_few_rows(dataset: Dataset) -> bool:
    """Whether members are chosen by `contenders`, not by `greedy`."""
    return dataset.n_validated <= FEW_ROWS


def most_members(ensemble: int | str, dataset: Dataset) -> int:
    """Return the largest number of members; below 2 for the winner alone.

    Args:
        ensemble: the study's setting. "auto" depends on the number of validation rows: with few
            rows, the choice between contenders is mostly random, and their average is better.
        dataset: the study's dataset.
    """
    if ensemble == AUTO:
        return AUTO_MEMBERS if has_few_rows(dataset) else 0
    return int(ensemble)


def contenders(folds: Sequence[FoldPredictions], metric: Metric, n_members: int) -> tuple[int, ...]:
    """Return the indices of the candidates that are not clearly worse than the best one.

    The standard error is that of the difference to the best on the same rows, so that rows which
    are difficult for both have no influence.

    Args:
        folds, metric, n_members: as for `select`.
    Returns: 1 to `n_members` indices, the best first; ties in the order of the candidates.
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
    """Whether a model is better than another by more than `CLEARLY` standard errors.

    The standard error is that of the difference of their scores on the same validation rows.

    Args:
        new, old: trained models with the weights of all folds.
        dataset, metric: those of the study.
    """
    return first_is_clearly_better(out_of_fold([new, old], dataset), metric)


def first_is_clearly_better(folds: Sequence[FoldPredictions], metric: Metric) -> bool:
    """Whether the first of two candidates is clearly better; see `is_clearly_better`."""
    scores, errors = _alone(folds, metric), _paired_errors(folds, metric, 0)
    return bool(scores[1] - scores[0] > CLEARLY * errors[1])


def _alone(folds: Sequence[FoldPredictions], metric: Metric) -> np.ndarray:
    """Return each candidate's own score `[M]`; lower is better."""
    nothing = [np.zeros(fold.predictions.shape[1:]) for fold in folds]
    return scores_with(folds, nothing, np.arange(len(folds[0].predictions)), 0, metric)


def _paired_errors(folds: Sequence[FoldPredictions], metric: Metric, place: int) -> np.ndarray:
    """Return the standard errors `[M]` of the differences to the candidate with index `place`."""
    of_rows = np.concatenate([influences(fold, metric) for fold in folds], axis=1) / len(folds)
    errors: np.ndarray = np.linalg.norm(of_rows - of_rows[place], axis=1)
    return errors


def influences(fold: FoldPredictions, metric: Metric) -> np.ndarray:
    """Return the derivative of each candidate's metric by the weight of each row, `[M, N]`.

    See `metric_formulas.influence`.
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
    """Return the indices of members that are added one by one, each the best addition.

    Candidates are compared by the score of the average. With several folds, only the fraction
    `LASTING` of its gain over the mean of the members' own scores counts.

    Args:
        folds, metric, n_members: as for `select`.
    Returns: 1 to `n_members` indices, in the order of addition, the best candidate first; ties in
        the order of the candidates.
    """
    totals = [np.zeros(fold.predictions.shape[1:]) for fold in folds]
    left = np.arange(len(folds[0].predictions))
    alone = _alone(folds, metric)
    chosen: list[int] = []
    best = math.inf
    while len(left) and len(chosen) < n_members:
        scores = scores_with(folds, totals, left, len(chosen), metric)
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


def out_of_fold(
    candidates: Sequence[Trained], dataset: Dataset, most_numbers: int = MOST_NUMBERS
) -> list[FoldPredictions]:
    """Return each candidate's predictions of every fold's validation rows, dropout off.

    Args:
        candidates: trained models with the weights of all folds.
        dataset: the study's dataset.
        most_numbers: largest number of predictions; if more, evenly spaced rows are used.
    Raises:
        ValueError: when a candidate has no weights.
    """
    of_all = [members_of(c.config, c.outcomes, dataset) for c in candidates]
    n_rows = sum(len(fold.y_valid) for fold in dataset.folds)
    size = len(candidates) * n_rows * max(len(dataset.classes), 1)
    step = -(-size // most_numbers)
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
    predictions: np.ndarray, fold: EncodedFold, dataset: Dataset, step: int = 1
) -> FoldPredictions:
    """Return predictions of every `step`-th validation row with the targets and weights."""
    weights = metric_weights(fold)[::step]
    return FoldPredictions(
        predictions,
        fold.y_valid[::step],
        # If all weights are 0, the rows are weighted equally.
        weights if weights.any() else None,
        fold.target_std,
        class_weights_of(dataset),
    )


def row_error(members: Sequence[Member], dataset: Dataset, metric: Metric) -> float | None:
    """Return the standard error over rows of the members' validation score.

    The rows of a fold are predicted with dropout off by the average of the members that did not
    train on them. The score is the mean over folds. Rows are assumed to be independent.

    Args:
        members: members of a bundle, at least one per fold of the dataset.
        dataset: the study's dataset.
        metric: the study's metric.
    Returns: the standard error in the metric's units; None if it is undefined on these rows.
    """
    squares = 0.0
    for place, fold in enumerate(dataset.folds):
        own = [_predictions(m, fold, dataset, 1) for m in members if m.fold == place]
        average = np.stack(own).mean(axis=0, keepdims=True)
        found = influences(_of_fold(average, fold, dataset), metric)
        squares += float(np.square(found).sum())
    error = math.sqrt(squares) / len(dataset.folds) if math.isfinite(squares) else math.nan
    return error if math.isfinite(error) else None


def _predictions(member: Member, fold: EncodedFold, dataset: Dataset, step: int) -> np.ndarray:
    """Return probabilities `[N, C]`, or values `[N]` of the standardized target."""
    x = dataset.encoded(member.fold, view_of(member.config)).x_valid[::step]
    bundle = Bundle(
        task=dataset.task,
        target=dataset.target,
        classes=dataset.classes,
        label_dtype=dataset.label_dtype,
        members=(member,),
        metric=metric_for(dataset.task).name,
    )
    drawn = Joint(bundle).draw([torch.from_numpy(np.ascontiguousarray(x))], 0, 0)[0]
    if bundle.is_classification:
        return np.exp(drawn)
    # A large mean would cost float32 precision. Averages are the same in both scales.
    return (drawn - fold.target_mean) / fold.target_std


def scores_with(
    folds: Sequence[FoldPredictions],
    totals: Sequence[np.ndarray],
    places: np.ndarray,
    n: int,
    metric: Metric,
    block_numbers: int = BLOCK_NUMBERS,
) -> np.ndarray:
    """Return the scores `[P]` of ensembles of `n` members with each candidate of `places` added.

    Lower is better. A score is infinite if the metric is undefined.

    Args:
        folds: predictions of all candidates.
        totals: for each fold, the sum of the predictions of the `n` members.
        places: `[P]` indices of the candidates to add.
        n: number of members so far.
        metric: the study's metric.
        block_numbers: largest number of predictions that are scored at a time.
    """
    of_folds = [
        _values(fold, total, places, n, metric, block_numbers)
        for fold, total in zip(folds, totals, strict=True)
    ]
    values = np.mean(of_folds, axis=0)
    scores: np.ndarray = np.where(np.isfinite(values), metric.sign * values, math.inf)
    return scores


def _values(
    fold: FoldPredictions,
    total: np.ndarray,
    places: np.ndarray,
    n: int,
    metric: Metric,
    block_numbers: int,
) -> np.ndarray:
    """Return the metric `[P]` of one fold; see `scores_with`."""
    y = torch.from_numpy(fold.y)
    weights = None if fold.weights is None else torch.from_numpy(fold.weights)
    size = max(block_numbers // max(total.size, 1), 1)
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
    # As in training, the metric is computed in the standardized scale for precision.
    return values * fold.target_std if metric.in_target_units else values


def _outputs(predictions: np.ndarray) -> Tensor:
    """Return the inputs of metrics: log probabilities `[P, N, C]`, or numbers `[P, N]`."""
    outputs = torch.from_numpy(predictions).double()
    # A probability that float32 rounds to 0 must not make the loss infinite.
    return outputs if outputs.ndim == 2 else outputs.clamp(min=LEAST_PROBABILITY).log()
