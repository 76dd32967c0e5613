"""Admission, training and end of models: messages, causes, best epochs, several fleets."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from autotrain.metrics import METRICS
from autotrain.network.layout import Layout, Shape
from autotrain.space.config import TrialConfig
from autotrain.techniques.schedules import SCHEDULES
from autotrain.training.fleet import Fleet
from autotrain.training.slot import Admission, EpochReport, Outcome
from autotrain.training.trainer import SlotMessage, Trainer
from tests.training.problems import (
    draw_models,
    inputs_of,
    make_config,
    make_fleet,
    make_fold,
    make_problem,
    make_reference,
    make_trainer,
    split,
    train_alone,
)


def value_in_torch(
    outcome: Outcome, config: TrialConfig, task: str, metric: str
) -> tuple[float, float]:
    """Return validation loss and metric of an outcome's weights in an `nn.Sequential`."""
    fold, problem = make_fold(task), make_problem(task, metric)
    reference = make_reference(config, problem, fold, seed=0)
    layout = Layout(Shape(inputs_of(fold).x_train.shape[1], config.hidden_units, problem.n_outputs))
    assert outcome.parameters is not None
    assert outcome.statistics is not None
    parameters = layout.views(torch.from_numpy(outcome.parameters).unsqueeze(0))
    statistics = layout.views(torch.from_numpy(outcome.statistics).unsqueeze(0), statistics=True)
    reference.load(parameters, statistics)
    return reference.evaluate()


def refill(trainer: Trainer, models: list[Admission], n_places: int) -> list[SlotMessage]:
    """Train all models, some at a time, like the scheduler."""
    waiting, messages = list(models), []
    while waiting or trainer.n_slots:
        while waiting and trainer.n_slots < n_places:
            trainer.admit(waiting.pop(0))
        messages += trainer.step()
        assert trainer.n_slots <= n_places
    return messages


def test_positions_are_refilled_until_all_models_have_ended() -> None:
    models = draw_models("multiclass", 11, 14, depths=(0, 1, 2, 3))
    trainer = make_trainer()
    messages = refill(trainer, models, n_places=4)
    reports, outcomes = split(messages)
    assert sorted(outcome.slot for outcome in outcomes) == list(range(14))
    for outcome in outcomes:
        own = [message for message in messages if message.slot == outcome.slot]
        assert own[-1] is outcome, "nothing comes after the outcome"
        epochs = [report for report in own[:-1] if isinstance(report, EpochReport)]
        assert [report.epoch for report in epochs] == list(range(1, outcome.epochs + 1))
        assert outcome.epochs <= models[outcome.slot].config.epochs
    assert len(reports) + len(outcomes) == len(messages)
    assert trainer.n_slots == 0
    assert not trainer.fleets
    assert trainer.step() == [], "an empty trainer has nothing to say"


def test_freed_position_is_refilled_while_others_train() -> None:
    """It is refilled at the next epoch; a fleet does not wait for its slowest model."""
    epochs = {0: 2, 1: 7, 2: 3}
    models = [Admission(k, make_config({"training.epochs": n}), k) for k, n in epochs.items()]
    trainer = make_trainer()
    trained = []
    for model in models[:2]:
        trainer.admit(model)
    while trainer.n_slots:
        reports, outcomes = split(trainer.step())
        trained.append({report.slot for report in reports})
        if any(outcome.slot == 0 for outcome in outcomes):
            trainer.admit(models[2])
    assert trained == [{0, 1}] * 2 + [{1, 2}] * 3 + [{1}] * 2


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_best_weights_give_the_best_value(task: str) -> None:
    """This holds for every metric of the task, evaluated with torch's modules and scikit-learn."""
    for metric in [row.name for row in METRICS.values() if task in row.tasks]:
        models = draw_models(task, 21, 5, depths=(0, 1, 2, 3))
        trainer = make_trainer(task, metric)
        for model in models:
            trainer.admit(model)
        reports, outcomes = split(trainer.run())
        better = min if METRICS[metric].direction == "minimize" else max
        for outcome in outcomes:
            own = [report for report in reports if report.slot == outcome.slot]
            values = [report.value for report in own]
            assert outcome.best_value == better(values), metric
            assert outcome.best_epoch == 1 + values.index(outcome.best_value), "the first of equals"
            config = models[outcome.slot].config
            loss, value = value_in_torch(outcome, config, task, metric)
            assert value == pytest.approx(outcome.best_value, rel=1e-9, abs=1e-12), metric
            assert loss == pytest.approx(own[outcome.best_epoch - 1].valid_loss, rel=1e-9)


