"""Choose the winner of a study, and describe the choice in the exported bundle.

1. `search/finals.py` compares the best trials by the mean over several trainings.
2. `choose_winner` keeps the model that an earlier run exported, unless another one is clearly
   better. The decision is recorded in the study, where `finals.winner_of` reads it.
3. `selection_record` describes the decision for the bundle and the model card.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from optuna.trial import FrozenTrial, TrialState

from autotrain.bundle import ENSEMBLE, Bundle
from autotrain.bundle.selection import (
    CONTENDERS,
    GREEDY,
    INSTEAD,
    KEPT,
    MEAN,
    ONLY,
    SMALLER,
    VALUE,
    Selection,
)
from autotrain.metrics import Metric
from autotrain.search.finals import Finals
from autotrain.search.trial_store import best_trial
from autotrain.search.winner import Winner

Training = tuple[int, int]
"""A trial's number and the number of its repeat; 0 for the trial's first training."""


def choose_winner(
    finals: Finals | None,
    best_number: int | None,
    exported: tuple[Training, Callable[[int], bool]] | None,
    is_clearly_better: Callable[[Training, Training], bool],
) -> Winner | None:
    """Return the winner among the finished repeats; None if the trial with the best value wins.

    The model that an earlier run exported remains the winner unless a later trial is clearly
    better, because most changes of the winner are due to chance.

    Args:
        finals: the finals of the study; None when it has none.
        best_number: number of the trial with the best value; None before a trial is complete.
        exported: the training that an earlier run exported, and whether a trial is newer than that
            export, by number; None when nothing was exported.
        is_clearly_better: whether the first training is clearly better than the second one.
    """
    if finals is None:
        return None
    decided = finals.decide()
    if exported is None or best_number is None:
        return decided
    old, is_newer = exported
    new = (best_number, 0) if decided is None else (decided.number, decided.repeat)
    if not is_newer(new[0]) or is_clearly_better(new, old):
        return decided
    return finals.keep(*old, over=new[0]) or decided


def selection_record(
    bundle: Bundle,
    trials: Sequence[FrozenTrial],
    trial: FrozenTrial,
    winner: Winner | None,
    metric: Metric,
    *,
    has_few_rows: bool,
) -> Selection | None:
    """Return why the model in a bundle was chosen; None before a trial is complete.

    Args:
        bundle: the exported model.
        trials: the study's own trials.
        trial: the winning trial.
        winner: the decision of the finals; None if the trial with the best value wins.
        metric: the study's metric.
        has_few_rows: whether the members of ensembles are chosen by `ensemble.contenders`.
    """
    best = best_trial(trials, metric)
    if best is None or best.value is None:
        return None
    states = [each.state for each in trials]
    n_complete = states.count(TrialState.COMPLETE)
    selection = Selection(
        trial=bundle.training["trial"],
        reason=_reason(bundle, trial.number, winner, n_complete, has_few_rows=has_few_rows),
        n_trials=n_complete + states.count(TrialState.PRUNED),
        n_complete=n_complete,
        best_trial=best.number,
        best_value=best.value,
    )
    if winner is None or winner.number != selection.trial:
        return selection
    return replace(
        selection,
        n_trainings=winner.n_trainings,
        mean=winner.estimate,
        seed_std=winner.seed_std,
        best_mean=winner.leader_estimate,
        kept_over=winner.kept_over,
    )


def _reason(
    bundle: Bundle, number: int, winner: Winner | None, n_complete: int, *, has_few_rows: bool
) -> str:
    """Return the `reason` of a `Selection`; `number` is that of the winning trial."""
    if ENSEMBLE in bundle.training:
        return CONTENDERS if has_few_rows else GREEDY
    if bundle.training["trial"] != number:
        return INSTEAD
    if winner is not None and winner.kept_over is not None:
        return KEPT
    if winner is not None:
        return SMALLER if winner.is_smaller else MEAN
    return ONLY if n_complete == 1 else VALUE
