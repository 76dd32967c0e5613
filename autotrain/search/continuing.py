"""`Continuation`: how a run continues a search that was killed, from its snapshot and its storage.

The storage can have more than the snapshot, because trials ended or began after it was taken.

A snapshot of a search whose steps follow from its state alone (one worker in the process of the
search, no time limit) is continued exactly: the search computes again what came after the snapshot.
Trials that had begun begin again with the recorded parameters and in the same order, and what is in
the storage is not written again. So the result equals that of a search without an interruption, bit
for bit.

Otherwise the search continues from the storage: trainings in the snapshot whose trials have not
ended continue, and the other trials that were running are trained again. After Ctrl-C, which closes
all trials, their repetitions continue from the snapshot.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from autotrain.search.attributes import (
    ABANDONED,
    REPEATS,
    RETRY_OF,
    SAVED_EPOCH,
    Cause,
    cause_of,
)
from autotrain.search.facts import trial_seed
from autotrain.search.finals import Finals
from autotrain.search.pruning.comparison import Comparison
from autotrain.search.pruning.plateaus import History
from autotrain.search.record import own_trials
from autotrain.search.runs import RepeatRun, TrialRun
from autotrain.search.saving import FACTS, LISTS
from autotrain.search.snapshot import SavedRun, Snapshot
from autotrain.search.training_run import TrainingRun
from autotrain.search.trial_store import MOST_ABANDONED
from autotrain.search.workers.protocol import Worker
from autotrain.space.config import TrialConfig

if TYPE_CHECKING:
    from autotrain.search.loop import SearchLoop

NOT_ASKED = (Cause.FORBIDDEN, Cause.OUTSIDE_SPACE)
"""Causes of trials that were rejected and are never returned by `TrialStore.ask`."""


@dataclass(frozen=True)
class Continuation:
    """The trainings that a run continues; everything is empty without a snapshot.

    Args:
        snapshot: the state to continue from; None to start from the storage.
        is_exact: whether the search after the snapshot is computed again.
        runs: trainings to continue.
        closed: trainings of trials that were closed; the trials that repeat them continue them.
        begun: trials that had begun after the snapshot, in their order; empty if not exact.
        recorded: trials that had ended after the snapshot; empty if not exact.
    """

    snapshot: Snapshot | None = None
    is_exact: bool = False
    runs: tuple[SavedRun, ...] = ()
    closed: tuple[SavedRun, ...] = ()
    begun: tuple[FrozenTrial, ...] = ()
    recorded: frozenset[int] = frozenset()

    def n_trials(self, left: int | None, trials: Sequence[FrozenTrial]) -> int | None:
        """Return the number of trials of a run, including those that it continues.

        Args:
            left: number of trials that may still start or are running; None for no limit.
            trials: the study's trials.
        """
        if left is None or self.snapshot is None or not self.is_exact:
            return left
        n_running = sum(trial.state == TrialState.RUNNING for trial in trials)
        n_begun = len(self.begun) + (self.snapshot.ready is not None)
        return self.snapshot.counts["n_started"] + n_begun + left - n_running

    @classmethod
    def of(cls, snapshot: Snapshot | None, study: optuna.Study, *, is_exact: bool) -> Continuation:
        """Compare a snapshot with the storage.

        Args:
            snapshot: the snapshot; None without one.
            study: the Optuna study.
            is_exact: whether this run can continue exactly.
        """
        trials = study.get_trials(deepcopy=False)
        if snapshot is None or not _has_all(trials, snapshot):
            return cls()
        running = {trial.number for trial in trials if trial.state == TrialState.RUNNING}
        own = [run for run in snapshot.runs if not run.repeat]
        ready = set() if snapshot.ready is None else {snapshot.ready}
        begun = [
            trial
            for trial in own_trials(trials, study.user_attrs)
            if not snapshot.had_ended(trial.number)
            and trial.number not in {*(run.number for run in own), *ready}
            and trial.state != TrialState.WAITING
            and cause_of(trial) not in NOT_ASKED
        ]
        epochs = {run.number: run.epoch for run in own} | {trial.number: -1 for trial in begun}
        given_up = {
            number
            for number, epoch in epochs.items()
            if _deaths(trials[number], epoch) >= MOST_ABANDONED
        }
        # Another program may have closed the trials; they are trained again with other numbers.
        is_closed = any(_is_retried(trials[number]) for number in epochs.keys() | ready)
        if is_exact and snapshot.is_exact and not (given_up & running or is_closed):
            ended = {trial.number for trial in trials if trial.state.is_finished()}
            return cls(
                snapshot,
                is_exact=True,
                runs=snapshot.runs,
                begun=tuple(sorted(begun, key=_start)),
                recorded=frozenset(ended & (epochs.keys() | ready)),
            )
        repeats = {(each["trial"], each["repeat"]) for each in study.user_attrs.get(REPEATS, [])}
        continued = [run for run in own if run.number in running - given_up]
        continued += [
            run for run in snapshot.runs if run.repeat and (run.number, run.repeat) not in repeats
        ]
        closed = tuple(run for run in own if _is_retried(trials[run.number]))
        return cls(snapshot, runs=tuple(continued), closed=closed)

    def finals(self, finals: Finals | None) -> Finals | None:
        """Return the finals when the search continues; None without finals."""
        if finals is None or self.snapshot is None or not self.is_exact:
            return finals
        return finals.as_of(self.snapshot.had_ended, self.snapshot.repeats)

    def marks(self, trials: Sequence[FrozenTrial]) -> dict[int, dict[str, int]]:
        """Return the user attributes that trials get which continue, by number."""
        if self.snapshot is None:
            return {}
        epochs = {run.number: run.epoch for run in self.runs if not run.repeat}
        if self.is_exact:
            epochs |= {trial.number: -1 for trial in self.begun}
            epochs |= {} if self.snapshot.ready is None else {self.snapshot.ready: -1}
        return {
            trial.number: {ABANDONED: _deaths(trial, epoch), SAVED_EPOCH: epoch}
            for trial in trials
            if trial.state == TrialState.RUNNING and (epoch := epochs.get(trial.number)) is not None
        }

    def before(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Return the trials that had ended when the search continues."""
        if self.snapshot is None or not self.is_exact:
            return list(trials)
        return [trial for trial in trials if self.snapshot.had_ended(trial.number)]


