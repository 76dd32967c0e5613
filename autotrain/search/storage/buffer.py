"""The trials of a study in memory during a search: what is there, and what is not written yet.

Optuna writes a trial with one call for each parameter, attribute and point of its curve, which are
about 30 transactions of a database. `StudyBuffer` collects the changes of running trials, so that
`BufferedStorage` (buffered.py) writes those of all trials in one transaction. It also answers
Optuna's reading calls, because samplers read all trials for each new one.

Only the process of the search writes its trials, so the memory is as good as the storage. Trials
that other processes add are read by `OpenStorage.refresh`.
"""

from __future__ import annotations

import copy
import json
import math
import threading
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState


@dataclass(frozen=True)
class End:
    """The end of a trial."""

    state: TrialState
    values: Sequence[float] | None
    at: datetime


@dataclass
class Change:
    """The changes of one running trial that are not in the storage yet.

    Args:
        trial_id: Optuna's number of the trial in the storage.
        params: internal value and distribution of each new parameter, in their order.
        user_attrs, system_attrs: new values, as JSON returns them.
        intermediate_values: new points of the curve.
        end: the end of the trial; None while it runs.
    """

    trial_id: int
    params: dict[str, tuple[float, BaseDistribution]] = field(default_factory=dict)
    user_attrs: dict[str, Any] = field(default_factory=dict)
    system_attrs: dict[str, Any] = field(default_factory=dict)
    intermediate_values: dict[int, float] = field(default_factory=dict)
    end: End | None = None

    def __bool__(self) -> bool:
        return bool(
            self.params
            or self.user_attrs
            or self.system_attrs
            or self.intermediate_values
            or self.end
        )

    @classmethod
    def whole(cls, trial: FrozenTrial, end: End | None = None) -> Change:
        """Return all that a trial contains, as the change of a trial that is empty."""
        return cls(
            trial._trial_id,
            {
                name: (kind.to_internal_repr(trial.params[name]), kind)
                for name, kind in trial.distributions.items()
            },
            dict(trial.user_attrs),
            dict(trial.system_attrs),
            dict(trial.intermediate_values),
            end,
        )


class RunningTrial:
    """A trial that this process runs.

    Attributes:
        change: what is not written yet.
    """

    def __init__(self, trial: FrozenTrial) -> None:
        self._trial = _copy(trial)
        self._seen: FrozenTrial | None = None
        self.change = Change(trial._trial_id)

    @property
    def number(self) -> int:
        """The number of the trial in its study."""
        return self._trial.number

    def frozen(self) -> FrozenTrial:
        """Return the trial as it is now; later changes do not change the result."""
        if self._seen is None:
            self._seen = _copy(self._trial)
        return self._seen

    def set_param(self, name: str, value: float, kind: BaseDistribution) -> None:
        """Add a parameter by its internal value."""
        self._seen = None
        self._trial.params[name] = kind.to_external_repr(value)
        self._trial.distributions[name] = kind
        self.change.params[name] = (value, kind)

    def set_user_attr(self, name: str, value: Any) -> None:
        """Set a user attribute.

        Raises: TypeError when the value cannot be written as JSON.
        """
        self._seen = None
        plain = _as_json(value)
        self._trial.user_attrs[name] = self.change.user_attrs[name] = plain

    def set_system_attr(self, name: str, value: Any) -> None:
        """Set a system attribute.

        Raises: TypeError when the value cannot be written as JSON.
        """
        self._seen = None
        plain = _as_json(value)
        self._trial.system_attrs[name] = self.change.system_attrs[name] = plain

    def set_point(self, step: int, value: float) -> None:
        """Set a point of the curve."""
        self._seen = None
        self._trial.intermediate_values[step] = self.change.intermediate_values[step] = value

    def ended(self, end: End) -> FrozenTrial:
        """Return the trial with its end."""
        trial = _copy(self._trial)
        trial.state, trial.datetime_complete = end.state, end.at
        if end.values is not None:
            trial.values = list(end.values)
        return trial

    def written(self) -> None:
        """Forget the changes, because they are in the storage."""
        self.change = Change(self._trial._trial_id)


