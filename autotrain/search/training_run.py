"""`TrainingRun`: a running training, and the state that follows from the reports of its slots."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from autotrain.search.attributes import Cause
from autotrain.search.facts import mean_of_folds, runs_to_end, value_of
from autotrain.search.pruning.comparison import Comparison
from autotrain.search.pruning.plateaus import Decision, PlateauRule
from autotrain.search.recorder import Recorder
from autotrain.search.trained import Trained
from autotrain.search.workers.protocol import Worker
from autotrain.space.config import TrialConfig
from autotrain.techniques.schedules import SCHEDULES
from autotrain.training.slot import EpochReport, Outcome

CURVE_POINTS = 50


@dataclass
class TrainingRun(ABC):
    """One training of a trial's configuration on all folds."""

    number: int
    """Number of the trial."""
    config: TrialConfig
    worker: Worker
    cost: float
    """Share of the worker that it needs."""
    seed: int
    slots: tuple[int, ...] = ()
    """Its slots, one per fold."""
    started_s: float = 0.0
    reports: dict[int, EpochReport] = field(default_factory=dict)
    """The latest report of each slot."""
    first: dict[int, EpochReport] = field(default_factory=dict)
    """The first report of each slot, from which the seconds per epoch are measured."""
    heard_s: float = 0.0
    """Time of the latest report."""
    scores: dict[int, list[float]] = field(default_factory=dict)
    """Validation score of each slot at each of its epochs."""
    values: dict[int, list[float]] = field(default_factory=dict)
    """The value that each slot would have if it ended at that epoch, by epoch."""
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    epoch: int = 0
    """The last epoch that all slots have ended."""
    dropped: bool = False
    """Whether a learning rate dropped at the last epoch."""
    cause: Cause | None = None
    """The cause of its stop; None while it may continue."""
    reported: int = 0
    """Number of points of the trial's curve; more than `epoch` after a lost attempt."""
    is_retry: bool = False
    """Whether an earlier attempt was lost, and this one trains alone."""
    retry_cost: float = 1.0
    """Share of a worker for a second attempt. With 1 it is alone, so that its failure ends no other
    training."""

    repeat = 0
    """Number of the repeat; 0 for a trial."""

    # ---- what differs between trials and repeats -------------------------------------------

    @abstractmethod
    def comparison(self, shared: Comparison | None) -> Comparison | None:
        """Return the comparison that decides about this run; None without performance scheduling.

        Args:
            shared: the comparison of the study's trials.
        """

    @abstractmethod
    def take_epoch(self, recorder: Recorder, value: float) -> Cause | None:
        """Record the value at an epoch, and return the cause if a pruner of Optuna stops it."""

    @abstractmethod
    def end(self, recorder: Recorder, outcomes: list[Outcome]) -> None:
        """Record the end of all folds."""

    @abstractmethod
    def fail(self, recorder: Recorder, cause: Cause, text: str) -> None:
        """Record a failure for a reason outside the configuration.

        Raises:
            RuntimeError: when many trials failed and none completed.
        """

    @abstractmethod
    def put_off(self, recorder: Recorder) -> None:
        """Record that the run ended first, so that `resume` repeats the training."""

    @abstractmethod
    def retry(self, worker: Worker, cost: float) -> TrainingRun:
        """Return a second attempt on a worker."""

    @abstractmethod
    def forget(self, recorder: Recorder) -> None:
        """Remove the reports of a lost attempt from the comparison."""

    def trained(self, outcomes: Sequence[Outcome]) -> Trained:
        """Return the trained networks.

        Args:
            outcomes: one per fold, in the order of the folds.
        """
        value = value_of(outcomes)
        return Trained(self.number, value, self.config, self.seed, tuple(outcomes), self.repeat)

    # ---- reports ---------------------------------------------------------------------------

    def judge(
        self, comparison: Comparison, latest: Sequence[EpochReport], score: float
    ) -> Decision:
        """Decide about the training at an epoch by performance scheduling.

        Args:
            latest: the latest report of each slot.
            score: mean over folds; lower is better.
        """
        training = [report for report in latest if report.slot not in self.outcomes]
        decision = comparison.record(
            self.number,
            score,
            loss=float(np.mean([report.valid_loss for report in latest])),
            # For an ended fold this is its last number of rows.
            samples_seen=max(report.samples_seen for report in latest),
            lr_dropped=self.dropped,
            lr_lowest=bool(training) and all(self.is_lowest(report) for report in training),
            lr_share=max((self.lr_share(report) for report in training), default=0.0),
        )
        self.dropped = any(report.dropped for report in training)
        return decision

    def hear(self, report: EpochReport, sign: float) -> None:
        """Add the report of a slot.

        Args:
            report: the report.
            sign: 1 if lower values are better, −1 if higher ones are.
        """
        slot = report.slot
        self.reports[slot] = report
        self.first.setdefault(slot, report)
        self.heard_s = time.monotonic()
        score = report.value if report.is_finite else sign * math.inf
        self.scores.setdefault(slot, []).append(score)
        values = self.values.setdefault(slot, [])
        keeps_last = not self.config.early_stopping["restore_best_weights"]
        is_kept = (
            not values or (keeps_last and report.is_finite) or sign * score < sign * values[-1]
        )
        values.append(score if is_kept else values[-1])

    def next_epoch(self) -> list[EpochReport] | None:
        """Advance to the next epoch if all slots have ended it.

        Returns: the latest report of each slot; None if a slot has not ended the epoch.
        """
        latest = [self.reports.get(slot) for slot in self.slots]
        for slot, report in zip(self.slots, latest, strict=True):
            if slot not in self.outcomes and (report is None or report.epoch <= self.epoch):
                return None
        self.epoch += 1
        return [report for report in latest if report is not None]

    def value_so_far(self) -> float | None:
        """Return the value if it ended now; None before each slot has a value."""
        return self.value_at(max(map(len, self.values.values()), default=0))

    def value_at(self, epoch: int) -> float | None:
        """Return the value if it had ended at an epoch; None if a fold has no finite score.

        It is the mean over folds of the best score so far, or of the latest score if the last
        weights are kept. For a fold that ended before, it is the value at its end.
        """
        return self._mean_at(self.values, epoch)

    def curve(self) -> list[list[float]]:
        """Return the mean validation score over folds by epoch.

        Returns: at most 50 evenly spaced [epoch, score] pairs with the first and the last epoch.
            Scores have 6 significant digits; scores that are not finite are omitted.
        """
        n_epochs = max(map(len, self.scores.values()), default=0)
        places = np.linspace(1, n_epochs, min(n_epochs, CURVE_POINTS)).round().astype(int).tolist()
        means = [(epoch, self._mean_at(self.scores, epoch)) for epoch in places]
        return [[epoch, float(f"{mean:.6g}")] for epoch, mean in means if mean is not None]

    def _mean_at(self, of_slots: dict[int, list[float]], epoch: int) -> float | None:
        if not epoch or any(not of_slots.get(slot) for slot in self.slots):
            return None
        numbers = [of_slots[slot][min(epoch, len(of_slots[slot])) - 1] for slot in self.slots]
        return mean_of_folds(numbers) if all(map(math.isfinite, numbers)) else None

    def plateau_of(self, rule: PlateauRule) -> tuple[int, float]:
        """Return the patience and the smallest improvement that define a plateau of this run."""
        schedule = self.config.schedule
        if not SCHEDULES[schedule.name].drops_on_plateau:
            return rule.patience, rule.min_delta
        patience = int(schedule["patience"])
        if len(self.slots) > 1:
            # Each fold drops its learning rate at its own plateaus; the mean must wait for them.
            patience = max(patience, rule.patience)
        return patience, float(schedule["min_delta"])

    def is_lowest(self, report: EpochReport) -> bool:
        """Whether a slot's learning rate has reached the `min_lr` of its schedule."""
        schedule = self.config.schedule
        if not SCHEDULES[schedule.name].drops_on_plateau:
            return False
        return report.learning_rate <= float(schedule["min_lr"])

    def lr_share(self, report: EpochReport) -> float:
        """Return a slot's learning rate divided by η₀; 0 for schedules that do not anneal."""
        if not SCHEDULES[self.config.schedule.name].anneals:
            return 0.0
        return report.learning_rate / float(self.config.optimizer["learning_rate"])

    def epoch_s(self) -> float:
        """Return the seconds per epoch of the slowest slot; 0 before it is known.

        A training that continues from a snapshot has the reports of an earlier process, whose times
        do not count.
        """
        paces = [
            (latest.at_s - first.at_s) / (latest.epoch - first.epoch)
            for slot, first in self.first.items()
            if (latest := self.reports[slot]).epoch > first.epoch
        ]
        return max(paces, default=0.0)

    def left_s(self) -> float:
        """Estimate the seconds until the end of its schedule.

        It is 0 for a schedule without a fixed end, and before the seconds per epoch are known.
        Early stopping may end the training before.
        """
        training = [r for slot, r in self.reports.items() if slot not in self.outcomes]
        if not runs_to_end(self.config) or not training:
            return 0.0
        epochs = self.config.epochs - min(report.epoch for report in training)
        return max(self.epoch_s() * epochs - (time.monotonic() - self.heard_s), 0.0)