def test_best_epoch_is_kept_if_later_ones_are_worse() -> None:
    # The steps are so large that the metric gets worse before the end.
    params = {"optimizer": "sgd", "optimizer.learning_rate": 3.0, "training.epochs": 12}
    reports, outcome = train_alone(make_trainer(), Admission(0, make_config(params), seed=2))
    values = [report.value for report in reports]
    assert outcome.best_epoch < len(values)
    assert outcome.best_value == min(values) < values[-1]
    assert value_in_torch(outcome, make_config(params), "multiclass", "log_loss")[1] == (
        pytest.approx(outcome.best_value, rel=1e-9)
    )


@pytest.mark.parametrize("patience", [1, 3])
def test_training_stops_after_patience_epochs_without_improvement(patience: int) -> None:
    params = {
        "training.epochs": 50,
        "early_stopping.patience": patience,
        "optimizer.learning_rate": 0.1,
    }
    reports, outcome = train_alone(make_trainer(), Admission(0, make_config(params), seed=2))
    assert outcome.cause == "early_stopping"
    assert outcome.epochs == outcome.best_epoch + patience == len(reports) < 50


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("waits", [True, False])
def test_training_can_wait_for_the_end_of_a_schedule(schedule: str, waits: bool) -> None:
    params = {
        "training.epochs": 8,
        "schedule": schedule,
        "early_stopping.patience": 2,
        "early_stopping.min_delta": 100.0,
        "early_stopping.wait_for_schedule": waits,
    }
    reports, outcome = train_alone(make_trainer(), Admission(0, make_config(params), seed=2))
    is_low = reports[-1].learning_rate < 0.05 * max(report.learning_rate for report in reports)
    if waits and schedule in ("one_cycle", "cosine", "coslog4"):
        assert (outcome.cause, outcome.epochs) == ("epochs", 8)
        assert is_low
    else:
        assert (outcome.cause, outcome.epochs) == ("early_stopping", 3)


@pytest.mark.parametrize("restores", [True, False])
@pytest.mark.parametrize("schedule", ["constant", "performance"])
def test_training_without_early_stopping_takes_all_epochs(schedule: str, restores: bool) -> None:
    """The performance schedule still lowers its rate at plateaus."""
    params: dict[str, object] = {
        "training.epochs": 15,
        "schedule": schedule,
        "optimizer.learning_rate": 0.3,
        "early_stopping.enabled": False,
        "early_stopping.patience": 10,
        "early_stopping.restore_best_weights": restores,
    }
    if schedule == "performance":
        params |= {"schedule.performance.patience": 2}
    reports, outcome = train_alone(make_trainer(), Admission(0, make_config(params), seed=2))
    assert (outcome.cause, outcome.epochs, len(reports)) == ("epochs", 15, 15)
    values = [report.value for report in reports]
    assert min(values) < values[-1]
    best = values.index(min(values)) + 1
    assert outcome.best_epoch == (best if restores else 15)
    rates = {report.learning_rate for report in reports}
    assert (len(rates) > 1) is (schedule == "performance")


