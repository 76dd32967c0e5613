"""The folder of a bundle: written next to its final path, then swapped in atomically.

Readers see the complete old or new bundle, also when the writer is killed:

    write  → .NAME.new, every file and the folder synced to disk
    swap   → the kernel exchanges .NAME.new and NAME (`renameat2`, Linux)
    other file systems: NAME → .NAME.old, .NAME.new → NAME; between the two, a reader uses
             .NAME.old, and so does the next writer after a kill

A reader opens all files of one folder before it reads any, so that a swap cannot mix the files of
two bundles. There must be one writer per folder at a time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from autotrain.bundle.own_files import write_new
from autotrain.errors import COPY_AGAIN, BundleError, StorageError

RECORD = "bundle.json"
TENSORS = "model.safetensors"
CARD = "MODEL_CARD.md"
FILES = (RECORD, TENSORS, CARD)
"""The files of a bundle; other files in its folder belong to the user and are kept."""
ATTEMPTS = 100
"""Largest number of attempts of a reader, which retries when the folder is swapped."""

Exchange = Callable[[Path, Path], bool]
"""Exchanges two folders atomically; False if the system does not support it."""
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def stage(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write a bundle into a hidden folder next to `folder` and return the hidden folder.

    Raises: StorageError when it cannot be written, or when `folder` contains other files that
        would be lost.
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


def publish(staged: Path, folder: Path, exchange: Exchange | None = None) -> Path:
    """Move the folder that `stage` returned to its final path, atomically; return that path.

    Args:
        exchange: exchanges two folders; None for `exchange_folders`.
    Raises: StorageError when the system refuses.
    """
    folder = Path(os.path.realpath(folder))
    try:
        old = _swap(staged, folder, exchange or exchange_folders)
        _sync(folder.parent)
        if old is not None:
            _clear(old, folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def refuse_full(folder: Path) -> None:
    """Check that an export would not write into a folder with other files.

    Raises: StorageError when the folder is not empty, or cannot be read.
    """
    try:
        is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    except OSError as error:
        raise _unwritable(folder, error) from error
    if not is_free:
        raise StorageError(
            f"{folder} must be a new or an empty folder, got one with files. "
            "Choose another folder, or remove this one."
        )


def discard(staged: Path) -> None:
    """Remove the folder that `stage` returned."""
    shutil.rmtree(staged, ignore_errors=True)


@contextlib.contextmanager
def opened(folder: Path, names: Sequence[str]) -> Iterator[dict[str, BinaryIO]]:
    """Open files of one bundle together.

    Raises: BundleError when the folder or one of the files is missing or cannot be read.
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
    """Open the files; return None when the folder is missing or was swapped: then retry."""
    try:
        fd = _open_folder(folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(folder, error) from error
    except ValueError:
        # The path contains a character that no path may have.
        raise _nothing_there(folder) from None
    stack.callback(os.close, fd)
    files: dict[str, BinaryIO] = {}
    for name in names:
        try:
            # O_NONBLOCK: a pipe must not block the reader.
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
                f"{folder / name} must be a regular file, got something else. {COPY_AGAIN}"
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
    """Return True if the path still leads to the open folder."""
    try:
        return os.path.samestat(folder.stat(), os.fstat(fd))
    except OSError:
        return False


def _beside(folder: Path, word: str) -> Path:
    return folder.with_name(f".{folder.name}.{word}")


def _swap(staged: Path, folder: Path, exchange: Exchange) -> Path | None:
    """Move the new folder to its final path; return the path of the old one, if there was one."""
    if not folder.exists():
        staged.rename(folder)
        return None
    if exchange(staged, folder):
        return staged
    old = _beside(folder, "old")
    folder.rename(old)
    staged.rename(folder)
    return old


def _recover(folder: Path) -> None:
    """Remove the remains of a swap that was interrupted by a kill."""
    old, staged = _beside(folder, "old"), _beside(folder, "new")
    for leftover in (old, staged):
        # autotrain writes folders only, so this is foreign; a link's target is not touched.
        if leftover.is_symlink() or leftover.is_file():
            leftover.unlink()
    if old.exists() and not folder.exists():
        old.rename(folder)
    for leftover in (old, staged):
        if leftover.exists():
            _clear(leftover, folder)


def _clear(leftover: Path, folder: Path) -> None:
    """Remove an old bundle; the user's own files move to the new one."""
    for entry in leftover.iterdir():
        if entry.name not in FILES and folder.exists():
            entry.rename(folder / entry.name)
    shutil.rmtree(leftover, ignore_errors=True)


def _refuse_to_replace(folder: Path) -> None:
    what = None
    if folder.exists() and not folder.is_dir():
        what = "a file"
    elif folder.is_dir() and not (folder / RECORD).exists():
        others = sorted(entry.name for entry in folder.iterdir())
        if others:
            what = f"a folder with other files ({', '.join(others[:3])})"
    if what is not None:
        raise StorageError(
            f"{folder} must be a new folder or a bundle to replace, got {what}. "
            "Choose another folder."
        )


def exchange_folders(a: Path, b: Path) -> bool:
    """Exchange two folders atomically; return False if the system does not support it."""
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
        f"{folder} must be writable, got: {error.strerror or error}. "
        "Free space, change permissions, or choose another folder."
    )


def _nothing_there(folder: Path) -> BundleError:
    return BundleError(
        f"{folder} must be a bundle, a folder with {RECORD} and {TENSORS}, got nothing. "
        "Check the path; the bundle of a study is studies/NAME/best."
    )


def _missing(folder: Path, name: str) -> BundleError:
    if (folder / "best" / RECORD).exists():
        return BundleError(
            f"{folder} must be a bundle, got a study. Its bundle is {folder / 'best'}."
        )
    return BundleError(
        f"{folder} must be a bundle, a folder with {RECORD} and {TENSORS}, got none with {name}. "
        "Check the path, or copy the whole folder again."
    )


def _unreadable(path: Path, error: OSError) -> BundleError:
    if isinstance(error, NotADirectoryError):
        return BundleError(
            f"{path} must be the folder of a bundle, got a file. "
            f"Give the folder with {RECORD} and {TENSORS}."
        )
    return BundleError(f"{path} must be readable, got: {error.strerror}. Check its permissions.")
