"""The budget of a study and of each of its runs: trials, seconds, and the shares of the time.

A study's `Budget` is the sum of what all its runs were given. `Budget.minus` what the study has
`Used` is left for `resume`. A `RunBudget` limits one run; its `RunClock` divides the time of the
run between new trials, repeats of the best trials, and the export.
"""

from __future__ import annotations

import math
import numbers
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from autotrain.errors import StudyError
from autotrain.search.attributes import is_counted, seconds_of, spent_seconds
from autotrain.search.record import own_trials
from autotrain.validation import is_number

DEFAULT_TIMEOUT_S = 600.0
"""Duration of a search without a limit, in seconds."""
LEAST_SHARE = 0.05
"""Least share of a study's time that can remain; less is none, as runs reserve time at the end."""
SCORING_SHARE = 0.02
"""Share of a command's time limit that is reserved for the test score and the exit."""
MOST_RESERVED_SHARE = 0.5
"""Largest share of a run's time that is reserved for its end: export and test score."""
UNKNOWN_END_SHARE = 0.25
"""Time that is reserved before the first export, as a share of the time to prepare the rows."""
FINALS_SHARE = 0.2
"""Last share of the time, in which repeats of the best trials go before new trials."""
MOST_FINALS_SHARE = 0.4
"""Largest share of the time in which repeats go first, when trials are long."""
ROUNDS = 2.0
"""Time in which repeats go first, in runtimes of the best trial: a worker must become free."""


@dataclass(frozen=True)
class Used:
    """The part of a budget that a study has used.

    Args:
        n_trials: number of trials that ended.
        seconds: how long the study has run.
        typical_s: median runtime of the complete trials in seconds; 0 without one.
    """

    n_trials: int = 0
    seconds: float = 0.0
    typical_s: float = 0.0

    @classmethod
    def of(cls, trials: Sequence[FrozenTrial], user_attrs: Mapping[str, Any]) -> Used:
        """Return the budget that a study's own trials have used.

        A run that was killed recorded no time; the time in which its trials ran is counted for it.
        """
        complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        return cls(
            sum(is_counted(trial) for trial in trials),
            max(_covered_seconds(trials), spent_seconds(user_attrs)),
            median([seconds_of(trial) or 0.0 for trial in complete] or [0.0]),
        )

    @classmethod
    def by(cls, study: optuna.Study) -> Used:
        """Return the budget that an Optuna study has used."""
        trials = own_trials(study.get_trials(deepcopy=False), study.user_attrs)
        return cls.of(trials, study.user_attrs)


@dataclass(frozen=True)
class Budget:
    """A number of trials and seconds.

    Args:
        n_trials, timeout_s: None for no limit.
        least_s: typical runtime of a trial in seconds; in less time no trial could end.
    """

    n_trials: int | None = None
    timeout_s: float | None = None
    least_s: float = 0.0

    @property
    def is_nothing(self) -> bool:
        """Whether one of the limits is reached, for new trials."""
        no_trials = self.n_trials is not None and self.n_trials < 1
        return no_trials or (self.timeout_s is not None and self.timeout_s <= self.least_s)

    def minus(self, used: Used) -> Budget:
        """Return the remaining budget of a study."""
        n_trials, left_s = self.n_trials, self.timeout_s
        if n_trials is not None:
            n_trials = max(n_trials - used.n_trials, 0)
        if self.timeout_s is not None:
            left_s = self.timeout_s - used.seconds
            left_s = left_s if left_s > LEAST_SHARE * self.timeout_s else 0.0
        return Budget(n_trials, left_s, used.typical_s)

    def plus(self, used: Used) -> Budget:
        """Return the total budget of a study that has used some and gets this one."""
        n_trials, timeout_s = self.n_trials, self.timeout_s
        return Budget(
            None if n_trials is None else n_trials + used.n_trials,
            None if timeout_s is None else round(timeout_s + used.seconds, 1),
        )

    def plus_training(self, *, n_trials: int = 0, seconds: float = 0.0) -> Budget:
        """Return the total budget of a study that got a trial by `train`.

        The remaining budget does not change, and a study without any budget has none left.
        """
        total_s = None if self.timeout_s is None else round(self.timeout_s + seconds, 1)
        if self.n_trials is None and self.timeout_s is not None:
            return Budget(None, total_s)
        return Budget((self.n_trials or 0) + n_trials, total_s)

    def after(self, seconds: float) -> Budget:
        """Return the budget that remains after a number of seconds without a trial."""
        if self.timeout_s is None:
            return self
        return replace(self, timeout_s=max(self.timeout_s - seconds, 0.0))

    def or_default(self) -> Budget:
        """Return the budget, with the default time limit if it has no limit."""
        if self.n_trials is None and self.timeout_s is None:
            return replace(self, timeout_s=DEFAULT_TIMEOUT_S)
        return self


