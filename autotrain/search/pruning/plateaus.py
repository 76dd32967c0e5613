"""The rule of performance scheduling: when to prune a trial.

A plateau is `patience` epochs without an improvement of the validation loss. At its j-th plateau a
trial is compared with the best scores of the others at *their* j-th plateau, whatever the epoch.
Before its first plateau a trial is compared at rungs, with the best scores of the others after the
same number of rows. So after its first plateau a trial is not pruned for learning slowly. Before
it, it can be pruned if the others are much better at the same rung. With an annealing schedule the
loss has plateaus while the learning rate is high, and improves when the rate is low. A trial with
such a schedule is pruned at a plateau only if its rate is at most `high_rate` of η₀.

A trial has converged at a plateau if another drop of the learning rate would not help:

- the last `max_plateaus` plateaus followed each other without an improvement of the loss. With the
  schedule `performance`, which drops the rate at each plateau, the last `max_plateaus − 1` drops
  did not help; or
- the learning rate has reached its minimum (`min_lr` of `performance`) in all running folds.

The loss of a trial with several folds is their mean, and each fold drops its rate at its own
plateaus. The patience of such a trial is the larger one of `patience` and that of its schedule, so
that every fold without an improvement has dropped its rate before. Convergence ends a trial unless
its schedule anneals, because the loss of an annealing schedule improves later.

`History` holds the numbers of one trial, and `decide` is a pure function of histories. This module
does not depend on Optuna.
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
        "number of epochs without an improvement that make a plateau; `performance` has its own",
        low=1,
        kind="integer",
    ),
    "min_delta": Parameter(0.0, "smallest improvement of the validation loss that counts", low=0),
    "quantile": Parameter(
        0.5, "at a plateau, a trial worse than this quantile of the others is pruned", low=0, high=1
    ),
    "n_startup": Parameter(
        5, "number of comparable trials before a trial is pruned", low=1, kind="integer"
    ),
    "grace": Parameter(
        3,
        "number of epochs after a drop of the learning rate in which a trial is not pruned",
        low=0,
        kind="integer",
    ),
    "high_rate": Parameter(
        0.5,
        "fraction of η₀ above which a trial that anneals is not pruned at plateaus",
        low=0,
        high=1,
    ),
    "max_plateaus": Parameter(
        3,
        "number of plateaus without an improvement between them that end a trial; 0: no limit",
        low=0,
        kind="integer",
    ),
    "first_rung": Parameter(16, "epochs until the first rung; 0: no rungs", low=0, kind="integer"),
    "rung_factor": Parameter(2.0, "factor between the epochs of two rungs", low=1, open_low=True),
    "rung_quantile": Parameter(
        0.65, "at a rung, a trial worse than this quantile of the others is pruned", low=0, high=1
    ),
}
"""The settings of performance scheduling for users."""


def rule_of(options: Mapping[str, Any], n_rows: int) -> PlateauRule:
    """Make a rule from settings.

    Args:
        options: values by name, see `OPTIONS`; missing ones have their default.
        n_rows: number of training rows of an epoch.
    """
    values = {name: parameter.default for name, parameter in OPTIONS.items()} | dict(options)
    first_rung = int(values.pop("first_rung"))
    return PlateauRule(rung_base=first_rung * n_rows, **values)


@dataclass(frozen=True)
class PlateauRule:
    """The settings of the rule; see `OPTIONS` for the other fields.

    Args:
        rung_base: number of training rows before the first rung; 0 for no rungs.

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
    """A trial reached plateau or rung number `level` (from 0) with the best score `value`."""

    kind: Literal["plateau", "rung"]
    level: int
    value: float
    converged: bool = False
    """Whether the trial has converged."""


@dataclass(frozen=True)
class Decision:
    """A decision about a trial, with its reason."""

    kind: Literal["continue", "prune", "converged"]
    cause: Literal["plateau", "rung"] | None = None
    detail: str = ""


CONTINUE = Decision("continue")


