"""Calls that some systems lack, each with its fallback.

Linux has all of them. macOS has no `renameat2`. Windows has no `fcntl`, opens no folders and knows
neither users nor flags against links. The rest of the package uses these functions in place of the
calls, so that every fallback is in this file and is tested by taking the calls away.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from pathlib import Path

from filelock import lock_descriptor

OWN_FLAGS = sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
)
"""Flags of `os.open` for a file that autotrain wrote: no link, no pipe, no translated bytes."""
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def try_lock(fd: int) -> bool | None:
    """Lock an open file until it is closed, or the process ends for any reason.

    Returns: True; False when it is locked already; None when the system or the file system has no
        locks.
    """
    try:
        return lock_descriptor(fd, blocking=False)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise


def is_alive(pid: int) -> bool:
    """Whether a process of this machine lives; True when the system does not report it."""
    # On Windows, signal 0 is Ctrl-C.
    if not hasattr(signal, "SIGKILL"):
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def read_at(fd: int, size: int, offset: int) -> bytes:
    """Read bytes of an open file; the position in the file may change."""
    if hasattr(os, "pread"):
        return os.pread(fd, size, offset)
    os.lseek(fd, offset, os.SEEK_SET)
    return os.read(fd, size)


def overwrite(fd: int, content: bytes) -> None:
    """Replace the content of an open file."""
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, content)


def keep_private(fd: int) -> None:
    """Allow only the owner to open a file, where the system knows owners.

    Raises: OSError when the file belongs to another user.
    """
    if hasattr(os, "fchmod"):
        os.fchmod(fd, 0o600)


def is_of_this_user(status: os.stat_result) -> bool:
    """Whether a file belongs to this user; True where files have no owner."""
    return not hasattr(os, "getuid") or status.st_uid == os.getuid()


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that the names in it survive a power failure; nothing on Windows."""
    if not opens_folders():
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def opens_folders() -> bool:
    """Whether a folder can be opened, and a file be opened relative to it."""
    return hasattr(os, "O_DIRECTORY") and os.open in os.supports_dir_fd


def exchange_folders(a: Path, b: Path) -> bool:
    """Exchange two folders atomically; return False if the system does not support it."""
    try:
        renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    except (OSError, TypeError):
        return False
    if renameat2 is None:
        return False
    names = os.fsencode(a), os.fsencode(b)
    return bool(renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0)
