"""Place trials on workers with free capacity.

A trial of K folds has K slots, and costs K/width of a worker, where width is how many such models
one worker should train together. A worker takes trials up to a cost of 1, and an empty one takes
any. Loads are summed each time, because adding and subtracting would not return exactly to 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from autotrain.search.training_run import TrainingRun
from autotrain.search.workers.protocol import Worker
from autotrain.space.config import TrialConfig

ROUNDING = 1e-9


class Placement:
    """Place trials on workers.

    Args:
        workers: those there are; the coordinator's own list, which it changes.
        n_folds: slots a trial has.
        width_of: config → how many models like it one worker should train together.
    """

    def __init__(
        self, workers: Sequence[Worker], n_folds: int, width_of: Callable[[TrialConfig], int]
    ) -> None:
        self.workers = workers
        self.n_folds = n_folds
        self.width_of = width_of

    def cost(self, config: TrialConfig) -> float:
        """Return which share of a worker a trial takes; above 1 where its folds overfill one."""
        return self.n_folds / self.width_of(config)

    def least_loaded(self, trials: Sequence[TrainingRun]) -> Worker:
        """Return the worker with the least to do, of equals the first.

        Args:
            trials: those in training, on any worker.
        """
        return min(self.workers, key=lambda worker: _load(_on(worker, trials)))

    def place_for(
        self, config: TrialConfig, trials: Sequence[TrainingRun]
    ) -> tuple[Worker, float] | None:
        """Return a worker with capacity for one more trial, and the trial's share of it."""
        cost, worker = self.cost(config), self.least_loaded(trials)
        return (worker, cost) if _fits(cost, _on(worker, trials)) else None

    def in_the_way(
        self,
        config: TrialConfig,
        trials: Sequence[TrainingRun],
        may_stop: Callable[[TrainingRun], bool],
    ) -> list[TrainingRun]:
        """Return the smallest set of trials to stop so that one more fits; of equals the latest.

        The set is empty where the trials that are being stopped already free enough capacity, and
        where stopping others would not free enough.

        Args:
            may_stop: whether a trial may be stopped.
        """
        cost = self.cost(config)
        staying = [running for running in trials if running.cause is None]
        if any(_fits(cost, _on(worker, staying)) for worker in self.workers):
            return []
        ways = [
            way
            for worker in self.workers
            if (way := _fewest(cost, _on(worker, staying), may_stop)) is not None
        ]
        return min(ways, key=len, default=[])


def _fewest(
    cost: float, trials: Sequence[TrainingRun], may_stop: Callable[[TrainingRun], bool]
) -> list[TrainingRun] | None:
    """Return the smallest set whose end frees enough capacity; None when no set does."""
    left, stopped = list(trials), []
    # The largest first: no smaller number of others frees as much.
    for running in sorted(trials, key=lambda each: (-each.cost, -each.started_s)):
        if may_stop(running):
            stopped.append(running)
            left.remove(running)
            if _fits(cost, left):
                return stopped
    return None


def _on(worker: Worker, trials: Sequence[TrainingRun]) -> list[TrainingRun]:
    return [running for running in trials if running.worker is worker]


def _load(trials: Sequence[TrainingRun]) -> float:
    return sum(running.cost for running in trials)


def _fits(cost: float, others: Sequence[TrainingRun]) -> bool:
    """Return True when a trial of that cost fits on a worker together with these."""
    return not others or _load(others) + cost <= 1 + ROUNDING
