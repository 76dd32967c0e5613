"""What a trial's gradients and units say about its health.

gradient norms: L2 norm of ∂loss/∂W by layer, without penalties, before clipping, averaged over an
epoch.

    vanishing    first / last layer's norm below 1e-3 (median over the epochs)
    exploding    a loss or norm that is not finite, or above 1e3 × its first-epoch median (at least
                 above 1: leaving a start where gradients vanish is no explosion)
    dead_units   more than half of the ReLU-family units give 0 for every validation row
    saturated    more than half of the sigmoid/tanh outputs have |f′(z)| < 0.01 on those rows; of
                 parametric ones f is z + a (f(z) − z)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autotrain.choices.activations import ACTIVATIONS
from autotrain.space.config import TrialConfig

VANISHING_RATIO = 1e-3
EXPLODING_FACTOR = 1e3
SMALLEST_EXPLOSION = 1.0
SHARE = 0.5
FLAT_SLOPE = 0.01


class GradientRecord:
    """Follows one trial's gradient norms.

    Args:
        depth: its number of hidden layers.
    """

    def __init__(self, depth: int) -> None:
        # A fleet may be deeper than the trial: its own layers, then the output layer.
        self.layers = [*range(depth), -1]
        self.first_median: np.ndarray | None = None
        self.ratios: list[float] = []
        self.last_mean: np.ndarray | None = None
        self.exploding = False

    def update(self, norms: np.ndarray, losses: np.ndarray) -> None:
        """Take one epoch.

        Args:
            norms: the fleet's `[steps, L + 1]` of this trial.
            losses: `[steps]`.
        """
        # Sums of single-precision numbers near the largest one would overflow.
        own = norms[:, self.layers].astype(np.float64)
        watched = np.column_stack([own, losses.astype(np.float64)])
        if not np.isfinite(watched).all():
            self.exploding = True
            return
        if self.first_median is None:
            self.first_median = np.median(watched, axis=0)
        most = np.maximum(EXPLODING_FACTOR * self.first_median, SMALLEST_EXPLOSION)
        self.exploding |= bool(np.any(watched.max(axis=0) > most))
        self.last_mean = own.mean(axis=0)
        if len(self.layers) > 1 and self.last_mean[-1] > 0:
            self.ratios.append(float(self.last_mean[0] / self.last_mean[-1]))

    def summary(self) -> dict[str, Any]:
        """Return the numbers to keep on the trial."""
        ratio = float(np.median(self.ratios)) if self.ratios else math.nan
        norms = [] if self.last_mean is None else [float(f"{v:.4g}") for v in self.last_mean]
        return {
            "gradient_norms": norms,
            "gradient_ratio": ratio,
            "vanishing": ratio < VANISHING_RATIO,
            "exploding": self.exploding,
        }


def unit_shares(
    config: TrialConfig, activations: Sequence[Tensor], slopes: Callable[[], Sequence[Tensor]]
) -> dict[str, float]:
    """Return the shares of dead units and of saturated outputs, 0 where they cannot be.

    Args:
        activations: f(z) of every hidden layer on the validation rows, `[1, N, H]`.
        slopes: gives f′(z) of these; called where units can saturate.
    """
    row = ACTIVATIONS[config.activation.name]
    shares = {"dead_units_share": 0.0, "saturated_share": 0.0}
    if not activations:
        return shares
    if row.rectifies:
        dead = torch.cat([(a == 0).all(dim=1).flatten() for a in activations])
        shares["dead_units_share"] = float(dead.double().mean())
    if row.saturates:
        flat = [(slope.abs() < FLAT_SLOPE).flatten() for slope in slopes()]
        shares["saturated_share"] = float(torch.cat(flat).double().mean())
    return shares


def flags(summary: Mapping[str, Any]) -> list[str]:
    """Return the words for a trial's summary: vanishing, exploding, dead_units, saturated."""
    words = [word for word in ("vanishing", "exploding") if summary.get(word)]
    for word, share in (("dead_units", "dead_units_share"), ("saturated", "saturated_share")):
        value = summary.get(share, 0.0)
        if isinstance(value, float) and value > SHARE:
            words.append(word)
    return words
