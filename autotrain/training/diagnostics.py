"""Measures the health of a training: gradient norms and losses by epoch, units at its end.

`GradientRecord` follows a slot from epoch to epoch, and `unit_shares` examines its units at the
end. The results form a `Diagnosis`, which `network/flags.py` interprets. A gradient norm is the L2
norm of ∂loss/∂W of one layer, without penalties and before clipping.
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
    """The losses and gradient norms of one slot.

    Args:
        depth: number of hidden layers of the slot.
        n_outputs: number of classes, or 1 for regression.
    """

    def __init__(self, depth: int, n_outputs: int) -> None:
        # The fleet may be deeper than the slot: use the layers of the slot and the output layer.
        self.layers = [*range(depth), -1]
        self.constant_loss = math.log(n_outputs) if n_outputs > 1 else 1.0
        self.epoch = 0
        self.start: tuple[float, list[float]] | None = None
        self.last: tuple[float, list[float]] | None = None
        self.is_finite = True
        self.explosion: tuple[str, int] | None = None

    def update(self, norms: np.ndarray, losses: np.ndarray, valid_loss: float) -> None:
        """Record one epoch.

        Args:
            norms: gradient norms of the slot by step and layer of the fleet, `[steps, L + 1]`.
            losses: training losses, `[steps]`.
            valid_loss: validation loss at the end of the epoch.
        """
        self.epoch += 1
        # In single precision, sums of very large values would overflow.
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
        """Return the largest mean loss of an epoch that is not an explosion.

        A network may recover from a poor initialization in the first epoch, so there the limit is
        also relative to the first step. In later epochs, a loss far above that of a constant
        prediction is an explosion even if it began there.
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
        """Return the diagnosis of the training.

        Args:
            dead_units, saturated: from `unit_shares`; None where they do not apply.
        """
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
    """Return the number of steps before the first non-finite one; steps `[steps, values]`."""
    lost = np.flatnonzero(~np.isfinite(steps).all(axis=1))
    return int(lost[0]) if lost.size else len(steps)


def unit_shares(
    config: TrialConfig, activations: Sequence[Tensor], slopes: Callable[[], Sequence[Tensor]]
) -> dict[str, tuple[float, ...]]:
    """Return the fractions of dead units and of saturated outputs, by hidden layer.

    Args:
        config: the configuration of the slot.
        activations: f(z) of every hidden layer on the validation rows, `[1, N, H]` each.
        slopes: returns f′(z) of the same units; called only if the activation saturates.
    Returns: "dead_units" if the activation rectifies, "saturated" if it saturates.
    """
    row = ACTIVATIONS[config.activation.name]
    shares: dict[str, tuple[float, ...]] = {}
    if activations and row.rectifies:
        dead = [(a == 0).all(dim=1) for a in activations]
        shares["dead_units"] = tuple(float(layer.double().mean()) for layer in dead)
    if activations and row.saturates:
        flat = [slope.abs() < FLAT_SLOPE for slope in slopes()]
        shares["saturated"] = tuple(float(layer.double().mean()) for layer in flat)
    return shares
