"""Decoupled weight decay: weight matrices shrink a little before every step.

    W ← W (1 − η λ c(x)),   x the fraction of training done, c a row of `annealing.py`

Only weight matrices decay: not biases, normalization, scales or embeddings. It can be combined with
any optimizer. To add a kind of weight decay, add a row to `WEIGHT_DECAYS`.

Source: Loshchilov & Hutter 2019, arXiv:1711.05101.
"""

from __future__ import annotations

from dataclasses import dataclass

from autotrain.techniques.annealing import annealing
from autotrain.techniques.technique import Parameter, Technique, table


@dataclass(frozen=True, kw_only=True)
class WeightDecay(Technique):
    """A row of `WEIGHT_DECAYS`.

    Args:
        decays: whether weights decay.
    """

    decays: bool


WEIGHT_DECAYS = table(
    WeightDecay("none", "W ← W", decays=False),
    WeightDecay(
        "decoupled",
        "W ← W (1 − ηλc(x)) before each step",
        {
            "rate": Parameter(0.01, "λ", low=0.0),
            "annealing": annealing("c(x), factor of λ"),
        },
        decays=True,
        note="Only weight matrices decay: not biases, batch norm, embeddings or scales. η is the "
        "scheduled learning rate without the factors of single parameters. Any optimizer can be "
        "used. The optimizer adamw has its own decay of all parameters; with both, weight matrices "
        "decay twice.",
    ),
)
