"""Error messages: options instead of Python parameters, and system errors that users can fix."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator

from autotrain.errors import AutotrainError
from autotrain.search.settings import SETTINGS

REMEDIES = {
    errno.ENOSPC: "Free space there, or choose another place.",
    errno.EDQUOT: "Free space there, or choose another place.",
    errno.EFBIG: "Choose a file system that allows larger files.",
    errno.EROFS: "Choose another place.",
    errno.EACCES: "Change the permissions, or choose another place.",
    errno.EPERM: "Change the permissions, or choose another place.",
    errno.EIO: "Check the disk, or choose another place.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
}
"""The fix, by error number."""
_DATABASE = ("disk is full", "readonly database", "disk I/O error", "database is locked")


_PARAMETERS = (
    *(name for name in SETTINGS if name not in ("name", "data", "reading")),
    *("alpha", "decimal", "header", "max_risk", "missing", "names", "per_class", "positive"),
    *("thousands", "threshold", "timeout", "tolerance", "trial"),
)
OPTIONS = {
    **{name: f"--{name.replace('_', '-')}" for name in _PARAMETERS},
    **{"name": "--study", "n_trials": "--trials", "n_samples": "--samples", "path": "--output"},
}
"""The option of each Python parameter that has one."""


def error_text(error: AutotrainError) -> str:
    """Return the message of an error, with the option in place of the Python parameter."""
    text, parameter = str(error), error.parameter
    if parameter not in OPTIONS or not text.startswith(f"{parameter} "):
        return text
    return OPTIONS[parameter] + text.removeprefix(parameter)


def system_error_text(error: BaseException) -> str | None:
    """Return the message for a system error that the user can fix; None for other errors."""
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
                "permissions or close the other program; then run `autotrain resume`."
            )
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
