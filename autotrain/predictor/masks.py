"""The masks of Monte-Carlo dropout: one keep-mask per sample, shared by all rows.

Sample s draws its bits from counter block s of a Philox generator whose key is the seed. The masks
therefore depend neither on the number of samples nor on the rows or batches, and every sample is
one function drawn from the posterior. Bits and thresholds are those of training
(`network/noise.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from autotrain.network.config import dropout_sites
from autotrain.network.noise import keep_threshold
from autotrain.space.config import TrialConfig


class MaskBank:
    """The masks of some samples, one bit per unit.

    Args:
        config, n_inputs: the network.
        numbers: indices of the samples.
        seed: the seed of all masks.
    """

    def __init__(
        self, config: TrialConfig, n_inputs: int, numbers: Sequence[int], seed: int
    ) -> None:
        self.numbers = numbers
        self.sites = dropout_sites(config, n_inputs)
        self.n_units = sum(units for _, units, _ in self.sites)
        thresholds = [
            np.full(units, keep_threshold(rate), np.int16) for _, units, rate in self.sites
        ]
        threshold = np.concatenate(thresholds) if thresholds else np.empty(0, np.int16)
        key = np.random.SeedSequence(seed).generate_state(2, np.uint64)
        self._packed = np.empty((len(numbers), -(-self.n_units // 8)), dtype=np.uint8)
        for row, number in enumerate(numbers):
            bits = np.random.Philox(key=key, counter=[0, 0, 0, number])
            raw = np.asarray(bits.random_raw(-(-self.n_units // 4))).astype("<u8", copy=False)
            keep = raw.view("<i2")[: self.n_units] < threshold
            self._packed[row] = np.packbits(keep)

    def __len__(self) -> int:
        return len(self._packed)

    def masks(self, start: int, stop: int) -> dict[int, Tensor]:
        """Return the keep-masks of samples by layer, `[stop − start, 1, H]` of 0.0 and 1.0."""
        bits = np.unpackbits(self._packed[start:stop], axis=1, count=self.n_units)
        keep = torch.from_numpy(bits).float()
        parts = keep.split([units for _, units, _ in self.sites], dim=1)
        return {
            layer: part.unsqueeze(1).contiguous()
            for (layer, _, _), part in zip(self.sites, parts, strict=True)
        }
