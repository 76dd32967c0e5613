"""`autotrain resume`: what is left of the budget, more of it, moved data, changed data."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from autotrain.bundle import encode, publish, read_bundle, stage
from autotrain.bundle.publishing import TENSORS
from autotrain.export.best_model import BestModel
from autotrain.reporting import display
from autotrain.reporting.status import read_status
from autotrain.search import budget
from autotrain.search.attributes import IS_EXPORTED
from autotrain.search.budget import Budget
from autotrain.search.definition import FILE, Definition
from autotrain.search.progress import Progress, Silent
from autotrain.search.storage.open import open_storage
from autotrain.search.trained import Trained
from autotrain.study import Study
from tests.cli.conftest import HERE, HOLDOUT, Run, listing

SEARCH = ("search", "shop.csv", "--target", "bought", "--space", "space.toml", *HOLDOUT)
RESUME = ("resume", "shop", "--json", "--quiet")


@pytest.fixture
def study(here: Path, autotrain: Run) -> Path:
    assert autotrain(*SEARCH, "--trials", 2, "--seed", 3, "--quiet").code == 0
    return here / "studies" / "shop"


def give(study: Path, n_trials: int) -> None:
    """Write another budget into the definition, as if the search had been cut short."""
    Definition.read(study).with_budget(Budget(n_trials, None)).write(study)


def test_resume_uses_the_remaining_budget(study: Path, autotrain: Run) -> None:
    give(study, 5)
    assert read_status(study).left.n_trials == 3

    done = autotrain(*RESUME)

    assert done.code == 0, done.err
    assert sum(done.json()["trials"].values()) == 5
    assert read_status(study).left.n_trials == 0


def test_spent_budget_is_refused_with_the_command_to_add_more(study: Path, autotrain: Run) -> None:
    before = listing(study)
    done = autotrain("resume", "shop")
    assert done.code == 2
    assert "must have some budget left, got none (2 trials in " in done.err
    assert "autotrain resume shop --timeout 10m" in done.err
    assert listing(study) == before


def test_ensemble_is_exported_after_the_budget_is_spent(study: Path, autotrain: Run) -> None:
    done = autotrain(*RESUME, "--ensemble", 3)
    assert done.code == 0, done.err
    assert sum(done.json()["trials"].values()) == 2
    assert Definition.read(study).ensemble == 3
    assert Definition.read(study).n_trials == 2
    together = done.json()["ensemble"]
    assert len(together) > 1
    exported = autotrain("export", "shop", "--output", "model")
    assert exported.out == f"Exported the ensemble of {len(together)} trainings of shop to model\n"

    alone = autotrain(*RESUME, "--ensemble", 0)
    assert alone.json()["ensemble"] is None
    assert alone.json()["test_value"] is not None
    assert autotrain("resume", "shop").code == 2
    assert autotrain(*RESUME, "--ensemble", 3).json()["ensemble"] == together


def test_failed_export_of_an_ensemble_is_reported(
    study: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(best: BestModel, *trained: Trained) -> tuple[str, ...]:
        raise RuntimeError(f"{len(trained)} score otherwise")

    monkeypatch.setattr(BestModel, "publish", refuse)
    before = read_bundle(study / "best").training
    said = "The ensemble could not be exported (2 score otherwise)."
    assert said in autotrain(*RESUME, "--ensemble", 3).json()["notes"]
    assert f"Note        {said}" in autotrain("resume", "shop", "--ensemble", 3).out
    assert read_bundle(study / "best").training == before


@pytest.mark.usefixtures("one_by_one")
def test_interrupted_finals_are_finished_when_no_trial_is_left(
    here: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Once(Silent):
        n = 1

        def update(self, progress: Progress) -> None:
            if progress.n_repeats >= self.n:
                self.n = 1 << 30
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(display, "Silent", Once)
        cut = autotrain(*SEARCH, "--trials", 7, "--pruner", "none", "--quiet")
    assert cut.code == 130
    status = read_status(here / "studies" / "shop")
    assert status.left.is_nothing
    assert (status.state, status.is_unfinished, status.finals) == ("stopped", True, None)

    done = autotrain(*RESUME)

    assert done.code == 0, done.err
    assert sum(done.json()["trials"].values()) == 7
    status = read_status(here / "studies" / "shop")
    assert (status.state, status.is_unfinished) == ("done", False)
    assert status.finals is not None
    assert done.json()["finals"]["number"] == status.finals.number == status.winner
    assert done.json()["test_value"] is not None
    assert autotrain("resume", "shop").code == 2


@pytest.mark.parametrize("is_removed", [True, False])
def test_missing_model_of_a_finished_study_is_exported_again(
    here: Path, autotrain: Run, is_removed: bool
) -> None:
    first = autotrain(*SEARCH, "--trials", 2, "--finalists", 0, "--json").json()
    assert autotrain("resume", "shop").code == 2
    best = here / "studies" / "shop" / "best"
    if is_removed:
        shutil.rmtree(best)
    else:
        (best / "bundle.json").write_text("{")
    done = autotrain(*RESUME)
    assert done.code == 0, done.err
    assert sum(done.json()["trials"].values()) == 2
    assert done.json()["test_value"] == pytest.approx(first["test_value"])


def test_interrupted_test_score_is_computed_on_resume(
    here: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Study, "test", interrupted)
        cut = autotrain(*SEARCH, "--trials", 2, "--finalists", 0, "--quiet")
    assert cut.code == 130
    done = autotrain(*RESUME)
    assert done.code == 0, done.err
    assert sum(done.json()["trials"].values()) == 2
    assert done.json()["test_value"] is not None
    assert autotrain("resume", "shop").code == 2


def test_resume_exports_a_winner_whose_export_was_killed(study: Path, autotrain: Run) -> None:
    with open_storage(study) as storage:
        optuna.load_study(study_name="shop", storage=storage).set_user_attr(IS_EXPORTED, False)
    shutil.rmtree(study / "best")
    assert read_status(study).state == "stopped"
    give(study, 3)
    assert read_status(study).state == "stopped"
    give(study, 2)
    done = autotrain(*RESUME)
    assert done.code == 0, done.err
    assert read_bundle(study / "best").training["trial"] == done.json()["best_trial"]
    assert autotrain("resume", "shop").code == 2


def test_time_for_reading_the_data_reduces_the_remaining_budget(
    study: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial takes fifty seconds, and 55 were left before ten of them went by."""
    spent = read_status(study).seconds
    Definition.read(study).with_budget(Budget(3, spent + 55)).write(study)
    monkeypatch.setattr(budget, "seconds_of", lambda trial: 50.0)
    assert not read_status(study).left.is_nothing
    done = autotrain(*RESUME, started_before_s=10)
    assert done.code == 0, done.err
    assert sum(done.json()["trials"].values()) == 2


