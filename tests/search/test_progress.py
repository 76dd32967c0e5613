"""What a search tells its display: the best trials, their trend, and what is in training."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

import autotrain
from autotrain.search.progress import Progress

SPACE = {
    "network": {"hidden_layers": 1, "hidden_units": {"low": 4, "high": 16}},
    "optimizer": {"learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}},
    "training": {"epochs": 6},
}


class Kept:
    """An observer that keeps all progress."""

    def __init__(self) -> None:
        self.all: list[Progress] = []

    def update(self, progress: Progress) -> None:
        self.all.append(progress)


@pytest.mark.parametrize("metric", ["log_loss", "accuracy"])
@pytest.mark.usefixtures("shown_at_once")
def test_best_trials_and_trend_are_those_of_the_study(tmp_path: Path, metric: str) -> None:
    options: dict[str, Any] = {"space": SPACE, "directory": tmp_path, "validation": "holdout"}
    options |= {"metric": metric, "workers": 1, "finalists": 2}
    first, second = Kept(), Kept()
    with autotrain.Study("wine", data="sklearn:wine", **options) as study:
        study.optimize(n_trials=6, observer=first)
        study.optimize(n_trials=6, observer=second)
        trials = study.optuna_study.trials
        sign = study.metric.sign
    complete = [t for t in trials if t.state == TrialState.COMPLETE and t.value is not None]
    ranked = sorted(complete, key=lambda t: (sign * (t.value or 0.0), t.number))
    last = second.all[-1]
    assert [leader.number for leader in last.leaders] == [t.number for t in ranked[:3]]
    assert [leader.value for leader in last.leaders] == [t.value for t in ranked[:3]]
    assert len(last.trend) == len(complete)
    assert last.trend[-1] == ranked[0].value
    assert list(last.trend) == list(accumulate(last.trend, min if sign > 0 else max))
    # The second run begins with the trials of the first one.
    assert second.all[0].leaders == first.all[-1].leaders
    ended = sum(t.state != TrialState.COMPLETE for t in trials)
    assert sum(first.all[-1].causes.values()) + sum(last.causes.values()) == ended

    running = [progress for progress in first.all if progress.in_training]
    assert running
    for progress in running:
        assert len(progress.in_training) == min(progress.n_running, 4)
        assert all(run.epoch <= run.most_epochs == 6 for run in progress.in_training)
    purposes = [progress.purpose for progress in first.all]
    assert purposes[0] == "new trials"
    assert "repeats of the best" in purposes
