"""A study's storage and the Optuna study in it: opened, read, or made when they are new.

A study is recognized by its folder. The name under which Optuna keeps it is looked up, so that a
renamed or copied folder works under its new name.
"""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from autotrain.errors import StudyError
from autotrain.study.checkpoints import FOLDER as CHECKPOINTS
from autotrain.study.definition import FILE, Definition, NotConnectedError
from autotrain.study.record import IDENTITY, MODEL, Record, loss, new_identity, refuse_loss
from autotrain.study.storage import (
    JOURNAL,
    OBJECT,
    OpenStorage,
    open_storage,
    read_storage,
    word_of,
)
from autotrain.study.storage_urls import absolute_url, hide_password, is_remote, sqlite_file
from autotrain.tasks import Metric

PLACE = "place"
"""User attribute of an Optuna study in a shared storage: the host and the folder it belongs to."""


@dataclass(frozen=True)
class Seen:
    """A study as its storage has it.

    Args:
        definition: what it is.
        storage: open for reading.
        study_id: Optuna's; None where the storage has no such study.
        trials, user_attrs: the study's.
        lost: what is missing of its trials and how to continue; None where nothing is.
    """

    definition: Definition
    storage: OpenStorage
    study_id: int | None
    trials: list[FrozenTrial]
    user_attrs: dict[str, Any]
    lost: str | None


@contextlib.contextmanager
def seen_study(
    folder: Path, storage: str | None = None, *, connects: bool = True, stays_open: bool = True
) -> Iterator[Seen]:
    """Open a study to look at it, also while a coordinator works on it.

    Args:
        folder: of the study.
        storage: its URL with the password, when the study is not kept in its folder.
        connects: False when the user did not name this study: whoever wrote its folder must not
            choose a server to which this machine connects.
        stays_open: see `storage.Reading`.
    Raises:
        StudyError: when there is no such study, its trials are in another storage, or are gone.
        StorageError: when its trials cannot be read.
        NotConnectedError: when the trials are on a server, and `connects` is False.
    """
    definition = Definition.read(folder)
    url = storage_of(definition, storage, folder)
    if url is not None and storage is None and not connects and _is_server(url):
        raise NotConnectedError(
            f"study {folder.name!r} keeps its trials in {hide_password(url)}, to which "
            "autotrain connects only for a study that you name. If you trust this study, run: "
            f"autotrain show {folder.name} --storage URL"
        )
    where = _where(folder, url)
    if not _is_there(folder, url):
        # A database that is opened is made. What it would hold is known: nothing.
        refuse_loss(folder, where, None)
    with read_storage(folder, url, stays_open=stays_open) as opened:
        study_id = _id_of(opened, definition)
        if study_id is None:
            yield Seen(definition, opened, None, [], {}, loss(folder, where, None))
            return
        trials = opened.get_all_trials(study_id, deepcopy=False)
        user_attrs = opened.get_study_user_attrs(study_id)
        lost = loss(folder, where, _record(trials, user_attrs))
        yield Seen(definition, opened, study_id, trials, user_attrs, lost)


def storage_of(definition: Definition, given: str | BaseStorage | None, folder: Path) -> str | None:
    """Return where a study's trials are: the given storage, or its own.

    Args:
        definition: the study's.
        given: a URL, which may hold the password, or a storage object; None for the study's own.
        folder: the study's.
    Raises:
        StudyError: when another storage is given that does not hold the study; it would be started
            over, and its best model be replaced.
    """
    word = word_of(given) if isinstance(given, BaseStorage) else given
    if word is None:
        return definition.storage
    if definition.is_kept_in(word, folder):
        # A password was never stored; a relative path is kept as it is, for the folder may move.
        return word if "***" in (definition.storage or "") else definition.storage
    if _has_moved(given, folder):
        return word
    own = f"in {definition.storage}" if definition.storage is not None else f"in {folder / JOURNAL}"
    raise StudyError(
        f"study {definition.name!r} keeps its trials {own}, and {hide_password(word)} does "
        "not hold them. Leave the storage out to resume the study, give the storage that its "
        "trials were copied to, or choose another study name."
    )


def _has_moved(given: str | BaseStorage | None, folder: Path) -> bool:
    """Return whether a storage other than the recorded one holds the study and all its trials."""
    record = Record.read(folder)
    if record is None or given is None:
        return False
    if isinstance(given, BaseStorage):
        return _holds(given, record)
    if not _is_there(folder, given):
        return False
    with read_storage(folder, given, stays_open=False) as opened:
        return _holds(opened, record)


def _holds(storage: BaseStorage, record: Record) -> bool:
    return any(
        study.user_attrs.get(IDENTITY, {}).get("id") == record.id
        for study in storage.get_all_studies()
    )


