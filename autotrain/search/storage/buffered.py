"""`BufferedStorage`: a storage that collects the changes of running trials during a search.

Inside `buffering`, Optuna's calls read and change the memory (`StudyBuffer` in buffer.py). A
`TrialWriter` writes the changes of all running trials together when a trial ends, and when `commit`
is called. Outside of it, each call goes to Optuna's storage at once.

These calls go to the storage also inside it: those that create, enqueue or begin a trial, because
their order defines the numbers of trials, and those that change the study.
"""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from autotrain.search.storage.buffer import End, RunningTrial, StudyBuffer, ended_elsewhere
from autotrain.search.storage.opened import OpenStorage
from autotrain.search.storage.writers import TrialWriter

REMEMBERED_EVERY_S = 1.0


class BufferedStorage(OpenStorage):
    """A mixin in front of an Optuna storage.

    Attributes:
        _trials: writes the trials.
    """

    _trials: TrialWriter
    _buffer: StudyBuffer | None = None

    @contextlib.contextmanager
    def buffering(self, study_id: int) -> Iterator[None]:
        """Collect the changes of running trials of a study; write all at the end of `with`."""
        trials = self.get_all_trials(study_id, deepcopy=False)
        attrs = self.get_study_user_attrs(study_id), self.get_study_system_attrs(study_id)
        self._buffer = StudyBuffer(study_id, trials, *attrs)
        for trial in trials:
            # A trial of an earlier run, which this process continues.
            if trial.state == TrialState.RUNNING:
                self._buffer.begin(trial)
        try:
            yield
            self._write_changes()
        finally:
            self._buffer = None
        self.remember(study_id)

    def refresh(self) -> None:
        """Read the trials that other processes have created, begun or ended."""
        buffer = self._buffer
        if buffer is not None:
            known = buffer.open_elsewhere()
            found = self._news(buffer.study_id, (buffer.last_id, buffer.n_trials), known)
            with buffer.mutex:
                buffer.put(found)

    def remember(self, study_id: int) -> None:
        """Record the number of trials of the study, at most once a second inside `buffering`."""
        buffer = self._buffer
        if buffer is not None:
            now_s = time.monotonic()
            if now_s - buffer.remembered_s < REMEMBERED_EVERY_S:
                return
            buffer.remembered_s = now_s
        super().remember(study_id)

    def count(self, study_id: int) -> tuple[int, int]:
        """Return the number of trials of a study, and the number of those that have ended."""
        buffer = self._buffer_of(study_id)
        return super().count(study_id) if buffer is None else (buffer.n_trials, buffer.n_ended)

    def commit(self, *, durable: bool = True) -> None:
        """Write all changes; with `durable` they also survive a power failure."""
        self._write_changes()
        super().commit(durable=durable)

    # ---- how to reach the storage; `SharedStorage` waits for a server ------------------------

    def _begin(self, study_id: int, after: tuple[int, int]) -> FrozenTrial:
        return self._trials.begin(study_id, after, {})

    def _write(self, running: Sequence[RunningTrial], study_id: int) -> None:
        whole = {trial.change.trial_id: trial.frozen() for trial in running}
        self._trials.write([trial.change for trial in running], whole, study_id)

    def _news(
        self, study_id: int, last: tuple[int, int], known: Mapping[int, TrialState]
    ) -> list[FrozenTrial]:
        return self._trials.news(study_id, last, known)

    # ---- writing -----------------------------------------------------------------------------

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Create a trial; its number is that of the order in the storage."""
        buffer = self._buffer_of(study_id)
        if buffer is None or template_trial is not None:
            trial_id = super().create_new_trial(study_id, template_trial)
            if buffer is not None:
                self.refresh()
            return trial_id
        trial = self._begin(study_id, (buffer.last_id, buffer.n_trials))
        if trial.number > buffer.n_trials:
            self.refresh()
        with buffer.mutex:
            buffer.begin(trial)
        return trial._trial_id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Set a parameter of a trial."""
        running, buffer = self._running(trial_id)
        if running is None or buffer is None:
            super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
            self._read_again(trial_id)
            return
        buffer.check_param(param_name, distribution)
        with buffer.mutex:
            running.set_param(param_name, param_value_internal, distribution)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set a user attribute of a trial."""
        running, buffer = self._running(trial_id)
        if running is None or buffer is None:
            super().set_trial_user_attr(trial_id, key, value)
            self._read_again(trial_id)
            return
        with buffer.mutex:
            running.set_user_attr(key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set a system attribute of a trial."""
        running, buffer = self._running(trial_id)
        if running is None or buffer is None:
            super().set_trial_system_attr(trial_id, key, value)
            self._read_again(trial_id)
            return
        with buffer.mutex:
            running.set_system_attr(key, value)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Set a point of the curve of a trial."""
        running, buffer = self._running(trial_id)
        if running is None or buffer is None:
            super().set_trial_intermediate_value(trial_id, step, intermediate_value)
            self._read_again(trial_id)
            return
        with buffer.mutex:
            running.set_point(step, intermediate_value)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Begin or end a trial; all its changes are written with its end."""
        running, buffer = self._running(trial_id)
        if running is not None and state.is_finished():
            self._end(running, End(state, values, datetime.now()))
            return True
        is_set = super().set_trial_state_values(trial_id, state, values)
        trial = self._read_again(trial_id)
        if buffer is not None and is_set and state == TrialState.RUNNING and trial is not None:
            with buffer.mutex:
                buffer.begin(trial)
        return is_set

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set a user attribute of a study."""
        super().set_study_user_attr(study_id, key, value)
        buffer = self._buffer_of(study_id)
        if buffer is not None:
            buffer.user_attrs = super().get_study_user_attrs(study_id)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set a system attribute of a study."""
        super().set_study_system_attr(study_id, key, value)
        buffer = self._buffer_of(study_id)
        if buffer is not None:
            found = super().get_study_system_attrs(study_id)
            buffer.system_attrs = found

    def _end(self, running: RunningTrial, end: End) -> None:
        buffer = self._buffer
        assert buffer is not None
        running.change.end = end
        try:
            self._write_changes()
        except BaseException:
            running.change.end = None
            # Ctrl-C may have come after the storage has recorded the end.
            with contextlib.suppress(Exception):
                self._read_again(running.change.trial_id, only_ended=True)
            raise
        with buffer.mutex:
            buffer.put([running.ended(end)])

    def _write_changes(self) -> None:
        """Write the changes of all running trials."""
        buffer = self._buffer
        changed = [] if buffer is None else buffer.changed()
        if buffer is not None and changed:
            try:
                self._write(changed, buffer.study_id)
            except UpdateFinishedTrialError:
                changed = self._without_ended(changed)
                self._write(changed, buffer.study_id)
            for running in changed:
                running.written()

    def _without_ended(self, changed: Sequence[RunningTrial]) -> list[RunningTrial]:
        """Drop trials that another program has ended; the next call for one raises an error.

        Raises: UpdateFinishedTrialError when this process has just ended one, too.
        """
        left = []
        for running in changed:
            trial = self._read_again(running.change.trial_id, only_ended=True)
            if trial is None or not trial.state.is_finished():
                left.append(running)
            elif running.change.end is not None:
                raise ended_elsewhere(trial)
        return left

    # ---- reading -----------------------------------------------------------------------------

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial."""
        buffer = self._buffer
        if buffer is not None:
            with buffer.mutex:
                trial = buffer.trial(trial_id)
            if trial is not None:
                return trial
        return super().get_trial(trial_id)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return the trials of a study."""
        buffer = self._buffer_of(study_id)
        if buffer is None:
            return super().get_all_trials(study_id, deepcopy, states)
        with buffer.mutex:
            trials = buffer.trials(states)
        return copy.deepcopy(trials) if deepcopy else trials

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """Return Optuna's number in the storage of a trial."""
        buffer = self._buffer_of(study_id)
        found = None if buffer is None else buffer.trial_id(trial_number)
        if found is None:
            return super().get_trial_id_from_study_id_trial_number(study_id, trial_number)
        return found

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the user attributes of a study."""
        buffer = self._buffer_of(study_id)
        if buffer is None:
            return super().get_study_user_attrs(study_id)
        return buffer.user_attrs

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the system attributes of a study."""
        buffer = self._buffer_of(study_id)
        if buffer is None:
            return super().get_study_system_attrs(study_id)
        return buffer.system_attrs

    # These use the methods above, where a storage may ask its server.
    get_n_trials = BaseStorage.get_n_trials
    get_best_trial = BaseStorage.get_best_trial
    get_trial_number_from_id = BaseStorage.get_trial_number_from_id
    get_trial_param = BaseStorage.get_trial_param
    get_trial_params = BaseStorage.get_trial_params
    get_trial_user_attrs = BaseStorage.get_trial_user_attrs
    get_trial_system_attrs = BaseStorage.get_trial_system_attrs

    def _buffer_of(self, study_id: int) -> StudyBuffer | None:
        buffer = self._buffer
        return buffer if buffer is not None and buffer.study_id == study_id else None

    def _running(self, trial_id: int) -> tuple[RunningTrial | None, StudyBuffer | None]:
        buffer = self._buffer
        return None if buffer is None else buffer.running(trial_id), buffer

    def _read_again(self, trial_id: int, *, only_ended: bool = False) -> FrozenTrial | None:
        """Read a trial that was changed in the storage; None outside of the buffered study."""
        buffer = self._buffer
        if buffer is None or buffer.trial(trial_id) is None:
            return None
        trial = super().get_trial(trial_id)
        if trial.state.is_finished() or not only_ended:
            with buffer.mutex:
                buffer.put([trial])
        return trial
