"""One training that is in progress: the reports of its slots, and what follows from them."""

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
    """Share of the worker that it takes."""
    seed: int
    slots: tuple[int, ...] = ()
    """One per fold."""
    started_s: float = 0.0
    reports: dict[int, EpochReport] = field(default_factory=dict)
    """The latest report of each slot."""
    first: dict[int, EpochReport] = field(default_factory=dict)
    """The first report of each slot: the pace is measured from there."""
    heard_s: float = 0.0
    """Time of the latest report."""
    scores: dict[int, list[float]] = field(default_factory=dict)
    """Validation score of each slot at each of its epochs."""
    values: dict[int, list[float]] = field(default_factory=dict)
    """The value that each slot would have if it ended at that epoch."""
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    epoch: int = 0
    """The last epoch that all slots have ended."""
    dropped: bool = False
    """Whether a learning rate has dropped at the last epoch."""
    cause: Cause | None = None
    """Why it is being stopped; None while it may continue."""
    reported: int = 0
    """Points of the trial's curve; more than `epoch` where an earlier attempt was lost."""
    is_retry: bool = False
    """Whether an earlier attempt was lost with its worker."""

    repeat = 0
    """0 for a trial; for a repeat its number."""

    # ---- what differs between trials and repeats -------------------------------------------

    @abstractmethod
    def comparison(self, shared: Comparison | None) -> Comparison | None:
        """Return the comparison that decides about this run; None without performance scheduling.

        Args:
            shared: the comparison of the study's trials.
        """

    @abstractmethod
    def take_epoch(self, recorder: Recorder, value: float) -> Cause | None:
        """Record the value at an epoch; return the cause when an Optuna pruner stops it."""

    @abstractmethod
    def end(self, recorder: Recorder, outcomes: list[Outcome]) -> None:
        """Record the end of all folds."""

    @abstractmethod
    def fail(self, recorder: Recorder, cause: Cause, text: str) -> None:
        """Record an end for a reason outside the configuration.

        Raises: RuntimeError when many trials failed and none succeeded.
        """

    @abstractmethod
    def put_off(self, recorder: Recorder) -> None:
        """Record that the run ended first, so that `resume` trains it again."""

    @abstractmethod
    def retry(self, worker: Worker) -> TrainingRun:
        """Return a second attempt, alone on a worker."""

    @abstractmethod
    def forget(self, recorder: Recorder) -> None:
        """Remove from comparisons what a lost attempt has reported."""

    def trained(self, outcomes: Sequence[Outcome]) -> Trained:
        """Return its networks.

        Args:
            outcomes: one per fold, in the folds' order.
        """
        value = value_of(outcomes)
        return Trained(self.number, value, self.config, self.seed, tuple(outcomes), self.repeat)

    # ---- reports ---------------------------------------------------------------------------

    def judge(
        self, comparison: Comparison, latest: Sequence[EpochReport], score: float
    ) -> Decision:
        """Let performance scheduling decide about the training at an epoch.

        Args:
            latest: the latest report of each slot.
            score: mean over folds; lower is better.
        """
        training = [report for report in latest if report.slot not in self.outcomes]
        decision = comparison.record(
            self.number,
            score,
            loss=float(np.mean([report.valid_loss for report in latest])),
            # A fold that has ended counts with its last number of rows.
            samples_seen=max(report.samples_seen for report in latest),
            lr_dropped=self.dropped,
            lr_lowest=bool(training) and all(self.is_lowest(report) for report in training),
            lr_share=max((self.lr_share(report) for report in training), default=0.0),
        )
        self.dropped = any(report.dropped for report in training)
        return decision

    def hear(self, report: EpochReport, sign: float) -> None:
        """Take a slot's report.

        Args:
            sign: 1 where lower values are better, −1 where higher ones are.
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
        """Count an epoch that all slots have ended; None while some have not.

        Returns: the latest report of each slot.
        """
        latest = [self.reports.get(slot) for slot in self.slots]
        for slot, report in zip(self.slots, latest, strict=True):
            if slot not in self.outcomes and (report is None or report.epoch <= self.epoch):
                return None
        self.epoch += 1
        return [report for report in latest if report is not None]

    def value_so_far(self) -> float | None:
        """Return the value it would have if it ended now; None before each slot has one."""
        return self.value_at(max(map(len, self.values.values()), default=0))

    def value_at(self, epoch: int) -> float | None:
        """Return the value it would have if it had ended at that epoch.

        The mean over folds of each fold's best score so far, or of its latest one where the last
        weights are kept. A fold that had ended before counts with what it ended with.

        Returns: None when a fold has no finite score yet.
        """
        return self._mean_at(self.values, epoch)

    def curve(self) -> list[list[float]]:
        """Return the mean over folds of the validation scores, epoch by epoch.

        Returns: at most 50 [epoch, score] pairs, evenly spread, the first and the last epoch among
            them; scores have 6 significant digits, scores that are not finite are left out.
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
        """Return the epochs without improvement that are a plateau, and the least improvement."""
        schedule = self.config.schedule
        if not SCHEDULES[schedule.name].drops_on_plateau:
            return rule.patience, rule.min_delta
        patience = int(schedule["patience"])
        if len(self.slots) > 1:
            # Each fold lowers its rate at its own plateaus; those of the mean must not be shorter.
            patience = max(patience, rule.patience)
        return patience, float(schedule["min_delta"])

    def is_lowest(self, report: EpochReport) -> bool:
        """Whether a slot's learning rate is at the `min_lr` of its schedule, and falls no more."""
        schedule = self.config.schedule
        if not SCHEDULES[schedule.name].drops_on_plateau:
            return False
        return report.learning_rate <= float(schedule["min_lr"])

    def lr_share(self, report: EpochReport) -> float:
        """Return a slot's learning rate as a share of η₀; 0 where it does not fall by itself."""
        if not SCHEDULES[self.config.schedule.name].anneals:
            return 0.0
        return report.learning_rate / float(self.config.optimizer["learning_rate"])

    def epoch_s(self) -> float:
        """Return how long an epoch takes, by the slowest slot; 0 before it is known."""
        paces = [
            (latest.at_s - first.at_s) / (latest.epoch - first.epoch)
            for slot, latest in self.reports.items()
            if latest.epoch > (first := self.first[slot]).epoch
        ]
        return max(paces, default=0.0)

    def left_s(self) -> float:
        """Return the seconds that its schedule still takes, at the pace so far.

        Early stopping may end it before. 0 where its schedule has no end to wait for, and before
        its pace is known.
        """
        training = [r for slot, r in self.reports.items() if slot not in self.outcomes]
        if not runs_to_end(self.config) or not training:
            return 0.0
        epochs = self.config.epochs - min(report.epoch for report in training)
        return max(self.epoch_s() * epochs - (time.monotonic() - self.heard_s), 0.0)
