"""The trials of a study in Optuna's storage: sampling, curves and ends.

Only the process of the search loop writes them. A finished trial is on disk when `finish` returns;
the curves of running trials follow within a second.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from autotrain.errors import SpaceError, StudyError
from autotrain.metrics import Metric
from autotrain.search.attributes import (
    ABANDONED,
    CAUSE,
    CONFIG,
    ERROR,
    GIVEN,
    IDENTITY,
    ORIGIN,
    RETRY_OF,
    SEED_OF,
    Cause,
    cause_of,
)
from autotrain.search.given import begin_given, enqueue, fixed_params
from autotrain.search.record import is_foreign, origin
from autotrain.search.sampling.samplers import seed_number
from autotrain.search.storage.opened import OpenStorage
from autotrain.space.config import TrialConfig
from autotrain.space.forbidding import ForbiddenCombination
from autotrain.space.search_space import SearchSpace

# A curve keeps its first epochs and about this number of later points, because the dashboard slows
# down with more.
FIRST_POINTS = 10
POINTS = 50
CURVES_EVERY_S = 1.0
ATTEMPTS = 100
"""Largest number of trials in a row that are rejected because they are forbidden or impossible."""
REJECTED = (SpaceError, ValueError, TypeError, KeyError, AttributeError)
"""Errors of a trial that was enqueued with impossible parameters."""
MOST_ABANDONED = 3
KEPT = (GIVEN, CONFIG)
"""User attributes that a retried trial passes on to its retry."""


class TrialStore:
    """The trials of one Optuna study.

    Args:
        study: the study, which no other process has open for writing.
        storage: its storage.
        space: the resolved search space.
        metric: the study's metric.
        whole_curves: whether to report every epoch, which Optuna's own pruners need.
        only: number of the only trial that may begin; None for all.
    """

    def __init__(
        self,
        study: optuna.Study,
        storage: OpenStorage,
        space: SearchSpace,
        metric: Metric,
        *,
        whole_curves: bool = False,
        only: int | None = None,
    ) -> None:
        self.study = study
        self.storage = storage
        self.space = space
        self.metric = metric
        self.whole_curves = whole_curves
        self.only = only
        self.committed_s = 0.0
        self.begun: list[int] = []
        """Trials that an earlier run began after its snapshot; `ask` returns them again first."""
        self.recorded: set[int] = set()
        """Trials that an earlier run ended after its snapshot; `finish` does not change them, and
        removes their numbers."""
        self._study_attrs = {IDENTITY: study.user_attrs.get(IDENTITY)}

    def enqueue(self, params: Mapping[str, Any], **attributes: Any) -> None:
        """Add a trial with these parameters, to be trained before any is sampled."""
        enqueue(self.study, params, **attributes)

    def ask(self) -> tuple[optuna.Trial, TrialConfig]:
        """Return the next trial and its configuration, first `begun`, then those of a user.

        An enqueued trial outside the space fails, and the next trial is returned.

        Raises:
            StudyError: when a trial that was added keeps Optuna from recording new ones.
            RuntimeError: when all of `ATTEMPTS` trials are forbidden.
        """
        for _ in range(ATTEMPTS):
            self.storage.refresh()
            trial = self._next()
            try:
                return trial, self._config(trial)
            except ForbiddenCombination:
                # Samplers ignore failed trials, and `show` does not list these.
                self._reject(trial, {CAUSE: Cause.FORBIDDEN})
            except REJECTED as error:
                # A sampler cannot draw such a trial, so it was enqueued through Optuna.
                if not self._given(trial) and CONFIG not in trial.user_attrs:
                    self._reject(trial, {CAUSE: Cause.INTERRUPTED})
                    raise _not_recordable(self.study, error) from error
                text = "; ".join(error.mistakes) if isinstance(error, SpaceError) else str(error)
                self._reject(trial, {CAUSE: Cause.OUTSIDE_SPACE, ERROR: text})
        raise RuntimeError(f"{ATTEMPTS} trials in a row were forbidden combinations")

    def _next(self) -> optuna.Trial:
        if self.begun:
            return self._trial(self.begun.pop(0))
        return begin_given(self.study, self.only) or self.study.ask()

    def _trial(self, number: int) -> optuna.Trial:
        """Return a recorded trial as an object that samples the parameters that are missing."""
        return optuna.Trial(self.study, self.study.get_trials(deepcopy=False)[number]._trial_id)

    def begin_again(self, number: int) -> tuple[optuna.Trial, TrialConfig]:
        """Return a trial that an earlier run began, and its configuration."""
        trial = self._trial(number)
        return trial, self._config(trial)

    def reported(self, number: int) -> int:
        """Return the last epoch of a trial's curve; all epochs of a recorded trial."""
        trial = self.study.get_trials(deepcopy=False)[number]
        return sys.maxsize if number in self.recorded else trial.last_step or 0

    def _config(self, trial: optuna.Trial) -> TrialConfig:
        """Return the configuration of a trial that has begun.

        Raises:
            ForbiddenCombination, SpaceError, ValueError, TypeError: when it cannot be trained.
        """
        outside = trial.user_attrs.get(CONFIG)
        if outside is not None:
            return TrialConfig.from_dict(outside)
        with warnings.catch_warnings():
            # Optuna accepts enqueued values out of range with a warning; here the trial fails.
            warnings.filterwarnings("ignore", "Fixed parameter", UserWarning)
            config = self.space.suggest(trial)
        given = self._given(trial)
        return self.space.config_from(trial.params | given) if given else config

    def _given(self, trial: optuna.Trial) -> dict[str, Any]:
        """Return the parameters with which a trial was enqueued."""
        return fixed_params(self.storage.get_trial(trial._trial_id))

    def _reject(self, trial: optuna.Trial, facts: Mapping[str, Any]) -> None:
        """End a trial that is not trained."""
        for name, fact in {**facts, **self._origin(trial.number)}.items():
            trial.set_user_attr(name, fact)
        self.study.tell(trial, state=TrialState.FAIL)

    def _origin(self, number: int) -> dict[str, str]:
        """Return the user attribute that marks a trial as ended by this study."""
        found = origin(self._study_attrs, number)
        return {} if found is None else {ORIGIN: found}

    def report(self, trial: optuna.Trial, epoch: int, of: int, value: float) -> None:
        """Add a point to the curve of a running trial, unless the points would be too many.

        Args:
            of: largest number of epochs of the trial.
            value: value that the trial would have if it ended at this epoch.
        """
        stride = max(of // POINTS, 1)
        if self.whole_curves or epoch <= FIRST_POINTS or epoch % stride == 0:
            trial.report(value, epoch)

    def finish(
        self,
        trial: optuna.Trial,
        state: TrialState,
        value: float | None,
        attributes: Mapping[str, Any],
        last_epoch: int = 0,
    ) -> None:
        """Record the end of a trial; it is on disk when this returns.

        Args:
            state: COMPLETE, PRUNED or FAIL.
            value: the trial's value, the last point of its curve; None without a value.
            attributes: user attributes. Samplers rank a trial whose cause `is_worst` below all
                others, whatever its curve.
            last_epoch: number of epochs; at least 1 with a value.
        """
        if trial.number in self.recorded:
            self.recorded.remove(trial.number)
            return
        for name, attribute in {**attributes, **self._origin(trial.number)}.items():
            trial.set_user_attr(name, attribute)
        if value is not None:
            self._end_curve(trial, last_epoch, value)
        # The value of a pruned trial is the last point of its curve.
        self.study.tell(trial, value if state == TrialState.COMPLETE else None, state=state)
        self.commit()
        self.storage.remember(self.study._study_id)

    def _end_curve(self, trial: optuna.Trial, epoch: int, value: float) -> None:
        """Set the last point of a curve to the trial's value.

        `report` may have skipped the last epoch. An attempt that was lost with its worker may have
        left later points.
        """
        curve = self.storage.get_trial(trial._trial_id).intermediate_values
        for step in (epoch, *(step for step in curve if step > epoch)):
            if curve.get(step) != value:
                self.storage.set_trial_intermediate_value(trial._trial_id, step, value)

    def note(self, name: str, value: Any) -> None:
        """Set a user attribute of the study; it is on disk when this returns."""
        self.study.set_user_attr(name, value)
        self.commit()

    def commit(self) -> None:
        """Write all buffered changes to disk."""
        self.storage.commit()
        self.committed_s = time.monotonic()

    def show_curves(self) -> None:
        """Make the curves visible to other processes, about once a second."""
        if time.monotonic() - self.committed_s > CURVES_EVERY_S:
            self.storage.commit(durable=False)
            self.committed_s = time.monotonic()

    def recover(self, continued: Mapping[int, Mapping[str, int]] | None = None) -> int:
        """Close the trials that an earlier run left open, and enqueue their configurations again.

        A trial whose process died repeatedly is given up, because it may be the reason.

        Args:
            continued: user attributes of the trials that are not closed, by number.
        Returns: the number of trials that are retried.
        """
        trials = self.study.get_trials(deepcopy=False)
        self.release(continued)
        retried = {trial.user_attrs.get(RETRY_OF) for trial in trials}
        again = [
            trial
            for trial in self.study.get_trials(deepcopy=False)
            if trial.state == TrialState.FAIL
            and (cause := cause_of(trial)) is not None
            and cause.is_retried
            and trial.number not in retried
        ]
        for trial in again:
            attributes = {
                RETRY_OF: trial.number,
                SEED_OF: seed_number(self.study, trial),
                ABANDONED: trial.user_attrs.get(ABANDONED, 0),
            }
            given = {name: trial.user_attrs[name] for name in KEPT if name in trial.user_attrs}
            self.enqueue(trial.params, **attributes, **given)
        self.commit()
        return len(again)

    def release(self, continued: Mapping[int, Mapping[str, int]] | None = None) -> int:
        """Close the trials that an earlier run left open, and return their number.

        Args:
            continued: user attributes of the trials that are not closed, by number.
        """
        n_closed, continued = 0, continued or {}
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.number in continued:
                for name, value in continued[trial.number].items():
                    self.storage.set_trial_user_attr(trial._trial_id, name, value)
            else:
                self._close_abandoned(trial)
                n_closed += 1
        self.commit()
        return n_closed

    def _close_abandoned(self, trial: FrozenTrial) -> None:
        storage = self.storage
        deaths = trial.user_attrs.get(ABANDONED, 0) + 1
        storage.set_trial_user_attr(trial._trial_id, ABANDONED, deaths)
        self.close(trial, Cause.INTERRUPTED if deaths < MOST_ABANDONED else Cause.GIVEN_UP)

    def close(self, trial: FrozenTrial, cause: Cause) -> None:
        """End an open trial without a result."""
        storage = self.storage
        for name, fact in {CAUSE: cause, **self._origin(trial.number)}.items():
            storage.set_trial_user_attr(trial._trial_id, name, fact)
        storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)

    def close_running(self) -> None:
        """Record trials as interrupted that Ctrl-C left running while they were sampled."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self.close(trial, Cause.INTERRUPTED)

    def is_finished(self, number: int) -> bool:
        """Whether the end of a trial is recorded."""
        return self.study.get_trials(deepcopy=False)[number].state.is_finished()

    def seed_number(self, number: int) -> int:
        """Return the number from which the seeds of a trial are derived."""
        return seed_number(self.study, self.study.get_trials(deepcopy=False)[number])


def _not_recordable(study: optuna.Study, error: Exception) -> StudyError:
    attrs = {IDENTITY: study.user_attrs.get(IDENTITY)}
    trials = study.get_trials(deepcopy=False)
    added = [str(trial.number) for trial in trials if is_foreign(trial, attrs)]
    return StudyError(
        f"study {study.study_name!r} must accept the parameters of its space, got: {error}. "
        f"Optuna keeps the parameters of a trial that was added (trial "
        f"{', '.join(added) or 'unknown'}) for all others. Start a study with another name, "
        "without that trial."
    )


def best_trial(trials: Sequence[FrozenTrial], metric: Metric) -> FrozenTrial | None:
    """Return the complete trial with the best value; None before one is complete.

    Ties are resolved in favor of the earlier trial.

    Args:
        trials: the study's own trials; see `record.own_trials`.
    """
    complete = [t for t in trials if t.state == TrialState.COMPLETE and t.value is not None]
    return min(complete, key=lambda t: metric.sign * (t.value or 0.0), default=None)
