"""What a new slot learns from its training rows: bins of embeddings, weights scaled by data."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from autotrain.choices.embeddings import EMBEDDINGS
from autotrain.choices.initializers import INITIALIZERS
from autotrain.fused.layout import BINS, INPUT
from autotrain.fused.network import Network
from autotrain.fused.plan import Numbers
from autotrain.fused.rows import Rows
from autotrain.fused.slot import Slot

SAMPLE_ROWS = 1024
"""So many training rows tell a unit's standard deviation to 2 %."""
SAMPLE_SEED = 0
SMALLEST_STD = 1e-6
"""Units that hardly vary are left as they are."""


def fit_to_rows(slot: Slot, rows: Rows, numbers: Numbers) -> None:
    """Complete a new slot's weights with what its fold's training rows say."""
    front = slot.shape.front
    if (
        front is not None
        and front.sizes is not None
        and EMBEDDINGS[slot.config.embedding.name].bins
    ):
        found = rows.bins(slot.fold, slot.view, front.sizes.n_features)
        for name, values in zip(BINS, found, strict=True):
            start, n_rows, n_columns = slot.layout.statistics[f"bin_{name}", INPUT]
            own = torch.from_numpy(values.ravel()).to(slot.statistics)
            slot.statistics[start : start + n_rows * n_columns] = own
    if INITIALIZERS[slot.config.initializer.name].by_data:
        _scale_units(slot, rows, numbers)


def _scale_units(slot: Slot, rows: Rows, numbers: Numbers) -> None:
    """Divide each unit's weights by the standard deviation of its z on training rows.

    Layer after layer, so that each sees what the ones before have become; dropout and batch norm
    play no part. Where there are more than `SAMPLE_ROWS`, so many drawn at random: tables are often
    sorted. They are the same for all models, whatever their seeds.
    """
    x = _sample(rows.training_inputs(slot.fold, slot.view)).unsqueeze(0)
    network = Network([slot.config], slot.columns, slot.shape.n_outputs, numbers)
    bound = network.bind(slot.parameters.unsqueeze(0), slot.statistics.unsqueeze(0))
    kernels = [*(layer.kernel for layer in bound.layers), bound.output_kernel]
    for layer, kernel in enumerate(kernels):
        std = network.pre_activations(bound, x, layer).std(1, keepdim=True, unbiased=False)
        kernel /= torch.where(std > SMALLEST_STD, std, torch.ones_like(std))


def _sample(x: Tensor) -> Tensor:
    if len(x) <= SAMPLE_ROWS:
        return x
    chosen = np.random.default_rng(SAMPLE_SEED).choice(len(x), SAMPLE_ROWS, replace=False)
    return x[torch.from_numpy(np.sort(chosen)).to(x.device)]
