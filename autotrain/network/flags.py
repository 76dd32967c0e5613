"""Flags that interpret the diagnosis of a training.

`training/diagnostics.py` measures a `Diagnosis`; each row of `FLAGS` has the definition of a flag,
its meaning and advice. docs/techniques.md is generated from the table. To add a flag, add a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

VANISHING_RATIO = 2e-3
VANISHING_NORM = 1.0
EXPLODING_RATIO = 1e3
EXPLODING_LOSS = 5.0
FIRST_GROWTH = 2.0
DEAD_SHARE = 0.5
SATURATED_SHARE = 0.5
FLAT_SLOPE = 0.01

NOT_FINITE, LAYERS, LOSS = "not_finite", "layers", "loss"
EXPLOSIONS = {
    NOT_FINITE: "a loss or a gradient norm is not finite",
    LAYERS: f"the gradient norm of a hidden layer is above {EXPLODING_RATIO:g} times that of the "
    "output layer",
    LOSS: f"the training loss is above {EXPLODING_LOSS:g} times the loss at initialization",
}
"""The kinds of evidence for an explosion, with their definitions."""

DIGITS = 4


@dataclass(frozen=True)
class Diagnosis:
    """Health of one training on one fold, as values that JSON can represent.

    Args:
        start_loss: training loss of the first step, before any update; None if not finite.
        loss: mean training loss of the last epoch; None if that epoch has a non-finite value.
        start_norms: gradient norm of each layer in the first step, `[L + 1]`, the output layer
            last; empty if not finite.
        norms: mean gradient norm of each layer over the last epoch with a finite step, up to its
            first non-finite step, `[L + 1]`; empty if no step was finite.
        dead_units: fraction of dead units of each hidden layer; None if units cannot die.
        saturated: fraction of saturated outputs of each hidden layer; None if the activation
            cannot saturate.
        explosion: first evidence of an explosion, a key of `EXPLOSIONS`; None without one.
        explosion_epoch: epoch of that evidence, from 1.
    """

    start_loss: float | None = None
    loss: float | None = None
    start_norms: tuple[float, ...] = ()
    norms: tuple[float, ...] = ()
    dead_units: tuple[float, ...] | None = None
    saturated: tuple[float, ...] | None = None
    explosion: str | None = None
    explosion_epoch: int | None = None

    @property
    def n_hidden(self) -> int:
        """Number of hidden layers that have norms."""
        return max(len(self.norms or self.start_norms) - 1, 0)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Ratio of each layer's norm to the output layer's, last epoch; 0 if the latter is 0."""
        output = self.norms[-1] if self.norms else 0.0
        return tuple(norm / output if output else 0.0 for norm in self.norms)

    @property
    def ratio(self) -> float | None:
        """The smallest ratio of a hidden layer; None without hidden layers or norms."""
        return min(self.ratios[:-1], default=None)

    @property
    def flags(self) -> tuple[str, ...]:
        """Names of the flags that are set, in the order of `FLAGS`."""
        return tuple(name for name, flag in FLAGS.items() if flag.holds(self))

    def to_json(self) -> dict[str, Any]:
        """Return the rounded values that are stored with a trial."""
        return {key: _rounded(value) for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Diagnosis:
        """Read the output of `to_json`; other keys are ignored."""
        values: dict[str, Any] = {}
        for key in {field.name for field in fields(cls)} & kept.keys():
            values[key] = tuple(kept[key]) if isinstance(kept[key], list) else kept[key]
        return cls(**values)


@dataclass(frozen=True)
class Flag:
    """One flag.

    Args:
        name: its name in tables and JSON.
        label: the problem in two or three words.
        definition: condition under which the flag is set.
        meaning: consequence for the training, a clause.
        advice: remedies, a clause that begins with "try".
        holds: diagnosis → whether the flag is set.
    """

    name: str
    label: str
    definition: str
    meaning: str
    advice: str
    holds: Callable[[Diagnosis], bool]

    @property
    def sentence(self) -> str:
        """Meaning and advice as one sentence."""
        return f"{self.meaning}: {self.advice}."


def _vanishes(diagnosis: Diagnosis) -> bool:
    # An epoch with non-finite values is no evidence of vanishing gradients, and small gradients are
    # to be expected at a loss of 0.
    if not diagnosis.loss or diagnosis.ratio is None:
        return False
    return diagnosis.ratio < VANISHING_RATIO and min(diagnosis.norms[:-1]) < VANISHING_NORM


def _exceeds(shares: tuple[float, ...] | None, limit: float) -> bool:
    return max(shares or (), default=0.0) > limit


FLAGS = {
    flag.name: flag
    for flag in (
        Flag(
            "vanishing",
            "gradients vanish",
            f"in the last epoch, the gradient norm of a hidden layer is below {VANISHING_RATIO:g} "
            f"times that of the output layer and below {VANISHING_NORM:g}, or 0",
            "Hardly any gradient reaches some layers, so they do not learn",
            "try batch norm, He initialization with ReLU or ELU, or fewer layers",
            _vanishes,
        ),
        Flag(
            "exploding",
            "gradients explode",
            f"a loss or a gradient norm is not finite; or in any epoch the gradient norm of a "
            f"hidden layer is above {EXPLODING_RATIO:g} times that of the output layer; or in any "
            f"epoch the training loss is above {EXPLODING_LOSS:g} times the loss at "
            f"initialization, in the first epoch also above {FIRST_GROWTH:g} times that of the "
            "first step",
            "The gradient or the loss grew out of proportion",
            "try a lower learning rate, gradient clipping, another initializer or batch norm",
            lambda diagnosis: diagnosis.explosion is not None,
        ),
        Flag(
            "dead_units",
            "units are dead",
            f"in the last epoch, more than {DEAD_SHARE:g} of the ReLU-family units of a hidden "
            "layer output 0 for every validation row",
            "More than half of the units of a layer output 0 for every row and no longer learn",
            "try a lower learning rate, leaky ReLU or ELU, or batch norm",
            lambda diagnosis: _exceeds(diagnosis.dead_units, DEAD_SHARE),
        ),
        Flag(
            "saturated",
            "units are saturated",
            f"in the last epoch, more than {SATURATED_SHARE:g} of the outputs of a sigmoid or tanh "
            f"layer have |f′(z)| < {FLAT_SLOPE:g} on the validation rows",
            "More than half of the outputs of a layer are on the flat part of its activation and "
            "pass hardly any gradient",
            "try a smaller initialization, batch norm before the activation, or ReLU or ELU",
            lambda diagnosis: _exceeds(diagnosis.saturated, SATURATED_SHARE),
        ),
    )
}


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_rounded(number) for number in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
