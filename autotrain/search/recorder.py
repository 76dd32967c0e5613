"""Record the ends of trials and repeats: in the storage, the best model and the finals.

Only the search loop and its runs write here; the workers never open the study.
"""

from __future__ import annotations

import math
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import optuna
from optuna.pruners import BasePruner
from optuna.trial import TrialState

from autotrain.search.attributes import (
    CAUSE,
    EPOCHS,
    ERROR,
    HISTORY,
    N_PARAMETERS,
    REPEATS,
    SECONDS,
    Cause,
)
from autotrain.search.facts import summary, value_of
from autotrain.search.finalists import Finalist
from autotrain.search.finals import Finals
from autotrain.search.progress import Leader, Progress
from autotrain.search.pruning.comparison import Comparison
from autotrain.search.trained import Trained
from autotrain.search.trial_store import TrialStore
from autotrain.training.slot import Outcome

if TYPE_CHECKING:
    from autotrain.search.runs import TrialRun

MOST_FAILED = 10
"""The search ends when this number of trials failed and none completed."""
N_LEADERS = 3
"""Number of the best trials that are shown."""
MOST_TREND = 100
"""Largest number of complete trials whose best value is shown."""
ERROR_LENGTH = 2_000
"""Number of characters of a traceback that are stored, from its end."""


