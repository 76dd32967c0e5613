"""Trials that were added through Optuna: they have no model, cannot win and do no harm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
)
from optuna.trial import TrialState, create_trial

from autotrain.cli.show import leaderboard
from autotrain.errors import NoTrialSucceededError
from autotrain.reporting.status import read_status
from autotrain.reporting.trial import read_trial
from autotrain.search.attributes import IDENTITY, ORIGIN
from autotrain.search.progress import Silent
from autotrain.search.record import is_foreign
from autotrain.study import Study
from tests.test_study_folder import resume, study_of

RATE = "optimizer.learning_rate"
TOO_GOOD = 1e-9


def add_copy_of_the_best(study: optuna.Study) -> None:
    best = study.best_trial
    study.add_trial(
        create_trial(params=best.params, distributions=best.distributions, value=TOO_GOOD)
    )


def add_trial_with_all_its_attributes(study: optuna.Study) -> None:
    copied = study.best_trial
    copied.value = TOO_GOOD
    study.add_trial(copied)


def ask_and_tell(study: optuna.Study) -> None:
    trial = study.ask()
    trial.suggest_float("something else", 0, 1)
    study.tell(trial, TOO_GOOD)


def add_other_parameters(study: optuna.Study) -> None:
    kind = CategoricalDistribution(["low", "high"])
    study.add_trial(create_trial(params={RATE: "low"}, distributions={RATE: kind}, value=TOO_GOOD))


def add_another_range(study: optuna.Study) -> None:
    study.add_trial(
        create_trial(
            params={RATE: 40.0}, distributions={RATE: FloatDistribution(1, 90)}, value=TOO_GOOD
        )
    )


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
@pytest.mark.parametrize(
    "add",
    [
        add_copy_of_the_best,
        add_trial_with_all_its_attributes,
        ask_and_tell,
        add_other_parameters,
        add_another_range,
    ],
)
def test_added_trial_does_not_win_and_the_study_continues(
    tmp_path: Path, add: Callable[[optuna.Study], None], sampler: str
) -> None:
    with study_of(tmp_path, sampler=sampler) as study:
        study.optimize(2, observer=Silent())
        best = study.best_trial.number
        add(study.optuna_study)
        assert study.best_trial.number == best
        study.export_best()
        assert study.best_predictor().bundle.training["trial"] == best
        assert study.trial(2).cause == "added"
        # It does not use the budget.
        study.optimize(3, observer=Silent())
    assert resume(tmp_path) == list(range(7))
    status = read_status(tmp_path / "s")
    assert status.added == (2,)
    assert status.n_complete == 6
    assert 2 not in [entry.number for entry in status.top]
    assert status.left.n_trials == 0
    assert any("Added" in line and "trial 2 " in line for line in leaderboard(status))
    assert read_trial(tmp_path / "s", 2).cause == "added"


def test_trials_of_another_study_may_come_first(tmp_path: Path) -> None:
    with study_of(tmp_path / "other", seed=7) as other:
        other.optimize(3, observer=Silent())
        trials = other.optuna_study.trials
    with study_of(tmp_path) as study:
        study.optuna_study.add_trials(trials)
        with pytest.raises(NoTrialSucceededError):
            _ = study.best_trial
        study.optimize(2, observer=Silent())
        assert study.best_trial.number in (3, 4)
        assert read_status(study.folder).added == (0, 1, 2)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({RATE: 5.0}, f"{RATE} must be in the space, got 5.0"),
        ({RATE: "fast"}, "fast"),
        ({"learning_rate": 0.01}, "learning_rate has no effect or is not a parameter"),
    ],
)
def test_impossible_trial_fails_alone_with_its_reason(
    tmp_path: Path, params: dict[str, Any], words: str
) -> None:
    with study_of(tmp_path) as study:
        study.optuna_study.enqueue_trial(params)
        study.optuna_study.enqueue_trial({RATE: 0.02})
        study.optimize(2, observer=Silent())
        states = [trial.state for trial in study.optuna_study.trials]
        assert states == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
        assert study.optuna_study.trials[1].params == {RATE: 0.02}
        report = study.trial(0)
        assert report.cause == "outside_space"
        assert words in (report.error or "")
    assert resume(tmp_path) == [0, 1, 2, 3]
    status = read_status(tmp_path / "s")
    assert status.causes == {"outside_space": 1}
    assert status.added == ()


def test_invalid_configuration_fails_alone(tmp_path: Path) -> None:
    with study_of(tmp_path) as study:
        study.optuna_study.enqueue_trial({}, user_attrs={"config": {"optimizer": "none of these"}})
        study.optimize(1, observer=Silent())
        assert study.trial(0).cause == "outside_space"
        assert study.best_trial.number == 1


def test_added_trial_that_never_ended_is_ignored(tmp_path: Path) -> None:
    with study_of(tmp_path) as study:
        study.optuna_study.ask().suggest_int("n", 0, 5)
        study.optimize(1, observer=Silent())
        assert study.best_trial.state == TrialState.COMPLETE
    with Study.resume("s", data=study.dataset.raw, directory=tmp_path) as study:
        study.optimize(1, observer=Silent())


def test_trials_of_older_versions_belong_to_the_study() -> None:
    own = create_trial(value=1.0, user_attrs={"cause": "epochs"})
    added = create_trial(value=1.0)
    added.number = own.number = 3
    assert not is_foreign(added, {})
    assert is_foreign(added, {IDENTITY: {"id": "i", "since": 9}})
    assert not is_foreign(own, {IDENTITY: {"id": "i", "since": 9}})
    later = {IDENTITY: {"id": "i", "since": 3}}
    assert is_foreign(own, later)
    own.set_user_attr(ORIGIN, "i/3")
    assert not is_foreign(own, later)
    own.number = 4
    assert is_foreign(own, later)
