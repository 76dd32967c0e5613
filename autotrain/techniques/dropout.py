"""Dropout: the value of the units that are dropped and of those that are kept.

A row turns a rate into an affine map of each unit, one for kept and one for dropped units, so that
plain and alpha dropout share their code. Which units are kept is decided by the random bits of
each trial (`network/noise.py`). To add a kind, write its `affine` and add a row to `DROPOUTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from autotrain.techniques.annealing import annealing
from autotrain.techniques.technique import Parameter, Technique, table

# −λα of SELU, its limit for z → −∞. A test compares it with `techniques/activations.py`.
ALPHA_PRIME = -1.7580993408473766


class Affine(NamedTuple):
    """h ← h · scale + kept for kept units, h ← dropped for dropped units.

    Args:
        scale: `[K, 1, 1]`.
        kept, dropped: `[K, 1, 1]`; both None if they are 0.
    """

    scale: Tensor
    kept: Tensor | None
    dropped: Tensor | None

    def shift(self, keep: Tensor) -> Tensor | None:
        """Return the addition to each unit after scaling; None for 0.

        Args:
            keep: `[K, B, H]`, 1 for kept and 0 for dropped units.
        Returns: `kept` where a unit is kept and `dropped` elsewhere, `[K, B, H]`.
        """
        if self.kept is None or self.dropped is None:
            return None
        return torch.addcmul(self.dropped, keep, self.dropped - self.kept, value=-1)


@dataclass(frozen=True, kw_only=True)
class Dropout(Technique):
    """A row of `DROPOUTS`.

    Args:
        affine: rate `[K, 1, 1]` → map of the units; None if no unit is ever dropped.
    """

    affine: Callable[[Tensor], Affine] | None


def inverted_dropout(rate: Tensor) -> Affine:
    """Return scale = 1 / (1 − p) and dropped = 0, which keeps the mean of every unit.

    It regularizes networks that fit their training rows too well, and makes Monte-Carlo
    predictions possible.

    Args:
        rate: p, `[K, 1, 1]`.
    Examples:
        >>> inverted_dropout(torch.tensor(0.2)).scale
        tensor(1.2500)

    Source: Srivastava et al. 2014. Equals: `torch.nn.Dropout`, in distribution.
    """
    return Affine(1 / (1 - rate), None, None)


def alpha_dropout(rate: Tensor) -> Affine:
    """Return the map that sets dropped units to α′ = −λα and keeps mean 0 and variance 1.

    Use it with selu, whose self-normalization ordinary dropout would break.

        a = (q + α′² q p)^−½,  b = −a p α′,  h ← a (h·keep + α′ (1 − keep)) + b,  q = 1 − p

    Args:
        rate: p, `[K, 1, 1]`.
    Examples:
        >>> alpha_dropout(torch.tensor(0.2))
        Affine(scale=tensor(0.8789), kept=tensor(0.3090), dropped=tensor(-1.2362))

    Source: Klambauer et al. 2017, arXiv:1706.02515, eq. 6. Equals: `torch.nn.AlphaDropout`, in
    distribution.
    """
    keep_rate = 1 - rate
    a = (keep_rate * (1 + rate * ALPHA_PRIME**2)) ** -0.5
    b = -a * rate * ALPHA_PRIME
    return Affine(a, b, a * ALPHA_PRIME + b)


# At higher rates the 16-bit masks keep a fraction that differs noticeably from 1 − p, and single
# precision rounds p to 1, which makes 1/(1 − p) infinite.
HIGHEST_RATE = 0.99

DROPOUT_PARAMETERS = {
    "annealing": annealing("c(x), factor of the rates"),
    "rate": Parameter(
        0.1, "p, probability that a hidden unit is dropped", low=0.0, high=HIGHEST_RATE
    ),
    "input_rate": Parameter(
        0.0, "p, probability that an input is dropped", low=0.0, high=HIGHEST_RATE
    ),
    "floor": Parameter(
        0.0, "f, lowest factor of the rates: c(x) becomes f + (1 − f)c(x)", low=0.0, high=1.0
    ),
}

DROPOUTS = table(
    Dropout("none", "h ← h", affine=None),
    Dropout(
        "dropout", "h ← h m / (1 − p), m = 0 with probability p, else 1", affine=inverted_dropout
    ),
    Dropout(
        "alpha_dropout",
        "h ← a (h m + α′(1 − m)) + b, α′ = −λα, a = ((1 − p)(1 + pα′²))^−½, b = −a p α′",
        affine=alpha_dropout,
        note="For selu. Dropped units (m = 0 with probability p, else 1) are set to SELU's limit "
        "−λα; a and b restore mean 0 and variance 1.",
    ),
)
