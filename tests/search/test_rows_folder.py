"""Rows for worker processes are removed, also after a kill by the next search."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from autotrain.search.workers.rows_folder import PREFIX, remove_leftovers, rows_folder

HOLD = """
import time
from autotrain.search.workers.rows_folder import rows_folder
with rows_folder() as folder:
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_folder_is_removed_at_the_end(temporary: Path) -> None:
    with rows_folder() as folder:
        (folder / "0.array").write_bytes(b"rows")
        assert remove_leftovers(temporary, young_s=-1.0) == []
    assert not list(temporary.iterdir())


def test_folder_of_a_killed_process_is_removed_later(temporary: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env=os.environ | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    assert remove_leftovers(temporary, young_s=-1.0) == []
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert folder.is_dir()
    assert remove_leftovers(temporary) == []
    assert remove_leftovers(temporary, young_s=-1.0) == [folder]
    assert not folder.exists()


def test_link_and_other_files_are_kept(temporary: Path) -> None:
    (temporary / "mine").mkdir()
    (temporary / "mine" / "table.csv").write_text("x")
    (temporary / f"{PREFIX}link").symlink_to(temporary / "mine")
    (temporary / f"{PREFIX}file").write_text("x")
    (temporary / "autotrain-other").mkdir()
    assert remove_leftovers(temporary, young_s=-1.0) == []
    assert (temporary / "mine" / "table.csv").exists()
