"""Run a program on this system as on one that lacks calls: Windows, or macOS.

    WITHOUT=windows python tests/without_posix.py program.py

The libraries are imported before the calls are taken away, because on Linux they need them.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import shutil
import signal
import sys
import tempfile
from types import SimpleNamespace
from typing import Any

# The libraries that autotrain uses, with what they need on this system.
import filelock
import numba  # noqa: F401
import optuna  # noqa: F401
import pandas  # noqa: F401
import safetensors.torch  # noqa: F401
import sklearn.datasets  # noqa: F401
import sqlalchemy  # noqa: F401
import torch  # noqa: F401

MACOS = ("fdatasync", "sched_getaffinity", "sched_setaffinity", "O_TMPFILE")
WINDOWS = (
    *MACOS,
    *("pread", "pwrite", "fchmod", "register_at_fork", "fork", "getuid", "geteuid", "statvfs"),
    *("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_DIRECTORY", "killpg", "uname", "mkfifo"),
)
MODULES = ("fcntl", "resource", "pwd", "grp", "termios")


class NoLibrary:
    """The C library without `renameat2`, as on macOS."""

    renameat2 = None


def disk_usage(status: os.statvfs_result) -> Any:
    """Return the sizes of `shutil.disk_usage`, which uses `statvfs` on this system."""
    return SimpleNamespace(free=status.f_bavail * status.f_frsize)


def take_away(system: str) -> None:
    """Remove the calls that a system lacks."""
    statvfs = os.statvfs
    shutil.disk_usage = lambda path: disk_usage(statvfs(path))
    for name in MACOS if system == "macos" else WINDOWS:
        if hasattr(os, name):
            delattr(os, name)
    # These modules looked at the system when they were imported.
    tempfile._O_TMPFILE_WORKS = False  # type: ignore[attr-defined]
    library = ctypes.CDLL

    def load(name: str | None, *arguments: Any, **named: Any) -> Any:
        if name is not None:
            return library(name, *arguments, **named)
        if system == "windows":
            raise TypeError("LoadLibrary() argument 1 must be str, not None")
        return NoLibrary

    ctypes.CDLL = load  # type: ignore[assignment,misc]
    if system == "macos":
        return
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    for name in ("pthread_sigmask", "SIGHUP", "SIGKILL"):
        delattr(signal, name)
    os.supports_dir_fd = set()
    shutil._use_fd_functions = False  # type: ignore[attr-defined]
    open_own = os.open

    def refuse_folders(path: Any, flags: int, mode: int = 0o777, *, dir_fd: Any = None) -> int:
        if dir_fd is not None:
            raise NotImplementedError("dir_fd unavailable on this platform")
        if isinstance(path, str | os.PathLike) and os.path.isdir(path):  # noqa: PTH112
            raise PermissionError(13, "Permission denied", str(path))
        return open_own(path, flags, mode)

    def refuse_signals(pid: int, number: int) -> None:
        raise AssertionError("a signal ends a process on Windows")

    os.open, os.kill = refuse_folders, refuse_signals


if __name__ == "__main__":
    assert filelock.__version__
    take_away(os.environ["WITHOUT"])
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
