"""Budgets: what is used and left of them, and how a run divides its time."""

from __future__ import annotations

import math
import time
from datetime import datetime, timedelta
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from autotrain.errors import StudyError
from autotrain.search.attributes import SPENT_S
from autotrain.search.budget import Budget, RunBudget, RunClock, Used

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


def test_used_counts_trials_that_were_tried_and_the_seconds_in_which_they_ran() -> None:
    assert Used.of(RUN, {}) == Used(5, 25)
    assert Used.of([], {}) == Used(0, 0)


@pytest.mark.parametrize(("recorded", "seconds"), [(31.5, 31.5), (4.0, 25)])
def test_used_seconds_are_the_recorded_ones_if_these_are_more(
    recorded: float, seconds: float
) -> None:
    assert Used.of(RUN, {SPENT_S: recorded}).seconds == seconds


def test_typical_runtime_is_the_median_of_complete_trials() -> None:
    trials = [trial(0, 10), trial(2, 6, TrialState.PRUNED), trial(5, 15), trial(9, 24)]
    for made, seconds in zip(trials, (4.0, 0.1, 5.0, 15.0), strict=True):
        made.set_user_attr("seconds", seconds)
    assert Used.of(trials, {}).typical_s == 5.0
    assert Used.of(trials[1:2], {}).typical_s == 0.0


@pytest.mark.parametrize(
    ("given", "used", "left", "is_nothing"),
    [
        (Budget(12, 100.0), Used(5, 25.0), Budget(7, 75.0), False),
        (Budget(5, 100.0), Used(5, 25.0), Budget(0, 75.0), True),
        (Budget(3, None), Used(5, 25.0), Budget(0, None), True),
        (Budget(None, None), Used(5, 25.0), Budget(None, None), False),
        # A run reserves a part of its time for the end: 1 s of 26 s is nothing, 2 s of 27 s remain.
        (Budget(None, 26.0), Used(5, 25.0), Budget(None, 0.0), True),
        (Budget(None, 27.0), Used(5, 25.0), Budget(None, 2.0), False),
        # Half of the trials take longer than five seconds.
        (Budget(None, 30.0), Used(3, 25.5, 5.0), Budget(None, 4.5, 5.0), True),
        (Budget(None, 30.0), Used(3, 24.5, 5.0), Budget(None, 5.5, 5.0), False),
        # Before a trial is complete its runtime is unknown.
        (Budget(None, 30.0), Used(0, 28.0), Budget(None, 2.0), False),
    ],
)
def test_remaining_budget_is_given_minus_used(
    given: Budget, used: Used, left: Budget, is_nothing: bool
) -> None:
    assert given.minus(used) == left
    assert left.is_nothing is is_nothing


@pytest.mark.parametrize(
    ("given", "used", "total"),
    [
        (Budget(10, None), Used(5, 25.04), Budget(15, None)),
        (Budget(None, 60.0), Used(5, 25.04), Budget(None, 85.0)),
        (Budget(10, 60.0), Used(), Budget(10, 60.0)),
    ],
)
def test_total_budget_is_used_plus_given(given: Budget, used: Used, total: Budget) -> None:
    assert given.plus(used) == total


@pytest.mark.parametrize(
    ("total", "with_training"),
    [
        (Budget(None, None), Budget(1, None)),
        (Budget(5, None), Budget(6, None)),
        (Budget(5, 60.0), Budget(6, 62.5)),
        (Budget(None, 60.0), Budget(None, 62.5)),
    ],
)
def test_training_is_added_to_the_total_budget(total: Budget, with_training: Budget) -> None:
    assert total.plus_training(n_trials=1, seconds=2.5) == with_training
    assert total.plus_training(n_trials=1).plus_training(seconds=2.5) == with_training


@pytest.mark.parametrize(
    ("n_trials", "timeout", "parameter"),
    [(0, None, "n_trials"), (True, None, "n_trials"), (1.5, None, "n_trials"), (1, 0, "timeout")],
)
def test_limits_must_be_positive_numbers(n_trials: Any, timeout: Any, parameter: str) -> None:
    with pytest.raises(StudyError) as caught:
        RunBudget.of(n_trials, timeout)
    assert caught.value.parameter == parameter


def test_infinite_timeout_is_no_limit() -> None:
    assert RunBudget.of(1, math.inf).timeout_s is None


