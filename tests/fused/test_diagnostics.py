"""Sick models are flagged, healthy ones are not, and norms are autograd's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from autotrain.choices.activations import ACTIVATIONS
from autotrain.fused.diagnostics import GradientRecord, flags, unit_shares
from autotrain.fused.fleet import outcome
from autotrain.fused.network import Network
from autotrain.fused.slot import Admission
from tests.fused.problems import (
    draw_models,
    make_config,
    make_fleet,
    make_fold,
    make_problem,
    make_reference,
    make_trainer,
    train_alone,
)


def diagnose(params: dict[str, Any], task: str = "multiclass", seed: int = 0) -> dict[str, Any]:
    _, end = train_alone(make_trainer(task), Admission(0, make_config(params), seed))
    return end.diagnostics


def layers(depth: int, units: int = 16) -> dict[str, Any]:
    return {"network.hidden_units": units, "network.hidden_layers": depth}


# ---- whole trainings -----------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "elu", "tanh", "selu"])
def test_a_healthy_model_has_no_flag(activation: str) -> None:
    initializer = {"tanh": "glorot_normal", "selu": "lecun_normal"}.get(activation, "he_normal")
    found = diagnose(layers(2) | {"activation": activation, "initializer": initializer})
    assert found["flags"] == []
    assert found["vanishing"] is False
    assert found["exploding"] is False
    assert found["gradient_ratio"] > 0.01
    assert len(found["gradient_norms"]) == 3


def test_a_deep_sigmoid_network_with_tiny_weights_vanishes() -> None:
    params = {
        "activation": "sigmoid",
        "initializer": "normal",
        "initializer.normal.std": 0.01,
        "optimizer": "sgd",
    }
    found = diagnose(layers(12) | params)
    assert "vanishing" in found["flags"]
    assert found["gradient_ratio"] < 1e-6
    assert found["gradient_norms"][0] < 1e-6 < found["gradient_norms"][-1]
    # The same depth with what the notes recommend.
    healthy = {"activation": "elu", "initializer": "he_normal", "optimizer": "sgd"}
    assert "vanishing" not in diagnose(layers(12) | healthy)["flags"]


def test_a_learning_rate_too_large_explodes() -> None:
    params = {"optimizer": "sgd", "activation": "relu", "training.epochs": 20}
    found = diagnose(layers(3) | params | {"optimizer.learning_rate": 100.0}, "regression")
    assert "exploding" in found["flags"]
    assert "exploding" not in diagnose(layers(3) | params, "regression")["flags"]


def test_relu_units_that_a_large_step_kills_are_dead() -> None:
    params = {"optimizer": "sgd", "activation": "relu", "optimizer.learning_rate": 500.0}
    found = diagnose(layers(2) | params | {"clipping": "norm", "training.epochs": 5})
    assert "dead_units" in found["flags"]
    assert found["dead_units_share"] > 0.7
    assert found["saturated_share"] == 0.0


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_large_weights_saturate(activation: str) -> None:
    params = {
        "activation": activation,
        "initializer": "normal",
        "initializer.normal.std": 50.0,
        "optimizer.learning_rate": 1e-6,
    }
    found = diagnose(layers(2) | params)
    assert "saturated" in found["flags"]
    assert found["saturated_share"] > 0.9
    assert found["dead_units_share"] == 0.0


def test_units_whose_bias_is_hugely_negative_are_dead() -> None:
    """Exactly the share of them, over all layers, on the best epoch's weights."""
    fleet = make_fleet([Admission(0, make_config({"network.hidden_units": "8-4"}), seed=1)])
    fleet.run_epoch()
    [slot] = fleet.release()
    views = slot.layout.views(slot.best_parameters.unsqueeze(0))
    alive = outcome(slot, "stopped", fleet.rows, fleet.numbers).diagnostics
    assert alive["flags"] == []
    for layer in (0, 1):
        views["bias", layer][:] = 10.0 ** (3 + 6 * layer)  # else a unit may be dead by chance
    views["bias", 0][0, 0, :7] = -1e6
    found = outcome(slot, "stopped", fleet.rows, fleet.numbers).diagnostics
    assert found["dead_units_share"] == pytest.approx(7 / 12)
    assert found["flags"] == ["dead_units"]


def test_a_linear_model_has_norms_and_no_units() -> None:
    found = diagnose({"network.hidden_layers": 0})
    assert len(found["gradient_norms"]) == 1
    assert np.isnan(found["gradient_ratio"])
    assert found["flags"] == []
    assert found["dead_units_share"] == found["saturated_share"] == 0.0


# ---- norms ---------------------------------------------------------------------------------


def test_gradient_norms_are_those_of_autograd(monkeypatch: pytest.MonkeyPatch) -> None:
    """By layer and step, in a fleet of other depths, before clipping, without penalties."""
    seen: list[tuple[GradientRecord, np.ndarray]] = []
    update = GradientRecord.update

    def record(self: GradientRecord, norms: np.ndarray, losses: np.ndarray) -> None:
        seen.append((self, norms[:, self.layers]))
        update(self, norms, losses)

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
        summary = slot.gradients.summary()
        assert summary["gradient_norms"] == pytest.approx(norms.mean(0), rel=1e-3)


def record_of(*epochs: np.ndarray) -> dict[str, Any]:
    """Give norms `[steps, 3]`, epoch by epoch, to a model of two hidden layers."""
    record = GradientRecord(2)
    for norms in epochs:
        record.update(norms, np.ones(len(norms)))
    return record.summary()


