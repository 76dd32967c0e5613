"""Values of a diagnosis: gradient norms equal autograd, losses and fractions their definitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from autotrain.network.flags import LAYERS, LOSS, NOT_FINITE, Diagnosis
from autotrain.network.network import FusedNetwork
from autotrain.techniques.activations import ACTIVATIONS
from autotrain.training.diagnostics import GradientRecord, unit_shares
from autotrain.training.fleet import outcome
from autotrain.training.slot import Admission
from tests.training.problems import (
    draw_models,
    inputs_of,
    make_config,
    make_fleet,
    make_fold,
    make_problem,
    make_reference,
    make_trainer,
    train_alone,
)


def diagnose(params: dict[str, Any], task: str = "multiclass", seed: int = 0) -> Diagnosis:
    _, end = train_alone(make_trainer(task), Admission(0, make_config(params), seed))
    return end.diagnosis


def layers(depth: int, units: int = 16) -> dict[str, Any]:
    return {"network.hidden_units": units, "network.hidden_layers": depth}


# ---- whole trainings -----------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "elu", "tanh", "selu"])
def test_healthy_model_has_no_flag(activation: str) -> None:
    initializer = {"tanh": "glorot_normal", "selu": "lecun_normal"}.get(activation, "he_normal")
    found = diagnose(layers(2) | {"activation": activation, "initializer": initializer})
    assert found.flags == ()
    assert found.explosion is None
    assert found.ratio is not None
    assert found.ratio > 0.01
    assert len(found.norms) == len(found.start_norms) == 3
    assert found.loss is not None
    assert found.start_loss is not None
    assert found.loss < found.start_loss


def test_deep_sigmoid_network_with_tiny_weights_has_vanishing_gradients() -> None:
    params = {
        "activation": "sigmoid",
        "initializer": "normal",
        "initializer.normal.std": 0.01,
        "optimizer": "sgd",
    }
    found = diagnose(layers(12) | params)
    assert found.flags == ("vanishing",)
    assert found.ratio is not None
    assert found.ratio < 1e-6
    assert found.norms[0] < 1e-6 < found.norms[-1]
    # The same depth with the recommended techniques.
    healthy = {"activation": "elu", "initializer": "he_normal", "optimizer": "sgd"}
    assert "vanishing" not in diagnose(layers(12) | healthy).flags


def test_growth_from_tiny_gradients_is_no_explosion() -> None:
    """The norms grow by orders of magnitude while it learns, as they should."""
    params = {
        "activation": "tanh",
        "initializer": "normal",
        "initializer.normal.std": 1e-3,
        "optimizer": "adam",
        "optimizer.learning_rate": 0.01,
        "training.epochs": 30,
    }
    found = diagnose(layers(2) | params)
    assert found.norms[0] > 1e3 * found.start_norms[0]
    assert found.flags == ()


def test_learning_rate_too_large_explodes() -> None:
    params = {"optimizer": "sgd", "activation": "relu", "training.epochs": 20}
    found = diagnose(layers(3) | params | {"optimizer.learning_rate": 100.0}, "regression")
    assert "exploding" in found.flags
    assert "exploding" not in diagnose(layers(3) | params, "regression").flags


@pytest.mark.parametrize("learning_rate", [10.0, 100.0, 1000.0])
@pytest.mark.parametrize("activation", ["relu", "elu", "tanh"])
def test_adam_with_an_enormous_learning_rate_explodes(
    learning_rate: float, activation: str
) -> None:
    """It explodes in the first epoch, and all values stay finite."""
    params = layers(3) | {
        "activation": activation,
        "optimizer": "adam",
        "optimizer.learning_rate": learning_rate,
        "training.epochs": 5,
        "training.batch_size": 8,
    }
    _, end = train_alone(make_trainer(), Admission(0, make_config(params), 3))
    assert end.cause == "epochs"
    assert (end.diagnosis.explosion, end.diagnosis.explosion_epoch) == (LOSS, 1)


def test_initialization_far_too_large_explodes() -> None:
    """The loss is enormous from the first step on, so the first step is no reference."""
    params = layers(10) | {
        "activation": "elu",
        "initializer": "normal",
        "initializer.normal.std": 1.0,
        "optimizer": "adam",
        "optimizer.learning_rate": 1e-4,
        "training.epochs": 4,
    }
    found = diagnose(params)
    assert found.start_loss is not None
    assert found.start_loss > 1e3
    assert (found.explosion, found.explosion_epoch) == (LOSS, 2)


def test_model_that_diverges_in_first_epoch_keeps_its_norms() -> None:
    params = {"optimizer": "momentum", "activation": "relu", "optimizer.learning_rate": 1e6}
    trainer = make_trainer("regression", dtype=torch.float32)
    config = make_config(params | {"training.batch_size": 5})
    _, end = train_alone(trainer, Admission(0, config, 1))
    assert (end.cause, end.epochs) == ("diverged", 1)
    found = end.diagnosis
    assert (found.explosion, found.explosion_epoch) == (NOT_FINITE, 1)
    assert len(found.norms) == len(found.start_norms) == len(config.hidden_units) + 1
    assert np.isfinite(found.norms).all()
    assert found.loss is None
    assert found.dead_units is None


def test_relu_units_after_a_huge_step_are_dead() -> None:
    params = {"optimizer": "sgd", "activation": "relu", "optimizer.learning_rate": 500.0}
    found = diagnose(layers(2) | params | {"clipping": "norm", "training.epochs": 5})
    assert "dead_units" in found.flags
    assert found.dead_units is not None
    assert max(found.dead_units) > 0.7
    assert found.saturated is None


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_large_weights_saturate(activation: str) -> None:
    params = {
        "activation": activation,
        "initializer": "normal",
        "initializer.normal.std": 50.0,
        "optimizer.learning_rate": 1e-6,
    }
    found = diagnose(layers(2) | params)
    assert "saturated" in found.flags
    assert found.saturated is not None
    assert min(found.saturated) > 0.9
    assert found.dead_units is None


def test_units_with_hugely_negative_bias_are_dead() -> None:
    """Their fraction of each layer is exact, for the weights of the last epoch."""
    fleet = make_fleet([Admission(0, make_config({"network.hidden_units": "8-4"}), seed=1)])
    fleet.run_epoch()
    [slot] = fleet.release()
    views = slot.layout.views(slot.parameters.unsqueeze(0))
    assert outcome(slot, "stopped", fleet.rows, fleet.backend).diagnosis.flags == ()
    for layer in (0, 1):
        views["bias", layer][:] = 10.0 ** (
            3 + 6 * layer
        )  # otherwise a unit could be dead by chance
    for n_dead, wanted in ((4, ()), (5, ("dead_units",))):
        views["bias", 0][0, 0, :n_dead] = -1e6
        found = outcome(slot, "stopped", fleet.rows, fleet.backend).diagnosis
        assert found.dead_units == (n_dead / 8, 0.0)
        assert found.flags == wanted, "one layer is enough, though 5 of 12 are less than half"


def test_linear_model_has_norms_and_no_units() -> None:
    found = diagnose({"network.hidden_layers": 0})
    assert len(found.norms) == 1
    assert found.ratio is None
    assert found.flags == ()
    assert found.dead_units is None
    assert found.saturated is None


# ---- norms ---------------------------------------------------------------------------------


def test_gradient_norms_equal_autograd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Norms by layer and step, in a fleet of mixed depths, before clipping, without penalties."""
    seen: list[tuple[GradientRecord, np.ndarray]] = []
    update = GradientRecord.update

    def record(
        self: GradientRecord, norms: np.ndarray, losses: np.ndarray, valid_loss: float
    ) -> None:
        seen.append((self, norms[:, self.layers]))
        update(self, norms, losses, valid_loss)

    monkeypatch.setattr(GradientRecord, "update", record)
    models = draw_models("multiclass", 41, 8)
    fleet = make_fleet(models)
    fold, problem = make_fold(), make_problem()
    references = {
        model.slot: make_reference(
            model.config, problem, fold, seed=model.seed, repeat=model.repeat
        )
        for model in models
    }
    for _ in range(2):
        seen.clear()
        fleet.run_epoch()
        for slot, (owner, norms) in zip(fleet.slots, seen, strict=True):
            assert owner is slot.gradients
            expected = references[slot.id].train_epoch().norms
            assert norms.shape == expected.shape
            np.testing.assert_allclose(norms, expected, rtol=1e-8, atol=1e-12)
    for slot, (_, norms) in zip(fleet.slots, seen, strict=True):
        assert slot.gradients.diagnosis().norms == pytest.approx(norms.mean(0))


