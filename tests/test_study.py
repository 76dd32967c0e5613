"""`Study` on data that scikit-learn ships, with one worker, so that all runs in this process."""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import time
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from optuna.trial import TrialState
from sklearn.datasets import load_diabetes, load_wine
from sklearn.metrics import log_loss, mean_pinball_loss, root_mean_squared_error

import autotrain
from autotrain.bundle import Bundle, read_bundle
from autotrain.data import encoded
from autotrain.data.encoded import pack
from autotrain.errors import (
    AutotrainError,
    DataError,
    DeviceError,
    NoTrialSucceededError,
    SpaceError,
    StorageError,
    StudyError,
)
from autotrain.export import best_model
from autotrain.export.writer import write_model
from autotrain.reporting.status import read_status
from autotrain.search.attributes import ORIGIN, SPENT_S
from autotrain.search.budget import RunBudget
from autotrain.search.checkpoints import Checkpoints
from autotrain.search.definition import Definition
from autotrain.search.progress import Progress, Silent
from autotrain.search.record import origin
from autotrain.search.trained import Trained
from autotrain.study import Study
from autotrain.training.slot import Admission, EpochReport
from autotrain.training.trainer import Trainer

SPACE = {
    "extends": "quick",
    "network": {"hidden_layers": 1, "hidden_units": {"choices": [8, 16]}},
    "training": {"epochs": 6, "batch_size": 32},
}


def wine() -> pd.DataFrame:
    frame: pd.DataFrame = load_wine(as_frame=True).frame
    frame["target"] = frame["target"].map({0: "barolo", 1: "grignolino", 2: "barbera"})
    return frame


def study_of_wine(folder: Path, **changes: object) -> Study:
    options: dict[str, object] = {
        "data": wine(),
        "target": "target",
        "space": SPACE,
        "workers": 1,
        "validation": "holdout",
        "ensemble": 0,
        "directory": folder,
    }
    return Study("wine", **(options | changes))  # type: ignore[arg-type]


def test_from_a_table_to_a_tested_model(tmp_path: Path) -> None:
    with study_of_wine(tmp_path) as study:
        assert study.optimize(n_trials=4, observer=Silent()) is study
        assert len(study.optuna_study.trials) >= 4
        assert study.best_value == pytest.approx(study.optuna_study.best_value, rel=1e-5)
        assert study.best_config["network"]["hidden_units"] in (8, 16)
        assert set(study.best_params) == set(study.best_trial.params)
        assert len(study.trials_dataframe()) == len(study.optuna_study.trials)

        predictor = study.best_predictor()
        # An independent hand computes the validation score from the exported model.
        frame, labels = study.dataset.raw_valid()
        p = predictor.predict_proba(frame, calibrated=False)
        assert log_loss(labels, p, labels=list(study.dataset.classes)) == pytest.approx(
            study.best_value, rel=1e-4
        )
        assert set(predictor.predict(frame)) <= {"barolo", "grignolino", "barbera"}

        metrics = study.test()
        frame, labels = study.dataset.raw_test()
        again = autotrain.load(study.best_path)
        assert metrics["accuracy"] == pytest.approx(np.mean(again.predict(frame) == labels))


def test_regression_is_scored_in_the_targets_units(tmp_path: Path) -> None:
    frame = load_diabetes(as_frame=True).frame
    with Study(
        "d",
        data=frame,
        target="target",
        space=SPACE,
        workers=1,
        validation="holdout",
        directory=tmp_path,
    ) as study:
        study.optimize(n_trials=3, observer=Silent())
        rows, y = study.dataset.raw_valid()
        ours = root_mean_squared_error(y, study.best_predictor().predict(rows))
        assert ours == pytest.approx(study.best_value, rel=1e-4)
        assert 30 < ours < 200


