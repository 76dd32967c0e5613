"""The parts of the finals: finalists, their trainings from other seeds, and the winner."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from autotrain.space.config import TrialConfig


class Repeat(NamedTuple):
    """A finalist's training from another seed.

    Args:
        score: infinite when it diverged.
        epochs: of each fold; one number where all folds are equal.
    """

    score: float
    epochs: tuple[int, ...]

    @classmethod
    def of(cls, score: float, epochs: Sequence[int]) -> Repeat:
        """Return it with equal epochs said once."""
        return cls(score, tuple(epochs[:1] if len(set(epochs)) == 1 else epochs))


@dataclass
class Finalist:
    """A complete trial.

    Args:
        number: the trial's.
        score: its own.
        n_parameters: of its network; what is simpler.
        config: what to train again.
        seconds: it took.
        repeats: those that ended, by their number, from 1; one may end before an earlier one.
    """

    number: int
    score: float
    n_parameters: int
    config: TrialConfig
    seconds: float = 0.0
    repeats: dict[int, Repeat] = field(default_factory=dict)

    def scores(self, loss: float = 0.0) -> list[float]:
        """Return all scores, its own first, corrected by `loss` for the optimism of its choice."""
        return [self.score + loss, *(repeat.score for repeat in self.repeats.values())]

    def estimate(self, loss: float) -> float:
        """Return the mean of its scores."""
        scores = self.scores(loss)
        return sum(scores) / len(scores)


@dataclass(frozen=True)
class Winner:
    """The decision of the finals.

    Args:
        number: the trial.
        repeat: which of its trainings scored best, and is exported; 0 for the trial itself.
        estimate: the mean of its scores, corrected for the choice; the metric's own direction.
        standard_error: of `estimate`, from seeds.
        n_trainings: of it that the estimate rests on.
        epochs: that this training took, of each fold where they differ; None for the trial itself.
        gap: by how much its own score was better than its repeats' mean; 0 without repeats.
        leader: the trial that had the best score of all when this was decided; a better one that
            comes later sets the decision aside.
        leader_estimate: the leader's estimate, in the metric's own direction; None when a repeat of
            it diverged.
        is_smaller: whether another finalist has a better estimate, and this one won by its size.
        kept_over: the trial that would have won, where the winner of an earlier run stays because
            that trial is not clearly better; None elsewhere.
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
        """Standard deviation between trainings that differ by the seed alone."""
        return self.standard_error * math.sqrt(self.n_trainings)

    def to_json(self) -> dict[str, Any]:
        """Return it as a study attribute."""
        return self.__dict__ | {"epochs": None if self.epochs is None else list(self.epochs)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Winner:
        """Read what `to_json` wrote."""
        return cls(**{**record, "epochs": read_epochs(record["epochs"])})


def read_epochs(record: int | Sequence[int] | None) -> tuple[int, ...] | None:
    """Read epochs; earlier versions wrote the greatest number of them."""
    if record is None:
        return None
    return (record,) if isinstance(record, int) else tuple(record)
