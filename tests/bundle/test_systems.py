"""Each call that some systems lack has a fallback; see also `tests/cli/test_without_posix.py`."""

from __future__ import annotations

import errno
import os
import signal
import threading
from pathlib import Path

import pytest

from autotrain.bundle import systems
from autotrain.bundle.own_files import open_own, read_own, write_new
from autotrain.bundle.publishing import opened, publish, stage
from autotrain.bundle.systems import is_alive, overwrite, read_at, sync_folder, try_lock
from autotrain.errors import StudyError
from autotrain.search.storage.lock import LOCK, StudyLock, is_held


def open_new(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT)


def test_lock_is_held_until_the_file_is_closed(tmp_path: Path) -> None:
    first, second = open_new(tmp_path / "lock"), open_new(tmp_path / "lock")
    assert try_lock(first) is True
    assert try_lock(second) is False
    os.close(first)
    assert try_lock(second) is True
    os.close(second)
    with pytest.raises(OSError, match="Bad file"):
        try_lock(second)


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, *, blocking: bool) -> bool:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(systems, "lock_descriptor", refuse)


@pytest.mark.usefixtures("without_locks")
def test_without_locks_the_process_in_the_file_decides(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    lock = StudyLock(tmp_path)
    with pytest.raises(StudyError, match=f"process {os.getpid()} on "):
        StudyLock(tmp_path)
    assert is_held(tmp_path)
    content = (tmp_path / LOCK).read_text()
    lock.release()
    # The process has ended.
    (tmp_path / LOCK).write_text(content.replace(str(os.getpid()), str(2**22 + 1)))
    assert not is_held(tmp_path)
    StudyLock(tmp_path).release()


@pytest.mark.usefixtures("without_locks")
def test_without_locks_a_study_can_be_opened_again(tmp_path: Path) -> None:
    StudyLock(tmp_path).release()
    StudyLock(tmp_path).release()


def test_no_signal_is_sent_where_it_would_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_alive(os.getpid())
    assert not is_alive(2**22 + 1)
    monkeypatch.delattr(signal, "SIGKILL")
    monkeypatch.setattr(os, "kill", pytest.fail)
    assert is_alive(2**22 + 1)


@pytest.mark.parametrize("has_pread", [True, False])
def test_bytes_are_read_at_an_offset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_pread: bool
) -> None:
    if not has_pread:
        monkeypatch.delattr(os, "pread")
    fd = open_new(tmp_path / "file")
    overwrite(fd, b"a longer text")
    overwrite(fd, b"0123456789")
    assert read_at(fd, 3, 2) == b"234"
    os.close(fd)
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_link_is_refused_without_its_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "other")
    monkeypatch.setattr("autotrain.bundle.own_files.OWN_FLAGS", 0)
    monkeypatch.delattr(os, "O_NOFOLLOW")
    with pytest.raises(OSError, match="symbolic link"):
        open_own(tmp_path / "link", os.O_RDONLY)
    write_new(tmp_path / "file", b"a\r\nb\n")
    assert read_own(tmp_path / "file") == b"a\r\nb\n"


@pytest.fixture
def without_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.supports_dir_fd", set())


@pytest.mark.usefixtures("without_folders")
def test_reader_sees_one_bundle_where_folders_are_not_opened(tmp_path: Path) -> None:
    """The files of two bundles are not mixed while a writer replaces the folder."""
    folder, names = tmp_path / "best", ("bundle.json", "model.safetensors")

    def write(word: str) -> None:
        publish(stage(folder, {name: word.encode() for name in names}), folder)

    write("0")
    sync_folder(folder)
    has_ended = threading.Event()

    def write_often() -> None:
        for number in range(200):
            write(str(number))
        has_ended.set()

    writer = threading.Thread(target=write_often)
    writer.start()
    while not has_ended.is_set():
        with opened(folder, names) as files:
            words = {file.read() for file in files.values()}
        assert len(words) == 1
    writer.join()
