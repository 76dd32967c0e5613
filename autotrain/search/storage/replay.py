"""`RecordReplay`: reads the records of an Optuna journal several times faster than Optuna.

Optuna copies a trial for each of its records, because readers may have it, and parses the
distribution of each parameter. Here a trial is copied once in each call of `apply_logs`, during
which no reader can get it, and equal distributions are parsed once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    check_distribution_compatibility,
)
from optuna.storages import JournalStorage
from optuna.storages.journal._storage import JournalStorageReplayResult
from optuna.trial import FrozenTrial

from autotrain.search.storage.loading import distribution_in


class RecordReplay(JournalStorageReplayResult):
    """The studies of a journal, as Optuna's class has them."""

    def __init__(self, worker_id_prefix: str) -> None:
        super().__init__(worker_id_prefix)
        self._copied: set[int] = set()
        self._kinds: dict[tuple[int, str], BaseDistribution] = {}

    def apply_logs(self, logs: Iterable[dict[str, Any]]) -> None:
        """Apply records in their order."""
        self._copied.clear()
        super().apply_logs(logs)

    def _apply_create_trial(self, log: dict[str, Any]) -> None:
        n_before = len(self._trials)
        super()._apply_create_trial(log)
        for trial_id in range(n_before, len(self._trials)):
            self._copied.add(trial_id)
            study_id = self._trial_id_to_study_id[trial_id]
            for name, kind in self._trials[trial_id].distributions.items():
                self._kinds.setdefault((study_id, name), kind)

    def _apply_set_trial_param(self, log: dict[str, Any]) -> None:
        trial_id, name = log["trial_id"], log["param_name"]
        if not self._trial_exists_and_updatable(trial_id, log):
            return
        kind = distribution_in(log["distribution"])
        first = self._kinds.setdefault((self._trial_id_to_study_id[trial_id], name), kind)
        if first is not kind:
            try:
                check_distribution_compatibility(first, kind)
            except Exception:
                if self._is_issued_by_this_worker(log):
                    raise
                return
        trial = self._own(trial_id)
        trial.params[name] = kind.to_external_repr(log["param_value_internal"])
        trial.distributions[name] = kind

    def _apply_set_trial_intermediate_value(self, log: dict[str, Any]) -> None:
        if self._trial_exists_and_updatable(log["trial_id"], log):
            trial = self._own(log["trial_id"])
            trial.intermediate_values[log["step"]] = log["intermediate_value"]

    def _apply_set_trial_user_attr(self, log: dict[str, Any]) -> None:
        if self._trial_exists_and_updatable(log["trial_id"], log):
            self._own(log["trial_id"]).user_attrs.update(log["user_attr"])

    def _apply_set_trial_system_attr(self, log: dict[str, Any]) -> None:
        if self._trial_exists_and_updatable(log["trial_id"], log):
            self._own(log["trial_id"]).system_attrs.update(log["system_attr"])

    def _own(self, trial_id: int) -> FrozenTrial:
        """Return a trial that no reader has yet."""
        trial = self._trials[trial_id]
        if trial_id not in self._copied:
            self._copied.add(trial_id)
            trial = copy.copy(trial)
            trial.params, trial.distributions = dict(trial.params), dict(trial.distributions)
            trial.user_attrs, trial.system_attrs = dict(trial.user_attrs), dict(trial.system_attrs)
            trial.intermediate_values = dict(trial.intermediate_values)
            self._trials[trial_id] = trial
        return trial


class ReplayedStorage(JournalStorage):
    """Optuna's storage of a journal, with `RecordReplay`."""

    def _sync_with_backend(self) -> None:
        # Optuna's constructors make the object and read the journal in one step.
        if not isinstance(self._replay_result, RecordReplay):
            self._replay_result = RecordReplay(self._worker_id_prefix)
        super()._sync_with_backend()
