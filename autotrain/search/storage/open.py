"""Open the storage of a study: `open_storage` for the only writer, `read_storage` for readers.

The default is an Optuna journal in the study's folder. Other storages are URLs with one row of
`SCHEMES` each. To add one, add a row and, if it is not an SQL database, a class in storages.py. The
folder is locked (lock.py) with every storage.
"""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from optuna.storages import BaseStorage, RDBStorage

from autotrain import errors
from autotrain.bundle.own_files import check_all_own, remove_own
from autotrain.bundle.publishing import recover
from autotrain.errors import StorageError
from autotrain.search.record import FILE as RECORD
from autotrain.search.storage.arguments import hide_in_arguments
from autotrain.search.storage.failures import (
    describe,
    is_away,
    is_created_by_another,
    storage_error,
)
from autotrain.search.storage.journal import TORN
from autotrain.search.storage.lock import LOCK, StudyLock
from autotrain.search.storage.opened import JOURNAL, OpenStorage, remove_made
from autotrain.search.storage.redis_journal import RedisStorage
from autotrain.search.storage.shared import FIRST_DELAY_S, MOST_DELAY_S, Inner, SharedStorage
from autotrain.search.storage.storages import (
    OBJECT,
    BorrowedDatabase,
    DatabaseStorage,
    FileStorage,
    GivenStorage,
    ReadOnly,
)
from autotrain.search.storage.urls import (
    HIDDEN,
    absolute_url,
    check_options,
    hide_password,
    secrets_of,
)

OWN = ("study.toml", ".study.toml", LOCK, JOURNAL, JOURNAL + TORN, RECORD, "checkpoints", "best")
"""Files and folders that a study has in its folder."""
CHECKPOINT = re.compile(r"(trial-\d+-\d+|running)\.safetensors")


@dataclass(frozen=True)
class Scheme:
    """A kind of storage URL.

    Args:
        open: opens a URL, read-only with a `ReadOnly`.
        driver: name of the required module, or "".
        package: argument of `pip install` for the module.
    """

    open: Callable[[str, ReadOnly | None], DatabaseStorage | RedisStorage]
    driver: str = ""
    package: str = ""


SCHEMES: dict[str, Scheme] = {
    "sqlite": Scheme(DatabaseStorage),
    "postgresql+psycopg": Scheme(DatabaseStorage, "psycopg", '"psycopg[binary]"'),
    "mysql+pymysql": Scheme(DatabaseStorage, "pymysql", "pymysql"),
    "journal+redis": Scheme(RedisStorage, "redis", "redis"),
    "journal+rediss": Scheme(RedisStorage, "redis", "redis"),
}
OPENING_S = 60.0
"""Seconds for which opening waits for a server that is not reachable."""
CREATIONS = 10
"""Attempts to open a database whose tables another process creates at the same moment."""
SHORT_SCHEMES = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}


def open_storage(
    folder: Path,
    url: str | None = None,
    given: BaseStorage | None = None,
    notify: Callable[[str], None] | None = None,
) -> OpenStorage:
    """Open the storage of the study in `folder` for writing.

    Args:
        folder: the study's folder, created if it is missing, and locked until `close`.
        url: URL of a storage; None for `folder/journal.log`. See `SCHEMES`.
        given: an open storage, in place of `url`.
        notify: shows a text to the user. If a server is not reachable, opening waits for up to
            `OPENING_S` and tries again. None: it raises an error at once.
    Raises:
        StudyError: when another process has locked this study.
        StorageError: when the storage cannot be opened.
    """
    made: tuple[Path, ...] = ()
    try:
        made = tuple(path for path in (folder, *folder.parents) if not path.exists())
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{folder} must be a folder for the study, got: {error.strerror}. "
            "Choose another folder."
        ) from error
    _refuse_links(folder)
    try:
        lock = StudyLock(folder)
    except StorageError:
        remove_made(folder, made)
        raise
    try:
        remove_unfinished(folder)
        storage = _storage(folder, url, given, notify)
    except BaseException:
        remove_made(folder, made)
        lock.release()
        raise
    storage._lock = lock
    storage._folder, storage._made = folder, made
    return storage


