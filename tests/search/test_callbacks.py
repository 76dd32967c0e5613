"""Callbacks are called after each trial, as in Optuna."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

import autotrain
from autotrain.errors import StudyError
from autotrain.reporting.status import read_status

SPACE = {
    "network": {"hidden_layers": 1, "hidden_units": {"low": 4, "high": 16}},
    "optimizer": {"learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}},
    "training": {"epochs": 4},
}


@pytest.fixture
def study(tmp_path: Path) -> autotrain.Study:
    options: dict[str, Any] = {"space": SPACE, "directory": tmp_path, "validation": "holdout"}
    return autotrain.Study("iris", data="sklearn:iris", workers=1, finalists=0, **options)


def test_callback_gets_every_ended_trial_when_it_is_recorded(
    study: autotrain.Study, tmp_path: Path
) -> None:
    seen: list[tuple[int, TrialState, int]] = []

    def note(optuna_study: optuna.Study, trial: FrozenTrial) -> None:
        assert optuna_study.study_name == "iris"
        status = read_status(tmp_path / "iris")
        seen.append((trial.number, trial.state, status.n_complete + status.n_pruned))
        trial.user_attrs["epochs"] = -1

    with study:
        study.optimize(n_trials=5, callbacks=[note], quiet=True)
        trials = study.optuna_study.trials
    assert sorted(number for number, _, _ in seen) == list(range(5))
    assert [state for _, state, _ in sorted(seen)] == [trial.state for trial in trials]
    assert [n_ended for _, _, n_ended in seen] == [1, 2, 3, 4, 5]
    assert all(trial.user_attrs["epochs"] > 0 for trial in trials)


@pytest.mark.usefixtures("one_by_one")
def test_callback_of_optuna_stops_the_search(study: autotrain.Study) -> None:
    most = optuna.study.MaxTrialsCallback(3, states=None)
    with study:
        study.optimize(n_trials=50, callbacks=[most], quiet=True)
        assert len(study.optuna_study.trials) == 3
        assert study.best_path.is_dir()
        with pytest.raises(RuntimeError, match="inside"):
            study.optuna_study.stop()
        study.optimize(n_trials=2, quiet=True)
        assert len(study.optuna_study.trials) == 5


@pytest.mark.usefixtures("one_by_one")
def test_error_of_a_callback_ends_the_search_and_loses_nothing(study: autotrain.Study) -> None:
    def fail(optuna_study: optuna.Study, trial: FrozenTrial) -> None:
        if trial.number == 1:
            raise ValueError("no connection")

    with study:
        with pytest.raises(
            StudyError, match="ValueError in 'fail' after trial 1: no connec"
        ) as got:
            study.optimize(n_trials=4, callbacks=[fail], quiet=True)
        assert got.value.parameter == "callbacks"
        states = [trial.state for trial in study.optuna_study.trials]
        assert all(state.is_finished() for state in states[:2])
        assert TrialState.RUNNING not in states
        study.optimize(n_trials=2, callbacks=[fail], quiet=True)
        assert study.best_value > 0


@pytest.mark.parametrize("callbacks", [print, [1], "ab"])
def test_wrong_callbacks_are_refused(study: autotrain.Study, callbacks: Any) -> None:
    with study, pytest.raises(StudyError, match="must be a list of functions") as got:
        study.optimize(n_trials=1, callbacks=callbacks, quiet=True)
    assert got.value.parameter == "callbacks"
