"""Dropout of a fleet: each slot's own rate and kind at one place of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from autotrain.network.grouping import Numbers, Run
from autotrain.techniques.dropout import Dropout

Keep = Mapping[int, Tensor]
"""Keep-masks by layer (`INPUT` or a hidden layer): 1 where a unit stays, 0 where it is dropped or
only pads; all 1 in slots without dropout. `[K, B, H]` in training, `[K, 1, H]` when one mask
serves all rows."""


@dataclass(frozen=True)
class Dropping:
    """Dropout of one place of the network, ready to apply.

    Args:
        scale: of units that stay, `[K, 1, 1]`.
        shifts: for runs whose dropped units are not 0: (slots, shift of units that stay, how much
            more of it dropped units get), `[k, 1, 1]` each.
    """

    scale: Tensor
    shifts: Sequence[tuple[slice, Tensor, Tensor]]

    @classmethod
    def of(
        cls, runs: Sequence[Run], numbers: Numbers, factors: Tensor | None = None
    ) -> Dropping | None:
        """Prepare a place's runs; None when none of them ever drops.

        Args:
            factors: on the rates `[K, 1, 1]`; None for 1.
        """
        if all(cast(Dropout, run.row).affine is None for run in runs):
            return None
        n_slots = runs[-1].slots.stop
        scale = torch.ones(n_slots, 1, 1, dtype=numbers.dtype, device=numbers.device)
        shifts = []
        for run in runs:
            affine = cast(Dropout, run.row).affine
            if affine is None:
                continue
            rate = run.parameters["rate"]
            at = affine(rate if factors is None else rate * factors[run.slots])
            scale[run.slots] = at.scale
            if at.kept is not None and at.dropped is not None:
                shifts.append((run.slots, at.kept, at.dropped - at.kept))
        return cls(scale, shifts)

    def apply(
        self, h: Tensor, keep: Tensor, real: Tensor | None, scale: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return h with dropout, padded units at 0, and ∂(that)/∂h `[K, B, H]`.

        Args:
            h: `[K, B, H]`.
            keep: see `Keep`.
            real: 1 for real units `[K, 1, H]`; None when none is padded.
            scale: where to write ∂/∂h; may be `keep` itself. None: new memory.
        """
        shifts = []
        for slots, kept, more in self.shifts:
            shift = torch.addcmul(kept + more, keep[slots], more, value=-1)
            shifts.append(shift if real is None else shift * real[slots])
        scale = torch.mul(keep, self.scale, out=scale)
        h = h * scale
        for (slots, _, _), shift in zip(self.shifts, shifts, strict=True):
            h[slots] += shift
        return h, scale


def drop(
    dropping: Dropping | None, h: Tensor, keep: Tensor | None, real: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Return h with dropout and padded units at 0, and the scale of its gradient (None for 1)."""
    if dropping is None:
        return (h, None) if real is None else (h * real, real)
    if keep is None:
        raise ValueError("a layer with dropout needs its keep-masks, however: none came")
    return dropping.apply(h, keep, real, keep)