def _has_all(trials: Sequence[FrozenTrial], snapshot: Snapshot) -> bool:
    """Whether the storage has what the snapshot has; it may have lost trials in a power failure."""
    if len(trials) < snapshot.n_trials:
        return False
    return all(t.state.is_finished() for t in trials if snapshot.had_ended(t.number))


def _is_retried(trial: FrozenTrial) -> bool:
    cause = cause_of(trial)
    return cause is not None and cause.is_retried


def _start(trial: FrozenTrial) -> tuple[float, int]:
    started = trial.datetime_start
    return (0.0 if started is None else started.timestamp(), trial.number)


def _deaths(trial: FrozenTrial, epoch: int = -1) -> int:
    """Return how often the process died in a training, since it had continued at another epoch."""
    deaths = int(trial.user_attrs.get(ABANDONED, 0))
    known = trial.user_attrs.get(SAVED_EPOCH)
    return 1 if known is not None and epoch > known else deaths + 1


def restore(loop: SearchLoop, plan: Continuation) -> None:
    """Set a new search loop to the state from which it continues.

    Args:
        loop: the loop, before it runs.
        plan: what it continues.
    """
    snapshot, recorder = plan.snapshot, loop.recorder
    if snapshot is None:
        return
    counts = snapshot.counts
    loop.slots.n_admitted = counts["n_admitted"]
    loop.epochs = counts["epochs"]
    loop.n_started = sum(not run.repeat for run in plan.runs)
    if plan.is_exact:
        loop.n_started = counts["n_started"]
        recorder.n_before, recorder.n_done = counts["n_before"], counts["n_done"]
        recorder.n_failed, recorder.n_repeats = counts["n_failed"], counts["n_repeats"]
    loop.returning = list(plan.runs)
    loop.closed = {run.number: run for run in plan.closed}
    loop.store.begun, loop.store.recorded = [t.number for t in plan.begun], {*plan.recorded}
    loop.saver.continues = True
    if plan.is_exact and snapshot.ready is not None:
        loop.ready = loop.store.begin_again(snapshot.ready)
    for run in plan.runs:
        if not run.repeat:
            _restore_history(loop, run)