def test_same_seed_same_trials_values_and_winner(tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        with study_of_wine(tmp_path / name, seed=5) as study:
            study.optimize(n_trials=6, observer=Silent())
            trials = study.optuna_study.trials
            found.append([(t.params, t.state, t.value, t.intermediate_values) for t in trials])
    assert found[0] == found[1]


def test_resumed_study_continues_where_it_stopped(tmp_path: Path) -> None:
    with study_of_wine(tmp_path) as study:
        study.optimize(n_trials=3, observer=Silent())
        first = [(t.number, t.params, t.value) for t in study.optuna_study.trials[:3]]
    with study_of_wine(tmp_path) as study:
        study.optimize(n_trials=3, observer=Silent())
        trials = study.optuna_study.trials
        assert [(t.number, t.params, t.value) for t in trials[:3]] == first
        points = [tuple(sorted(t.params.items())) for t in trials if t.params]
        assert len(set(points)) == len(points)  # nothing is tried twice
    # A table in memory must be passed again.
    with pytest.raises(StudyError) as caught:
        Study.resume("wine", directory=tmp_path)
    assert caught.value.parameter == "data"
    with Study.resume("wine", data=wine(), directory=tmp_path) as study:
        assert len(study.optuna_study.trials) == len(trials)


def test_study_resumes_with_any_kind_of_test_argument(tmp_path: Path) -> None:
    frame = wine()
    frame.iloc[::7].to_csv(tmp_path / "test.csv", index=False)
    for test in (0, np.float64(0.25), tmp_path / "test.csv", str(tmp_path / "test.csv")):
        folder = tmp_path / str(type(test).__name__)
        study_of_wine(folder, test=test).optimize(n_trials=1, observer=Silent()).close()
        with Study.resume("wine", data=wine(), directory=folder) as study:
            assert len(study.optuna_study.trials) == 1
    moved = (tmp_path / "test.csv").rename(tmp_path / "moved.csv")
    with pytest.raises(DataError) as missing:
        Study.resume("wine", data=wine(), directory=folder)
    assert missing.value.parameter == "test"
    with Study.resume("wine", data=wine(), test=moved, directory=folder) as study:
        study.optimize(n_trials=1, observer=Silent())
    with pytest.raises(StudyError, match="its data differs"):
        Study.resume("wine", data=wine(), test=frame.iloc[::9], directory=folder)
    study_of_wine(tmp_path, test=frame.iloc[::7]).optimize(n_trials=1, observer=Silent()).close()
    with pytest.raises(StudyError) as caught:
        Study.resume("wine", data=wine(), directory=tmp_path)
    assert caught.value.parameter == "test"
    Study.resume("wine", data=wine(), test=frame.iloc[::7], directory=tmp_path).close()


@pytest.mark.parametrize(
    ("changes", "budget", "error", "parameter"),
    [
        ({"target": "tarjet"}, {}, DataError, None),
        ({"space": "quik"}, {}, SpaceError, None),
        ({"space": {"optimizer": {"choices": ["adan"]}}}, {}, SpaceError, None),
        ({"metric": "rmse"}, {}, StudyError, "metric"),
        ({"sampler": "tpee"}, {}, StudyError, "sampler"),
        ({"pruner": "medain"}, {}, StudyError, "pruner"),
        ({"pruner_options": {"quantle": 0.4}}, {}, StudyError, "pruner_options"),
        ({"device": "tpu"}, {}, DeviceError, "device"),
        ({"validation": 5}, {}, DataError, "validation"),
        ({"test": 1.5}, {}, DataError, "test"),
        ({"class_weights": "even"}, {}, StudyError, "class_weights"),
        ({"workers": "auto"}, {}, StudyError, "workers"),
        ({"finalists": -1}, {}, StudyError, "finalists"),
        ({"seed": 1.5}, {}, StudyError, "seed"),
        ({}, {"timeout": "10m"}, StudyError, "timeout"),
        ({}, {"timeout": 0}, StudyError, "timeout"),
        ({}, {"n_trials": 0}, StudyError, "n_trials"),
        ({}, {"n_trials": True}, StudyError, "n_trials"),
    ],
)
def test_invalid_arguments_raise_and_write_nothing(
    changes: dict[str, Any],
    budget: dict[str, Any],
    error: type[AutotrainError],
    parameter: str | None,
    tmp_path: Path,
) -> None:
    with pytest.raises(error) as caught:
        study_of_wine(tmp_path, **changes).optimize(**budget)
    assert caught.value.parameter == parameter
    assert not any(tmp_path.iterdir())


def test_message_names_value_and_nearest_word(tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        study_of_wine(tmp_path, sampler="tpee")
    expected = "no sampler 'tpee'. Did you mean 'tpe'? Known: tpe, gp, cmaes, random, qmc."
    assert str(caught.value) == expected


def test_numpy_integers_are_accepted(tmp_path: Path) -> None:
    with study_of_wine(tmp_path, seed=np.int64(3), workers=np.int32(1)) as study:
        n_trials: Any = np.int64(1)
        timeout: Any = np.float32(60)
        study.optimize(n_trials, timeout, observer=Silent())
        assert study.definition.seed == 3


def test_study_with_other_validation_rows_is_refused(tmp_path: Path) -> None:
    """For example, a large study of a version with other calibration rows."""
    study_of_wine(tmp_path).optimize(n_trials=1, observer=Silent()).close()
    begun = Definition.read(tmp_path / "wine")
    replace(begun, split=begun.split | {"calibration": 7}).write(tmp_path / "wine")
    with pytest.raises(StudyError, match="its split differs"):
        Study.resume("wine", data=wine(), directory=tmp_path)


def test_another_table_or_space_under_the_same_name_is_refused(tmp_path: Path) -> None:
    study_of_wine(tmp_path).optimize(n_trials=1, observer=Silent()).close()
    frame = wine()
    frame["alcohol"] += np.arange(len(frame)) == 0
    with pytest.raises(StudyError, match="its data differs"):
        study_of_wine(tmp_path, data=frame)
    with pytest.raises(StudyError, match="its space differs"):
        study_of_wine(tmp_path, space="quick")
    with pytest.raises(StudyError, match="seed"):
        study_of_wine(tmp_path, seed=1)


def test_study_is_locked_by_one_process(tmp_path: Path) -> None:
    with study_of_wine(tmp_path) as study:
        study.optimize(n_trials=1, observer=Silent())
        with pytest.raises(StudyError, match="is locked"):
            study_of_wine(tmp_path).optimize(n_trials=1, observer=Silent())


@pytest.mark.parametrize(("validation", "n_folds"), [("3-fold", 3), ("auto", 5)])
def test_k_folds_make_one_trial_of_k_slots(tmp_path: Path, validation: str, n_folds: int) -> None:
    with study_of_wine(tmp_path, validation=validation) as study:
        study.optimize(n_trials=2, observer=Silent())
        assert len(study.dataset.folds) == n_folds
        assert np.isfinite(study.best_value)
        assert study.best_predictor().predict(wine().head(3)).shape == (3,)


@pytest.mark.parametrize("restores", [True, False])
@pytest.mark.parametrize("metric", ["log_loss", "accuracy"])
@pytest.mark.parametrize("validation", ["holdout", "3-fold", "5-fold"])
def test_best_point_of_a_complete_trials_curve_is_its_value(
    tmp_path: Path, validation: str, metric: str, restores: bool
) -> None:
    """With `restore_best_weights = false` it is the last point."""
    space = SPACE | {
        "training": {"epochs": 15, "batch_size": 32},
        "early_stopping": {"patience": 4, "restore_best_weights": restores},
    }
    options: dict[str, object] = {"validation": validation, "metric": metric, "space": space}
    with study_of_wine(tmp_path, **options, finalists=0) as study:
        study.optimize(n_trials=6, observer=Silent())
        best = min if study.metric.sign > 0 else max
        for trial in study.optuna_study.trials:
            curve = trial.intermediate_values
            assert curve[max(curve)] == trial.value
            if restores:
                assert best(curve.values()) == trial.value
            assert max(curve) == trial.user_attrs["epochs"] == trial.user_attrs["curve"][-1][0]
        assert study.optuna_study.best_trial.state == TrialState.COMPLETE


@pytest.mark.parametrize("pruner", ["performance", "asha", "median", "none"])
def test_every_pruner_runs(tmp_path: Path, pruner: str) -> None:
    with study_of_wine(tmp_path, pruner=pruner) as study:
        study.optimize(n_trials=3, observer=Silent())
        assert study.best_trial.number >= 0


@pytest.mark.parametrize("min_lr", [0.0, 0.004])
@pytest.mark.parametrize("max_plateaus", [2, 3])
def test_performance_schedule_ends_when_another_drop_would_not_help(
    tmp_path: Path, max_plateaus: int, min_lr: float
) -> None:
    """The expected epoch comes from PyTorch's scheduler with the losses of the trial."""
    own = {"factor": 0.5, "patience": 2, "min_lr": min_lr}
    space = SPACE | {
        "schedule": {"choice": "performance", "performance": own},
        "optimizer": {"choice": "adam", "learning_rate": 0.02},
        "training": {"epochs": 49, "batch_size": 32},
        "early_stopping": {"patience": 40},
        "baseline": [],
    }
    options: dict[str, object] = {"space": space, "pruner_options": {"max_plateaus": max_plateaus}}
    with study_of_wine(tmp_path, **options, finalists=0) as study:
        study.optimize(n_trials=2, quiet=True)
        trials = study.optuna_study.trials
    for trial in trials:
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.02)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=0.5, patience=1, threshold=0.0, min_lr=min_lr
        )
        rate, waited, in_a_row, best, end = 0.02, 0, 0, math.inf, 0
        for epoch, loss in trial.user_attrs["curve"]:
            scheduler.step(loss)
            waited, in_a_row = (0, 0) if loss < best else (waited + 1, in_a_row)
            best = min(best, loss)
            if waited == 2:
                waited, in_a_row = 0, in_a_row + 1
                if in_a_row == max_plateaus or rate <= min_lr:
                    end = epoch
                    break
            rate = optimizer.param_groups[0]["lr"]
        assert trial.user_attrs["cause"] == "converged"
        assert trial.user_attrs["epochs"] == end


