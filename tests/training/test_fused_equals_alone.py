"""K models that train together give the results of each model alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, astuple, replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from autotrain.space.config import TrialConfig
from autotrain.training.slot import Admission, EpochReport, Outcome
from autotrain.training.trainer import SlotMessage, Trainer
from tests.training.problems import (
    draw_models,
    make_config,
    make_fold,
    make_trainer,
    split,
    train_alone,
)

N_MODELS = 10
DEPTHS = (0, 1, 2, 3, 4)
# Task, metric, whether there are sample weights, seed.
DRAWS = [
    ("multiclass", "log_loss", False, 1),
    ("regression", "rmse", False, 2),
    ("binary", "log_loss", False, 3),
    ("multiclass", "average_precision", True, 4),
    ("regression", "pinball:0.9", True, 5),
]
# Products of other padded sizes have other rounding errors, which training magnifies a little.
RTOL, ATOL = 1e-10, 1e-12


def by_slot(messages: list[SlotMessage]) -> dict[int, list[SlotMessage]]:
    sorted_out = defaultdict(list)
    for message in messages:
        sorted_out[message.slot].append(message)
    return sorted_out


def assert_same(
    actual: list[SlotMessage], expected: list[SlotMessage], config: object = None
) -> None:
    """Compare all reports and the outcome of one slot."""
    assert [type(m) for m in actual] == [type(m) for m in expected], config
    for one, other in zip(actual, expected, strict=True):
        if isinstance(one, EpochReport):
            assert isinstance(other, EpochReport)
            # The time of a report is not compared.
            a, b = (astuple(replace(report, at_s=0.0)) for report in (one, other))
            np.testing.assert_allclose(a, b, RTOL, ATOL, err_msg=str(one))
            continue
        assert isinstance(other, Outcome)
        assert (one.cause, one.epochs, one.best_epoch) == (
            other.cause,
            other.epochs,
            other.best_epoch,
        )
        for name in ("best_value", "parameters", "statistics"):
            a, b = getattr(one, name), getattr(other, name)
            np.testing.assert_allclose(a, b, RTOL, ATOL, err_msg=f"{name} of {config}")
        assert one.diagnosis.flags == other.diagnosis.flags
        health, expected_health = asdict(one.diagnosis), asdict(other.diagnosis)
        for key in ("start_loss", "loss", "start_norms", "norms"):
            np.testing.assert_allclose(
                health.pop(key), expected_health.pop(key), RTOL, ATOL, err_msg=key
            )
        assert health == expected_health


def all_at_once(trainer: Trainer, models: list[Admission]) -> list[SlotMessage]:
    for model in models:
        trainer.admit(model)
    return trainer.run()


def in_another_order(trainer: Trainer, models: list[Admission]) -> list[SlotMessage]:
    order = np.random.default_rng(0).permutation(len(models))
    return all_at_once(trainer, [models[k] for k in order])


def one_after_the_other(trainer: Trainer, models: list[Admission]) -> list[SlotMessage]:
    """Admit two more models after each step, while others leave."""
    messages = []
    for k in range(0, len(models), 2):
        for model in models[k : k + 2]:
            trainer.admit(model)
        messages += trainer.step()
    return messages + trainer.run()


def with_diverging_models(trainer: Trainer, models: list[Admission]) -> list[SlotMessage]:
    """Train with other models of different sizes that diverge."""
    for k, optimizer in enumerate(("sgd", "adam", "nesterov", "adamw")):
        params: dict[str, Any] = {
            "optimizer": optimizer,
            "optimizer.learning_rate": 1e200,
            "batch_norm": ("off", "after_activation")[k % 2],
            "training.epochs": 4,
            "network.hidden_units": "20-4-30",
        }
        trainer.admit(Admission(1000 + k, make_config(params), seed=k))
    messages = all_at_once(trainer, models)
    _, outcomes = split(messages)
    assert {outcome.cause for outcome in outcomes if outcome.slot >= 1000} == {"diverged"}
    return [message for message in messages if message.slot < 1000]


Trained = tuple[Callable[[], Trainer], list[Admission], dict[int, list[SlotMessage]]]


@pytest.fixture(scope="module", params=DRAWS, ids=lambda draw: "-".join(map(str, draw)))
def trained_alone(request: pytest.FixtureRequest) -> Trained:
    task, metric, weighted, seed = request.param
    models = draw_models(task, seed, N_MODELS, DEPTHS)
    make = partial(make_trainer, task, metric, [make_fold(task, weighted=weighted)])
    trainer = make()
    alone: dict[int, list[SlotMessage]] = {}
    for model in models:
        reports, outcome = train_alone(trainer, model)
        alone[model.slot] = [*reports, outcome]
    return make, models, alone


@pytest.mark.parametrize(
    "admit",
    [all_at_once, in_another_order, one_after_the_other, with_diverging_models],
    ids=lambda function: function.__name__,
)
def test_models_train_together_as_alone(
    trained_alone: Trained,
    admit: Callable[[Trainer, list[Admission]], list[SlotMessage]],
) -> None:
    make, models, alone = trained_alone
    together = by_slot(admit(make(), models))
    assert set(together) == set(alone)
    for model in models:
        assert_same(together[model.slot], alone[model.slot], model.config)


def test_models_share_one_fleet() -> None:
    """Otherwise the tests above would compare a model with itself."""
    trainer = make_trainer()
    for model in draw_models("multiclass", 1, N_MODELS, DEPTHS):
        trainer.admit(model)
    trainer.step()
    sizes = sorted(len(fleet.slots) for fleet in trainer.fleets.values())
    assert sizes == [2, 8], "linear models apart, all others together"


def test_diverging_model_does_not_affect_others() -> None:
    """Last bits may differ: after it has left, products have fewer slots."""

    def params(k: int, eta: float) -> TrialConfig:
        kinds = ("tanh", "relu", "relu")
        return make_config({"activation": kinds[k], "optimizer.learning_rate": eta})

    def train(eta: float) -> dict[int, list[SlotMessage]]:
        models = [Admission(k, params(k, eta if k == 2 else 0.01), k) for k in range(3)]
        return by_slot(all_at_once(make_trainer(), models))

    calm, wild = train(0.01), train(1e300)
    [*_, end] = wild[2]
    assert isinstance(end, Outcome)
    assert end.cause == "diverged"
    for k in (0, 1):
        *reports, one = calm[k]
        *wild_reports, other = wild[k]
        assert len(reports) == len(wild_reports)
        for report, wild_report in zip(reports, wild_reports, strict=True):
            assert isinstance(report, EpochReport)
            assert isinstance(wild_report, EpochReport)
            assert wild_report.value == pytest.approx(report.value, rel=1e-12)
            assert wild_report.train_loss == pytest.approx(report.train_loss, rel=1e-12)
        assert isinstance(one, Outcome)
        assert isinstance(other, Outcome)
        np.testing.assert_allclose(one.parameters, other.parameters, rtol=1e-11, atol=1e-13)  # type: ignore[arg-type]
        np.testing.assert_allclose(one.statistics, other.statistics, rtol=1e-11, atol=1e-13)  # type: ignore[arg-type]


def test_results_depend_on_seed_fold_and_repeat() -> None:
    """Models that differ in seed, fold or repeat only have different results."""
    config = make_config({"dropout": "dropout"})
    models = [Admission(0, config, 1), Admission(1, config, 2), Admission(2, config, 1, repeat=1)]
    _, outcomes = split(all_at_once(make_trainer(), models))
    assert len({outcome.best_value for outcome in outcomes}) == 3
    twins = [Admission(0, config, 1), Admission(1, config, 1)]
    _, [one, other] = split(all_at_once(make_trainer(), twins))
    assert one.best_value == other.best_value