Epoch = tuple[list[list[float]], list[float]]


def record_of(*epochs: Epoch, n_outputs: int = 3, valid_loss: float = 1.0) -> Diagnosis:
    """Return a record of norms `[steps, 3]` and losses `[steps]` for two hidden layers."""
    record = GradientRecord(2, n_outputs)
    for norms, losses in epochs:
        record.update(np.array(norms), np.array(losses), valid_loss)
    return record.diagnosis()


def calm(loss: float = 1.0) -> Epoch:
    return [[1.0, 1.0, 1.0]] * 2, [loss, loss]


def test_norms_and_losses_are_of_first_step_and_last_epoch() -> None:
    found = record_of(
        ([[1.0, 2.0, 3.0], [9.0, 9.0, 9.0]], [1.25, 7.0]),
        calm(3.0),
        ([[0.5, 2.0, 4.0], [1.5, 4.0, 6.0]], [0.5, 0.25]),
    )
    assert found.start_norms == (1.0, 2.0, 3.0)
    assert found.start_loss == 1.25
    assert found.norms == (1.0, 3.0, 5.0)
    assert found.loss == 0.375
    assert found.ratio == pytest.approx(0.2)


def test_ratio_is_that_of_the_smallest_layer_in_last_epoch() -> None:
    small: Epoch = [[1.0, 1e-3, 1.0]] * 2, [1.0, 1.0]
    assert record_of(calm(), small).flags == ("vanishing",)
    assert record_of(small, small, calm()).flags == ()
    assert record_of(([[3e-3, 1.0, 1.0]], [1.0])).flags == ()


