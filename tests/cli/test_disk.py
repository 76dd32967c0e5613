"""A search on a machine that lacks what most machines have, and folders that cannot be written."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run

ROOT = Path(__file__).resolve().parents[2]
SEARCH = ("search", "shop.csv", "--target", "bought", "--space", "space.toml", "--trials", "2")


def few_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))


def test_search_without_home_temporary_folder_and_many_open_files(here: Path) -> None:
    (here / "file").write_text("")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "autotrain.cli.main", *SEARCH, "--workers", "2"),
            *("--device", "cpu", "--validation", "holdout", "--quiet"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            # Nobody, also not root, can make these folders. Python then uses another one.
            "TMPDIR": str(here / "file" / "temporary"),
            "NUMBA_CACHE_DIR": str(here / "file" / "numba"),
        },
        preexec_fn=few_files,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert (here / "studies" / "shop" / "best" / "bundle.json").is_file()


def test_no_temporary_folder_is_an_error_with_the_fix(
    here: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", find_none)
    done = autotrain(*SEARCH, "--workers", "2", "--device", "cpu", "--quiet")
    assert done.code == 2
    assert "set TMPDIR to another folder" in done.err
    # One worker needs none, and goes on.
    done = autotrain(*SEARCH, "--workers", "1", "--device", "cpu", "--validation", "holdout")
    assert done.code == 0, done.err


def test_folder_of_studies_that_cannot_be_made_is_named(here: Path, autotrain: Run) -> None:
    (here / "file").write_text("")
    done = autotrain(*SEARCH, "--directory", here / "file" / "studies", "--quiet")
    assert done.code == 2
    assert f"{here / 'file' / 'studies' / 'shop'} must be a folder for the study" in done.err