def test_finalists_can_change_after_the_budget_is_spent(here: Path, autotrain: Run) -> None:
    options = ("--trials", 7, "--pruner", "none", "--finalists", 0, "--quiet")
    assert autotrain(*SEARCH, *options).code == 0
    assert autotrain("resume", "shop").code == 2
    done = autotrain(*RESUME, "--finalists", 2)
    assert done.code == 0, done.err
    assert done.json()["finals"] is not None
    assert sum(done.json()["trials"].values()) == 7
    assert autotrain(*RESUME, "--finalists", 0).json()["finals"] is None


def test_more_trials_are_added_to_the_budget(study: Path, autotrain: Run) -> None:
    assert sum(autotrain(*RESUME, "--trials", 2).json()["trials"].values()) == 4
    assert Definition.read(study).n_trials == 4


def test_options_of_one_run_do_not_change_the_definition(study: Path, autotrain: Run) -> None:
    before = Definition.read(study)
    assert autotrain(*RESUME, "--trials", 1, "--device", "auto").code == 0
    after = Definition.read(study)
    assert after == before.with_budget(Budget(3, None))


def test_moved_data_are_found_and_remembered(study: Path, here: Path, autotrain: Run) -> None:
    (here / "shop.csv").rename(here / "moved.csv")
    lost = autotrain(*RESUME, "--trials", 1)
    assert lost.code == 2
    assert "shop.csv: file not found" in lost.err
    assert "--data FILE" in lost.err

    assert autotrain(*RESUME, "--trials", 1, "--data", "moved.csv").code == 0
    assert Definition.read(study).data == "moved.csv"
    assert autotrain(*RESUME, "--trials", 1).code == 0


