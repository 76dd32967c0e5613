"""The dashboard gets the trials of a study, without what it cannot show."""

from __future__ import annotations

import copy

import optuna
import pytest

from autotrain.reporting import dashboard_storage
from autotrain.reporting.dashboard_storage import DashboardStorage, shown

CURVE = {step: 1.0 / step for step in range(1, 24)}
ATTRS = {"cause": "epochs", "epochs": 23, "gradient_ratio": 0.5, "history": [1, 2], "origin": "x"}


@pytest.fixture
def study() -> optuna.Study:
    made = optuna.create_study()
    for number in range(3):
        trial = optuna.trial.create_trial(
            params={"a": number},
            distributions={"a": optuna.distributions.IntDistribution(0, 9)},
            value=1.0 / (number + 1),
            user_attrs=ATTRS,
            intermediate_values=CURVE,
        )
        made.add_trial(trial)
    return made


def test_trials_have_attributes_that_can_be_read_and_whole_curves(study: optuna.Study) -> None:
    before = copy.deepcopy(study.trials)
    storage = DashboardStorage(study._storage)  # type: ignore[abstract]
    trials = storage.get_all_trials(study._study_id)
    assert [trial.params for trial in trials] == [{"a": 0}, {"a": 1}, {"a": 2}]
    for trial in trials:
        assert trial.user_attrs == {"cause": "epochs", "epochs": 23, "gradient_ratio": 0.5}
        assert trial.intermediate_values == CURVE
    assert storage.get_best_trial(study._study_id).number == 2
    assert study.trials == before


def test_curves_of_a_large_study_have_fewer_points(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard_storage, "MOST_POINTS", 20)
    before = copy.deepcopy(study.trials)
    storage = DashboardStorage(study._storage)  # type: ignore[abstract]
    trials = storage.get_all_trials(study._study_id)
    steps = [1, 4, 8, 12, 16, 20, 23]
    for trial in trials:
        assert trial.intermediate_values == {step: CURVE[step] for step in steps}
        assert trial.last_step == 23
    assert study.trials == before


def test_trial_without_a_curve_stays_without() -> None:
    trial = optuna.trial.create_trial(value=1.0)
    assert shown(trial, 5).intermediate_values == {}
