"""What a new slot learns from its training rows.

Bins of embeddings, the first moving averages of raw inputs, weights scaled by data.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from autotrain.network.binding import Bound
from autotrain.network.grouping import Backend
from autotrain.network.layout import BINS, INPUT
from autotrain.network.network import FusedNetwork
from autotrain.techniques.embeddings import EMBEDDINGS
from autotrain.techniques.initializers import INITIALIZERS
from autotrain.techniques.scalers import SCALERS
from autotrain.training.rows import Rows
from autotrain.training.slot import Slot

SAMPLE_ROWS = 1024
"""So many training rows tell a unit's standard deviation to 2 %."""
SAMPLE_SEED = 0
SMALLEST_STD = 1e-6
"""Units that hardly vary are left as they are."""


def fit_to_rows(slot: Slot, rows: Rows, backend: Backend) -> None:
    """Complete a new slot's weights with what its fold's training rows say."""
    input_layer = slot.shape.input_layer
    if (
        input_layer is not None
        and input_layer.sizes is not None
        and EMBEDDINGS[slot.config.embedding.name].bins
    ):
        found = rows.bins(slot.fold, slot.view, input_layer.sizes.n_features)
        for name, values in zip(BINS, found, strict=True):
            start, n_rows, n_columns = slot.layout.statistics[f"bin_{name}", INPUT]
            own = torch.from_numpy(values.ravel()).to(slot.statistics)
            slot.statistics[start : start + n_rows * n_columns] = own
    if SCALERS[slot.config.scaler.name].is_raw and slot.config.batch_norm["input"]:
        _start_moving_averages(slot, rows, backend)
    if INITIALIZERS[slot.config.initializer.name].by_data:
        _scale_units(slot, rows, backend)


def _start_moving_averages(slot: Slot, rows: Rows, backend: Backend) -> None:
    """Set the input batch norm's moving averages to mean and variance of the training rows.

    From 0 and 1, which fit scaled inputs, they would need log(μ/σ) / log(1/momentum) steps until
    they fit raw ones, and no prediction before would be of use.
    """
    network, bound, x = _bound_to_sample(slot, rows, backend)
    inputs = network.input_layer_outputs(bound, x).double()
    [norm] = bound.input_norm
    assert norm.mean is not None
    assert norm.variance is not None
    norm.mean.copy_(inputs.mean(1, keepdim=True))
    norm.variance.copy_(inputs.var(1, keepdim=True, unbiased=inputs.shape[1] > 1))


def _bound_to_sample(
    slot: Slot, rows: Rows, backend: Backend
) -> tuple[FusedNetwork, Bound, Tensor]:
    """Return a network of the slot alone, bound to its own rows, and training rows `[1, B, W]`."""
    x = _sample(rows.training_inputs(slot.fold, slot.view)).unsqueeze(0)
    network = FusedNetwork([slot.config], slot.columns, slot.shape.n_outputs, backend)
    return network, network.bind(slot.parameters.unsqueeze(0), slot.statistics.unsqueeze(0)), x


def _scale_units(slot: Slot, rows: Rows, backend: Backend) -> None:
    """Divide each unit's weights by the standard deviation of its z on training rows.

    Layer after layer, so that each sees what the ones before have become; dropout and batch norm
    play no part. Where there are more than `SAMPLE_ROWS`, so many drawn at random: tables are often
    sorted. They are the same for all models, whatever their seeds.
    """
    network, bound, x = _bound_to_sample(slot, rows, backend)
    kernels = [*(layer.kernel for layer in bound.layers), bound.output_kernel]
    for layer, kernel in enumerate(kernels):
        std = network.pre_activations(bound, x, layer).std(1, keepdim=True, unbiased=False)
        kernel /= torch.where(std > SMALLEST_STD, std, torch.ones_like(std))


def _sample(x: Tensor) -> Tensor:
    if len(x) <= SAMPLE_ROWS:
        return x
    chosen = np.random.default_rng(SAMPLE_SEED).choice(len(x), SAMPLE_ROWS, replace=False)
    return x[torch.from_numpy(np.sort(chosen)).to(x.device)]