def test_other_data_are_refused(study: Path, here: Path, autotrain: Run) -> None:
    table = (here / "shop.csv").read_text().splitlines()
    (here / "shop.csv").write_text("\n".join(table[:-1]) + "\n")
    before = listing(study)
    done = autotrain(*RESUME, "--trials", 1)
    assert done.code == 2
    assert "can be resumed only with its original settings, but its data differ" in done.err
    assert listing(study) == before


def test_trials_of_a_killed_run_are_retried(study: Path, autotrain: Run) -> None:
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(study / "journal.log"))
    )
    killed = optuna.load_study(study_name="shop", storage=storage).ask()
    params = {"network.hidden_units": 8, "activation": "elu"}
    killed.suggest_categorical("network.hidden_units", [4, 8])
    give(study, 4)
    shown = read_status(study)
    assert (shown.state, shown.n_running, shown.n_waiting) == ("stopped", 0, 1)

    assert autotrain(*RESUME).code == 0

    trials = optuna.load_study(study_name="shop", storage=storage).trials
    retries = [t for t in trials if t.user_attrs.get("retry_of") == killed.number]
    assert len(retries) == 1
    assert retries[0].state.is_finished()
    assert retries[0].params["network.hidden_units"] == killed.params["network.hidden_units"]
    assert params.keys() <= retries[0].params.keys()
    assert trials[killed.number].user_attrs["cause"] == "interrupted"
    assert read_status(study).n_trials == 4


@pytest.mark.parametrize("left", ["nothing", "the model of another trial", "half of it"])
def test_best_model_of_a_killed_export_is_exported_again(
    study: Path, autotrain: Run, left: str
) -> None:
    best = study / "best"
    before = read_bundle(best)
    if left == "the model of another trial":
        other = replace(before, training={**before.training, "trial": 99})
        publish(stage(best, encode(other)), best)
    elif left == "half of it":
        (best / TENSORS).write_bytes((best / TENSORS).read_bytes()[:100])
    else:
        shutil.rmtree(best)

    done = autotrain(*RESUME, "--trials", 1)

    assert done.code == 0, done.err
    after = read_bundle(best)
    # The new trial is not better, so it has written nothing.
    assert after.training["trial"] == before.training["trial"] == done.json()["best_trial"]
    was, now = before.tensors(), after.tensors()
    assert was.keys() == now.keys()
    assert all(np.array_equal(was[name], now[name]) for name in was)


def test_unknown_study_is_refused(study: Path, autotrain: Run) -> None:
    done = autotrain("resume", "shpo")
    assert done.code == 2
    assert "there must be a study 'shpo'" in done.err
    assert "Did you mean 'shop'?" in done.err
    assert not (study.parent / "shpo").exists()
    assert (study / FILE).is_file()


def test_resume_with_a_space_that_contains_the_trials(
    study: Path, here: Path, autotrain: Run
) -> None:
    wider = (here / "space.toml").read_text().replace('"relu", "elu"', '"relu", "elu", "tanh"')
    (here / "wider.toml").write_text(wider)
    done = autotrain(*RESUME, "--space", "wider.toml", "--trials", 1, *HERE)
    assert done.code == 0, done.err
    assert done.json()["trials"]["complete"] == 3
    assert "tanh" in str(Definition.read(study).space["activation"])


def test_resume_with_a_space_without_the_trials(study: Path, here: Path, autotrain: Run) -> None:
    other = (here / "space.toml").read_text().replace("[4, 8]", "[4, 6]")
    (here / "other.toml").write_text(other)
    before = {path.name: path.read_bytes() for path in study.glob("*.*")}
    done = autotrain(*RESUME, "--space", "other.toml", "--trials", 1, *HERE)
    assert done.code == 2
    assert "--space must contain all trials of study" in done.err
    assert "network.hidden_units must be in the space, got" in done.err
    assert {path.name: path.read_bytes() for path in study.glob("*.*")} == before
