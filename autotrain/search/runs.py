"""The trainings of trials, and the repeats of finalists with other seeds.

`TrialRun` and `RepeatRun` differ in what they record in the `Recorder`; `TrainingRun` has the
common part.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import TrialState

from autotrain.search.attributes import CAUSE, Cause
from autotrain.search.facts import facts_of, value_of
from autotrain.search.finalists import Finalist
from autotrain.search.pruning.comparison import Comparison
from autotrain.search.recorder import Recorder
from autotrain.search.training_run import TrainingRun
from autotrain.search.workers.protocol import Worker
from autotrain.training.slot import Outcome


@dataclass(kw_only=True)
class TrialRun(TrainingRun):
    """The training of a trial."""

    trial: optuna.Trial

    def comparison(self, shared: Comparison | None) -> Comparison | None:
        """Return the comparison of the study's trials."""
        return shared

    def take_epoch(self, recorder: Recorder, value: float) -> Cause | None:
        """Add a point to the trial's curve, unless an earlier attempt did."""
        if self.epoch <= self.reported:
            return None
        self.reported = self.epoch
        is_pruned = recorder.add_point(self.trial, self.epoch, self.config.epochs, value)
        return Cause.RUNG if is_pruned else None

    def end(self, recorder: Recorder, outcomes: list[Outcome]) -> None:
        """End the trial: complete, pruned, diverged, or not started."""
        if any(outcome.cause == Cause.DIVERGED for outcome in outcomes):
            facts = self.facts(outcomes, Cause.DIVERGED)
            recorder.finish(self, TrialState.PRUNED, None, facts)
        elif any(outcome.parameters is None for outcome in outcomes):
            # Stopped before the end of its first epoch, so it has no score.
            self._fail_as(recorder, Cause.NOT_STARTED)
        elif self.cause == Cause.TIME:
            # Exporting every improvement now would exceed the time limit.
            recorder.late.append((self, outcomes))
        else:
            self.end_as(recorder, outcomes, is_complete=self.cause in (None, Cause.CONVERGED))

    def end_as(self, recorder: Recorder, outcomes: list[Outcome], *, is_complete: bool) -> None:
        """End the trial as complete or as pruned."""
        facts = self.facts(outcomes, self.cause or Cause(outcomes[0].cause))
        if not is_complete:
            value = value_of(outcomes)
            recorder.finish(self, TrialState.PRUNED, value, facts)
            return
        failure = recorder.complete(self, self.trained(outcomes), facts)
        if failure is not None:
            # A model that cannot be exported cannot win; the search continues without it.
            self.fail(recorder, Cause.EXPORT, failure)

    def fail(self, recorder: Recorder, cause: Cause, text: str) -> None:
        """End the trial as failed, or as pruned when it was out of memory."""
        recorder.fail(self, cause, text)

    def put_off(self, recorder: Recorder) -> None:
        """End the trial as interrupted, unless its end was just recorded."""
        if not recorder.store.is_finished(self.number):
            self._fail_as(recorder, Cause.INTERRUPTED)

    def retry(self, worker: Worker, cost: float) -> TrialRun:
        """Return a second attempt on a worker."""
        again = TrialRun(self.number, self.config, worker, cost, self.seed, trial=self.trial)
        again.reported, again.is_retry = self.reported, cost >= 1
        return again

    def forget(self, recorder: Recorder) -> None:
        """Remove the trial from the comparison."""
        if recorder.comparison is not None:
            recorder.comparison.forget(self.number)

    def facts(self, outcomes: Sequence[Outcome], cause: Cause) -> dict[str, object]:
        """Return the user attributes at the end of the trial."""
        return facts_of(outcomes, cause, time.monotonic() - self.started_s, self.curve())

    def _fail_as(self, recorder: Recorder, cause: Cause) -> None:
        recorder.finish(self, TrialState.FAIL, None, {CAUSE: cause})


@dataclass(kw_only=True)
class RepeatRun(TrainingRun):
    """A repeat: the training of a finalist with another seed."""

    repeat: int
    own_comparison: Comparison | None
    """A comparison without other trials, which stops the training when it has converged."""

    @classmethod
    def of(
        cls,
        finalist: Finalist,
        repeat: int,
        place: tuple[Worker, float],
        seed: int,
        shared: Comparison | None,
    ) -> RepeatRun:
        """Return a repeat of a finalist.

        Args:
            place: the worker, and the share of it that the repeat needs.
            shared: the comparison of the study's trials, for its rule.
        """
        own = None if shared is None else Comparison(shared.rule)
        about = (finalist.number, finalist.config, *place, seed)
        return cls(*about, repeat=repeat, own_comparison=own)

    def comparison(self, shared: Comparison | None) -> Comparison | None:
        """Return its own comparison."""
        return self.own_comparison

    def take_epoch(self, recorder: Recorder, value: float) -> Cause | None:
        """Do nothing: the curve of the trial has ended."""
        return None

    def end(self, recorder: Recorder, outcomes: list[Outcome]) -> None:
        """Record the score, unless the repeat was stopped at the end of the time."""
        if self.cause == Cause.TIME:
            return
        epochs = [outcome.epochs for outcome in outcomes]
        if any(o.cause == Cause.DIVERGED or o.parameters is None for o in outcomes):
            recorder.record_repeat(self.number, self.repeat, None, epochs)
        else:
            recorder.record_repeat(self.number, self.repeat, self.trained(outcomes), epochs)

    def fail(self, recorder: Recorder, cause: Cause, text: str) -> None:
        """Drop the finalist from the finals of this run; it keeps its other scores."""
        recorder.lose_repeat(self.number)

    def put_off(self, recorder: Recorder) -> None:
        """Do nothing: a later run finds that the repeat is missing."""

    def forget(self, recorder: Recorder) -> None:
        """Do nothing: the second attempt has a new comparison."""

    def retry(self, worker: Worker, cost: float) -> RepeatRun:
        """Return a second attempt on a worker."""
        comparison = self.own_comparison and Comparison(self.own_comparison.rule)
        about = (self.number, self.config, worker, cost, self.seed)
        again = RepeatRun(*about, repeat=self.repeat, own_comparison=comparison)
        again.is_retry = cost >= 1
        return again
