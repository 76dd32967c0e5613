"""What a search does next, as a table of states and actions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from autotrain.search.attributes import Cause
from autotrain.search.budget import RunClock
from autotrain.search.finalists import Finalist
from autotrain.search.finals import Finals
from autotrain.search.placing import Placement
from autotrain.search.runs import RepeatRun, TrialRun
from autotrain.search.scheduler import (
    Begin,
    MakeRoom,
    Repeat,
    Retry,
    Sample,
    SearchState,
    Stop,
    Wait,
    next_action,
)
from autotrain.search.training_run import TrainingRun
from autotrain.search.workers.protocol import Worker
from autotrain.space.config import TrialConfig
from autotrain.training.slot import EpochReport

CONFIG = TrialConfig.from_params({})


class Machine:
    """A worker that can be told apart from others."""


A, B = (cast(Worker, Machine()) for _ in range(2))


def placement(*workers: Worker, width: int = 1) -> Placement:
    return Placement(workers, 1, lambda _: width)


def clock(left_s: float | None) -> RunClock:
    """Return the clock of a budget of 100 s at a remaining time; None for no budget."""
    now = 0.0
    made = RunClock(None if left_s is None else 100.0, now=lambda: now)
    if left_s is not None:
        now = 100.0 - left_s
    return made


def run(worker: Worker = A, epoch: int = 1, repeat: int = 0, **facts: Any) -> TrainingRun:
    made: TrainingRun
    if repeat:
        made = RepeatRun(
            7, CONFIG, worker, 1.0, 0, (0,), repeat=repeat, own_comparison=None, **facts
        )
    else:
        made = TrialRun(7, CONFIG, worker, 1.0, 0, (0,), trial=cast(Any, None), **facts)
    made.epoch = epoch
    return made


def finals(n_complete: int, seconds: float = 5.0) -> Finals:
    found = Finals(2)
    for number in range(n_complete):
        found.enter(Finalist(number, float(number), 100, CONFIG, seconds))
    return found


EMPTY = SearchState(placement=placement(A, B), runs=(), lost=(), sign=1.0, clock=clock(None))
TRIAL, OTHER, LOST = run(A), run(B), run(A)
STOPPED = run(A, cause=Cause.TIME)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({}, Sample()),
        ({"ready": CONFIG}, Begin(A, 1.0)),
        ({"ready": CONFIG, "runs": (TRIAL,)}, Begin(B, 1.0)),
        ({"ready": CONFIG, "runs": (TRIAL, OTHER)}, Wait()),
        # Budget of trials.
        ({"n_trials": 3, "n_started": 3}, Stop()),
        ({"n_trials": 3, "n_started": 3, "runs": (TRIAL,)}, Wait()),
        ({"n_trials": 3, "n_started": 2, "runs": (TRIAL,)}, Sample()),
        ({"n_trials": 10, "runs": (TRIAL, OTHER)}, Wait()),
        # Budget of time.
        ({"clock": clock(-1), "best": 0.5}, Stop()),
        ({"clock": clock(-1)}, Sample()),  # a search ends with a model
        ({"clock": clock(-1), "n_started": 1, "runs": (run(A, epoch=0),)}, Wait()),
        ({"clock": clock(-1), "n_started": 2, "runs": (TRIAL, OTHER)}, MakeRoom([TRIAL, OTHER])),
        ({"clock": clock(-1), "n_started": 1, "runs": (STOPPED,)}, Wait()),
        ({"clock": clock(-1), "n_started": 1, "has_late": True}, Stop()),
        # Lost with a worker.
        ({"lost": (LOST,)}, Retry(A, 1.0)),
        ({"lost": (LOST,), "runs": (TRIAL,)}, Retry(B, 1.0)),
        ({"lost": (LOST,), "runs": (TRIAL, OTHER)}, Wait()),
        ({"lost": (LOST,), "n_trials": 1, "n_started": 1}, Retry(A, 1.0)),
        ({"lost": (LOST,), "clock": clock(-1), "best": 0.5}, Stop()),
        # No worker left.
        ({"placement": placement()}, Wait()),
        ({"placement": placement(), "n_trials": 1, "n_started": 1}, Stop()),
    ],
)
def test_next_action_follows_from_the_state(state: dict[str, Any], expected: object) -> None:
    assert next_action(replace(EMPTY, **state)) == expected


ASKED_ALL = {"n_trials": 6, "n_started": 6, "best": 0.0}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({**ASKED_ALL}, (0, 1)),
        ({**ASKED_ALL, "runs": (TRIAL,)}, None),  # finalists are not known yet
        ({**ASKED_ALL, "lost": (LOST,)}, None),
        ({"best": 0.0, "clock": clock(15)}, (0, 1)),  # the last fifth
        ({"best": 0.0, "clock": clock(50)}, None),
        ({"best": 0.0, "clock": clock(4)}, None),  # a repeat takes 5 s
        ({"best": 0.0, "clock": clock(None)}, None),
    ],
)
def test_finalists_are_retrained_at_the_end_of_the_budget(
    state: dict[str, Any], expected: tuple[int, int] | None
) -> None:
    action = next_action(replace(EMPTY, finals=finals(6), **state))
    found = (action.finalist.number, action.repeat) if isinstance(action, Repeat) else None
    assert found == expected


def slow(value: float) -> TrainingRun:
    """Return a trial that takes 1 s for an epoch, and has 100 of 200 epochs to train."""
    config = TrialConfig.from_params({"schedule": "cosine", "training.epochs": 200})
    made = TrialRun(9, config, A, 1.0, 0, (0,), trial=cast(Any, None))
    for epoch in (1, 100):
        made.hear(EpochReport(0, epoch, 1, 0.5, value, value, False, 1e-3, float(epoch)), 1.0)
    made.epoch = 100
    return made


@pytest.mark.parametrize(("value", "leaves"), [(0.9, True), (0.1, False)])
def test_trial_that_cannot_end_in_time_is_stopped_unless_it_leads(
    value: float, leaves: bool
) -> None:
    trial = slow(value)
    state = replace(
        EMPTY,
        placement=placement(A),
        runs=(trial,),
        clock=clock(15),
        best=0.5,
        finals=finals(6),
    )
    assert next_action(state) == (MakeRoom([trial]) if leaves else Wait())


def test_repeat_is_not_stopped_for_another_repeat() -> None:
    state = replace(
        EMPTY,
        placement=placement(A),
        runs=(run(A, repeat=1),),
        clock=clock(15),
        best=0.5,
        finals=finals(6),
    )
    assert next_action(state) == Wait()
