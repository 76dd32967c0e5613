"""Open or create a study's storage and the Optuna study in it, for writing or reading.

The folder identifies a study. The name of the Optuna study is recorded, so that a renamed or copied
folder works with its new name.
"""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from autotrain.errors import StudyError
from autotrain.metrics import Metric
from autotrain.search.attributes import IDENTITY
from autotrain.search.checkpoints import FOLDER as CHECKPOINTS
from autotrain.search.definition import FILE, Definition, NotConnectedError
from autotrain.search.record import MODEL, Record, loss, new_identity, refuse_loss
from autotrain.search.storage.open import open_storage, read_storage
from autotrain.search.storage.opened import JOURNAL, OpenStorage
from autotrain.search.storage.storages import OBJECT, word_of
from autotrain.search.storage.urls import absolute_url, hide_password, is_remote, sqlite_file

PLACE = "place"
"""User attribute of an Optuna study in a shared storage: the host and the folder it belongs to."""


@dataclass(frozen=True)
class Seen:
    """A study that is open for reading.

    Args:
        definition: the study's settings.
        storage: the storage, open read-only.
        study_id: Optuna's number of the study; None when it is not in the storage.
        trials, user_attrs: trials and attributes of the study.
        lost: a sentence on missing trials and how to continue; None if nothing is missing.
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
    """Open a study read-only, also during a search.

    Args:
        folder: the study's folder.
        storage: URL with the password, when the study is not stored in its folder.
        connects: False when the user did not name this study, because the author of its folder must
            not make this machine connect to a server.
        stays_open: see `storages.ReadOnly`.
    Raises:
        StudyError: when the study does not exist, or its trials are in another storage or lost.
        StorageError: when its trials cannot be read.
        NotConnectedError: when the trials are on a server and `connects` is False.
    """
    definition = Definition.read(folder)
    url = storage_of(definition, storage, folder)
    if url is not None and storage is None and not connects and _is_server(url):
        raise NotConnectedError(
            f"the trials of study {folder.name!r} are in {hide_password(url)}, and autotrain "
            "connects to a server only for a study that you name. If you trust this study, run: "
            f"autotrain show {folder.name} --storage URL"
        )
    where = _where(folder, url)
    if not _is_there(folder, url):
        # Opening would create a missing database, so the loss is reported before.
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
    """Return the storage of a study's trials: the given one, or the recorded one.

    Args:
        definition: the study's settings.
        given: a URL, possibly with its password, or a storage object; None for the recorded one.
        folder: the study's folder.
    Raises:
        StudyError: when the given storage does not contain the study; the study would start again
            and its best model would be replaced.
    """
    word = word_of(given) if isinstance(given, BaseStorage) else given
    if word is None:
        return definition.storage
    if definition.is_kept_in(word, folder):
        # The password is not saved. A relative path stays relative, because the folder may move.
        return word if "***" in (definition.storage or "") else definition.storage
    if _has_moved(given, folder):
        return word
    own = f"in {definition.storage}" if definition.storage is not None else f"in {folder / JOURNAL}"
    raise StudyError(
        f"storage must contain the trials of study {definition.name!r}, which are {own}, got "
        f"{hide_password(word)}. Omit the storage to resume the study, pass the storage to which "
        "its trials were copied, or choose another study name.",
        parameter="storage",
    )


def _has_moved(given: str | BaseStorage | None, folder: Path) -> bool:
    """Whether the given storage, which is not the recorded one, contains the study."""
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
    notify: Callable[[str], None] | None = None,
) -> tuple[OpenStorage, optuna.Study]:
    """Open or create a study for writing, and lock it for this process.

    Args:
        folder: the study's folder.
        definition: the study's settings; those of a new study are written to the folder.
        metric: the study's metric.
        sampler: the sampler of the Optuna study.
        given: an open storage in place of `definition.storage`.
        notify: shows a text while opening waits for a server; see `open_storage`.
    Raises:
        StudyError: when another process has locked the study, the storage contains another study
            with its name, or trials are lost.
        StorageError: when the storage cannot be used.
    """
    url, is_begun = definition.storage, (folder / FILE).is_file()
    where = _where(folder, url)
    if not is_begun:
        _refuse_leftovers(folder)
    elif given is None and not _is_there(folder, url):
        refuse_loss(folder, where, None)
    storage = open_storage(folder, url, given, notify)
    try:
        storage.wait_for(notify, left_s=0.0)
        study_id = _id_of(storage, definition) if is_begun else None
        if is_begun:
            trials = [] if study_id is None else storage.get_all_trials(study_id, deepcopy=False)
            attrs = {} if study_id is None else storage.get_study_user_attrs(study_id)
            refuse_loss(folder, where, None if study_id is None else _record(trials, attrs))
        else:
            _refuse_other_studies(storage, folder, definition.name)
            definition.write(folder)
        if study_id is None:
            direction = StudyDirection[metric.direction.upper()]
            with quiet_optuna():
                try:
                    study_id = storage.create_new_study([direction], definition.optuna_name)
                except DuplicatedStudyError:
                    # Another process has created it since the check.
                    (folder / FILE).unlink()
                    raise _name_is_taken(storage, folder, definition.name) from None
        elif url is not None:
            study_id = _own_copy(storage, study_id, folder, definition)
        storage.claim(study_id)
        name = storage.get_study_name_from_id(study_id)
        study = optuna.load_study(
            storage=storage, study_name=name, sampler=sampler, pruner=optuna.pruners.NopPruner()
        )
        _identify(storage, study_id, folder)
        storage.remember(study_id)
        storage.wait_for(None)
    except BaseException:
        if (folder / FILE).is_file():
            storage.close()
        else:
            storage.abandon()
        raise
    return storage, study


def _identify(storage: OpenStorage, study_id: int, folder: Path) -> None:
    """Set the identity of a new study, and start to record its trials in the folder."""
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
    """Return the number of an Optuna study that belongs only to this folder.

    If the folder of a study in a database was copied, both folders refer to one Optuna study. The
    copy then gets an Optuna study of its own with the same trials.
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
    with quiet_optuna():
        optuna.copy_study(
            from_study_name=storage.get_study_name_from_id(study_id),
            from_storage=storage,
            to_storage=storage,
            to_study_name=name,
        )
    replace(Definition.read(folder), stored_as=name).write(folder)
    return storage.get_study_id_from_name(name)


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Suppress Optuna's log message about a new study."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def copy_in_memory(study: optuna.Study) -> optuna.Study:
    """Return a copy of an Optuna study that needs no file, and can be pickled."""
    with quiet_optuna():
        copied = optuna.create_study(direction=study.direction, study_name=study.study_name)
    copied.add_trials(study.trials)
    for name, value in study.user_attrs.items():
        copied.set_user_attr(name, value)
    return copied