def open_study(
    folder: Path,
    definition: Definition,
    metric: Metric,
    sampler: BaseSampler,
    given: BaseStorage | None = None,
) -> tuple[OpenStorage, optuna.Study]:
    """Open a study for this process alone; a new one is written down.

    Args:
        given: the open storage that holds the study, instead of `definition.storage`.
    Raises:
        StudyError: when another process works on it, the storage has another of its name, or the
            trials that it had are gone.
        StorageError: when the storage cannot be used.
    """
    url, is_begun = definition.storage, (folder / FILE).is_file()
    where = _where(folder, url)
    if not is_begun:
        _refuse_leftovers(folder)
    elif given is None and not _is_there(folder, url):
        refuse_loss(folder, where, None)
    storage = open_storage(folder, url, given)
    try:
        study_id = _id_of(storage, definition) if is_begun else None
        if is_begun:
            trials = [] if study_id is None else storage.get_all_trials(study_id, deepcopy=False)
            attrs = {} if study_id is None else storage.get_study_user_attrs(study_id)
            refuse_loss(folder, where, None if study_id is None else _record(trials, attrs))
        else:
            _refuse_strangers(storage, folder, definition.name)
            definition.write(folder)
        if study_id is None:
            with _quiet_optuna():
                study_id = storage.create_new_study(
                    [StudyDirection[metric.direction.upper()]], definition.optuna_name
                )
        elif url is not None:
            study_id = _own_copy(storage, study_id, folder, definition)
        name = storage.get_study_name_from_id(study_id)
        study = optuna.load_study(
            storage=storage, study_name=name, sampler=sampler, pruner=optuna.pruners.NopPruner()
        )
        _identify(storage, study_id, folder)
        storage.remember(study.get_trials(deepcopy=False))
    except BaseException:
        if (folder / FILE).is_file():
            storage.close()
        else:
            storage.abandon()
        raise
    return storage, study


def _identify(storage: OpenStorage, study_id: int, folder: Path) -> None:
    """Give a study without one its identity, and keep its record in the folder."""
    attrs = storage.get_study_user_attrs(study_id)
    if IDENTITY not in attrs:
        n_trials = len(storage.get_all_trials(study_id, deepcopy=False))
        attrs[IDENTITY] = new_identity(n_trials)
        storage.set_study_user_attr(study_id, IDENTITY, attrs[IDENTITY])
    if attrs.get(PLACE) != _place(folder):
        storage.set_study_user_attr(study_id, PLACE, _place(folder))
    storage.commit()
    storage.watch(attrs[IDENTITY]["id"])


def _own_copy(storage: OpenStorage, study_id: int, folder: Path, definition: Definition) -> int:
    """Return the Optuna study of this folder alone.

    The folder of a study in a database may have been copied: both folders name one Optuna study
    then. The copy gets its own, with the same trials.
    """
    attrs = storage.get_study_user_attrs(study_id)
    place = attrs.get(PLACE)
    if place is None or place == _place(folder):
        return study_id
    host, other = place
    record = Record.read(Path(other)) if host == socket.gethostname() else None
    if record is None or record.id != attrs.get(IDENTITY, {}).get("id"):
        return study_id  # The folder has moved.
    name = f"{definition.name}-{uuid.uuid4().hex[:8]}"
    with _quiet_optuna():
        optuna.copy_study(
            from_study_name=storage.get_study_name_from_id(study_id),
            from_storage=storage,
            to_storage=storage,
            to_study_name=name,
        )
    replace(Definition.read(folder), stored_as=name).write(folder)
    return storage.get_study_id_from_name(name)


@contextlib.contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Keep Optuna from logging that it creates a study."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _place(folder: Path) -> list[str]:
    return [socket.gethostname(), os.path.realpath(folder)]


def _id_of(storage: BaseStorage, definition: Definition) -> int | None:
    """Return the Optuna study's number in the storage; None where it is not there.

    The journal of a study's folder holds one study, whatever its name.
    """
    studies = storage.get_all_studies()
    for study in studies:
        if study.study_name == definition.optuna_name:
            return study._study_id
    return studies[0]._study_id if definition.storage is None and len(studies) == 1 else None


def _record(trials: list[FrozenTrial], user_attrs: dict[str, Any]) -> Record:
    return Record.of(user_attrs.get(IDENTITY, {}).get("id", ""), trials)


def _is_there(folder: Path, url: str | None) -> bool:
    """Return False for a storage that is a file which is missing."""
    if url is None:
        return (folder / JOURNAL).is_file()
    if url.startswith(OBJECT):
        return True
    url = absolute_url(url, folder)
    file = None if is_remote(url) else sqlite_file(url)
    return file is None or file.is_file()


def _is_server(url: str) -> bool:
    return is_remote(url) and not url.startswith(OBJECT)


def _where(folder: Path, url: str | None) -> str:
    if url is None:
        return str(folder / JOURNAL)
    return hide_password(url if url.startswith(OBJECT) else absolute_url(url, folder))


def _refuse_leftovers(folder: Path) -> None:
    """Refuse to begin a study where the models of an earlier one would be replaced."""
    names = [name for name in (MODEL, CHECKPOINTS) if (folder / name).is_dir()]
    if names:
        raise StudyError(
            f"folder {folder} must be new or hold a study, got {names[0]}/ of an earlier study "
            f"without its {FILE}. Restore the file, remove the folder, or choose another study "
            "name."
        )


def _refuse_strangers(storage: OpenStorage, folder: Path, name: str) -> None:
    """Refuse to mix a new study's trials with those of another that has its name there."""
    if any(study.study_name == name for study in storage.get_all_studies()):
        raise StudyError(
            f"study {name!r} must be new in {storage.shown}, however: there is one of that "
            f"name, and no {folder / FILE} that says what it is. Choose another --study name."
        )
