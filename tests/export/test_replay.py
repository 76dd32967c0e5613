"""A trial is trained again from its record: its value, its weights, its model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import autotrain
from autotrain.errors import StudyError
from autotrain.export.replay import Replay


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> autotrain.Study:
    space = {"network": {"hidden_layers": 1, "hidden_units": {"choices": [8, 16]}}}
    made = autotrain.Study(
        "wine",
        data="sklearn:wine",
        space=space | {"training": {"epochs": 8}},
        validation="3-fold",
        workers=1,
        pruner="none",
        directory=tmp_path_factory.mktemp("studies"),
    )
    return made.optimize(n_trials=2, quiet=True)


def test_replay_has_the_value_and_the_weights_of_the_trial(study: autotrain.Study) -> None:
    found = study.replay(0)
    assert found.recorded == study.optuna_study.trials[0].value
    assert found.value == pytest.approx(found.recorded, rel=1e-4)
    assert found.is_equal
    assert found.epochs == (8, 8, 8)
    assert found.largest_difference is not None
    assert found.largest_difference < 1e-3


def test_replay_changes_nothing(study: autotrain.Study) -> None:
    before = sorted((p, p.stat().st_mtime_ns) for p in study.folder.rglob("*") if p.is_file())
    n_trials = len(study.optuna_study.trials)
    study.replay(1)
    after = sorted((p, p.stat().st_mtime_ns) for p in study.folder.rglob("*") if p.is_file())
    assert (after, len(study.optuna_study.trials)) == (before, n_trials)


def test_model_without_a_checkpoint_equals_the_one_with_it(
    study: autotrain.Study, tmp_path: Path
) -> None:
    rows = study.dataset.raw_valid()[0]
    expected = study.predictor(trial=1).predict_proba(rows)
    (study.folder / "checkpoints").rename(tmp_path / "checkpoints")
    try:
        found = study.predictor(trial=1).predict_proba(rows)
    finally:
        (tmp_path / "checkpoints").rename(study.folder / "checkpoints")
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_predictor_without_a_trial_is_the_exported_one(study: autotrain.Study) -> None:
    rows = study.dataset.raw_valid()[0]
    expected = study.best_predictor().predict_proba(rows)
    np.testing.assert_array_equal(study.predictor().predict_proba(rows), expected)


@pytest.mark.parametrize("number", [-1, 99])
def test_unknown_trial_is_refused(study: autotrain.Study, number: int) -> None:
    with pytest.raises(StudyError) as found:
        study.replay(number)
    assert found.value.parameter == "trial"


def test_trial_without_a_result_is_refused(study: autotrain.Study) -> None:
    study.enqueue({"network.hidden_units": 8})
    with pytest.raises(StudyError, match="a trial that is WAITING"):
        study.predictor(trial=len(study.optuna_study.trials) - 1)


def test_values_are_equal_up_to_rounding() -> None:
    same = Replay(0, "COMPLETE", 0.5, 0.5, (8,), None)
    assert same.is_equal
    assert replace(same, value=0.5004).is_equal
    assert not replace(same, value=0.501).is_equal
