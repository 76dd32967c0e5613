"""Why a model was chosen, and how precise its validation score is.

A search records a `Selection` in the bundle that it exports. The terminal, `autotrain show` and the
model card read it from there, so that all three show the same numbers and the same reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from autotrain.bundle.record import ENSEMBLE, SELECTION, Bundle
from autotrain.vocabulary import count_text, value_text

VALIDATION_ERROR = "validation_error"
"""Key of `Bundle.scores`: the standard error of the validation score over rows, by metric."""
ONLY, VALUE, MEAN, SMALLER, INSTEAD = "only", "value", "mean", "smaller", "instead"
KEPT = "kept"
CONTENDERS, GREEDY = "contenders", "greedy"
"""Values of `Selection.reason`."""
FEW_ROWS = 1_000
"""With fewer validation rows, the choice among trials overfits them noticeably."""


@dataclass(frozen=True)
class Selection:
    """The choice of a search's model, with its reason.

    Args:
        trial: the winning trial.
        reason: "only" (the only complete trial), "value" (best validation score), "mean" (best mean
            over seeds), "smaller" (smallest network within one standard error of that mean),
            "kept" (the winner of an earlier run: no other is clearly better), "instead" (the winner
            could not be exported), "contenders" or "greedy" (an ensemble).
        n_trials: number of trials that trained, including pruned ones.
        n_complete: number of complete trials, which were compared with each other.
        best_trial: the trial with the best single validation score.
        best_value: that score.
        n_trainings: number of trainings of the winning trial, each with its own seed.
        mean: mean score of these trainings, where the first score is corrected for having been
            selected; None when no trial was retrained.
        seed_std: standard deviation between trainings that differ only in the seed, pooled over
            the finalists.
        best_mean: the mean of `best_trial`.
        kept_over: the trial that would have won if the winner of an earlier run had not stayed.
    """

    trial: int
    reason: str
    n_trials: int
    n_complete: int
    best_trial: int
    best_value: float
    n_trainings: int = 1
    mean: float | None = None
    seed_std: float | None = None
    best_mean: float | None = None
    kept_over: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the selection as JSON for a bundle's training record."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Selection:
        """Return the selection that `to_json` wrote."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in record.items() if name in known})


def selection_of(bundle: Bundle) -> Selection | None:
    """Return the selection of a bundle; None if its search has not ended."""
    record = bundle.training.get(SELECTION)
    return None if record is None else Selection.from_json(record)


def validation_score(bundle: Bundle) -> float | None:
    """Return the validation score of the model, which every output shows first.

    Each validation row is predicted by the networks that did not train on it; the score is the mean
    over folds.
    """
    value: float | None = (bundle.scores.get("validation") or {}).get(bundle.metric)
    return value


def validation_error(bundle: Bundle) -> float | None:
    """Return the standard error of `validation_score` over the validation rows."""
    error: float | None = (bundle.scores.get(VALIDATION_ERROR) or {}).get(bundle.metric)
    return error


def score_words(bundle: Bundle) -> str:
    """Return the validation score with its standard error over rows."""
    value, error, n_rows = validation_score(bundle), validation_error(bundle), _n_rows(bundle)
    words = "not defined" if value is None else value_text(value)
    if not n_rows:
        return f"{bundle.metric} {words}"
    rows = count_text(n_rows, "row")
    # An error of 0 (every row is right) is no estimate for other rows.
    if not error:
        return f"{bundle.metric} {words} on {rows}"
    return f"{bundle.metric} {words} ± {value_text(error)} (standard error over {rows})"


def seed_words(selection: Selection) -> str:
    """Return the scores of the winning trial's repeats in words; "" without repeats."""
    if selection.mean is None or selection.seed_std is None:
        return ""
    std = f"standard deviation between seeds {value_text(selection.seed_std)}"
    mean = value_text(selection.mean)
    trial = f"trial {selection.trial}"
    if selection.n_trainings == 1:
        return f"{trial} with other seeds, estimated from the other finalists: {mean}, {std}"
    n = count_text(selection.n_trainings, "training")
    return f"{trial}, mean over {n} (seeds): {mean}, {std}"


def reason_words(bundle: Bundle, selection: Selection) -> str:
    """Return why this model was chosen, in one sentence without its full stop."""
    trial, complete = f"trial {selection.trial}", count_text(selection.n_complete, "complete trial")
    if selection.reason in (CONTENDERS, GREEDY):
        n = len(bundle.training.get(ENSEMBLE, ()))
        return f"the average of {n} trainings was chosen: {_ENSEMBLES[selection.reason]}"
    if selection.reason == ONLY:
        return f"{trial} is the only complete trial, so nothing was compared"
    if selection.reason == VALUE:
        return f"{trial} has the best validation score of {complete}"
    if selection.reason == INSTEAD:
        return f"{trial} was exported because the winning trial could not be exported"
    if selection.reason == KEPT:
        return (
            f"{trial}, the previous winner, was kept: trial {selection.kept_over} is not "
            "better by more than a standard error of the difference over the validation rows"
        )
    if selection.reason == MEAN:
        why = f"{trial} has the best mean over seeds of the finalists among {complete}"
    else:
        why = f"{trial} is the smallest network within one standard error of the best mean"
    return f"{why}{_leader_words(selection)}"


def optimism_words(bundle: Bundle, selection: Selection) -> str:
    """Return one sentence about the choices that make the validation score optimistic."""
    n_rows, n_folds = _n_rows(bundle), bundle.training.get("folds", 1)
    rows = f"{n_rows:,} validation rows" if n_rows else "validation rows"
    networks = "each fold's network" if n_folds > 1 else "the network"
    chosen = [f"the epoch at which {networks} stopped"]
    if selection.n_trials > 1:
        chosen.append(f"the best of {count_text(selection.n_trials, 'trial')}")
    if selection.reason in (CONTENDERS, GREEDY):
        chosen.append("the members of the ensemble")
    listed = f"{', '.join(chosen[:-1])} and {chosen[-1]}" if len(chosen) > 1 else chosen[0]
    much = "noticeably" if 0 < n_rows < FEW_ROWS else "slightly"
    words = f"the {rows} also chose {listed}, so the score on them is {much} optimistic"
    if n_folds == 1:
        return words
    average = f"the average of all {n_folds} folds' networks"
    return f"{words}; {average} is better than each of them, which partly offsets this"


_ENSEMBLES = {
    CONTENDERS: "none of them is worse than the best one by more than two standard errors of the "
    "difference over the validation rows",
    GREEDY: "each of them improves the average's validation score",
}


def _leader_words(selection: Selection) -> str:
    """Return the mean of the trial with the best single score, if another trial won."""
    if selection.best_trial == selection.trial:
        return ""
    words = (
        f"; trial {selection.best_trial} has the best single score, "
        f"{value_text(selection.best_value)}"
    )
    if selection.best_mean is None or not math.isfinite(selection.best_mean):
        return words
    return f"{words}, but a mean of {value_text(selection.best_mean)}"


def _n_rows(bundle: Bundle) -> int:
    found = bundle.data.get("n_validated") or 0
    return int(found)