def _place(folder: Path) -> list[str]:
    return [socket.gethostname(), os.path.realpath(folder)]


def _id_of(storage: BaseStorage, definition: Definition) -> int | None:
    """Return the number of the Optuna study in the storage; None if it is missing.

    The journal in a study's folder contains one study, with any name.
    """
    studies = storage.get_all_studies()
    for study in studies:
        if study.study_name == definition.optuna_name:
            return study._study_id
    return studies[0]._study_id if definition.storage is None and len(studies) == 1 else None


def _record(trials: list[FrozenTrial], user_attrs: dict[str, Any]) -> Record:
    return Record.of(user_attrs.get(IDENTITY, {}).get("id", ""), trials)


def _is_there(folder: Path, url: str | None) -> bool:
    """Whether the storage exists; True for servers and storage objects."""
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
    """Raise StudyError when a new study would replace the models of an earlier one."""
    names = [name for name in (MODEL, CHECKPOINTS) if (folder / name).is_dir()]
    if names:
        raise StudyError(
            f"folder {folder} must be new or contain a study, got {names[0]}/ of an earlier study "
            f"without its {FILE}. Restore the file, remove the folder, or choose another study "
            "name."
        )


def _refuse_other_studies(storage: OpenStorage, folder: Path, name: str) -> None:
    """Raise StudyError when the storage contains another study with the name of a new one."""
    if any(study.study_name == name for study in storage.get_all_studies()):
        raise _name_is_taken(storage, folder, name)


def _name_is_taken(storage: OpenStorage, folder: Path, name: str) -> StudyError:
    return StudyError(
        f"study {name!r} must be new in {storage.shown}, but the storage contains a study with "
        f"that name, and {folder / FILE} does not exist. Choose another study name."
    )