def test_pruner_options_decide_pruning_and_are_resumed(tmp_path: Path) -> None:
    space = SPACE | {"training": {"epochs": 30, "batch_size": 32}}
    causes: dict[float, Counter[str]] = {}
    for quantile in (0.0, 1.0):
        options = {"quantile": quantile, "n_startup": 1, "patience": 2, "first_rung": 4, "grace": 0}
        folder = tmp_path / str(quantile)
        with study_of_wine(folder, space=space, pruner_options=options, finalists=0) as study:
            study.optimize(n_trials=8, quiet=True)
            trials = study.optuna_study.trials
            causes[quantile] = Counter(trial.user_attrs["cause"] for trial in trials)
        with Study.resume("wine", data=wine(), directory=folder) as again:
            assert again.definition.pruner_options == options
    assert causes[0.0]["plateau"] > causes[1.0]["plateau"] == 0


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes", "random", "qmc"])
def test_every_sampler_runs_without_log_messages(
    tmp_path: Path, sampler: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are more trials than the random initial ones, and the space has conditions."""
    monkeypatch.setattr(logging.getLogger("optuna"), "propagate", True)
    small = {"network": SPACE["network"], "training": {"epochs": 2, "batch_size": 32}}
    with study_of_wine(tmp_path, sampler=sampler, space={"extends": "default"} | small) as study:
        study.optimize(n_trials=14, observer=Silent())
        states = [trial.state for trial in study.optuna_study.trials]
        assert len(states) >= 14
        assert {TrialState.COMPLETE, TrialState.PRUNED} >= set(states)
    assert [record.message for record in caplog.records] == []
    if sampler == "gp":
        # A hint at another package comes once a process only, when this is loaded.
        hint = logging.getLogger("optuna._gp.batched_lbfgsb")
        assert not hint.isEnabledFor(logging.WARNING)


def test_processes_find_the_same_trials_as_this_process(tmp_path: Path) -> None:
    # Random sampling does not look at results, so the order in which they come does not matter.
    found = []
    for workers in (1, 2):
        with study_of_wine(
            tmp_path / str(workers), workers=workers, sampler="random", pruner="none"
        ) as study:
            study.optimize(n_trials=4, observer=Silent())
            trials = [t for t in study.optuna_study.trials if t.state == TrialState.COMPLETE]
            found.append({t.number: (t.params, pytest.approx(t.value, rel=1e-3)) for t in trials})
    shared = found[0].keys() & found[1].keys()
    assert len(shared) >= 3
    assert all(found[0][number] == found[1][number] for number in shared)


def children() -> list[int]:
    """Return the running child processes."""
    names = Path("/proc/self/task").glob("*/children")
    return [int(number) for name in names for number in name.read_text().split()]


class Killer(Silent):
    """Kills all worker processes, as a system out of memory does, once they have trained."""

    n_killed = 0

    def update(self, progress: Progress) -> None:
        if not self.n_killed and progress.epochs > 5:
            for child in children():
                os.kill(child, signal.SIGKILL)
                self.n_killed += 1


def test_trials_of_killed_workers_are_retried(tmp_path: Path) -> None:
    long = SPACE | {"training": {"epochs": 60, "batch_size": 32}}
    with study_of_wine(tmp_path, workers=2, pruner="none", space=long) as study:
        killer = Killer()
        study.optimize(n_trials=6, observer=killer)
        assert killer.n_killed == 2
        assert [t.state for t in study.optuna_study.trials] == [TrialState.COMPLETE] * 6


def test_search_in_which_every_trial_diverges_raises_and_exports_nothing(tmp_path: Path) -> None:
    wild = SPACE | {
        "optimizer": {"choices": ["sgd"], "learning_rate": 1e30},
        "batch_norm": {"choices": ["off"]},
    }
    wild["baseline"] = []
    with study_of_wine(tmp_path, space=wild) as study:
        with pytest.raises(NoTrialSucceededError, match="got 2 pruned"):
            study.optimize(n_trials=2, observer=Silent())
        assert not study.best_path.exists()


def test_metric_undefined_on_the_validation_rows_is_refused(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=80)
    frame = pd.DataFrame({"x": x, "y": ["yes"] * 8 + ["no"] * 72})
    with study_of_wine(tmp_path, data=frame, target="y", metric="roc_auc") as study:
        assert study.metric.name == "roc_auc"
    constant = pd.DataFrame({"x": x[:60], "y": [1.5] * 57 + [2.5, 3.5, 4.5]})
    with pytest.raises(StudyError) as told:
        study_of_wine(tmp_path, data=constant, target="y", metric="r2", task="regression")
    assert str(told.value).startswith("metric r2 needs different targets, but the validation rows ")
    assert not any(tmp_path.iterdir()), "nothing is written"


# ---- weights and quantiles ---------------------------------------------------------------------


def weighted_wine() -> pd.DataFrame:
    frame = wine()
    return frame.assign(bottles=np.random.default_rng(0).integers(0, 5, len(frame)))


@pytest.mark.parametrize("workers", [1, 2])
def test_weights_count_in_validation_and_test(tmp_path: Path, workers: int) -> None:
    """Also when worker processes train, which read the weights from files."""
    options = {"weights": "bottles", "class_weights": "balanced", "workers": workers}
    with study_of_wine(tmp_path, data=weighted_wine(), device="cpu", **options) as study:
        study.optimize(n_trials=2, observer=Silent())
        scores = study.test()
        predictor, best_value = study.best_predictor(), study.best_value
    frame, dataset = weighted_wine(), study.dataset
    for rows, value in (
        (dataset.splits[0].valid, best_value),
        (dataset.test_rows, scores["log_loss"]),
    ):
        own = frame.iloc[rows]
        learned = predictor.predict_proba(own.drop(columns=["target", "bottles"]), calibrated=False)
        p = learned / predictor.bundle.calibration["class_weights"]
        p /= p.sum(axis=1, keepdims=True)
        expected = log_loss(
            own["target"], p, labels=list(dataset.classes), sample_weight=own["bottles"]
        )
        assert value == pytest.approx(expected, rel=1e-4)
    assert predictor.weights_name == "bottles"
    assert "bottles" not in predictor.column_names


def test_study_with_other_weights_is_another_study(tmp_path: Path) -> None:
    own: dict[str, object] = {"data": weighted_wine(), "weights": "bottles"}
    own["class_weights"] = {"barolo": 2, "barbera": 0.5}
    with study_of_wine(tmp_path, **own) as study:
        study.optimize(n_trials=1, observer=Silent())
    for change, message in (
        ({"weights": None}, "its weights"),
        ({"class_weights": "balanced"}, "its class_weights"),
        ({"class_weights": {"barolo": 2}}, "its class_weights"),
    ):
        with pytest.raises(StudyError, match=message):
            study_of_wine(tmp_path, **(own | change))
    with Study.resume("wine", data=weighted_wine(), directory=tmp_path) as again:
        assert again.definition.class_weights == {"barolo": 2.0, "barbera": 0.5}
        assert again.dataset.folds[0].weights is not None
        again.optimize(n_trials=1, observer=Silent())
        assert len(again.optuna_study.trials) >= 2


def test_target_that_is_constant_among_weighted_rows_is_refused(tmp_path: Path) -> None:
    frame = wine().assign(w=1.0)
    frame.loc[frame["target"] != "barolo", "w"] = 0
    with pytest.raises(DataError, match=r"at least two different values, got 'barolo'"):
        study_of_wine(tmp_path, data=frame, weights="w")
    assert not list(tmp_path.iterdir())


def test_pinball_metric_trains_the_quantile(tmp_path: Path) -> None:
    """About a tenth of the targets are above the prediction, not half of them."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=2000)
    frame = pd.DataFrame({"x": x, "y": 3 * x + generator.exponential(size=2000)})
    space = {**SPACE, "training": {"epochs": 20, "batch_size": 32}}
    with Study(
        "q",
        data=frame,
        target="y",
        space=space,
        metric="pinball:0.90",
        workers=1,
        validation="holdout",
        directory=tmp_path,
    ) as study:
        study.optimize(n_trials=2, observer=Silent())
        scores = study.test()
        rows, y = study.dataset.raw_test()
        predicted = study.best_predictor().predict(rows)
    assert study.definition.metric == "pinball:0.9"
    assert np.mean(y <= predicted) == pytest.approx(0.9, abs=0.05)
    expected = mean_pinball_loss(y, predicted, alpha=0.9)
    assert scores["pinball:0.9"] == pytest.approx(expected, rel=1e-4)


class CtrlC(Silent):
    """Interrupts once, after a number of epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def update(self, progress: Progress) -> None:
        if progress.epochs >= self.epochs:
            self.epochs = 1 << 30
            raise KeyboardInterrupt


@pytest.mark.usefixtures("shown_at_once")
@pytest.mark.parametrize("validation", ["holdout", "3-fold"])
def test_interrupted_study_resumes_with_the_same_result(tmp_path: Path, validation: str) -> None:
    """Trials, values and winner are equal; interrupted trials are retrained with a new number."""
    found = []
    for name in ("whole", "interrupted"):
        with study_of_wine(tmp_path / name, validation=validation) as study:
            if name == "interrupted":
                with pytest.raises(KeyboardInterrupt):
                    study.optimize(n_trials=5, observer=CtrlC(19))
                cut = [t for t in study.optuna_study.trials if t.user_attrs.get("cause")]
                assert cut[-1].user_attrs["cause"] in ("interrupted", "not_started")
                assert study.definition.n_trials == 5
            study.optimize(n_trials=5 - study.progress.n_done, observer=Silent())
            trials = [
                (t.params, t.value, t.state, t.user_attrs["diagnostics"])
                for t in study.optuna_study.trials
                if t.state in (TrialState.COMPLETE, TrialState.PRUNED)
            ]
            found.append((trials, study.best_params, study.test()))
    assert found[0] == found[1]


def test_finals_choose_the_winner_and_it_is_exported(tmp_path: Path) -> None:
    """If parts of the folder are lost, the same winner is restored."""
    with study_of_wine(tmp_path, validation="3-fold", pruner="none") as study:
        study.optimize(n_trials=9, observer=Silent())
        winner = study.winner
        assert winner is not None
        assert study.best_trial.number == winner.number
        repeats: dict[int, list[float]] = {}
        for entry in study.optuna_study.user_attrs["repeats"]:
            repeats.setdefault(entry["trial"], []).append(entry["value"])
        complete = [t for t in study.optuna_study.trials if t.state == TrialState.COMPLETE]
        ranked = sorted(complete, key=lambda t: t.value or 0.0)
        assert set(repeats) <= {t.number for t in ranked[:3]}
        values = [study.best_trial.value or 0.0, *repeats[winner.number]]
        assert winner.n_trainings == len(values)
        training = read_bundle(study.best_path).training
        assert (training["trial"], training["repeat"]) == (winner.number, winner.repeat)
        # Its members are the training that scored best: one for each fold.
        members = read_bundle(study.best_path).members
        mean = np.mean([member.value for member in members if member.value is not None])
        assert mean == pytest.approx(min(values), abs=1e-12)
        # The headline is the exported training's own score, not the trial's.
        assert study.best_value == pytest.approx(min(values), rel=1e-5)
        weights = [member.parameters for member in members]
        test = study.test()
    interval = read_bundle(study.best_path).scores["test_interval"]["log_loss"]
    assert interval[0] < test["log_loss"] < interval[1]

    shutil.rmtree(study.best_path)
    with study_of_wine(tmp_path, validation="3-fold", pruner="none") as again:
        again.export_best()
    found = [member.parameters for member in read_bundle(study.best_path).members]
    for before, after in zip(weights, found, strict=True):
        np.testing.assert_array_equal(before, after)
    shutil.rmtree(study.best_path)
    shutil.rmtree(study.folder / "checkpoints")
    with study_of_wine(tmp_path, validation="3-fold", pruner="none") as again:
        again.export_best()
        assert again.winner == winner
    found = [member.parameters for member in read_bundle(study.best_path).members]
    for before, after in zip(weights, found, strict=True):
        # In float32 it matters how many are trained at once.
        np.testing.assert_allclose(before, after, rtol=1e-3, atol=1e-5)


def test_each_fold_is_retrained_for_its_own_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One fold is stopped long before the others, while it is still improving."""
    step = Trainer.step

    def stopping(trainer: Trainer, *arguments: Any) -> list[Any]:
        messages = step(trainer, *arguments)
        for message in messages:
            # A trial's folds have neighbouring slots.
            if isinstance(message, EpochReport) and (message.slot % 3, message.epoch) == (1, 2):
                trainer.stop(message.slot)
        return messages

    with study_of_wine(tmp_path, validation="3-fold", pruner="none") as study:
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "step", stopping)
            study.optimize(n_trials=7, observer=Silent())
        assert study.best_trial.user_attrs["fold_epochs"] == [6, 2, 6]
        assert study.optuna_study.user_attrs["repeats"][0]["epochs"] == [6, 2, 6]

        def exported_with(finalists: int) -> Bundle:
            shutil.rmtree(study.best_path)
            study.definition = replace(study.definition, finalists=finalists)
            return read_bundle(study.export_best())

        whole = [exported_with(finalists) for finalists in (4, 0)]
        assert [bool(bundle.training["repeat"]) for bundle in whole] == [True, False]
        shutil.rmtree(study.folder / "checkpoints")
        for finalists, before in zip((4, 0), whole, strict=True):
            after = exported_with(finalists)
            assert after.training == before.training
            assert [m.best_epoch for m in after.members] == [m.best_epoch for m in before.members]
            for one, other in zip(before.members, after.members, strict=True):
                np.testing.assert_allclose(one.parameters, other.parameters, rtol=1e-3, atol=1e-5)


