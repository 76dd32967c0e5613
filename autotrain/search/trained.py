"""`Trained`: the trained networks of a trial, one per fold."""

from __future__ import annotations

from dataclasses import dataclass

from autotrain.space.config import TrialConfig
from autotrain.training.slot import Outcome


@dataclass(frozen=True)
class Trained:
    """One training of a trial's configuration to its end.

    Args:
        number: the trial's.
        value: the metric on the validation rows at the best epoch; the mean over folds.
        config: what was trained.
        seed: the trial's own; `repeat` is mixed in.
        outcomes: one per fold, in the folds' order, each with its weights.
        repeat: 0 for the trial itself, 1 and up where it was trained again from other seeds.
    """

    number: int
    value: float
    config: TrialConfig
    seed: int
    outcomes: tuple[Outcome, ...]
    repeat: int = 0
