"""What the coordinator knows of a trial in training, and what is kept of it at its end."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna

from autotrain.network import flags as diagnostic_flags
from autotrain.network.config import dropout_of, input_dropout_of
from autotrain.network.flags import Diagnosis
from autotrain.search.attributes import (
    BEST_EPOCH,
    CAUSE,
    CURVE,
    DIAGNOSTICS,
    EPOCHS,
    FLAGS,
    FOLD_EPOCHS,
    GRADIENT_RATIO,
    N_PARAMETERS,
    SECONDS,
    Cause,
)
from autotrain.search.pruning.pruners import Board, PlateauRule
from autotrain.search.workers.protocol import Worker
from autotrain.space.config import TrialConfig
from autotrain.techniques.schedules import SCHEDULES
from autotrain.training.slot import EpochReport, Outcome

CURVE_POINTS = 50


@dataclass
class Running:
    """A trial in training, or a repeat of one in the finals."""

    number: int
    """The trial's."""
    trial: optuna.Trial | None
    """None for a repeat: nothing of it goes into the trial, which has ended."""
    config: TrialConfig
    worker: Worker
    cost: float
    seed: int
    slots: tuple[int, ...] = ()
    started_s: float = 0.0
    reports: dict[int, EpochReport] = field(default_factory=dict)
    """The latest of each slot."""
    first: dict[int, EpochReport] = field(default_factory=dict)
    """The first of each slot: pace is measured from there."""
    heard_s: float = 0.0
    """When the latest report came."""
    scores: dict[int, list[float]] = field(default_factory=dict)
    """Each slot's value at each of its epochs."""
    values: dict[int, list[float]] = field(default_factory=dict)
    """The value that each slot would have if it ended at that epoch."""
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    epoch: int = 0
    dropped: bool = False
    cause: Cause | None = None
    """Why the coordinator stops it; None while it may go on."""
    reported: int = 0
    """Epochs on its curve: more than `epoch` where an earlier try was cut off."""
    is_again: bool = False
    """Whether an earlier try was lost with its worker."""
    repeat: int = 0
    board: Board | None = None
    """A repeat's own: it is compared with nobody, but ends where it has converged."""

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


def value_of(outcomes: Sequence[Outcome]) -> float:
    """Return a trial's value: the mean of its folds' best ones."""
    return mean_of_folds([outcome.best_value for outcome in outcomes])


def mean_of_folds(numbers: Sequence[float]) -> float:
    """Return the mean, added up in the order of the folds: the same digits wherever it is made."""
    return float(np.mean(numbers))


def n_parameters(outcomes: Sequence[Outcome]) -> int:
    """Return how many parameters the largest of a trial's networks has."""
    return max(0 if o.parameters is None else len(o.parameters) for o in outcomes)


def runs_to_end(config: TrialConfig) -> bool:
    """Tell whether only a trial's last epoch ends it: its schedule ends low, or no stop is asked.

    Such a trial never counts as converged before, and is worth waiting for.
    """
    return SCHEDULES[config.schedule.name].anneals or not config.early_stopping["enabled"]


def trial_seed(study_seed: int, number: int) -> int:
    """Return a trial's own seed, from the study's seed and the trial's place in it."""
    sequence = np.random.SeedSequence([study_seed, number])
    return int(sequence.generate_state(1, np.uint64)[0])


def summary(config: TrialConfig) -> str:
    """Return a configuration in a few words."""
    widths = "-".join(map(str, config.hidden_units)) or "linear"
    words = [widths, *([config.activation.name] if config.hidden_units else [])]
    words += [config.optimizer.name, f"{config.optimizer['learning_rate']:.2g}"]
    if config.hidden_units and config.batch_norm.name != "off":
        words.append("batch norm")
    if config.hidden_units and dropout_of(config).name != "none":
        words.append(f"dropout {config.dropout['rate']:.2g}")
    if input_dropout_of(config).name != "none":
        words.append(f"input dropout {config.dropout['input_rate']:.2g}")
    return " ".join([*words, config.schedule.name])


def facts_of(outcomes: Sequence[Outcome], cause: Cause, running: Running) -> dict[str, Any]:
    """Return what is kept on a trial: few and small, the dashboard slows with more."""
    epochs = [o.epochs for o in outcomes]
    facts: dict[str, Any] = {
        CAUSE: cause,
        EPOCHS: max(epochs),
        BEST_EPOCH: outcomes[0].best_epoch,
        SECONDS: round(time.monotonic() - running.started_s, 3),
        N_PARAMETERS: n_parameters(outcomes),
    }
    if min(epochs) < max(epochs):
        facts[FOLD_EPOCHS] = epochs
    if curve := running.curve():
        facts[CURVE] = curve
    return facts | health_of([outcome.diagnosis for outcome in outcomes])


def health_of(folds: Sequence[Diagnosis]) -> dict[str, Any]:
    """Return a trial's flags and the numbers of the folds that they are about.

    These are the first fold with each flag; the first fold where none has one. Folds count from 1.
    Flags are decided on the rounded numbers, so that they follow from what is kept.
    """
    folds = [Diagnosis.from_json(found.to_json()) for found in folds]
    kept: dict[int, Diagnosis] = {}
    flags: set[str] = set()
    for fold, found in enumerate(folds, 1):
        if not flags.issuperset(found.flags):
            kept[fold] = found
            flags.update(found.flags)
    kept = kept or {1: folds[0]}
    facts: dict[str, Any] = {
        DIAGNOSTICS: [{"fold": fold, **found.to_json()} for fold, found in kept.items()]
    }
    if flags:
        facts[FLAGS] = " ".join(name for name in diagnostic_flags.FLAGS if name in flags)
    ratios = [found.ratio for found in kept.values() if found.ratio is not None]
    if ratios:
        facts[GRADIENT_RATIO] = float(f"{min(ratios):.4g}")
    return facts