class History:
    """The history of one trial; every epoch costs O(1).

    Attributes:
        best: the lowest score so far; infinite before the first finite one.
        plateaus: `best` at each plateau so far.
        rungs: `best` at each rung so far.
        event: the plateau or rung that the last epoch reached, or None.
        lr_share: see `record`.
        ended: whether training has ended; `best` is then compared at all later plateaus.
        diverged: whether training diverged; the trial is then the worst in all comparisons.
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
        """Start a history.

        Args:
            rule: the settings.
            patience, min_delta: definition of this trial's plateaus; None for that of the rule.
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
        """Record one epoch, and return the event that it reached, if any.

        Args:
            score: the score; lower is better.
            loss: validation loss, in which plateaus are detected; None for the score.
            samples_seen: number of training rows since the start; None for the number of epochs.
            lr_dropped: whether this epoch was the first one after a drop of the learning rate. A
                drop at this epoch's plateau belongs to the next epoch.
            lr_lowest: whether the learning rate has reached its minimum.
            lr_share: the learning rate divided by η₀ for annealing schedules; otherwise 0.
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
        # Recorded also after the first plateau, because other trials are compared with it.
        while base and self.samples_seen >= base * factor ** len(self.rungs):
            self.rungs.append(self.best)
            if not self.plateaus:
                self.event = Event("rung", len(self.rungs) - 1, self.best)
        return self.event

    def _is_last_plateau(self) -> bool:
        """Count a plateau; the result is True for the last one of `max_plateaus` in a row."""
        improved = self._tracker.best < self._loss_at_plateau
        self._loss_at_plateau = self._tracker.best
        self._in_a_row = 1 if improved else self._in_a_row + 1
        return 0 < self.rule.max_plateaus <= self._in_a_row

    def end(self, *, diverged: bool = False) -> None:
        """Record the end of the training."""
        self.ended, self.diverged, self.event = True, diverged, None

    def in_grace(self) -> bool:
        """Whether the learning rate dropped less than `grace` epochs ago."""
        return self._drop_epoch is not None and self.epochs - self._drop_epoch < self.rule.grace

    def is_spared(self, event: Event) -> bool:
        """Whether an event cannot prune, because the learning rate has just dropped or is high."""
        has_high_rate = event.kind == "plateau" and self.lr_share > self.rule.high_rate
        return has_high_rate or self.in_grace()

    def worth(self, kind: Literal["plateau", "rung"], level: int) -> float | None:
        """Return the best score at a plateau or rung; None before the trial has reached it."""
        if self.diverged:
            return math.inf
        reached = self.plateaus if kind == "plateau" else self.rungs
        if level < len(reached):
            return reached[level]
        return self.best if self.ended and self.epochs else None

    def to_json(self) -> dict[str, Any]:
        """Return the state, so that a resumed study prunes as without the interruption.

        The state of an ended trial contains only the values that others are compared with.
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
        """Read the state that `to_json` returned, except for the last event."""
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


# JSON has no infinity, and optuna-dashboard shows the stored values in a browser.
def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _or_inf(value: float | None) -> float:
    return math.inf if value is None else value


def decide(history: History, others: Iterable[History]) -> Decision:
    """Decide about a trial at the end of an epoch.

        v = best score at its j-th plateau,  w_o = best score of trial o at *its* j-th plateau,
            or its best score if it ended before, or ∞ if it diverged; trials that have not reached
            the plateau are omitted
        prune  ⇔  v > quantile(w, q),  given |w| ≥ n_startup

    unless the learning rate dropped less than `grace` epochs ago, or an annealing rate is above
    `high_rate` of η₀ at a plateau. A trial that has converged is not pruned. Before its first
    plateau a trial is compared at rungs, after rung_base · rung_factorⁱ training rows, by the same
    rule with rung i instead of plateau j and `rung_quantile`. Rows make different batch sizes
    comparable.

    The best trial at a plateau is never pruned. The order of the others does not matter.
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
