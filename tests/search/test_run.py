"""A run ends in time, and without a model it gives advice that fits the cause."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

import autotrain
from autotrain.errors import NoTrialSucceededError, StorageError
from autotrain.metrics import METRICS
from autotrain.search import launch, run
from autotrain.search.attributes import Cause
from autotrain.search.budget import RunClock
from autotrain.search.run import check_complete, check_success
from autotrain.search.training_run import TrainingRun
from autotrain.search.trial_store import TrialStore
from autotrain.training import trainer
from autotrain.training.fleet import Fleet
from autotrain.training.trainer import Trainer


def failed(cause: str) -> optuna.trial.FrozenTrial:
    return optuna.trial.create_trial(state=TrialState.FAIL, user_attrs={"cause": cause})


@pytest.mark.parametrize(
    ("cause", "word"),
    [
        ("worker_died", "fewer workers"),
        ("diverged", "learning rate"),
        ("out_of_memory", "smaller networks"),
        ("error", "--trial N"),
        ("time", "longer timeout"),
        ("something new", "longer timeout"),
    ],
)
def test_advice_depends_on_the_cause(cause: str, word: str) -> None:
    with pytest.raises(NoTrialSucceededError, match=word) as raised:
        check_success("s", [failed(cause)] * 2, METRICS["log_loss"])
    assert ("learning rate" in str(raised.value)) == (cause == "diverged")
    with pytest.raises(NoTrialSucceededError, match=word):
        check_complete(failed(cause))


def test_advice_lists_the_most_common_cause_first() -> None:
    trials = [failed("diverged"), failed("worker_died"), failed("worker_died")]
    with pytest.raises(NoTrialSucceededError) as raised:
        check_success("s", trials, METRICS["log_loss"])
    text = str(raised.value)
    assert 0 < text.index(Cause.WORKER_DIED.advice) < text.index(Cause.DIVERGED.advice)


def test_epoch_ends_when_the_time_is_over_also_in_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_looks, n_of_first = 0, math.inf
    check, hear = Trainer._check, TrainingRun.hear

    def counted(own: Trainer, *arguments: Any) -> None:
        nonlocal n_looks
        n_looks += 1
        check(own, *arguments)

    def heard(training: TrainingRun, *arguments: Any) -> None:
        nonlocal n_of_first
        n_of_first = min(n_looks, n_of_first)
        hear(training, *arguments)

    def late_in_the_second_epoch() -> float:
        return 1e6 if n_looks >= 1.5 * n_of_first else 0.0

    monkeypatch.setattr(trainer, "Fleet", partial(Fleet, ahead_bytes=1))  # a look at every step
    monkeypatch.setattr(Trainer, "_check", counted)
    monkeypatch.setattr(TrainingRun, "hear", heard)
    monkeypatch.setattr(run, "RunClock", partial(RunClock, now=late_in_the_second_epoch))
    monkeypatch.setattr(launch, "fleet_width", lambda *_: 1)
    with autotrain.Study(
        "digits",
        data="sklearn:digits",
        space={"network": {"hidden_units": 8}, "training": {"batch_size": 8, "epochs": 50}},
        directory=tmp_path,
        validation="holdout",
        workers=1,
        finalists=0,
    ) as study:
        study.optimize(n_trials=1, timeout=1000, quiet=True)
        (trial,) = study.optuna_study.trials
    assert trial.user_attrs["epochs"] == 1
    assert 10 < n_of_first < n_looks < 2 * n_of_first


def test_error_of_the_storage_within_an_epoch_ends_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_looks, check = 0, Trainer._check

    def fail(store: TrialStore) -> None:
        if n_looks:
            raise StorageError("the disk is gone")

    def counted(own: Trainer, *arguments: Any) -> None:
        nonlocal n_looks
        n_looks += 1
        check(own, *arguments)

    monkeypatch.setattr(TrialStore, "show_curves", fail)
    monkeypatch.setattr(Trainer, "_check", counted)
    with autotrain.Study(
        "iris", data="sklearn:iris", directory=tmp_path, validation="holdout", workers=1
    ) as study:
        with pytest.raises(StorageError, match="the disk is gone"):
            study.optimize(n_trials=1, quiet=True)
        begun = study.optuna_study.get_trials(states=[TrialState.FAIL])
    assert {trial.user_attrs["cause"] for trial in begun} == {Cause.INTERRUPTED}
