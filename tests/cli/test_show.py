"""`autotrain show`: all studies, one study, while it runs, as JSON."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from autotrain.study.definition import Definition
from autotrain.study.storage import open_storage
from tests.cli.conftest import N_TRIALS, Run


def test_all_studies_are_a_table(there: Path, autotrain: Run) -> None:
    done = autotrain("show")
    header, *rows = done.out.splitlines()
    assert done.code == 0
    assert header.split() == ["study", "trials", "score", "metric", "state", "when"]
    found = {row.split()[0]: row.split()[1:] for row in rows}
    assert found.keys() == {"shop", "paid", "plain"}
    assert found["paid"][0] == str(N_TRIALS)
    assert found["paid"][2:4] == ["rmse", "done"]

    studies = autotrain("show", "--json").json()["studies"]
    assert {study["study"] for study in studies} == found.keys()


def test_one_study_shows_winner_trials_and_causes(there: Path, autotrain: Run) -> None:
    text = autotrain("show", "shop").out
    facts = autotrain("show", "shop", "--json").json()

    best = facts["best"]
    assert facts["top"][0] == best
    values = [entry["value"] for entry in facts["top"]]
    assert values == sorted(values)
    assert sum(facts["trials"].values()) >= N_TRIALS
    assert facts["budget"]["trials"] == N_TRIALS
    assert facts["left"]["n_trials"] == 0
    assert f"* The winning trial, {best['number']}:" in text
    assert best["words"] in text
    for name in best["params"]:
        assert f"\n  {name} " in text
    assert "studies/shop/best" in text
    pruned = facts["trials"]["pruned"]
    assert sum(facts["causes"].values()) == pruned + facts["trials"]["failed"]


def test_a_search_that_runs_can_be_looked_at(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autotrain: Run
) -> None:
    shutil.copytree(finished / "studies", tmp_path / "studies")
    monkeypatch.chdir(tmp_path)
    with open_storage(tmp_path / "studies" / "shop") as storage:
        study_id = storage.get_study_id_from_name("shop")
        trial = storage.create_new_trial(study_id)
        storage.commit()
        facts = autotrain("show", "shop", "--json").json()
        assert facts["state"] == "running"
        assert facts["trials"]["running"] == 1
        assert storage.get_trial(trial).state.name == "RUNNING"
    # Its process is gone, what it left open runs no more.
    assert autotrain("show", "shop", "--json").json()["trials"]["running"] == 0


def test_no_studies_is_said(here: Path, autotrain: Run) -> None:
    done = autotrain("show")
    assert done.code == 0
    assert "There are no studies in studies/ yet" in done.out
    assert autotrain("show", "--json").json() == {"studies": []}


def test_a_study_that_cannot_be_read_does_not_hide_the_others(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autotrain: Run
) -> None:
    shutil.copytree(finished / "studies", tmp_path / "studies")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies" / "plain" / "journal.log").write_text("no journal\n")
    done = autotrain("show")
    assert done.code == 0
    assert "shop" in done.out
    assert "plain: studies/plain/journal.log, line 1: expected one record" in done.out


def test_studies_elsewhere_are_found_with_directory(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autotrain: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    done = autotrain("show", "shop", "--directory", finished / "studies")
    assert done.code == 0
    assert Definition.read(finished / "studies" / "shop").name in done.out
    assert json.loads(autotrain("show", "--json").out) == {"studies": []}
