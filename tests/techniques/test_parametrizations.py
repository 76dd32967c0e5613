"""Scales s of parametrizations, and initial values of V = W / s.

tests/training/test_follows_reference.py compares the training with torch. To add a parametrization,
add its s to `REFERENCES`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from autotrain.network.config import kernel_scales
from autotrain.techniques.parametrizations import PARAMETRIZATIONS
from autotrain.training.slot import Admission
from tests.training.problems import N_INPUTS, make_config, make_fleet

REFERENCES: dict[str, Callable[[int], float]] = {
    "standard": lambda fan_in: 1.0,
    "ntk": lambda fan_in: fan_in**-0.5,
}


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_scale_of_each_layer_depends_on_its_own_inputs(name: str) -> None:
    for fan_in in (1, 2, 7, 784):
        assert PARAMETRIZATIONS[name].scale(fan_in) == pytest.approx(REFERENCES[name](fan_in))
    config = make_config({"network.hidden_units": "7-4", "parametrization": name})
    [slot] = make_fleet([Admission(0, config, 0)]).slots
    wanted = [REFERENCES[name](fan_in) for fan_in in (N_INPUTS, 7, 4)]
    assert kernel_scales(config, slot.shape) == pytest.approx(wanted)


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_initial_networks_are_equal_in_all_parametrizations(name: str) -> None:
    params = {"network.hidden_units": "7-4", "initializer": "glorot_uniform"}
    plain, own = (
        make_fleet([Admission(0, make_config(params | {"parametrization": row}), 5)]).slots[0]
        for row in ("standard", name)
    )
    one, other = (slot.layout.views(slot.parameters.unsqueeze(0)) for slot in (plain, own))
    for key, fan_in in ((("kernel", 0), N_INPUTS), (("kernel", 1), 7), (("output_kernel", 0), 4)):
        weights = other[key].numpy() * REFERENCES[name](fan_in)
        np.testing.assert_allclose(weights, one[key].numpy(), rtol=1e-12)
