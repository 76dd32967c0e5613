"""One run of a study: trials, or repeats of the best ones, until its budget is used."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
import torch
from optuna.trial import FrozenTrial, TrialState

from autotrain.best import Best, Handed
from autotrain.ensembling import ensemble_seconds, most_members
from autotrain.errors import NoTrialSucceededError
from autotrain.launch import Launch
from autotrain.study.budget import SPENT_S, counts, study_seconds
from autotrain.study.coordinator import Coordinator
from autotrain.study.finals import HANDED_OVER, Finals
from autotrain.study.ledger import Ledger, best_trial
from autotrain.study.progress import Observer, Progress
from autotrain.study.record import own_trials
from autotrain.study.run_clock import RunClock
from autotrain.study.storage import OpenStorage
from autotrain.study.trained import Trained
from autotrain.study.untried import Untried
from autotrain.tasks import Metric

EXPORT_S = "export_s"
"""A user attribute of the study: processor time in seconds of the last export of one model."""


@dataclass(frozen=True)
class Budget:
    """What a run may use.

    Args:
        n_trials: None for no limit; 0 for repeats alone.
        timeout_s: from `started_s`; None for no limit.
        started_s: `time.monotonic()` when the run began, or the command that it belongs to.
        reserve_s: so much of the timeout is kept for what follows the run.
        whole_s: the budget of which `timeout_s` is what an earlier run left; 0 for one of its own.
    """

    n_trials: int | None
    timeout_s: float | None
    started_s: float
    reserve_s: float = 0.0
    whole_s: float = 0.0

    def spent_s(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.started_s

    def left_s(self) -> float | None:
        """Return what is left by now, at least 0; None when time is no limit."""
        if self.timeout_s is None:
            return None
        return max(self.timeout_s - self.reserve_s - self.spent_s(), 0.0)


class Run:
    """Trains; what to hand over at the end is not its business.

    Args:
        launch: sets it up.
        best: the folder of the best model, which it keeps up to date.
        study, storage: where trials are written.
    """

    def __init__(
        self, launch: Launch, best: Best, study: optuna.Study, storage: OpenStorage
    ) -> None:
        self.launch = launch
        self.best = best
        self.study = study
        self.storage = storage
        self.progress = Progress()
        """How the study stood in the end, whatever ended the run."""
        self.handed = Handed(None)
        """What became of the last model that went into the folder."""

    def train(self, budget: Budget, finals: Finals | None, observer: Observer) -> None:
        """Train until the budget is used, and note how long that took.

        Raises: as `Coordinator.run`, after all is saved.
        """
        ledger = self.launch.ledger(self.study, self.storage)
        ledger.note(HANDED_OVER, False)
        before_s = study_seconds(self.study)
        ledger.recover()
        self.handed = self.best.restore(self.study, self.launch.device)
        with tempfile.TemporaryDirectory(prefix="autotrain-") as rows:
            coordinator = self.launch.coordinator(
                ledger,
                self.launch.workers(Path(rows), self.study.get_trials(deepcopy=False)),
                observer,
                finals,
                publish=lambda trained: self._publish(trained, ledger, clock),
                keep=lambda trained: self._keep(trained, clock),
            )
            clock = RunClock(budget.left_s(), whole_s=budget.whole_s)
            self._reserve(clock)
            kept_s = 0.0
            try:
                self._search(coordinator, budget.n_trials, clock)
                # Not after Ctrl-C: then nothing is made of it.
                kept_s = clock.reserved_s
            finally:
                self.progress = coordinator.progress
                # With what an earlier run used that was killed and noted nothing.
                ledger.note(SPENT_S, round(before_s + budget.spent_s() + kept_s, 1))

    def _search(self, coordinator: Coordinator, n_trials: int | None, clock: RunClock) -> None:
        """Run the coordinator; a finite space ends a search when nothing is left to try."""
        trials = own_trials(self.study.get_trials(deepcopy=False), self.study.user_attrs)
        untried = Untried.of(self.launch.space) if self.launch.only is None else None
        if untried is not None:
            n_left = untried.n_left(trials)
            if n_trials is None or n_left <= n_trials:
                coordinator.is_whole_space, n_trials = True, n_left
        coordinator.run(n_trials, clock)

    def _publish(self, trained: Trained, ledger: Ledger, clock: RunClock) -> None:
        # By the clock it would take longer than at the end: workers share the cores now.
        begun = time.process_time()
        self.handed = Handed(self.best.publish(trained))
        ledger.note(EXPORT_S, round(time.process_time() - begun, 3))
        self._reserve(clock)

    def _keep(self, trained: Trained, clock: RunClock) -> None:
        self.best.checkpoints.keep(trained)
        self._reserve(clock)

    def _reserve(self, clock: RunClock) -> None:
        """Keep time for an ensemble of the trainings that there are."""
        export_s = self.study.user_attrs.get(EXPORT_S, 0.0)
        n_members = most_members(self.launch.definition.ensemble, self.launch.dataset)
        clock.reserve(ensemble_seconds(n_members, len(self.best.checkpoints), export_s))


ADVICE = {
    "diverged": "Use a smaller learning rate.",
    "time": "Use a longer timeout.",
    "not_started": "Use a longer timeout.",
    "interrupted": "Resume the study.",
    "out_of_memory": "Use fewer workers, smaller networks or smaller batches.",
    "worker_died": "Free memory or use fewer workers; 1 trains without worker processes.",
    "given_up": "Free memory or use fewer workers; 1 trains without worker processes.",
    "outside_space": "Enqueue configurations of the space, or train others with `Study.train`.",
    "error": "Report the traceback of the trial (`autotrain show NAME --trial N`).",
    "export": "Report the traceback of the trial (`autotrain show NAME --trial N`).",
}
"""What helps against an end of trials, by the user attribute `cause`."""


def check_success(name: str, trials: Sequence[FrozenTrial], metric: Metric) -> None:
    """Refuse to end without a complete trial.

    Args:
        trials: the study's own, see `record.own_trials`.
    Raises:
        NoTrialSucceededError: when a study has none.
    """
    if best_trial(trials, metric) is not None:
        return
    ended = [trial for trial in trials if counts(trial)]
    n_pruned, n_failed = (
        sum(trial.state == state for trial in ended)
        for state in (TrialState.PRUNED, TrialState.FAIL)
    )
    causes = Counter(trial.user_attrs.get("cause", "unknown") for trial in ended)
    listed = ", ".join(f"{cause} {n}" for cause, n in causes.most_common())
    raise NoTrialSucceededError(
        f"study {name!r} must have at least one complete trial, got {n_pruned} pruned and "
        f"{n_failed} failed{f' ({listed})' if listed else ''}. {_advice(causes)}"
    )


def check_complete(trial: FrozenTrial) -> None:
    """Refuse a trial that gave no model.

    Raises:
        NoTrialSucceededError: when it did not end complete.
    """
    if trial.state != TrialState.COMPLETE:
        cause = trial.user_attrs.get("cause", "unknown")
        raise NoTrialSucceededError(
            f"trial {trial.number} must end complete to give a model, got {trial.state.name} "
            f"({cause}). {_advice(Counter([cause]))}"
        )


def _advice(causes: Counter[str]) -> str:
    """Return what helps against the most common causes, the most common first."""
    sentences = [ADVICE[cause] for cause, _ in causes.most_common() if cause in ADVICE]
    return " ".join(dict.fromkeys(sentences)) or "Use a longer timeout or more trials."


def stages(observer: Observer, ended: Progress) -> Callable[[str], None]:
    """Return a function that shows an observer the stages that follow a run's trainings.

    Args:
        ended: how the run ended, just now.
    """
    ended_s = time.monotonic()

    def show(stage: str) -> None:
        elapsed_s = ended.elapsed_s + time.monotonic() - ended_s
        observer.update(replace(ended, stage=stage, elapsed_s=elapsed_s))

    return show


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Have torch compute with one thread: several wait for each other where cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
