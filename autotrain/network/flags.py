"""What a training's diagnosis means: four flags, decided layer by layer.

One row of `FLAGS` is one flag: its definition (docs/techniques.md is generated from it), what it
means and what to try. A new flag is a new row. `diagnostics.py` measures the numbers.
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
"""What an explosion was first seen by."""

DIGITS = 4


@dataclass(frozen=True)
class Diagnosis:
    """Health of one training of one fold, as numbers that JSON can hold.

    Args:
        start_loss: training loss of the first step, before any update; None when not finite.
        loss: mean training loss of the last epoch; None when that epoch lost its finite numbers.
        start_norms: gradient norms by layer of the first step, the output layer last.
        norms: the same, averaged over the last epoch that has a finite step, up to its first
            non-finite one; empty if every epoch was finite.
        dead_units: share of dead units of each hidden layer; None where units cannot die.
        saturated: share of saturated outputs of each hidden layer; None where they cannot saturate.
        explosion: what an explosion was first seen by; None when there was none.
        explosion_epoch: when.
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
        """How many hidden layers there are norms of."""
        return max(len(self.norms or self.start_norms) - 1, 0)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Each layer's norm over the output layer's, last epoch; 0 where the latter is 0."""
        output = self.norms[-1] if self.norms else 0.0
        return tuple(norm / output if output else 0.0 for norm in self.norms)

    @property
    def ratio(self) -> float | None:
        """The smallest ratio of a hidden layer; None without hidden layers or norms."""
        return min(self.ratios[:-1], default=None)

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags that hold, in the order of `FLAGS`."""
        return tuple(name for name, flag in FLAGS.items() if flag.holds(self))

    def to_json(self) -> dict[str, Any]:
        """Return the rounded numbers that a trial keeps."""
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
        name: its word.
        label: what is wrong, in two or three words.
        definition: when it is set.
        meaning: what it says about the training.
        advice: what to try.
        holds: decides.
    """

    name: str
    label: str
    definition: str
    meaning: str
    advice: str
    holds: Callable[[Diagnosis], bool]

    @property
    def sentence(self) -> str:
        """One sentence: what it means and what to try."""
        return f"{self.meaning}: {self.advice}."


def _vanishes(found: Diagnosis) -> bool:
    # An epoch that lost its finite numbers says nothing about vanishing, and with a loss of 0 there
    # is nothing left to learn.
    if not found.loss or found.ratio is None:
        return False
    return found.ratio < VANISHING_RATIO and min(found.norms[:-1]) < VANISHING_NORM


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
            "The gradient hardly reaches some layers, which therefore do not learn",
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
            lambda found: found.explosion is not None,
        ),
        Flag(
            "dead_units",
            "units are dead",
            f"in the last epoch, above {DEAD_SHARE:g} of the ReLU-family units of a hidden layer "
            "give 0 for every validation row",
            "More than half of the units of a layer give 0 for every row and no longer learn",
            "try a lower learning rate, leaky ReLU or ELU, or batch norm",
            lambda found: _exceeds(found.dead_units, DEAD_SHARE),
        ),
        Flag(
            "saturated",
            "units are saturated",
            f"in the last epoch, above {SATURATED_SHARE:g} of the outputs of a sigmoid or tanh "
            f"layer have |f′(z)| < {FLAT_SLOPE:g} on the validation rows",
            "More than half of the outputs of a layer are where its activation is flat and pass "
            "hardly any gradient",
            "try a smaller initialization, batch norm before the activation, or ReLU or ELU",
            lambda found: _exceeds(found.saturated, SATURATED_SHARE),
        ),
    )
}


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_rounded(each) for each in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
