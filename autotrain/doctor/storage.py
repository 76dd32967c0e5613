"""Checks of a study's storage: whether it can be reached, its schema and its latency."""

from __future__ import annotations

import contextlib
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator

from autotrain.doctor.finding import Finding, Severity
from autotrain.errors import AutotrainError
from autotrain.search.opening import Seen
from autotrain.search.storage.shared import SharedStorage
from autotrain.search.storage.storages import DatabaseStorage, FileStorage
from autotrain.search.storage.urls import is_remote, sqlite_file, sqlite_reading_uri
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
    """Return the version of the tables; a version that Optuna cannot read cannot be opened."""
    text = f"The tables have Optuna's schema {database.get_current_version()}."
    return Finding(GROUP, "schema", Severity.OK, text)


def pages(url: str | None) -> Finding | None:
    """Check that the pages of a SQLite database are intact; None for other storages.

    Args:
        url: URL of the storage with an absolute path.
    """
    path = None if url is None or is_remote(url) else sqlite_file(url)
    if path is None or not path.is_file():
        return None
    try:
        uri = sqlite_reading_uri(path, stays_open=False)
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            rows = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.Error as error:
        rows = [str(error)]
    if rows == ["ok"]:
        text = f"The pages of the database are intact ({size_text(path.stat().st_size)})."
        return Finding(GROUP, "pages", Severity.OK, text)
    found = "; ".join(" ".join(str(row).split()) for row in rows)
    return Finding(
        GROUP,
        "pages",
        Severity.PROBLEM,
        f"{path} must be an intact SQLite database, got: {found}.",
        f"Restore a copy, or recover it: sqlite3 {path} .recover | sqlite3 recovered.db",
    )
