"""`autotrain train`: one configuration, a model, exit codes as for a search."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import tomli_w

import autotrain as package
from autotrain.search.definition import Definition
from autotrain.training.trainer import Trainer
from tests.cli.conftest import Run

CONFIG = """
activation = "elu"
network.hidden_units = "8-4"
optimizer = { choice = "nadam", learning_rate = 0.01 }
training = { epochs = 9, batch_size = 16 }
early_stopping.enabled = false
"""
DATA = ("train", "shop.csv", "--target", "bought")
TRAIN = (*DATA, "--config", "config.toml", "--validation", "holdout", "--device", "cpu")


@pytest.fixture
def config(here: Path) -> Path:
    path = here / "config.toml"
    path.write_text(CONFIG)
    return path


@pytest.mark.usefixtures("config")
def test_one_configuration_gives_a_model_and_a_test_score(here: Path, autotrain: Run) -> None:
    done = autotrain(*TRAIN, "--study", "one", "--json")
    assert done.code == 0, done.err
    result = done.json()
    assert result["trials"] == {"complete": 1, "pruned": 0, "failed": 0}
    assert result["finals"] is result["ensemble"] is None
    assert result["test"]["log_loss"] == result["test_value"]
    assert Definition.read(here / "studies/one").ensemble == 0
    assert result["untried_configurations"] == 0
    assert result["config"]["network"] == {"hidden_units": "8-4"}
    assert (here / "studies/one/best/MODEL_CARD.md").is_file()
    bundle = package.load(here / "studies/one/best").bundle
    assert bundle.members[0].config.early_stopping["enabled"] is False
    shown = autotrain("show", "one", "--json").json()
    assert shown["top"][0]["epochs"] == 9

    # Everything that follows a search works as well.
    assert autotrain("predict", "one", "shop.csv", "--output", "out.csv").code == 0
    assert autotrain("evaluate", "one", "shop.csv").code == 0
    assert autotrain("export", "one").code == 0
    assert "8-4 elu nadam" in autotrain("show", "one").out


@pytest.mark.usefixtures("config")
def test_one_training_mentions_no_ensemble_and_no_space(autotrain: Run) -> None:
    done = autotrain(*TRAIN)
    assert "1 of 1 done" in done.err
    assert "ensemble" not in (done.out + done.err).lower()
    assert "whole space" not in done.err


@pytest.mark.usefixtures("config")
def test_second_call_trains_nothing_more(here: Path, autotrain: Run) -> None:
    first = autotrain(*TRAIN, "--json")
    before = (here / "studies/shop/best/model.safetensors").read_bytes()
    again = autotrain(*TRAIN, "--json")
    assert (first.code, again.code) == (0, 0)
    assert again.json()["trials"]["complete"] == 1
    assert (here / "studies/shop/best/model.safetensors").read_bytes() == before


def test_winner_of_a_search_can_be_trained_alone(here: Path, autotrain: Run) -> None:
    search = ("search", "shop.csv", "--target", "bought", "--space", "space.toml", "--workers", 1)
    found = autotrain(*search, "--validation", "holdout", "--trials", 2, "--json").json()["config"]
    (here / "config.toml").write_text(tomli_w.dumps(found))
    trained = autotrain(*TRAIN, "--study", "alone", "--json").json()
    assert trained["config"] == found
    assert tomllib.loads(tomli_w.dumps(trained["config"])) == found


def test_mistakes_of_a_configuration_are_exit_code_2(here: Path, autotrain: Run) -> None:
    (here / "config.toml").write_text(
        'activation = "rellu"\n[optimizer]\nlearning_rate = { low = 0.1, high = 0.2 }\n'
    )
    done = autotrain(*TRAIN)
    assert (done.code, done.out) == (2, "")
    assert "config.toml: 2 mistakes" in done.err
    assert "relu" in done.err
    assert "autotrain search" in done.err
    assert not (here / "studies").exists()
    assert autotrain(*DATA).code == 2, "--config is required"
    (here / "config.toml").unlink()
    assert autotrain(*TRAIN).code == 2


def test_diverged_training_is_exit_code_3(here: Path, autotrain: Run) -> None:
    (here / "config.toml").write_text('optimizer = { choice = "sgd", learning_rate = 1e30 }\n')
    assert autotrain(*TRAIN).code == 3


@pytest.mark.usefixtures("config")
def test_interrupted_training_is_exit_code_130_and_resumed(
    autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupt)
        done = autotrain(*TRAIN)
    assert done.code == 130
    assert "autotrain resume shop" in done.err
    assert autotrain("resume", "shop", "--json").json()["trials"]["complete"] == 1


def test_completed_finite_space_is_printed(here: Path, autotrain: Run) -> None:
    (here / "finite.toml").write_text(
        'activation = { choices = ["relu", "elu"] }\ntraining = { epochs = 1, batch_size = 16 }\n'
        "network = { hidden_units = 4, hidden_layers = 1 }\n"
    )
    search = ("search", "shop.csv", "--target", "bought", "--space", "finite.toml", "--workers", 1)
    done = autotrain(*search, "--validation", "holdout", "--trials", 40)
    assert done.code == 0, done.err
    assert "all configurations of the space have been tried" in done.out
    assert "2 of 2 done" in done.err
    assert "autotrain resume" not in done.out
    assert autotrain("resume", "shop").code == 2, "nothing is left of the budget"
    again = autotrain("resume", "shop", "--timeout", "1m", "--json")
    assert again.code == 0, again.err
    result = again.json()
    assert (result["trials"]["complete"], result["untried_configurations"]) == (2, 0)
