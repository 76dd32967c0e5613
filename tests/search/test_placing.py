"""Which worker has room: whole loads, empty workers, and what has to leave for one more trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from autotrain.search.placing import Placement
from autotrain.search.runs import RepeatRun
from autotrain.search.training_run import TrainingRun
from autotrain.search.workers.protocol import Worker
from autotrain.space.config import TrialConfig

CONFIG = TrialConfig.from_params({})


class Nobody:
    """A worker that is only told apart from others."""


A, B = (cast(Worker, Nobody()) for _ in range(2))


def running(number: int, worker: Worker, cost: float, **facts: Any) -> TrainingRun:
    facts = {"started_s": float(number), **facts}
    return RepeatRun(number, CONFIG, worker, cost, seed=0, repeat=1, own_comparison=None, **facts)


def placement(workers: Sequence[Worker] = (A,), n_folds: int = 1, width: int = 1) -> Placement:
    return Placement(workers, n_folds, lambda _: width)


@pytest.mark.parametrize("width", range(1, 33))
def test_worker_accepts_trials_until_it_is_full(width: int) -> None:
    found, trials = placement(width=width), list[TrainingRun]()
    while (place := found.place_for(CONFIG, trials)) is not None:
        trials.append(running(len(trials), *place))
    assert len(trials) == width
    while trials:
        trials.pop()
        assert found.place_for(CONFIG, trials) is not None


def test_idle_worker_accepts_any_trial_and_a_loaded_one_what_fits() -> None:
    found = placement(n_folds=5, width=4)
    assert found.place_for(CONFIG, []) == (A, 1.25)
    assert found.place_for(CONFIG, [running(0, A, 1e-12)]) is None


def test_the_least_loaded_worker_is_first() -> None:
    found = placement((A, B), width=4)
    assert found.least_loaded([]) is A
    assert found.least_loaded([running(0, A, 0.5)]) is B
    assert found.least_loaded([running(0, A, 0.5), running(1, B, 0.75)]) is A


def stopped(found: Placement, trials: list[TrainingRun], *may: int) -> list[int]:
    chosen = found.in_the_way(CONFIG, trials, lambda each: each.number in may)
    return [each.number for each in chosen]


def test_fewest_and_latest_trials_are_stopped() -> None:
    trials = [running(number, A, 0.25) for number in range(4)]
    assert stopped(placement(width=4), trials, 0, 1, 2, 3) == [3]
    assert stopped(placement(width=2), trials, 0, 1, 2, 3) == [3, 2]
    assert stopped(placement(width=2), trials, 0, 2) == [2, 0]


def test_fewest_trials_are_stopped_with_different_costs() -> None:
    small = [running(number, A, 0.25) for number in range(3)]
    assert stopped(placement((A, B)), [*small, running(3, B, 0.5)], 0, 1, 2, 3) == [3]
    trials = [running(0, A, 0.5), *(running(number, A, 0.1) for number in range(1, 5))]
    assert stopped(placement(width=2), trials, 0, 1, 2, 3, 4) == [0]
    assert stopped(placement(width=2), trials, 1, 2, 3, 4) == [4, 3, 2, 1]
    assert stopped(placement(), trials, 1, 2, 3, 4) == []


def test_no_trial_is_stopped_if_that_frees_too_little() -> None:
    trials = [running(0, A, 0.6), running(1, A, 0.4)]
    assert stopped(placement(n_folds=3, width=5), trials, 1) == []
    assert stopped(placement(n_folds=3, width=5), trials, 0) == [0]
    assert stopped(placement(), trials, 0) == []
    assert stopped(placement(), trials, 0, 1) == [0, 1]


def test_no_trial_is_stopped_while_others_are_stopping() -> None:
    trials = [running(0, A, 0.5), running(1, A, 0.5, cause="time")]
    assert stopped(placement(width=2), trials, 0) == []
    assert stopped(placement(), trials, 0) == [0]


def test_only_one_worker_is_cleared() -> None:
    trials = [running(0, A, 1.0), running(1, B, 1.0)]
    assert stopped(placement((A, B)), trials, 0, 1) == [0]
    assert stopped(placement((A, B)), trials, 1) == [1]
