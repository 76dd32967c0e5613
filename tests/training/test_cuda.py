"""Training on a GPU equals training on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autotrain.techniques.activations import ACTIVATIONS
from autotrain.techniques.optimizers import OPTIMIZERS
from autotrain.training.slot import Admission, EpochReport, Outcome
from tests.training.problems import (
    draw_models,
    make_config,
    make_trainer,
    split,
)

pytestmark = pytest.mark.cuda
RTOL, ATOL = 1e-8, 1e-10


def train(
    device: str, task: str, metric: str, models: list[Admission]
) -> tuple[dict[tuple[int, int], EpochReport], dict[int, Outcome]]:
    """Train models that are admitted three at a time."""
    trainer = make_trainer(task, metric, device=device)
    waiting, messages = list(models), []
    while waiting or trainer.n_slots:
        for model in waiting[:3]:
            trainer.admit(model)
        del waiting[:3]
        messages += trainer.step()
    reports, outcomes = split(messages)
    return {(r.slot, r.epoch): r for r in reports}, {o.slot: o for o in outcomes}


def assert_same(task: str, metric: str, models: list[Admission]) -> None:
    (cpu_reports, cpu), (gpu_reports, gpu) = (
        train(device, task, metric, models) for device in ("cpu", "cuda")
    )
    assert cpu_reports.keys() == gpu_reports.keys()
    for key, report in cpu_reports.items():
        for name in ("train_loss", "valid_loss", "value", "learning_rate"):
            expected, actual = getattr(report, name), getattr(gpu_reports[key], name)
            assert actual == pytest.approx(expected, rel=RTOL, abs=ATOL), (name, key)
    for slot, outcome in cpu.items():
        other = gpu[slot]
        assert (outcome.cause, outcome.best_epoch) == (other.cause, other.best_epoch)
        assert outcome.diagnosis.flags == other.diagnosis.flags
        for name in ("parameters", "statistics"):
            expected, actual = getattr(outcome, name), getattr(other, name)
            np.testing.assert_allclose(actual, expected, RTOL, ATOL, err_msg=f"{name} of {slot}")


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        ("multiclass", "log_loss"),
        ("multiclass", "roc_auc"),
        ("multiclass", "f1"),
        ("binary", "roc_auc"),
        ("binary", "accuracy"),
        ("regression", "r2"),
    ],
)
def test_mixed_fleet_equals_cpu(task: str, metric: str) -> None:
    assert_same(task, metric, draw_models(task, 71, 16, depths=(0, 1, 2, 3, 4)))


def test_all_activations_and_optimizers_equal_cpu() -> None:
    params = [{"activation": name} for name in ACTIVATIONS]
    params += [{"optimizer": name} for name in OPTIMIZERS]
    models = [Admission(k, make_config(own), seed=k) for k, own in enumerate(params)]
    assert_same("multiclass", "log_loss", models)


def test_diverging_slot_does_not_affect_others() -> None:
    wild = make_config({"optimizer": "sgd", "activation": "relu", "optimizer.learning_rate": 1e300})
    models = draw_models("regression", 72, 5)
    _, calm = train("cuda", "regression", "rmse", models)
    _, beside = train("cuda", "regression", "rmse", [Admission(99, wild, 0), *models])
    assert beside.pop(99).cause == "diverged"
    for slot, outcome in calm.items():
        np.testing.assert_allclose(
            beside[slot].parameters,  # type: ignore[arg-type]
            outcome.parameters,  # type: ignore[arg-type]
            RTOL,
            ATOL,
        )


def test_single_precision_training_on_gpu() -> None:
    trainer = make_trainer(device="cuda", dtype=torch.float32)
    for model in draw_models("multiclass", 74, 8):
        trainer.admit(model)
    reports, outcomes = split(trainer.run())
    assert len(outcomes) == 8
    assert all(np.isfinite(report.valid_loss) for report in reports)