@dataclass(frozen=True)
class RunBudget:
    """The limits of one run.

    Args:
        n_trials: None for no limit; 0 for repeats only.
        timeout_s: seconds from `started_s`; None for no limit.
        started_s: `time.monotonic()` at the start of the run, or of the command that it belongs to.
        reserved_share: share of the time limit that is reserved for what follows the run.
        whole_s: the total time limit of an earlier run, if this run uses what it left; 0 if not.
    """

    n_trials: int | None = None
    timeout_s: float | None = None
    started_s: float = field(default_factory=time.monotonic)
    reserved_share: float = 0.0
    whole_s: float = 0.0

    @classmethod
    def of(cls, n_trials: Any, timeout: Any) -> RunBudget:
        """Return the budget that a user gave, from now on; None and infinity for no limit.

        Raises:
            StudyError: when a limit is not a positive number.
        """
        if isinstance(timeout, float) and timeout == math.inf:
            timeout = None
        if n_trials is not None and not (is_number(n_trials, numbers.Integral) and n_trials >= 1):
            raise StudyError(
                f"n_trials must be a positive integer or None, got {n_trials!r}.",
                parameter="n_trials",
            )
        if timeout is not None and not (is_number(timeout, numbers.Real) and timeout > 0):
            raise StudyError(
                f"timeout must be a positive number of seconds or None, got {timeout!r}.",
                parameter="timeout",
            )
        return cls(
            None if n_trials is None else int(n_trials), None if timeout is None else float(timeout)
        )

    def spent_s(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.started_s

    def left_s(self) -> float | None:
        """Return the remaining seconds, at least 0; None without a time limit."""
        if self.timeout_s is None:
            return None
        return max((1 - self.reserved_share) * self.timeout_s - self.spent_s(), 0.0)

    def or_default(self) -> RunBudget:
        """Return the budget, with the default time limit if it has no limit."""
        limit = Budget(self.n_trials, self.timeout_s).or_default()
        return replace(self, timeout_s=limit.timeout_s)

    def continuing(self, total: Budget, before: Budget) -> RunBudget:
        """Return the budget of a run that continues an earlier one if it adds no time.

        Args:
            total, before: the study's total budget with this run, and without it.
        """
        if total.timeout_s is None or before.timeout_s is None:
            return self
        adds_time = total.timeout_s > before.timeout_s
        return self if adds_time else replace(self, whole_s=before.timeout_s)


class RunClock:
    """The clock of a run. It starts when it is created, as the first training starts.

    Args:
        limit_s: seconds of this run; None for no limit.
        whole_s: see `RunBudget`.
        prepared_s: seconds in which the rows were prepared.
        scores: whether the model is scored on the test rows within the time limit.
        now: returns the time in seconds.
    """

    def __init__(
        self,
        limit_s: float | None = None,
        *,
        whole_s: float = 0.0,
        prepared_s: float = 0.0,
        scores: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit_s = limit_s
        self.whole_s = whole_s
        self.now = now
        self.prepared_s = prepared_s
        self.scores = scores
        self.begun_s = now()
        self.reserved_s = 0.0
        self.reserve(None)

    def reserve(self, seconds: float | None) -> None:
        """Reserve time for the end, but not too large a share; nothing without a limit.

        Args:
            seconds: how long the end takes; None before the first export. Then it is estimated from
                the time in which the rows were prepared, because both grow with the table.
        """
        if self.limit_s is None:
            return
        if seconds is None:
            seconds = UNKNOWN_END_SHARE * self.prepared_s
        self.reserved_s = min(seconds, MOST_RESERVED_SHARE * self.limit_s)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return self.now() - self.begun_s

    @property
    def end_s(self) -> float:
        """When training ends, in seconds from the start; infinity without a limit."""
        return math.inf if self.limit_s is None else max(self.limit_s - self.reserved_s, 0.0)

    @property
    def left_s(self) -> float:
        """Remaining seconds of training; negative after the end."""
        return self.end_s - self.elapsed_s

    @property
    def is_late(self) -> bool:
        """Whether the time for training is over."""
        return self.left_s <= 0

    def is_for_finals(self, repeat_s: float) -> bool:
        """Whether this is the last part of the time, in which repeats of the best trials go first.

        Args:
            repeat_s: runtime of the best trial in seconds.
        """
        if self.limit_s is None:
            return False
        whole_s = max(self.end_s, self.whole_s - self.reserved_s)
        finals_s = max(FINALS_SHARE * whole_s, min(ROUNDS * repeat_s, MOST_FINALS_SHARE * whole_s))
        return 0 < self.left_s <= finals_s


def _covered_seconds(trials: Sequence[FrozenTrial]) -> float:
    """Return the seconds in which at least one trial ran that ended with a result."""
    ends = (TrialState.COMPLETE, TrialState.PRUNED)
    spans = sorted(
        (trial.datetime_start.timestamp(), trial.datetime_complete.timestamp())
        for trial in trials
        if trial.state in ends and trial.datetime_start and trial.datetime_complete
    )
    covered_s, until = 0.0, float("-inf")
    for start, end in spans:
        covered_s += max(end - max(start, until), 0.0)
        until = max(until, end)
    return covered_s
