"""Decide the next action of a search: start a training, stop others for one, wait, or stop.

`next_action` is a pure function of the state of the search. The search loop (`loop.py`) carries out
the action and calls it again. The rules, in this order:

1. When the time is over, trainings end: in a worker process at once, else at their next epoch.
2. A training that was lost with its worker is retried once, alone on a worker. Trainings that were
   out of memory together are first retried in smaller groups.
3. In the last part of the budget, the best trials are retrained with other seeds. Trials that
   cannot end in time are stopped for them.
4. While the budget allows it, the next trial starts on a worker with capacity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from autotrain.search.budget import RunClock
from autotrain.search.finalists import Finalist
from autotrain.search.finals import Finals
from autotrain.search.placing import Placement
from autotrain.search.training_run import TrainingRun
from autotrain.search.workers.protocol import Worker
from autotrain.space.config import TrialConfig

PARTS = 5
"""At most 1/`PARTS` of the trials of the budget are in training at a time, so that a small budget
is not used up before the first result is known."""


@dataclass(frozen=True)
class SearchState:
    """The state of a search.

    Args:
        placement: the workers and their loads.
        runs: running trainings.
        lost: trainings that were lost with their worker and wait for a retry.
        n_returning: number of trainings of an earlier run that wait for a worker.
        sign: 1 if lower values are better, −1 if higher values are.
        clock: the clock of this run.
        finals: the finals; None without repeats.
        ready: configuration of the next trial; None if no trial has been sampled.
        n_trials: number of trials that this run may start; None for no limit.
        n_started: number of trials that this run has started.
        n_before: number of trials of earlier runs.
        best: value of the best complete trial; None before one is complete.
        has_late: whether a trial was stopped at the end of the time and is not recorded yet.
    """

    placement: Placement
    runs: Sequence[TrainingRun]
    lost: Sequence[TrainingRun]
    sign: float
    clock: RunClock
    finals: Finals | None = None
    ready: TrialConfig | None = None
    n_trials: int | None = None
    n_started: int = 0
    n_before: int = 0
    best: float | None = None
    has_late: bool = False
    n_returning: int = 0

    @property
    def has_result(self) -> bool:
        """Whether a trial has trained for an epoch, so that the search can end with a model."""
        trained = any(run.epoch for run in self.runs)
        return self.best is not None or self.has_late or trained

    @property
    def retries(self) -> bool:
        """Whether a lost training is to be retried."""
        waits = bool(self.lost) or self.n_returning > 0
        return waits and not (self.clock.is_late and self.has_result)

    @property
    def asked_all(self) -> bool:
        """Whether all trials of this run have started."""
        return self.n_trials is not None and self.n_started >= self.n_trials

    @property
    def starts_none(self) -> bool:
        """Whether no more trials start. At least one trial starts, however short the time is."""
        has_begun = self.best is not None or bool(self.n_started)
        return self.asked_all or (self.clock.is_late and has_begun)

    @property
    def most_running(self) -> float:
        """Largest number of trials in training at a time, for the budget of all runs."""
        if self.n_trials is None:
            return math.inf
        n_workers = len(self.placement.workers)
        return max(n_workers, math.ceil((self.n_before + self.n_trials) / PARTS))


@dataclass(frozen=True)
class Retry:
    """Retry the first lost training."""

    worker: Worker
    cost: float


@dataclass(frozen=True)
class Repeat:
    """Retrain a finalist with another seed."""

    finalist: Finalist
    repeat: int
    worker: Worker
    cost: float


@dataclass(frozen=True)
class Sample:
    """Sample the next trial; its placement depends on the configuration."""


@dataclass(frozen=True)
class Begin:
    """Start the trial that was sampled."""

    worker: Worker
    cost: float


@dataclass(frozen=True)
class MakeRoom:
    """Stop these trainings, because the time is short."""

    runs: Sequence[TrainingRun] = field(default_factory=tuple)


@dataclass(frozen=True)
class Wait:
    """Wait for reports of the workers."""


@dataclass(frozen=True)
class Stop:
    """End the search: no training is running and none may start."""


Start = Retry | Repeat | Sample | Begin
Action = Start | MakeRoom | Wait | Stop


def next_action(state: SearchState) -> Action:
    """Return the next action of the search."""
    wanted = next_repeat(state)
    if not state.runs and state.starts_none and wanted is None and not state.retries:
        return Stop()
    if not state.placement.workers:
        return Wait()
    if state.clock.is_late and state.has_result:
        in_training = [run for run in state.runs if run.cause is None]
        if in_training:
            return MakeRoom(in_training)
    if state.retries:
        place = state.placement.place(state.lost[0].retry_cost, state.runs)
        return Wait() if place is None else Retry(*place)
    if wanted is not None:
        finalist, repeat = wanted
        place = state.placement.place_for(finalist.config, state.runs)
        if place is not None:
            return Repeat(finalist, repeat, *place)
        leaving = _to_leave(state, finalist)
        return MakeRoom(leaving) if leaving else Wait()
    if state.starts_none or len(state.runs) >= state.most_running:
        return Wait()
    if state.ready is None:
        return Sample()
    place = state.placement.place_for(state.ready, state.runs)
    return Wait() if place is None else Begin(*place)


def next_repeat(state: SearchState) -> tuple[Finalist, int] | None:
    """Return the next finalist to retrain and the number of the repeat; None before the finals."""
    if state.finals is None or not is_time_for_finals(state, state.finals):
        return None
    begun = [(run.number, run.repeat) for run in (*state.runs, *state.lost)]
    # A repeat that cannot end in time is skipped in favor of a shorter one, or of a new trial.
    return state.finals.next(begun, state.clock.left_s)


def is_time_for_finals(state: SearchState, finals: Finals) -> bool:
    """Whether repeats of the best trials go before new trials."""
    if state.clock.limit_s is not None and state.clock.is_for_finals(finals.best_seconds):
        return True
    # All trials have ended, so the finalists are known.
    searches = any(not run.repeat for run in state.runs)
    return state.asked_all and not searches and not state.retries


def _to_leave(state: SearchState, finalist: Finalist) -> list[TrainingRun]:
    """Return trials that cannot end in time, if a repeat can end in their place."""
    left_s = state.clock.left_s

    def may_stop(run: TrainingRun) -> bool:
        value = run.value_so_far()
        leads = value is not None and (
            state.best is None or state.sign * value < state.sign * state.best
        )
        # A stop takes effect at the end of the epoch.
        in_time = finalist.seconds + run.epoch_s() <= left_s
        return run.left_s() > left_s and in_time and not leads and not run.repeat

    return state.placement.in_the_way(finalist.config, state.runs, may_stop)
