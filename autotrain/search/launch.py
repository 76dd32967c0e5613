"""Set up the parts of a run from a study's settings and from its storage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import optuna
import torch
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from autotrain.data.codes import Columns
from autotrain.data.dataset import Dataset
from autotrain.metrics import Metric
from autotrain.network.config import view_of
from autotrain.search.attributes import CONFIG, GIVEN, HISTORY, IDENTITY, is_counted
from autotrain.search.continuing import Continuation, restore
from autotrain.search.definition import Definition
from autotrain.search.facts import summary
from autotrain.search.finals import Finals
from autotrain.search.given import config_of, configs_outside, fixed_params
from autotrain.search.loop import SearchLoop
from autotrain.search.progress import Leader, Observer
from autotrain.search.pruning.comparison import Comparison
from autotrain.search.pruning.plateaus import History, rule_of
from autotrain.search.pruning.pruners import make_pruner
from autotrain.search.record import own_trials
from autotrain.search.recorder import N_LEADERS, Recorder
from autotrain.search.saving import Saver
from autotrain.search.storage.opened import OpenStorage
from autotrain.search.trained import Trained
from autotrain.search.trial_store import TrialStore
from autotrain.search.workers.inline import InlineWorker
from autotrain.search.workers.pool import WorkerPool, local_pool, ray_pool
from autotrain.search.workers.ray_workers import Part
from autotrain.space.config import TrialConfig
from autotrain.space.search_space import SearchSpace
from autotrain.training.rows import problem_of
from autotrain.training.width import CPU, GPU, fleet_width
from autotrain.validation import is_ray


@dataclass(frozen=True)
class Launch:
    """Sets up one run of a study.

    Args:
        definition, dataset, metric, space: those of the study.
        device: "cpu" or "cuda".
        n_workers: number of workers.
        only: number of the waiting trial to train, without search, pruning and finals; None for a
            search.
    """

    definition: Definition
    dataset: Dataset
    metric: Metric
    space: SearchSpace
    device: str
    n_workers: int
    only: int | None = None

    @property
    def is_on_ray(self) -> bool:
        """Whether the networks train on a Ray cluster."""
        return is_ray(self.definition.workers) and self.only is None

    @property
    def part(self) -> Part:
        """The resources of a worker on a Ray cluster."""
        return Part(self.definition.worker_cpus, self.definition.worker_gpus)

    def trial_store(self, study: optuna.Study, storage: OpenStorage) -> TrialStore:
        """Return the store of the study's trials; a new search adds the space's baselines to it."""
        store = TrialStore(
            study,
            storage,
            self.space,
            self.metric,
            whole_curves=self.definition.pruner in ("asha", "median"),
            only=self.only,
        )
        trials = own_trials(study.get_trials(deepcopy=False), study.user_attrs)
        if self.only is None and all(GIVEN in trial.user_attrs for trial in trials):
            given = [t.params or fixed_params(t) for t in trials if CONFIG not in t.user_attrs]
            for params in self.space.baselines():
                if params not in given:
                    store.enqueue(params)
        return store

    def workers(self, trials: Sequence[FrozenTrial]) -> AbstractContextManager[WorkerPool]:
        """Start the workers.

        Args:
            trials: the study's trials; those outside the space may use other views of the rows.
        """
        problem = problem_of(self.dataset, self.metric)
        if self.is_on_ray:
            outside = map(view_of, configs_outside(trials))
            views = list(dict.fromkeys([*self.space.views(), *outside]))
            encode = partial(self.dataset.encoded_folds, views)
            return ray_pool(problem, encode, str(self.definition.workers), self.part)
        devices = ["cpu"] * self.n_workers
        if self.device != "cpu":
            devices = [f"cuda:{n % torch.cuda.device_count()}" for n in range(self.n_workers)]
        return local_pool(problem, self.dataset.lazy_folds(), devices)

    def loop(
        self,
        store: TrialStore,
        pool: WorkerPool,
        observer: Observer,
        finals: Finals | None,
        plan: Continuation,
        saver: Saver,
        *,
        publish: Callable[[Trained], None],
        keep: Callable[[Trained], None],
        after: Callable[[int], None] = lambda number: None,
    ) -> SearchLoop:
        """Return the search loop, which continues what earlier runs found.

        Args:
            plan: the trainings of an earlier run that continue.
        """
        dataset, definition = self.dataset, self.definition
        n_outputs = dataset.n_outputs
        uses_gpu = self.part.gpus > 0 if self.is_on_ray else self.device.startswith("cuda")
        costs = GPU if uses_gpu else CPU
        own = own_trials(store.study.get_trials(deepcopy=False), store.study.user_attrs)
        trials = plan.before(own)
        comparison = self._comparison(trials)
        recorder = Recorder(
            store,
            comparison=comparison,
            pruner=self._pruner() if comparison is None and self.only is None else None,
            publish=publish,
            finals=plan.finals(finals),
            keep=keep,
            after=after,
        )
        counts = {
            state: sum(trial.state == state and is_counted(trial) for trial in trials)
            for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        }
        complete = [
            (trial.value, trial)
            for trial in trials
            if trial.state == TrialState.COMPLETE and trial.value is not None
        ]
        first = sorted(complete, key=lambda each: self.metric.sign * each[0])[:N_LEADERS]
        leaders = [
            Leader(value, trial.number, summary(config_of(trial, self.space)))
            for value, trial in first
        ]
        recorder.restore(leaders, [value for value, _ in complete], counts)
        # The scheduler asks again for the same trial while it waits for a free worker.
        width_of = lru_cache(maxsize=8)(
            lambda config: fleet_width(config, self._columns(config), n_outputs, costs)
        )
        loop = SearchLoop(
            recorder,
            pool.workers,
            new_workers=pool.new_workers,
            n_folds=len(dataset.folds),
            study_seed=definition.seed,
            width_of=width_of,
            observer=observer,
            saver=saver,
        )
        restore(loop, plan)

        def within_epoch() -> None:
            store.show_curves()
            if loop.clock.is_late:
                loop.act()

        for worker in pool.workers:
            if isinstance(worker, InlineWorker):
                worker.within_epoch = within_epoch
        return loop

    def saver(self, path: Path, study: optuna.Study, *, has_limit: bool) -> Saver:
        """Return the `Saver` of a run.

        Args:
            path: the file.
            study: the Optuna study.
            has_limit: whether the time of the run is limited.
        """
        if self.only is not None:
            return Saver()
        identity = study.user_attrs[IDENTITY]["id"]
        return Saver(path, identity, is_exact=not has_limit and self.is_reproducible)

    @property
    def is_reproducible(self) -> bool:
        """Whether the steps of a search without a time limit follow from its state alone.

        Optuna's pruners decide from what the storage contains, which can be more than a snapshot.
        """
        has_one = self.n_workers == 1 and self.device == "cpu" and not self.is_on_ray
        return has_one and self.definition.pruner in ("performance", "none")

    def _comparison(self, trials: list[FrozenTrial]) -> Comparison | None:
        """Return performance scheduling with the trials of earlier runs; None where it is off."""
        if self.definition.pruner != "performance" or self.only is not None:
            return None
        rule = rule_of(self.definition.pruner_options, self.dataset.n_train)
        comparison = Comparison(rule)
        for trial in trials:
            if HISTORY in trial.user_attrs:
                history = History.from_json(rule, trial.user_attrs[HISTORY])
                comparison.restore(trial.number, history)
        return comparison

    def _pruner(self) -> BasePruner:
        return make_pruner(self.definition.pruner, self.definition.pruner_options)

    def _columns(self, config: TrialConfig) -> Columns:
        """Return the columns of the encoded rows that a configuration's network reads."""
        return self.dataset.preprocessor(0, view_of(config)).input_columns
