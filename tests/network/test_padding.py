"""Padding stays 0 and has no effect."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from autotrain.network.layout import pack
from autotrain.techniques.activations import ACTIVATIONS
from autotrain.techniques.clipping import CLIPPINGS
from autotrain.techniques.dropout import DROPOUTS
from autotrain.techniques.normalization import BATCH_NORMS
from autotrain.techniques.optimizers import OPTIMIZERS
from autotrain.training.fleet import Fleet
from autotrain.training.slot import Admission
from tests.training.problems import make_config, make_fleet, step_once

WIDTHS = ("2", "8-3-6", "3-9", "7-1-1-2", "5", "6-6", "1-8", "4-2-9", "12-3")


def models_of(activation: str) -> list[Admission]:
    """Return nine widths and depths with one activation; other techniques cycle through tables."""
    params = [
        {
            "activation": activation,
            "network.hidden_units": WIDTHS[k],
            "optimizer": optimizer,
            "optimizer.learning_rate": 0.01,
            "batch_norm": list(BATCH_NORMS)[k % 3],
            "batch_norm.input": k % 4 == 0,
            "dropout": list(DROPOUTS)[(k // 3) % 3],
            "clipping": list(CLIPPINGS)[k % 4],
            "constraint": ("none", "max_norm")[k % 2],
            "regularizer.l1": 0.01,
            "regularizer.l2": 0.01,
        }
        for k, optimizer in enumerate(OPTIMIZERS)
    ]
    for own in params:
        if own["dropout"] != "none":
            own |= {"dropout.rate": 0.3, "dropout.input_rate": 0.1}
    return [Admission(k, make_config(own), seed=k) for k, own in enumerate(params)]


def is_padding(fleet: Fleet) -> Tensor:
    """Return True for the padded values of `[K, P]`."""
    layouts = [slot.layout for slot in fleet.slots]
    ones = [torch.ones(layout.n_parameters) for layout in layouts]
    return pack(ones, layouts, fleet.network.layout) == 0


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_padding_stays_exactly_zero(activation: str) -> None:
    fleet = make_fleet(models_of(activation))
    padding = is_padding(fleet)
    assert padding.any(1).all(), "every slot must be padded, or nothing is tested"
    for epoch in range(3):
        reports = fleet.run_epoch()
        assert all(np.isfinite(report.train_loss) for report in reports)
        weights = fleet.weights
        for name in ("parameters", "m"):
            held = getattr(weights, name)[padding]
            assert held.count_nonzero() == 0, f"padding of {name} woke up in epoch {epoch}"
        assert fleet.stepper.gradient[padding].count_nonzero() == 0
        # Adamax adds ε to |g|; other optimizers keep 0.
        assert weights.v[padding].max() < 1e-6
        assert weights.v[~padding].max() > 1e-6


@pytest.mark.parametrize("activation", ["sigmoid", "prelu", "selu"])
def test_padding_does_not_change_norms_and_losses(activation: str) -> None:
    """Losses and gradient norms of a padded slot equal those of the slot alone."""
    together = make_fleet(models_of(activation))
    losses, norms = step_once(together)
    for k, slot in enumerate(together.slots):
        [model] = [m for m in models_of(activation) if m.slot == slot.id]
        alone = make_fleet([model])
        loss, norm = step_once(alone)
        depth = slot.shape.depth
        own = torch.cat([norms[k, :depth], norms[k, -1:]])
        torch.testing.assert_close(losses[k : k + 1], loss, rtol=1e-12, atol=0)
        torch.testing.assert_close(own, norm[0], rtol=1e-10, atol=1e-14)
        assert (norms[k, depth:-1] == 0).all(), "layers beyond a slot's depth have no gradient"


def test_max_norm_and_penalties_ignore_padding() -> None:
    """With η ≈ 0, only the constraint changes weights, by the norm of the real ones."""
    params = {
        "optimizer": "sgd",
        "optimizer.learning_rate": 1e-300,
        "constraint": "max_norm",
        "constraint.max_norm.max_value": 0.5,
    }
    widths = ("9-9", "2-3")
    models = [
        Admission(k, make_config(params | {"network.hidden_units": w}), seed=k)
        for k, w in enumerate(widths)
    ]
    fleet = make_fleet(models)
    before = {slot.id: slot.parameters.clone() for slot in fleet.slots}
    step_once(fleet)
    for slot in fleet.release():
        now = slot.layout.views(slot.parameters.unsqueeze(0))
        old = slot.layout.views(before[slot.id].unsqueeze(0))
        for key, kernel in now.items():
            if key[0].endswith("kernel"):
                norms = old[key].norm(dim=1, keepdim=True)
                expected = old[key] * (0.5 / norms).clamp(max=1.0)
                torch.testing.assert_close(kernel, expected, rtol=1e-14, atol=0)


def test_padding_stays_zero_with_nan_weights() -> None:
    """NaN weights stay in their slot, and the padding of other slots stays 0."""
    models = models_of("elu")
    fleet = make_fleet(models)
    padding = is_padding(fleet)
    fleet.weights.parameters[0, ~padding[0]] = torch.nan
    fleet.run_epoch()
    others = slice(1, None)
    assert torch.isfinite(fleet.weights.parameters[others]).all()
    assert fleet.weights.parameters[others][padding[others]].count_nonzero() == 0
