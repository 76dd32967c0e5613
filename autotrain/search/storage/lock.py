"""`StudyLock`: allows only one process per study to write.

It is a kernel lock on `folder/lock`, which the system releases when the process ends for any
reason, so a killed process leaves nothing to clean up. The file contains the process and host. On a
file system without locks, the process in the file decides.

The lock is that of the package filelock. Its class `FileLock` does not record who holds the lock,
and has no check that does not disturb a process that starts at the same moment (`is_held`).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import weakref
from datetime import UTC, datetime
from pathlib import Path

from autotrain.bundle.own_files import open_own
from autotrain.bundle.systems import is_alive, keep_private, overwrite, read_at, try_lock
from autotrain.errors import StorageError, StudyError

LOCK = "lock"
# Exceptions for a lock file with invalid content; for example, a pid of 1e30 overflows.
_ODD = (ValueError, KeyError, TypeError, OverflowError, RecursionError, OSError)
_HIDDEN = b" "
"""The first byte of the file. Windows locks it, so that no other process can read it."""


class StudyLock:
    """Locks the study in an existing `folder` until `release` or the end of this process.

    Raises:
        StudyError: when the study is locked already, by another process or by this one.
        StorageError: when the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / LOCK
        try:
            # Only the owner may read the file, because every reader could lock it.
            self._fd = open_own(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageError(
                f"{path} must be a file that can be written, got: {error.strerror}. "
                "Change the permissions of the folder, or choose another folder."
            ) from error
        is_locked = try_lock(self._fd)
        self._has_lock = is_locked is True
        if is_locked is False or (is_locked is None and _may_live(self._fd)):
            holder = _holder(self._fd)
            os.close(self._fd)
            raise StudyError(
                f"{folder} is locked, because {holder} is working on the study. Wait for it, stop "
                "it, or choose another study name."
            )
        who = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with contextlib.suppress(OSError):  # The file may belong to another user.
            keep_private(self._fd)
        try:
            overwrite(self._fd, _HIDDEN + json.dumps(who).encode())
        except OSError as error:
            os.close(self._fd)
            raise StorageError(
                f"{path} must be a file that can be written, got: {error.strerror}. "
                "Free space there, or choose another folder."
            ) from error
        _held.add(self)

    def release(self) -> None:
        """Unlock the study; a second call does nothing."""
        if self in _held:
            if not self._has_lock:
                with contextlib.suppress(OSError):
                    overwrite(self._fd, b"")
            self._close()

    def _close(self) -> None:
        _held.discard(self)
        os.close(self._fd)


def is_held(folder: Path) -> bool:
    """Whether a process has locked the study in `folder`; the check does not disturb it."""
    try:
        fd = open_own(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        # The lock itself is tried only if the last holder may be alive, because a process that
        # starts at this moment would find it locked by this check.
        return _may_live(fd) and try_lock(fd) is not True
    except OSError:
        return True
    finally:
        os.close(fd)


def _may_live(fd: int) -> bool:
    """Whether the last holder may live; False before there was one."""
    with contextlib.suppress(*_ODD):
        content = _read(fd)
        if not content:
            return False
        who = json.loads(content)
        if who["host"] == socket.gethostname():
            return is_alive(int(who["pid"]))
    return True


def _read(fd: int) -> bytes:
    return read_at(fd, 1000, len(_HIDDEN))


_held: weakref.WeakSet[StudyLock] = weakref.WeakSet()


def _holder(fd: int) -> str:
    with contextlib.suppress(*_ODD):
        who = json.loads(_read(fd))
        return f"process {who['pid']} on {who['host']} (since {who['since']})"
    return "another process"


# A forked worker inherits the lock and would keep it when the parent is killed.
def _release_in_child() -> None:
    for lock in list(_held):
        lock._close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)
