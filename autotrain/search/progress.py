"""Progress of a study, for the displays: terminal, plain lines, notebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

ENDING = "ending the last trainings"
"""Stage at the end of the time."""
LEAST_FOR_A_RATE = 2
"""Number of ended trials that a rate is computed from, at least."""


@dataclass(frozen=True)
class Leader:
    """A complete trial.

    Args:
        value: its value.
        number: its number.
        words: a short description of its configuration.
    """

    value: float
    number: int
    words: str


@dataclass(frozen=True)
class InTraining:
    """A trial or a repeat that is in training.

    Args:
        number: number of the trial.
        repeat: number of the repeat; 0 for the trial itself.
        epoch: number of epochs that all folds have ended.
        most_epochs: largest number of epochs.
        value: the value if it ended now; None before its first epoch.
        words: a short description of its configuration.
    """

    number: int
    repeat: int
    epoch: int
    most_epochs: int
    value: float | None
    words: str


@dataclass(frozen=True)
class Progress:
    """The progress of a running study at one moment.

    Args:
        n_complete, n_pruned, n_failed, n_running: numbers of trials of the whole study by state.
        n_done: number of trials that ended in this run.
        n_trials, timeout_s: budget of this run; None for no limit.
        is_whole_space: whether n_trials is the number of untried configurations of a finite space.
        best_value, best_number: value and number of the best complete trial; None before one is
            complete.
        best_summary: short description of the best trial's configuration.
        n_repeats: number of repeats that ended in this run.
        epochs: number of epochs trained in this run, summed over slots.
        elapsed_s: seconds since the start of this run.
        stage: the stage after training, such as "calibrating"; "" during training.
        purpose: what the time is used for during training, such as "new trials".
        leaders: the three best complete trials of the study, the best first.
        trend: the best value after each complete trial of the study, at most 100.
        causes: numbers of trials of this run that did not complete, by cause.
        in_training: the trainings that have run for the longest time, at most four.
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
    purpose: str = ""
    leaders: tuple[Leader, ...] = ()
    trend: tuple[float, ...] = ()
    causes: Mapping[str, int] = field(default_factory=dict)
    in_training: tuple[InTraining, ...] = ()

    @property
    def trials_per_minute(self) -> float | None:
        """Ended trials per minute of this run; None before two have ended."""
        if self.n_done < LEAST_FOR_A_RATE or self.elapsed_s <= 0:
            return None
        return 60 * self.n_done / self.elapsed_s

    @property
    def left_s(self) -> float | None:
        """Estimated seconds until the first budget is used; None when unknown.

        It is unknown after the last trial, while repeats are trained.
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
    """An observer that shows nothing."""

    def update(self, progress: Progress) -> None:
        """Do nothing."""
