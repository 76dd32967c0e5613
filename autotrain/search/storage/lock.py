"""One coordinator per study folder: the lock.

A lock of the kernel on `folder/lock`: it goes with the process that holds it, however that
process ends, so there is nothing to clean up after a kill. The file says who holds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import weakref
from datetime import UTC, datetime
from pathlib import Path

from autotrain.bundle.own_files import open_own
from autotrain.errors import StorageError, StudyError

LOCK = "lock"
# What a file can raise that does not say who holds the lock; a pid of 1e30 overflows.
_ODD = (ValueError, KeyError, TypeError, OverflowError, RecursionError)


class StudyLock:
    """Hold the study in `folder`, which exists, until `release` or the end of this process.

    Raises:
        StudyError: when another process, or another part of this one, holds it.
        StorageError: when the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / LOCK
        try:
            # Whoever may read the file may lock it, and so keep its owner out.
            self._fd = open_own(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageError(
                f"{path} must be a file that can be written, got: {error.strerror}. "
                "Change the permissions of the folder or choose another place."
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder(self._fd)
            os.close(self._fd)
            raise StudyError(
                f"{folder}: expected a study that no other process works on, however: "
                f"{holder} does. Wait for it, stop it, or give this study another name."
            ) from error
        who = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with contextlib.suppress(OSError):  # of another user, or made by an older version
            os.fchmod(self._fd, 0o600)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, json.dumps(who).encode(), 0)
        _held.add(self)

    def release(self) -> None:
        """Let others have the study; a second call does nothing."""
        if self in _held:
            _held.discard(self)
            os.close(self._fd)


def is_held(folder: Path) -> bool:
    """Tell whether a process works on the study in `folder`, without getting in its way."""
    try:
        fd = open_own(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        # Only where the process that signed last is still there is the lock itself tried: who
        # starts at this very moment could find it taken.
        if not _may_live(fd):
            return False
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def _may_live(fd: int) -> bool:
    with contextlib.suppress(*_ODD):
        who = json.loads(os.pread(fd, 1000, 0))
        if who["host"] == socket.gethostname():
            try:
                os.kill(int(who["pid"]), 0)
            except ProcessLookupError:
                return False
            except PermissionError:
                return True
    return True


_held: weakref.WeakSet[StudyLock] = weakref.WeakSet()


def _holder(fd: int) -> str:
    with contextlib.suppress(*_ODD):
        who = json.loads(os.pread(fd, 1000, 0))
        return f"process {who['pid']} on {who['host']} (since {who['since']})"
    return "another process"


# A forked worker shares the lock with its parent and would keep it when the parent is killed.
def _let_go_in_child() -> None:
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_let_go_in_child)
