"""`Study`: from a table to the best trained model, the main class of the Python interface.

    study = autotrain.Study("churn", data=frame, target="churned")
    study.optimize(timeout=600)
    predictor = study.best_predictor()

`Results` has the methods that only read, `Exports` those that make models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from autotrain.bundle.full_disk import waiting
from autotrain.data.weights import ClassWeights
from autotrain.errors import StudyError
from autotrain.export.ensemble import most_members
from autotrain.export.exports import Exports
from autotrain.reporting.display import display_of, messages_of
from autotrain.reporting.results import Results
from autotrain.search.attributes import GIVEN
from autotrain.search.budget import Budget, RunBudget, Used
from autotrain.search.callbacks import Callback, check_callbacks
from autotrain.search.definition import FILE as DEFINITION
from autotrain.search.definition import Definition
from autotrain.search.finals import Finals, finals_of
from autotrain.search.given import enqueue, give
from autotrain.search.launch import Launch
from autotrain.search.opening import open_study
from autotrain.search.preflight import check_free_space, need_of
from autotrain.search.preparing import Prepared, prepare, resolve_for, resumed
from autotrain.search.progress import Observer, Progress
from autotrain.search.run import Run, check_complete, check_success, one_thread, stages
from autotrain.search.settings import AUTO, STUDIES, StudySettings
from autotrain.search.snapshot import FILE as RUNNING
from autotrain.search.storage.opened import OpenStorage
from autotrain.space.fixed import Config, fixed_space, params_in
from autotrain.space.search_space import SearchSpace


class Study(Results, Exports):
    """A search for the best network for one table.

    A study is stored in the folder `directory/name`. If a study with the same name, data, space
    and settings exists, it is resumed. If any of these differ, a `StudyError` is raised.

    Args:
        name: Name of the study and of its folder [default: derived from the data]; or None.
        data: Table to learn from: a data frame, or anything the command line accepts as DATA.
        target: Column to predict. Optional when the data's format names it.
        task: Kind of target; auto decides from its values. Or a word of `metrics.TASKS`.
        space: Search space: a shipped name or a TOML file. Also a dictionary or a `SearchSpace`.
        metric: Metric to optimize [default: log_loss; rmse for regression]. pinball:0.9 predicts
            the 0.9 quantile. See `metrics.METRICS`.
        weights: Column with sample weights, used for training and scoring, not as a feature.
        class_weights: Class weights for training; balanced gives every class the same total weight.
            "balanced" or {label: weight}.
        reading: How to read the texts of the table, such as {"decimal": ","}; see docs/tables.md.
        sampler: Sampling strategy: "tpe", "gp", "cmaes", "random" or "qmc".
        pruner: Pruning strategy: "performance", "asha", "median" or "none".
        pruner_options: Settings of the pruner, such as quantile=0.4,n_startup=8. A dictionary.
        validation: Validation split that trials are compared on: a holdout, or K folds (5-fold).
            "auto" (5-fold below 10,000 rows without the test rows, 3-fold below 30,000, otherwise
            holdout), "holdout" (20 %, at most 10,000 rows) or "K-fold".
        test: Held-out test set, scored once at the end: a file or a fraction [default: the data's
            own test split; else 0.2]. Also a data frame. The search never uses these rows.
        finalists: Number of best trials to retrain with other seeds; the best mean wins. 0: the
            trial with the best value wins.
        ensemble: Largest number of trainings in the exported ensemble; 0: the winner alone; auto:
            up to 4 with at most 2,500 validation rows. Prediction takes up to N times as long.
        storage: Storage of the trials [default: a journal in the study's folder]. A storage URL or
            an Optuna storage. A SQLite path is relative to the study's folder. A study in a storage
            object without a URL can be resumed only in Python, with the same `storage`.
        workers: Number of worker processes [default: one per core or GPU], or a Ray cluster: ray or
            ray://HOST:PORT. The default is 0, and 1 in a worker process of joblib or
            `multiprocessing`. 1 trains in this process. See docs/cluster.md for Ray.
        worker_cpus: CPUs of each worker on a Ray cluster; may be a fraction.
        worker_gpus: GPUs of each worker on a Ray cluster; may be a fraction. With 0 it trains on
            the CPU.
        device: Device for training: "auto", "cpu" or "cuda".
        seed: Random seed of splits, sampling and training.
        directory: Folder that contains the studies; a relative path is resolved immediately.
    Raises:
        DataError, SpaceError, StudyError, StorageError, DeviceError: when an argument is invalid;
            nothing is written in this case.
    Examples:
        >>> import autotrain
        >>> space = {"extends": "quick", "training": {"epochs": 5}}
        >>> study = autotrain.Study("flowers", data="sklearn:iris", space=space, workers=1)
        >>> study.optimize(n_trials=2, quiet=True).best_predictor()
        Predictor(multiclass 'target' from 4 columns)
    """

    def __init__(
        self,
        name: str | None,
        *,
        data: Any,
        target: str | None = None,
        task: str = "auto",
        space: str | Path | Mapping[str, Any] | SearchSpace = "default",
        metric: str | None = None,
        weights: str | None = None,
        class_weights: ClassWeights | None = None,
        reading: Mapping[str, Any] | None = None,
        sampler: str = "tpe",
        pruner: str = "performance",
        pruner_options: Mapping[str, float] | None = None,
        validation: str = "auto",
        test: Any = None,
        finalists: int = 4,
        ensemble: int | str = AUTO,
        storage: str | BaseStorage | None = None,
        workers: int | str = 0,
        worker_cpus: float = 1.0,
        worker_gpus: float = 0.0,
        device: str = "auto",
        seed: int = 0,
        directory: str | Path = STUDIES,
    ) -> None:
        arguments = {key: value for key, value in locals().items() if key != "self"}
        self._set_up(prepare(StudySettings(**arguments)))

    def _set_up(self, prepared: Prepared) -> None:
        self.definition, self.folder = prepared.definition, prepared.folder
        self.dataset, self.metric, self.space = prepared.dataset, prepared.metric, prepared.space
        self.device, self.sampler = prepared.device, prepared.sampler
        self._untried, self._given = prepared.untried, prepared.storage
        self._storage: OpenStorage | None = None
        self._study: optuna.Study | None = None
        self.progress = Progress()
        self.export_notes: tuple[str, ...] = ()
        self.export_failures: tuple[str, ...] = ()
        """Models that were preferred to the one in `best/` but could not be exported, and why."""

    @classmethod
    def resume(
        cls,
        name: str,
        *,
        data: Any = None,
        test: Any = None,
        space: str | Path | Mapping[str, Any] | SearchSpace | None = None,
        storage: str | BaseStorage | None = None,
        workers: int | str | None = None,
        worker_cpus: float | None = None,
        worker_gpus: float | None = None,
        device: str | None = None,
        finalists: int | None = None,
        ensemble: int | str | None = None,
        directory: str | Path = STUDIES,
    ) -> Study:
        """Open an existing study with its original settings.

        Args:
            name: the study's name.
            data: the same table again, when its file has moved or it was a data frame.
            test: the same test table again, when it has moved or was a data frame.
            space: another space, from which trials are drawn from now on. It must contain all
                trials of the study, which are kept; it may have more choices and wider ranges.
            storage: the URL with its password, or the storage object, when the trials are not in
                the folder's journal; or the new storage when the trials were moved.
            workers, worker_cpus, worker_gpus, device, finalists, ensemble: as for a new study; None
                for the study's setting.
            directory: the folder of all studies.
        Returns: the study, not yet locked: the first use of its trials opens its storage.
        Raises:
            StudyError: when the study does not exist or its data has changed.
            DataError: when the file of its data is missing.
        Examples:
            >>> study.close()
            >>> study = autotrain.Study.resume("flowers")
            >>> study.dataset.target, study.best_path.name
            ('target', 'best')
            >>> study.close()
        """
        given = {key: value for key, value in locals().items() if key != "cls"}
        settings = StudySettings(**resumed(name, directory, given))
        study = cls.__new__(cls)
        study._set_up(prepare(settings, widens=space is not None))
        return study

    # ---- running ---------------------------------------------------------------------------

    def optimize(
        self,
        n_trials: int | None = None,
        timeout: float | None = None,
        *,
        callbacks: Sequence[Callback] | None = None,
        observer: Observer | None = None,
        quiet: bool = False,
    ) -> Study:
        """Search until `n_trials` more trials are finished or `timeout` seconds have passed.

        A search of a finite space also ends when every configuration has been tried.

        Args:
            n_trials: trials to run; None for no limit.
            timeout: seconds; None for no limit. Without any limit the search takes ten minutes.
            callbacks: functions that are called with the Optuna study and a trial after each trial
                that has ended, as in `optuna.Study.optimize`; `study.stop()` ends the search after
                the running trials.
            observer: receives the progress; None for a display that suits the terminal.
            quiet: show no progress. An `observer` is called nevertheless.
        Returns: the study itself.
        Raises:
            NoTrialSucceededError: when no trial completed.
            StudyError: when a callback raises an error; the progress is saved.
            KeyboardInterrupt: re-raised after the progress is saved; `resume` continues.
        Examples:
            >>> study.optimize(n_trials=1, quiet=True).best_trial.state.name
            'COMPLETE'
        """
        called = check_callbacks(callbacks)
        budget = RunBudget.of(n_trials, timeout)
        return self._optimize(budget, observer, quiet=quiet, callbacks=called)

    def finish(
        self,
        timeout: float | None = None,
        *,
        observer: Observer | None = None,
        quiet: bool = False,
    ) -> Study:
        """Finish an interrupted run: retrain the finalists, then choose and export the winner.

        No new trial starts, and the study's budget does not change.

        Args:
            timeout: seconds for the repeats; None for no limit. Longer repeats are skipped.
        Returns: the study itself. For the other arguments and errors see `optimize`.
        Examples:
            >>> study.finish(quiet=True).best_path.name
            'best'
        """
        return self._finish(RunBudget(0, timeout), observer, quiet=quiet)

    def enqueue(self, config: Config) -> Study:
        """Add a configuration of the space to the study; the next search tries it first.

        The configuration is kept in the storage until it is trained, also when the study is closed
        and resumed. It is trained even if an equal configuration was trained before.

        Args:
            config: a dictionary in the shape of a space file's fixed values or of a `[[baseline]]`,
                a TOML file, or another study's `best_config`. Missing values are filled in as for
                a `[[baseline]]`: with the default when the space contains it.
        Returns: the study itself.
        Raises:
            SpaceError: when values are not in the space; it lists all of them.
        Examples:
            >>> study = study.enqueue({"optimizer.learning_rate": 0.01})
            >>> study = study.optimize(n_trials=1, quiet=True)
            >>> study.optuna_study.trials[-1].params["optimizer.learning_rate"]
            0.01
        """
        params = params_in(self.space, config)
        enqueue(self.optuna_study, params, **{GIVEN: "enqueue"})
        self._open().commit()
        return self

    def train(
        self,
        config: Config,
        timeout: float | None = None,
        *,
        observer: Observer | None = None,
        quiet: bool = False,
    ) -> FrozenTrial:
        """Train one configuration as a new trial, without search, pruning and finals.

        The configuration may be outside the study's space. Like any other trial, the trial has a
        curve, diagnostics and a checkpoint, and it can become the model in `best/`. Samplers learn
        from the trial if it is inside the space. The study's budget does not change.

        Args:
            config: a dictionary in the shape of a space file's fixed values, a TOML file, or
                another study's `best_config`. Missing values are the technique's defaults; the
                batch size and the number of epochs depend on the data.
            timeout: seconds after which training ends at the next epoch; None for no limit.
            observer, quiet: as for `optimize`.
        Returns: the trial, complete.
        Raises:
            SpaceError: when the configuration has mistakes; it lists all of them.
            NoTrialSucceededError: when the trial did not complete, for example diverged.
            KeyboardInterrupt: re-raised; the next search trains the configuration again.
        Examples:
            >>> trial = study.train({"activation": "elu", "training": {"epochs": 7}}, quiet=True)
            >>> trial.user_attrs["epochs"]
            7
        """
        budget = RunBudget.of(1, timeout)
        wanted = resolve_for(fixed_space(config), self.dataset).config_from({})
        storage = self._open(messages_of(observer, quiet=quiet))
        before = Used.by(self.optuna_study)
        # The budget of the searches must not shrink by this trial.
        total = Definition.read(self.folder).budget.plus_training(n_trials=1)
        self.definition.write_changes(self.folder, total)
        number = give(self.optuna_study, wanted, self.space)
        storage.commit()
        try:
            self._run(budget, observer, quiet=quiet, only=number)
        finally:
            seconds = Used.by(self.optuna_study).seconds - before.seconds
            self.definition.write_changes(self.folder, total.plus_training(seconds=seconds))
        trial = self.optuna_study.get_trials(deepcopy=False)[number]
        check_complete(trial)
        return trial

    def _optimize(
        self,
        budget: RunBudget,
        observer: Observer | None,
        *,
        quiet: bool,
        callbacks: Sequence[Callback] = (),
    ) -> Study:
        """Search within a budget whose clock may already be running; see `optimize`."""
        budget, is_new = budget.or_default(), not (self.folder / DEFINITION).is_file()
        self.disk_note(budget.n_trials)
        if is_new:
            # `study.toml` has the budget from the start, so that `resume` uses it after any kill.
            first = Budget(budget.n_trials, budget.timeout_s)
            self.definition = self.definition.with_budget(first)
        self._open(messages_of(observer, quiet=quiet))
        budget = self._add_budget(budget, Budget() if is_new else None)
        self._run(budget, observer, quiet=quiet, callbacks=callbacks)
        return self

    def _finish(self, budget: RunBudget, observer: Observer | None, *, quiet: bool) -> Study:
        """Finish an interrupted run within a budget; see `finish`."""
        self._open(messages_of(observer, quiet=quiet))
        finals, left_s = self._finals(), budget.left_s()
        snapshot = self._best().checkpoints.folder / RUNNING
        left_s = math.inf if left_s is None else left_s
        # A repeat that was running is completed, also if the others would be enough.
        if (finals is not None and finals.next(left_s=left_s)) or snapshot.is_file():
            self.definition.write_changes(self.folder)
            self._run(budget, observer, quiet=quiet)
        else:
            self.export_best()
            check_success(self.definition.name, self._own_trials(), self.metric)
        return self

    def _run(
        self,
        budget: RunBudget,
        observer: Observer | None,
        *,
        quiet: bool,
        only: int | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        """Run a search within a budget, or train only the trial with the number `only`."""
        parts = (self.definition, self.dataset, self.metric, self.space, self.device)
        launch = Launch(*parts, n_workers=self.n_workers if only is None else 1, only=only)
        run = Run(launch, self._best(), self.optuna_study, self._open(), callbacks)
        waits = self._open().patience()
        with one_thread(), waits, display_of(observer, self.metric, quiet=quiet) as shown:
            show = stages(shown, lambda: run.progress)
            with waiting(show, budget.left_s()):
                try:
                    run.train(budget, self._finals() if only is None else None, shown)
                finally:
                    self.progress = run.progress
                    self._take(run.published)
                self._export_best(None, show)
        check_success(self.definition.name, self._own_trials(), self.metric)

    def close(self) -> None:
        """Close the storage and unlock the study for other processes.

        Examples:
            >>> with study:
            ...     print(study.best_trial.state.name)
            COMPLETE
        """
        if self._storage is not None:
            try:
                self._storage.commit()
                self._storage.remember(self.optuna_study._study_id)
            finally:
                self._storage.close()
                self._storage = self._study = None

    def __enter__(self) -> Study:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- results ---------------------------------------------------------------------------

    @property
    def optuna_study(self) -> optuna.Study:
        """The Optuna study, opened and locked for other processes on first use.

        Examples:
            >>> study.optuna_study.study_name, study.optuna_study.direction.name
            ('flowers', 'MINIMIZE')
        """
        self._open()
        if self._study is None:
            raise StudyError("the study is closed")
        return self._study

    def disk_note(self, n_trials: int | None = None) -> str | None:
        """Compare the free space of the study's disk with what a search may write.

        Args:
            n_trials: number of trials; None for no limit.
        Returns: a note when the space may not be enough; otherwise None.
        Raises:
            StorageError: when not even one trial can be saved.
        Examples:
            >>> study.disk_note(n_trials=10) is None
            True
        """
        n_members = most_members(self.definition.ensemble, self.dataset)
        need = need_of(self.space, self.dataset, n_trials, n_members)
        return check_free_space(self.folder, need)

    @property
    def _is_open(self) -> bool:
        return self._storage is not None or isinstance(self._given, BaseStorage)

    # ---- parts -----------------------------------------------------------------------------

    def _open(self, notify: Callable[[str], None] | None = None) -> OpenStorage:
        """Open the storage and its Optuna study, and create them if they are new.

        Args:
            notify: shows a text while a server is not reachable; None: raise an error then.
        """
        if self._storage is None:
            parts = (self.folder, self.definition, self.metric, self.sampler, self._given)
            self._storage, self._study = open_study(*parts, notify)
        return self._storage

    def _finals(self) -> Finals | None:
        study = self.optuna_study
        return finals_of(
            study.get_trials(deepcopy=False),
            study.user_attrs,
            n_finalists=self.definition.finalists,
            metric=self.metric,
            space=self.space,
        )

    def _add_budget(self, budget: RunBudget, begun: Budget | None = None) -> RunBudget:
        """Add the budget of a run to what the study has used, and record the sum as its total.

        Args:
            budget: that of the run.
            begun: the total budget before; None for the recorded one.
        """
        n_trials = budget.n_trials
        begun = Definition.read(self.folder).budget if begun is None else begun
        if n_trials is not None and self._untried is not None:
            n_trials = min(n_trials, self._untried.n_left(self._own_trials()))
        total = Budget(n_trials, budget.timeout_s).plus(Used.by(self.optuna_study))
        self.definition = self.definition.with_budget(total)
        self.definition.write_changes(self.folder, total)
        return budget.continuing(total, begun)

    def _note(self, name: str, value: Any) -> None:
        self.optuna_study.set_user_attr(name, value)
        if self._storage is not None:
            self._storage.commit()