def test_layer_a_thousand_times_above_the_output_layer_explodes() -> None:
    """The mean over the steps of any epoch counts, including the first."""
    for layer in (0, 1):
        row = [1.0, 1.0, 1.0]
        row[layer] = 1999.0
        assert record_of(calm(), ([row, [1.0] * 3], [1.0, 1.0]), calm()).flags == ()
        row[layer] = 2001.0
        burst: Epoch = [row, [1.0] * 3], [1.0, 1.0]
        found = record_of(calm(), burst, calm())
        assert (found.explosion, found.explosion_epoch) == (LAYERS, 2)
        assert record_of(burst, calm()).explosion_epoch == 1
    assert record_of(([[1.0, 1.0, 1e-4]], [1.0])).explosion == LAYERS
    assert record_of(([[543_600.0, 900.0, 1.2]], [1.0])).flags == ("exploding",)


@pytest.mark.parametrize("n_outputs", [1, 2, 10])
def test_loss_five_times_that_of_a_constant_prediction_explodes(n_outputs: int) -> None:
    constant = math.log(n_outputs) if n_outputs > 1 else 1.0
    low, high = 4.9 * constant, 5.1 * constant
    assert record_of(calm(), calm(low), n_outputs=n_outputs).explosion is None
    found = record_of(calm(), calm(high), calm(), n_outputs=n_outputs)
    assert (found.explosion, found.explosion_epoch) == (LOSS, 2)
    # The targets of the first batch are close together by chance.
    assert record_of(calm(0.01 * constant), calm(), n_outputs=n_outputs).explosion is None


def test_first_epoch_is_compared_with_the_first_step() -> None:
    norms = [[1.0, 1.0, 1.0]] * 4
    assert record_of((norms, [100.0, 90.0, 50.0, 20.0])).explosion is None, "it recovers"
    assert record_of((norms, [2.0, 100.0, 50.0, 20.0])).explosion == LOSS
    assert record_of((norms, [20.0, 60.0, 60.0, 19.0])).explosion is None
    assert record_of((norms, [20.0, 60.0, 60.0, 21.0])).explosion == LOSS
    assert record_of(calm(100.0), calm(50.0)).explosion_epoch == 2


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nonfinite_values_explode(value: float) -> None:
    """Norms before it are kept, but are no evidence of vanishing gradients."""
    found = record_of(([[1e-9, 1.0, 2.0], [1.0, value, 1.0], [3.0] * 3], [1.0] * 3))
    assert found.norms == (1e-9, 1.0, 2.0)
    assert found.flags == ("exploding",)
    assert found.loss is None
    assert record_of(([[1.0] * 3] * 2, [1.0, value])).explosion == NOT_FINITE
    assert record_of(calm(), valid_loss=value).explosion == NOT_FINITE
    # If the first step is not finite, no value is kept, because JSON has no NaN.
    lost = record_of(([[value] * 3], [value]))
    assert (lost.norms, lost.start_norms, lost.start_loss) == ((), (), None)
    # A later epoch without a finite step keeps the norms of the epoch before.
    later = record_of(([[1.0, 2.0, 3.0]], [1.0]), ([[value] * 3], [1.0]))
    assert later.norms == (1.0, 2.0, 3.0)
    assert later.explosion_epoch == 2


def test_model_that_recovers_from_overflow_is_still_flagged() -> None:
    found = record_of(([[np.inf, 1.0, 1.0]], [1.0]), calm())
    assert (found.explosion, found.explosion_epoch) == (NOT_FINITE, 1)
    assert found.loss == 1.0


