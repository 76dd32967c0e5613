"""Where a study is kept: `open_storage` for the one coordinator, `read_storage` for all others.

The default is an Optuna journal in the study's folder (journal.py). Other storages come as URLs,
one row of `SCHEMES` each; to add one, add a row and, if it is no SQL database, a way to open it.
The lock on the folder (lock.py) is held whatever the storage.
"""

from __future__ import annotations

import contextlib
import importlib
import sqlite3
import stat
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, get_storage
from optuna.storages.journal import BaseJournalBackend, JournalRedisBackend
from optuna.trial import FrozenTrial

from autotrain import errors
from autotrain.bundle.own_files import check_all_own
from autotrain.errors import StorageError
from autotrain.search.record import FILE as RECORD
from autotrain.search.record import Record
from autotrain.search.storage.journal import TORN, GroupCommitBackend, JournalReader
from autotrain.search.storage.lock import LOCK, StudyLock
from autotrain.search.storage.urls import (
    HIDDEN,
    absolute_url,
    check_options,
    hide_password,
    is_remote,
    secrets_of,
    sqlite_file,
    sqlite_reading_uri,
)

JOURNAL = "journal.log"
OWN = ("study.toml", ".study.toml", LOCK, JOURNAL, JOURNAL + TORN, RECORD, "checkpoints", "best")
"""What a study keeps in its folder, files and folders."""
CONNECT_TIMEOUT_S = 10
SQLITE_TIMEOUT_S = 60


class OpenStorage(BaseStorage):
    """An Optuna storage that can be committed and closed.

    Attributes:
        shown: where it is, for messages and records: without a password.
    """

    shown: str
    _lock: StudyLock | None = None
    _folder: Path | None = None
    _made: tuple[Path, ...] = ()
    _identity: str | None = None

    def watch(self, identity: str) -> None:
        """Have `remember` keep the record of the study with this identity in the folder."""
        self._identity = identity

    def remember(self, trials: Sequence[FrozenTrial]) -> None:
        """Write down how many trials the study has; call it when they are on disk."""
        if self._identity is not None and self._folder is not None:
            # It only helps to notice a loss: a full disk is reported by what must be written.
            with contextlib.suppress(OSError):
                Record.of(self._identity, trials).write(self._folder)

    def commit(self, *, durable: bool = True) -> None:
        """Let others see all that was said so far; `durable`: make it survive a power cut, too.

        Databases commit each operation themselves.
        """

    def close(self) -> None:
        """Commit, close and let others have the study; a second call does nothing."""
        if self._lock is not None:
            self._lock.release()

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


class _WithoutSnapshots(BaseJournalBackend):
    """The records of a Redis server alone.

    Optuna keeps snapshots there, too, as pickles: who can write to the server could run code in
    all processes that read it. Opening a study of thousands of trials takes longer without them.
    """

    def __init__(self, backend: BaseJournalBackend) -> None:
        self.backend = backend

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Give the records from that number on."""
        return self.backend.read_logs(log_number_from)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add records."""
        self.backend.append_logs(logs)


class RedisStorage(JournalStorage, OpenStorage):
    """An Optuna journal on a Redis server, under Optuna's own keys; without its snapshots."""

    def __init__(self, url: str, reading: Reading | None = None) -> None:
        self.shown = hide_password(url)
        url = url.removeprefix("journal+")
        if "socket_connect_timeout" not in url:
            mark = "&" if "?" in url else "?"
            url = f"{url}{mark}socket_connect_timeout={CONNECT_TIMEOUT_S}"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "JournalRedisBackend", ExperimentalWarning)
            backend: BaseJournalBackend = JournalRedisBackend(url)
        super().__init__(_WithoutSnapshots(backend))


