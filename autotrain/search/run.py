"""One run of a study: trials, or repeats of the best ones, until its budget is used."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import optuna
import torch
from optuna.trial import FrozenTrial, TrialState

from autotrain.errors import NoTrialSucceededError
from autotrain.metrics import Metric
from autotrain.search.attributes import (
    CAUSE,
    EXPORT_S,
    IS_EXPORTED,
    SCORING_S,
    SPENT_S,
    export_seconds,
    is_counted,
    known_cause,
)
from autotrain.search.budget import RunBudget, RunClock, Used
from autotrain.search.callbacks import Callback, Callbacks
from autotrain.search.continuing import Continuation
from autotrain.search.finals import Finals
from autotrain.search.launch import Launch
from autotrain.search.loop import SearchLoop
from autotrain.search.progress import Observer, Progress
from autotrain.search.publisher import Published, Publisher
from autotrain.search.record import own_trials
from autotrain.search.sampling.untried import Untried
from autotrain.search.snapshot import FILE as RUNNING
from autotrain.search.snapshot import Snapshot
from autotrain.search.storage.opened import OpenStorage
from autotrain.search.trained import Trained
from autotrain.search.trial_store import TrialStore, best_trial


class Run:
    """A run trains until its budget is used. The export at the end is not part of it.

    Args:
        launch: creates the parts of the run.
        best: updates the folder of the best model.
        study, storage: the trials are written there.
        callbacks: called after each trial.
    """

    def __init__(
        self,
        launch: Launch,
        best: Publisher,
        study: optuna.Study,
        storage: OpenStorage,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.launch = launch
        self.best = best
        self.study = study
        self.storage = storage
        self.callbacks = Callbacks(callbacks, study)
        self.loop: SearchLoop | None = None
        """The search loop; None before it has begun."""
        self.published = Published()
        """The result of the last export."""

    @property
    def progress(self) -> Progress:
        """The progress of the run so far."""
        return Progress() if self.loop is None else self.loop.progress

    def train(self, budget: RunBudget, finals: Finals | None, observer: Observer) -> None:
        """Train until the budget is used, and record the duration.

        Raises: as `SearchLoop.run`, after all is saved.
        """
        store = self.launch.trial_store(self.study, self.storage)
        store.note(IS_EXPORTED, False)
        before_s = Used.by(self.study).seconds
        path = self.best.checkpoints.folder / RUNNING
        saver = self.launch.saver(path, self.study, has_limit=budget.left_s() is not None)
        snapshot = None if saver.path is None else Snapshot.read(path, saver.study)
        plan = Continuation.of(snapshot, self.study, is_exact=saver.is_exact)
        store.recover(plan.marks(self.study.get_trials(deepcopy=False)))
        self.published = self.best.restore()
        with self.launch.workers(self.study.get_trials(deepcopy=False)) as pool:
            loop = self.loop = self.launch.loop(
                store,
                pool,
                observer,
                finals,
                plan,
                saver,
                publish=lambda trained: self._publish(trained, store, clock),
                keep=lambda trained: self._keep(trained, clock),
                after=self._call_back,
            )
            clock = RunClock(
                budget.left_s(),
                whole_s=budget.whole_s,
                prepared_s=budget.spent_s(),
                scores=budget.reserved_share > 0,
            )
            self.storage.wait_for(stages(observer, lambda: self.progress), budget.left_s())
            self._reserve(clock)
            kept_s = 0.0
            try:
                self._search(loop, plan, budget.n_trials, clock)
                # After Ctrl-C, no ensemble is exported in the reserved time.
                kept_s = clock.reserved_s
            finally:
                # `before_s` includes the time of a killed run, which recorded none.
                store.note(SPENT_S, round(before_s + budget.spent_s() + kept_s, 1))

    def _search(
        self, loop: SearchLoop, plan: Continuation, n_trials: int | None, clock: RunClock
    ) -> None:
        """Run the loop; the search of a finite space ends when every configuration was tried."""
        trials = own_trials(self.study.get_trials(deepcopy=False), self.study.user_attrs)
        untried = Untried.of(self.launch.space) if self.launch.only is None else None
        if untried is not None:
            # Trials that continue are running, and neither wait nor are untried.
            n_left = untried.n_left(trials) + sum(t.state == TrialState.RUNNING for t in trials)
            if n_trials is None or n_left <= n_trials:
                loop.is_whole_space, n_trials = True, n_left
        with self.storage.buffering(self.study._study_id):
            loop.run(plan.n_trials(n_trials, trials), clock)

    def _call_back(self, number: int) -> None:
        """Call the callbacks; no more trials start if one of them stops the study."""
        self.callbacks.call(number)
        if self.callbacks.wants_stop and self.loop is not None:
            self.loop.n_trials = self.loop.n_started

    def _publish(self, trained: Trained, store: TrialStore, clock: RunClock) -> None:
        self.published = self.best.publish(trained)
        store.note(EXPORT_S, round(self.published.export_s, 3))
        store.note(SCORING_S, round(self.published.scoring_s, 3))
        self._reserve(clock)

    def _keep(self, trained: Trained, clock: RunClock) -> None:
        self.best.checkpoints.keep(trained)
        self._reserve(clock)

    def _reserve(self, clock: RunClock) -> None:
        """Reserve time for the export and the score of the present trainings."""
        export_s, scoring_s = export_seconds(self.study)
        seconds = None
        if export_s:
            seconds = self.best.seconds_for_export(export_s, scoring_s if clock.scores else 0.0)
        clock.reserve(seconds)


def check_success(name: str, trials: Sequence[FrozenTrial], metric: Metric) -> None:
    """Check that a study has a complete trial.

    Args:
        trials: the study's own trials; see `record.own_trials`.
    Raises:
        NoTrialSucceededError: when no trial is complete.
    """
    if best_trial(trials, metric) is not None:
        return
    ended = [trial for trial in trials if is_counted(trial)]
    n_pruned, n_failed = (
        sum(trial.state == state for trial in ended)
        for state in (TrialState.PRUNED, TrialState.FAIL)
    )
    causes = Counter(trial.user_attrs.get(CAUSE, "unknown") for trial in ended)
    listed = ", ".join(f"{cause} {n}" for cause, n in causes.most_common())
    raise NoTrialSucceededError(
        f"study {name!r} must have at least one complete trial, got {n_pruned} pruned and "
        f"{n_failed} failed{f' ({listed})' if listed else ''}. {_advice(causes)}"
    )


def check_complete(trial: FrozenTrial) -> None:
    """Check that a trial is complete, so that it has a model.

    Raises:
        NoTrialSucceededError: when it is not complete.
    """
    if trial.state != TrialState.COMPLETE:
        cause = trial.user_attrs.get(CAUSE, "unknown")
        raise NoTrialSucceededError(
            f"trial {trial.number} must be complete, got {trial.state.name} "
            f"({cause}). {_advice(Counter([cause]))}"
        )


def _advice(causes: Counter[str]) -> str:
    """Return advice on how to avoid these causes, the most common first."""
    known = [known_cause(name) for name, _ in causes.most_common()]
    sentences = [cause.advice for cause in known if cause is not None and cause.advice]
    return " ".join(dict.fromkeys(sentences)) or "Use a longer timeout or more trials."


def stages(observer: Observer, progress: Callable[[], Progress]) -> Callable[[str], None]:
    """Return a function that shows an observer a stage of a run, such as "calibrating".

    Args:
        progress: returns the progress of the run.
    """
    return lambda stage: observer.update(replace(progress(), stage=stage))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Make torch compute with one thread, because several wait for each other on busy cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
