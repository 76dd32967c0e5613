"""Decoupled weight decay equals `torch.optim.AdamW`, with all optimizers.

To add a kind of weight decay, add its factor of one step, (η, λ) → factor, to `REFERENCES`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from autotrain.techniques.decay import WEIGHT_DECAYS
from autotrain.training.slot import Admission
from tests.training.problems import inputs_of, make_config, make_fleet, make_fold

REFERENCES: dict[str, Callable[[float, float], float]] = {
    "none": lambda eta, rate: 1.0,
    "decoupled": lambda eta, rate: 1 - eta * rate,
}


@pytest.mark.parametrize("name", WEIGHT_DECAYS)
def test_weights_without_gradient_shrink_by_the_factor_of_each_step(name: str) -> None:
    """The weights of an input that is always 0 have no gradient, so only decay changes them."""
    eta, rate = 0.1, 0.3
    params = {"weight_decay": name, "optimizer": "momentum", "optimizer.learning_rate": eta}
    if WEIGHT_DECAYS[name].decays:
        params["weight_decay.decoupled.rate"] = rate
    fold = make_fold()
    inputs_of(fold).x_train[:, 0] = 0.0
    fleet = make_fleet([Admission(0, make_config(params), 0)], folds=[fold])
    [slot] = fleet.slots
    before = slot.layout.views(slot.parameters.unsqueeze(0))["kernel", 0][0, 0].clone()
    fleet.run_epoch()
    fleet.release()
    after = slot.layout.views(slot.parameters.unsqueeze(0))["kernel", 0][0, 0]
    wanted = before.numpy() * REFERENCES[name](eta, rate) ** fleet.n_steps
    np.testing.assert_allclose(after.numpy(), wanted, rtol=1e-12)


def test_one_step_equals_adamw() -> None:
    eta, rate = 0.01, 0.2
    weight = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.AdamW([weight], lr=eta, weight_decay=rate)
    weight.grad = torch.zeros(1)
    optimizer.step()
    assert weight.item() == pytest.approx(REFERENCES["decoupled"](eta, rate), rel=1e-6)
