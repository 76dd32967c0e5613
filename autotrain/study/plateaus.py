"""Performance scheduling as a rule: when a trial has shown enough to be stopped.

`patience` epochs without an improvement of the validation loss are a plateau. At its j-th plateau
a trial is compared with what the others had reached at *their* j-th plateau, so a slow learner is
not killed for being slow, and a stuck one dies at its first plateau. `History` is one trial as a
few numbers, `decide` the rule, a pure function of histories. No Optuna here: see pruning.py.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from autotrain import errors
from autotrain.choices.schedules import Plateau


@dataclass(frozen=True)
class PlateauRule:
    """When a trial stops.

    Args:
        patience: epochs without improvement that make a plateau.
        min_delta: an improvement must be larger than this.
        quantile: at a plateau, worse than this quantile of the others is pruned; in [0, 1].
        n_startup: as many others must be comparable before anything is pruned.
        grace: epochs at a dropped learning rate during which nothing is pruned: a drop usually
            improves the metric.
        max_plateaus: with so many plateaus a trial has converged; None: never.
        rung_base: samples seen at the first rung; None: no rungs. Sixteen epochs' worth is usual.
        rung_factor: each rung is so many times the one before.
        rung_quantile: as `quantile`, at rungs; laxer, since what meets them is still learning.

    Raises:
        StudyError: when a value makes no sense.
    """

    patience: int = 8
    min_delta: float = 0.0
    quantile: float = 0.5
    n_startup: int = 5
    grace: int = 3
    max_plateaus: int | None = 4
    rung_base: int | None = None
    rung_factor: float = 2.0
    rung_quantile: float = 0.65

    def __post_init__(self) -> None:
        checks: list[tuple[str, bool, str]] = [
            ("patience", self.patience >= 1, "at least 1"),
            ("min_delta", self.min_delta >= 0, "at least 0"),
            ("quantile", 0 <= self.quantile <= 1, "between 0 and 1"),
            ("n_startup", self.n_startup >= 1, "at least 1"),
            ("grace", self.grace >= 0, "at least 0"),
            ("max_plateaus", self.max_plateaus is None or self.max_plateaus >= 1, "at least 1"),
            ("rung_base", self.rung_base is None or self.rung_base >= 1, "at least 1"),
            ("rung_factor", self.rung_factor > 1, "greater than 1"),
            ("rung_quantile", 0 <= self.rung_quantile <= 1, "between 0 and 1"),
        ]
        wrong = [
            f"{name} must be {legal}, however: {name} = {getattr(self, name)}"
            for name, holds, legal in checks
            if not holds
        ]
        if wrong:
            raise errors.StudyError("pruning rule: " + "; ".join(wrong))


class Event(NamedTuple):
    """A trial has come to its plateau or rung number `level` (from 0) with best score `value`."""

    kind: Literal["plateau", "rung"]
    level: int
    value: float


@dataclass(frozen=True)
class Decision:
    """What becomes of a trial, and in words why."""

    kind: Literal["continue", "prune", "converged"]
    cause: Literal["plateau", "rung"] | None = None
    detail: str = ""


CONTINUE = Decision("continue")


class History:
    """What the rule needs to know of one trial; every epoch costs O(1).

    Attributes:
        best: the lowest score so far; infinite before the first finite one.
        plateaus: `best` at each plateau so far.
        rungs: `best` at each rung so far.
        event: the plateau or rung that the last epoch came to, or None.
        ended: whether it trains no more; then its last values stand for all later plateaus.
        diverged: whether it ended for that reason; then it counts as worst everywhere.
    """

    __slots__ = (
        "_drop_epoch",
        "_tracker",
        "best",
        "diverged",
        "ended",
        "epochs",
        "event",
        "plateaus",
        "rule",
        "rungs",
        "samples_seen",
    )

    def __init__(self, rule: PlateauRule) -> None:
        self.rule = rule
        self.epochs = 0
        self.samples_seen = 0
        self.best = math.inf
        self.plateaus: list[float] = []
        self.rungs: list[float] = []
        self.event: Event | None = None
        self.ended = False
        self.diverged = False
        self._tracker = Plateau(rule.patience, rule.min_delta)
        self._drop_epoch: int | None = None

    def record(
        self,
        score: float,
        *,
        loss: float | None = None,
        samples_seen: int | None = None,
        plateau: bool | None = None,
        lr_dropped: bool = False,
    ) -> Event | None:
        """Take one epoch and return the event that it came to, if any.

        Args:
            score: lower is better (a metric to be maximized comes with its sign changed).
            loss: validation loss, watched for plateaus; the score itself when not given.
            samples_seen: training samples since the start of the trial; epochs when not given.
            plateau: whether the trainer declared a plateau with this epoch; None: found here.
            lr_dropped: whether this epoch was the first one at a dropped learning rate. A drop
                that follows from this epoch's plateau belongs to the next epoch.
        """
        self.epochs += 1
        self.samples_seen = self.epochs if samples_seen is None else samples_seen
        if -math.inf < score < self.best:
            self.best = score
        if lr_dropped:
            self._drop_epoch = self.epochs
        if plateau is None:
            plateau = self._tracker.update(score if loss is None else loss)
        self.event = None
        if plateau:
            self.plateaus.append(self.best)
            self.event = Event("plateau", len(self.plateaus) - 1, self.best)
        base, factor = self.rule.rung_base, self.rule.rung_factor
        # Written down also when judged at plateaus: others may be compared here.
        while base is not None and self.samples_seen >= base * factor ** len(self.rungs):
            self.rungs.append(self.best)
            if not self.plateaus:
                self.event = Event("rung", len(self.rungs) - 1, self.best)
        return self.event

    def end(self, *, diverged: bool = False) -> None:
        """Say that the trial trains no more."""
        self.ended, self.diverged, self.event = True, diverged, None

    def in_grace(self) -> bool:
        """Tell whether the learning rate dropped less than `grace` epochs ago."""
        return self._drop_epoch is not None and self.epochs - self._drop_epoch < self.rule.grace

    def worth(self, kind: Literal["plateau", "rung"], level: int) -> float | None:
        """Return the best score it had there; None when that cannot be said (yet)."""
        if self.diverged:
            return math.inf
        reached = self.plateaus if kind == "plateau" else self.rungs
        if level < len(reached):
            return reached[level]
        return self.best if self.ended and self.epochs else None

    def to_json(self) -> dict[str, Any]:
        """Write down everything, so that a resumed study prunes as if it had never stopped."""
        return {
            "epochs": self.epochs,
            "samples_seen": self.samples_seen,
            "best": _finite(self.best),
            "plateaus": [_finite(value) for value in self.plateaus],
            "rungs": [_finite(value) for value in self.rungs],
            "ended": self.ended,
            "diverged": self.diverged,
            "drop_epoch": self._drop_epoch,
            "tracker": [_finite(self._tracker.best), self._tracker.waited, self._tracker.count],
        }

    @classmethod
    def from_json(cls, rule: PlateauRule, state: Mapping[str, Any]) -> History:
        """Read what `to_json` wrote; the last event is not taken up again."""
        history = cls(rule)
        history.epochs = state["epochs"]
        history.samples_seen = state["samples_seen"]
        history.best = _or_inf(state["best"])
        history.plateaus = [_or_inf(value) for value in state["plateaus"]]
        history.rungs = [_or_inf(value) for value in state["rungs"]]
        history.ended, history.diverged = state["ended"], state["diverged"]
        history._drop_epoch = state["drop_epoch"]
        best, history._tracker.waited, history._tracker.count = state["tracker"]
        history._tracker.best = _or_inf(best)
        return history


# JSON in a browser knows no infinity, and optuna-dashboard shows what is stored.
def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _or_inf(value: float | None) -> float:
    return math.inf if value is None else value


def decide(history: History, others: Iterable[History]) -> Decision:
    """Decide at the end of an epoch what becomes of a trial.

        v = best score at its j-th plateau,  w_o = best score of trial o at *its* j-th plateau,
            or its last best if it ended before, or ∞ if it diverged; not there yet: left out
        prune  ⇔  v > quantile(w, q),  given |w| ≥ n_startup

    and not within `grace` epochs of a learning-rate drop. With its `max_plateaus`-th plateau it
    has converged and is never pruned. Before its first plateau a trial meets rungs instead, at
    samples seen = rung_base · rung_factorⁱ: the same rule with rung i in the place of plateau j
    and `rung_quantile`; samples, so that different batch sizes compare.

    The best at a plateau is never pruned; the order of the others does not matter.
    """
    event = history.event
    if event is None:
        return CONTINUE
    worths = (other.worth(event.kind, event.level) for other in others)
    return judge(history, event, sorted(worth for worth in worths if worth is not None))


def judge(history: History, event: Event, others: Sequence[float]) -> Decision:
    """Apply the rule of `decide` at an event; `others` are the comparable values, sorted."""
    rule = history.rule
    place = f"{event.kind} {event.level + 1}"
    last = rule.max_plateaus
    if event.kind == "plateau" and last is not None and event.level + 1 >= last:
        return Decision("converged", "plateau", f"no improvement left at {place}")
    if len(others) < rule.n_startup or history.in_grace():
        return CONTINUE
    q = rule.quantile if event.kind == "plateau" else rule.rung_quantile
    if not event.value > quantile(others, q):
        return CONTINUE
    better = bisect_left(others, event.value)
    return Decision(
        "prune",
        event.kind,
        f"rank {better + 1} of {len(others) + 1} at {place}, "
        f"worse than the {q:g} quantile of the others",
    )


def quantile(values: Sequence[float], q: float) -> float:
    """Return the quantile of sorted values, linear between neighbours; ∞ may be among them.

    Equals: `numpy.quantile(values, q)` where all are finite (numpy gives nan for ∞ − ∞).
    """
    place = q * (len(values) - 1)
    below = math.floor(place)
    share = place - below
    if share == 0 or values[below] == math.inf:
        return values[below]
    if values[below + 1] == math.inf:
        return math.inf
    return values[below] + share * (values[below + 1] - values[below])
