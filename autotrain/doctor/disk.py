"""Checks of the disk: free space, folders of killed processes, the cache of compiled kernels."""

from __future__ import annotations

import os
import pickletools
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from autotrain.bundle.temporary import leftovers, remove_leftovers
from autotrain.doctor.finding import Finding, Severity
from autotrain.vocabulary import count_text, shown_path, size_text

GROUP = "environment"
LOW_BYTES = 1_000_000_000
NO_BYTES = 50_000_000
SLOW_SYNC_S = 0.2
N_SYNCS = 5
CACHE_VARIABLE = "NUMBA_CACHE_DIR"


def disk_findings(studies: Path) -> Iterator[Finding]:
    """Yield the findings about the folder of all studies, temporary files and the numba cache."""
    yield space("disk", studies)
    temporary = Path(tempfile.gettempdir())
    free = space("temporary", temporary)
    yield free if free.state != Severity.OK else temporary_folders(temporary, free)
    yield kernel_cache()


def space(name: str, folder: Path, low: int = LOW_BYTES, none: int = NO_BYTES) -> Finding:
    """Check that a folder can be written and has free space, and measure a sync.

    Args:
        name: the subject.
        folder: it need not exist; then its first parent that exists is checked.
        low, none: bytes below which the free space is a warning or a problem.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        return _finding(
            name,
            Severity.PROBLEM,
            f"{there} must be a folder that can be written, got one without that permission.",
            "Change its permissions, or choose another folder (--directory).",
        )
    free = shutil.disk_usage(there).free
    n_files = _new_files(there)
    if free < low or n_files == 0:
        files = "" if n_files is None else f" and {count_text(n_files, 'new file')}"
        what = f"{size_text(free)}{files}"
        return _finding(
            name,
            Severity.PROBLEM if free < none or n_files == 0 else Severity.WARNING,
            f"{there} must have free space, got {what}.",
            "Remove files that are not needed, or choose another folder.",
        )
    text = f"{size_text(free)} free in {there}"
    sync_s = sync_seconds(there)
    if sync_s is not None and sync_s > SLOW_SYNC_S:
        return _finding(
            name,
            Severity.WARNING,
            f"{text}, but a sync to it takes {1000 * sync_s:.0f} ms. "
            "A search waits for a sync after each trial.",
            "Keep the studies on a local disk (--directory).",
        )
    sync = "" if sync_s is None else f"; a sync takes {1000 * sync_s:.1f} ms"
    return _finding(name, Severity.OK, f"{text}{sync}.")


def _new_files(folder: Path) -> int | None:
    """Return the number of files that fit on a disk; None where there is no limit."""
    if not hasattr(os, "statvfs"):
        return None
    status = os.statvfs(folder)
    return status.f_favail if status.f_files else None


def sync_seconds(folder: Path, n: int = N_SYNCS) -> float | None:
    """Return the median time of a sync of a file without a name; None if it is not supported."""
    if not hasattr(os, "O_TMPFILE"):
        return None
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600)
    except OSError:
        return None
    seconds = []
    try:
        for _ in range(n):
            os.write(descriptor, b"0" * 4096)
            begun_s = time.perf_counter()
            os.fsync(descriptor)
            seconds.append(time.perf_counter() - begun_s)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return statistics.median(seconds)


def temporary_folders(parent: Path, free: Finding) -> Finding:
    """Check that killed searches left no rows for worker processes.

    Args:
        parent: the folder of temporary files.
        free: the finding about its free space.
    """
    folders = leftovers(parent)
    if not folders:
        return free
    size = sum(file.stat().st_size for folder in folders for file in folder.rglob("*"))
    what = count_text(len(folders), "folder")
    return Finding(
        GROUP,
        "temporary",
        Severity.WARNING,
        f"{parent} contains {what} of killed searches ({size_text(size)}).",
        "The next search with several workers removes them, and so does --fix.",
        lambda: f"{count_text(len(remove_leftovers(parent)), 'folder')} removed.",
    )


def kernel_cache(module: ModuleType | None = None) -> Finding:
    """Check that compiled kernels are cached, and that the cached files are complete.

    Each search compiles a kernel again whose file in the cache is damaged.

    Args:
        module: the module with the kernels; None for `training/compiled.py`.
    """
    if module is None:
        # The module imports torch and numba, which may be damaged.
        from autotrain.training import compiled as module  # noqa: PLC0415
    paths = [each.stats.cache_path for each in vars(module).values() if hasattr(each, "stats")]
    folders = sorted({Path(path) for path in paths if path})
    if not folders:
        return _finding(
            "kernels",
            Severity.WARNING,
            "The folder of compiled kernels cannot be written, so each process compiles them "
            "again.",
            f"Set the environment variable {CACHE_VARIABLE} to a folder that can be written.",
        )
    files = [file for folder in folders for file in sorted(folder.glob("*.nb[ci]"))]
    damaged = [file for file in files if not is_complete(file)]
    where = ", ".join(shown_path(folder) for folder in folders)
    if damaged:
        return Finding(
            GROUP,
            "kernels",
            Severity.WARNING,
            f"{count_text(len(damaged), 'file')} of the cache of compiled kernels must be "
            f"complete, got {_names(damaged)} in {where}. Each search compiles them again.",
            "Remove them; the next search writes them again.",
            lambda: _remove(damaged),
        )
    known = count_text(len(files), "file") if files else "empty; the first search compiles them"
    return _finding("kernels", Severity.OK, f"Cache of compiled kernels in {where}: {known}.")


def is_complete(file: Path) -> bool:
    """Whether a cached file consists of complete pickles; they are parsed and not loaded."""
    try:
        with file.open("rb") as stream:
            size, n_pickles = file.stat().st_size, 0
            # An index is two pickles: the version of numba, and the entries.
            while stream.tell() < size:
                for _ in pickletools.genops(stream):
                    pass
                n_pickles += 1
    except (OSError, ValueError):
        return False
    return n_pickles == (2 if file.suffix == ".nbi" else 1)


def _remove(files: Sequence[Path]) -> str:
    for file in files:
        file.unlink(missing_ok=True)
    return f"{count_text(len(files), 'file')} removed."


def _names(files: Sequence[Path], most: int = 3) -> str:
    more = f" and {len(files) - most} more" if len(files) > most else ""
    return ", ".join(file.name for file in files[:most]) + more


def _finding(name: str, state: Severity, text: str, fix: str = "") -> Finding:
    return Finding(GROUP, name, state, text, fix)
