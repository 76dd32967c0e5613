"""Initial values of a slot that depend on its training rows.

These are the bins of embeddings, the first moving averages of raw inputs, and weights that are
scaled by data. `Trainer.admit` calls `fit_to_rows` once for every new slot.
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
"""Number of training rows that determines the standard deviation of a unit up to 2 %."""
SAMPLE_SEED = 0
SMALLEST_STD = 1e-6
"""Units with a smaller standard deviation are not scaled."""


def fit_to_rows(slot: Slot, rows: Rows, backend: Backend) -> None:
    """Set the values of a new slot that depend on the training rows of its fold, in place.

    Args:
        slot: the new slot.
        rows: the rows of all folds.
        backend: device and dtype.
    """
    input_layer = slot.shape.input_layer
    if (
        input_layer is not None
        and input_layer.sizes is not None
        and EMBEDDINGS[slot.config.embedding.name].bins
    ):
        bins = rows.bins(slot.fold, slot.view, input_layer.sizes.n_features)
        for name, values in zip(BINS, bins, strict=True):
            start, n_rows, n_columns = slot.layout.statistics[f"bin_{name}", INPUT]
            flat = torch.from_numpy(values.ravel()).to(slot.statistics)
            slot.statistics[start : start + n_rows * n_columns] = flat
    if SCALERS[slot.config.scaler.name].is_raw and slot.config.batch_norm["input"]:
        _start_moving_averages(slot, rows, backend)
    if INITIALIZERS[slot.config.initializer.name].by_data:
        _scale_units(slot, rows, backend)


def _start_moving_averages(slot: Slot, rows: Rows, backend: Backend) -> None:
    """Set the moving averages of the input batch norm to mean and variance of the training rows.

    The usual initial values 0 and 1 fit scaled inputs. For raw inputs the averages would need
    log(μ/σ) / log(1/momentum) steps to adapt, and predictions before that would be useless.
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
    """Return a network of this slot, its bound weights, and a sample of rows `[1, N, W]`."""
    x = _sample(rows.training_inputs(slot.fold, slot.view)).unsqueeze(0)
    network = FusedNetwork([slot.config], slot.columns, slot.shape.n_outputs, backend)
    return network, network.bind(slot.parameters.unsqueeze(0), slot.statistics.unsqueeze(0)), x


def _scale_units(slot: Slot, rows: Rows, backend: Backend) -> None:
    """Divide the weights of each unit by the standard deviation of its z on training rows.

    Layers are scaled one after another, so that each layer sees the scaled layers below it. Dropout
    is off, and batch norm has its initial statistics. At most `SAMPLE_ROWS` rows are used. They are
    drawn at random, because tables are often sorted, and are the same for all seeds.
    """
    network, bound, x = _bound_to_sample(slot, rows, backend)
    kernels = [*(layer.kernel for layer in bound.layers), bound.output_kernel]
    for layer, kernel in enumerate(kernels):
        std = network.pre_activations(bound, x, layer).std(1, keepdim=True, unbiased=False)
        kernel /= torch.where(std > SMALLEST_STD, std, torch.ones_like(std))


def _sample(x: Tensor) -> Tensor:
    """Return at most `SAMPLE_ROWS` of the rows `[N, W]`, in their order."""
    if len(x) <= SAMPLE_ROWS:
        return x
    chosen = np.random.default_rng(SAMPLE_SEED).choice(len(x), SAMPLE_ROWS, replace=False)
    return x[torch.from_numpy(np.sort(chosen)).to(x.device)]
