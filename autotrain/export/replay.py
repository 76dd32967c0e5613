"""`Replay`: the comparison of a trial with a second training from its record."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from optuna.trial import FrozenTrial

from autotrain.search.trained import Trained

TOLERANCE = 1e-3
"""Largest relative difference of values that counts as rounding."""


@dataclass(frozen=True)
class Replay:
    """A trial that was trained again.

    Args:
        trial: number of the trial.
        state: COMPLETE or PRUNED.
        recorded: the recorded value.
        value: the new value.
        epochs: epochs of each fold.
        largest_difference: largest absolute difference between the weights of the checkpoint and
            the new ones; None without a checkpoint.
    """

    trial: int
    state: str
    recorded: float
    value: float
    epochs: tuple[int, ...]
    largest_difference: float | None

    @property
    def is_equal(self) -> bool:
        """Whether the values are equal up to rounding.

        Examples:
            >>> Replay(0, "COMPLETE", 0.5, 0.50001, (8,), None).is_equal
            True
        """
        return math.isclose(self.value, self.recorded, rel_tol=TOLERANCE, abs_tol=1e-6)


def replay_of(trial: FrozenTrial, again: Trained, kept: Trained | None) -> Replay:
    """Compare a trial with a second training.

    Args:
        trial: the trial, with a value.
        again: the second training.
        kept: the checkpoint of the first training; None if it does not exist.
    """
    assert trial.value is not None
    return Replay(
        trial=trial.number,
        state=trial.state.name,
        recorded=trial.value,
        value=again.value,
        epochs=tuple(outcome.epochs for outcome in again.outcomes),
        largest_difference=None if kept is None else _largest_difference(kept, again),
    )


def _largest_difference(one: Trained, other: Trained) -> float:
    differences = [
        float(np.abs(np.asarray(a.parameters) - np.asarray(b.parameters)).max(initial=0.0))
        for a, b in zip(one.outcomes, other.outcomes, strict=True)
    ]
    return max(differences)
