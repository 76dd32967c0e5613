"""Performance scheduling as a rule: when a trial has shown enough to be stopped.

`patience` epochs without an improvement of the validation loss are a plateau. At its j-th plateau
a trial is compared with what the others had reached at *their* j-th plateau, whatever their epochs.
Before its first plateau a trial is compared at rungs, with what the others had reached after the
same number of rows. So from its first plateau on a trial is not pruned for learning slowly; before
it, it may be, if the others are much better at the same rung. An annealing schedule has plateaus
while its learning rate is high, and improves when the rate is low. A trial with such a schedule is
pruned at plateaus only when its rate is at most `high_rate` of η₀.

A trial has converged at a plateau when another drop of the learning rate would no longer help:

- `max_plateaus` plateaus in a row have come without an improvement of the loss between them: with
  `performance`, which lowers the rate at each plateau, the last `max_plateaus − 1` drops brought
  nothing; or
- the learning rate is at its lowest (`min_lr` of `performance`), in all folds still in training.

A trial of several folds is one loss, their mean, and each fold lowers its rate at its own plateaus.
Its plateaus take as long as the longer of `patience` and its schedule's own, so that in the
meantime every fold without an improvement has lowered its rate. Convergence ends a trial whose
learning rate does not fall by itself; others improve later on.

`History` is one trial as a few numbers, `decide` the rule, a pure function of histories. No Optuna
here: see pruning.py.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

from autotrain import errors
from autotrain.techniques.schedules import Plateau
from autotrain.techniques.technique import Parameter

OPTIONS: dict[str, Parameter] = {
    "patience": Parameter(
        8,
        "epochs without an improvement that make a plateau; `performance` schedules have their own",
        low=1,
        kind="integer",
    ),
    "min_delta": Parameter(0.0, "smallest improvement of the validation loss that counts", low=0),
    "quantile": Parameter(
        0.5, "at a plateau, a trial worse than this quantile of the others is pruned", low=0, high=1
    ),
    "n_startup": Parameter(
        5, "other trials that must be comparable before a trial is pruned", low=1, kind="integer"
    ),
    "grace": Parameter(
        3,
        "epochs from a drop of the learning rate in which a trial is not pruned",
        low=0,
        kind="integer",
    ),
    "high_rate": Parameter(
        0.5,
        "share of η₀ above which a schedule that falls by itself is not pruned at plateaus",
        low=0,
        high=1,
    ),
    "max_plateaus": Parameter(
        3,
        "plateaus in a row, without an improvement between them, that end a trial; 0: no limit",
        low=0,
        kind="integer",
    ),
    "first_rung": Parameter(16, "epochs until the first rung; 0: no rungs", low=0, kind="integer"),
    "rung_factor": Parameter(
        2.0, "how many times later each rung is than the one before", low=1, open_low=True
    ),
    "rung_quantile": Parameter(
        0.65, "at a rung, a trial worse than this quantile of the others is pruned", low=0, high=1
    ),
}
"""Settings of a `PlateauRule`, as a user gives them."""


def rule_of(options: Mapping[str, Any], n_rows: int) -> PlateauRule:
    """Return the rule with these `OPTIONS`, others at their defaults.

    Args:
        n_rows: rows that an epoch trains on.
    """
    values = {name: parameter.default for name, parameter in OPTIONS.items()} | dict(options)
    first_rung = int(values.pop("first_rung"))
    return PlateauRule(rung_base=first_rung * n_rows, **values)


@dataclass(frozen=True)
class PlateauRule:
    """When a trial stops; see `OPTIONS` for the other fields.

    Args:
        rung_base: samples seen at the first rung; 0: no rungs.

    Raises:
        StudyError: when a value is not legal.
    """

    patience: int = 8
    min_delta: float = 0.0
    quantile: float = 0.5
    n_startup: int = 5
    grace: int = 3
    high_rate: float = 0.5
    max_plateaus: int = 3
    rung_base: int = 0
    rung_factor: float = 2.0
    rung_quantile: float = 0.65

    def __post_init__(self) -> None:
        legal = OPTIONS | {"rung_base": OPTIONS["first_rung"]}
        wrong = [
            f"{field.name} must be {legal[field.name].explain()}, got {getattr(self, field.name)!r}"
            for field in fields(self)
            if not legal[field.name].is_legal(getattr(self, field.name))
        ]
        if wrong:
            raise errors.StudyError("pruning rule: " + "; ".join(wrong))


class Event(NamedTuple):
    """A trial has come to its plateau or rung number `level` (from 0) with best score `value`."""

    kind: Literal["plateau", "rung"]
    level: int
    value: float
    converged: bool = False
    """Whether another drop of the learning rate would no longer help."""


@dataclass(frozen=True)
class Decision:
    """A decision on a trial, with its reason in words."""

    kind: Literal["continue", "prune", "converged"]
    cause: Literal["plateau", "rung"] | None = None
    detail: str = ""


CONTINUE = Decision("continue")


class History:
    """The history of one trial, as far as the rule needs it; every epoch costs O(1).

    Attributes:
        best: the lowest score so far; infinite before the first finite one.
        plateaus: `best` at each plateau so far.
        rungs: `best` at each rung so far.
        event: the plateau or rung that the last epoch came to, or None.
        lr_share: see `record`.
        ended: whether it trains no more; then its last values stand for all later plateaus.
        diverged: whether it ended for that reason; then it counts as worst everywhere.
    """

    __slots__ = (
        "_drop_epoch",
        "_in_a_row",
        "_loss_at_plateau",
        "_tracker",
        "best",
        "diverged",
        "ended",
        "epochs",
        "event",
        "lr_share",
        "plateaus",
        "rule",
        "rungs",
        "samples_seen",
    )

    def __init__(
        self, rule: PlateauRule, patience: int | None = None, min_delta: float | None = None
    ) -> None:
        """Begin a history.

        Args:
            patience, min_delta: of the trial's own plateaus; None as the rule has them.
        """
        self.rule = rule
        self.epochs = 0
        self.samples_seen = 0
        self.best = math.inf
        self.plateaus: list[float] = []
        self.rungs: list[float] = []
        self.event: Event | None = None
        self.lr_share = 0.0
        self.ended = False
        self.diverged = False
        self._tracker = Plateau(
            rule.patience if patience is None else patience,
            rule.min_delta if min_delta is None else min_delta,
        )
        self._loss_at_plateau = math.inf
        self._in_a_row = 0
        self._drop_epoch: int | None = None

    def record(
        self,
        score: float,
        *,
        loss: float | None = None,
        samples_seen: int | None = None,
        lr_dropped: bool = False,
        lr_lowest: bool = False,
        lr_share: float = 0.0,
    ) -> Event | None:
        """Take one epoch and return the event that it came to, if any.

        Args:
            score: lower is better (a metric to be maximized comes with its sign changed).
            loss: validation loss, watched for plateaus; the score itself when not given.
            samples_seen: training samples since the start of the trial; epochs when not given.
            lr_dropped: whether this epoch was the first one at a dropped learning rate. A drop
                that follows from this epoch's plateau belongs to the next epoch.
            lr_lowest: whether the learning rate can fall no more.
            lr_share: the learning rate as a share of η₀ where it falls by itself; 0 elsewhere.
        """
        self.epochs += 1
        self.samples_seen = self.epochs if samples_seen is None else samples_seen
        if -math.inf < score < self.best:
            self.best = score
        if lr_dropped:
            self._drop_epoch = self.epochs
        self.lr_share = lr_share
        is_plateau = self._tracker.update(score if loss is None else loss)
        self.event = None
        if is_plateau:
            self.plateaus.append(self.best)
            converged = self._is_last_plateau() or lr_lowest
            self.event = Event("plateau", len(self.plateaus) - 1, self.best, converged)
        base, factor = self.rule.rung_base, self.rule.rung_factor
        # Written down also when judged at plateaus: others may be compared here.
        while base and self.samples_seen >= base * factor ** len(self.rungs):
            self.rungs.append(self.best)
            if not self.plateaus:
                self.event = Event("rung", len(self.rungs) - 1, self.best)
        return self.event

    def _is_last_plateau(self) -> bool:
        """Count a plateau; return True when it is the last one of `max_plateaus` in a row."""
        improved = self._tracker.best < self._loss_at_plateau
        self._loss_at_plateau = self._tracker.best
        self._in_a_row = 1 if improved else self._in_a_row + 1
        return 0 < self.rule.max_plateaus <= self._in_a_row

    def end(self, *, diverged: bool = False) -> None:
        """Say that the trial trains no more."""
        self.ended, self.diverged, self.event = True, diverged, None

    def in_grace(self) -> bool:
        """Return True when the learning rate dropped less than `grace` epochs ago."""
        return self._drop_epoch is not None and self.epochs - self._drop_epoch < self.rule.grace

    def is_spared(self, event: Event) -> bool:
        """Return True when an event cannot prune: the learning rate has just dropped or is high."""
        has_high_rate = event.kind == "plateau" and self.lr_share > self.rule.high_rate
        return has_high_rate or self.in_grace()

    def worth(self, kind: Literal["plateau", "rung"], level: int) -> float | None:
        """Return the best score it had there; None when that cannot be said (yet)."""
        if self.diverged:
            return math.inf
        reached = self.plateaus if kind == "plateau" else self.rungs
        if level < len(reached):
            return reached[level]
        return self.best if self.ended and self.epochs else None

    def to_json(self) -> dict[str, Any]:
        """Write down everything, so that a resumed study prunes as if it had never stopped.

        A trial that has ended is written with the values alone that others are compared with.
        """
        state: dict[str, Any] = {
            "epochs": self.epochs,
            "samples_seen": self.samples_seen,
            "best": _finite(self.best),
            "plateaus": [_finite(value) for value in self.plateaus],
            "rungs": [_finite(value) for value in self.rungs],
            "ended": self.ended,
            "diverged": self.diverged,
        }
        if self.ended:
            return state
        return state | {
            "drop_epoch": self._drop_epoch,
            "in_a_row": self._in_a_row,
            "loss_at_plateau": _finite(self._loss_at_plateau),
            "patience": self._tracker.patience,
            "min_delta": self._tracker.min_delta,
            "lowest_loss": _finite(self._tracker.best),
            "waited": self._tracker.waited,
        }

    @classmethod
    def from_json(cls, rule: PlateauRule, state: Mapping[str, Any]) -> History:
        """Read what `to_json` wrote; the last event is not taken up again."""
        history = cls(rule, state.get("patience"), state.get("min_delta"))
        history.epochs = state["epochs"]
        history.samples_seen = state["samples_seen"]
        history.best = _or_inf(state["best"])
        history.plateaus = [_or_inf(value) for value in state["plateaus"]]
        history.rungs = [_or_inf(value) for value in state["rungs"]]
        history.ended, history.diverged = state["ended"], state["diverged"]
        if not history.ended:
            history._drop_epoch = state["drop_epoch"]
            history._in_a_row = state["in_a_row"]
            history._loss_at_plateau = _or_inf(state["loss_at_plateau"])
            history._tracker.best = _or_inf(state["lowest_loss"])
            history._tracker.waited = state["waited"]
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

    and not within `grace` epochs of a learning-rate drop, nor at a plateau while a rate that falls
    by itself is above `high_rate` of η₀. A trial that has converged (see the
    module's first paragraphs) is never pruned. Before its first plateau a trial meets rungs
    instead, at samples seen = rung_base · rung_factorⁱ: the same rule with rung i in the place of
    plateau j and `rung_quantile`; samples, so that different batch sizes compare.

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
    if event.converged:
        return Decision("converged", "plateau", f"no improvement left at {place}")
    if len(others) < rule.n_startup or history.is_spared(event):
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