class CtrlCInFinals(Silent):
    """Interrupts once, after a number of repeats."""

    def __init__(self, n_repeats: int) -> None:
        self.n_repeats = n_repeats

    def update(self, progress: Progress) -> None:
        if progress.n_repeats >= self.n_repeats:
            self.n_repeats = 1 << 30
            raise KeyboardInterrupt


def test_resumed_run_knows_its_previous_budget(tmp_path: Path) -> None:
    with study_of_wine(tmp_path) as study:
        study.optuna_study.set_user_attr(SPENT_S, 0.0)
        assert study._add_budget(RunBudget(None, 30.0)).whole_s == 0.0
        study.optuna_study.set_user_attr(SPENT_S, 26.0)
        assert study._add_budget(RunBudget(None, 4.0)).whole_s == 30.0
        assert study._add_budget(RunBudget(None, 10.0)).whole_s == 0.0
        assert study._add_budget(RunBudget(5, None)).whole_s == 0.0
        assert study._add_budget(RunBudget(None, 4.0)).whole_s == 0.0


def test_time_of_a_killed_run_counts_as_spent(tmp_path: Path) -> None:
    """The run recorded no time, but its trials ran for an hour."""
    noon = datetime(2026, 1, 1, 12)
    trial = optuna.create_trial(state=TrialState.PRUNED)
    trial.datetime_start, trial.datetime_complete = noon, noon + timedelta(hours=1)
    with study_of_wine(tmp_path) as study:
        trial.set_user_attr(ORIGIN, origin(study.optuna_study.user_attrs, 0))
        study.optuna_study.add_trial(trial)
        study._optimize(RunBudget(1, None, time.monotonic() - 600), Silent(), quiet=True)
    spent = read_status(study.folder).seconds
    assert 4_200 <= spent < 5_000