class Recorder:
    """The results of a study while it runs.

    Args:
        store: the trials in Optuna's storage.
        comparison: performance scheduling; None when `pruner` decides.
        pruner: a pruner of Optuna, called after every epoch; None when `comparison` decides.
        publish: exports a new best trial before the storage records it as complete, so that its
            model can be loaded even if the process is killed. If it raises a RuntimeError, the
            trial fails.
        finals: the finals with the trials of earlier runs; None without finals.
        keep: stores the weights of a complete trial or a repeat.
        after: called with the number of each trial that has ended and is recorded.
    """

    def __init__(
        self,
        store: TrialStore,
        *,
        comparison: Comparison | None,
        pruner: BasePruner | None,
        publish: Callable[[Trained], None],
        finals: Finals | None = None,
        keep: Callable[[Trained], None] = lambda trained: None,
        after: Callable[[int], None] = lambda number: None,
    ) -> None:
        self.store = store
        self.comparison = comparison
        self.pruner = pruner
        self.publish = publish
        self.finals = finals
        self.keep = keep
        self.after = after
        self.sign = store.metric.sign
        self.late: list[tuple[TrialRun, list[Outcome]]] = []
        """Trials that were stopped at the end of the time."""
        self.counts = {TrialState.COMPLETE: 0, TrialState.PRUNED: 0, TrialState.FAIL: 0}
        self.n_before = self.n_done = self.n_repeats = self.n_failed = 0
        self.leaders: list[Leader] = []
        """The best complete trials, the best first."""
        self.trend: list[float] = []
        """The best value after each complete trial."""
        self.causes: Counter[str] = Counter()
        """Numbers of trials that did not complete, by cause."""

    @property
    def best(self) -> Leader | None:
        """The best complete trial; None before one is complete."""
        return self.leaders[0] if self.leaders else None

    def restore(
        self, leaders: Sequence[Leader], values: Sequence[float], counts: dict[TrialState, int]
    ) -> None:
        """Add the results of earlier runs.

        Args:
            leaders: their best trials, the best first.
            values: the values of their complete trials.
            counts: numbers of their trials by state.
        """
        self.leaders = list(leaders[:N_LEADERS])
        self.trend = list(accumulate(values, min if self.sign > 0 else max))
        self.counts.update(counts)
        self.n_before = sum(counts.values())

    def progress(self) -> Progress:
        """Return the results so far, without the fields about the running search."""
        best = self.best
        return Progress(
            n_complete=self.counts[TrialState.COMPLETE],
            n_pruned=self.counts[TrialState.PRUNED],
            n_failed=self.counts[TrialState.FAIL],
            n_done=self.n_done,
            best_value=None if best is None else best.value,
            best_number=None if best is None else best.number,
            best_summary="" if best is None else best.words,
            n_repeats=self.n_repeats,
            leaders=tuple(self.leaders),
            trend=tuple(self.trend[-MOST_TREND:]),
            causes=dict(self.causes),
        )

    @property
    def is_behind(self) -> bool:
        """Whether the storage has results of a killed run that are not computed again yet."""
        repeats = self.finals is not None and self.finals.is_behind
        return bool(self.store.begun or self.store.recorded) or repeats

    def is_best(self, value: float) -> bool:
        """Whether a value is better than that of every complete trial."""
        return self.best is None or self.sign * value < self.sign * self.best.value

    def _enter(self, leader: Leader) -> None:
        """Add a complete trial to the best ones; the earlier one of two equal trials is better."""
        self.leaders.append(leader)
        self.leaders.sort(key=lambda each: (self.sign * each.value, each.number))
        del self.leaders[N_LEADERS:]
        self.trend.append(self.leaders[0].value)

    def add_point(self, trial: optuna.Trial, epoch: int, of: int, value: float) -> bool:
        """Add a point to a trial's curve; the result is True if an Optuna pruner stops it."""
        self.store.report(trial, epoch, of, value)
        if self.pruner is None:
            return False
        frozen = self.store.storage.get_trial(trial._trial_id)
        return self.pruner.prune(self.store.study, frozen)

    def complete(self, run: TrialRun, trained: Trained, facts: dict[str, Any]) -> str | None:
        """Record a trial as complete, and export it first if it is the best one.

        Returns: the traceback if it cannot be exported, and the trial is still open; else None.
        """
        is_recorded = trained.number in self.store.recorded
        if self.is_best(trained.value):
            try:
                if not is_recorded:
                    self.publish(trained)
            except RuntimeError:
                return traceback.format_exc()
        self._enter(Leader(trained.value, trained.number, summary(trained.config)))
        if not is_recorded:
            self.keep(trained)
        if self.finals is not None:
            finalist = Finalist(
                number=trained.number,
                score=self.sign * trained.value,
                n_parameters=facts[N_PARAMETERS],
                config=trained.config,
                seconds=facts[SECONDS],
            )
            self.finals.enter(finalist)
        self.finish(run, TrialState.COMPLETE, trained.value, facts)
        return None

    def finish(
        self, run: TrialRun, state: TrialState, value: float | None, facts: Mapping[str, Any]
    ) -> None:
        """Record the end of a trial in the storage and the comparison."""
        facts = {**facts, **self._close_history(run, state, facts[CAUSE] == Cause.DIVERGED)}
        is_new = run.number not in self.store.recorded
        self.store.finish(run.trial, state, value, facts, facts.get(EPOCHS, 0))
        if Cause(facts[CAUSE]).is_counted:
            self.counts[state] += 1
            if state != TrialState.COMPLETE:
                self.causes[facts[CAUSE]] += 1
            self.n_done += 1
            if is_new:
                self.after(run.number)

    def fail(self, run: TrialRun, cause: Cause, text: str) -> None:
        """Record that a trial failed for a reason outside its configuration.

        Raises:
            RuntimeError: when many trials failed and none completed.
        """
        facts = {CAUSE: cause, ERROR: text[-ERROR_LENGTH:]}
        if cause == Cause.OUT_OF_MEMORY:
            self.finish(run, TrialState.PRUNED, None, facts)
            return
        self.finish(run, TrialState.FAIL, None, facts)
        self.n_failed += 1
        if self.n_failed >= MOST_FAILED and not self.counts[TrialState.COMPLETE]:
            raise RuntimeError(f"{self.n_failed} trials failed and none succeeded:\n{text}")

    def end_late(self) -> None:
        """Record the trials that were stopped at the end of the time; the best may be complete."""
        self.late.sort(key=lambda late: self.sign * value_of(late[1]))
        while self.late:
            run, outcomes = self.late[0]
            run.end_as(self, outcomes, is_complete=self.is_best(value_of(outcomes)))
            self.late.pop(0)

    def record_repeat(
        self, number: int, repeat: int, trained: Trained | None, epochs: Sequence[int]
    ) -> None:
        """Record the end of a repeat.

        Args:
            number: number of the finalist.
            repeat: number of the repeat.
            trained: the trained model; None when it diverged.
            epochs: epochs of each fold.
        """
        assert self.finals is not None
        score = math.inf
        if trained is not None:
            self.keep(trained)
            score = self.sign * trained.value
        self.finals.record(number, repeat, score, epochs)
        self.n_repeats += 1
        self.store.note(REPEATS, self.finals.to_json())

    def lose_repeat(self, number: int) -> None:
        """Drop a finalist whose repeat failed from the finals of this run."""
        assert self.finals is not None
        self.finals.lose(number)

    def _close_history(self, run: TrialRun, state: TrialState, diverged: bool) -> dict[str, Any]:
        """End a trial in the comparison, and return its history as a user attribute."""
        if self.comparison is None:
            return {}
        if state == TrialState.FAIL or not run.epoch:
            self.comparison.forget(run.number)
            return {}
        return {HISTORY: self.comparison.end(run.number, diverged=diverged).to_json()}
