"""Pruners: which trials of a study stop early.

The default is the rule of plateaus.py. autotrain's own studies ask a `Board`, which keeps all
trials ready to be compared; `PerformancePruner` is the same rule for plain Optuna studies.
Optuna's other pruners are there, too: to add one, add a row to `PRUNERS`.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.pruners import BasePruner
from optuna.study import StudyDirection
from optuna.trial import TrialState

from autotrain import errors
from autotrain.search.pruning.plateaus import (
    CONTINUE,
    OPTIONS,
    Decision,
    History,
    PlateauRule,
    decide,
    judge,
    rule_of,
)
from autotrain.techniques.technique import Parameter

__all__ = [
    "PRUNERS",
    "Board",
    "Decision",
    "History",
    "PerformancePruner",
    "PlateauRule",
    "decide",
    "make_pruner",
    "read_options",
    "rule_of",
]


class _Ladder:
    """The scores of a study's trials at each plateau (or rung), sorted."""

    def __init__(self) -> None:
        self._levels: list[list[float]] = []
        self._carried: list[float] = []

    def at(self, index: int) -> list[float]:
        # No trial has reached a new level yet, so every ended trial is carried up to it.
        while len(self._levels) <= index:
            self._levels.append(sorted(self._carried))
        return self._levels[index]

    def reach(self, index: int, value: float) -> None:
        insort(self.at(index), value)

    def carry(self, n_reached: int, value: float) -> None:
        if n_reached:
            self.at(n_reached - 1)
        for level in self._levels[n_reached:]:
            insort(level, value)
        self._carried.append(value)

    def take_back(self, reached: Sequence[float]) -> None:
        for level, value in zip(self._levels, reached, strict=False):
            del level[bisect_left(level, value)]


class Board:
    """All trials of a study, ready to be compared; the same answers as `decide`.

    Ended trials are kept as their sorted numbers alone: an epoch costs O(1), a plateau O(log n)
    and the insertion into a list of n numbers.
    """

    def __init__(self, rule: PlateauRule) -> None:
        self.rule = rule
        self._running: dict[int, History] = {}
        self._ladders = {"plateau": _Ladder(), "rung": _Ladder()}

    def history(self, number: int) -> History:
        """Return the history of a trial that is not ended; a new one for a new trial."""
        if number not in self._running:
            self._running[number] = History(self.rule)
        return self._running[number]

    def begin(self, number: int, patience: int, min_delta: float) -> None:
        """Take in a trial whose plateaus are its own; without it they are the rule's."""
        self._running[number] = History(self.rule, patience, min_delta)

    def record(
        self,
        number: int,
        score: float,
        *,
        loss: float | None = None,
        samples_seen: int | None = None,
        lr_dropped: bool = False,
        lr_lowest: bool = False,
        lr_share: float = 0.0,
    ) -> Decision:
        """Take one epoch of a trial (arguments as `History.record`) and decide."""
        history = self.history(number)
        n_rungs = len(history.rungs)
        event = history.record(
            score,
            loss=loss,
            samples_seen=samples_seen,
            lr_dropped=lr_dropped,
            lr_lowest=lr_lowest,
            lr_share=lr_share,
        )
        decision = CONTINUE
        if event is not None:
            decision = judge(history, event, self._ladders[event.kind].at(event.level))
        # Only now: a trial is not compared with itself.
        if event is not None and event.kind == "plateau":
            self._ladders["plateau"].reach(event.level, event.value)
        for index in range(n_rungs, len(history.rungs)):
            self._ladders["rung"].reach(index, history.rungs[index])
        return decision

    def end(self, number: int, *, diverged: bool = False) -> History:
        """Say that a trial trains no more, and return its history to be written down."""
        history = self.history(number)
        del self._running[number]
        history.end(diverged=diverged)
        if diverged:
            self._take_back(history)
        if diverged or history.epochs:
            last = math.inf if diverged else history.best
            for kind, reached in (("plateau", history.plateaus), ("rung", history.rungs)):
                self._ladders[kind].carry(0 if diverged else len(reached), last)
        return history

    def forget(self, number: int) -> None:
        """Remove a trial from all comparisons; a failed trial is no evidence about others."""
        history = self._running.pop(number, None)
        if history is not None:
            self._take_back(history)

    def restore(self, number: int, history: History) -> None:
        """Put in a trial of an earlier run, ended or not, as read with `History.from_json`."""
        diverged = history.diverged
        self._running[number] = history
        for kind, reached in (("plateau", history.plateaus), ("rung", history.rungs)):
            for index, value in enumerate(reached):
                self._ladders[kind].reach(index, value)
        if history.ended:
            self.end(number, diverged=diverged)

    def _take_back(self, history: History) -> None:
        self._ladders["plateau"].take_back(history.plateaus)
        self._ladders["rung"].take_back(history.rungs)