@pytest.mark.usefixtures("one_by_one")
def test_interrupted_finals_are_finished(tmp_path: Path) -> None:
    """Repeats, winner and model are those of an uninterrupted run, without further trials."""
    found = []
    for name in ("whole", "interrupted"):
        with study_of_wine(tmp_path / name, finalists=2, pruner="none") as study:
            if name == "interrupted":
                with pytest.raises(KeyboardInterrupt):
                    study.optimize(n_trials=8, observer=CtrlCInFinals(1))
                assert len(study.optuna_study.user_attrs["repeats"]) == 1
            else:
                study.optimize(n_trials=8, observer=Silent())
        left = tmp_path / name / "wine" / "checkpoints" / "running.safetensors"
        left.write_bytes(b"a snapshot that was left by a kill")
        with study_of_wine(tmp_path / name, finalists=2, pruner="none") as study:
            assert study.finish(observer=Silent()) is study
            assert left.parent == study.folder / "checkpoints"
            assert not left.exists()
            assert Definition.read(study.folder).n_trials == 8
            assert len(study.optuna_study.trials) == 8
            training = read_bundle(study.best_path).training
            found.append((study.optuna_study.user_attrs["repeats"], study.winner, training))
    assert len(found[0][0]) > 1
    assert found[0] == found[1]
    winner = found[0][1]
    assert winner is not None
    assert (found[0][2]["trial"], found[0][2]["repeat"]) == (winner.number, winner.repeat)


