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
        "one input a level (two share one, ±1), the rarer levels of a column share one",
        embeds=False,
    ),
    Encoder(
        "embedding",
        "one input a level up to a limit, a learned vector a level above",
        {
            "one_hot_limit": Parameter(
                9, "most levels that have an input each", low=1, kind="integer"
            ),
            "width": Parameter(8, "numbers in a level's vector", low=1, high=256, kind="integer"),
        },
        embeds=True,
    ),
)