@pytest.mark.parametrize("restores", [True, False])
def test_weights_are_of_best_or_last_epoch(restores: bool) -> None:
    # The learning rate is so high that the last epoch is not the best one.
    params = {
        "training.epochs": 12,
        "optimizer.learning_rate": 0.3,
        "early_stopping.patience": 50,
        "early_stopping.restore_best_weights": restores,
    }
    trainer = make_trainer()
    reports, outcome = train_alone(trainer, Admission(0, make_config(params), seed=2))
    values = [report.value for report in reports]
    best = min(range(12), key=lambda epoch: values[epoch])
    assert best < 11
    assert outcome.best_epoch == (best + 1 if restores else 12)
    assert outcome.best_value == pytest.approx(values[best] if restores else values[-1], rel=1e-5)
    # The weights give this value.
    _, in_torch = value_in_torch(outcome, make_config(params), "multiclass", "log_loss")
    assert outcome.best_value == pytest.approx(in_torch, rel=1e-4)


def test_improvement_below_min_delta_is_kept_but_does_not_count() -> None:
    params = {
        "training.epochs": 50,
        "early_stopping.patience": 3,
        "early_stopping.min_delta": 100.0,
    }
    _, outcome = train_alone(make_trainer(), Admission(0, make_config(params), seed=2))
    assert (outcome.cause, outcome.epochs) == ("early_stopping", 4)
    assert outcome.best_epoch == 4, "the value fell from epoch to epoch"