@pytest.mark.usefixtures("one_by_one")
def test_winner_is_chosen_by_the_finished_repeats(tmp_path: Path) -> None:
    with study_of_wine(tmp_path, finalists=2, pruner="none") as study:
        with pytest.raises(KeyboardInterrupt):
            study.optimize(n_trials=8, observer=CtrlCInFinals(2))
        assert study.best_trial.value == study.optuna_study.best_value
        assert "winner" not in study.optuna_study.user_attrs
        study.export_best()
        winner = study.winner
        assert winner is not None
        training = read_bundle(study.best_path).training
        assert (training["trial"], training["repeat"]) == (winner.number, winner.repeat)
    # There is no time for another repeat.
    with study_of_wine(tmp_path, finalists=2, pruner="none") as study:
        study.finish(timeout=0.0, observer=Silent())
        assert len(study.optuna_study.user_attrs["repeats"]) == 2
        assert study.winner == winner


def refuse(monkeypatch: pytest.MonkeyPatch, *refused: tuple[int, int]) -> None:
    """Make the export check fail for these trained models and for all ensembles."""

    def checked(folder: Path, trained: tuple[Trained, ...], **options: Any) -> Bundle:
        if len(trained) > 1 or (trained[0].number, trained[0].repeat) in refused:
            raise RuntimeError("the written bundle scores otherwise")
        return write_model(folder, trained, **options)

    monkeypatch.setattr(best_model, "write_model", checked)
    monkeypatch.setattr(best_model, "choose", lambda kept, *_: tuple(kept[:2]))


def test_models_that_cannot_be_exported_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Order: ensemble, winner's best repeat, its first training, trial with the best value."""
    with study_of_wine(tmp_path, pruner="none") as study:
        study.optimize(n_trials=8, observer=Silent())
        trials = study.optuna_study.get_trials(states=(TrialState.COMPLETE,))
        best, other = sorted(trials, key=lambda trial: trial.value or 0.0)[:2]
        repeats = [
            {"trial": trial.number, "repeat": repeat, "value": value, "epochs": [6]}
            for trial, value in ((best, 9.0), (other, 0.001))
            for repeat in (1, 2)
        ]
        study.optuna_study.set_user_attr("repeats", repeats)
        winner = (other.number, 1)
        for refused, found in (
            ((), winner),
            ((winner,), (other.number, 0)),
            ((winner, (other.number, 0)), (best.number, 0)),
        ):
            refuse(monkeypatch, *refused)
            shutil.rmtree(study.best_path)
            study.export_best(ensemble=4)
            training = read_bundle(study.best_path).training
            assert (training["trial"], training["repeat"]) == found
            said = " ".join(study.export_failures)
            assert "The ensemble could not be exported (the written bundle scores oth" in said
            assert said.count("could not be exported") == 1 + len(refused)
            assert (f"The model is that of trial {found[0]}." in said) == bool(refused)
            assert study.winner is not None
            assert study.winner.number == other.number
        everything = [(t.number, repeat) for t in trials for repeat in range(3)]
        refuse(monkeypatch, *everything)
        study.export_best()
        assert training == read_bundle(study.best_path).training
        shutil.rmtree(study.best_path)
        with pytest.raises(RuntimeError, match=rf"Trial {best.number} could not be exported"):
            study.export_best()
        refuse(monkeypatch)
        study.export_best()
        assert study.export_failures == ()


