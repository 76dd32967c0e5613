"""The storages of a study: Optuna storages that can be committed, closed and abandoned.

`open.py` chooses and opens one. A new kind of storage is a class derived from `OpenStorage`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import stat
from collections.abc import Callable, Container
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage, get_storage
from optuna.trial import FrozenTrial, TrialState

from autotrain.errors import StorageError
from autotrain.search.storage.buffered import BufferedStorage
from autotrain.search.storage.failures import lost_connection
from autotrain.search.storage.journal import GroupCommitBackend, JournalReader, repair_text
from autotrain.search.storage.loading import MOST_INCLUDED, load_trials
from autotrain.search.storage.opened import OpenStorage
from autotrain.search.storage.replay import ReplayedStorage
from autotrain.search.storage.rows import fits
from autotrain.search.storage.urls import (
    absolute_url,
    is_remote,
    sqlite_file,
    sqlite_reading_uri,
)
from autotrain.search.storage.writers import RecordWriter

CONNECT_TIMEOUT_S = 10
SQLITE_TIMEOUT_S = 60
POOL = "autotrain"
"""Name of the pools of connections in the names of their loggers."""
ANSWER_TIMEOUT_S = 60
"""Seconds after which a server that does not answer counts as not reachable."""

_attributes = sqlalchemy.table(
    "study_system_attributes",
    *(sqlalchemy.column(name) for name in ("study_id", "key", "value_json")),
)


class FileStorage(BufferedStorage, ReplayedStorage):
    """The journal in the study's folder, with buffered writes; readable also when closed."""

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
            # The record is valid JSON, but cannot follow the previous records.
            raise StorageError(
                f"{path}, line {backend.line} must be a valid record of Optuna, got "
                f"{type(error).__name__}: {error}. {repair_text(path)}"
            ) from error
        self._writer = None if read_only else backend
        self._trials = RecordWriter(self, self._write_records)

    def commit(self, *, durable: bool = True) -> None:
        """Write all buffered records."""
        self._write_changes()
        self._write_records(durable=durable)

    def _write_records(self, *, durable: bool = False) -> None:
        """Write the buffer of the file, which also reads the records of other processes."""
        if isinstance(self._writer, GroupCommitBackend):
            self._writer.commit(durable=durable)

    def close(self) -> None:
        """Commit, close the file and unlock the study."""
        try:
            if isinstance(self._writer, GroupCommitBackend):
                self._writer.close()
        finally:
            OpenStorage.close(self)


class DatabaseStorage(RDBStorage, OpenStorage):
    """A study in an SQL database.

    Args:
        url: URL of the database.
        reading: None to write, which creates missing tables.
    """

    errors = (sqlalchemy.exc.SQLAlchemyError, StorageInternalError)

    def __init__(self, url: str, reading: ReadOnly | None = None) -> None:
        # SQLAlchemy logs a traceback when it cannot reset a connection that was cut.
        logging.getLogger(f"sqlalchemy.pool.impl.QueuePool.{POOL}").setLevel(logging.CRITICAL)
        # A connection that was cut is found by the first call, which is then repeated.
        arguments: dict[str, Any] = {"pool_pre_ping": False, "pool_logging_name": POOL}
        connect: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT_S}
        if url.startswith("sqlite"):
            connect = {"timeout": SQLITE_TIMEOUT_S, "factory": _WalConnection}
            if reading is not None:
                arguments["creator"] = _reader(url, reading)
        elif url.startswith("postgresql"):
            connect["tcp_user_timeout"] = 1000 * ANSWER_TIMEOUT_S
            if reading is not None:
                connect["options"] = "-c default_transaction_read_only=on"
        elif url.startswith("mysql"):
            connect["local_infile"] = False
            for name in ("read_timeout", "write_timeout"):
                if name not in url:
                    connect[name] = ANSWER_TIMEOUT_S
            if reading is not None:
                connect["init_command"] = "SET SESSION TRANSACTION READ ONLY"
        arguments["connect_args"] = connect
        if reading is not None:
            _require_study(url, arguments)
        try:
            super().__init__(
                # Optuna formats the URL to fill in {SCHEMA_VERSION}, so other braces are escaped.
                url.replace("{", "{{").replace("}", "}}"),
                engine_kwargs=arguments,
                skip_table_creation=reading is not None,
            )
        except BaseException:
            if hasattr(self, "engine"):
                self.engine.dispose()
            raise
        if not url.startswith("sqlite"):
            sqlalchemy.event.listen(self.engine, "handle_error", lost_connection)

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """Return trials, as Optuna does it and with less time."""
        wanted = (study_id, states, included_trial_ids, trial_id_greater_than)
        if len(included_trial_ids) > MOST_INCLUDED or not fits():
            return super()._get_trials(*wanted)
        with self.engine.connect() as connection:
            return load_trials(connection, *wanted)

    def swap(
        self, study_id: int, name: str, old: dict[str, Any] | None, new: dict[str, Any]
    ) -> bool:
        """Set a system attribute of a study if it has the value `old` (None: if it is missing)."""
        return _swap(self.engine, study_id, name, old, new)

    def close(self) -> None:
        """Close the connections."""
        self.scoped_session.remove()
        self.engine.dispose()


