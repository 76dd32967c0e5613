"""Place trials on workers with free capacity.

A trial of K folds has K slots and costs K/width of a worker, where width is the number of such
models that one worker should train together. A worker trains trials up to a total cost of 1; an
idle worker accepts any trial. Loads are summed each time, because rounding errors would accumulate.
After trainings were out of memory together, a worker trains half the number of trials.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from autotrain.search.attributes import Cause
from autotrain.search.training_run import TrainingRun
from autotrain.search.workers.protocol import Worker
from autotrain.space.config import TrialConfig

ROUNDING = 1e-9


class Placement:
    """The assignment of trials to workers.

    Args:
        workers: the list of workers of the search loop, which changes it.
        n_folds: number of slots of a trial.
        width_of: number of models of a configuration that one worker should train together.
    """

    def __init__(
        self, workers: Sequence[Worker], n_folds: int, width_of: Callable[[TrialConfig], int]
    ) -> None:
        self.workers = workers
        self.n_folds = n_folds
        self.width_of = width_of
        self.factor = 1.0
        """Factor on all costs, doubled each time that memory was too small."""

    def cost(self, config: TrialConfig) -> float:
        """Return the share of a worker that a trial needs; above 1 if one worker is too small."""
        return self.factor * self.n_folds / self.width_of(config)

    def lose(self, lost: Sequence[TrainingRun], cause: Cause) -> None:
        """Decide how the lost trials of a worker are retried: alone, or in half as large groups.

        Args:
            lost: trials that were lost together.
            cause: if it is OUT_OF_MEMORY, a worker trains half the number of trials from now on.
        """
        is_full = cause == Cause.OUT_OF_MEMORY and len(lost) > 1
        if is_full:
            self.factor *= 2
        for run in lost:
            run.retry_cost = min(2 * run.cost, 1.0) if is_full else 1.0

    def least_loaded(self, trials: Sequence[TrainingRun]) -> Worker:
        """Return the worker with the smallest load; the first one of several.

        Args:
            trials: the running trials of all workers.
        """
        return min(self.workers, key=lambda worker: _load(_on(worker, trials)))

    def place_for(
        self, config: TrialConfig, trials: Sequence[TrainingRun]
    ) -> tuple[Worker, float] | None:
        """Return a worker with capacity for one more trial, and the trial's share of it."""
        return self.place(self.cost(config), trials)

    def place(self, cost: float, trials: Sequence[TrainingRun]) -> tuple[Worker, float] | None:
        """Return a worker with capacity for a trial of this cost, and the cost."""
        worker = self.least_loaded(trials)
        return (worker, cost) if _fits(cost, _on(worker, trials)) else None

    def in_the_way(
        self,
        config: TrialConfig,
        trials: Sequence[TrainingRun],
        may_stop: Callable[[TrainingRun], bool],
    ) -> list[TrainingRun]:
        """Return the smallest set of trials to stop so that one more fits.

        Among sets of equal size the trials that started last are chosen. The set is empty if the
        trials that are already being stopped free enough capacity, and if no set would.

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
    """Return the smallest set of trials on one worker that frees enough capacity, or None."""
    left, stopped = list(trials), []
    # Stopping the largest trials first needs the fewest stops.
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
    """Whether a trial of this cost fits on a worker together with other trials."""
    return not others or _load(others) + cost <= 1 + ROUNDING