def test_without_finals_the_best_trial_wins(tmp_path: Path) -> None:
    with study_of_wine(tmp_path, finalists=0) as study:
        study.optimize(n_trials=7, observer=Silent())
        assert study.winner is None
        assert study.best_trial.number == study.optuna_study.best_trial.number
    # How the winner is chosen may change when a study goes on.
    with study_of_wine(tmp_path, finalists=2) as study:
        study.optimize(n_trials=2, observer=Silent())
        assert study.winner is not None
    with Study.resume("wine", data=wine(), directory=tmp_path) as study:
        assert study.definition.finalists == 2
        assert study.winner is not None


def test_without_finals_an_earlier_decision_is_ignored(tmp_path: Path) -> None:
    with study_of_wine(tmp_path, finalists=2) as study:
        study.optimize(n_trials=8, observer=Silent())
        assert study.winner is not None
    with Study.resume("wine", data=wine(), directory=tmp_path, finalists=0) as study:
        study.optimize(n_trials=1, observer=Silent())
        assert study.winner is None
        complete = [t for t in study.optuna_study.trials if t.state == TrialState.COMPLETE]
        best = min(t.value for t in complete if t.value is not None)
        assert study.best_trial.value == best == pytest.approx(study.best_value, rel=1e-5)
        found = read_bundle(study.best_path).training
        assert (found["trial"], found["repeat"]) == (study.best_trial.number, 0)


@pytest.mark.parametrize("is_better", [False, True])
def test_earlier_winner_stays_unless_a_new_trial_is_clearly_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_better: bool
) -> None:
    compared: list[tuple[int, int]] = []

    def clearly(new: Trained, old: Trained, *_: object) -> bool:
        compared.append((new.number, old.number))
        return is_better

    monkeypatch.setattr(best_model, "is_clearly_better", clearly)
    with study_of_wine(tmp_path, finalists=2, pruner="none") as study:
        study.optimize(n_trials=2, observer=Silent())
        assert not compared, "there is no earlier winner"
        first = study.best_trial.number
        study.optimize(n_trials=10, observer=Silent())
        assert study.selection is not None
        assert study.selection.trial == study.best_trial.number
        (challenger, old), *_ = compared
        assert old == first
        assert challenger >= 2
        training = read_bundle(study.best_path).training
        assert training["trial"] == (challenger if is_better else first)
        assert (study.selection.reason == "kept") != is_better
        assert study.selection.kept_over == (None if is_better else challenger)
    status = read_status(study.folder)
    assert status.winner == training["trial"]
    # Without finals the trial with the best value wins, as asked.
    with study_of_wine(tmp_path, finalists=0, pruner="none") as study:
        study.export_best()
        assert study.best_trial.number == study.optuna_study.best_trial.number


def test_waiting_baseline_must_be_clearly_better_than_an_earlier_winner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[int, int]] = []

    def clearly(new: Trained, old: Trained, *_: object) -> bool:
        compared.append((new.number, old.number))
        return False

    monkeypatch.setattr(best_model, "is_clearly_better", clearly)
    space = {
        "training": {"epochs": 5, "batch_size": 16},
        "optimizer": {"learning_rate": {"low": 1e-6, "high": 0.1, "log": True}},
        "baseline": [{"optimizer.learning_rate": rate} for rate in (1e-6, 2e-6, 0.01)],
    }
    with study_of_wine(tmp_path, space=space, finalists=2, pruner="none") as study:
        study.optimize(n_trials=2, observer=Silent())
        first = study.best_trial.number
        study.optimize(n_trials=1, observer=Silent())
        assert compared == [(2, first)]
        assert study.best_trial.number == first
        assert study.selection is not None
        assert study.selection.kept_over == 2


def test_auto_exports_an_ensemble_for_few_rows(tmp_path: Path) -> None:
    options = {"ensemble": "auto", "finalists": 0, "pruner": "none"}
    with study_of_wine(tmp_path, **options) as study:
        study.optimize(n_trials=8, observer=Silent())
        assert len(read_bundle(study.best_path).training["ensemble"]) > 1
        assert Definition.read(study.folder).ensemble == "auto"


def test_stages_after_training_are_reported(tmp_path: Path) -> None:
    class Seen:
        def __init__(self) -> None:
            self.all: list[Progress] = []

        def update(self, progress: Progress) -> None:
            self.all.append(progress)

    seen = Seen()
    with study_of_wine(tmp_path, ensemble="auto", finalists=0, pruner="none") as study:
        study.optimize(n_trials=8, observer=seen)
    stages = list(dict.fromkeys(p.stage for p in seen.all))
    assert stages == [
        "",
        "choosing the members of the ensemble",
        "calibrating",
        "checking the exported model",
    ]
    times = [p.elapsed_s for p in seen.all]
    assert times == sorted(times)


def test_time_for_an_ensemble_is_reserved(tmp_path: Path) -> None:
    with study_of_wine(tmp_path, ensemble=4) as study:
        study.optimize(n_trials=2, observer=Silent())
        assert study.optuna_study.user_attrs["export_s"] > 0


