"""`Place`: a study to check, and its trials open for writing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import RandomSampler

from autotrain.metrics import metric_named
from autotrain.search.definition import Definition
from autotrain.search.opening import Seen, open_study, storage_of
from autotrain.search.settings import directory_words
from autotrain.search.storage.claim import WRITER, is_alive
from autotrain.search.storage.lock import is_held
from autotrain.search.trial_store import TrialStore
from autotrain.space.search_space import SearchSpace

RUNNING = "A search is running: not repaired."
"""The fix of a finding that is not repaired because the study is in use."""


@dataclass(frozen=True)
class Place:
    """A study to check.

    Args:
        folder: its folder.
        definition: its settings.
        url: URL of its storage with the password; None for the journal in the folder.
        data, test: its tables, when they have moved or were in memory; otherwise None.
    """

    folder: Path
    definition: Definition
    url: str | None
    data: Any = None
    test: Any = None

    @classmethod
    def of(cls, folder: Path, storage: str | None, data: Any = None, test: Any = None) -> Place:
        """Return the study in a folder; for the other arguments see `check`.

        Raises:
            StudyError: when it does not exist, its settings cannot be read, or its trials are in
                another storage.
        """
        definition = Definition.read(folder)
        return cls(folder, definition, storage_of(definition, storage, folder), data, test)

    @property
    def command(self) -> str:
        """The command that repairs the study."""
        return f"autotrain doctor {self.folder.name} --fix{directory_words(self.folder)}"

    def is_in_use(self, seen: Seen) -> bool:
        """Whether a search is running, on this machine or on another one."""
        if is_held(self.folder):
            return True
        if seen.study_id is None:
            return False
        found = seen.storage.get_study_system_attrs(seen.study_id).get(WRITER)
        return is_alive(found, seen.study_id, self.folder)

    def optuna_study(self, seen: Seen) -> optuna.Study:
        """Return the Optuna study, which can only be read."""
        assert seen.study_id is not None
        return optuna.load_study(
            storage=seen.storage,
            study_name=seen.storage.get_study_name_from_id(seen.study_id),
            sampler=RandomSampler(seed=0),
        )


@contextlib.contextmanager
def opened_store(place: Place) -> Iterator[TrialStore]:
    """Open the trials of a study for writing, and lock the study.

    Raises:
        StudyError: when a search is running, or trials are lost.
        StorageError: when the storage cannot be used.
    """
    definition = replace(place.definition, storage=place.url)
    metric = metric_named(definition.metric)
    storage, study = open_study(place.folder, definition, metric, RandomSampler(seed=0))
    try:
        yield TrialStore(study, storage, SearchSpace.from_dict(definition.space), metric)
        storage.commit()
        storage.remember(study._study_id)
    finally:
        storage.close()
