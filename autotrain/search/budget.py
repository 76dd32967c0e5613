"""How much of a study's budget is used: trials that were tried, seconds that were spent.

A study's budget is the sum of what all its runs were given; `resume` uses the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from autotrain.search.attributes import is_counted, seconds_of, spent_seconds
from autotrain.search.record import own_trials

KEPT_SHARE = 0.05
"""A run reserves time for its end: a remaining time below this share of the budget is none."""


@dataclass(frozen=True)
class RemainingBudget:
    """The remaining budget of a study.

    Args:
        n_trials, timeout_s: None where there is no limit.
        least_s: typical runtime of a trial in seconds; in less time no trial could end.
    """

    n_trials: int | None
    timeout_s: float | None
    least_s: float = 0.0

    @property
    def is_nothing(self) -> bool:
        """Whether one of the limits is reached, for new trials."""
        no_trials = self.n_trials is not None and self.n_trials < 1
        return no_trials or (self.timeout_s is not None and self.timeout_s <= self.least_s)

    def after(self, seconds: float) -> RemainingBudget:
        """Return the budget that remains after a number of seconds without a trial."""
        if self.timeout_s is None:
            return self
        return replace(self, timeout_s=max(self.timeout_s - seconds, 0.0))


def trials_tried(trials: Sequence[FrozenTrial]) -> int:
    """Return how many trials of a study have ended."""
    return sum(is_counted(trial) for trial in trials)


def seconds_spent(trials: Sequence[FrozenTrial], user_attrs: Mapping[str, Any]) -> float:
    """Return how long a study has run.

    A run that was killed noted nothing; the time in which its trials ran is counted for it.
    """
    ends = (TrialState.COMPLETE, TrialState.PRUNED)
    spans = sorted(
        (trial.datetime_start.timestamp(), trial.datetime_complete.timestamp())
        for trial in trials
        if trial.state in ends and trial.datetime_start and trial.datetime_complete
    )
    covered_s, until = 0.0, float("-inf")
    for start, end in spans:
        covered_s += max(end - max(start, until), 0.0)
        until = max(until, end)
    return max(covered_s, spent_seconds(user_attrs))


def study_seconds(study: optuna.Study) -> float:
    """Return `seconds_spent` of an Optuna study."""
    trials = own_trials(study.get_trials(deepcopy=False), study.user_attrs)
    return seconds_spent(trials, study.user_attrs)


def budget_left(
    n_trials: int | None,
    timeout_s: float | None,
    trials: Sequence[FrozenTrial],
    user_attrs: Mapping[str, Any],
) -> RemainingBudget:
    """Return the remaining budget of a whole study."""
    left_s = None
    if timeout_s is not None:
        left_s = timeout_s - seconds_spent(trials, user_attrs)
        left_s = left_s if left_s > KEPT_SHARE * timeout_s else 0.0
    left_trials = None if n_trials is None else max(n_trials - trials_tried(trials), 0)
    return RemainingBudget(left_trials, left_s, _typical_seconds(trials))


def _typical_seconds(trials: Sequence[FrozenTrial]) -> float:
    """Return the median runtime of the complete trials in seconds; 0 without one."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return median([seconds_of(trial) or 0.0 for trial in complete] or [0.0])
