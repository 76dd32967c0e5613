"""Dropout: what happens to the units that are dropped and to those that stay.

A row turns keep-masks into an affine map h ← h · scale + shift, so plain and alpha dropout run
through the same code. The masks come from each trial's own random bits (`fused/noise.py`).
To add a kind: write its `affine` and add a row to `DROPOUTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from autotrain.domains import Parameter, Technique, table

# −λα of SELU, the value it takes far below 0; a test holds it against `choices/activations.py`.
ALPHA_PRIME = -1.7580993408473766
Affine = Callable[[Tensor, Tensor], tuple[Tensor, Tensor | None]]


@dataclass(frozen=True, kw_only=True)
class Dropout(Technique):
    """A row of `DROPOUTS`.

    Args:
        affine: (keep `[K, B, H]` of 0 and 1, rate `[K, 1, 1]`) → scale and shift `[K, B, H]`;
            shift None stands for 0. None where nothing is ever dropped.
    """

    affine: Affine | None


def inverted_dropout(keep: Tensor, rate: Tensor) -> tuple[Tensor, None]:
    """Return scale = keep / (1 − p): the mean of every unit is kept.

    Source: Srivastava et al. 2014. Equals: `torch.nn.Dropout`, in law.
    """
    return keep / (1 - rate), None


def alpha_dropout(keep: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    """Return the affine map that sets units to α′ = −λα and restores mean 0 and variance 1.

        a = (q + α′² q p)^−½,  b = −a p α′,  h ← a (h·keep + α′ (1 − keep)) + b,  q = 1 − p

    Source: Klambauer et al. 2017, arXiv:1706.02515, eq. 6. Equals: `torch.nn.AlphaDropout`.
    """
    keep_rate = 1 - rate
    a = (keep_rate * (1 + rate * ALPHA_PRIME**2)) ** -0.5
    b = -a * rate * ALPHA_PRIME
    scale = keep * a
    return scale, torch.addcmul(a * ALPHA_PRIME + b, scale, keep.new_tensor(-ALPHA_PRIME))


DROPOUT_PARAMETERS = {
    "rate": Parameter(0.1, "share of hidden units dropped", low=0.0, high=1.0, open_high=True),
    "input_rate": Parameter(0.0, "share of inputs dropped", low=0.0, high=1.0, open_high=True),
}

DROPOUTS = table(
    Dropout("none", "nothing is dropped", affine=None),
    Dropout(
        "dropout", "units are set to 0, the others scaled by 1/(1 − p)", affine=inverted_dropout
    ),
    Dropout(
        "alpha_dropout",
        "units are set to −λα, mean and variance restored; pairs with selu",
        affine=alpha_dropout,
    ),
)
