"""Failures of databases and servers: which ones pass, and advice on the others."""

from __future__ import annotations

from optuna.exceptions import StorageInternalError
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from autotrain.errors import StorageError
from autotrain.search.storage.urls import HIDDEN, hide_password, is_remote, secrets_of

# Too many connections, shutdown, lock timeout, deadlock, query interrupted, connection killed.
_PASSING_OF_MYSQL = (1040, 1053, 1205, 1213, 1317, 1927)
_ADVICE = (
    (
        ("to database",),
        "Check the name of the database, and that the user may use it.",
    ),
    (
        ("permission", "command denied", "NOPERM", "read-only"),
        "Give the user the permission to create tables and to read and write them.",
    ),
    (
        ("password authentication", "Access denied", "WRONGPASS", "username-password", "NOAUTH"),
        "Check the user and the password.",
    ),
    (
        ("does not exist", "Unknown database", "DB index is out of range"),
        "Check the name of the database, and create it if it is missing.",
    ),
    (
        ("compatible with the table schema",),
        "Use the Optuna version that wrote the database, upgrade the database, or use another one.",
    ),
)


class UnreachableError(Exception):
    """A server does not answer, or has cut the connection. The call may have been carried out."""


def lost_connection(context: ExceptionContext) -> UnreachableError | None:
    """Return the exception that replaces one of SQLAlchemy's; None to keep it.

    It is a listener of SQLAlchemy's event `handle_error`. Optuna repeats the creation of a trial
    after an exception of SQLAlchemy, also when the first one was carried out.
    """
    error = context.original_exception
    code = error.args[0] if error.args else None
    is_lost = context.is_disconnect or context.connection is None or code in _PASSING_OF_MYSQL
    return UnreachableError(reason_of(error)) if is_lost and not context.is_pre_ping else None


def is_away(url: str, error: BaseException) -> bool:
    """Whether opening a URL failed because its server is not reachable, which may pass."""
    if isinstance(error, UnreachableError):
        return True
    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    is_known = any(sign in reason_of(error) for signs, _ in _ADVICE for sign in signs)
    return is_remote(url) and isinstance(error, OperationalError) and not is_known


def is_created_by_another(error: BaseException) -> bool:
    """Whether opening failed because another process created the tables at the same moment."""
    return isinstance(error, IntegrityError) or "already exists" in reason_of(error)


def reason_of(error: BaseException) -> str:
    """Return the driver's message in one line."""
    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    # PyMySQL: number and text.
    text = str(error.args[-1]) if len(error.args) == 2 else str(error)
    return " ".join(text.split()).rstrip(".") or "no reason given"


def describe(url: str, what: str, error: BaseException) -> str:
    """Return a sentence about a failure, without secrets.

    Args:
        url: URL of the storage.
        what: what failed: "cannot be opened".
        error: exception of a driver, of SQLAlchemy or of Optuna.
    """
    reason = reason_of(error)
    for secret in secrets_of(url):
        reason = reason.replace(secret, HIDDEN)
    kind = "" if isinstance(error, UnreachableError) else f"{type(error).__name__}: "
    return f"storage {hide_password(url)!r} {what}: {kind}{hide_password(reason)}."


def storage_error(url: str, what: str, error: BaseException) -> StorageError:
    """Return the error for a user, with advice; for the arguments see `describe`."""
    advice = _advice_on(reason_of(error), url)
    return StorageError(f"{describe(url, what, error)} {advice}", parameter="storage")


def _advice_on(reason: str, url: str) -> str:
    for signs, advice in _ADVICE:
        if is_remote(url) and any(sign in reason for sign in signs):
            return advice
    if is_remote(url):
        return "Check the address, and that the server is running."
    if "locked" in reason:
        return "Another program writes to the database. Wait for it, or end it."
    return "Check the path; a relative one is relative to the study's folder."