def unfinished(folder: Path) -> list[Path]:
    """Return the files that a killed writer of the study did not finish."""
    hidden = (*folder.glob(".*"), *(folder / "checkpoints").glob(".*"))
    names = {path: path.name.removeprefix(".") for path in hidden}
    return sorted(path for path, n in names.items() if n in OWN or CHECKPOINT.fullmatch(n))


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed writer of the study left; the study must be locked.

    Raises:
        StorageError: when it cannot be removed.
    """
    try:
        for path in unfinished(folder):
            remove_own(path)
        recover(folder / "best")
    except OSError as error:
        raise StorageError(
            f"{folder} must be a folder that can be written, got: {error.strerror}. "
            "Change the permissions of the folder, or choose another folder."
        ) from error


def _refuse_links(folder: Path) -> None:
    """Raise StorageError when one of the study's own files is a link."""
    try:
        check_all_own(folder, OWN)
    except OSError as error:
        raise StorageError(
            f"{error.filename} must be the study's own, got: {error.strerror}. "
            "If you received the folder from someone else, do not trust it."
        ) from error


def _storage(
    folder: Path,
    url: str | None,
    given: BaseStorage | None,
    notify: Callable[[str], None] | None,
) -> OpenStorage:
    if isinstance(given, RDBStorage) and BorrowedDatabase.can_have(given):
        return SharedStorage(BorrowedDatabase(given))  # type: ignore[abstract]
    if given is not None:
        return GivenStorage(given)  # type: ignore[abstract]
    if url is None:
        return FileStorage(folder / JOURNAL)
    return _open_url(absolute_url(url, folder), notify=notify)


def read_storage(folder: Path, url: str | None = None, *, stays_open: bool = True) -> OpenStorage:
    """Open the storage of a study read-only, also during a search.

    Nothing is written: no table is created, and no journal mode is changed.

    Args:
        folder: the study's folder.
        url: URL of the storage; None for the journal in the folder.
        stays_open: see `ReadOnly`.
    Raises:
        StorageError: when the storage does not exist or cannot be opened.
    """
    if url is not None:
        return _open_url(absolute_url(url, folder), ReadOnly(stays_open))
    path = folder / JOURNAL
    if not path.is_file():
        raise StorageError(
            f"{path} must be the journal of a study, but the file does not exist. "
            "`autotrain show` lists all studies."
        )
    return FileStorage(path, read_only=True)


def _open_url(
    url: str, reading: ReadOnly | None = None, notify: Callable[[str], None] | None = None
) -> OpenStorage:
    shown = hide_password(url)
    if url.startswith(OBJECT):
        raise StorageError(
            f"storage must be a URL, got {shown!r}: the trials of the study are in an Optuna "
            "storage object. Pass that object in Python: "
            "autotrain.Study.resume(NAME, storage=...)."
        )
    name, separator, rest = url.partition("://")
    if not separator:
        raise StorageError(
            f"storage must be a URL such as sqlite:///study.db, got {shown!r} without '://'. "
            f"Known: {', '.join(SCHEMES)}.",
            parameter="storage",
        )
    name = SHORT_SCHEMES.get(name, name)
    if name not in SCHEMES:
        raise StorageError(f"storage {shown!r}: {errors.unknown('storage', name, SCHEMES)}")
    if HIDDEN in url:
        raise StorageError(
            f"storage must contain the password, which is not saved, got {shown!r}. "
            "Pass the whole URL.",
            parameter="storage",
        )
    check_options(url)
    hide_in_arguments(secrets_of(url))
    scheme = SCHEMES[name]
    if scheme.driver:
        try:
            importlib.import_module(scheme.driver)
        except ImportError as error:
            raise StorageError(
                f"storage {shown!r} needs the package {scheme.driver}, which is not installed. "
                f"Run: pip install {scheme.package}"
            ) from error
    return _open_when_reachable(url, lambda: scheme.open(f"{name}://{rest}", reading), notify)


def _open_when_reachable(
    url: str, opened: Callable[[], Inner], notify: Callable[[str], None] | None
) -> SharedStorage:
    end_s, delay_s, is_waiting = time.monotonic() + OPENING_S, FIRST_DELAY_S, False
    n_attempts = 0
    while True:
        n_attempts += 1
        try:
            storage = SharedStorage(opened())  # type: ignore[abstract]
            break
        except Exception as error:
            # Drivers raise arbitrary exceptions, and some messages contain the whole URL. The
            # original exception is not chained.
            if n_attempts < CREATIONS and is_created_by_another(error):
                continue
            is_late = time.monotonic() + delay_s > end_s
            if notify is None or is_late or not is_away(url, error):
                raise storage_error(url, "cannot be opened", error) from None
            if not is_waiting:
                is_waiting = True
                notify(
                    f"{describe(url, 'is not reachable', error)} Trying again for "
                    f"{OPENING_S:.0f} s. Stop with Ctrl-C."
                )
        time.sleep(delay_s)
        delay_s = min(2 * delay_s, MOST_DELAY_S)
    if is_waiting and notify is not None:
        notify("")
    return storage
