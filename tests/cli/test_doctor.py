"""`autotrain doctor`: output, exit codes and JSON."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Run, listing


def test_finished_study_is_in_order(there: Path, autotrain: Run) -> None:
    done = autotrain("doctor", "shop")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Environment\n")
    assert "\nStudy shop\n" in done.out
    assert "0 problems" in done.out.splitlines()[-1]


def test_unknown_study_is_a_user_error(there: Path, autotrain: Run) -> None:
    done = autotrain("doctor", "shpo")
    assert done.code == 2
    assert "Did you mean 'shop'?" in done.err


@pytest.fixture
def killed(finished: Path, here: Path) -> Path:
    """Give a copy of a finished study with a trial that is marked as running."""
    from autotrain.search.storage.open import open_storage

    folder = here / "studies" / "shop"
    shutil.copytree(finished / "studies" / "shop", folder)
    with open_storage(folder) as storage:
        storage.create_new_trial(0)
    return folder


def test_problem_is_explained_and_repaired(killed: Path, autotrain: Run) -> None:
    before = listing(killed)
    done = autotrain("doctor", "shop")
    assert done.code == 1
    assert "  problem   trials       Trial 4 is marked as running" in done.out
    assert done.out.endswith("\nRepair: autotrain doctor --fix shop\n")
    assert listing(killed) == before
    done = autotrain("doctor", "shop", "--fix")
    assert done.code == 0
    assert "1 repaired" in done.out.splitlines()[-1]
    assert autotrain("doctor", "shop").code == 0


def test_json_has_every_finding(killed: Path, autotrain: Run) -> None:
    done = autotrain("doctor", "shop", "--json")
    result = done.json()
    assert (done.code, result["study"], result["counts"]["problem"]) == (1, "shop", 1)
    (problem,) = [each for each in result["findings"] if each["state"] == "problem"]
    assert (problem["group"], problem["name"], problem["repairable"]) == ("study", "trials", True)
    assert "autotrain doctor shop --fix" in problem["fix"]
    assert len(result["findings"]) == sum(result["counts"].values())


def test_lines_fit_into_a_terminal(
    killed: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = autotrain("doctor", "shop").out.splitlines()
    assert max(len(line) for line in lines if "/" not in line) <= 80
