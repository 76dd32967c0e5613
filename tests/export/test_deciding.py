"""The decision threshold of a study: stored in `best/`, and chosen again for later models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import autotrain
from autotrain.errors import AutotrainError
from autotrain.export.deciding import GoalOfStudy
from autotrain.predictor import Predictor
from tests.winners import mixed_table, random_bundle

SPACE = {"extends": "quick", "training": {"epochs": 3}}


def test_threshold_of_a_study_is_kept_by_later_models(tmp_path: Path) -> None:
    options: dict[str, Any] = {"space": SPACE, "workers": 1, "finalists": 0, "directory": tmp_path}
    study = autotrain.Study("s", data=mixed_table(), target="left", ensemble=0, **options)
    with study:
        study.optimize(n_trials=1, quiet=True)
        assert study.best_predictor().stored_threshold is None
        found = study.choose_threshold(recall=0.9, positive="no")
        first = study.best_predictor()
        assert first.stored_threshold == found == first.threshold(recall=0.9, positive="no")
        study.test()
        study.export_best(ensemble=3)
        study.optimize(n_trials=2, quiet=True)
        later = study.best_predictor()
        study.export_best(ensemble=3)
        assert later.stored_threshold == later.threshold(recall=0.9)
        assert later.stored_threshold is not None
        assert later.stored_threshold.positive == "no"
        assert study.predictor(trial=0).stored_threshold is not None
        with pytest.raises(AutotrainError, match="recall must be"):
            study.choose_threshold(recall=2)
        study.remove_threshold()
        assert study.best_predictor().stored_threshold is None
        assert study.predictor(trial=0).stored_threshold is None


def test_model_that_cannot_reach_the_goal_is_exported_with_a_note() -> None:
    bundle = random_bundle(task="binary", classes=("no", "yes"))
    rows = {"conformal_fold_scores": [[0.1, 0.8]], "conformal_fold_labels": [[0, 1]]}
    bundle = replace(bundle, calibration={**bundle.calibration, **rows})
    reached = GoalOfStudy({"goal": "recall=0.9", "positive": "yes"})
    assert Predictor(reached(bundle)).stored_threshold is not None
    assert reached.notes == ()
    missed = GoalOfStudy({"goal": "precision=0.9", "positive": "maybe"})
    assert missed(bundle) is bundle
    assert missed.notes[0].startswith("The model has no decision threshold: positive must be")
    assert GoalOfStudy(None)(bundle) is bundle
