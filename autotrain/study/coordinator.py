"""Runs a study: asks for trials, hands them to workers, prunes, ends them, names the best.

The coordinator alone owns the Optuna study; workers only train. One loop: fill the workers, take
what they say, decide. A trial is one slot per fold.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from typing import Any

import numpy as np
import optuna
from optuna.pruners import BasePruner
from optuna.trial import TrialState

from autotrain.choices.schedules import SCHEDULES
from autotrain.fused.slot import Admission, EpochReport, Outcome
from autotrain.space.config import TrialConfig
from autotrain.study.ledger import INTERRUPTED, NOT_STARTED, Ledger, seed_number
from autotrain.study.progress import Observer, Progress
from autotrain.study.pruning import Board
from autotrain.study.workers.protocol import Close, Crashed, Message, Stop, Worker

SHOW_EVERY_S = 0.25
WAIT_S = 0.2
# Publishing costs a bundle's writing and re-scoring; in a burst of ever better trials the last
# one matters. What is held back is published before the run ends, whatever ends it.
PUBLISH_EVERY_S = 2.0
MOST_LOST = 10
HISTORY = "history"


@dataclass
class Running:
    """A trial in training."""

    trial: optuna.Trial
    config: TrialConfig
    worker: Worker
    cost: float
    slots: tuple[int, ...]
    started_s: float
    reports: dict[int, EpochReport] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    epoch: int = 0
    plateaus: int = 0
    dropped: bool = False
    best: float | None = None
    cause: str | None = None
    """Why the coordinator stops it; None while it may go on."""


@dataclass(frozen=True)
class Winner:
    """The best complete trial of a run, with what was trained: one outcome per fold."""

    number: int
    value: float
    config: TrialConfig
    seed: int
    outcomes: tuple[Outcome, ...]


class Coordinator:
    """Runs one study in this process.

    Args:
        ledger: the study's book.
        workers: at least one; closed when `run` returns.
        n_folds: slots a trial has.
        study_seed: from it and its number a trial's seed follows.
        width_of: config → how many models like it one worker should train together.
        board: the performance-scheduling pruner; None when `pruner` decides.
        pruner: an Optuna pruner, asked after every epoch; None when `board` decides.
        publish: called with a new best trial; see `PUBLISH_EVERY_S`.
        observer: is shown the progress.
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
        publish: Callable[[Winner], None],
        observer: Observer,
    ) -> None:
        self.ledger = ledger
        self.workers = list(workers)
        self.n_folds = n_folds
        self.study_seed = study_seed
        self.width_of = width_of
        self.board = board
        self.pruner = pruner
        self.publish = publish
        self.observer = observer
        self.sign = ledger.metric.sign
        self.running: dict[int, Running] = {}
        self.load = {id(worker): 0.0 for worker in self.workers}
        self.ready: tuple[optuna.Trial, TrialConfig] | None = None
        self.slot_count = 0
        self.counts = {TrialState.COMPLETE: 0, TrialState.PRUNED: 0, TrialState.FAIL: 0}
        self.n_done = self.n_started = self.epochs = self.n_lost = 0
        self.best: tuple[float, int, str] | None = None
        self.unpublished: Winner | None = None
        self.published_s = self.shown_s = -math.inf
        self.n_trials: int | None = None
        self.timeout_s: float | None = None
        self.start_s = 0.0
        self.error_text = ""

    def restore(self, best: tuple[float, int, str] | None, counts: dict[TrialState, int]) -> None:
        """Go on from earlier runs: their best value (number, summary) and trials by state."""
        self.best = best
        self.counts.update(counts)

    def run(self, n_trials: int | None, timeout_s: float | None) -> None:
        """Run until so many trials have ended or the time is over; then close the workers.

        The time over, models in training end at their next epoch boundary; the best of them
        counts as complete when it beats all complete ones.

        Raises:
            KeyboardInterrupt: after running trials were written down to be tried again.
            RuntimeError: when trials fail for reasons that are bugs.
        """
        self.n_trials, self.timeout_s = n_trials, timeout_s
        self.start_s = time.monotonic()
        try:
            while self._goes_on():
                self._fill()
                for worker, messages in self._receive():
                    for message in messages:
                        self._handle(worker, message)
                self.ledger.show_curves()
                self._publish_soon()
                self._show()
        except KeyboardInterrupt:
            for running in list(self.running.values()):
                self._finish(running, TrialState.FAIL, None, {"cause": INTERRUPTED})
            raise
        finally:
            self._give_back_ready()
            # They leave all at once, and while the winner is published.
            for worker in self.workers:
                worker.send(Close())
            self._publish_now()
            for worker in self.workers:
                worker.close()
            self.ledger.commit()
            self._show(now=True)

    # ---- the loop's parts ------------------------------------------------------------------

    def _goes_on(self) -> bool:
        if self._is_over() and not self.running:
            return False
        if not self.workers:
            raise RuntimeError(f"no worker is left. The last one said:\n{self.error_text}")
        if self._is_late() and self._has_something():
            for running in self.running.values():
                self._stop(running, "time")
        return bool(self.running) or not self._is_over()

    def _has_something(self) -> bool:
        """Whether a trial has trained for an epoch: a search never ends with empty hands."""
        return self.best is not None or any(running.epoch for running in self.running.values())

    def _is_late(self) -> bool:
        return self.timeout_s is not None and self._elapsed() >= self.timeout_s

    def _is_over(self) -> bool:
        asked_all = self.n_trials is not None and self.n_started >= self.n_trials
        # However little time there is, one trial is started: a search ends with a model.
        has_begun = self.best is not None or bool(self.n_started)
        return asked_all or (self._is_late() and has_begun)

    def _elapsed(self) -> float:
        return time.monotonic() - self.start_s

    def _fill(self) -> None:
        """Admit trials while a worker has room and the budget allows."""
        while not self._is_over() and len(self.running) < self._most_running():
            if self.ready is None:
                self.ready = self.ledger.ask()
            trial, config = self.ready
            cost = self.n_folds / self.width_of(config)
            worker = min(self.workers, key=lambda w: self.load[id(w)])
            load = self.load[id(worker)]
            # An empty worker takes anything; otherwise the load may exceed 1 only by rounding.
            if load and load + cost > 1 + 1e-9:
                return
            self.ready = None
            self._admit(trial, config, worker, cost)

    def _most_running(self) -> int:
        """Cap trials in flight, so that a small budget is not spent before any result is in."""
        if self.n_trials is None:
            return 1 << 30
        return max(len(self.workers), math.ceil(self.n_trials / 5))

    def _admit(self, trial: optuna.Trial, config: TrialConfig, worker: Worker, cost: float) -> None:
        slots = tuple(range(self.slot_count, self.slot_count + self.n_folds))
        self.slot_count += self.n_folds
        running = Running(trial, config, worker, cost, slots, time.monotonic())
        self.load[id(worker)] += cost
        seed = trial_seed(self.study_seed, seed_number(trial))
        for fold, slot in enumerate(slots):
            self.running[slot] = running
            worker.send(Admission(slot, config, seed, fold))
        self.n_started += 1

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
        running.reports[report.slot] = report
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
        value = float(np.mean([entry.value for entry in known]))
        if not math.isfinite(value):
            return  # The worker ends it as diverged.
        if running.best is None or self.sign * value < self.sign * running.best:
            running.best = value
        self.ledger.report(running.trial, running.epoch, running.config.epochs, value)
        self._prune(running, known, value)

    def _prune(self, running: Running, reports: list[EpochReport], value: float) -> None:
        if self.board is not None:
            plateaus = sum(report.plateaus for report in reports)
            decision = self.board.record(
                running.trial.number,
                self.sign * value,
                loss=float(np.mean([report.valid_loss for report in reports])),
                samples_seen=reports[0].samples_seen,
                plateau=plateaus > running.plateaus if len(reports) == 1 else None,
                lr_dropped=running.dropped,
            )
            running.plateaus = plateaus
            running.dropped = any(report.dropped for report in reports)
            if decision.kind == "prune":
                self._stop(running, decision.cause or "plateau")
            elif decision.kind == "converged" and not _anneals(running.config):
                self._stop(running, "converged")
        elif self.pruner is not None:
            study = self.ledger.study
            frozen = self.ledger.storage.get_trial(running.trial._trial_id)
            if self.pruner.prune(study, frozen):
                self._stop(running, "rung")

    def _stop(self, running: Running, cause: str) -> None:
        if running.cause is None:
            running.cause = cause
            for slot in running.slots:
                running.worker.send(Stop(slot))

    # ---- ends ------------------------------------------------------------------------------

    def _take_outcome(self, running: Running, outcome: Outcome) -> None:
        running.outcomes[outcome.slot] = outcome
        if len(running.outcomes) < len(running.slots):
            if outcome.cause == "diverged":
                self._stop(running, "diverged")
            return
        outcomes = [running.outcomes[slot] for slot in running.slots]
        if any(o.cause == "diverged" for o in outcomes):
            self._finish(running, TrialState.PRUNED, None, _facts(outcomes, "diverged", running))
            return
        if any(o.parameters is None for o in outcomes):
            # Stopped before its first epoch ended: nothing is known of it.
            self._finish(running, TrialState.FAIL, None, {"cause": NOT_STARTED})
            return
        value = float(np.mean([o.best_value for o in outcomes]))
        cause = running.cause or outcomes[0].cause
        is_best = self.best is None or self.sign * value < self.sign * self.best[0]
        ended_itself = running.cause in (None, "converged")
        complete = ended_itself or (cause == "time" and is_best)
        state = TrialState.COMPLETE if complete else TrialState.PRUNED
        facts = _facts(outcomes, cause, running)
        self._finish(running, state, value, facts)
        if complete and is_best:
            number = running.trial.number
            self.best = (value, number, summary(running.config))
            self.unpublished = Winner(
                number,
                value,
                running.config,
                trial_seed(self.study_seed, seed_number(running.trial)),
                tuple(outcomes),
            )

    def _finish(
        self, running: Running, state: TrialState, value: float | None, facts: dict[str, Any]
    ) -> None:
        for slot in running.slots:
            self.running.pop(slot, None)
        self.load[id(running.worker)] = max(self.load[id(running.worker)] - running.cost, 0.0)
        if self.board is not None:
            facts = facts | self._close_history(running, state, facts.get("cause") == "diverged")
        self.ledger.finish(running.trial, state, value, facts, running.epoch)
        if facts.get("cause") not in (NOT_STARTED, INTERRUPTED):
            self.counts[state] += 1
            self.n_done += 1

    def _close_history(self, running: Running, state: TrialState, diverged: bool) -> dict[str, Any]:
        """End a trial for the pruner; return what a resumed study needs to know of it."""
        if self.board is None or state == TrialState.FAIL or not running.epoch:
            if self.board is not None:
                self.board.forget(running.trial.number)
            return {}
        history = self.board.end(running.trial.number, diverged=diverged)
        return {HISTORY: history.to_json()}

    def _lose(self, worker: Worker, crash: Crashed) -> None:
        """Write down the trials that a worker's error took with it."""
        self.error_text = crash.text
        lost = {
            id(running): running
            for running in self.running.values()
            if running.worker is worker
            and (not crash.is_alive or set(running.slots) & set(crash.slots))
        }
        pruned = crash.cause == "out_of_memory"
        for running in lost.values():
            facts = {"cause": crash.cause, "error": crash.text[-2000:]}
            state = TrialState.PRUNED if pruned else TrialState.FAIL
            self._finish(running, state, None, facts)
        self.n_lost += 0 if pruned else len(lost)
        if not crash.is_alive:
            worker.close()
            self.workers.remove(worker)
        if self.n_lost >= MOST_LOST and not self.counts[TrialState.COMPLETE]:
            raise RuntimeError(f"{self.n_lost} trials failed and none succeeded:\n{crash.text}")

    def _give_back_ready(self) -> None:
        """A trial that was asked for but never admitted is tried by the next run."""
        if self.ready is not None:
            trial, _ = self.ready
            self.ready = None
            self.ledger.finish(trial, TrialState.FAIL, None, {"cause": NOT_STARTED})

    # ---- what is shown ---------------------------------------------------------------------

    def _publish_soon(self) -> None:
        if time.monotonic() - self.published_s >= PUBLISH_EVERY_S:
            self._publish_now()

    def _publish_now(self) -> None:
        if self.unpublished is not None:
            winner, self.unpublished = self.unpublished, None
            self.publish(winner)
            self.published_s = time.monotonic()

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
            n_running=len({id(running) for running in self.running.values()}),
            n_done=self.n_done,
            n_trials=self.n_trials,
            timeout_s=self.timeout_s,
            best_value=value,
            best_number=number,
            best_summary=words,
            epochs=self.epochs,
            elapsed_s=self._elapsed(),
        )


