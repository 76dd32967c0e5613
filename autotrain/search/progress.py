"""Progress of a study, for the displays: terminal, plain lines, notebook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

LEAST_FOR_A_RATE = 2
"""Trials that must have ended before a rate is computed from them."""


@dataclass(frozen=True)
class Progress:
    """One look at a running study.

    Args:
        n_complete, n_pruned, n_failed, n_running: trials of the whole study by state.
        n_done: trials that ended since this run began.
        n_trials, timeout_s: this run's budget; None for no limit.
        is_whole_space: whether n_trials is all that a finite space has left to try.
        best_value, best_number: of the best complete trial, None before there is one.
        best_summary: the best trial's configuration in a few words.
        n_repeats: trainings of finalists from other seeds since this run began.
        epochs: trial-epochs trained since this run began.
        elapsed_s: since this run began.
        stage: what runs once the time for training is over, such as "calibrating"; "" before.
    """

    n_complete: int = 0
    n_pruned: int = 0
    n_failed: int = 0
    n_running: int = 0
    n_done: int = 0
    n_trials: int | None = None
    is_whole_space: bool = False
    timeout_s: float | None = None
    best_value: float | None = None
    best_number: int | None = None
    best_summary: str = ""
    n_repeats: int = 0
    epochs: int = 0
    elapsed_s: float = 0.0
    stage: str = ""

    @property
    def trials_per_minute(self) -> float | None:
        """Trials ended per minute since this run began; None before a second one has ended."""
        if self.n_done < LEAST_FOR_A_RATE or self.elapsed_s <= 0:
            return None
        return 60 * self.n_done / self.elapsed_s

    @property
    def left_s(self) -> float | None:
        """Estimate of the seconds left: the nearer of the two budgets; None when unknown.

        Once all trials have ended, how long the best are trained again is not known.
        """
        left = [] if self.timeout_s is None else [max(self.timeout_s - self.elapsed_s, 0.0)]
        if self.n_trials is not None and LEAST_FOR_A_RATE <= self.n_done < self.n_trials:
            remaining = self.n_trials - self.n_done
            left.append(remaining * self.elapsed_s / self.n_done)
        return min(left, default=None)


class Observer(Protocol):
    """Protocol of a display, which is updated a few times a second."""

    def update(self, progress: Progress) -> None:
        """Show the current progress."""


class Silent:
    """Shows nothing."""

    def update(self, progress: Progress) -> None:
        """Do nothing."""
