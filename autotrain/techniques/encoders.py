"""Encoders of columns of categories.

`one_hot` has one input per level. `embedding` does the same for columns of few levels and has a
learned vector per level for the others. In both, a level that does not occur in the training rows
is all zeros, and so is a missing cell if the training rows have none. To add an encoder, add a row
to `ENCODERS`.
"""

from __future__ import annotations

from dataclasses import dataclass

from autotrain.techniques.technique import Parameter, Technique, table


@dataclass(frozen=True, kw_only=True)
class Encoder(Technique):
    """A row of `ENCODERS`.

    Args:
        embeds: whether columns of more than `one_hot_limit` levels are embedded.
    """

    embeds: bool


ENCODERS = table(
    Encoder(
        "one_hot",
        "x → one input per level, 1 for the level of x, else 0; with two levels one input, ±1",
        embeds=False,
        note="At most 64 inputs per column; the rarest levels share the last one.",
    ),
    Encoder(
        "embedding",
        "x → v[level], a learned vector; one_hot in columns of at most one_hot_limit levels",
        {
            "one_hot_limit": Parameter(
                9, "most levels of a one-hot column", low=1, high=1_000_000_000, kind="integer"
            ),
            "width": Parameter(
                8, "length of the vector of a level", low=1, high=256, kind="integer"
            ),
        },
        embeds=True,
        note="Vectors start at N(0, 1); the vector of levels that do not occur in the training "
        "rows starts at 0. At most 1,024 vectors per column; the rarest levels share the last one.",
    ),
)
