"""`Winner`: the decision of the finals, and how the study stores it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial

from autotrain.metrics import Metric
from autotrain.search.attributes import WINNER
from autotrain.search.record import own_trials
from autotrain.search.trial_store import best_trial


@dataclass(frozen=True)
class Winner:
    """The decision of the finals.

    Args:
        number: number of the winning trial.
        repeat: number of its training with the best score, which is exported; 0 for the trial's
            first training.
        estimate: mean of its scores, corrected for the optimism of the choice, in the metric's own
            direction.
        standard_error: standard error of `estimate` between seeds.
        n_trainings: number of trainings in the estimate.
        epochs: epochs of the exported training, one per fold or one for all folds; None for the
            trial's first training.
        gap: difference between its first score and the mean of its repeats, positive if the first
            one was better; 0 without repeats.
        leader: number of the trial with the best value at the time of the decision. The decision
            is void when another trial becomes the best.
        leader_estimate: estimate of the leader; None when one of its repeats diverged.
        is_smaller: whether another finalist has a better estimate, and this one won by its size.
        kept_over: number of the trial that would have won, if the winner of an earlier run is kept
            because that trial is not clearly better; otherwise None.
    """

    number: int
    repeat: int
    estimate: float
    standard_error: float
    n_trainings: int
    epochs: tuple[int, ...] | None
    gap: float
    leader: int
    leader_estimate: float | None = None
    is_smaller: bool = False
    kept_over: int | None = None

    @property
    def seed_std(self) -> float:
        """Standard deviation between trainings that differ only in the seed."""
        return self.standard_error * math.sqrt(self.n_trainings)

    def to_json(self) -> dict[str, Any]:
        """Return the decision as a study attribute."""
        return self.__dict__ | {"epochs": None if self.epochs is None else list(self.epochs)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Winner:
        """Read a decision that `to_json` wrote."""
        epochs = record["epochs"]
        return cls(**{**record, "epochs": None if epochs is None else tuple(epochs)})


def winner_of(
    trials: Sequence[FrozenTrial], user_attrs: Mapping[str, Any], metric: Metric
) -> tuple[FrozenTrial | None, Winner | None]:
    """Return the winning trial of a study and the decision of the finals.

    Args:
        trials, user_attrs: those of the study.
        metric: the study's metric.
    Returns: the trial with the best value and None if the finals have not decided. The trial is
        None before one is complete.
    """
    trials = own_trials(trials, user_attrs)
    best = best_trial(trials, metric)
    if best is None or not user_attrs.get(WINNER):
        return best, None
    winner = Winner.from_json(user_attrs[WINNER])
    if winner.leader != best.number:
        return best, None
    return next(trial for trial in trials if trial.number == winner.number), winner
