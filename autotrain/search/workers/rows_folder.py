"""The temporary folder with the rows for worker processes, also after a kill.

The process that makes a folder holds a lock in it as long as it lives. So the next search finds the
folders whose process was killed, and removes them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from autotrain.bundle.own_files import open_own

PREFIX = "autotrain-rows-"
LOCK = "lock"
YOUNG_S = 60.0
"""Folders younger than this are kept, because their process may not have locked them yet."""


@contextlib.contextmanager
def rows_folder() -> Iterator[Path]:
    """Make a temporary folder, and remove it and those of killed processes."""
    remove_leftovers(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name:
        folder = Path(name)
        descriptor = open_own(folder / LOCK, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(descriptor)


def leftovers(parent: Path, young_s: float = YOUNG_S) -> list[Path]:
    """Return the folders of this user whose process has ended.

    Args:
        parent: the folder of temporary files.
        young_s: younger folders are left out.
    """
    found = []
    for folder in parent.glob(f"{PREFIX}*"):
        # Another user may remove or replace a folder at any time.
        with contextlib.suppress(OSError):
            status = folder.lstat()
            is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
            if is_own and time.time() - status.st_mtime > young_s and not _is_locked(folder):
                found.append(folder)
    return found


def remove_leftovers(parent: Path, young_s: float = YOUNG_S) -> list[Path]:
    """Remove the `leftovers`, and return the removed folders."""
    removed = []
    for folder in leftovers(parent, young_s):
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
            removed.append(folder)
    return removed


def _is_locked(folder: Path) -> bool:
    """Whether the process that made a folder lives; a folder without a lock has none."""
    try:
        descriptor = open_own(folder / LOCK, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
