"""Dropout at one layer of a fleet, with a kind and a rate for each slot.

`grouping.py` groups the slots by kind of dropout, `noise.py` draws the keep-masks, and
`network.py` applies one `Dropping` per layer in its forward and backward pass. The map itself is in
`techniques/dropout.py`. `predictor/plain.py` applies it a second time, for one network without
slots, padding or gradients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from autotrain.network.grouping import Backend, SlotGroup
from autotrain.techniques.dropout import Affine, Dropout

Keep = Mapping[int, Tensor]
"""Keep-masks by layer (`INPUT` or a hidden layer).

1 for kept units, 0 for dropped and padded ones; all 1 in slots without dropout. `[K, B, H]` in
training, `[K, 1, H]` if all rows share a mask.
"""


@dataclass(frozen=True)
class Dropping:
    """Dropout at one layer, ready to apply.

    Args:
        scale: factor of kept units, `[K, 1, 1]`.
        shifted: slots whose kept or dropped units are shifted, with their maps.
    """

    scale: Tensor
    shifted: Sequence[tuple[slice, Affine]]

    @classmethod
    def of(
        cls, groups: Sequence[SlotGroup], backend: Backend, factors: Tensor | None = None
    ) -> Dropping | None:
        """Prepare the dropout of one layer; None if no slot has any.

        Args:
            groups: the slots of the layer, grouped by dropout.
            backend: device and dtype.
            factors: factors on the rates, `[K, 1, 1]`; None for 1.
        """
        if all(cast(Dropout, group.row).affine is None for group in groups):
            return None
        n_slots = groups[-1].slots.stop
        scale = torch.ones(n_slots, 1, 1, dtype=backend.dtype, device=backend.device)
        shifted = []
        for group in groups:
            affine = cast(Dropout, group.row).affine
            if affine is None:
                continue
            rate = group.parameters["rate"]
            at = affine(rate if factors is None else rate * factors[group.slots])
            scale[group.slots] = at.scale
            if at.kept is not None:
                shifted.append((group.slots, at))
        return cls(scale, shifted)

    def apply(
        self, h: Tensor, keep: Tensor, real: Tensor | None, scale: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return h after dropout, with padded units at 0, and its derivative by h, `[K, B, H]`.

        Args:
            h: `[K, B, H]`.
            keep: keep-mask, see `Keep`.
            real: 1 for real units, 0 for padded ones, `[K, 1, H]`; None if no unit is padded.
            scale: memory for the derivative, which may be `keep` itself; None for new memory.
        """
        shifts = []
        for slots, at in self.shifted:
            shift = at.shift(keep[slots])
            assert shift is not None
            shifts.append(shift if real is None else shift * real[slots])
        scale = torch.mul(keep, self.scale, out=scale)
        h = h * scale
        for (slots, _), shift in zip(self.shifted, shifts, strict=True):
            h[slots] += shift
        return h, scale


def drop(
    dropping: Dropping | None, h: Tensor, keep: Tensor | None, real: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Return h `[K, B, H]` after dropout, padded units at 0, and its derivative (None for 1).

    Args:
        dropping: the dropout of the layer; None without dropout.
        h, keep, real: see `Dropping.apply`; overwrites `keep`.
    Raises:
        ValueError: if there is dropout but no keep-mask.
    """
    if dropping is None:
        return (h, None) if real is None else (h * real, real)
    if keep is None:
        raise ValueError("keep must be a mask for a layer with dropout, got None")
    return dropping.apply(h, keep, real, keep)