class DatabaseStorage(RDBStorage, OpenStorage):
    """A study in an SQL database.

    Args:
        url: of the database.
        reading: None to write, too; tables are made where there are none.
    """

    def __init__(self, url: str, reading: Reading | None = None) -> None:
        self.shown = hide_password(url)
        arguments: dict[str, Any] = {"pool_pre_ping": True}
        connect: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT_S}
        if url.startswith("sqlite"):
            connect = {"timeout": SQLITE_TIMEOUT_S, "factory": _WalConnection}
            if reading is not None:
                arguments["creator"] = _reader(url, reading)
        elif url.startswith("postgresql") and reading is not None:
            connect["options"] = "-c default_transaction_read_only=on"
        elif url.startswith("mysql"):
            connect["local_infile"] = False
            if reading is not None:
                connect["init_command"] = "SET SESSION TRANSACTION READ ONLY"
        arguments["connect_args"] = connect
        if reading is not None:
            _require_study(url, arguments)
        super().__init__(
            # Optuna puts its version into {SCHEMA_VERSION}; a brace of ours is a brace.
            url.replace("{", "{{").replace("}", "}}"),
            engine_kwargs=arguments,
            skip_table_creation=reading is not None,
        )

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


def _database_file(url: str) -> Path:
    """Return the file of a SQLite URL.

    Raises: FileNotFoundError or OSError when there is no regular file.
    """
    path = sqlite_file(url)
    if path is None or not path.exists():
        raise FileNotFoundError("there is no such file")
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is not a regular file")
    return path


def _reader(url: str, reading: Reading) -> Callable[[], sqlite3.Connection]:
    """Return what connects to a SQLite file for reading; SQLAlchemy would decode the URI itself."""
    return partial(
        sqlite3.connect,
        sqlite_reading_uri(_database_file(url), stays_open=reading.stays_open),
        uri=True,
        timeout=SQLITE_TIMEOUT_S,
        check_same_thread=False,
    )


def _require_study(url: str, arguments: dict[str, Any]) -> None:
    """Raise ValueError when Optuna's tables are not there: it would make them."""
    engine = sqlalchemy.create_engine(url, **arguments)
    try:
        tables = set(sqlalchemy.inspect(engine).get_table_names())
    finally:
        engine.dispose()
    if not tables >= {"studies", "trials", "version_info", "alembic_version"}:
        raise ValueError("there is no Optuna study in this database")


@dataclass(frozen=True)
class Reading:
    """How a storage is opened that is only read.

    Args:
        stays_open: others may write while it is open, and what they write is to be seen.
    """

    stays_open: bool = True


class GivenStorage(OpenStorage):
    """An Optuna storage that the user opened, and closes.

    Every method of Optuna's interface asks the user's own storage.
    """

    def __init__(self, storage: BaseStorage) -> None:
        self.shown = word_of(storage)
        # Optuna keeps the trials that have ended of a database in memory; so it reads fast.
        self._given = get_storage(storage)


def _asks_given(name: str) -> Callable[..., Any]:
    def ask(self: GivenStorage, *arguments: Any, **named: Any) -> Any:
        return getattr(self._given, name)(*arguments, **named)

    ask.__name__ = name
    ask.__doc__ = getattr(BaseStorage, name).__doc__
    return ask


for _name in [name for name in vars(BaseStorage) if not name.startswith("_")]:
    setattr(GivenStorage, _name, _asks_given(_name))
GivenStorage.__abstractmethods__ = frozenset()

OBJECT = "python:"
"""Instead of a URL: a storage that only Python can open, and the name of its class."""


def word_of(storage: BaseStorage) -> str:
    """Return how a storage object is written down: its URL, or its class where it has none."""
    if isinstance(storage, RDBStorage):
        with contextlib.suppress(StorageError):
            # Its relative path began in the working directory.
            return absolute_url(storage.url, Path.cwd())
    return f"{OBJECT}{type(storage).__name__}"


@dataclass(frozen=True)
class Scheme:
    """A kind of storage URL.

    Args:
        open: from the URL to the storage; a `Reading` when nothing may be written.
        driver: the module it needs; empty: none.
        package: what `pip install` must be given for that.
    """

    open: Callable[[str, Reading | None], OpenStorage]
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