def test_norms_near_the_largest_float_raise_no_warning() -> None:
    record = GradientRecord(2, 3)
    huge = np.full((4, 3), 3e38, dtype=np.float32)
    for _ in range(2):
        record.update(huge, np.ones(4, dtype=np.float32), 1.0)
    assert record.diagnosis().norms == pytest.approx([3e38] * 3, rel=1e-3)
    assert record.diagnosis().flags == ()


def test_layers_beyond_the_depth_of_the_model_are_ignored() -> None:
    """In a fleet of depth three, a model of depth one has its first layer and the output layer."""
    record = GradientRecord(1, 3)
    record.update(np.array([[0.5, 0.0, 0.0, 2.0]]), np.ones(1), 1.0)
    assert record.diagnosis().norms == (0.5, 2.0)
    assert record.diagnosis().ratio == 0.25


# ---- units ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_fractions_of_units_by_activation(name: str) -> None:
    """With large |z|, dead and saturated units follow from the definition."""
    config = make_config({"activation": name})
    parameters = {
        key: torch.tensor(float(config.activation[key])) for key in config.activation.parameters
    }
    z = torch.zeros(1, 10, 4, dtype=torch.float64)
    z[..., 0], z[..., 1], z[..., 2] = -1e4, 1e4, 0.1
    z[0, ::2, 3], z[0, 1::2, 3] = -1e4, 0.5
    z.requires_grad_()
    a = ACTIVATIONS[name].f(z, parameters)
    (slope,) = torch.autograd.grad(a.sum(), z)
    found = unit_shares(config, [a.detach()], lambda: [slope])
    dead = (a == 0).all(1).double().mean() if name not in ("sigmoid", "tanh", "softplus") else None
    saturated = (slope.abs() < 0.01).double().mean() if name in ("sigmoid", "tanh") else None
    wanted = {"dead_units": dead, "saturated": saturated}
    assert found == {word: (float(share),) for word, share in wanted.items() if share is not None}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("parametric", [False, True])
def test_slopes_equal_autograd(name: str, parametric: bool) -> None:
    params = layers(2) | {
        "activation": name,
        "activation.parametric": parametric,
        "batch_norm": "before_activation",
    }
    [slot] = make_fleet([Admission(0, make_config(params), 0)]).slots
    backend = make_trainer().backend
    network = FusedNetwork([slot.config], slot.columns, slot.shape.n_outputs, backend)
    parameters, statistics = (
        own.clone().unsqueeze(0) for own in (slot.parameters, slot.statistics)
    )
    views = slot.layout.views(parameters)
    generator = torch.Generator().manual_seed(0)
    for key, view in views.items():
        if key[0] == "mix":
            view.copy_(torch.rand(view.shape, generator=generator))
        elif key[0] == "kernel":
            view *= 20
    bound = network.bind(parameters, statistics)
    x = torch.from_numpy(inputs_of(make_fold()).x_valid).to(slot.parameters).unsqueeze(0)
    outputs, slopes = network.hidden_outputs(bound, x), network.hidden_slopes(bound, x)
    assert len(outputs) == len(slopes) == 2
    kernel, bias = views["kernel", 0], views["bias", 0]
    z = (torch.bmm(x, kernel) + bias) / (1 + 1e-5) ** 0.5
    z.requires_grad_()
    hyper = {
        key: torch.tensor(float(slot.config.activation[key]), dtype=torch.float64)
        for key in slot.config.activation.parameters
        if key in ACTIVATIONS[name].parameters
    }
    a = ACTIVATIONS[name].f(z, hyper)
    if parametric:
        a = z + views["mix", 0] * (a - z)
    torch.testing.assert_close(outputs[0], a.detach(), rtol=1e-9, atol=1e-9)
    (wanted,) = torch.autograd.grad(a.sum(), z)
    torch.testing.assert_close(slopes[0], wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_units_that_pass_z_through_are_not_saturated(name: str) -> None:
    """f is flat far from 0, but a fraction of z bypasses it."""
    params = layers(1) | {
        "activation": name,
        "activation.parametric": True,
        "initializer": "normal",
        "initializer.normal.std": 1e4,
    }
    trainer = make_trainer()
    [slot] = make_fleet([Admission(0, make_config(params), 0)]).slots
    slot.epoch, slot.parameters = 1, slot.parameters.clone()
    for share, wanted in ((1.0, ("saturated",)), (0.995, ("saturated",)), (0.5, ())):
        slot.layout.views(slot.parameters.unsqueeze(0))["mix", 0].fill_(share)
        found = outcome(slot, "epochs", trainer.rows, trainer.backend).diagnosis
        assert found.flags == wanted
