"""Learned scale of each input of the network.

    x ← s ⊙ x, s = 1 at the start

With a high learning rate of its own, it quickly learns which inputs matter. To add a kind of scale,
add a row to `INPUT_SCALES`.
"""

from __future__ import annotations

from dataclasses import dataclass

from autotrain.techniques.technique import Parameter, Technique, table


@dataclass(frozen=True, kw_only=True)
class InputScale(Technique):
    """A row of `INPUT_SCALES`.

    Args:
        scales: whether inputs are scaled.
    """

    scales: bool


INPUT_SCALES = table(
    InputScale("off", "x ← x", scales=False),
    InputScale(
        "diagonal",
        "x ← s ⊙ x, s learned, 1 at the start",
        {"learning_rate": Parameter(6.0, "factor on the learning rate", low=0.0, open_low=True)},
        scales=True,
    ),
)