def open_storage(
    folder: Path, url: str | None = None, given: BaseStorage | None = None
) -> OpenStorage:
    """Open the storage of the study in `folder` for its one coordinator.

    Args:
        folder: the study's folder, made if it is not there; its `lock` is held until `close`.
        url: another storage than `folder/journal.log`; see `SCHEMES`.
        given: a storage that is open already, instead of either.

    Raises:
        StudyError: when another process works on this study.
        StorageError: when the storage cannot be opened.
    """
    made: tuple[Path, ...] = ()
    try:
        made = tuple(path for path in (folder, *folder.parents) if not path.exists())
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{folder}: expected a folder for the study, however: {error.strerror}. "
            "Choose another place."
        ) from error
    _refuse_links(folder)
    lock = StudyLock(folder)
    try:
        storage = _storage(folder, url, given)
    except BaseException:
        _remove(folder, made)
        lock.release()
        raise
    storage._lock = lock
    storage._folder, storage._made = folder, made
    return storage


def _refuse_links(folder: Path) -> None:
    """Refuse a folder in which a link stands under the name of one of the study's own files."""
    try:
        check_all_own(folder, OWN)
    except OSError as error:
        raise StorageError(
            f"{error.filename} must be the study's own, got: {error.strerror}. "
            "If the folder came from somebody else, do not trust it: see docs/safety.md."
        ) from error


def _storage(folder: Path, url: str | None, given: BaseStorage | None) -> OpenStorage:
    if given is not None:
        return GivenStorage(given)  # type: ignore[abstract]
    return FileStorage(folder / JOURNAL) if url is None else _open_url(absolute_url(url, folder))


def _remove(folder: Path, made: tuple[Path, ...]) -> None:
    """Remove what opening has made, if it made the folder."""
    if made:
        for name in (LOCK, JOURNAL):
            (folder / name).unlink(missing_ok=True)
    for path in made:
        with contextlib.suppress(OSError):
            path.rmdir()


def read_storage(folder: Path, url: str | None = None, *, stays_open: bool = True) -> OpenStorage:
    """Open the storage of a study to look at it, also while a coordinator works on it.

    Nothing is written: no table is made, and no journal mode changed.

    Args:
        stays_open: see `Reading`.
    Raises:
        StorageError: when there is none, or it cannot be opened.
    """
    if url is not None:
        return _open_url(absolute_url(url, folder), Reading(stays_open))
    path = folder / JOURNAL
    if not path.is_file():
        raise StorageError(
            f"{path}: expected the journal of a study, however: there is no such file. "
            "See `autotrain show` for the studies that are there."
        )
    return FileStorage(path, read_only=True)


def _open_url(url: str, reading: Reading | None = None) -> OpenStorage:
    shown = hide_password(url)
    if url.startswith(OBJECT):
        raise StorageError(
            f"storage must be a URL to be opened here, got {shown!r}: the study keeps its trials "
            "in an Optuna storage object. Pass that object in Python: "
            "autotrain.Study.resume(NAME, storage=...)."
        )
    name, separator, rest = url.partition("://")
    if not separator:
        raise StorageError(
            f"storage {shown!r}: expected a URL such as sqlite:///study.db, however: there is "
            f"no '://' in it. Known: {', '.join(SCHEMES)}."
        )
    name = SHORT_SCHEMES.get(name, name)
    if name not in SCHEMES:
        raise StorageError(f"storage {shown!r}: {errors.unknown('storage', name, SCHEMES)}")
    if HIDDEN in url:
        raise StorageError(
            f"storage {shown!r}: expected a password, however: it was never stored. "
            "Give the whole URL again with --storage."
        )
    check_options(url)
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
        return scheme.open(f"{name}://{rest}", reading)
    except Exception as error:
        # Drivers raise whatever they like, and some put the whole URL into the message: it is
        # cleaned, and the original not chained.
        reason = (str(error).strip().splitlines() or ["no reason given"])[0].rstrip(".")
        for secret in secrets_of(url):
            reason = reason.replace(secret, HIDDEN)
        raise StorageError(
            f"storage {shown!r}: expected a storage that answers, however: "
            f"{type(error).__name__}: {hide_password(reason)}. "
            f"{_what_to_check(url)}"
        ) from None


def _what_to_check(url: str) -> str:
    if is_remote(url):
        return "Check that the server runs, the address and the password."
    return "Check the path; a relative one is relative to the study's folder."
