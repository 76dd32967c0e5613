"""Dropout: what happens to the units that are dropped and to those that stay.

A row turns a rate into an affine map of each unit, one for units that stay and one for those that
are dropped, so plain and alpha dropout run through the same code. Which units stay comes from
each trial's own random bits (`network/noise.py`).
To add a kind: write its `affine` and add a row to `DROPOUTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from autotrain.techniques.technique import Parameter, Technique, Words, table

# −λα of SELU, the value it takes far below 0; a test holds it against `techniques/activations.py`.
ALPHA_PRIME = -1.7580993408473766


class Affine(NamedTuple):
    """h ← h · scale + kept where a unit stays, h ← dropped elsewhere; `[K, 1, 1]` each.

    `kept` and `dropped` are None where both are 0.
    """

    scale: Tensor
    kept: Tensor | None
    dropped: Tensor | None


@dataclass(frozen=True, kw_only=True)
class Dropout(Technique):
    """A row of `DROPOUTS`.

    Args:
        affine: rate `[K, 1, 1]` → what happens to units. None where nothing is ever dropped.
    """

    affine: Callable[[Tensor], Affine] | None


def inverted_dropout(rate: Tensor) -> Affine:
    """Return scale = 1 / (1 − p), dropped = 0: the mean of every unit is kept.

    Source: Srivastava et al. 2014. Equals: `torch.nn.Dropout`, in law.
    """
    return Affine(1 / (1 - rate), None, None)


def alpha_dropout(rate: Tensor) -> Affine:
    """Return the map that sets units to α′ = −λα and restores mean 0 and variance 1.

        a = (q + α′² q p)^−½,  b = −a p α′,  h ← a (h·keep + α′ (1 − keep)) + b,  q = 1 − p

    Source: Klambauer et al. 2017, arXiv:1706.02515, eq. 6. Equals: `torch.nn.AlphaDropout`.
    """
    keep_rate = 1 - rate
    a = (keep_rate * (1 + rate * ALPHA_PRIME**2)) ** -0.5
    b = -a * rate * ALPHA_PRIME
    return Affine(a, b, a * ALPHA_PRIME + b)


# Nearer to 1, 16-bit masks keep another share than asked for, and single precision makes it 1:
# then 1/(1 − p) is infinite.
HIGHEST_RATE = 0.99

DROPOUT_PARAMETERS = {
    "course": Words(
        "constant", "c(x), what the rates are multiplied by", words=("constant", "flat_cos")
    ),
    "rate": Parameter(
        0.1, "p, probability that a hidden unit is dropped", low=0.0, high=HIGHEST_RATE
    ),
    "input_rate": Parameter(
        0.0, "p, probability that an input is dropped", low=0.0, high=HIGHEST_RATE
    ),
    "floor": Parameter(
        0.0, "f, least factor of the rates: c(x) becomes f + (1 − f)c(x)", low=0.0, high=1.0
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
        note="Dropped units (m = 0 with probability p, else 1) are set to SELU's limit −λα, and a "
        "and b restore mean 0 and variance 1. For selu.",
    ),
)
