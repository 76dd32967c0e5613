"""Set up the parts of a run from a study's settings and from its storage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import optuna
import torch
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from autotrain.data.codes import Columns
from autotrain.data.dataset import Dataset
from autotrain.data.encoded import pack
from autotrain.errors import StorageError
from autotrain.metrics import Metric
from autotrain.network.config import view_of
from autotrain.search.attributes import CONFIG, GIVEN, HISTORY, is_counted
from autotrain.search.definition import Definition
from autotrain.search.facts import summary
from autotrain.search.finals import Finals
from autotrain.search.given import config_of, configs_outside, fixed_params
from autotrain.search.loop import SearchLoop
from autotrain.search.progress import Observer
from autotrain.search.pruning.comparison import Comparison
from autotrain.search.pruning.plateaus import History, rule_of
from autotrain.search.pruning.pruners import make_pruner
from autotrain.search.record import own_trials
from autotrain.search.recorder import Recorder
from autotrain.search.storage.storages import OpenStorage
from autotrain.search.trained import Trained
from autotrain.search.trial_store import TrialStore, best_trial
from autotrain.search.workers.inline import InlineWorker
from autotrain.search.workers.processes import ProcessWorker, can_start_processes
from autotrain.search.workers.protocol import Worker
from autotrain.space.config import TrialConfig
from autotrain.space.search_space import SearchSpace
from autotrain.training.rows import problem_of
from autotrain.training.trainer import Trainer
from autotrain.training.width import CPU, GPU, fleet_width


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

    def workers(self, folder: Path, trials: Sequence[FrozenTrial]) -> list[Worker]:
        """Start the workers; train in this process with one on the CPU, or if none can be started.

        Args:
            folder: folder for the rows of worker processes.
            trials: the study's trials; those outside the space may use other views of the rows.
        """
        outside = map(view_of, configs_outside(trials))
        views = list(dict.fromkeys([*self.space.views(), *outside]))
        problem = problem_of(self.dataset, self.metric)
        devices = ["cpu"] * self.n_workers
        if self.device != "cpu":
            devices = [f"cuda:{n % torch.cuda.device_count()}" for n in range(self.n_workers)]
        if devices == ["cpu"] or not can_start_processes():
            folds = self.dataset.encoded_folds(views)
            return [InlineWorker(partial(Trainer, problem, folds, devices[0]))]
        workers = [
            ProcessWorker(device, f"worker {number}") for number, device in enumerate(devices, 1)
        ]
        try:
            folds = self.dataset.encoded_folds(views)
            packed = pack(folds, folder)
        except BaseException as error:
            for worker in workers:
                worker.close()
            if isinstance(error, OSError):
                raise StorageError(
                    f"{folder.parent} must take the rows for the worker processes, got: "
                    f"{error.strerror or error}. Free space there, set TMPDIR to another folder, "
                    "or train with one worker."
                ) from error
            raise
        return [worker.give(problem, packed) for worker in workers]

    def loop(
        self,
        store: TrialStore,
        workers: list[Worker],
        observer: Observer,
        finals: Finals | None,
        *,
        publish: Callable[[Trained], None],
        keep: Callable[[Trained], None],
    ) -> SearchLoop:
        """Return the search loop, which continues what earlier runs found."""
        dataset, definition = self.dataset, self.definition
        n_outputs = dataset.n_outputs
        costs = GPU if self.device.startswith("cuda") else CPU
        trials = own_trials(store.study.get_trials(deepcopy=False), store.study.user_attrs)
        comparison = self._comparison(trials)
        recorder = Recorder(
            store,
            comparison=comparison,
            pruner=self._pruner() if comparison is None and self.only is None else None,
            publish=publish,
            finals=finals,
            keep=keep,
        )
        counts = {
            state: sum(trial.state == state and is_counted(trial) for trial in trials)
            for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        }
        best = best_trial(trials, self.metric)
        if best is None or best.value is None:
            recorder.restore(None, counts)
        else:
            words = summary(config_of(best, self.space))
            recorder.restore((best.value, best.number, words), counts)
        return SearchLoop(
            recorder,
            workers,
            n_folds=len(dataset.folds),
            study_seed=definition.seed,
            width_of=lambda c: fleet_width(c, self._columns(c), n_outputs, costs),
            observer=observer,
        )

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
