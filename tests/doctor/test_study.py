"""Checks and repairs of a study's trials."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from autotrain.doctor.check import check
from autotrain.doctor.finding import Finding, Severity
from autotrain.errors import StudyError
from autotrain.search.storage.lock import StudyLock
from tests.test_study_folder import resume, search, table

optuna.logging.set_verbosity(optuna.logging.WARNING)


def of_study(directory: Path, name: str = "s", *, fix: bool = False) -> dict[str, Finding]:
    """Return the findings of a study by name."""
    found = check(name, directory=directory, data=table(), fix=fix)
    return {each.name: each for each in found if each.group != "environment"}


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def leave_running(folder: Path) -> int:
    """Leave a trial marked as running, as a killed search does."""
    from autotrain.search.storage.open import open_storage

    with open_storage(folder) as storage:
        return storage.create_new_trial(storage.get_all_studies()[0]._study_id)


def test_finished_study_is_in_order_and_stays_as_it_is(tmp_path: Path) -> None:
    folder = search(tmp_path)
    before = content(folder)
    assert {finding.state for finding in of_study(tmp_path).values()} == {Severity.OK}
    assert content(folder) == before


def test_unknown_study_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="there must be a study"):
        check("none", directory=tmp_path)


@pytest.mark.parametrize("damaged", [b"", bytes(300), b"name = 3"], ids=["empty", "zeros", "odd"])
def test_damaged_settings_are_a_problem(tmp_path: Path, damaged: bytes) -> None:
    folder = search(tmp_path)
    (folder / "study.toml").write_bytes(damaged)
    before = content(folder)
    found = of_study(tmp_path, fix=True)
    assert {name: each.state for name, each in found.items()} == {"settings": Severity.PROBLEM}
    assert content(folder) == before


def test_check_that_fails_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise KeyError("odd")

    search(tmp_path)
    monkeypatch.setattr("autotrain.doctor.study.lost_trials", fail)
    found = of_study(tmp_path)
    assert found["check"].state == Severity.PROBLEM
    assert "KeyError: 'odd'" in found["check"].text
    assert found["best"].state == Severity.OK


def test_trials_of_a_killed_search_are_released_and_trained_again(tmp_path: Path) -> None:
    folder = search(tmp_path)
    number = leave_running(folder)
    before = content(folder)
    finding = of_study(tmp_path)["trials"]
    assert (finding.state, f"Trial {number} is" in finding.text) == (Severity.PROBLEM, True)
    assert content(folder) == before
    assert of_study(tmp_path, fix=True)["trials"].state == Severity.REPAIRED
    assert of_study(tmp_path)["trials"].state == Severity.OK
    assert resume(tmp_path) == [0, 1, 2, 3]


def test_study_of_a_running_search_is_not_repaired(tmp_path: Path) -> None:
    folder = search(tmp_path)
    leave_running(folder)
    lock = StudyLock(folder)
    before = content(folder)
    found = of_study(tmp_path, fix=True)
    lock.release()
    assert {finding.state for finding in found.values()} == {Severity.OK}
    assert "A search is running" in found["trials"].text
    assert content(folder) == before


def test_trials_in_a_database_are_released(tmp_path: Path) -> None:
    folder = search(tmp_path, storage="sqlite:///trials.db")
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'trials.db'}")
    storage.create_new_trial(1)
    storage.engine.dispose()
    found = of_study(tmp_path, fix=True)
    assert found["trials"].state == Severity.REPAIRED
    assert {found[name].state for name in ("storage", "schema", "pages")} == {Severity.OK}
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'trials.db'}")
    assert storage.get_all_trials(1)[-1].state == TrialState.FAIL
    storage.engine.dispose()