def test_ensemble_of_trained_models_is_exported(tmp_path: Path) -> None:
    with study_of_wine(tmp_path, validation="3-fold", ensemble=4) as study:
        study.optimize(n_trials=9, observer=Silent())
        bundle = read_bundle(study.best_path)
        members = bundle.training["ensemble"]
        assert 2 <= len(members) <= 4
        assert len(bundle.members) == 3 * len(members)
        assert study.best_value == bundle.scores["validation"]["log_loss"]
        assert study.best_trial.value is not None
        assert study.best_value <= study.best_trial.value + 1e-6
        assert study.selection is not None
        assert study.selection.reason == "contenders"
        assert set(study.test()) >= {"log_loss", "accuracy"}
        frame, _ = study.dataset.raw_test()
        together = study.best_predictor().predict_proba(frame)
        single = autotrain.load(study.export_best(ensemble=0))
        assert "ensemble" not in single.bundle.training
        assert single.bundle.training["trial"] == study.best_trial.number
        # The model is the one that the study exports without an ensemble.
        study.export_best()
        np.testing.assert_array_equal(study.best_predictor().predict_proba(frame), together)
    # It stays, when the study goes on, until something better is found.
    with Study.resume("wine", data=wine(), directory=tmp_path) as study:
        assert study.definition.ensemble == 4
        study.optimize(n_trials=1, observer=Silent())
        assert "ensemble" in read_bundle(study.best_path).training


def test_interrupted_trial_is_not_in_an_ensemble_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial had a checkpoint when the run stopped, but was not recorded as complete."""
    keep = Checkpoints.keep

    def keep_and_stop(checkpoints: Checkpoints, trained: Trained) -> None:
        keep(checkpoints, trained)
        if trained.number == 2:
            raise KeyboardInterrupt

    candidates: list[list[int]] = []

    def choose(kept: list[Trained], *_: object) -> tuple[Trained, ...]:
        candidates.append([trained.number for trained in kept])
        return tuple(kept[:1])

    monkeypatch.setattr(best_model, "choose", choose)
    with study_of_wine(tmp_path, ensemble=3, finalists=0, pruner="none") as study:
        monkeypatch.setattr(Checkpoints, "keep", keep_and_stop)
        with pytest.raises(KeyboardInterrupt):
            study.optimize(n_trials=4, observer=Silent())
        monkeypatch.setattr(Checkpoints, "keep", keep)
        study.optimize(n_trials=4 - study.progress.n_done, observer=Silent())
        trials = study.optuna_study.trials
        assert trials[2].user_attrs["cause"] == "interrupted"
        complete = [t for t in trials if t.state == TrialState.COMPLETE]
        again = [t.number for t in complete if t.params == trials[2].params]
        assert len(again) == 1
        assert sorted(candidates[-1]) == [t.number for t in complete]


def test_winner_is_the_same_with_and_without_an_ensemble(tmp_path: Path) -> None:
    found = []
    for ensemble in (0, 3):
        with study_of_wine(tmp_path / str(ensemble), ensemble=ensemble) as study:
            study.optimize(n_trials=8, observer=Silent())
            frame, _ = study.dataset.raw_test()
            single = autotrain.load(study.export_best(ensemble=1))
            found.append((study.winner, single.predict_proba(frame)))
    assert found[0][0] == found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_model_of_another_study_in_the_folder_is_replaced(tmp_path: Path) -> None:
    """The trial numbers are equal; seeds and configurations differ."""
    for name, seed in (("other", 1), ("own", 0)):
        with study_of_wine(tmp_path / name, seed=seed, finalists=0) as study:
            study.optimize(n_trials=6, observer=Silent())
            number = study.best_trial.number
    own, other = tmp_path / "own" / "wine", tmp_path / "other" / "wine"
    record = read_bundle(own / "best").training
    for folder in ("best", "checkpoints"):
        shutil.rmtree(own / folder)
        shutil.copytree(other / folder, own / folder)
    assert read_bundle(own / "best").training["seed"] != record["seed"]
    with study_of_wine(tmp_path / "own", finalists=0) as study:
        found = read_bundle(study.export_best(ensemble=4)).training
    assert "ensemble" not in found
    assert found == record
    assert found["trial"] == number


def test_trial_that_does_not_fit_into_memory_is_pruned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit = Trainer.admit

    def admitted(self: Trainer, admission: Admission) -> None:
        if admission.config.hidden_units == (16,):
            raise MemoryError("Unable to allocate 58.2 TiB")
        admit(self, admission)

    monkeypatch.setattr(Trainer, "admit", admitted)
    with study_of_wine(tmp_path, sampler="random", pruner="none", finalists=0) as study:
        study.optimize(n_trials=5, observer=Silent())
        # The others were not started again for it.
        assert not [t for t in study.optuna_study.trials if t.state == TrialState.FAIL]
        assert study.progress.epochs == sum(
            t.last_step or 0 for t in study.optuna_study.trials if t.state == TrialState.COMPLETE
        )
        found = {t.params["network.hidden_units"]: t for t in study.optuna_study.trials}
        assert found[16].state == TrialState.PRUNED
        assert found[16].user_attrs["cause"] == "out_of_memory"
        assert found[8].state == TrialState.COMPLETE
        assert study.best_config["network"]["hidden_units"] == 8


def test_infinite_timeout_is_no_limit(tmp_path: Path) -> None:
    with study_of_wine(tmp_path) as study:
        study.optimize(n_trials=1, timeout=math.inf, observer=Silent())
        assert study.progress.timeout_s is None
        assert len(study.optuna_study.trials) == 1


@pytest.mark.parametrize("n_written", [0, 1], ids=["targets", "inputs"])
def test_no_worker_is_left_when_the_rows_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_written: int
) -> None:
    written: list[Path] = []

    def full(items: Any, folder: Path) -> Any:
        if len(written) == n_written:
            raise OSError(28, "No space left on device")
        written.append(folder)
        return pack(items, folder)

    monkeypatch.setattr(encoded, "pack", full)
    with study_of_wine(tmp_path, workers=2) as study:
        with pytest.raises(StorageError, match="No space"):
            study.optimize(n_trials=2, observer=Silent())
        assert not children()
        monkeypatch.undo()
        study.optimize(n_trials=2, observer=Silent())
        states = [trial.state for trial in study.optuna_study.trials]
        assert states.count(TrialState.COMPLETE) == 2
        assert TrialState.RUNNING not in states
