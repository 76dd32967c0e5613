"""The check of a journal, and its repair, which keeps every complete record.

A repair makes a new file from the complete records (journal.py) and replaces the journal with it in
one step. The damaged file is kept. A trial that was open at a gap may have lost records:

- If it ended and has all that a trial of its state needs, it stays as it is.
- If its weights are in `checkpoints/`, its record is restored from there.
- Otherwise it is marked as interrupted, so that `resume` trains it again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import optuna
from optuna.samplers import RandomSampler
from optuna.storages import JournalStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from autotrain.bundle.own_files import read_own, remove_own, write_new
from autotrain.bundle.systems import sync_folder
from autotrain.doctor.finding import Finding, Severity
from autotrain.doctor.journal import Assembled, MemoryJournal, Scan, assemble, lost_creations, scan
from autotrain.doctor.place import RUNNING, Place
from autotrain.errors import SpaceError, StudyError
from autotrain.metrics import metric_named
from autotrain.search.attributes import (
    CAUSE,
    CONFIG,
    EPOCHS,
    IDENTITY,
    N_PARAMETERS,
    ORIGIN,
    RETRY_OF,
    SECONDS,
    SEED_OF,
    Cause,
)
from autotrain.search.checkpoints import FOLDER as CHECKPOINTS
from autotrain.search.checkpoints import Checkpoints
from autotrain.search.facts import facts_of, trial_seed
from autotrain.search.given import params_of
from autotrain.search.record import Record, origin
from autotrain.search.sampling.samplers import seed_number
from autotrain.search.storage.lock import StudyLock, is_held
from autotrain.search.storage.opened import JOURNAL
from autotrain.search.storage.storages import FileStorage
from autotrain.search.trained import Trained
from autotrain.search.trial_store import TrialStore
from autotrain.space.search_space import SearchSpace
from autotrain.vocabulary import count_text, numbers_text, size_text

GROUP = "storage"
BROKEN = ".broken"
"""Suffix of the copy of a damaged journal."""
NEEDED = {CAUSE, ORIGIN, EPOCHS, SECONDS, N_PARAMETERS}
"""User attributes of a complete trial that finals and budgets use."""


def journal_finding(place: Place) -> Finding | None:
    """Check that a journal consists of complete records; None if the study has no journal."""
    path = place.folder / JOURNAL
    if place.url is not None or not path.is_file():
        return None
    is_running = is_held(place.folder)
    data = read_own(path)
    if is_running:
        data = data[: data.rfind(b"\n") + 1]
    found = scan(data)
    n_records = count_text(len(found.entries), "complete record")
    text = f"{JOURNAL} has {n_records} ({size_text(len(data))})"
    if found.is_whole:
        try:
            lost_creations([[entry.record for entry in found.entries]])
        except StudyError as error:
            fix = "Restore the file from a copy."
            return Finding(GROUP, "journal", Severity.PROBLEM, f"{text}, but {error}", fix)
        return Finding(GROUP, "journal", Severity.OK, f"{text}.")
    if not found.entries and data.strip(b"\0"):
        text = f"{path} must be a journal of Optuna, got a file without any of its records."
        return Finding(GROUP, "journal", Severity.PROBLEM, text, "Restore the journal from a copy.")
    n_lost = sum(len(gap.lost) for gap in found.gaps)
    lines = numbers_text([gap.line for gap in found.gaps])
    what = f"{size_text(n_lost)} of damaged records (line {lines})"
    if found.is_torn:
        what = f"an incomplete last line ({size_text(n_lost)})"
    can_resume = " or resume the study" if found.is_torn else ""
    return Finding(
        GROUP,
        "journal",
        Severity.PROBLEM,
        f"{text} and {what}.",
        RUNNING if is_running else f"Run: {place.command}{can_resume}. Complete records stay.",
        None if is_running else lambda: repair(place),
    )


def repair(place: Place) -> str:
    """Replace a journal by one of its complete records, and return a sentence about it.

    Raises:
        StudyError: when a search is running, the journal belongs to another study, or the numbers
            of its trials are not certain.
        OSError: when a file cannot be written.
    """
    path = place.folder / JOURNAL
    lock = StudyLock(place.folder)
    temporary = path.with_name(f".{JOURNAL}")
    try:
        data = read_own(path)
        found = scan(data)
        direction = StudyDirection[metric_named(place.definition.metric).direction.upper()]
        made = assemble(found, place.definition.optuna_name, int(direction))
        made = made.without_ends(_incomplete(made, place))
        remove_own(temporary)
        write_new(temporary, b"".join(line + b"\n" for line in made.lines))
        with FileStorage(temporary) as storage:
            settled = _settle(storage, place, found, made)
        copy = _free_name(path.with_name(path.name + BROKEN))
        write_new(copy, data, durable=True)
        temporary.replace(path)
        sync_folder(place.folder)
    finally:
        remove_own(temporary)
        lock.release()
    kept = count_text(len(found.entries), "complete record")
    return " ".join([f"{kept} kept; the damaged file is now {copy.name}.", *settled.sentences()])


@dataclass
class Settled:
    """The trials that may have lost records, by their repair.

    Args:
        restored: numbers of those whose record comes from a checkpoint.
        interrupted: numbers of those that `resume` trains again.
    """

    restored: list[int] = field(default_factory=list)
    interrupted: list[int] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """Return one sentence for each kind."""
        found = []
        if self.restored:
            found.append(f"Restored from checkpoints: trial {numbers_text(self.restored)}.")
        if self.interrupted:
            numbers = numbers_text(self.interrupted)
            found.append(f"Lost records, so `resume` trains them again: trial {numbers}.")
        return found


def _incomplete(made: Assembled, place: Place) -> list[int]:
    """Return the trials that have ended without all that a trial of this study needs."""
    storage = JournalStorage(MemoryJournal(made.records()))
    (study, *others) = storage.get_all_studies()
    if others:
        raise StudyError(f"{JOURNAL} must contain one study, got {len(others) + 1}.")
    space = SearchSpace.from_dict(place.definition.space)
    trials = storage.get_all_trials(study._study_id, deepcopy=False)
    own = made.ended_by_writers_of(ORIGIN)
    return [
        trial._trial_id
        for trial in trials
        if trial._trial_id in made.unsure & own and not _has_all(trial, space)
    ]


def _has_all(trial: FrozenTrial, space: SearchSpace) -> bool:
    attributes = trial.user_attrs
    try:
        if CONFIG not in attributes:
            space.config_from(trial.params)
    except SpaceError:
        return False
    if trial.state != TrialState.COMPLETE:
        return attributes.keys() >= {CAUSE, ORIGIN}
    return trial.value is not None and attributes.keys() >= NEEDED


def _settle(storage: FileStorage, place: Place, found: Scan, made: Assembled) -> Settled:
    """End the trials that lost records, so that the study can be resumed."""
    known = Record.read(place.folder)
    (frozen,) = storage.get_all_studies()
    study = optuna.load_study(
        study_name=frozen.study_name, storage=storage, sampler=RandomSampler(seed=0)
    )
    _identify(storage, frozen._study_id, known)
    space = SearchSpace.from_dict(place.definition.space)
    store = TrialStore(study, storage, space, metric_named(place.definition.metric))
    settler = _Settler(store, place.definition.seed, Checkpoints(place.folder / CHECKPOINTS))
    have = Record.of("", study.get_trials(deepcopy=False))
    is_short = known is not None and (
        have.n_trials < known.n_trials or have.n_ended < known.n_ended
    )
    if found.is_torn and not is_short:
        return settler.done  # The trials of a killed search are found by the next check.
    if known is None or not is_short:
        settler.settle(made.unsure, (TrialState.RUNNING,))
        return settler.done
    # The end of the file is lost, so each open trial may have lost records.
    unsure = made.unsure | made.are_open
    settler.settle(unsure, (TrialState.RUNNING,))
    while len(study.get_trials(deepcopy=False)) < known.n_trials:
        settler.settle([storage.create_new_trial(frozen._study_id)], (TrialState.RUNNING,))
    if Record.of("", study.get_trials(deepcopy=False)).n_ended < known.n_ended:
        settler.settle(unsure, (TrialState.WAITING,))
    return settler.done


def _identify(storage: FileStorage, study_id: int, known: Record | None) -> None:
    """Set the identity of the study again if it is lost.

    Raises:
        StudyError: when the journal belongs to another study than the folder.
    """
    identity = storage.get_study_user_attrs(study_id).get(IDENTITY)
    trials = storage.get_all_trials(study_id, deepcopy=False)
    if identity is None:
        origins = [t.user_attrs[ORIGIN] for t in trials if ORIGIN in t.user_attrs]
        name = origins[0].partition("/")[0] if origins else known and known.id
        if name:
            storage.set_study_user_attr(study_id, IDENTITY, {"id": name, "since": 0})
    elif known is not None and known.id and known.id != identity["id"]:
        raise StudyError(f"{JOURNAL} must belong to this study, got that of another one.")


@dataclass
class _Settler:
    """Ends trials that lost records: from their checkpoint, or as interrupted."""

    store: TrialStore
    seed: int
    checkpoints: Checkpoints
    done: Settled = field(default_factory=Settled)

    def settle(self, ids: Collection[int], states: tuple[TrialState, ...]) -> None:
        """End those of some trials that are in one of these states."""
        for number in sorted(ids):
            trial = self.store.storage.get_trial(number)
            if trial.state in states:
                is_restored = self._restore(trial)
                (self.done.restored if is_restored else self.done.interrupted).append(trial.number)
                if not is_restored:
                    self.store.close(trial, Cause.INTERRUPTED)
        self.store.commit()

    def _restore(self, trial: FrozenTrial) -> bool:
        """Complete a trial with what its checkpoint contains; False without its checkpoint."""
        kept = self.checkpoints.find(trial.number, 0)
        place = None if kept is None else self._place_of(kept)
        if kept is None or place is None:
            return False
        store, number = self.store, trial._trial_id
        params, outside = params_of(kept.config, store.space)
        if any(params.get(name) != value for name, value in trial.params.items()):
            return False
        facts = facts_of(kept.outcomes, Cause(kept.outcomes[0].cause), 0.0, [])
        facts |= outside | self._retry(trial, place)
        if params:
            store.storage.set_trial_system_attr(number, "fixed_params", params)
            store.space.suggest(optuna.Trial(store.study, number))
        identity = {IDENTITY: store.study.user_attrs.get(IDENTITY)}
        facts = facts | trial.user_attrs | {ORIGIN: origin(identity, trial.number)}
        for name, fact in facts.items():
            store.storage.set_trial_user_attr(number, name, fact)
        store.storage.set_trial_intermediate_value(number, facts[EPOCHS], kept.value)
        store.storage.set_trial_state_values(number, TrialState.COMPLETE, [kept.value])
        return True

    def _place_of(self, kept: Trained) -> int | None:
        """Return the number from which the seed of a training was derived; None if it is not."""
        numbers = range(len(self.store.study.get_trials(deepcopy=False)) + 1)
        return next((n for n in numbers if trial_seed(self.seed, n) == kept.seed), None)

    def _retry(self, trial: FrozenTrial, place: int) -> dict[str, int]:
        """Return the attributes of a retry if they are lost."""
        study = self.store.study
        if seed_number(study, trial) == place:
            return {}
        earlier = study.get_trials(deepcopy=False)[: trial.number]
        same = [t.number for t in earlier if seed_number(study, t) == place]
        return {SEED_OF: place, RETRY_OF: same[-1] if same else place}


def _free_name(path: Path) -> Path:
    """Return the path, with a number if the file exists."""
    number, free = 1, path
    while free.exists() or free.is_symlink():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free
