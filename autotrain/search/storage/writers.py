"""Writers of the trials of a search: the interface, journals, and any Optuna storage.

`TrialRows` (rows.py) writes them to an SQL database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC
from typing import Any, Protocol

from optuna.distributions import distribution_to_json
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import FrozenTrial, TrialState, create_trial

from autotrain.search.storage.buffer import Change, ended_elsewhere


class TrialWriter(Protocol):
    """Writes trials of which this process is the only writer."""

    def begin(
        self, study_id: int, after: tuple[int, int], system_attrs: Mapping[str, Any]
    ) -> FrozenTrial:
        """Create a running trial without parameters, and return it.

        Args:
            study_id: Optuna's number of the study.
            after: Optuna's number of the last known trial (-1: none), and the number of trials.
            system_attrs: system attributes of the trial.
        """

    def write(
        self, changes: Sequence[Change], whole: Mapping[int, FrozenTrial], study_id: int
    ) -> None:
        """Write changes of different running trials.

        Args:
            changes: the changes.
            whole: the trials with their changes, but without their ends.
            study_id: Optuna's number of their study.
        """

    def news(
        self, study_id: int, last: tuple[int, int], known: Mapping[int, TrialState]
    ) -> list[FrozenTrial]:
        """Return trials that other processes have created, begun or ended, by number.

        Args:
            study_id: Optuna's number of the study.
            last: Optuna's number of the last known trial (-1: none), and the number of trials.
            known: states of known trials that can have changed.
        """


class OrdinaryWriter:
    """Writes with Optuna's own calls, one for each parameter, attribute and point.

    Args:
        storage: any storage of Optuna.
    """

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage

    def begin(
        self, study_id: int, after: tuple[int, int], system_attrs: Mapping[str, Any]
    ) -> FrozenTrial:
        """Create a running trial."""
        template = create_trial(state=TrialState.RUNNING, system_attrs=dict(system_attrs))
        storage = self._storage
        return storage.get_trial(storage.create_new_trial(study_id, template))

    def write(
        self, changes: Sequence[Change], whole: Mapping[int, FrozenTrial], study_id: int
    ) -> None:
        """Write changes, each in the order of Optuna's own trials."""
        storage = self._storage
        # An end comes last, because an attempt whose answer was lost is recognized by it.
        for change in sorted(changes, key=lambda change: change.end is not None):
            trial_id = change.trial_id
            known = storage.get_trial(trial_id)
            for name, (value, kind) in change.params.items():
                if name not in known.params:  # The answer to an earlier attempt may be lost.
                    storage.set_trial_param(trial_id, name, value, kind)
            for step, value in change.intermediate_values.items():
                storage.set_trial_intermediate_value(trial_id, step, value)
            for key, attr in change.user_attrs.items():
                storage.set_trial_user_attr(trial_id, key, attr)
            for key, attr in change.system_attrs.items():
                storage.set_trial_system_attr(trial_id, key, attr)
            if change.end is not None:
                storage.set_trial_state_values(trial_id, change.end.state, change.end.values)

    def news(
        self, study_id: int, last: tuple[int, int], known: Mapping[int, TrialState]
    ) -> list[FrozenTrial]:
        """Return new and changed trials."""
        return [
            trial
            for trial in self._storage.get_all_trials(study_id, deepcopy=False)
            if trial.number >= last[1] or known.get(trial._trial_id, trial.state) != trial.state
        ]


class RecordWriter:
    """Writes the records of Optuna's journals, those of all trials together.

    Args:
        storage: the storage of the journal.
        take: makes the records of other processes readable, where reading does not.
    """

    def __init__(self, storage: JournalStorage, take: Callable[[], object] = lambda: None) -> None:
        self._storage = storage
        self._take = take

    def begin(
        self, study_id: int, after: tuple[int, int], system_attrs: Mapping[str, Any]
    ) -> FrozenTrial:
        """Create a running trial."""
        template = None
        if system_attrs:
            template = create_trial(state=TrialState.RUNNING, system_attrs=dict(system_attrs))
        trial_id = JournalStorage.create_new_trial(self._storage, study_id, template)
        return JournalStorage.get_trial(self._storage, trial_id)

    def write(
        self, changes: Sequence[Change], whole: Mapping[int, FrozenTrial], study_id: int
    ) -> None:
        """Append the records of the changes.

        Raises: UpdateFinishedTrialError when another process has ended a trial.
        """
        storage = self._storage
        self._take()
        with storage._thread_lock:
            storage._sync_with_backend()
            for change in changes:
                trial = storage._replay_result.get_trial(change.trial_id)
                if trial.state.is_finished():
                    raise ended_elsewhere(trial)
            worker = {"worker_id": storage._replay_result.worker_id}
            records = [
                {"op_code": operation, **worker, "trial_id": change.trial_id, **content}
                for change in changes
                for operation, content in _records(change)
            ]
            storage._backend.append_logs(records)
            storage._sync_with_backend()

    def news(
        self, study_id: int, last: tuple[int, int], known: Mapping[int, TrialState]
    ) -> list[FrozenTrial]:
        """Return new and changed trials."""
        storage, get_trial = self._storage, JournalStorage.get_trial
        self._take()
        open_ = [get_trial(storage, trial_id) for trial_id in known]
        found = [trial for trial in open_ if trial.state != known[trial._trial_id]]
        number = last[1]
        while True:
            try:
                trial_id = JournalStorage.get_trial_id_from_study_id_trial_number(
                    storage, study_id, number
                )
            except KeyError:
                return found
            found.append(get_trial(storage, trial_id))
            number += 1


def _records(change: Change) -> Iterator[tuple[JournalOperation, dict[str, Any]]]:
    """Yield operation and content of the records that Optuna would write for a change."""
    for name, (value, kind) in change.params.items():
        yield (
            JournalOperation.SET_TRIAL_PARAM,
            {
                "param_name": name,
                "param_value_internal": value,
                "distribution": distribution_to_json(kind),
            },
        )
    for step, value in change.intermediate_values.items():
        content = {"step": step, "intermediate_value": value}
        yield JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE, content
    for key, value in change.user_attrs.items():
        yield JournalOperation.SET_TRIAL_USER_ATTR, {"user_attr": {key: value}}
    for key, value in change.system_attrs.items():
        yield JournalOperation.SET_TRIAL_SYSTEM_ATTR, {"system_attr": {key: value}}
    if change.end is not None:
        yield (
            JournalOperation.SET_TRIAL_STATE_VALUES,
            {
                "state": change.end.state,
                "values": change.end.values,
                "datetime_complete": change.end.at.astimezone(UTC).isoformat(
                    timespec="microseconds"
                ),
            },
        )