class BorrowedDatabase:
    """The database of an Optuna storage that the user opens and closes.

    While it is borrowed, a lost connection raises `UnreachableError` in place of SQLAlchemy's
    exception.
    """

    errors = DatabaseStorage.errors

    def __init__(self, storage: RDBStorage) -> None:
        self.storage = storage
        self.url = storage.url
        sqlalchemy.event.listen(storage.engine, "handle_error", lost_connection)

    @staticmethod
    def can_have(storage: RDBStorage) -> bool:
        """Whether other processes can reach the database, so that a claim makes sense."""
        return is_remote(storage.url) or sqlite_file(storage.url) is not None

    def swap(
        self, study_id: int, name: str, old: dict[str, Any] | None, new: dict[str, Any]
    ) -> bool:
        """Set a system attribute of a study if it has the value `old` (None: if it is missing)."""
        return _swap(self.storage.engine, study_id, name, old, new)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the system attributes of a study."""
        return self.storage.get_study_system_attrs(study_id)

    def close(self) -> None:
        """Return the database; the user closes it."""
        sqlalchemy.event.remove(self.storage.engine, "handle_error", lost_connection)


def _swap(
    engine: sqlalchemy.Engine,
    study_id: int,
    name: str,
    old: dict[str, Any] | None,
    new: dict[str, Any],
) -> bool:
    values = {"study_id": study_id, "key": name, "value_json": json.dumps(new)}
    change: sqlalchemy.Insert | sqlalchemy.Update = _attributes.insert().values(values)
    if old is not None:
        columns = _attributes.c
        change = (
            _attributes.update()
            .where(columns.study_id == study_id, columns.key == name)
            .where(columns.value_json == json.dumps(old))
            .values(value_json=json.dumps(new))
        )
    try:
        with engine.begin() as connection:
            return connection.execute(change).rowcount == 1 or old is None
    except sqlalchemy.exc.IntegrityError:
        return False


class _WalConnection(sqlite3.Connection):
    """Uses the write-ahead log: readers do not block the writer; writing is 2.6 times faster."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA journal_mode=WAL").close()


def _database_file(url: str) -> Path:
    """Return the file of a SQLite URL.

    Raises:
        FileNotFoundError, OSError: when there is no regular file.
    """
    path = sqlite_file(url)
    if path is None or not path.exists():
        raise FileNotFoundError("the file does not exist")
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is not a regular file")
    return path


def _reader(url: str, reading: ReadOnly) -> Callable[[], sqlite3.Connection]:
    """Return a function that connects read-only; SQLAlchemy would decode the URI itself."""
    return partial(
        sqlite3.connect,
        sqlite_reading_uri(_database_file(url), stays_open=reading.stays_open),
        uri=True,
        timeout=SQLITE_TIMEOUT_S,
        check_same_thread=False,
    )


def _require_study(url: str, arguments: dict[str, Any]) -> None:
    """Raise ValueError when Optuna's tables are missing, because Optuna would create them."""
    engine = sqlalchemy.create_engine(url, **arguments)
    try:
        tables = set(sqlalchemy.inspect(engine).get_table_names())
    finally:
        engine.dispose()
    if not tables >= {"studies", "trials", "version_info", "alembic_version"}:
        raise ValueError("there is no Optuna study in this database")


@dataclass(frozen=True)
class ReadOnly:
    """Options for opening a storage read-only.

    Args:
        stays_open: whether changes of other processes must be visible while it is open.
    """

    stays_open: bool = True


class GivenStorage(OpenStorage):
    """An Optuna storage that the user opens and closes.

    All methods of Optuna's interface are forwarded to it.
    """

    def __init__(self, storage: BaseStorage) -> None:
        self.shown = word_of(storage)
        # `get_storage` caches finished trials of a database in memory, which makes reading fast.
        self._given = get_storage(storage)

    def _ask(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        return call(*arguments, **named)


def _forward(name: str) -> Callable[..., Any]:
    def ask(self: GivenStorage, *arguments: Any, **named: Any) -> Any:
        return self._ask(getattr(self._given, name), *arguments, **named)

    ask.__name__ = name
    ask.__doc__ = getattr(BaseStorage, name).__doc__
    return ask


for _name in [name for name in vars(BaseStorage) if not name.startswith("_")]:
    setattr(GivenStorage, _name, _forward(_name))
GivenStorage.__abstractmethods__ = frozenset()

OBJECT = "python:"
"""Prefix, followed by a class name, in place of the URL of a storage that only Python can open."""


def word_of(storage: BaseStorage) -> str:
    """Return the text that represents a storage object: its URL, or its class without a URL."""
    if isinstance(storage, RDBStorage):
        with contextlib.suppress(StorageError):
            # Optuna resolved a relative path from the working directory.
            return absolute_url(storage.url, Path.cwd())
    return f"{OBJECT}{type(storage).__name__}"
