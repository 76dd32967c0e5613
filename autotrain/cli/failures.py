"""Errors of the system that the user can fix: a full disk, a missing permission."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator

REMEDIES = {
    errno.ENOSPC: "Free space there, or choose another place.",
    errno.EDQUOT: "Free space there, or choose another place.",
    errno.EFBIG: "Choose a place that takes larger files.",
    errno.EROFS: "Choose another place.",
    errno.EACCES: "Change the permissions, or choose another place.",
    errno.EPERM: "Change the permissions, or choose another place.",
    errno.EIO: "Check the disk, or choose another place.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
}
"""By the error's number: what to do."""
_DATABASE = ("disk is full", "readonly database", "disk I/O error", "database is locked")


def system_error_words(error: BaseException) -> str | None:
    """Return what an error of the system says to the user; None for any other error, a bug."""
    for each in _chain(error):
        if isinstance(each, OSError) and each.errno in REMEDIES:
            where = each.filename if each.filename is not None else "the output or a file"
            return (
                f"{where} must be readable and writable, got: {each.strerror or each}. "
                f"{REMEDIES[each.errno]}"
            )
        if isinstance(each, sqlite3.OperationalError) and any(w in str(each) for w in _DATABASE):
            return (
                f"the study's database must be writable, got: {each}. Free space, change its "
                "permissions or close what else uses it; then `autotrain resume`."
            )
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error and those that caused it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
