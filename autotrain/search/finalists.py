"""The finalists: trials that are retrained with other seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from autotrain.space.config import TrialConfig


class RepeatScore(NamedTuple):
    """A training of a finalist with another seed.

    Args:
        score: its score; infinite when it diverged.
        epochs: epochs of each fold; one number if they are equal.
    """

    score: float
    epochs: tuple[int, ...]

    @classmethod
    def of(cls, score: float, epochs: Sequence[int]) -> RepeatScore:
        """Make a repeat from the epochs of all folds."""
        return cls(score, tuple(epochs[:1] if len(set(epochs)) == 1 else epochs))


@dataclass
class Finalist:
    """A complete trial in the finals.

    Args:
        number: number of the trial.
        score: its first score; lower is better.
        n_parameters: number of parameters of its network, the measure of its size.
        config: its configuration.
        seconds: duration of its first training.
        repeats: its finished repeats by number, from 1. A repeat can end before an earlier one.
    """

    number: int
    score: float
    n_parameters: int
    config: TrialConfig
    seconds: float = 0.0
    repeats: dict[int, RepeatScore] = field(default_factory=dict)

    def scores(self, loss: float = 0.0) -> list[float]:
        """Return all scores, the first one corrected by `loss` for the optimism of its choice."""
        return [self.score + loss, *(repeat.score for repeat in self.repeats.values())]

    def estimate(self, loss: float) -> float:
        """Return the mean of the corrected scores."""
        scores = self.scores(loss)
        return sum(scores) / len(scores)