def test_vanishing_is_the_median_over_the_epochs() -> None:
    small, large = np.array([[5e-4, 1.0, 1.0]] * 3), np.array([[0.5, 1.0, 1.0]] * 3)
    assert record_of(small, small, large)["vanishing"]
    assert not record_of(small, large, large)["vanishing"]
    assert record_of(small)["gradient_ratio"] == pytest.approx(5e-4)
    assert not record_of(np.array([[2e-3, 1.0, 1.0]]))["vanishing"]


def test_exploding_is_a_thousand_times_the_first_epochs_median() -> None:
    calm = np.array([[1.0, 1.0, 1.0]] * 3)
    for layer in range(3):
        burst = calm.copy()
        burst[1, layer] = 999.0
        assert not record_of(calm, burst)["exploding"]
        burst[1, layer] = 1001.0
        assert record_of(calm, calm, burst)["exploding"]
        assert record_of(calm, burst, calm)["exploding"], "once is enough"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_exploding_is_whatever_is_not_finite(value: float) -> None:
    calm, losses = np.ones((3, 3)), np.ones(3)
    broken = calm.copy()
    broken[2, 1] = value
    assert record_of(calm, broken)["exploding"]
    assert record_of(broken)["gradient_norms"] == []
    record = GradientRecord(2)
    losses[1] = value
    record.update(calm, losses)
    assert record.exploding


def test_leaving_a_vanishing_start_is_no_explosion() -> None:
    faint = np.full((4, 3), 1e-7)
    assert not record_of(faint, np.full((4, 3), 0.9))["exploding"]
    assert record_of(faint, np.full((4, 3), 1.1))["exploding"]


def test_an_explosion_within_the_first_epoch_is_one() -> None:
    norms = np.ones((5, 3))
    norms[4, 1] = 1.1e3
    assert record_of(norms)["exploding"]
    norms[4, 1] = 0.9e3
    assert not record_of(norms)["exploding"]


def test_a_loss_explodes_as_a_norm_does() -> None:
    record = GradientRecord(2)
    record.update(np.ones((3, 3)), np.full(3, 2.0))
    record.update(np.ones((3, 3)), np.full(3, 1.9e3))
    assert not record.exploding
    record.update(np.ones((3, 3)), np.array([2.0, 2.1e3, 2.0]))
    assert record.exploding


def test_norms_near_the_largest_number_raise_no_warning() -> None:
    huge = np.full((4, 3), 3e38, dtype=np.float32)
    summary = record_of(huge, huge)
    assert summary["gradient_norms"] == pytest.approx([3e38] * 3, rel=1e-3)
    assert not summary["exploding"]


def test_layers_deeper_than_the_model_are_not_its_own() -> None:
    """A model of one hidden layer in a fleet of three: its first and the output layer count."""
    record = GradientRecord(1)
    record.update(np.array([[0.5, 0.0, 0.0, 2.0]]), np.ones(1))
    assert record.summary()["gradient_norms"] == [0.5, 2.0]
    assert record.summary()["gradient_ratio"] == 0.25


# ---- units ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_shares_of_units_by_activation(name: str) -> None:
    """z far on either side: which units count as dead or saturated, from the definition."""
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
    dead = (a == 0).all(1).double().mean() if name not in ("sigmoid", "tanh", "softplus") else 0
    saturated = (slope.abs() < 0.01).double().mean() if name in ("sigmoid", "tanh") else 0
    assert found["dead_units_share"] == pytest.approx(float(dead))
    assert found["saturated_share"] == pytest.approx(float(saturated))


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("parametric", [False, True])
def test_slopes_are_those_of_autograd(name: str, parametric: bool) -> None:
    params = layers(2) | {
        "activation": name,
        "activation.parametric": parametric,
        "batch_norm": "before_activation",
    }
    [slot] = make_fleet([Admission(0, make_config(params), 0)]).slots
    numbers = make_trainer().numbers
    network = Network([slot.config], slot.columns, slot.shape.n_outputs, numbers)
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
    x = torch.from_numpy(make_fold().x_valid).to(slot.parameters).unsqueeze(0)
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
def test_units_that_learned_to_let_z_through_are_not_saturated(name: str) -> None:
    """Far from 0 f is flat, but a share of z passes by it."""
    params = layers(1) | {
        "activation": name,
        "activation.parametric": True,
        "initializer": "normal",
        "initializer.normal.std": 1e4,
    }
    trainer = make_trainer()
    [slot] = make_fleet([Admission(0, make_config(params), 0)]).slots
    slot.best_epoch, slot.best_score = 1, 0.0
    slot.best_parameters = slot.best_parameters.clone()
    for share, flags_wanted in ((1.0, ["saturated"]), (0.995, ["saturated"]), (0.5, [])):
        slot.layout.views(slot.best_parameters.unsqueeze(0))["mix", 0].fill_(share)
        found = outcome(slot, "epochs", trainer.rows, trainer.numbers).diagnostics
        assert found["flags"] == flags_wanted


def test_flags_need_more_than_half() -> None:
    assert flags({"dead_units_share": 0.5, "saturated_share": 0.5}) == []
    assert flags({"dead_units_share": 0.51, "saturated_share": 0.6}) == ["dead_units", "saturated"]
    assert flags({"vanishing": True, "exploding": True}) == ["vanishing", "exploding"]
