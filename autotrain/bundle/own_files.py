"""Files that autotrain writes under fixed names: opened without following symbolic links.

An archive, a repository or another user of a shared folder can put a link where autotrain writes
its own file. What follows the link would read or overwrite a file outside the study. A study
folder that is itself a link is the user's choice and is allowed; its own files must not be links.
All errors are `OSError`, whose `strerror` names the obstacle and the fix.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from autotrain.bundle.full_disk import repeat
from autotrain.bundle.systems import OWN_FLAGS

LINK = "it is a symbolic link, which autotrain does not follow in its own folders; remove the link"
NO_FILE = "it is not a regular file; remove it"
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
"""Flags of `open_own` for a file that must not exist yet."""


def open_own(path: Path, flags: int, mode: int = 0o666) -> int:
    """Open a regular file without blocking on pipes, and return its descriptor.

    Args:
        flags: as of `os.open`.
        mode: permissions of a new file, before the umask.
    Raises: OSError when the path is not a regular file, or the system refuses.
    """
    if not hasattr(os, "O_NOFOLLOW"):
        check_own(path)
    try:
        fd = os.open(path, flags | OWN_FLAGS, mode)
    except OSError:
        # The system's own messages are "Too many levels of symbolic links" and "File exists".
        check_own(path)
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, NO_FILE, str(path))
    return fd


def check_own(path: Path) -> None:
    """Check that a path is a regular file, a folder, or does not exist.

    Raises: OSError when it is a link, a pipe or a device.
    """
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, LINK, str(path))
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, NO_FILE, str(path))


def check_all_own(folder: Path, names: Iterable[str]) -> None:
    """Apply `check_own` to files of a folder.

    Raises: OSError, with `filename`, for the first path that is refused.
    """
    for name in names:
        check_own(folder / name)


def read_own(path: Path) -> bytes:
    """Return the content of a file.

    Raises: OSError when it is not a regular file or cannot be read.
    """
    with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
        return file.read()


def write_new(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write a file that must not exist yet; a search waits while the disk is full.

    Args:
        durable: return when the content would survive a power cut.
    Raises: OSError when the path exists or the system refuses; no file is left.
    """
    repeat(lambda: _write_new(path, content, durable=durable), path.parent)


def _write_new(path: Path, content: bytes, *, durable: bool) -> None:
    fd = open_own(path, NEW)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except BaseException:
        # Part of a file would need space that is missing elsewhere.
        remove_own(path)
        raise


def make_own_folder(path: Path) -> None:
    """Make a folder and its parents if they are missing; a search waits while the disk is full.

    Raises: OSError when the system refuses.
    """
    repeat(lambda: path.mkdir(parents=True, exist_ok=True), path.parent)


def replace_own(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write a file atomically; a file or a link of that name is replaced.

    Args:
        durable: return when the content would survive a power cut.
    Raises: OSError when the system refuses.
    """
    temporary = path.with_name(f".{path.name}")
    remove_own(temporary)
    try:
        write_new(temporary, content, durable=durable)
        temporary.replace(path)
    except BaseException:
        remove_own(temporary)
        raise


def remove_own(path: Path) -> None:
    """Remove a file if it exists; of a link, only the link itself."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
