"""Writes are repeated while a disk is full, and only in a `waiting` statement."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from autotrain.bundle import full_disk
from autotrain.bundle.full_disk import free_bytes, is_full, repeat, waiting
from autotrain.bundle.own_files import replace_own, write_new

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
NOBODY = OSError(errno.EACCES, os.strerror(errno.EACCES))


class Clock:
    """A clock that only `sleep` advances."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.interrupt_at_s = float("inf")

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        if self.now_s >= self.interrupt_at_s:
            raise KeyboardInterrupt


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(full_disk, "time", clock)
    return clock


def failing(times: int, error: Exception = FULL) -> Callable[[], str]:
    """Return a write that fails a number of times."""
    errors = [error] * times

    def write() -> str:
        if errors:
            raise errors.pop()
        return "written"

    return write


def test_write_is_repeated_with_one_message(clock: Clock, tmp_path: Path) -> None:
    seen: list[str] = []
    with waiting(seen.append):
        assert repeat(failing(3), tmp_path) == "written"
        assert repeat(failing(0), tmp_path) == "written"
    assert clock.now_s == 103.0
    assert len(seen) == 2
    assert seen[0].startswith(f"the disk of {tmp_path} is full: ")
    assert " free. Free space; the search continues by itself." in seen[0]
    assert seen[1] == ""


def test_quota_is_named(clock: Clock, tmp_path: Path) -> None:
    seen: list[str] = []
    with waiting(seen.append):
        repeat(failing(1, OSError(errno.EDQUOT, "quota")), tmp_path / ".best.new")
    assert seen[0].startswith(f"the disk quota for {tmp_path} is used up. ")


@pytest.mark.parametrize("left_s", [None, 60.0])
def test_other_errors_are_raised_at_once(
    clock: Clock, tmp_path: Path, left_s: float | None
) -> None:
    with waiting(pytest.fail, left_s), pytest.raises(PermissionError):
        repeat(failing(1, NOBODY), tmp_path)
    with pytest.raises(OSError, match="No space"):
        repeat(failing(1), tmp_path)
    assert clock.now_s == 100.0


@pytest.mark.parametrize(("left_s", "waited_s"), [(60.0, 60.0), (0.0, full_disk.GRACE_S)])
def test_wait_ends_with_the_time(
    clock: Clock, tmp_path: Path, left_s: float, waited_s: float
) -> None:
    with waiting(lambda text: None, left_s):
        with pytest.raises(OSError, match="No space"):
            repeat(failing(1000), tmp_path)
        assert clock.now_s == 100.0 + waited_s
        # What is written afterwards is tried once.
        with pytest.raises(OSError, match="No space"):
            repeat(failing(1), tmp_path)
        assert repeat(failing(0), tmp_path) == "written"
    assert clock.now_s == 100.0 + waited_s


def test_ctrl_c_ends_the_wait(clock: Clock, tmp_path: Path) -> None:
    clock.interrupt_at_s = 102.0
    with waiting(lambda text: None):
        with pytest.raises(KeyboardInterrupt):
            repeat(failing(1000), tmp_path)
        with pytest.raises(OSError, match="No space"):
            repeat(failing(1), tmp_path)
    assert clock.now_s == 102.0


def test_full_is_found_among_the_causes() -> None:
    wrapped = RuntimeError("Optuna could not")
    wrapped.__cause__ = sqlite3.OperationalError("database or disk is full")
    assert is_full(wrapped)
    assert not is_full(RuntimeError("disk is full"))
    assert not is_full(sqlite3.OperationalError("no such table"))


def test_free_space_of_a_folder_to_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert free_bytes(tmp_path / "a" / "b") is not None

    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr("shutil.disk_usage", refuse)
    assert free_bytes(tmp_path) is None


def test_file_that_does_not_fit_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("before")

    def fail(fd: int) -> None:
        raise FULL

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space"):
            write_new(tmp_path / "b", b"x", durable=True)
    with pytest.raises(TypeError):
        replace_own(tmp_path / "a", "not bytes")  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "before"
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "a", b"x")
    assert (tmp_path / "a").read_text() == "before"
