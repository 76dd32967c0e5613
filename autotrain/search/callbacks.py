"""`Callbacks`: the user's functions that are called after each trial, with Optuna's meaning."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from autotrain.errors import StudyError

Callback = Callable[[optuna.Study, FrozenTrial], Any]


def check_callbacks(callbacks: Any) -> tuple[Callback, ...]:
    """Return the callbacks of a search; None for none.

    Raises:
        StudyError: when they are not a sequence of functions.
    """
    if callbacks is None:
        return ()
    if not isinstance(callbacks, Sequence) or not all(map(callable, callbacks)):
        raise StudyError(
            "callbacks must be a list of functions, which are called with the Optuna study and a "
            f"trial, got {callbacks!r}.",
            parameter="callbacks",
        )
    return tuple(callbacks)


class Callbacks:
    """Functions that are called in the process of the search after each trial that has ended.

    They are called when the trial is recorded: complete, pruned or failed. A function that calls
    `study.stop()` ends the search after the trials that are running, as in Optuna. The search waits
    for the functions, while workers in other processes train.

    Args:
        functions: see `check_callbacks`.
        study: the Optuna study.
    """

    def __init__(self, functions: Sequence[Callback], study: optuna.Study) -> None:
        self.functions = functions
        self.study = study
        self.wants_stop = False
        """Whether a function has called `study.stop()`."""

    def call(self, number: int) -> None:
        """Call all functions with a copy of an ended trial.

        Raises:
            StudyError: when a function raises an error.
        """
        if not self.functions:
            return
        trial = self.study.get_trials(deepcopy=False)[number]
        # Optuna allows `study.stop()` only in its own loop.
        self.study._thread_local.in_optimize_loop = True
        self.study._stop_flag = False
        try:
            for function in self.functions:
                self._call(function, copy.deepcopy(trial))
        finally:
            self.study._thread_local.in_optimize_loop = False
        self.wants_stop = self.wants_stop or self.study._stop_flag

    def _call(self, function: Callback, trial: FrozenTrial) -> None:
        try:
            function(self.study, trial)
        except Exception as error:
            name = getattr(function, "__name__", type(function).__name__)
            raise StudyError(
                f"callbacks must not raise errors, got {type(error).__name__} in {name!r} after "
                f"trial {trial.number}: {error}. Progress is saved; resume the study.",
                parameter="callbacks",
            ) from error