def resume_trainings(loop: SearchLoop) -> None:
    """Continue the trainings of an earlier run, if there is a worker."""
    while loop.returning and loop.workers.alive:
        saved = loop.returning.pop(0)
        worker = loop.placement.least_loaded(loop.slots.runs())
        loop.slots.resume(run_of(saved, loop, worker), saved.states)


def start_trial(
    loop: SearchLoop, trial: optuna.Trial, config: TrialConfig, worker: Worker, cost: float
) -> None:
    """Start a trial, or continue the training of the interrupted trial that it repeats."""
    seed = trial_seed(loop.study_seed, loop.store.seed_number(trial.number))
    saved = _closed(loop, trial.user_attrs.get(RETRY_OF))
    if saved is None or saved.config != config:
        fresh = TrialRun(trial.number, config, worker, cost, seed, trial=trial)
        # A trial that an earlier run began has a part of its curve.
        fresh.reported = loop.store.reported(trial.number)
        loop.admit(fresh)
        return
    facts = {**saved.facts, "cause": None, "reported": 0, "cost": cost}
    saved = replace(saved, number=trial.number, facts=facts)
    run = run_of(saved, loop, worker, trial)
    _restore_history(loop, saved)
    for epoch in range(1, saved.epoch + 1):
        value = run.value_at(epoch)
        if value is not None:
            loop.recorder.add_point(trial, epoch, config.epochs, value)
    run.reported = saved.epoch
    loop.slots.resume(run, saved.states)


def _closed(loop: SearchLoop, number: int | None) -> SavedRun | None:
    """Return the training of a closed trial, or of the one that this trial repeats."""
    trials = loop.store.study.get_trials(deepcopy=False)
    while number is not None:
        if number in loop.closed:
            return loop.closed.pop(number)
        number = trials[number].user_attrs.get(RETRY_OF)
    return None


def _restore_history(loop: SearchLoop, saved: SavedRun) -> None:
    """Add the plateaus and rungs of a trial in training to the comparison."""
    comparison, history = loop.recorder.comparison, saved.facts["history"]
    if comparison is not None and history is not None:
        comparison.restore(saved.number, History.from_json(comparison.rule, history))


def run_of(
    saved: SavedRun, loop: SearchLoop, worker: Worker, trial: optuna.Trial | None = None
) -> TrainingRun:
    """Return a training that continues on a worker.

    Args:
        trial: its trial; None for the trial with its number.
    """
    facts, recorder = saved.facts, loop.recorder
    cause = facts["cause"]
    fields: dict[str, Any] = {name: facts[name] for name in FACTS} | {
        name: {int(slot): list(numbers) for slot, numbers in facts[name].items()} for name in LISTS
    }
    fields |= {
        "number": saved.number,
        "config": saved.config,
        "worker": worker,
        "seed": saved.seed,
        "slots": saved.slots,
        "cause": None if cause is None else Cause(cause),
        "started_s": time.monotonic() - facts["seconds"],
        "reports": dict(saved.reports),
        "outcomes": dict(saved.outcomes),
        "heard_s": time.monotonic(),
    }
    if not saved.repeat:
        run = TrialRun(**fields, trial=trial or loop.store.begin_again(saved.number)[0])
        run.reported = max(run.reported, loop.store.reported(saved.number))
        return run
    comparison = None
    if recorder.comparison is not None and facts["history"] is not None:
        comparison = Comparison(recorder.comparison.rule)
        comparison.restore(saved.number, History.from_json(comparison.rule, facts["history"]))
    return RepeatRun(**fields, repeat=saved.repeat, own_comparison=comparison)
