"""Temporary folders that are removed also after a kill, by the next command.

The process that makes a folder holds a lock in it as long as it lives. A folder without a
locked lock is left over from a process that was killed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from autotrain.bundle.own_files import open_own
from autotrain.bundle.systems import is_of_this_user, try_lock
from autotrain.errors import StorageError

PREFIX = "autotrain-temporary-"
LOCK = "lock"
CONTENT = "content"
"""Folder that the caller gets, which does not contain the lock."""
_NAME = re.compile(PREFIX + "[a-z0-9_]{8}")


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder and remove it at the end; remove those of killed processes, too.

    Raises: StorageError when no folder can be made.
    """
    try:
        parent = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise StorageError(
            "there must be a folder for temporary files that can be written, got none. Free space, "
            "or set TMPDIR to another folder."
        ) from error
    remove_leftovers(parent)
    folder, descriptor = _make(parent)
    try:
        yield folder / CONTENT
    finally:
        # Windows does not remove a file that is open.
        os.close(descriptor)
        shutil.rmtree(folder, ignore_errors=True)


def leftovers(parent: Path) -> list[Path]:
    """Return the temporary folders of this user whose process has ended.

    Args:
        parent: the folder of temporary files.
    """
    return [folder for folder in _own(parent) if _is_left(folder, removes=False)]


def remove_leftovers(parent: Path | None = None) -> list[Path]:
    """Remove the `leftovers`, and return the removed folders.

    Args:
        parent: the folder of temporary files; None for that of the system.
    """
    if parent is None:
        try:
            parent = Path(tempfile.gettempdir())
        except FileNotFoundError:
            return []
    return [folder for folder in _own(parent) if _is_left(folder, removes=True)]


def _own(parent: Path) -> Iterator[Path]:
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            is_own = stat.S_ISDIR(status.st_mode) and is_of_this_user(status)
            if is_own and _NAME.fullmatch(folder.name):
                yield folder


def _make(parent: Path) -> tuple[Path, int]:
    """Make and lock a folder; return it with the descriptor of its lock."""
    while True:
        try:
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
            descriptor = open_own(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            if parent.is_dir():
                continue  # Another process took the empty folder for a leftover.
            raise
        except OSError as error:
            raise StorageError(
                f"{parent} must take temporary files, got: {error.strerror}. Free space there, or "
                "set TMPDIR to another folder."
            ) from error
        # Before it is locked, another process may lock and remove it.
        if try_lock(descriptor) is not False and _is_there(folder / LOCK, descriptor):
            (folder / CONTENT).mkdir()
            return folder, descriptor
        os.close(descriptor)


def _is_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _is_left(folder: Path, *, removes: bool) -> bool:
    """Whether no process has locked a folder; with `removes` it is removed while it is locked."""
    # Another process may remove or replace the folder at any time.
    with contextlib.suppress(OSError):
        try:
            descriptor = open_own(folder / LOCK, os.O_RDWR)
        except FileNotFoundError:
            # It was killed before it made its lock, or another process makes it now. A folder with
            # other files is not removed.
            is_empty = not any(folder.iterdir())
            if is_empty and removes:
                folder.rmdir()
            return is_empty
        try:
            is_left = try_lock(descriptor) is True
            if is_left and removes:
                shutil.rmtree(folder)
            return is_left
        finally:
            os.close(descriptor)
    return False
