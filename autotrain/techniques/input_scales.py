"""A learnable scale of the network's inputs: which of them count, learned fast.

    x ← s ⊙ x, s = 1 at the start

To add a row, extend `INPUT_SCALES`.
"""

from __future__ import annotations

from dataclasses import dataclass

from autotrain.techniques.technique import Parameter, Technique, table


@dataclass(frozen=True, kw_only=True)
class InputScale(Technique):
    """A row of `INPUT_SCALES`: whether inputs are scaled."""

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
