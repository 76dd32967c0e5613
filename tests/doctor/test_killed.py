"""Studies of killed searches that `resume` continues: checked, and not changed by a repair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autotrain.doctor.check import check
from autotrain.doctor.finding import Finding, Severity
from autotrain.search.checkpoints import FOLDER
from autotrain.search.snapshot import FILE
from tests.search.test_continuing import frequent, resumed, search

__all__ = ["frequent"]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], dict[str, Any]]:
    """Return copies of a search at several moments, and the facts at its end."""
    copies, facts = search(tmp_path_factory.mktemp("killed"), every=20)
    return copies.taken, facts


def of_copy(folder: Path, *, fix: bool) -> dict[str, Finding]:
    found = check(folder.name, directory=folder.parent, fix=fix)
    return {each.name: each for each in found if each.group != "environment"}


def test_search_continues_as_without_a_kill_after_a_repair(
    searched: tuple[list[Path], dict[str, Any]],
) -> None:
    copies, facts = searched
    saved = [copy for copy in copies if (copy / FOLDER / FILE).is_file()]
    assert len(saved) > 6
    for copy in saved[:6:2]:
        trials = of_copy(copy, fix=True)["trials"]
        assert trials.state in (Severity.WARNING, Severity.OK)
        assert (trials.state == Severity.OK) == (not trials.fix)
        assert of_copy(copy, fix=False)["trials"] == trials
        assert resumed(copy) == facts


def test_damaged_snapshot_does_not_keep_trials_running(
    searched: tuple[list[Path], dict[str, Any]],
) -> None:
    copies, _ = searched
    copy = next(
        each
        for each in copies[1::2]
        if of_copy(each, fix=False)["trials"].state == Severity.WARNING
    )
    (copy / FOLDER / FILE).write_bytes(b"half")
    (copy / FOLDER / f".{FILE}").write_bytes(b"half")
    found = of_copy(copy, fix=True)
    assert found["trials"].state == Severity.REPAIRED
    assert found["files"].state == Severity.REPAIRED
    assert not (copy / FOLDER / f".{FILE}").exists()
