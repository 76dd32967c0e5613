"""How many models of a size should share a fleet.

Fusing pays where a step is ruled by the overhead of calling operations, and stops paying where the
arithmetic of one model fills the step. The costs below were measured (docs/speed.md, "Width
of the fleet"); they are stored, not measured anew in each run, so that the same study makes the
same fleets on every machine of a kind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from autotrain.network.config import shape_of
from autotrain.network.layout import Columns, Layout
from autotrain.space.config import TrialConfig


@dataclass(frozen=True)
class Costs:
    """Seconds that parts of a step take on one kind of device.

    Args:
        call_s: one operation's fixed cost.
        flop_s: one floating-point operation of a product.
        unit_s: one unit's activation, normalization, dropout and their gradients, for one row.
        parameter_s: one parameter's clipping, update and bookkeeping.
        enough: fixed costs below this share of a step are not worth a wider fleet.
        widest: more slots than this are never fused.
    """

    call_s: float
    flop_s: float
    unit_s: float
    parameter_s: float
    enough: float
    widest: int


CPU = Costs(call_s=4e-6, flop_s=1.2e-11, unit_s=8e-9, parameter_s=4e-9, enough=0.2, widest=32)
GPU = Costs(call_s=8e-6, flop_s=5e-14, unit_s=5e-11, parameter_s=4e-11, enough=0.25, widest=256)
# Operations of a step: those outside the layers, and those of each hidden layer.
CALLS, CALLS_PER_LAYER = 40, 32


def fleet_width(
    config: TrialConfig, columns: int | Columns, n_outputs: int, costs: Costs = CPU
) -> int:
    """Return how many models like this one should train together, at least 1.

    Args:
        config: one of them.
        columns: of the rows it reads; a number for so many plain ones.
        n_outputs: classes, or 1.
        costs: of the device.
    """
    columns = Columns.plain(columns) if isinstance(columns, int) else columns
    shape = shape_of(config, columns, n_outputs)
    layout, batch = Layout(shape), config.batch_size
    fixed = costs.call_s * (CALLS + CALLS_PER_LAYER * shape.depth)
    embedded = 0
    if shape.input_layer is not None and shape.input_layer.sizes is not None:
        sizes = shape.input_layer.sizes
        embedded = columns.n_numeric * (sizes.n_features + sizes.n_out)
    own = (
        costs.flop_s * 6 * batch * layout.n_kernel
        + costs.unit_s * batch * (sum(shape.hidden) + n_outputs + embedded)
        + costs.parameter_s * layout.n_parameters
    )
    return min(max(math.ceil(fixed / (costs.enough * own)), 1), costs.widest)
