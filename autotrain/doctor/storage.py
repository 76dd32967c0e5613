"""Checks of a study's storage: whether it can be reached, its schema and its latency."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import sqlalchemy

from autotrain.doctor.finding import Finding, Severity
from autotrain.errors import AutotrainError
from autotrain.search.opening import Seen
from autotrain.search.storage.shared import SharedStorage
from autotrain.search.storage.storages import DatabaseStorage, FileStorage
from autotrain.search.storage.urls import sqlite_file
from autotrain.vocabulary import size_text

GROUP = "storage"
SLOW_S = 0.2
N_CALLS = 5


def storage_findings(seen: Seen) -> Iterator[Finding]:
    """Yield the findings about the storage of a study that is open for reading.

    A journal has none here, because `journal.py` has read all of it.
    """
    storage = seen.storage
    if isinstance(storage, FileStorage):
        return
    yield reachable(seen)
    inner = storage._inner if isinstance(storage, SharedStorage) else None
    if isinstance(inner, DatabaseStorage):
        yield schema(inner)
        if inner.url.startswith("sqlite"):
            yield pages(inner)


def reachable(seen: Seen, slow_s: float = SLOW_S, n: int = N_CALLS) -> Finding:
    """Check that the storage answers, and measure how fast.

    Args:
        slow_s: seconds above which a call is slow.
        n: number of calls.
    """
    try:
        seconds = statistics.median(_seconds_of(seen.storage.get_all_studies) for _ in range(n))
    except AutotrainError as error:
        return Finding(
            GROUP, "storage", Severity.PROBLEM, str(error), "Start the server, then check again."
        )
    text = f"{seen.storage.shown} answers in {1000 * seconds:.1f} ms"
    if seconds > slow_s:
        return Finding(
            GROUP,
            "storage",
            Severity.WARNING,
            f"{text}. A search makes several calls for each trial.",
            "Use a server that is nearer, or the journal in the study's folder.",
        )
    return Finding(GROUP, "storage", Severity.OK, f"{text}.")


def _seconds_of(call: Callable[[], object]) -> float:
    begun_s = time.perf_counter()
    call()
    return time.perf_counter() - begun_s


def schema(database: DatabaseStorage) -> Finding:
    """Check that the tables have the version of the installed Optuna.

    Opening a database has refused a version that Optuna cannot read.
    """
    found, newest = database.get_current_version(), database.get_head_version()
    if found == newest:
        return Finding(GROUP, "schema", Severity.OK, f"The tables have Optuna's schema {found}.")
    return Finding(
        GROUP,
        "schema",
        Severity.WARNING,
        f"The tables must have Optuna's schema {newest}, got {found}.",
        "Make a copy, then run: optuna storage upgrade --storage URL",
    )


def pages(database: DatabaseStorage) -> Finding:
    """Check that the pages of a SQLite database are intact."""
    path = sqlite_file(database.url)
    try:
        with database.engine.connect() as connection:
            rows = connection.execute(sqlalchemy.text("PRAGMA quick_check(5)")).scalars().all()
    except sqlalchemy.exc.SQLAlchemyError as error:
        rows = [str(error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error)]
    if rows != ["ok"]:
        return Finding(
            GROUP,
            "pages",
            Severity.PROBLEM,
            f"{path} must be an intact SQLite database, got: {'; '.join(map(str, rows))}.",
            f"Restore a copy, or recover it: sqlite3 {path} .recover | sqlite3 recovered.db",
        )
    size = 0 if path is None else path.stat().st_size
    text = f"The pages of the database are intact ({size_text(size)})."
    return Finding(GROUP, "pages", Severity.OK, text)