@pytest.mark.parametrize(
    ("given", "seconds", "left_s"), [(4.5, 3.0, 1.5), (4.5, 9.0, 0.0), (None, 9.0, None)]
)
def test_seconds_without_a_trial_shorten_the_budget(
    given: float | None, seconds: float, left_s: float | None
) -> None:
    assert Budget(5, given).after(seconds) == Budget(5, left_s)


@pytest.mark.parametrize(
    ("n_trials", "timeout_s", "expected_s"),
    [(None, None, 600.0), (3, None, None), (None, 5.0, 5.0)],
)
def test_default_time_limit_is_for_budgets_without_a_limit(
    n_trials: int | None, timeout_s: float | None, expected_s: float | None
) -> None:
    assert Budget(n_trials, timeout_s).or_default() == Budget(n_trials, expected_s)
    assert RunBudget(n_trials, timeout_s).or_default().timeout_s == expected_s


@pytest.mark.parametrize(
    ("total_s", "before_s", "whole_s"),
    [
        (60.0, None, 0.0),
        (None, 60.0, 0.0),
        (70.0, 60.0, 0.0),
        (60.0, 60.0, 60.0),
        (50.0, 60.0, 60.0),
    ],
)
def test_run_without_additional_time_continues_the_earlier_budget(
    total_s: float | None, before_s: float | None, whole_s: float
) -> None:
    run = RunBudget(None, 30.0).continuing(Budget(None, total_s), Budget(None, before_s))
    assert (run.timeout_s, run.whole_s) == (30.0, whole_s)


def test_run_budget_reserves_a_share_and_counts_from_the_start_of_the_command() -> None:
    started_s = time.monotonic() - 30
    left_s = RunBudget(None, 100.0, started_s, reserved_share=0.1).left_s()
    assert left_s == pytest.approx(60, abs=1)
    assert RunBudget(None, 20.0, started_s).left_s() == 0.0
    assert RunBudget(5, None, started_s).left_s() is None


class Now:
    """A clock that is set by hand."""

    s = 1_000.0

    def __call__(self) -> float:
        return self.s


def test_training_ends_when_the_rest_is_reserved() -> None:
    now = Now()
    clock = RunClock(100.0, now=now)
    clock.reserve(10.0)
    now.s += 89
    assert (clock.elapsed_s, clock.end_s, clock.left_s, clock.is_late) == (89, 90, 1, False)
    clock.reserve(15.0)
    assert clock.is_late


@pytest.mark.parametrize(
    ("limit_s", "wanted_s", "reserved_s"), [(8.0, 100.0, 4.0), (8.0, 1.0, 1.0), (None, 1e9, 0.0)]
)
def test_reserved_time_is_at_most_a_half(
    limit_s: float | None, wanted_s: float, reserved_s: float
) -> None:
    clock = RunClock(limit_s)
    clock.reserve(wanted_s)
    assert clock.reserved_s == reserved_s


def test_end_is_estimated_from_the_preparation_until_the_first_export() -> None:
    clock = RunClock(50.0, prepared_s=20.0)
    assert clock.reserved_s == 5.0
    clock.reserve(2.0)
    assert clock.reserved_s == 2.0
    clock.reserve(None)
    assert clock.reserved_s == 5.0


def test_run_without_a_limit_is_never_late() -> None:
    clock = RunClock()
    assert (clock.end_s, clock.left_s) == (math.inf, math.inf)
    assert not clock.is_late
    assert not clock.is_for_finals(0.0)


@pytest.mark.parametrize(
    ("limit_s", "whole_s", "begin", "end"),
    [(100.0, 0.0, 80, 100), (15.0, 0.0, 12, 15), (50.0, 100.0, 30, 50), (15.0, 100.0, 0, 15)],
)
def test_last_fifth_of_the_whole_budget_is_for_finals(
    limit_s: float, whole_s: float, begin: int, end: int
) -> None:
    now = Now()
    clock = RunClock(limit_s, whole_s=whole_s, now=now)
    found = []
    for second in range(110):
        now.s = clock.begun_s + second
        if clock.is_for_finals(0.0):
            found.append(second)
    assert found == list(range(begin, end))


@pytest.mark.parametrize(
    ("repeat_s", "begin"), [(0.0, 80), (9.0, 80), (15.0, 70), (20.0, 60), (90.0, 60)]
)
def test_finals_begin_earlier_if_trainings_are_long(repeat_s: float, begin: int) -> None:
    now = Now()
    clock = RunClock(100.0, now=now)
    now.s += begin
    assert clock.is_for_finals(repeat_s)
    now.s -= 1
    assert not clock.is_for_finals(repeat_s)