def test_training_ends_at_epoch_limit() -> None:
    for epochs in (1, 4):
        config = make_config({"training.epochs": epochs})
        reports, outcome = train_alone(make_trainer(), Admission(0, config, seed=2))
        assert (outcome.cause, outcome.epochs, len(reports)) == ("epochs", epochs, epochs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("task", ["multiclass", "regression"])
@pytest.mark.parametrize("learning_rate", [1e6, 1e12, 1e30])
def test_model_with_nonfinite_weights_ends_as_diverged(
    dtype: torch.dtype, task: str, learning_rate: float
) -> None:
    """Overflows raise no warning, and the other model continues."""
    wild = {"optimizer": "momentum", "activation": "relu", "training.epochs": 60}
    trainer = make_trainer(task, dtype=dtype)
    trainer.admit(Admission(0, make_config(wild | {"optimizer.learning_rate": learning_rate}), 1))
    trainer.admit(Admission(1, make_config({"training.epochs": 5}), 2))
    reports, outcomes = split(trainer.run())
    ends = {outcome.slot: outcome for outcome in outcomes}
    assert ends[1].cause == "epochs"
    assert all(math.isfinite(report.value) for report in reports if report.slot == 1)
    if task == "regression":  # squared errors overflow
        assert ends[0].cause == "diverged"
        assert "exploding" in ends[0].diagnosis.flags
        last = [report for report in reports if report.slot == 0][-1]
        assert not (math.isfinite(last.valid_loss) and math.isfinite(last.train_loss))
        assert ends[0].epochs < 60
    if ends[0].best_epoch:
        assert math.isfinite(ends[0].best_value)
        assert ends[0].parameters is not None
        assert np.isfinite(ends[0].parameters).all()


def test_losses_near_the_largest_float_raise_no_warning() -> None:
    """Each loss fits into single precision, but not their sum."""
    fold = make_fold("regression")
    huge = replace(fold, y_train=np.full_like(fold.y_train, 4e18))
    params = {"training.batch_size": 1, "optimizer": "sgd", "optimizer.learning_rate": 1e-30}
    trainer = make_trainer("regression", folds=[huge], dtype=torch.float32)
    reports, outcome = train_alone(trainer, Admission(0, make_config(params), 1))
    assert reports[0].train_loss == pytest.approx(1.6e37, rel=1e-3)
    assert outcome.cause == "epochs"


def test_model_without_a_finite_value_has_no_weights() -> None:
    params = {"optimizer": "sgd", "activation": "relu", "optimizer.learning_rate": 1e300}
    config = make_config(params)
    _, outcome = train_alone(make_trainer("regression"), Admission(0, config, 1))
    assert (outcome.cause, outcome.best_epoch) == ("diverged", 0)
    assert math.isnan(outcome.best_value)
    assert outcome.parameters is None
    assert outcome.statistics is None
    assert outcome.diagnosis.flags == ("exploding",)


# ---- stopping ------------------------------------------------------------------------------


def test_stop_ends_a_model_before_its_next_epoch() -> None:
    trainer = make_trainer()
    for k in range(3):
        trainer.admit(Admission(k, make_config({"training.epochs": 6}), seed=k))
    first = [*trainer.step(), *trainer.step()]
    trainer.stop(1)
    reports, [outcome] = split(trainer.step())
    assert (outcome.slot, outcome.cause, outcome.epochs) == (1, "stopped", 2)
    assert sorted(report.slot for report in reports) == [0, 2], "it does not train any more"
    values = [report.value for report in split(first)[0] if report.slot == 1]
    assert outcome.best_value == min(values)
    assert outcome.parameters is not None
    _, outcomes = split(trainer.run())
    assert sorted(o.slot for o in outcomes) == [0, 2]


def test_epoch_is_abandoned_if_all_models_of_a_fleet_are_stopped_within_it() -> None:
    trainer = make_trainer()
    calls: list[int] = []
    trainer.admit(Admission(0, make_config({"training.epochs": 6}), seed=0))
    trainer.admit(Admission(1, make_config({"training.epochs": 6}), seed=1))
    first, _ = split([*trainer.step(), *trainer.step()])

    def listen() -> None:
        calls.append(len(calls))
        trainer.stop(0)
        trainer.stop(1)

    reports, outcomes = split(trainer.step(listen))
    assert not reports
    assert len(calls) == 1, "it ends at the first look"
    assert [(o.slot, o.cause, o.epochs) for o in outcomes] == [(0, "stopped", 2), (1, "stopped", 2)]
    for outcome in outcomes:
        assert outcome.best_value == min(r.value for r in first if r.slot == outcome.slot)
        assert outcome.parameters is not None
    assert not trainer.n_slots


def test_epoch_is_finished_if_one_model_of_a_fleet_continues() -> None:
    trainer = make_trainer()
    for k in range(2):
        trainer.admit(Admission(k, make_config({"training.epochs": 6}), seed=k))
    reports, outcomes = split(trainer.step(lambda: trainer.stop(0)))
    assert sorted(report.slot for report in reports) == [0, 1]
    assert not outcomes
    reports, [outcome] = split(trainer.step())
    assert (outcome.slot, outcome.cause, outcome.epochs) == (0, "stopped", 1)
    assert [report.slot for report in reports] == [1]


def test_stop_of_a_waiting_model() -> None:
    trainer = make_trainer()
    trainer.admit(Admission(5, make_config(), seed=0))
    trainer.stop(5)
    [outcome] = trainer.run()
    assert isinstance(outcome, Outcome)
    assert (outcome.cause, outcome.epochs, outcome.best_epoch) == ("stopped", 0, 0)
    assert outcome.parameters is None


def test_stop_of_an_ended_model_gives_no_message() -> None:
    trainer = make_trainer()
    trainer.admit(Admission(0, make_config({"training.epochs": 1}), seed=0))
    trainer.admit(Admission(1, make_config({"training.epochs": 3}), seed=1))
    _, [outcome] = split(trainer.step())
    assert outcome.slot == 0
    trainer.stop(0)
    trainer.stop(77)  # no model has this number
    _, outcomes = split(trainer.run())
    assert [o.slot for o in outcomes] == [1]
    # A later model of this number is not stopped.
    trainer.admit(Admission(77, make_config({"training.epochs": 1}), seed=1))
    _, [late] = split(trainer.run())
    assert (late.slot, late.cause) == (77, "epochs")


# ---- fleets --------------------------------------------------------------------------------

APART: list[dict[str, Any]] = [
    {"training.batch_size": 8},
    {"training.batch_size": 25},
    {"network.hidden_units": "40-3"},
    {"network.hidden_units": "70"},
    {"network.hidden_layers": 0},
    {"network.hidden_layers": 0, "training.batch_size": 8},
]


def test_fleets_take_turns() -> None:
    trainer = make_trainer()
    models = [Admission(k, make_config(params), seed=k) for k, params in enumerate(APART)]
    models += [Admission(10 + k, make_config(params), seed=k) for k, params in enumerate(APART)]
    for model in models:
        trainer.admit(model)
    for turn in range(3):
        seen: Counter[int] = Counter()
        for _ in APART:
            reports, _ = split(trainer.step())
            assert len(reports) == 2, "two models of one size"
            assert len({report.slot % 10 for report in reports}) == 1
            assert {report.epoch for report in reports} == {turn + 1}
            seen.update(report.slot for report in reports)
        assert set(seen.values()) == {1}
        assert len(seen) == len(models)
    assert trainer.n_slots == 0


def test_new_models_do_not_starve_other_fleets() -> None:
    trainer = make_trainer()
    long = {"training.epochs": 8}
    trainer.admit(Admission(0, make_config(long), seed=0))
    trainer.admit(Admission(1, make_config(long | {"training.batch_size": 8}), seed=1))
    epochs: Counter[int] = Counter()
    for k in range(12):
        # A new model joins the first fleet in each round.
        trainer.admit(Admission(100 + k, make_config({"training.epochs": 1}), seed=k))
        epochs.update(report.slot for report in split(trainer.step())[0])
    assert abs(epochs[0] - epochs[1]) <= 1


def test_linear_model_learns_a_linear_function() -> None:
    fold = make_fold("regression", n_train=200)
    inputs = inputs_of(fold)
    for x, y in ((inputs.x_train, fold.y_train), (inputs.x_valid, fold.y_valid)):
        y[:] = x[:, 0] - 0.5 * x[:, 3]
    params = {"network.hidden_layers": 0, "training.epochs": 30, "optimizer.learning_rate": 0.05}
    trainer = make_trainer("regression", "r2", folds=[fold])
    _, outcome = train_alone(trainer, Admission(0, make_config(params), seed=0))
    assert outcome.best_value > 0.999
    assert outcome.parameters is not None
    assert outcome.parameters[[0, 3]] == pytest.approx([1.0, -0.5], abs=0.02)


# ---- precision and memory -----------------------------------------------------------------------


def test_single_precision_training_equals_double() -> None:
    models = draw_models("multiclass", 31, 8)
    ends = []
    for dtype in (torch.float64, torch.float32):
        trainer = make_trainer(dtype=dtype)
        for model in models:
            trainer.admit(model)
        reports, outcomes = split(trainer.run())
        assert all(
            o.parameters is not None and o.parameters.dtype == o.statistics.dtype  # type: ignore[union-attr]
            for o in outcomes
        )
        ends.append({(r.slot, r.epoch): r.valid_loss for r in reports if r.epoch <= 2})
    double, single = ends
    for key in double:
        assert single[key] == pytest.approx(double[key], rel=1e-3), key


@pytest.mark.parametrize("name", ["ahead_bytes", "evaluation_numbers"])
def test_chunk_sizes_do_not_change_results(name: str) -> None:
    """Batches are gathered one by one or together, validation rows in pieces or as a whole."""
    models = draw_models("multiclass", 41, 4)
    found = []
    for size in (1, 1 << 40):
        made = make_fleet(models, folds=[make_fold(n_train=200, n_valid=150)])
        fleet = Fleet(made.release(), made.rows, made.backend, **{name: size})
        reports = [report for _ in range(2) for report in fleet.run_epoch()]
        found.append([(report.slot, report.epoch, report.valid_loss) for report in reports])
    little, much = found
    np.testing.assert_allclose(little, much, rtol=1e-10)


def test_read_only_rows_are_accepted() -> None:
    fold = make_fold()
    for array in (inputs_of(fold).x_train, fold.y_train, inputs_of(fold).x_valid, fold.y_valid):
        array.flags.writeable = False
    _, outcome = train_alone(make_trainer(folds=[fold]), Admission(0, make_config(), seed=0))
    _, expected = train_alone(make_trainer(), Admission(0, make_config(), seed=0))
    assert outcome.best_value == expected.best_value