class StudyBuffer:
    """The trials of one study.

    Args:
        study_id: Optuna's number of the study.
        trials: all trials in the storage, in the order of their numbers.
        user_attrs, system_attrs: attributes of the study.

    Attributes:
        mutex: held by a thread that reads or changes the trials.
        remembered_s: time of the last record of the number of trials.
    """

    def __init__(
        self,
        study_id: int,
        trials: Iterable[FrozenTrial],
        user_attrs: Mapping[str, Any],
        system_attrs: Mapping[str, Any],
    ) -> None:
        self.study_id = study_id
        self.mutex = threading.Lock()
        self.remembered_s = -math.inf
        self.user_attrs = dict(user_attrs)
        self.system_attrs = dict(system_attrs)
        self._trials: list[FrozenTrial] = []
        self._open: set[int] = set()
        self._running: dict[int, RunningTrial] = {}
        self._number_of: dict[int, int] = {}
        self._kinds: dict[str, BaseDistribution] = {}
        self.put(trials)

    def put(self, trials: Iterable[FrozenTrial]) -> None:
        """Add trials, or replace them by a newer state, in the order of their numbers."""
        for trial in trials:
            if trial.number == len(self._trials):
                self._trials.append(trial)
            else:
                self._trials[trial.number] = trial
            self._number_of[trial._trial_id] = trial.number
            if trial.state.is_finished():
                self._open.discard(trial.number)
                self._running.pop(trial._trial_id, None)
            else:
                self._open.add(trial.number)
            for name, kind in trial.distributions.items():
                self._kinds.setdefault(name, kind)

    def begin(self, trial: FrozenTrial) -> None:
        """Collect the changes of a trial that this process runs from now on."""
        self.put([trial])
        self._running[trial._trial_id] = RunningTrial(trial)

    def running(self, trial_id: int) -> RunningTrial | None:
        """Return a trial of this process; None when others run it, or it has ended."""
        return self._running.get(trial_id)

    def check_param(self, name: str, kind: BaseDistribution) -> None:
        """Check that a parameter agrees with those of earlier trials, as Optuna does.

        Raises: ValueError when it does not.
        """
        check_distribution_compatibility(self._kinds.setdefault(name, kind), kind)

    def changed(self) -> list[RunningTrial]:
        """Return the running trials that are not completely written."""
        return [running for running in self._running.values() if running.change]

    @property
    def n_trials(self) -> int:
        """The number of trials of the study."""
        return len(self._trials)

    @property
    def n_ended(self) -> int:
        """The number of trials that have ended."""
        return len(self._trials) - len(self._open)

    @property
    def last_id(self) -> int:
        """Optuna's number of the last trial; -1 without trials."""
        return self._trials[-1]._trial_id if self._trials else -1

    def open_elsewhere(self) -> dict[int, TrialState]:
        """Return number in the storage and state of open trials that this process does not run."""
        trials = (self._trials[number] for number in sorted(self._open))
        return {t._trial_id: t.state for t in trials if t._trial_id not in self._running}

    def trial(self, trial_id: int) -> FrozenTrial | None:
        """Return a trial as it is now; None for a trial of another study."""
        running = self._running.get(trial_id)
        if running is not None:
            # Optuna changes the trial that it gets here.
            return _copy(running.frozen())
        number = self._number_of.get(trial_id)
        return None if number is None else self._trials[number]

    def trial_id(self, number: int) -> int | None:
        """Return Optuna's number in the storage of the trial with this number."""
        return self._trials[number]._trial_id if 0 <= number < len(self._trials) else None

    def trials(self, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        """Return the trials with these states as they are now, in the order of their numbers."""
        if states is not None and not any(state in states for state in _FINISHED):
            candidates = [self._trials[number] for number in sorted(self._open)]
            running = self._running
            candidates = [
                running[i].frozen() if (i := t._trial_id) in running else t for t in candidates
            ]
        else:
            candidates = self._trials.copy()
            for trial in self._running.values():
                candidates[trial.number] = trial.frozen()
        return candidates if states is None else [t for t in candidates if t.state in states]


def ended_elsewhere(trial: FrozenTrial) -> UpdateFinishedTrialError:
    """Return Optuna's error for a change of a trial that another process has ended."""
    return UpdateFinishedTrialError(
        f"Trial#{trial.number} has already finished and can not be updated."
    )


_FINISHED = tuple(state for state in TrialState if state.is_finished())


def _as_json(value: Any) -> Any:
    """Return a value as it is after it was written and read."""
    return json.loads(json.dumps(value))


def _copy(trial: FrozenTrial) -> FrozenTrial:
    """Copy a trial and its dictionaries, but not their values, which never change."""
    new = copy.copy(trial)
    new.params, new.distributions = dict(trial.params), dict(trial.distributions)
    new.user_attrs, new.system_attrs = dict(trial.user_attrs), dict(trial.system_attrs)
    new.intermediate_values = dict(trial.intermediate_values)
    return new
