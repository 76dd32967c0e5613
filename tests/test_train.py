"""`Study.train`, `Study.enqueue` and the end of a finite space."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tomli_w
from optuna.trial import TrialState

from autotrain import Study
from autotrain.errors import NoTrialSucceededError, SpaceError
from autotrain.export import best_model
from autotrain.reporting.status import read_status
from autotrain.search.attributes import CONFIG
from autotrain.search.definition import Definition
from autotrain.search.progress import Progress
from autotrain.space.config import TrialConfig

FINITE: dict[str, Any] = {
    "network": {"hidden_layers": 1, "hidden_units": {"choices": [4, 8]}},
    "activation": {"choices": ["relu", "elu", "tanh"]},
    "training": {"batch_size": 16, "epochs": 2},
    "forbid": [{"activation": "tanh", "network.hidden_units": 4}],
    "baseline": [{"activation": "elu", "network.hidden_units": 8}],
}
N_CONFIGS = 5
ENDLESS = FINITE | {"optimizer": {"learning_rate": {"low": 1e-3, "high": 0.1, "log": True}}}


def frame() -> pd.DataFrame:
    x = np.random.default_rng(0).normal(size=(90, 3))
    return pd.DataFrame(x, columns=["a", "b", "c"]).assign(y=(x[:, 0] + x[:, 1] > 0).astype(int))


def study_of(folder: Path, name: str = "table", **changes: Any) -> Study:
    options: dict[str, Any] = {
        "data": frame(),
        "target": "y",
        "space": FINITE,
        "validation": "holdout",
        "workers": 1,
        "finalists": 0,
        "directory": folder,
    }
    return Study(name, **(options | changes))


def configs_tried(study: Study) -> list[str]:
    return [str(trial.params) for trial in study.optuna_study.trials]


# ---- one configuration -----------------------------------------------------------------------


def test_train_gives_one_complete_trial_with_curve_and_bundle(tmp_path: Path) -> None:
    config = {
        "activation": "selu",
        "network": {"hidden_units": "6-3"},
        "training": {"epochs": 7, "batch_size": 8},
        "early_stopping": {"enabled": False},
        "optimizer": {"choice": "sgd", "learning_rate": 0.01},
    }
    with study_of(tmp_path) as study:
        trial = study.train(config, quiet=True)
        assert [t.number for t in study.optuna_study.trials] == [trial.number] == [0]
        assert (trial.state, trial.user_attrs["epochs"]) == (TrialState.COMPLETE, 7)
        assert trial.user_attrs["cause"] == "epochs"
        assert sorted(trial.intermediate_values) == [1, 2, 3, 4, 5, 6, 7]
        assert min(trial.intermediate_values.values()) == pytest.approx(trial.value)
        assert study.winner is None
        member = study.best_predictor().bundle.members[0]
        assert member.config.hidden_units == (6, 3)
        assert member.config.activation.name == "selu"
        assert study.test()["accuracy"] is not None
        assert study.best_config["network"] == {"hidden_units": "6-3"}
    status = read_status(study.folder)
    assert (status.n_complete, status.left.is_nothing) == (1, True)
    assert status.top[0].params["activation"] == "selu"


@pytest.mark.parametrize("restores", [True, False])
def test_all_epochs_are_trained_with_a_performance_schedule(tmp_path: Path, restores: bool) -> None:
    """Also where the pruner of the study would call the trial converged."""
    config = {
        "training": {"epochs": 40, "batch_size": 8},
        "network": {"hidden_units": 8, "hidden_layers": 1},
        "schedule": {"choice": "performance", "performance": {"patience": 1}},
        "optimizer": {"learning_rate": 0.3},
        "early_stopping": {"enabled": False, "restore_best_weights": restores},
    }
    with study_of(tmp_path) as study:
        trial = study.train(config, quiet=True)
    assert trial.user_attrs["epochs"] == 40
    assert (trial.user_attrs["best_epoch"] == 40) is not restores


@pytest.mark.parametrize("pruner", ["performance", "median"])
def test_hopeless_configuration_is_not_pruned(tmp_path: Path, pruner: str) -> None:
    """Enqueued in a search it is."""
    space = {
        "network": {"hidden_layers": 1, "hidden_units": 8},
        "training": {"batch_size": 16, "epochs": 20},
        "optimizer": {"learning_rate": {"low": 1e-7, "high": 0.1, "log": True}},
        "baseline": [{"optimizer.learning_rate": 0.01 * n} for n in range(1, 8)],
    }
    hopeless = {
        "network": {"hidden_layers": 1, "hidden_units": 8},
        "training": {"batch_size": 16, "epochs": 20},
        "optimizer.learning_rate": 1e-7,
    }
    options = {"n_startup": 4} if pruner == "performance" else {}
    with study_of(tmp_path, space=space, pruner=pruner, pruner_options=options) as study:
        study.optimize(n_trials=7, quiet=True)
        trial = study.train(hopeless, quiet=True)
        assert (trial.state, trial.user_attrs["epochs"]) == (TrialState.COMPLETE, 20)
        assert "optimizer.learning_rate" in trial.params
        study.enqueue(hopeless).optimize(n_trials=1, quiet=True)
        assert study.optuna_study.trials[-1].state == TrialState.PRUNED


def test_trained_network_is_that_of_best_config(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    with study_of(tmp_path, "searched", space=ENDLESS) as study:
        study.optimize(n_trials=3, quiet=True)
        config, value = study.best_config, study.best_value
        seed_number = study.best_trial.number
        path.write_text(tomli_w.dumps(config))
        assert tomllib.loads(path.read_text()) == config
        again = study.train(path, quiet=True)
        assert again.params == study.optuna_study.trials[seed_number].params
        assert CONFIG not in again.user_attrs
    with study_of(tmp_path, "alone", space=config) as other:
        other.optimize(n_trials=5, quiet=True)
        assert len(other.optuna_study.trials) == 1
        assert other.best_config == config
        # The first trial's seed is that of a search's first trial.
        if seed_number == 0:
            assert other.best_value == pytest.approx(value, rel=1e-5)


def test_same_configuration_and_number_give_the_same_weights(tmp_path: Path) -> None:
    with study_of(tmp_path, "one", space=ENDLESS) as one:
        first = one.optimize(n_trials=1, quiet=True).best_config
    with study_of(tmp_path, "two", space="default") as two:
        trial = two.train(first, quiet=True)
    assert trial.value == pytest.approx(one.progress.best_value, rel=1e-6)


def test_search_continues_after_a_trial_outside_its_space(tmp_path: Path) -> None:
    with study_of(tmp_path, space=ENDLESS, finalists=2, pruner="performance") as study:
        study.optimize(n_trials=2, quiet=True)
        # Another scaler: the finals must be able to read the rows in that way.
        outside = {"scaler": "quantile_normal", "training": {"epochs": 30, "batch_size": 8}}
        trial = study.train(outside, quiet=True)
        assert trial.params == {}
        assert TrialConfig.from_dict(trial.user_attrs[CONFIG]).scaler.name == "quantile_normal"
        assert study.best_trial.number == trial.number
        assert study.best_config["scaler"] == "quantile_normal"
        assert Definition.read(study.folder).n_trials == 3
    with Study.resume("table", data=frame(), directory=tmp_path) as study:
        study.optimize(n_trials=4, quiet=True)
        assert len(study.optuna_study.trials) == 7
        assert study.best_config["scaler"] == "quantile_normal"
        assert study.winner is not None
    status = read_status(study.folder)
    assert status.top[0].number == trial.number


def test_baselines_follow_a_configuration_that_came_first(tmp_path: Path) -> None:
    with study_of(tmp_path, space=ENDLESS) as study:
        study.train({"training": {"epochs": 1}}, quiet=True)
        study.optimize(n_trials=1, quiet=True)
        assert study.optuna_study.trials[1].params["activation"] == "elu"
        assert study.optuna_study.trials[1].params["network.hidden_units"] == 8


def test_diverging_configuration_is_recorded_and_reported(tmp_path: Path) -> None:
    wild = {"optimizer": {"choice": "sgd", "learning_rate": 1e30}, "training": {"epochs": 2}}
    with study_of(tmp_path) as study:
        with pytest.raises(NoTrialSucceededError):
            study.train(wild, quiet=True)
        study.optimize(n_trials=1, quiet=True)
        with pytest.raises(NoTrialSucceededError, match="diverged"):
            study.train(wild, quiet=True)
        assert [t.state for t in study.optuna_study.trials[::2]] == [TrialState.PRUNED] * 2


def test_wrong_configuration_is_refused_and_nothing_written(tmp_path: Path) -> None:
    with study_of(tmp_path) as study:
        for method in (study.train, study.enqueue):
            with pytest.raises(SpaceError, match="3 mistakes"):
                method(
                    {
                        "activation": "rellu",
                        "network.hidden_units": {"low": 1, "high": 2},
                        "optimizer.learning_rat": 0.1,
                    }
                )
    assert not study.folder.exists()


@pytest.mark.usefixtures("one_by_one")
def test_interrupted_training_is_resumed(tmp_path: Path) -> None:
    class Impatient:
        def update(self, progress: Progress) -> None:
            if progress.epochs:
                raise KeyboardInterrupt

    config = {"activation": "sigmoid", "training": {"epochs": 30}}
    with study_of(tmp_path) as study, pytest.raises(KeyboardInterrupt):
        study.train(config, observer=Impatient())
    with Study.resume("table", data=frame(), directory=tmp_path) as study:
        study.optimize(n_trials=1, quiet=True)
        assert study.best_config["activation"]["choice"] == "sigmoid"
        assert study.best_trial.user_attrs["epochs"] > 1


def test_training_does_not_reduce_the_budget_of_searches(tmp_path: Path) -> None:
    with study_of(tmp_path, space=ENDLESS) as study:
        study.optimize(n_trials=1, timeout=100, quiet=True)
        left_s = read_status(study.folder).left.timeout_s
        spent_s = read_status(study.folder).seconds
        endless = {"training.epochs": 5000, "early_stopping.enabled": False}
        study.train(endless, timeout=1, quiet=True)
        status = read_status(study.folder)
    assert status.seconds > spent_s + 0.5
    assert status.left.timeout_s == pytest.approx(left_s, abs=0.2)


# ---- configurations for a search ---------------------------------------------------------------


def test_enqueued_configurations_come_first_also_after_resume(tmp_path: Path) -> None:
    # A baseline still waits when the first one is given.
    baselines = [*FINITE["baseline"], {"activation": "relu", "network.hidden_units": 4}]
    with study_of(tmp_path, space=ENDLESS | {"baseline": baselines}) as study:
        study.optimize(n_trials=1, quiet=True)
        assert study.enqueue({"activation": "tanh", "optimizer.learning_rate": 0.02}) is study
    with Study.resume("table", data=frame(), directory=tmp_path) as study:
        study.enqueue({"activation": "relu", "network": {"hidden_units": 8}})
        study.optimize(n_trials=2, quiet=True)
        trials = [t for t in study.optuna_study.trials if t.state.is_finished()]
        tried = [(t.params["activation"], t.params["network.hidden_units"]) for t in trials]
        assert tried == [("elu", 8), ("tanh", 8), ("relu", 8)], "tanh is forbidden with 4"
        assert trials[1].params["optimizer.learning_rate"] == 0.02


def test_best_config_of_another_study_can_be_enqueued(tmp_path: Path) -> None:
    with study_of(tmp_path, "other", space=ENDLESS, seed=5) as other:
        config = other.optimize(n_trials=2, quiet=True).best_config
    with study_of(tmp_path, space=ENDLESS) as study:
        study.enqueue(config).optimize(n_trials=1, quiet=True)
        assert study.best_config == config


def test_enqueue_names_everything_outside_the_space(tmp_path: Path) -> None:
    with study_of(tmp_path) as study, pytest.raises(SpaceError) as caught:
        study.enqueue({"activation": "selu", "network.hidden_units": 5, "training.epochs": 3})
    assert len(caught.value.mistakes) == 3


# ---- finite spaces -----------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("budget", [{"n_trials": 50}, {"timeout": 120}])
def test_search_ends_when_a_finite_space_is_tried(
    tmp_path: Path, workers: int, budget: dict[str, Any]
) -> None:
    with study_of(tmp_path, workers=workers) as study:
        assert study.n_untried == N_CONFIGS
        study.optimize(**budget, quiet=True)
        tried = configs_tried(study)
        assert len(tried) == len(set(tried)) == N_CONFIGS
        assert (study.n_untried, study.progress.is_whole_space) == (0, True)
        assert study.progress.n_trials == N_CONFIGS
        study.optimize(**budget, quiet=True)
        assert configs_tried(study) == tried
    if "n_trials" in budget:
        assert read_status(study.folder).left.is_nothing


def test_finite_space_is_completed_over_several_runs(tmp_path: Path) -> None:
    with study_of(tmp_path, sampler="random") as study:
        study.enqueue({"activation": "elu", "network": {"hidden_units": 8}})
        study.optimize(n_trials=2, quiet=True)
        assert not study.progress.is_whole_space
        assert study.n_untried == N_CONFIGS - 2
    with Study.resume("table", data=frame(), directory=tmp_path) as study:
        study.optimize(n_trials=2, quiet=True)
        # In between one from outside the space, which counts as none of it.
        study.train({"activation": "selu", "training": {"epochs": 1}}, quiet=True)
        assert study.n_untried == 1
        study.optimize(n_trials=9, quiet=True)
        inside = [t for t in configs_tried(study) if t != "{}"]
        assert len(inside) == len(set(inside)) == N_CONFIGS


@pytest.mark.usefixtures("one_by_one")
def test_interrupted_trials_are_repeated_before_the_space_ends(tmp_path: Path) -> None:
    class Impatient:
        def update(self, progress: Progress) -> None:
            if progress.n_done == 2:
                raise KeyboardInterrupt

    with study_of(tmp_path) as study:
        with pytest.raises(KeyboardInterrupt):
            study.optimize(n_trials=9, observer=Impatient())
        study.optimize(n_trials=9, quiet=True)
        ended = [t for t in study.optuna_study.trials if t.state == TrialState.COMPLETE]
        assert len({str(t.params) for t in ended}) == len(ended) == N_CONFIGS


def test_space_without_choices_is_one_trial(tmp_path: Path) -> None:
    fixed = {"training": {"epochs": 1, "batch_size": 16}}
    with study_of(tmp_path, space=fixed) as study:
        study.optimize(timeout=60, quiet=True)
        assert len(study.optuna_study.trials) == 1


def test_infinite_space_has_no_count_of_untried_configurations(tmp_path: Path) -> None:
    with study_of(tmp_path, space=ENDLESS) as study:
        study.optimize(n_trials=2, quiet=True)
        assert (study.n_untried, study.progress.is_whole_space) == (None, False)


def test_trial_report_has_every_configuration(tmp_path: Path) -> None:
    """That of a search, one from outside the space, and one that waits."""
    with study_of(tmp_path, space=ENDLESS) as study:
        study.optimize(n_trials=1, quiet=True)
        study.train({"activation": "selu", "training": {"epochs": 1}}, quiet=True)
        study.enqueue({"activation": "tanh"})
        configs = [trial.to_json()["config"] for trial in map(study.trial, range(3))]
    words = [config["activation"]["choice"] for config in configs]
    assert words == ["elu", "selu", "tanh"]
    assert all(TrialConfig.from_dict(config).to_dict() == config for config in configs)


def test_missing_dropout_is_noticed_in_words_for_one_network(tmp_path: Path) -> None:
    with_dropout, without = ({"dropout": {"rate": 0.1}}, {"dropout": "none"})
    assert not study_of(tmp_path, space=with_dropout).space.notices
    (one,) = study_of(tmp_path, space=without).space.notices
    (many,) = study_of(tmp_path, space=ENDLESS | without).space.notices
    assert "space" in many
    assert "space" not in one


def test_given_configurations_alone_are_not_averaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(best_model, "choose", lambda kept, *_: tuple(kept[:2]))
    with study_of(tmp_path) as study:
        for activation in ("relu", "elu"):
            study.train({"activation": activation, "training": {"epochs": 2}}, quiet=True)
        assert study.definition.ensemble == "auto"
        assert "ensemble" not in study.best_predictor().bundle.training
        # A trial of a search makes it one.
        study.optimize(n_trials=1, quiet=True)
        assert len(study.best_predictor().bundle.training["ensemble"]) == 2
