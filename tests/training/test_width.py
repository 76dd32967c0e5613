"""Width of fleets: many small models or few large ones, at least one."""

from __future__ import annotations

from typing import Any

import pytest

from autotrain.training.width import CPU, GPU, Costs, fleet_width
from tests.training.problems import make_config


def width_of(units: int, layers: int, batch_size: int, n_inputs: int, costs: Costs) -> int:
    params: dict[str, Any] = {
        "network.hidden_layers": layers,
        "training.batch_size": batch_size,
    }
    if layers:
        params["network.hidden_units"] = units
    return fleet_width(make_config(params), n_inputs, 3, costs)


@pytest.mark.parametrize("costs", [CPU, GPU], ids=["cpu", "gpu"])
def test_smaller_models_have_wider_fleets(costs: Costs) -> None:
    sizes = [(8, 1, 16, 5), (64, 2, 32, 30), (256, 3, 128, 100), (2048, 6, 1024, 5000)]
    found = [width_of(*size, costs) for size in sizes]
    assert found == sorted(found, reverse=True)
    assert found[0] == costs.widest
    assert width_of(8, 0, 16, 5, costs) == costs.widest
    assert all(1 <= width <= costs.widest for width in found)


def test_large_model_trains_alone() -> None:
    assert width_of(2048, 6, 1024, 5000, CPU) == 1


def test_gpu_has_wider_fleets_than_cpu() -> None:
    assert width_of(128, 2, 128, 50, GPU) > width_of(128, 2, 128, 50, CPU)
