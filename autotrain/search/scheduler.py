"""Runs a study: asks for trials, hands them to workers, prunes, ends them, names the best.

The coordinator alone owns the Optuna study; workers only train. One loop: fill the workers, take
what they say, decide. A trial is one slot per fold. Towards the end the best trials are trained
again from other seeds (finals.py), wherever a worker has room.
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import connection
from typing import Any

import numpy as np
import optuna
from optuna.pruners import BasePruner
from optuna.trial import TrialState

from autotrain.errors import StudyError
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
from autotrain.search.finals import Finalist, Finals
from autotrain.search.ledger import Ledger
from autotrain.search.placing import Places
from autotrain.search.progress import Observer, Progress
from autotrain.search.pruning.pruners import Board
from autotrain.search.run_clock import RunClock
from autotrain.search.running import Running, facts_of, runs_to_end, summary, trial_seed, value_of
from autotrain.search.trained import Trained
from autotrain.search.workers.protocol import Close, Crashed, Message, Stop, Worker
from autotrain.space.config import TrialConfig
from autotrain.training.slot import Admission, EpochReport, Outcome

SHOW_EVERY_S = 0.25
WAIT_S = 0.2
# So many failures without any success are no accident; and so many workers are started anew.
MOST_LOST = 10
ENDING = "ending the last trainings"
"""The stage of a run whose time is over, until its trainings have ended."""


class Coordinator:
    """Runs one study in this process.

    Args:
        ledger: the study's book.
        workers: at least one; closed when `run` returns.
        n_folds: slots a trial has.
        study_seed: from it and its place a trial's seed follows.
        width_of: config → how many models like it one worker should train together.
        board: the performance-scheduling pruner; None when `pruner` decides.
        pruner: an Optuna pruner, asked after every epoch; None when `board` decides.
        publish: called with a new best trial before it is told complete, so that what the storage
            calls the best is there to be loaded, whatever ends this process. Raises RuntimeError
            when the trial cannot be exported: it then failed.
        observer: is shown the progress.
        finals: knows the trials of earlier runs; None: the best trial wins.
        keep: called with each complete trial and each repeat.
    """

    def __init__(
        self,
        ledger: Ledger,
        workers: Sequence[Worker],
        *,
        n_folds: int,
        study_seed: int,
        width_of: Callable[[TrialConfig], int],
        board: Board | None,
        pruner: BasePruner | None,
        publish: Callable[[Trained], None],
        observer: Observer,
        finals: Finals | None = None,
        keep: Callable[[Trained], None] = lambda trained: None,
    ) -> None:
        self.ledger = ledger
        self.workers = list(workers)
        self.n_folds = n_folds
        self.places = Places(self.workers, n_folds, width_of)
        self.study_seed = study_seed
        self.board = board
        self.pruner = pruner
        self.publish = publish
        self.observer = observer
        self.finals = finals
        self.keep = keep
        self.sign = ledger.metric.sign
        self.running: dict[int, Running] = {}
        self.ready: tuple[optuna.Trial, TrialConfig] | None = None
        self.again: list[Running] = []
        self.late: list[tuple[Running, list[Outcome]]] = []
        self.slot_count = 0
        self.counts = {TrialState.COMPLETE: 0, TrialState.PRUNED: 0, TrialState.FAIL: 0}
        self.n_before = self.n_done = self.n_started = self.n_repeats = 0
        self.epochs = self.n_lost = self.n_renewed = 0
        self.best: tuple[float, int, str] | None = None
        self.shown_s = -math.inf
        self.n_trials: int | None = None
        self.is_whole_space = False
        """Whether the trials to run are all that a finite space has left."""
        self.clock = RunClock()
        self.error_text = ""

    def restore(self, best: tuple[float, int, str] | None, counts: dict[TrialState, int]) -> None:
        """Go on from earlier runs: their best value (number, summary) and trials by state."""
        self.best = best
        self.counts.update(counts)
        self.n_before = sum(counts.values())

    def run(self, n_trials: int | None, clock: RunClock | None = None) -> None:
        """Run until so many trials have ended or the time is over; then close the workers.

        The time over, models in training end at their next epoch boundary; the best of them
        counts as complete when it beats all complete ones.

        Args:
            n_trials: None for no limit.
            clock: None for no limit of time.
        Raises:
            KeyboardInterrupt: after running trials were written down to be tried again.
            StudyError: when all workers are gone; what they had is tried again by `resume`.
            RuntimeError: when trials fail for reasons that are bugs.
        """
        self.n_trials, self.clock = n_trials, clock or RunClock()
        try:
            while self._goes_on():
                self._fill()
                for worker, messages in self._receive():
                    for message in messages:
                        self._handle(worker, message)
                self.ledger.show_curves()
                self._show()
            self._end_late()
            self._put_off()
        except (KeyboardInterrupt, StudyError):
            self._put_off()
            raise
        finally:
            self._give_back_ready()
            # They leave all at once.
            for worker in self.workers:
                worker.send(Close())
            for worker in self.workers:
                worker.close()
            self.ledger.commit()
            self._show(now=True)

    # ---- the loop's parts ------------------------------------------------------------------

    def _goes_on(self) -> bool:
        is_over = self._is_over() and self._next_repeat() is None
        if not self.running and is_over and not self._tries_again():
            return False
        if not self.workers:
            raise StudyError(
                "a search needs at least one worker, however: all have ended "
                f"(the last: {self.error_text}). Everything is saved: free memory or choose fewer "
                "--workers, then `autotrain resume` goes on."
            )
        if self.clock.is_late and self._has_something():
            for running in self._trials():
                self._stop(running, Cause.TIME)
        return True

    def _has_something(self) -> bool:
        """Whether a trial has trained for an epoch: a search never ends with empty hands."""
        trained = any(running.epoch for running in self._trials())
        return self.best is not None or bool(self.late) or trained

    def _tries_again(self) -> bool:
        return bool(self.again) and not (self.clock.is_late and self._has_something())

    def _trials(self) -> list[Running]:
        """Return the trials in training; one of several folds has several slots."""
        return list({id(running): running for running in self.running.values()}.values())

    def _is_over(self) -> bool:
        asked_all = self.n_trials is not None and self.n_started >= self.n_trials
        # However little time there is, one trial is started: a search ends with a model.
        has_begun = self.best is not None or bool(self.n_started)
        return asked_all or (self.clock.is_late and has_begun)

    def _fill(self) -> None:
        """Admit trials while a worker has room and the budget allows."""
        while self._tries_again():
            # Alone on its worker: if it fails once more, it takes no other with it.
            worker = self.places.least_loaded(self._trials())
            if any(running.worker is worker for running in self._trials()):
                return
            lost = self.again.pop(0)
            again = Running(lost.number, lost.trial, lost.config, worker, 1.0, lost.seed)
            again.repeat, again.board = lost.repeat, lost.board and Board(lost.board.rule)
            again.reported, again.is_again = lost.reported, True
            self._admit(again)
        while (wanted := self._next_repeat()) is not None:
            finalist, repeat = wanted
            place = self.places.place_for(finalist.config, self._trials())
            if place is None:
                self._make_room(finalist)
                return
            seed = self._seed(finalist.number)
            running = Running(finalist.number, None, finalist.config, *place, seed, repeat=repeat)
            if self.board is not None:
                running.board = Board(self.board.rule)
            self._admit(running)
        while not self._is_over() and len(self._trials()) < self._most_running():
            if self.ready is None:
                self.ready = self.ledger.ask()
            trial, config = self.ready
            if (place := self.places.place_for(config, self._trials())) is None:
                return
            self.ready = None
            self._admit(Running(trial.number, trial, config, *place, self._seed(trial.number)))
            self.n_started += 1

    def _next_repeat(self) -> tuple[Finalist, int] | None:
        """Return which finalist to train again, when it is time for that."""
        if self.finals is None or not self._is_time_for_finals():
            return None
        training = [(running.number, running.repeat) for running in self._trials()]
        waiting = [(running.number, running.repeat) for running in self.again]
        # What could not end in time would be for nothing: rather another, or a new trial.
        return self.finals.next([*training, *waiting], self.clock.left_s)

    def _make_room(self, finalist: Finalist) -> None:
        """Stop trials that the deadline would cut off, where a repeat that can end may follow."""

        def may_stop(running: Running) -> bool:
            value = running.value_so_far()
            leads = value is not None and self._is_best(value)
            cut_off = running.left_s() > self.clock.left_s
            # A stop takes effect when the epoch ends.
            in_time = finalist.seconds + running.epoch_s() <= self.clock.left_s
            return cut_off and in_time and not leads and not running.repeat

        for running in self.places.in_the_way(finalist.config, self._trials(), may_stop):
            self._stop(running, Cause.TIME)

    def _is_time_for_finals(self) -> bool:
        assert self.finals is not None
        if self.clock.limit_s is not None and self.clock.is_for_finals(self.finals.best_seconds):
            return True
        # All trials asked for have ended: who the finalists are depends on nothing else.
        asked_all = self.n_trials is not None and self.n_started >= self.n_trials
        searches = any(not running.repeat for running in self._trials())
        return asked_all and not searches and not self._tries_again()

    def _seed(self, number: int) -> int:
        return trial_seed(self.study_seed, self.ledger.seed_number(number))

    def _most_running(self) -> int:
        """Cap trials in flight, so that a small budget is not spent before any result is in."""
        if self.n_trials is None:
            return 1 << 30
        # Of the whole budget, so that a resumed study goes on with as many.
        return max(len(self.workers), math.ceil((self.n_before + self.n_trials) / 5))

    def _admit(self, running: Running) -> None:
        running.slots = tuple(range(self.slot_count, self.slot_count + self.n_folds))
        running.started_s = time.monotonic()
        self.slot_count += self.n_folds
        for fold, slot in enumerate(running.slots):
            self.running[slot] = running
            running.worker.send(Admission(slot, running.config, running.seed, fold, running.repeat))
        board = running.board if running.repeat else self.board
        if board is not None:
            board.begin(running.number, *running.plateau_of(board.rule))

    def _receive(self) -> list[tuple[Worker, list[Message]]]:
        pipes = [worker.pipe for worker in self.workers if hasattr(worker, "pipe")]
        if len(pipes) == len(self.workers):
            connection.wait(pipes, WAIT_S)
        return [(worker, worker.receive()) for worker in self.workers]

    def _handle(self, worker: Worker, message: Message) -> None:
        if isinstance(message, Crashed):
            self._lose(worker, message)
        elif message.slot not in self.running:
            return  # Said before the worker heard that the trial is over.
        elif isinstance(message, EpochReport):
            self._take_report(self.running[message.slot], message)
        else:
            self._take_outcome(self.running[message.slot], message)

    # ---- epochs ----------------------------------------------------------------------------

    def _take_report(self, running: Running, report: EpochReport) -> None:
        self.epochs += 1
        running.hear(report, self.sign)
        if running.cause is not None:
            return
        latest = [running.reports.get(slot) for slot in running.slots]
        waited_for = [
            slot
            for slot, known in zip(running.slots, latest, strict=True)
            if slot not in running.outcomes and (known is None or known.epoch <= running.epoch)
        ]
        if waited_for:
            return
        known = [entry for entry in latest if entry is not None]
        running.epoch += 1
        value = running.value_at(running.epoch)
        if value is None or not all(entry.is_finite for entry in known):
            return  # The worker ends it as diverged.
        if running.trial is not None and running.epoch > running.reported:
            running.reported = running.epoch
            self.ledger.report(running.trial, running.epoch, running.config.epochs, value)
            if self.pruner is not None:
                frozen = self.ledger.storage.get_trial(running.trial._trial_id)
                if self.pruner.prune(self.ledger.study, frozen):
                    self._stop(running, Cause.RUNG)
        board = running.board if running.repeat else self.board
        if board is not None:
            self._schedule(running, board, known, value)

    def _schedule(
        self, running: Running, board: Board, reports: list[EpochReport], value: float
    ) -> None:
        """Have performance scheduling decide about a trial."""
        training = [report for report in reports if report.slot not in running.outcomes]
        decision = board.record(
            running.number,
            self.sign * value,
            loss=float(np.mean([report.valid_loss for report in reports])),
            # A fold that has ended stands still.
            samples_seen=max(report.samples_seen for report in reports),
            lr_dropped=running.dropped,
            lr_lowest=bool(training) and all(running.is_lowest(report) for report in training),
            lr_share=max((running.lr_share(report) for report in training), default=0.0),
        )
        running.dropped = any(report.dropped for report in training)
        if decision.kind == "prune":
            self._stop(running, Cause(decision.cause or "plateau"))
        elif decision.kind == "converged" and not runs_to_end(running.config):
            self._stop(running, Cause.CONVERGED)

    def _stop(self, running: Running, cause: Cause) -> None:
        if running.cause is None:
            running.cause = cause
            for slot in running.slots:
                running.worker.send(Stop(slot))

    # ---- ends ------------------------------------------------------------------------------

    def _take_outcome(self, running: Running, outcome: Outcome) -> None:
        running.outcomes[outcome.slot] = outcome
        if len(running.outcomes) < len(running.slots):
            if outcome.cause == Cause.DIVERGED:
                self._stop(running, Cause.DIVERGED)
            return
        outcomes = [running.outcomes[slot] for slot in running.slots]
        if running.repeat:
            self._end_repeat(running, outcomes)
            return
        if any(o.cause == Cause.DIVERGED for o in outcomes):
            self._finish(
                running, TrialState.PRUNED, None, facts_of(outcomes, Cause.DIVERGED, running)
            )
            return
        if any(o.parameters is None for o in outcomes):
            # Stopped before its first epoch ended: nothing is known of it.
            self._finish(running, TrialState.FAIL, None, {CAUSE: Cause.NOT_STARTED})
            return
        if running.cause == Cause.TIME:
            # Exporting each that is better than those before would outlast the time limit.
            self._take_off(running)
            self.late.append((running, outcomes))
            return
        self._end(running, outcomes, ended_itself=running.cause in (None, Cause.CONVERGED))

    def _end_repeat(self, running: Running, outcomes: list[Outcome]) -> None:
        """Take a repeat's score, unless it was cut off."""
        if running.cause == Cause.TIME:
            self._take_off(running)
            return
        epochs = [outcome.epochs for outcome in outcomes]
        if any(o.cause == Cause.DIVERGED or o.parameters is None for o in outcomes):
            self._record(running, math.inf, epochs)
            return
        self.keep(self._trained(running, outcomes))
        self._record(running, self.sign * value_of(outcomes), epochs)

    def _record(self, running: Running, score: float, epochs: Sequence[int]) -> None:
        """Write down how a repeat ended."""
        assert self.finals is not None
        self._take_off(running)
        self.finals.record(running.number, running.repeat, score, epochs)
        self.n_repeats += 1
        self.ledger.note(REPEATS, self.finals.to_json())

    def _trained(self, running: Running, outcomes: Sequence[Outcome]) -> Trained:
        value = value_of(outcomes)
        seed, repeat = running.seed, running.repeat
        return Trained(running.number, value, running.config, seed, tuple(outcomes), repeat)

    def _end_late(self) -> None:
        """End the trials that the deadline cut off: the best of them may be the study's."""

        def score(late: tuple[Running, list[Outcome]]) -> float:
            return self.sign * value_of(late[1])

        self.late.sort(key=score)
        while self.late:
            running, outcomes = self.late.pop(0)
            self._end(running, outcomes, ended_itself=self._is_best(value_of(outcomes)))

    def _is_best(self, value: float) -> bool:
        return self.best is None or self.sign * value < self.sign * self.best[0]

    def _end(self, running: Running, outcomes: list[Outcome], *, ended_itself: bool) -> None:
        """Tell a trial complete, exported first when it is the best so far, or else pruned."""
        value = value_of(outcomes)
        state = TrialState.COMPLETE if ended_itself else TrialState.PRUNED
        facts = facts_of(outcomes, running.cause or Cause(outcomes[0].cause), running)
        if ended_itself and self._is_best(value):
            try:
                self.publish(self._trained(running, outcomes))
            except RuntimeError:
                # What cannot be handed over is no winner; the search goes on for one that can.
                self._fail(running, Cause.EXPORT, traceback.format_exc())
                return
            self.best = (value, running.number, summary(running.config))
        if ended_itself:
            self._enter(running, outcomes, facts)
        self._finish(running, state, value, facts)

    def _enter(self, running: Running, outcomes: Sequence[Outcome], facts: dict[str, Any]) -> None:
        """Keep what a complete trial trained; it may come to the finals."""
        self.keep(self._trained(running, outcomes))
        if self.finals is not None:
            finalist = Finalist(
                number=running.number,
                score=self.sign * value_of(outcomes),
                n_parameters=facts[N_PARAMETERS],
                config=running.config,
                seconds=facts[SECONDS],
            )
            self.finals.enter(finalist)

    def _finish(
        self, running: Running, state: TrialState, value: float | None, facts: dict[str, Any]
    ) -> None:
        self._take_off(running)
        if running.trial is None:
            return
        if self.board is not None:
            facts = facts | self._close_history(running, state, facts.get(CAUSE) == Cause.DIVERGED)
        self.ledger.finish(running.trial, state, value, facts, facts.get(EPOCHS, 0))
        if (cause := facts.get(CAUSE)) is None or Cause(cause).is_counted:
            self.counts[state] += 1
            self.n_done += 1

    def _take_off(self, running: Running) -> None:
        """Take a trial off its worker."""
        for slot in running.slots:
            self.running.pop(slot, None)

    def _close_history(self, running: Running, state: TrialState, diverged: bool) -> dict[str, Any]:
        """End a trial for the pruner; return what a resumed study needs to know of it."""
        if self.board is None or state == TrialState.FAIL or not running.epoch:
            if self.board is not None:
                self.board.forget(running.number)
            return {}
        history = self.board.end(running.number, diverged=diverged)
        return {HISTORY: history.to_json()}

    def _lose(self, worker: Worker, crash: Crashed) -> None:
        """Have the trials that a worker's error took with it tried again, once and alone."""
        self.error_text = (crash.text.strip().splitlines() or [""])[-1]
        lost = [
            running
            for running in self._trials()
            if running.worker is worker
            and (not crash.is_alive or set(running.slots) & set(crash.slots))
        ]
        for running in lost:
            if crash.is_alive:
                # Its other folds, and what came after the error, would train on for nobody.
                for slot in running.slots:
                    worker.send(Stop(slot))
            # An error that came to a trial on its own comes again; any other may not be its own.
            if running.is_again or (crash.is_alive and len(lost) == 1):
                self._fail(running, crash.cause, crash.text)
                continue
            self._take_off(running)
            if self.board is not None and not running.repeat:
                self.board.forget(running.number)
            self.again.append(running)
        if not crash.is_alive:
            worker.close()
            self.workers.remove(worker)
            if self.n_renewed < MOST_LOST and (new := worker.renew()) is not None:
                self.n_renewed += 1
                self.workers.append(new)

    def _fail(self, running: Running, cause: Cause, text: str) -> None:
        """End a trial for a reason that is not its own."""
        if running.repeat:
            assert self.finals is not None
            self._take_off(running)
            self.finals.lose(running.number)
            return
        facts = {CAUSE: cause, ERROR: text[-2000:]}
        if cause == Cause.OUT_OF_MEMORY:
            self._finish(running, TrialState.PRUNED, None, facts)
            return
        self._finish(running, TrialState.FAIL, None, facts)
        self.n_lost += 1
        if self.n_lost >= MOST_LOST and not self.counts[TrialState.COMPLETE]:
            raise RuntimeError(f"{self.n_lost} trials failed and none succeeded:\n{text}")

    def _put_off(self) -> None:
        """Write down what is not at its end: `resume` tries it again."""
        for running in [*self._trials(), *self.again, *(late for late, _ in self.late)]:
            self._finish(running, TrialState.FAIL, None, {CAUSE: Cause.INTERRUPTED})
        self.again.clear()
        self.late.clear()

    def _give_back_ready(self) -> None:
        """A trial that was asked for but never admitted is tried by the next run."""
        if self.ready is not None:
            trial, _ = self.ready
            self.ready = None
            self.ledger.finish(trial, TrialState.FAIL, None, {CAUSE: Cause.NOT_STARTED})

    # ---- what is shown ---------------------------------------------------------------------

    def _show(self, *, now: bool = False) -> None:
        if not now and time.monotonic() - self.shown_s < SHOW_EVERY_S:
            return
        self.shown_s = time.monotonic()
        self.observer.update(self.progress)

    @property
    def progress(self) -> Progress:
        """How the study stands."""
        value, number, words = self.best if self.best is not None else (None, None, "")
        return Progress(
            n_complete=self.counts[TrialState.COMPLETE],
            n_pruned=self.counts[TrialState.PRUNED],
            n_failed=self.counts[TrialState.FAIL],
            n_running=len(self._trials()),
            n_done=self.n_done,
            n_trials=self.n_trials,
            is_whole_space=self.is_whole_space,
            timeout_s=self.clock.limit_s,
            best_value=value,
            best_number=number,
            best_summary=words,
            n_repeats=self.n_repeats,
            epochs=self.epochs,
            elapsed_s=self.clock.elapsed_s,
            stage=ENDING if self.clock.is_late else "",
        )
