"""`Comparison`: performance scheduling for all trials of a study, in constant time per epoch.

It decides as `plateaus.decide`, which compares a trial with the histories of all others. Here the
values of ended trials are kept as sorted lists: an epoch costs O(1), and a plateau O(log n) plus
the insertion into a list of n numbers.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Sequence

from autotrain.search.pruning.plateaus import CONTINUE, Decision, History, PlateauRule, judge


class _Levels:
    """The values of a study's trials at each plateau (or rung), sorted."""

    def __init__(self) -> None:
        self._levels: list[list[float]] = []
        self._last: list[float] = []

    def at(self, index: int) -> list[float]:
        """Return the values at a level."""
        # No trial has reached a new level yet, so it contains the last values of all ended trials.
        while len(self._levels) <= index:
            self._levels.append(sorted(self._last))
        return self._levels[index]

    def add(self, index: int, value: float) -> None:
        """Add the value of a trial that reached a level."""
        insort(self.at(index), value)

    def end(self, n_reached: int, value: float) -> None:
        """Add the last value of an ended trial to the levels that it did not reach."""
        if n_reached:
            self.at(n_reached - 1)
        for level in self._levels[n_reached:]:
            insort(level, value)
        self._last.append(value)

    def remove(self, reached: Sequence[float]) -> None:
        """Remove the values of a trial."""
        for level, value in zip(self._levels, reached, strict=False):
            del level[bisect_left(level, value)]


class Comparison:
    """All trials of a study, and the pruning decisions about them.

    Args:
        rule: the settings of performance scheduling.
    """

    def __init__(self, rule: PlateauRule) -> None:
        self.rule = rule
        self._running: dict[int, History] = {}
        self._levels = {"plateau": _Levels(), "rung": _Levels()}

    def history(self, number: int) -> History:
        """Return the history of a running trial; a new one for a new trial."""
        if number not in self._running:
            self._running[number] = History(self.rule)
        return self._running[number]

    def begin(self, number: int, patience: int, min_delta: float) -> None:
        """Add a trial with its own definition of a plateau, instead of the rule's."""
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
        """Record one epoch of a trial (arguments as in `History.record`) and decide about it."""
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
            decision = judge(history, event, self._levels[event.kind].at(event.level))
        # Only now, because a trial is not compared with itself.
        if event is not None and event.kind == "plateau":
            self._levels["plateau"].add(event.level, event.value)
        for index in range(n_rungs, len(history.rungs)):
            self._levels["rung"].add(index, history.rungs[index])
        return decision

    def end(self, number: int, *, diverged: bool = False) -> History:
        """Record the end of a trial, and return its history for the storage."""
        history = self.history(number)
        del self._running[number]
        history.end(diverged=diverged)
        if diverged:
            self._remove(history)
        if diverged or history.epochs:
            last = math.inf if diverged else history.best
            for kind, reached in (("plateau", history.plateaus), ("rung", history.rungs)):
                self._levels[kind].end(0 if diverged else len(reached), last)
        return history

    def forget(self, number: int) -> None:
        """Remove a trial that failed; its values are not compared with those of others."""
        history = self._running.pop(number, None)
        if history is not None:
            self._remove(history)

    def restore(self, number: int, history: History) -> None:
        """Add a trial of an earlier run, ended or not, as read by `History.from_json`."""
        diverged = history.diverged
        self._running[number] = history
        for kind, reached in (("plateau", history.plateaus), ("rung", history.rungs)):
            for index, value in enumerate(reached):
                self._levels[kind].add(index, value)
        if history.ended:
            self.end(number, diverged=diverged)

    def _remove(self, history: History) -> None:
        self._levels["plateau"].remove(history.plateaus)
        self._levels["rung"].remove(history.rungs)
