"""Where a study is kept: `open_storage` for the one coordinator, `read_storage` for all others.

The default is an Optuna journal in the study's folder (journal.py). Other storages come as URLs,
one row of `SCHEMES` each; to add one, add a row and, if it is no SQL database, a way to open it.
The lease on the folder (lease.py) is held whatever the storage.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import sqlite3
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import BaseJournalBackend, JournalRedisBackend

from autotrain import errors
from autotrain.errors import StorageError
from autotrain.search.storage.journal import GroupCommitBackend, JournalReader
from autotrain.search.storage.lock import LOCK, Lease

JOURNAL = "journal.log"
CONNECT_TIMEOUT_S = 10
SQLITE_TIMEOUT_S = 60


class OpenStorage(BaseStorage):
    """An Optuna storage that can be committed and closed.

    Attributes:
        shown: where it is, for messages and records: without a password.
    """

    shown: str
    _lease: Lease | None = None
    _folder: Path | None = None
    _made: tuple[Path, ...] = ()

    def commit(self, *, durable: bool = True) -> None:
        """Let others see all that was said so far; `durable`: make it survive a power cut, too.

        Databases commit each operation themselves.
        """

    def close(self) -> None:
        """Commit, close and let others have the study; a second call does nothing."""
        if self._lease is not None:
            self._lease.release()

    def abandon(self) -> None:
        """Close, and leave nothing where opening made the study's folder."""
        self.close()
        if self._folder is not None:
            _remove(self._folder, self._made)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class FileStorage(JournalStorage, OpenStorage):
    """The journal in the study's folder, written behind; still readable when closed."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.shown = str(path)
        backend: GroupCommitBackend | JournalReader
        backend = JournalReader(path) if read_only else GroupCommitBackend(path)
        try:
            super().__init__(backend)
        except Exception as error:
            if isinstance(backend, GroupCommitBackend):
                backend.close()
            if isinstance(error, StorageError):
                raise
            # A record, but not one that can follow those before it.
            raise StorageError(
                f"{path}, line {backend.line}: expected a record that Optuna understands, "
                f"however: {type(error).__name__}: {error}. To go on with the lines before it, "
                f"keep a copy of the file and cut it there: head -n {backend.line - 1} "
                f"{path.name} > intact.log"
            ) from error
        self._writer = None if read_only else backend

    def commit(self, *, durable: bool = True) -> None:
        """Write all records that wait in memory."""
        if isinstance(self._writer, GroupCommitBackend):
            self._writer.commit(durable=durable)

    def close(self) -> None:
        """Commit, close the file and let others have the study."""
        try:
            if isinstance(self._writer, GroupCommitBackend):
                self._writer.close()
        finally:
            OpenStorage.close(self)


class RedisStorage(JournalStorage, OpenStorage):
    """An Optuna journal on a Redis server, under Optuna's own keys."""

    def __init__(self, url: str) -> None:
        self.shown = hide_password(url)
        url = url.removeprefix("journal+")
        if "socket_connect_timeout" not in url:
            mark = "&" if "?" in url else "?"
            url = f"{url}{mark}socket_connect_timeout={CONNECT_TIMEOUT_S}"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "JournalRedisBackend", ExperimentalWarning)
            backend: BaseJournalBackend = JournalRedisBackend(url)
        super().__init__(backend)


class DatabaseStorage(RDBStorage, OpenStorage):
    """A study in an SQL database."""

    def __init__(self, url: str) -> None:
        self.shown = hide_password(url)
        arguments: dict[str, Any] = {"connect_args": {"connect_timeout": CONNECT_TIMEOUT_S}}
        if url.startswith("sqlite"):
            arguments = {"connect_args": {"timeout": SQLITE_TIMEOUT_S, "factory": _WalConnection}}
        super().__init__(url, engine_kwargs={"pool_pre_ping": True, **arguments})

    def close(self) -> None:
        """Close the connections and let others have the study."""
        self.scoped_session.remove()
        self.engine.dispose()
        OpenStorage.close(self)


