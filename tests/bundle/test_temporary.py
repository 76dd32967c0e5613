"""Temporary folders are removed, also after a kill by the next command."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from autotrain.bundle import own_files, systems, temporary
from autotrain.bundle.temporary import PREFIX, leftovers, remove_leftovers, temporary_folder
from autotrain.errors import StorageError

HOLD = """
import time
from autotrain.bundle.temporary import temporary_folder
with temporary_folder() as folder:
    print(folder.parent, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_folder_is_removed_at_the_end(parent: Path) -> None:
    with temporary_folder() as folder:
        assert list(folder.iterdir()) == []
        (folder / "0.array").write_bytes(b"rows")
        assert remove_leftovers(parent) == leftovers(parent) == []
        with temporary_folder() as other:
            assert other != folder
        assert (folder / "0.array").exists()
    assert not list(parent.iterdir())


def test_folder_of_a_killed_process_is_removed_by_the_next_one(parent: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env=os.environ | {"TMPDIR": str(parent)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    assert remove_leftovers(parent) == []
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert leftovers(parent) == [folder]
    assert (folder / "content").is_dir()
    with temporary_folder():
        assert not folder.exists()


def test_link_and_other_files_are_kept(parent: Path) -> None:
    mine = parent / "mine"
    mine.mkdir()
    (mine / "lock").write_text("x")
    (parent / f"{PREFIX}abcdefgh").symlink_to(mine)
    (parent / f"{PREFIX}12345678").write_text("x")
    for name in ("autotrain-other", f"{PREFIX}longer_than_eight"):
        (parent / name).mkdir()
        (parent / name / "lock").touch()
    without_lock = parent / f"{PREFIX}no_lock_"
    without_lock.mkdir()
    (without_lock / "table.csv").write_text("x")
    before = sorted(parent.rglob("*"))
    assert remove_leftovers(parent) == leftovers(parent) == []
    assert sorted(parent.rglob("*")) == before


def test_folder_that_was_taken_for_a_leftover_is_made_again(
    parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may look between the steps of making a folder."""
    seen = []
    lock, open_own = systems.try_lock, own_files.open_own

    def remove_before_the_lock(path: Path, flags: int, mode: int) -> int:
        monkeypatch.setattr(temporary, "open_own", open_own)
        seen.extend(remove_leftovers(parent))
        return open_own(path, flags, mode)

    def remove_before_it_is_locked(fd: int) -> bool | None:
        monkeypatch.setattr(temporary, "try_lock", lock)
        seen.extend(remove_leftovers(parent))
        return lock(fd)

    monkeypatch.setattr(temporary, "remove_leftovers", lambda parent: [])
    monkeypatch.setattr(temporary, "open_own", remove_before_the_lock)
    with temporary_folder() as folder:
        assert folder.is_dir()
    monkeypatch.setattr(temporary, "try_lock", remove_before_it_is_locked)
    with temporary_folder() as folder:
        assert folder.is_dir()
    assert len(seen) == 2
    assert not list(parent.iterdir())


def test_unusable_folder_of_temporary_files_is_named(
    parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def find_none() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    full = r"No space left on device\. Free space there, or set"
    with pytest.raises(StorageError, match=full), temporary_folder():
        pass
    monkeypatch.setattr("tempfile.gettempdir", find_none)
    with pytest.raises(StorageError, match="set TMPDIR to another folder"), temporary_folder():
        pass
    assert remove_leftovers() == []
