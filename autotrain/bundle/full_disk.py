"""Wait while a disk is full, so that a search pauses instead of ending.

A search is a `with waiting(...)` statement. In it `repeat` repeats a write that failed because the
disk was full, until there is space, the time is over, or the user presses Ctrl-C. Elsewhere the
error is raised at once. All files that autotrain writes during a search are written by
`own_files.py` and `search/storage/`, which call `repeat`.
"""

from __future__ import annotations

import contextlib
import errno
import math
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from autotrain.vocabulary import shown_path, size_text

RETRY_S = 1.0
GRACE_S = 10.0
"""Seconds for which a search waits also when its time is over."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
Answer = TypeVar("Answer")


@dataclass
class _Waiting:
    notify: Callable[[str], None]
    end_s: float
    is_over: bool = False
    """Whether a wait has ended without space, so that later writes do not wait."""


_waiting: ContextVar[_Waiting | None] = ContextVar("waiting", default=None)


@contextlib.contextmanager
def waiting(notify: Callable[[str], None], left_s: float | None = None) -> Iterator[None]:
    """Wait for space in this `with` statement.

    Args:
        notify: shows a text to the user; "" when writing works again.
        left_s: longest time in seconds; None for no limit.
    """
    end_s = math.inf if left_s is None else time.monotonic() + left_s
    token = _waiting.set(_Waiting(notify, end_s))
    try:
        yield
    finally:
        _waiting.reset(token)


def repeat(call: Callable[[], Answer], folder: Path) -> Answer:
    """Return the result of a write, which is repeated while the disk is full.

    Args:
        call: writes all or, if it fails, nothing.
        folder: where it writes.
    Raises:
        Exception: the error of the call, when it has another cause, outside a `waiting` statement,
            or when its time is over.
        KeyboardInterrupt: when the user does not wait any longer.
    """
    current = _waiting.get()
    try:
        return call()
    except Exception as error:
        if current is None or current.is_over or not is_full(error):
            raise
        text = _pause_text(error, folder)
    try:
        current.notify(text)
        answer = _wait(call, max(current.end_s, time.monotonic() + GRACE_S))
    except BaseException:
        current.is_over = True
        raise
    current.notify("")
    return answer


def _wait(call: Callable[[], Answer], end_s: float) -> Answer:
    while True:
        time.sleep(RETRY_S)
        try:
            return call()
        except Exception as error:
            if not is_full(error) or time.monotonic() + RETRY_S > end_s:
                raise


def is_full(error: BaseException | None) -> bool:
    """Whether an error or one of its causes is that a disk is full or a quota is used up."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if isinstance(error, sqlite3.OperationalError) and "disk is full" in str(error):
            return True
        error = error.__cause__
    return False


def free_bytes(folder: Path) -> int | None:
    """Return the free space of the disk of a folder, which may not exist yet.

    Returns: bytes that this user may write; None if the system does not report them.
    """
    for place in (folder, *folder.absolute().parents):
        try:
            return shutil.disk_usage(place).free
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            break
    return None


def _pause_text(error: BaseException, folder: Path) -> str:
    # A new bundle is written to a hidden folder, which the user does not know.
    where = shown_path(folder.parent if folder.name.startswith(".") else folder)
    if isinstance(error, OSError) and error.errno == errno.EDQUOT:
        what = f"the disk quota for {where} is used up"
    else:
        free = free_bytes(folder)
        known = "" if free is None else f": {size_text(free)} free"
        what = f"the disk of {where} is full{known}"
    return f"{what}. Free space; the search continues by itself. Stop with Ctrl-C."
