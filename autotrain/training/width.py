"""The number of models that should share a fleet, by their size.

Fusing helps as long as most of a step is the overhead of calling operations, and no longer helps
when the arithmetic of one model dominates. The costs below were measured (docs/speed.md,
"Width of the fleet"). They are constants so that a study forms the same fleets on every machine
with the same kind of device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from autotrain.data.codes import Columns
from autotrain.network.config import shape_of
from autotrain.network.layout import Layout
from autotrain.space.config import TrialConfig


@dataclass(frozen=True)
class Costs:
    """Costs of the parts of a step on one kind of device.

    Args:
        call_s: fixed cost of one operation, in seconds.
        flop_s: one floating-point operation of a matrix product, in seconds.
        unit_s: activation, normalization and dropout of one unit for one row, with gradients, in
            seconds.
        parameter_s: clipping and update of one parameter, in seconds.
        enough: fraction of a step below which fixed costs do not justify a wider fleet.
        widest: largest number of slots in a fleet.
    """

    call_s: float
    flop_s: float
    unit_s: float
    parameter_s: float
    enough: float
    widest: int


CPU = Costs(call_s=4e-6, flop_s=1.2e-11, unit_s=8e-9, parameter_s=4e-9, enough=0.2, widest=32)
GPU = Costs(call_s=8e-6, flop_s=5e-14, unit_s=5e-11, parameter_s=4e-11, enough=0.25, widest=256)
# Number of operations of a step outside the hidden layers and in each of them.
CALLS, CALLS_PER_LAYER = 40, 32


def fleet_width(
    config: TrialConfig, columns: int | Columns, n_outputs: int, costs: Costs = CPU
) -> int:
    """Return the number of models like this one that should share a fleet, at least 1.

    Args:
        config: configuration of the models.
        columns: columns of the rows that they read; a number n stands for n plain columns.
        n_outputs: number of classes, or 1 for regression.
        costs: costs on the device.
    """
    columns = Columns.plain(columns) if isinstance(columns, int) else columns
    shape = shape_of(config, columns, n_outputs)
    layout, batch = Layout(shape), config.batch_size
    fixed = costs.call_s * (CALLS + CALLS_PER_LAYER * shape.depth)
    embedded = 0
    if shape.input_layer is not None and shape.input_layer.sizes is not None:
        sizes = shape.input_layer.sizes
        embedded = columns.n_numeric * (sizes.n_features + sizes.n_out)
    arithmetic = (
        costs.flop_s * 6 * batch * layout.n_kernel
        + costs.unit_s * batch * (sum(shape.hidden) + n_outputs + embedded)
        + costs.parameter_s * layout.n_parameters
    )
    return min(max(math.ceil(fixed / (costs.enough * arithmetic)), 1), costs.widest)
