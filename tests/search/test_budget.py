"""What of a budget is used: trials with a result, the time in which they ran."""

from __future__ import annotations

from datetime import datetime, timedelta

import optuna
from optuna.trial import FrozenTrial, TrialState

from autotrain.search.attributes import SPENT_S
from autotrain.search.budget import budget_left, seconds_spent, trials_tried

NOON = datetime(2026, 1, 1, 12)


def trial(
    start: float, end: float | None, state: TrialState = TrialState.COMPLETE, cause: str = ""
) -> FrozenTrial:
    made = optuna.create_trial(
        state=state,
        value=0.5 if state == TrialState.COMPLETE else None,
        user_attrs={"cause": cause} if cause else {},
    )
    made.datetime_start = NOON + timedelta(seconds=start)
    made.datetime_complete = None if end is None else NOON + timedelta(seconds=end)
    return made


RUN = [
    trial(0, 10),
    trial(2, 6, TrialState.PRUNED, "plateau"),
    trial(5, 15),
    # The machine was off for an hour.
    trial(3600, 3610),
    trial(8, 3600, TrialState.FAIL, "interrupted"),
    trial(15, 15, TrialState.FAIL, "not_started"),
    trial(15, 15, TrialState.FAIL, "forbidden"),
    trial(3601, 3604, TrialState.FAIL, "error"),
    trial(3605, None, TrialState.RUNNING),
]


def test_trials_that_were_not_tried_are_not_counted() -> None:
    assert trials_tried(RUN) == 5


def test_time_is_when_trials_ran_or_what_runs_noted() -> None:
    assert seconds_spent(RUN, {}) == 25
    assert seconds_spent(RUN, {SPENT_S: 31.5}) == 31.5
    assert seconds_spent(RUN, {SPENT_S: 4.0}) == 25
    assert seconds_spent([], {}) == 0


def test_what_is_left() -> None:
    left = budget_left(12, 100.0, RUN, {})
    assert (left.n_trials, left.timeout_s, left.is_nothing) == (7, 75.0, False)
    assert budget_left(5, 100.0, RUN, {}).is_nothing
    assert budget_left(3, None, RUN, {}).n_trials == 0
    # A run keeps a little of its time for the end.
    assert budget_left(None, 26.0, RUN, {}).is_nothing
    assert not budget_left(None, 27.0, RUN, {}).is_nothing
    assert budget_left(None, None, RUN, {}).is_nothing is False


def test_time_in_which_no_trial_could_end_is_nothing() -> None:
    """Half of the trials take longer than five seconds."""
    trials = [trial(0, 10), trial(2, 6, TrialState.PRUNED), trial(5, 15), trial(9, 24)]
    for made, seconds in zip(trials, (4.0, 0.1, 5.0, 15.0), strict=True):
        made.set_user_attr("seconds", seconds)
    left = budget_left(None, 30.0, trials, {SPENT_S: 25.5})
    assert (left.timeout_s, left.least_s, left.is_nothing) == (4.5, 5.0, True)
    assert not budget_left(None, 30.0, trials, {SPENT_S: 24.5}).is_nothing
    assert (left.after(3.0).timeout_s, left.after(9.0).timeout_s) == (1.5, 0.0)
    assert budget_left(5, None, trials, {}).after(9.0).timeout_s is None
    # Before a trial has ended nobody knows: a search never ends with empty hands.
    assert not budget_left(None, 30.0, trials[1:2], {SPENT_S: 28.0}).is_nothing
