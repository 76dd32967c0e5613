"""The folder of a bundle: written beside its place, then swapped in at once.

Readers see the old bundle or the new one, never half of either, also when the writer is killed:

    write  → .NAME.new, every file and the folder synced to disk
    swap   → the kernel exchanges .NAME.new and NAME (`renameat2`, Linux)
    where it cannot (some file systems): NAME → .NAME.old, .NAME.new → NAME; a reader that comes
             between the two takes .NAME.old, and so does the next writer after a kill

A reader opens all files of one folder before it reads any, so that a swap in between leaves it with
the files of one bundle. One writer per folder at a time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from autotrain.errors import COPY_AGAIN, BundleError, StorageError
from autotrain.own_files import write_new

RECORD = "bundle.json"
TENSORS = "model.safetensors"
CARD = "MODEL_CARD.md"
FILES = (RECORD, TENSORS, CARD)
"""What a bundle may hold; other files in its folder are the user's and stay."""
ATTEMPTS = 100
"""A reader starts again when the folder is swapped while it opens files."""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def stage(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write a bundle beside `folder`, safe on disk but not yet visible; return where.

    Raises: StorageError when it cannot be written, or when `folder` holds something that is not a
        bundle and would be lost.
    """
    folder = Path(os.path.realpath(folder))
    staged = _beside(folder, "new")
    try:
        _refuse_to_replace(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _recover(folder)
        staged.mkdir()
        for name, content in files.items():
            write_new(staged / name, content, durable=True)
        _sync(staged)
    except OSError as error:
        discard(staged)
        raise _unwritable(folder, error) from error
    return staged


def publish(staged: Path, folder: Path) -> Path:
    """Put what `stage` wrote in its place, at once; return the place.

    Raises: StorageError when the system refuses.
    """
    folder = Path(os.path.realpath(folder))
    try:
        old = _swap(staged, folder)
        _sync(folder.parent)
        if old is not None:
            _clear(old, folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def refuse_full(folder: Path) -> None:
    """Refuse to export into a folder that holds something.

    Raises: StorageError when it does, or cannot be looked at.
    """
    try:
        is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    except OSError as error:
        raise _unwritable(folder, error) from error
    if not is_free:
        raise StorageError(
            f"{folder}: expected a new or an empty folder, however: it is there already. "
            "Give another one with --output, or remove it."
        )


def discard(staged: Path) -> None:
    """Remove what `stage` wrote."""
    shutil.rmtree(staged, ignore_errors=True)


@contextlib.contextmanager
def opened(folder: Path, names: Sequence[str]) -> Iterator[dict[str, BinaryIO]]:
    """Open files of one bundle together.

    Raises: BundleError when the folder or one of the files is not there or cannot be read.
    """
    with contextlib.ExitStack() as stack:
        for _ in range(ATTEMPTS):
            with contextlib.ExitStack() as attempt:
                files = _open_all(folder, names, attempt)
                if files is not None:
                    stack.enter_context(attempt.pop_all())
                    break
        else:
            raise _nothing_there(folder)
        yield files


def _open_all(
    folder: Path, names: Sequence[str], stack: contextlib.ExitStack
) -> dict[str, BinaryIO] | None:
    """Open the files; None when the folder is away or was swapped, so that trying again helps."""
    try:
        fd = _open_folder(folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(folder, error) from error
    except ValueError:
        # A character that no path may have.
        raise _nothing_there(folder) from None
    stack.callback(os.close, fd)
    files: dict[str, BinaryIO] = {}
    for name in names:
        try:
            # Not to wait for the other end, should it be a pipe.
            file_fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK, dir_fd=fd)
        except FileNotFoundError:
            if not _is_current(folder, fd):
                return None
            raise _missing(folder, name) from None
        except OSError as error:
            raise _unreadable(folder / name, error) from error
        if not stat.S_ISREG(os.fstat(file_fd).st_mode):
            os.close(file_fd)
            raise BundleError(
                f"{folder / name}: expected a file, however: it is something else. {COPY_AGAIN}"
            )
        files[name] = stack.enter_context(os.fdopen(file_fd, "rb"))
    return files


def _open_folder(folder: Path) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY
    try:
        return os.open(folder, flags)
    except FileNotFoundError:
        return os.open(_beside(Path(os.path.realpath(folder)), "old"), flags)


def _is_current(folder: Path, fd: int) -> bool:
    """Tell whether the open folder still is the one that stands at this path."""
    try:
        return os.path.samestat(folder.stat(), os.fstat(fd))
    except OSError:
        return False


def _beside(folder: Path, word: str) -> Path:
    return folder.with_name(f".{folder.name}.{word}")


def _swap(staged: Path, folder: Path) -> Path | None:
    """Put the new folder in place; return where the one before is now, None when there was none."""
    if not folder.exists():
        staged.rename(folder)
        return None
    if _exchange(staged, folder):
        return staged
    old = _beside(folder, "old")
    folder.rename(old)
    staged.rename(folder)
    return old


def _recover(folder: Path) -> None:
    """Clear away what a kill in the middle of a swap left behind."""
    old, staged = _beside(folder, "old"), _beside(folder, "new")
    for leftover in (old, staged):
        # Not of ours, and what it points to is not either.
        if leftover.is_symlink() or leftover.is_file():
            leftover.unlink()
    if old.exists() and not folder.exists():
        old.rename(folder)
    for leftover in (old, staged):
        if leftover.exists():
            _clear(leftover, folder)


def _clear(leftover: Path, folder: Path) -> None:
    """Remove a folder that is no longer the bundle; the user's own files move to the bundle."""
    for entry in leftover.iterdir():
        if entry.name not in FILES and folder.exists():
            entry.rename(folder / entry.name)
    shutil.rmtree(leftover, ignore_errors=True)


def _refuse_to_replace(folder: Path) -> None:
    what = None
    if folder.exists() and not folder.is_dir():
        what = "a file stands there"
    elif folder.is_dir() and not (folder / RECORD).exists():
        others = sorted(entry.name for entry in folder.iterdir())
        if others:
            what = f"the folder holds other files ({', '.join(others[:3])})"
    if what is not None:
        raise StorageError(
            f"{folder}: expected a new folder or a bundle to replace, however: {what}. "
            "Choose another folder."
        )


def _exchange(a: Path, b: Path) -> bool:
    """Exchange two folders in one step; False where the system cannot."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    names = os.fsencode(a), os.fsencode(b)
    return bool(renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _unwritable(folder: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{folder}: expected a place where a bundle can be written, however: "
        f"{error.strerror or error}. Free space, change permissions, or choose another place."
    )


def _nothing_there(folder: Path) -> BundleError:
    return BundleError(
        f"{folder}: expected a bundle, a folder with {RECORD} and {TENSORS}, however: there is "
        "nothing. Check the path; a study keeps its bundle in studies/NAME/best."
    )


def _missing(folder: Path, name: str) -> BundleError:
    if (folder / "best" / RECORD).exists():
        return BundleError(
            f"{folder}: expected a bundle, however: this is a study. "
            f"Its bundle is {folder / 'best'}."
        )
    return BundleError(
        f"{folder}: expected a bundle, a folder with {RECORD} and {TENSORS}, however: {name} is "
        "missing. Check the path, or copy the whole folder again."
    )


def _unreadable(path: Path, error: OSError) -> BundleError:
    if isinstance(error, NotADirectoryError):
        return BundleError(
            f"{path}: expected the folder of a bundle, however: it is a file. "
            f"Give the folder that holds {RECORD} and {TENSORS}."
        )
    return BundleError(
        f"{path}: expected a bundle that can be read, however: {error.strerror}. "
        "Check its permissions."
    )