class PerformancePruner(BasePruner):
    """The rule as an ordinary Optuna pruner, for studies that are not run by autotrain.

    It knows the reported values only: they are watched for plateaus themselves, one report is
    one epoch, `step + 1` stands for samples seen, and drops of the learning rate are not known,
    so `grace` has no effect. A converged trial is not pruned; it may stop itself.
    """

    def __init__(self, rule: PlateauRule | None = None) -> None:
        self.rule = rule_of({}, 1) if rule is None else rule

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Return True when the trial should stop now; Optuna asks after each report."""
        history = self._replay(study, trial)
        if history.event is None:
            return False
        states = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)
        others = study.get_trials(deepcopy=False, states=states)
        decision = decide(
            history, (self._replay(study, o) for o in others if o.number != trial.number)
        )
        return decision.kind == "prune"

    def _replay(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> History:
        sign = 1.0 if study.direction == StudyDirection.MINIMIZE else -1.0
        history = History(self.rule)
        value = 0.0
        for step, value in sorted(trial.intermediate_values.items()):
            history.record(sign * value, samples_seen=step + 1)
        if trial.state.is_finished():
            history.end(diverged=not math.isfinite(value))
        return history


@dataclass(frozen=True)
class PrunerRow:
    """A row of `PRUNERS`.

    Args:
        build: a value for each of `options` → the pruner.
        doc: what it does, in one clause.
        options: its settings by name.
    """

    build: Callable[[Mapping[str, Any]], BasePruner]
    doc: str
    options: Mapping[str, Parameter]


PRUNERS: dict[str, PrunerRow] = {
    "performance": PrunerRow(
        # One report is one epoch, and stands for one row.
        lambda options: PerformancePruner(rule_of(options, 1)),
        "at plateaus of the validation loss, by what other trials had at theirs",
        OPTIONS,
    ),
    "asha": PrunerRow(
        lambda options: optuna.pruners.SuccessiveHalvingPruner(**options),
        "successive halving: of the trials at a rung, the best 1/`reduction_factor` train on",
        {
            "min_resource": Parameter(4, "epochs until the first rung", low=1, kind="integer"),
            "reduction_factor": Parameter(
                3, "how many times later each rung is than the one before", low=2, kind="integer"
            ),
            "min_early_stopping_rate": Parameter(
                0, "rungs left out at the beginning", low=0, kind="integer"
            ),
        },
    ),
    "median": PrunerRow(
        lambda options: optuna.pruners.MedianPruner(**options),
        "what is worse than the median of complete trials at the same epoch",
        {
            "n_startup_trials": Parameter(
                5, "trials that must have ended before a trial is pruned", low=0, kind="integer"
            ),
            "n_warmup_steps": Parameter(
                4, "epochs in which a trial is not pruned", low=0, kind="integer"
            ),
            "interval_steps": Parameter(1, "epochs between two comparisons", low=1, kind="integer"),
            "n_min_trials": Parameter(
                1, "trials that must have come to an epoch to be compared", low=1, kind="integer"
            ),
        },
    ),
    "none": PrunerRow(lambda options: optuna.pruners.NopPruner(), "nothing is pruned", {}),
}


def read_options(name: str, options: Mapping[str, Any] | None) -> dict[str, int | float]:
    """Return those settings of a pruner that differ from its defaults.

    Args:
        name: a row of `PRUNERS`.
        options: setting → number; None for the defaults.
    Raises:
        StudyError: with every mistake at once: no such pruner, no such setting, no legal value.
    """
    if name not in PRUNERS:
        raise errors.StudyError(errors.unknown("pruner", name, PRUNERS))
    if not isinstance(options, Mapping | None):
        raise errors.StudyError(
            "pruner_options must be a table of names and numbers, such as "
            f'{{"quantile": 0.4}}, got {options!r}.'
        )
    known, mistakes, differing = PRUNERS[name].options, [], {}
    for key, given in (options or {}).items():
        value = as_builtin(given)
        if key not in known:
            mistakes.append(errors.unknown(f"option of pruner {name!r}", key, known))
        elif not known[key].is_legal(value):
            mistakes.append(f"{key} must be {known[key].explain()}, got {given!r}.")
        elif value != known[key].default:
            differing[key] = value
    if mistakes:
        raise errors.StudyError("pruner_options: " + " ".join(mistakes))
    return differing


def as_builtin(number: Any) -> Any:
    """Return a number of NumPy as Python's own."""
    return number.item() if isinstance(number, np.generic) else number


def make_pruner(name: str = "performance", options: Mapping[str, Any] | None = None) -> BasePruner:
    """Build the pruner of that name.

    Args:
        options: its settings, see `PRUNERS`; what is left out has its default.
    Raises:
        StudyError: when there is no such pruner, or a setting is wrong.
    """
    given = read_options(name, options)
    row = PRUNERS[name]
    return row.build({key: parameter.default for key, parameter in row.options.items()} | given)
