"""Encoders: how a column of categories reaches the network.

`one_hot` gives each level an input of its own. `embedding` does so for columns of few levels and
gives the others a learned vector a level. A level that training never saw, and a missing cell when
training saw none, is all zeros in both. To add one: add a row to `ENCODERS`.
"""

from __future__ import annotations

from dataclasses import dataclass

from autotrain.domains import Parameter, Technique, table


@dataclass(frozen=True, kw_only=True)
class Encoder(Technique):
    """A row of `ENCODERS`: whether columns of more than `one_hot_limit` levels are embedded."""

    embeds: bool


ENCODERS = table(
    Encoder(
        "one_hot",
        "x → one input per level, 1 at its own level, 0 elsewhere; two levels: one input, ±1",
        embeds=False,
        note="At most 64 inputs per column; the rarer levels share the last one.",
    ),
    Encoder(
        "embedding",
        "x → v[level], a learned vector; one_hot in columns of at most one_hot_limit levels",
        {
            "one_hot_limit": Parameter(
                9, "most levels with an input each", low=1, high=1_000_000_000, kind="integer"
            ),
            "width": Parameter(8, "numbers in a level's vector", low=1, high=256, kind="integer"),
        },
        embeds=True,
        note="Vectors start at N(0, 1), the vector of levels that training never saw at 0. At most "
        "1,024 vectors per column; the rarer levels share the last one.",
    ),
)
