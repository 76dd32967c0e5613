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
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from autotrain.bundle.full_disk import is_full, repeat
from autotrain.bundle.own_files import make_own_folder, write_new
from autotrain.bundle.systems import (
    OWN_FLAGS,
    exchange_folders,
    opens_folders,
    sync_folder,
)
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


def stage(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write a bundle into a hidden folder next to `folder` and return the hidden folder.

    Raises: StorageError when it cannot be written, or when `folder` contains other files that
        would be lost.
    """
    folder = Path(os.path.realpath(folder))
    staged = _beside(folder, "new")
    try:
        _refuse_to_replace(folder)
        make_own_folder(folder.parent)
        recover(folder)
        repeat(staged.mkdir, folder.parent)
        for name, content in files.items():
            write_new(staged / name, content, durable=True)
        sync_folder(staged)
    except OSError as error:
        discard(staged)
        raise _unwritable(folder, error) from error
    except KeyboardInterrupt:
        discard(staged)
        raise
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
        sync_folder(folder.parent)
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
        place = _place(folder, stack)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(folder, error) from error
    except ValueError:
        # The path contains a character that no path may have.
        raise _nothing_there(folder) from None
    files: dict[str, BinaryIO] = {}
    for name in names:
        try:
            file_fd = _open_file(place, name)
        except FileNotFoundError:
            if not _is_current(folder, place):
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
    # A path, unlike an open folder, may lead to another bundle for each file.
    return files if place.fd is not None or _is_current(folder, place) else None


class _Place(NamedTuple):
    """A folder whose files are opened.

    Args:
        path: the folder, or the one next to it while it is swapped.
        status: the folder as it was found.
        fd: its descriptor; None where the system does not open folders.
    """

    path: Path
    status: os.stat_result
    fd: int | None


def _place(folder: Path, stack: contextlib.ExitStack) -> _Place:
    try:
        return _place_at(folder, stack)
    except FileNotFoundError:
        return _place_at(_beside(Path(os.path.realpath(folder)), "old"), stack)


def _place_at(path: Path, stack: contextlib.ExitStack) -> _Place:
    if not opens_folders():
        return _Place(path, path.stat(), None)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    stack.callback(os.close, fd)
    return _Place(path, os.fstat(fd), fd)


def _open_file(place: _Place, name: str) -> int:
    # A pipe must not block the reader. Links are followed, unlike in `open_own`.
    flags = os.O_RDONLY | (OWN_FLAGS & ~getattr(os, "O_NOFOLLOW", 0))
    if place.fd is None:
        return os.open(place.path / name, flags)
    return os.open(name, flags, dir_fd=place.fd)


def _is_current(folder: Path, place: _Place) -> bool:
    """Return True if the path still leads to the folder."""
    try:
        return os.path.samestat(folder.stat(), place.status)
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


def leftovers(folder: Path) -> list[Path]:
    """Return the old and the new folder that a kill has left next to a bundle."""
    folder = Path(os.path.realpath(folder))
    beside = (_beside(folder, "old"), _beside(folder, "new"))
    return [path for path in beside if path.exists() or path.is_symlink()]


def recover(folder: Path) -> None:
    """Complete or remove what a kill has left next to a bundle.

    If the folder is missing, the old bundle is moved there. The user's own files stay.

    Raises: OSError when the system refuses.
    """
    folder = Path(os.path.realpath(folder))
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
    elif folder.is_dir():
        names = {entry.name for entry in folder.iterdir()}
        others = sorted(names - set(FILES))
        # A bundle without one of its files is damaged, and still a bundle.
        if others and not names & {RECORD, TENSORS}:
            what = f"a folder with other files ({', '.join(others[:3])})"
    if what is not None:
        raise StorageError(
            f"{folder} must be a new folder or a bundle to replace, got {what}. "
            "Choose another folder."
        )


def _unwritable(folder: Path, error: OSError) -> StorageError:
    fix = "Free space, then repeat" if is_full(error) else "Change permissions"
    return StorageError(
        f"{folder} must be writable, got: {error.strerror or error}. "
        f"{fix}, or choose another folder."
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
