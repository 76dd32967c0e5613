"""Checks of a study's trials: lost trials, trials of a killed search, and the record of trials."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from autotrain.doctor.finding import Finding, Severity, settled
from autotrain.doctor.storage import storage_findings
from autotrain.errors import AutotrainError
from autotrain.metrics import metric_named
from autotrain.search.definition import Definition
from autotrain.search.opening import Seen, open_study, seen_study, storage_of
from autotrain.search.storage.claim import WRITER, is_alive
from autotrain.search.storage.lock import is_held
from autotrain.search.trial_store import TrialStore
from autotrain.space.search_space import SearchSpace
from autotrain.vocabulary import count_text

GROUP = "study"
MOST_NAMED = 12
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
        return f"autotrain doctor {self.folder.name} --fix"


def study_findings(place: Place, *, fix: bool) -> Iterator[Finding]:
    """Yield the findings about a study, after their repairs with `fix`.

    The study is opened again for each part, because a repair changes it.
    """
    for part in (storage_findings, lost_trials, partial(running_trials, place)):
        try:
            with seen_study(place.folder, place.url, stays_open=False) as seen:
                found = list(part(seen))
        except AutotrainError as error:
            yield Finding(GROUP, "storage", Severity.PROBLEM, str(error))
            return
        for finding in found:
            yield settled(finding, fix=fix)


def is_in_use(place: Place, seen: Seen | None) -> bool:
    """Whether a search is running, on this machine or on another one.

    Args:
        seen: the study, open for reading; None if it cannot be opened.
    """
    if is_held(place.folder):
        return True
    if seen is None or seen.study_id is None:
        return False
    found = seen.storage.get_study_system_attrs(seen.study_id).get(WRITER)
    return is_alive(found, seen.study_id, place.folder)


def lost_trials(seen: Seen) -> Iterator[Finding]:
    """Check that the storage contains all trials that the study had."""
    if seen.lost is not None:
        yield Finding(GROUP, "record", Severity.PROBLEM, f"{seen.lost[0].upper()}{seen.lost[1:]}")
        return
    n_ended = sum(trial.state.is_finished() for trial in seen.trials)
    text = f"{count_text(len(seen.trials), 'trial')}, {n_ended:,} ended; none is lost."
    yield Finding(GROUP, "record", Severity.OK, text)


def running_trials(place: Place, seen: Seen) -> Iterator[Finding]:
    """Check that no trial of a killed search is marked as running."""
    numbers = [t.number for t in seen.trials if t.state == TrialState.RUNNING]
    if not numbers:
        yield Finding(GROUP, "trials", Severity.OK, "No trial is marked as running.")
        return
    if is_in_use(place, seen):
        what = count_text(len(numbers), "trial")
        yield Finding(
            GROUP, "trials", Severity.OK, f"A search is running, with {what} in training."
        )
        return
    named = ", ".join(map(str, numbers[:MOST_NAMED])) + (", …" if numbers[MOST_NAMED:] else "")
    one = len(numbers) == 1
    yield Finding(
        GROUP,
        "trials",
        Severity.PROBLEM,
        f"Trial{'' if one else 's'} {named} {'is' if one else 'are'} marked as running, but no "
        "search is running: it was killed.",
        f"Run: {place.command}, or resume the study, which trains them again.",
        lambda: release(place),
    )


def release(place: Place) -> str:
    """End the trials of a killed search, and return a sentence about them."""
    with opened_store(place) as store:
        n = store.release()
    return f"{count_text(n, 'trial')} marked as interrupted; `resume` trains them again."


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
