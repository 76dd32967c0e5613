"""Prediction without and with dropout equals torch's modules."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from autotrain.network.layout import INPUT
from autotrain.training.fleet import Fleet
from autotrain.training.slot import Admission, Slot
from tests.reference import GivenDropout, Reference
from tests.training.problems import (
    DOUBLE,
    N_INPUTS,
    draw_models,
    make_config,
    make_fleet,
    make_fold,
    make_problem,
    make_reference,
    step_once,
)

N_ROWS = 12


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    """Return a trained fleet of mixed depths, widths and techniques."""
    plain = {"network.hidden_units": "9-2", "dropout": "dropout", "dropout.rate": 0.4}
    special = {
        "network.hidden_units": "3",
        "activation": "selu",
        "dropout": "alpha_dropout",
        "dropout.rate": 0.2,
        "dropout.input_rate": 0.3,
        "batch_norm": "after_activation",
    }
    models = [
        *draw_models("multiclass", 51, 8),
        Admission(20, make_config(plain), 1),
        Admission(21, make_config(special), 2),
    ]
    made = make_fleet(models)
    made.run_epoch()
    made.release()
    return made


def reference_of(slot: Slot) -> Reference:
    reference = make_reference(slot.config, make_problem(), make_fold(), seed=0)
    parameters = slot.layout.views(slot.parameters.unsqueeze(0))
    reference.load(parameters, slot.layout.views(slot.statistics.unsqueeze(0), statistics=True))
    return reference


def predict(fleet: Fleet, x: Tensor, keep: Mapping[int, Tensor] | None = None) -> Tensor:
    stepper = fleet.stepper
    rows = x.expand(len(fleet.slots), -1, -1)
    return fleet.network.predict(stepper.bound, rows, keep)


def rows() -> Tensor:
    return torch.randn(N_ROWS, N_INPUTS, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))


def test_prediction_equals_torch_in_eval_mode(fleet: Fleet) -> None:
    x = rows()
    outputs = predict(fleet, x)
    for k, slot in enumerate(fleet.slots):
        expected = reference_of(slot).model.eval()(x)
        torch.testing.assert_close(outputs[k], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n_masks", [1, N_ROWS], ids=["one mask for all rows", "one mask a row"])
def test_prediction_with_masks_equals_torch_with_dropout_only(fleet: Fleet, n_masks: int) -> None:
    generator = torch.Generator().manual_seed(1)
    widths = {INPUT: N_INPUTS, **dict(enumerate(fleet.network.layout.shape.hidden))}
    keep = {
        layer: (
            torch.rand(
                len(fleet.slots) if layer == INPUT else fleet.network.reach[layer],
                n_masks,
                widths[layer],
                dtype=DOUBLE,
                generator=generator,
            )
            < 0.7
        ).to(DOUBLE)
        for layer in fleet.bits.layers
    }
    for layer, masks in keep.items():
        for mask, slot in zip(masks, fleet.slots, strict=False):
            dropout = slot.config.dropout
            if dropout.name == "none" or not dropout["input_rate" if layer == INPUT else "rate"]:
                mask.fill_(1.0)
    x = rows()
    outputs, off = predict(fleet, x, keep), predict(fleet, x)
    n_dropping = 0
    for k, slot in enumerate(fleet.slots):
        reference = reference_of(slot)
        reference.model.eval()
        for (_, layer), module in reference.named.items():
            if isinstance(module, GivenDropout):
                module.train()
                module.keep = keep[layer][k, :, : module.width] > 0
                n_dropping += 1
        torch.testing.assert_close(outputs[k], reference.model(x), rtol=1e-10, atol=1e-12)
        drops = any(isinstance(module, GivenDropout) for module in reference.model)
        assert torch.equal(outputs[k], off[k]) == (not drops)
    assert n_dropping > 8


def test_hidden_outputs_equal_torch_activations(fleet: Fleet) -> None:
    x = rows()
    stepper = fleet.stepper
    found = fleet.network.hidden_outputs(stepper.bound, x.expand(len(fleet.slots), -1, -1))
    for k, slot in enumerate(fleet.slots):
        reference = reference_of(slot)
        reference.model.eval()
        h = reference.input_layer(x)
        for (kind, layer), module in reference.named.items():
            h = module(h)
            if kind == "activation":
                width = slot.shape.hidden[layer]
                torch.testing.assert_close(found[layer][k, :, :width], h, rtol=1e-10, atol=1e-12)


def test_prediction_does_not_change_weights(fleet: Fleet) -> None:
    before = [tensor.clone() for tensor in vars(fleet.weights).values()]
    fleet.evaluate()
    for tensor, old in zip(vars(fleet.weights).values(), before, strict=True):
        assert torch.equal(tensor, old)


def test_pass_without_updating_keeps_moving_averages() -> None:
    models = [Admission(0, make_config({"batch_norm": "after_activation"}), 1)]
    fleet = make_fleet(models)
    stepper = fleet.stepper
    x = rows().unsqueeze(0)
    before = fleet.weights.statistics.clone()
    still, _ = fleet.network.forward(stepper.bound, x, {}, updating=False)
    assert torch.equal(fleet.weights.statistics, before)
    moved, _ = fleet.network.forward(stepper.bound, x, {})
    assert torch.equal(still, moved)
    assert not torch.equal(fleet.weights.statistics, before)


def test_dropout_without_masks_raises() -> None:
    fleet = make_fleet([Admission(0, make_config({"dropout": "dropout"}), 1)])
    fleet.bits.masks = lambda drawn, step: {}  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="keep must be a mask"):
        step_once(fleet)
