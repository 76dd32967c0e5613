"""Measures the health of a training: gradient norms and losses by epoch, units at its end.

`GradientRecord` follows a slot epoch by epoch and `unit_shares` looks at its units; both end in a
`Diagnosis`, whose meaning is decided in `flags.py`. A gradient norm is the L2 norm of ∂loss/∂W of
one layer, without penalties and before clipping.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from autotrain.network.flags import (
    EXPLODING_LOSS,
    EXPLODING_RATIO,
    FIRST_GROWTH,
    FLAT_SLOPE,
    LAYERS,
    LOSS,
    NOT_FINITE,
    Diagnosis,
)
from autotrain.space.config import TrialConfig
from autotrain.techniques.activations import ACTIVATIONS


class GradientRecord:
    """Follows one trial's losses and gradient norms.

    Args:
        depth: its number of hidden layers.
        n_outputs: classes, or 1 for regression.
    """

    def __init__(self, depth: int, n_outputs: int) -> None:
        # A fleet may be deeper than the trial: its own layers, then the output layer.
        self.layers = [*range(depth), -1]
        self.constant_loss = math.log(n_outputs) if n_outputs > 1 else 1.0
        self.epoch = 0
        self.start: tuple[float, list[float]] | None = None
        self.last: tuple[float, list[float]] | None = None
        self.is_finite = True
        self.explosion: tuple[str, int] | None = None

    def update(self, norms: np.ndarray, losses: np.ndarray, valid_loss: float) -> None:
        """Take one epoch.

        Args:
            norms: the fleet's `[steps, L + 1]` of this trial.
            losses: training losses `[steps]`.
            valid_loss: validation loss at the epoch's end.
        """
        self.epoch += 1
        # Sums of single-precision numbers near the largest one would overflow.
        watched = np.column_stack([losses, norms[:, self.layers]]).astype(np.float64)
        if self.start is None:
            first, *norms_then = watched[0].tolist()
            self.start = first, norms_then
        n_finite = _n_finite(watched)
        self.is_finite = n_finite == len(watched) and math.isfinite(valid_loss)
        if not self.is_finite:
            self._note(NOT_FINITE)
        if not n_finite:
            return
        loss, *means = watched[:n_finite].mean(axis=0).tolist()
        self.last = loss, means
        if max(means) > EXPLODING_RATIO * means[-1]:
            self._note(LAYERS)
        if loss > self._largest_loss():
            self._note(LOSS)

    def _largest_loss(self) -> float:
        """Return the mean loss of an epoch from which on it has exploded.

        A poor initialization may recover within the first epoch, which therefore must also be
        worse than the first step. A loss that is still far above that of a constant answer in later
        epochs has exploded from the start.
        """
        largest = EXPLODING_LOSS * self.constant_loss
        if self.epoch == 1 and self.start is not None:
            largest = max(largest, FIRST_GROWTH * self.start[0])
        return largest

    def _note(self, kind: str) -> None:
        if self.explosion is None:
            self.explosion = kind, self.epoch

    def diagnosis(
        self,
        dead_units: tuple[float, ...] | None = None,
        saturated: tuple[float, ...] | None = None,
    ) -> Diagnosis:
        """Return all numbers that are kept of a training."""
        start_loss, start_norms = self.start or (math.nan, [])
        loss, norms = self.last or (math.nan, [])
        kind, epoch = self.explosion or (None, None)
        return Diagnosis(
            start_loss=start_loss if math.isfinite(start_loss) else None,
            loss=loss if self.is_finite and math.isfinite(loss) else None,
            start_norms=tuple(start_norms) if np.isfinite(start_norms).all() else (),
            norms=tuple(norms),
            dead_units=dead_units,
            saturated=saturated,
            explosion=kind,
            explosion_epoch=epoch,
        )


def _n_finite(steps: np.ndarray) -> int:
    """Return how many rows come before the first that is not finite."""
    lost = np.flatnonzero(~np.isfinite(steps).all(axis=1))
    return int(lost[0]) if lost.size else len(steps)


def unit_shares(
    config: TrialConfig, activations: Sequence[Tensor], slopes: Callable[[], Sequence[Tensor]]
) -> dict[str, tuple[float, ...]]:
    """Return the shares of dead units and of saturated outputs by layer, where there can be any.

    Args:
        activations: f(z) of every hidden layer on the validation rows, `[1, N, H]`.
        slopes: gives f′(z) of these; called where units can saturate.
    """
    row = ACTIVATIONS[config.activation.name]
    shares: dict[str, tuple[float, ...]] = {}
    if activations and row.rectifies:
        dead = [(a == 0).all(dim=1) for a in activations]
        shares["dead_units"] = tuple(float(each.double().mean()) for each in dead)
    if activations and row.saturates:
        flat = [slope.abs() < FLAT_SLOPE for slope in slopes()]
        shares["saturated"] = tuple(float(each.double().mean()) for each in flat)
    return shares
