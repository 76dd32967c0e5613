"""`autotrain show`: all studies, one study, while it runs, as JSON."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from autotrain.network.flags import FLAGS
from autotrain.search.definition import Definition
from autotrain.search.storage.open import open_storage
from autotrain.space.naming import flatten
from autotrain.study import Study
from tests.cli.conftest import HOLDOUT, N_TRIALS, Run


def test_list_of_studies_is_a_table(there: Path, autotrain: Run) -> None:
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


def test_running_search_can_be_shown(
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


def test_one_trial_shows_configuration_curve_norms_and_end(there: Path, autotrain: Run) -> None:
    done = autotrain("show", "shop", "--trial", 1)
    facts = autotrain("show", "shop", "--trial", "1", "--json").json()
    assert done.code == 0
    assert facts["trial"] == 1
    assert facts["state"] in ("complete", "pruned")
    assert f"{facts['state']}: {facts['ending']}" in done.out
    for name in flatten(facts["config"]):
        assert f"\n  {name} " in done.out
    assert [epoch for epoch, _ in facts["curve"]] == list(range(1, facts["epochs"] + 1))
    assert "Learning curve" in done.out
    (fold,) = facts["folds"]
    assert [layer["layer"] for layer in fold["layers"]] == [1, "output"]
    for layer in fold["layers"]:
        assert layer["norm"] > 0
        assert f"{layer['norm']:.3g}" in done.out
    assert fold["layers"][0]["dead_units"] is not None
    assert "dead units" in done.out


def test_all_trials_are_a_table(there: Path, autotrain: Run) -> None:
    table = pd.read_csv(io.StringIO(autotrain("show", "shop", "--csv").out))
    with Study.resume("shop") as study:
        trials = study.optuna_study.trials
    assert list(table["trial"]) == [trial.number for trial in trials]
    assert list(table["state"]) == [trial.state.name for trial in trials]
    for row, trial in zip(table.to_dict("records"), trials, strict=True):
        assert row["value"] == pytest.approx(trial.value, nan_ok=True) or trial.value is None
        assert not row["added"]
        assert row["cause"] == trial.user_attrs["cause"]
        for name, value in trial.params.items():
            assert str(row[f"params.{name}"]) == str(value) or float(value) == pytest.approx(
                row[f"params.{name}"]
            )


@pytest.mark.parametrize(
    "words", [("--csv",), ("shop", "--csv", "--json"), ("shop", "--csv", "--trial", "0")]
)
def test_table_of_trials_needs_one_study(
    there: Path, autotrain: Run, words: tuple[str, ...]
) -> None:
    done = autotrain("show", *words)
    assert done.code == 2
    assert "--csv needs the NAME of a study" in done.err


def test_trial_is_the_same_in_python(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autotrain: Run
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    with Study.resume("shop") as study:
        assert study.trial(1).to_json() == autotrain("show", "shop", "--trial", 1, "--json").json()


@pytest.mark.parametrize(
    "words", [("shop", "--trial", 99), ("shop", "--trial", -1), ("--trial", 1), ("x", "--trial", 0)]
)
def test_unknown_trial_is_refused(there: Path, autotrain: Run, words: tuple[object, ...]) -> None:
    done = autotrain("show", *words)
    assert done.code == 2
    assert not done.out


def test_flagged_trials_are_named(here: Path, autotrain: Run) -> None:
    """Weights that make all gradients vanish; how many is decided by the space, not by chance."""
    (here / "sick.toml").write_text(
        """
[network]
hidden_layers = 6
hidden_units = 8
[training]
batch_size = 16
epochs = 2
[activation]
choice = "sigmoid"
[initializer]
choice = "normal"
normal.std = 0.01
[optimizer]
choice = "sgd"
learning_rate = { low = 0.001, high = 0.01 }
"""
    )
    words = ["--target", "bought", "--space", "sick.toml", "--study", "sick", "--trials", "2"]
    assert autotrain("search", "shop.csv", *words, "--quiet", *HOLDOUT).code == 0
    assert autotrain("show", "sick", "--json").json()["flags"] == {"vanishing": [0, 1]}
    assert "gradients vanish (vanishing): trial 0, 1\n" in autotrain("show", "sick").out
    trial = autotrain("show", "sick", "--trial", 1)
    assert FLAGS["vanishing"].sentence in trial.out
    card = (here / "studies/sick/best/MODEL_CARD.md").read_text(encoding="utf-8")
    assert "- diagnostics: `vanishing`\n" in card


def test_trial_that_diverges_in_its_first_epoch_shows_its_norms(here: Path, autotrain: Run) -> None:
    words = ["--target", "amount", "--space", "diverging.toml", "--study", "wild", "--trials", "1"]
    assert autotrain("search", "paid.csv", *words, "--quiet", *HOLDOUT).code == 3
    facts = autotrain("show", "wild", "--trial", 0, "--json").json()
    assert (facts["cause"], facts["epochs"]) == ("diverged", 1)
    assert list(facts["flags"]) == ["exploding"]
    (fold,) = facts["folds"]
    assert (fold["explosion"], fold["explosion_epoch"], fold["loss"]) == ("not_finite", 1, None)
    assert all(layer["start_norm"] > 0 and layer["norm"] > 0 for layer in fold["layers"])
    assert "First explosion: epoch 1" in autotrain("show", "wild", "--trial", 0).out


def test_empty_folder_of_studies(here: Path, autotrain: Run) -> None:
    done = autotrain("show")
    assert done.code == 0
    assert "studies/ contains no studies yet" in done.out
    assert autotrain("show", "--json").json() == {"studies": []}


def test_unreadable_study_does_not_hide_the_others(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autotrain: Run
) -> None:
    shutil.copytree(finished / "studies", tmp_path / "studies")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies" / "plain" / "journal.log").write_text("no journal\n")
    done = autotrain("show")
    assert done.code == 0
    assert "shop" in done.out
    assert "plain: studies/plain/journal.log, line 1 must be a record" in done.out


def test_studies_elsewhere_are_found_with_directory(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autotrain: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    done = autotrain("show", "shop", "--directory", finished / "studies")
    assert done.code == 0
    assert Definition.read(finished / "studies" / "shop").name in done.out
    assert json.loads(autotrain("show", "--json").out) == {"studies": []}
