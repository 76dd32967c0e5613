"""One writer per folder; a killed process leaves no lock."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from autotrain.errors import StorageError, StudyError
from autotrain.search.storage.lock import StudyLock, is_held

HOLD = """
import os, pathlib, sys, time
from autotrain.search.storage.lock import StudyLock
lock = StudyLock(pathlib.Path(sys.argv[1]))
if sys.argv[2] == "with a child":
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, b"here")
        time.sleep(60)
    os.read(read, 4)
print(os.getpid(), flush=True)
time.sleep(60)
"""


def hold_elsewhere(folder: Path, how: str = "alone") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(folder), how]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == str(process.pid)
    return process


def test_second_lock_is_refused_until_the_first_is_released(tmp_path: Path) -> None:
    first = StudyLock(tmp_path)
    who = f"process {os.getpid()} on {socket.gethostname()} (since "
    with pytest.raises(StudyError, match=re.escape(f"{tmp_path} is locked")):
        StudyLock(tmp_path)
    with pytest.raises(StudyError, match=re.escape(who)):
        StudyLock(tmp_path)
    first.release()
    first.release()
    StudyLock(tmp_path).release()


def test_is_held(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    assert not is_held(tmp_path / "absent")
    lock = StudyLock(tmp_path)
    assert is_held(tmp_path)
    lock.release()
    assert not is_held(tmp_path)
    StudyLock(tmp_path).release()


def test_lock_of_a_killed_process_is_not_held(tmp_path: Path) -> None:
    process = hold_elsewhere(tmp_path)
    assert is_held(tmp_path)
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    assert not is_held(tmp_path)


@pytest.mark.parametrize("how", ["alone", "with a child"])
def test_lock_of_a_killed_process_is_free_while_its_child_lives(tmp_path: Path, how: str) -> None:
    process = hold_elsewhere(tmp_path, how)
    try:
        with pytest.raises(StudyError, match=f"process {process.pid} on "):
            StudyLock(tmp_path)
        process.kill()
        process.wait()
        StudyLock(tmp_path).release()
    finally:
        os.killpg(process.pid, signal.SIGKILL) if how != "alone" else None
        assert process.stdout is not None
        process.stdout.close()
        process.wait()


def test_holder_that_has_not_written_its_name(tmp_path: Path) -> None:
    lock = StudyLock(tmp_path)
    (tmp_path / "lock").write_text("")
    with pytest.raises(StudyError, match="another process is working"):
        StudyLock(tmp_path)
    lock.release()


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(StorageError, match="lock must be a file that can be written"):
        StudyLock(tmp_path)