class _WalConnection(sqlite3.Connection):
    """Write-ahead log: readers do not block the writer, and writing is 2.6 times faster."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA journal_mode=WAL").close()


@dataclass(frozen=True)
class Scheme:
    """A kind of storage URL.

    Args:
        open: from the URL to the storage.
        driver: the module it needs; empty: none.
        package: what `pip install` must be given for that.
    """

    open: Callable[[str], OpenStorage]
    driver: str = ""
    package: str = ""


SCHEMES: dict[str, Scheme] = {
    "sqlite": Scheme(DatabaseStorage),
    "postgresql+psycopg": Scheme(DatabaseStorage, "psycopg", '"psycopg[binary]"'),
    "mysql+pymysql": Scheme(DatabaseStorage, "pymysql", "pymysql"),
    "journal+redis": Scheme(RedisStorage, "redis", "redis"),
    "journal+rediss": Scheme(RedisStorage, "redis", "redis"),
}
SHORT_SCHEMES = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}


def open_storage(folder: Path, url: str | None = None) -> OpenStorage:
    """Open the storage of the study in `folder` for its one coordinator.

    Args:
        folder: the study's folder, made if it is not there; its `lock` is held until `close`.
        url: another storage than `folder/journal.log`; see `SCHEMES`.

    Raises:
        StudyError: when another process works on this study.
        StorageError: when the storage cannot be opened.
    """
    made = tuple(path for path in (folder, *folder.parents) if not path.exists())
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{folder}: expected a folder for the study, however: {error.strerror}. "
            "Choose another place."
        ) from error
    lease = Lease(folder)
    try:
        storage = FileStorage(folder / JOURNAL) if url is None else _open_url(url)
    except BaseException:
        _remove(folder, made)
        lease.release()
        raise
    storage._lease = lease
    storage._folder, storage._made = folder, made
    return storage


def _remove(folder: Path, made: tuple[Path, ...]) -> None:
    """Remove what opening has made, if it made the folder."""
    if made:
        for name in (LOCK, JOURNAL):
            (folder / name).unlink(missing_ok=True)
    for path in made:
        with contextlib.suppress(OSError):
            path.rmdir()


def read_storage(folder: Path, url: str | None = None) -> OpenStorage:
    """Open the storage of a study to look at it, also while a coordinator works on it.

    Raises:
        StorageError: when there is none, or it cannot be opened.
    """
    if url is not None:
        return _open_url(url)
    path = folder / JOURNAL
    if not path.is_file():
        raise StorageError(
            f"{path}: expected the journal of a study, however: there is no such file. "
            "See `autotrain show` for the studies that are there."
        )
    return FileStorage(path, read_only=True)


def hide_password(url: str) -> str:
    """Return the URL with *** in the place of any password; fit to be printed and stored."""
    password = _password(url)
    if password:
        scheme, _, rest = url.partition("://")
        login, _, host = rest.rpartition("@")
        url = f"{scheme}://{login.partition(':')[0]}:***@{host}"
    return re.sub(r"([?&][^=&]*passw[^=&]*=)[^&]*", r"\1***", url, flags=re.IGNORECASE)


def _password(url: str) -> str:
    # Up to the last @: a password that should have been quoted may hold any character.
    login, _, _ = url.partition("://")[2].rpartition("@")
    return login.partition(":")[2]


def _open_url(url: str) -> OpenStorage:
    shown = hide_password(url)
    name, separator, rest = url.partition("://")
    if not separator:
        raise StorageError(
            f"storage {shown!r}: expected a URL such as sqlite:///study.db, however: there is "
            f"no '://' in it. Known: {', '.join(SCHEMES)}."
        )
    name = SHORT_SCHEMES.get(name, name)
    if name not in SCHEMES:
        raise StorageError(f"storage {shown!r}: {errors.unknown('storage', name, SCHEMES)}")
    if "***" in url:
        raise StorageError(
            f"storage {shown!r}: expected a password, however: it was never stored. "
            "Give the whole URL again with --storage."
        )
    scheme = SCHEMES[name]
    if scheme.driver:
        try:
            importlib.import_module(scheme.driver)
        except ImportError as error:
            raise StorageError(
                f"storage {shown!r}: expected the package {scheme.driver}, however: it is not "
                f"installed. Run: pip install {scheme.package}"
            ) from error
    try:
        return scheme.open(f"{name}://{rest}")
    except Exception as error:
        # Drivers raise whatever they like, and some put the whole URL into the message: it is
        # cleaned, and the original not chained.
        reason = (str(error).strip().splitlines() or ["no reason given"])[0].rstrip(".")
        for secret in {_password(url), unquote(_password(url))} - {""}:
            reason = reason.replace(secret, "***")
        raise StorageError(
            f"storage {shown!r}: expected a storage that answers, however: "
            f"{type(error).__name__}: {hide_password(reason)}. "
            "Check that the server runs, the address and the password."
        ) from None