def _anneals(config: TrialConfig) -> bool:
    return SCHEDULES[config.schedule.name].anneals


def trial_seed(study_seed: int, number: int) -> int:
    """Return a trial's own seed, from the study's seed and the trial's number."""
    sequence = np.random.SeedSequence([study_seed, number])
    return int(sequence.generate_state(1, np.uint64)[0])


def summary(config: TrialConfig) -> str:
    """Return a configuration in a few words."""
    widths = "-".join(map(str, config.hidden_units)) or "linear"
    words = [widths, config.activation.name, config.optimizer.name]
    words.append(f"{config.optimizer['learning_rate']:.2g}")
    if config.batch_norm.name != "off":
        words.append("batch norm")
    if config.dropout.name != "none" and config.dropout["rate"]:
        words.append(f"dropout {config.dropout['rate']:.2g}")
    return " ".join([*words, config.schedule.name])


def _facts(outcomes: Sequence[Outcome], cause: str, running: Running) -> dict[str, Any]:
    """Return what is kept on a trial: few and small, the dashboard slows with more."""
    first = outcomes[0].diagnostics
    flags = sorted({flag for o in outcomes for flag in o.diagnostics.get("flags", [])})
    facts: dict[str, Any] = {
        "cause": cause,
        "epochs": max(o.epochs for o in outcomes),
        "best_epoch": outcomes[0].best_epoch,
        "seconds": round(time.monotonic() - running.started_s, 3),
    }
    if flags:
        facts["flags"] = " ".join(flags)
    for name in ("gradient_ratio", "dead_units_share", "saturated_share"):
        value = first.get(name)
        if isinstance(value, float) and math.isfinite(value):
            facts[name] = float(f"{value:.4g}")
    return facts
