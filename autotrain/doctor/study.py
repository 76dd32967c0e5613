"""Checks of a study's trials: lost trials, trials of a killed search, and the record of trials."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

from optuna.trial import TrialState

from autotrain.doctor.finding import Finding, Severity, settled
from autotrain.doctor.journal_repair import journal_finding, repair
from autotrain.doctor.models import model_checks, temporary_files
from autotrain.doctor.place import Place, opened_store
from autotrain.doctor.storage import pages, storage_findings
from autotrain.errors import AutotrainError, StudyError
from autotrain.search.attributes import IDENTITY
from autotrain.search.checkpoints import FOLDER as CHECKPOINTS
from autotrain.search.continuing import Continuation
from autotrain.search.definition import FILE as DEFINITION
from autotrain.search.definition import Definition
from autotrain.search.opening import Seen, seen_study
from autotrain.search.record import FILE as RECORD
from autotrain.search.record import Record
from autotrain.search.snapshot import FILE as SNAPSHOT
from autotrain.search.snapshot import Snapshot
from autotrain.search.storage.lock import is_held
from autotrain.search.storage.storages import OBJECT
from autotrain.search.storage.urls import absolute_url
from autotrain.vocabulary import count_text, numbers_text

GROUP = "study"
Part = Callable[[Seen], Iterator[Finding]]
"""Some checks of a study that is open for reading."""
UNCHECKED = "The trials are not checked, because the file above must be repaired first."


def study_findings(place: Place, *, fix: bool) -> Iterator[Finding]:
    """Yield the findings about a study, after their repairs with `fix`.

    The study is opened again after a repair, because it has changed.
    """
    url = None if place.url is None else absolute_url(place.url, place.folder)
    file = journal_finding(place) or pages(url)
    if file is not None:
        yield (file := settled(file, fix=fix))
    parts: list[Part] = [
        storage_findings,
        partial(temporary_files, place),
        partial(lost_trials, place),
        partial(running_trials, place),
        *model_checks(place),
    ]
    while parts:
        found: list[Finding] = []
        failure: Finding | None = None
        try:
            with seen_study(place.folder, place.url, stays_open=False) as seen:
                while parts and not (fix and any(each.repair for each in found)):
                    found += _findings_of(parts.pop(0), seen)
        except AutotrainError as error:
            failure = _unreadable(place, error, file)
        for finding in found:
            yield settled(finding, fix=fix)
        if failure is not None:
            yield failure
            return


def _findings_of(part: Part, seen: Seen) -> list[Finding]:
    try:
        return list(part(seen))
    except AutotrainError:
        raise
    except Exception as error:
        # What a damaged study contains can be anything, and the other checks may find it.
        text = f"A check ended with {type(error).__name__}: {error}."
        return [Finding(GROUP, "check", Severity.PROBLEM, text, "Please report it.")]


def unreadable_definition(folder: Path) -> Finding | None:
    """Return the finding about settings of a study that cannot be read; None if they can.

    Raises:
        StudyError: when the study does not exist.
    """
    try:
        Definition.read(folder)
    except StudyError as error:
        if not (folder / DEFINITION).is_file():
            raise
        return Finding(GROUP, "settings", Severity.PROBLEM, str(error))
    return None


def _unreadable(place: Place, error: AutotrainError, file: Finding | None) -> Finding:
    """Return the finding about a study whose trials cannot be read.

    Args:
        place: the study.
        error: the reason.
        file: the finding about the file with its trials, which may be the reason.
    """
    if file is not None and file.state == Severity.PROBLEM:
        return Finding(GROUP, "trials", Severity.WARNING, UNCHECKED)
    if place.url is None:
        return Finding(GROUP, "trials", Severity.PROBLEM, str(error))
    # A storage object cannot be opened by its name, which is no damage.
    is_object = place.url.startswith(OBJECT)
    state = Severity.WARNING if is_object else Severity.PROBLEM
    return Finding("storage", "storage", state, str(error))


def lost_trials(place: Place, seen: Seen) -> Iterator[Finding]:
    """Check that the storage contains all trials that the study had."""
    if seen.lost is not None:
        text = f"{seen.lost[0].upper()}{seen.lost[1:]}"
        can_repair = place.url is None and bool(seen.trials) and not is_held(place.folder)
        again = (
            f"Restore the journal from a copy if you have one. Otherwise run: {place.command}. It "
            "restores trials from checkpoints; the others are trained again."
        )
        yield Finding(
            GROUP,
            "record",
            Severity.PROBLEM,
            text,
            again if can_repair else "",
            (lambda: repair(place)) if can_repair else None,
        )
        return
    if seen.trials and Record.read(place.folder) is None:
        yield Finding(
            GROUP,
            "record",
            Severity.WARNING,
            f"{RECORD} is missing or damaged, so trials that get lost would not be noticed.",
            f"Run: {place.command}, or resume the study.",
            lambda: remember(place),
        )
        return
    n_ended = sum(trial.state.is_finished() for trial in seen.trials)
    text = f"{count_text(len(seen.trials), 'trial')}, {n_ended:,} ended; none is lost."
    yield Finding(GROUP, "record", Severity.OK, text)


def remember(place: Place) -> str:
    """Write the record of the trials again, and return a sentence about it."""
    with opened_store(place):
        pass
    return "Written again."


def running_trials(place: Place, seen: Seen) -> Iterator[Finding]:
    """Check that no trial of a killed search is marked as running, unless `resume` continues it."""
    numbers = [t.number for t in seen.trials if t.state == TrialState.RUNNING]
    if not numbers:
        yield Finding(GROUP, "trials", Severity.OK, "No trial is marked as running.")
        return
    if place.is_in_use(seen):
        what = count_text(len(numbers), "trial")
        yield Finding(
            GROUP, "trials", Severity.OK, f"A search is running, with {what} in training."
        )
        return
    continued = continued_trials(place, seen)
    left = [number for number in numbers if number not in continued]
    if not left:
        yield Finding(
            GROUP,
            "trials",
            Severity.WARNING,
            f"{_named(numbers)} marked as running, but no search is running: it was killed. A "
            "snapshot of the training is saved.",
            f"Run: autotrain resume {place.folder.name}, which continues from the snapshot.",
        )
        return
    yield Finding(
        GROUP,
        "trials",
        Severity.PROBLEM,
        f"{_named(left)} marked as running, but no search is running: it was killed.",
        f"Run: {place.command}, or resume the study, which trains them again.",
        lambda: release(place, continued),
    )


def _named(numbers: Sequence[int]) -> str:
    named = numbers_text(numbers)
    return f"Trial {named} is" if len(numbers) == 1 else f"Trials {named} are"


def continued_trials(place: Place, seen: Seen) -> frozenset[int]:
    """Return the trials of a killed search whose training `resume` continues from a snapshot."""
    identity = seen.user_attrs.get(IDENTITY, {}).get("id")
    snapshot = Snapshot.read(place.folder / CHECKPOINTS / SNAPSHOT, identity)
    if snapshot is None:
        return frozenset()
    study = place.optuna_study(seen)
    plan = Continuation.of(snapshot, study, is_exact=snapshot.is_exact)
    return frozenset(plan.marks(seen.trials))


def release(place: Place, continued: Collection[int] = ()) -> str:
    """End the trials of a killed search, and return a sentence about them.

    Args:
        continued: numbers of the trials that stay as they are.
    """
    with opened_store(place) as store:
        n = store.release({number: {} for number in continued})
    return f"{count_text(n, 'trial')} marked as interrupted; `resume` trains them again."
