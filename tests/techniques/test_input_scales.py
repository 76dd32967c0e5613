"""Initial values and learning rates of input scales.

tests/training/test_follows_reference.py compares the training with torch. To add an input scale,
add whether it scales to `REFERENCES`.
"""

from __future__ import annotations

import numpy as np
import pytest

from autotrain.data.codes import Columns
from autotrain.network.config import factor_row, shape_of
from autotrain.network.layout import INPUT, Layout
from autotrain.techniques.input_scales import INPUT_SCALES
from autotrain.training.slot import Admission
from tests.training.problems import make_config, make_fleet

REFERENCES = {"off": False, "diagonal": True}


@pytest.mark.parametrize("name", INPUT_SCALES)
def test_diagonal_scales_each_input(name: str) -> None:
    fleet = make_fleet([Admission(0, make_config({"input_scale": name}), 0)])
    [slot] = fleet.slots
    before = slot.layout.views(slot.parameters.unsqueeze(0))["scale", INPUT].clone()
    assert (before == 1).all()
    fleet.run_epoch()
    fleet.release()
    after = slot.layout.views(slot.parameters.unsqueeze(0))["scale", INPUT]
    assert bool((after != before).all()) is REFERENCES[name]
    assert INPUT_SCALES[name].scales is REFERENCES[name]


def test_only_the_scale_has_its_learning_rate() -> None:
    config = make_config({"input_scale": "diagonal", "input_scale.diagonal.learning_rate": 7.0})
    layout = Layout(shape_of(config, Columns(3, (), 2), 2))
    row = factor_row(config, layout)
    assert row is not None
    start, _, n = layout.parameters["scale", INPUT]
    assert n == 5
    expected = np.ones(layout.n_parameters)
    expected[start : start + n] = 7.0
    np.testing.assert_array_equal(row, expected)
