"""The search loop: carries out the actions of the scheduler, and records the workers' reports.

Only the process that runs the loop writes to the Optuna study; workers only train. A trial has one
slot per fold.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import optuna
from optuna.trial import TrialState

from autotrain.errors import StorageError, StudyError
from autotrain.search import scheduler
from autotrain.search.attributes import CAUSE, Cause
from autotrain.search.budget import RunClock
from autotrain.search.continuing import resume_trainings, start_trial
from autotrain.search.facts import runs_to_end, trial_seed
from autotrain.search.placing import Placement
from autotrain.search.progress import Observer, Progress
from autotrain.search.progress_of import progress_of
from autotrain.search.recorder import Recorder
from autotrain.search.runs import RepeatRun
from autotrain.search.saving import Saver
from autotrain.search.slots import Slots
from autotrain.search.snapshot import SavedRun
from autotrain.search.training_run import TrainingRun
from autotrain.search.worker_set import WorkerSet
from autotrain.search.workers.protocol import Alive, Crashed, Message, Saved, Worker
from autotrain.space.config import TrialConfig
from autotrain.training.slot import EpochReport, Outcome

SHOW_EVERY_S = 0.25
WAIT_S = 0.2


class SearchLoop:
    """Runs one study in this process.

    Args:
        recorder: records the results of trials and repeats.
        workers: at least one; closed when `run` returns.
        n_folds: number of slots of a trial.
        study_seed: seed from which those of the trials are derived.
        width_of: number of models of a configuration that one worker should train together.
        observer: receives the progress.
        new_workers: returns workers that have become ready; None if no more can come.
        saver: takes snapshots; None for none.
    """

    def __init__(
        self,
        recorder: Recorder,
        workers: Sequence[Worker],
        *,
        n_folds: int,
        study_seed: int,
        width_of: Callable[[TrialConfig], int],
        observer: Observer,
        new_workers: Callable[[], Sequence[Worker]] | None = None,
        saver: Saver | None = None,
    ) -> None:
        self.recorder = recorder
        self.saver = Saver() if saver is None else saver
        self.store = recorder.store
        self.workers = WorkerSet(workers, new_workers)
        self.placement = Placement(self.workers.alive, n_folds, width_of)
        self.study_seed = study_seed
        self.observer = observer
        self.slots = Slots(n_folds)
        self.ready: tuple[optuna.Trial, TrialConfig] | None = None
        self.lost: list[TrainingRun] = []
        self.returning: list[SavedRun] = []
        self.closed: dict[int, SavedRun] = {}
        self.n_started = self.epochs = 0
        self.shown_s = -math.inf
        self.n_trials: int | None = None
        self.is_whole_space = False
        """Whether the trials to run are all that a finite space has left."""
        self.clock = RunClock()

    def run(self, n_trials: int | None, clock: RunClock | None = None) -> None:
        """Run until enough trials have ended or the time is over; then close the workers.

        When the time is over, running trainings end at their next epoch. The best of them is
        recorded as complete if it is better than all complete trials.

        Args:
            n_trials: number of trials; None for no limit.
            clock: the time limit; None for no limit.
        Raises:
            KeyboardInterrupt: after the running trials were recorded as interrupted.
            StudyError: when all workers have died; `resume` retries their trials.
            RuntimeError: when trials fail because of a bug.
        """
        self.n_trials, self.clock = n_trials, clock or RunClock()
        try:
            self.saver.begin(self)
            while self.act():
                for worker, messages in self._receive():
                    for message in messages:
                        self._handle(worker, message)
                self.store.show_curves()
                self.saver.tick(self)
                self._show()
            self.recorder.end_late()
            self._put_off()
            self.saver.end()
        except (KeyboardInterrupt, StudyError, StorageError):
            self._put_off()
            raise
        finally:
            self.workers.close()
            self._release_ready()
            self.store.commit()
            self._show(now=True)

    def state(self) -> scheduler.SearchState:
        """Return the state of the search for the scheduler."""
        recorder = self.recorder
        return scheduler.SearchState(
            placement=self.placement,
            runs=self.slots.runs(),
            lost=self.lost,
            n_returning=len(self.returning),
            sign=recorder.sign,
            clock=self.clock,
            finals=recorder.finals,
            ready=None if self.ready is None else self.ready[1],
            n_trials=self.n_trials,
            n_started=self.n_started,
            n_before=recorder.n_before,
            best=None if recorder.best is None else recorder.best.value,
            has_late=bool(recorder.late),
        )

    def act(self) -> bool:
        """Carry out all actions that are possible now; return False at the end of the search.

        Raises:
            StudyError: when an action needs a worker and none is left.
        """
        while True:
            resume_trainings(self)
            action = scheduler.next_action(self.state())
            if isinstance(action, scheduler.Stop):
                return False
            if not self.workers.alive:
                if self.workers.may_grow:
                    return not self.clock.is_late
                raise StudyError(
                    f"all worker processes have died (last error: {self.workers.error_text}). "
                    "Progress is saved. Free memory or use fewer workers, then resume the study."
                )
            match action:
                case scheduler.Wait():
                    return True
                case scheduler.MakeRoom():
                    for run in action.runs:
                        self.slots.stop(run, Cause.TIME)
                    if not self.clock.is_late:
                        return True
                case scheduler.Sample():
                    self.ready = self.store.ask()
                case scheduler.Begin():
                    assert self.ready is not None
                    (trial, config), self.ready = self.ready, None
                    start_trial(self, trial, config, action.worker, action.cost)
                    self.n_started += 1
                case scheduler.Retry():
                    self.admit(self.lost.pop(0).retry(action.worker, action.cost))
                case scheduler.Repeat():
                    number = self.store.seed_number(action.finalist.number)
                    place, seed = (action.worker, action.cost), trial_seed(self.study_seed, number)
                    about = (action.finalist, action.repeat, place, seed)
                    self.admit(RepeatRun.of(*about, self.recorder.comparison))

    def admit(self, run: TrainingRun) -> None:
        """Start a training on its worker."""
        self.slots.admit(run)
        comparison = run.comparison(self.recorder.comparison)
        if comparison is not None:
            comparison.begin(run.number, *run.plateau_of(comparison.rule))

    def _receive(self) -> list[tuple[Worker, list[Message]]]:
        """Return the new messages, and end workers that the search must not wait for."""
        received, state = self.workers.receive(WAIT_S), self.state()
        is_late = self.clock.is_late and state.has_result
        for worker, crash in self.workers.overdue(state.runs, is_late=is_late):
            self._lose(worker, crash)
        return received

    def _handle(self, worker: Worker, message: Message) -> None:
        if isinstance(message, Crashed):
            self._lose(worker, message)
        elif isinstance(message, Saved):
            self.saver.take(self, worker, message)
        if isinstance(message, Crashed | Alive | Saved):
            return
        run = self.slots.find(message.slot)
        if run is None:
            return  # Sent before the worker received the stop.
        if isinstance(message, EpochReport):
            self._take_report(run, message)
        else:
            self._take_outcome(run, message)

    def _take_report(self, run: TrainingRun, report: EpochReport) -> None:
        self.epochs += 1
        run.hear(report, self.recorder.sign)
        latest = run.next_epoch() if run.cause is None else None
        if latest is None:
            return
        value = run.value_at(run.epoch)
        if value is None or not all(report.is_finite for report in latest):
            return  # The worker ends the training as diverged.
        cause = run.take_epoch(self.recorder, value)
        if cause is not None:
            self.slots.stop(run, cause)
        comparison = run.comparison(self.recorder.comparison)
        if comparison is None:
            return
        decision = run.judge(comparison, latest, self.recorder.sign * value)
        if decision.kind == "prune":
            self.slots.stop(run, Cause(decision.cause or "plateau"))
        elif decision.kind == "converged" and not runs_to_end(run.config):
            self.slots.stop(run, Cause.CONVERGED)

    def _take_outcome(self, run: TrainingRun, outcome: Outcome) -> None:
        run.outcomes[outcome.slot] = outcome
        if len(run.outcomes) < len(run.slots):
            if outcome.cause == Cause.DIVERGED:
                self.slots.stop(run, Cause.DIVERGED)
            return
        # In this order, because Ctrl-C during an export must find the training.
        run.end(self.recorder, [run.outcomes[slot] for slot in run.slots])
        self.slots.release(run)

    def _lose(self, worker: Worker, crash: Crashed) -> None:
        """Retry trainings that were lost by an error of a worker; see `Placement.lose`."""
        self.workers.error_text = (crash.text.strip().splitlines() or [""])[-1]
        lost = [
            run
            for run in self.slots.runs()
            if run.worker is worker and (not crash.is_alive or set(run.slots) & set(crash.slots))
        ]
        self.placement.lose(lost, crash.cause)
        for run in lost:
            if crash.is_alive:
                # The other folds of the training are of no use.
                self.slots.cancel(run)
            self.slots.release(run)
            # A training that was alone caused the error; otherwise another one may have.
            if run.is_retry or (crash.is_alive and len(lost) == 1):
                run.fail(self.recorder, crash.cause, crash.text)
                continue
            run.forget(self.recorder)
            self.lost.append(run)
        if not crash.is_alive:
            self.workers.remove(worker, renew=not self.clock.is_late)

    def _put_off(self) -> None:
        """Record unfinished trainings, so that `resume` repeats them."""
        late = [run for run, _ in self.recorder.late]
        for run in [*self.slots.runs(), *self.lost, *late]:
            self.slots.release(run)
            run.put_off(self.recorder)
        self.lost.clear()
        self.recorder.late.clear()
        self._release_ready()
        self.store.close_running()

    def _release_ready(self) -> None:
        """Record a trial that was sampled but not started, so that the next run trains it."""
        if self.ready is not None:
            (trial, _), self.ready = self.ready, None
            self.store.finish(trial, TrialState.FAIL, None, {CAUSE: Cause.NOT_STARTED})

    def _show(self, *, now: bool = False) -> None:
        if not now and time.monotonic() - self.shown_s < SHOW_EVERY_S:
            return
        self.shown_s = time.monotonic()
        self.observer.update(self.progress)

    @property
    def progress(self) -> Progress:
        """The status of the study."""
        return progress_of(self)
