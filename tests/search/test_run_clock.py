"""The clock of a run: when training ends, when finals begin, what is kept for an ensemble."""

from __future__ import annotations

import math

import pytest

from autotrain.export.ensemble import ensemble_seconds
from autotrain.search.run_clock import RunClock


class Hands:
    """Tells the time that it is set to."""

    s = 1_000.0

    def __call__(self) -> float:
        return self.s


def test_training_ends_when_what_is_left_is_reserved() -> None:
    now = Hands()
    clock = RunClock(100.0, now=now)
    clock.reserve(10.0)
    now.s += 89
    assert (clock.elapsed_s, clock.end_s, clock.left_s, clock.is_late) == (89, 90, 1, False)
    clock.reserve(15.0)
    assert clock.is_late


def test_training_comes_first_in_a_short_search() -> None:
    clock = RunClock(8.0)
    clock.reserve(100.0)
    assert clock.reserved_s == 2.0
    clock.reserve(1.0)
    assert clock.reserved_s == 1.0


def test_time_is_kept_for_the_ensemble_that_there_can_be() -> None:
    assert ensemble_seconds(0, 24, 0.5) == ensemble_seconds(1, 24, 0.5) == 0.0
    assert ensemble_seconds(8, 1, 0.5) == ensemble_seconds(8, 0, 0.5) == 0.0
    of_two, of_few, of_many = (ensemble_seconds(8, n, 0.5) for n in (2, 5, 24))
    assert 0.5 < of_two < of_few < of_many
    assert ensemble_seconds(4, 24, 0.5) < of_many
    assert ensemble_seconds(8, 24, 1.0) == 2 * of_many


def test_without_a_limit_it_is_never_late() -> None:
    clock = RunClock()
    clock.reserve(1e9)
    assert (clock.reserved_s, clock.end_s, clock.left_s) == (0.0, math.inf, math.inf)
    assert not clock.is_late
    assert not clock.is_for_finals(0.0)


@pytest.mark.parametrize(
    ("limit_s", "whole_s", "begin", "end"),
    [(100.0, 0.0, 80, 100), (15.0, 0.0, 12, 15), (50.0, 100.0, 30, 50), (15.0, 100.0, 0, 15)],
)
def test_the_last_fifth_of_the_whole_budget_is_for_finals(
    limit_s: float, whole_s: float, begin: int, end: int
) -> None:
    now = Hands()
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
def test_finals_are_longer_where_trainings_are_long(repeat_s: float, begin: int) -> None:
    now = Hands()
    clock = RunClock(100.0, now=now)
    now.s += begin
    assert clock.is_for_finals(repeat_s)
    now.s -= 1
    assert not clock.is_for_finals(repeat_s)
