"""The user attributes that autotrain writes to an Optuna study and to its trials.

This is the schema of what a storage holds besides Optuna's own fields. A key is read and written
through this module alone; the dashboard shows each under its name here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import optuna
from optuna.trial import FrozenTrial

# ---- attributes of a trial -----------------------------------------------------------------------

CAUSE: Final = "cause"
"""`Cause`: why the trial ended. Written at its end by the scheduler, or the store for retries."""
ERROR: Final = "error"
"""str: the last 2,000 characters of the traceback of a failed trial."""
EPOCHS: Final = "epochs"
"""int: epochs trained, of the longest fold."""
BEST_EPOCH: Final = "best_epoch"
"""int: the epoch whose weights are kept, of the first fold."""
FOLD_EPOCHS: Final = "fold_epochs"
"""list[int]: epochs trained by fold; only where folds differ."""
SECONDS: Final = "seconds"
"""float: runtime of the trial."""
N_PARAMETERS: Final = "n_parameters"
"""int: parameters of the trial's largest network."""
FLAGS: Final = "flags"
"""str: names of the diagnostic flags, separated by spaces; missing without a flag."""
DIAGNOSTICS: Final = "diagnostics"
"""list[dict]: `fold` and the fields of `network.flags.Diagnosis`, of the folds with flags."""
GRADIENT_RATIO: Final = "gradient_ratio"
"""float: smallest gradient norm of a layer over the largest."""
CURVE: Final = "curve"
"""list[[int, float]]: (epoch, mean score over folds); only where folds ended at different times."""
HISTORY: Final = "history"
"""dict: plateaus and rungs that the trial reached; see `pruning.plateaus.History`."""
RETRY_OF: Final = "retry_of"
"""int: number of the trial that this one repeats after an interruption."""
SEED_OF: Final = "seed_of"
"""int: number that the seeds of a repeated trial follow from."""
ABANDONED: Final = "abandoned"
"""int: how many runs ended without closing this trial or those that it repeats; since its last
progress, if it continued from a snapshot."""
SAVED_EPOCH: Final = "saved_epoch"
"""int: the epoch at which a trial last continued from a snapshot; −1 for its start."""
GIVEN: Final = "given"
"""str: how a user added the trial, "enqueue" or "train"; missing for sampled trials."""
CONFIG: Final = "config"
"""dict: the whole configuration of a trial outside the study's space."""

ORIGIN: Final = "origin"
"""str: "ID/NUMBER", the identity of the study that ended the trial, and its number there."""

# ---- attributes of the study ---------------------------------------------------------------------

SPENT_S: Final = "spent_s"
"""float: seconds of all runs that ended in order."""
EXPORT_S: Final = "export_s"
"""float: seconds that the last export of one model would take with idle workers."""
SCORING_S: Final = "scoring_s"
"""float: estimated seconds of scoring that model on the test rows."""
REPEATS: Final = "repeats"
"""list[dict]: trainings of finalists from other seeds; see `finals.Finals`."""
WINNER: Final = "winner"
"""dict: the decision of the finals; see `finals.Winner`."""
IS_EXPORTED: Final = "is_exported"
"""bool: False from the start of a run until its winner is in `best/`."""
THRESHOLD: Final = "threshold"
"""dict: `goal` of the decision threshold, such as "cost=1:10", and `positive`, the label; None
without one."""
EXPORTED: Final = "exported"
"""list: trial and repeat of the exported model, the number of trials and the numbers of waiting
trials at that time; None for an ensemble."""


IDENTITY: Final = "identity"
"""dict: `id` of the study, and `since`: number of the first trial that has an `ORIGIN`."""


class Cause(StrEnum):
    """Why a trial ended.

    The first four are also the causes with which the trainer ends one fold.
    """

    EPOCHS = "epochs"
    EARLY_STOPPING = "early_stopping"
    DIVERGED = "diverged"
    STOPPED = "stopped"
    CONVERGED = "converged"
    PLATEAU = "plateau"
    RUNG = "rung"
    TIME = "time"
    OUT_OF_MEMORY = "out_of_memory"
    INTERRUPTED = "interrupted"
    GIVEN_UP = "given_up"
    WORKER_DIED = "worker_died"
    EXPORT = "export"
    ERROR = "error"
    NOT_STARTED = "not_started"
    FORBIDDEN = "forbidden"
    OUTSIDE_SPACE = "outside_space"
    ADDED = "added"

    @property
    def text(self) -> str:
        """The cause in plain words."""
        return _TEXTS[self]

    @property
    def advice(self) -> str:
        """Advice for avoiding this end; may be empty."""
        return _ADVICE.get(self, "")

    @property
    def is_counted(self) -> bool:
        """Whether the trial counts in the budget and in the number of trials."""
        return self not in (Cause.NOT_STARTED, Cause.FORBIDDEN, Cause.INTERRUPTED)

    @property
    def was_trained(self) -> bool:
        """Whether training began, so that the trial is listed by `show`."""
        return self not in (Cause.NOT_STARTED, Cause.FORBIDDEN)

    @property
    def is_retried(self) -> bool:
        """Whether `resume` trains the configuration again."""
        return self in (Cause.NOT_STARTED, Cause.INTERRUPTED)

    @property
    def is_worst(self) -> bool:
        """Whether samplers rank the trial below all others, whatever its curve."""
        return self in (Cause.DIVERGED, Cause.OUT_OF_MEMORY)


_TEXTS = {
    Cause.EPOCHS: "trained for all its epochs",
    Cause.EARLY_STOPPING: "the validation score stopped improving",
    Cause.DIVERGED: "the loss went to infinity or NaN",
    Cause.STOPPED: "stopped",
    Cause.CONVERGED: "converged: the validation loss no longer improves",
    Cause.PLATEAU: "worse than other trials at the same plateau",
    Cause.RUNG: "worse than other trials after the same number of rows",
    Cause.TIME: "stopped at the end of the time budget",
    Cause.OUT_OF_MEMORY: "out of memory",
    Cause.INTERRUPTED: "interrupted; `resume` continues it",
    Cause.GIVEN_UP: "abandoned: the process died three times while training it",
    Cause.WORKER_DIED: "the worker process died twice",
    Cause.EXPORT: "the model could not be exported: please report it",
    Cause.ERROR: "an error in autotrain: please report it",
    Cause.NOT_STARTED: "not started before the run ended",
    Cause.FORBIDDEN: "a combination that the space forbids; not trained",
    Cause.OUTSIDE_SPACE: "enqueued with parameters outside the study's space; not trained",
    Cause.ADDED: "added through Optuna: it has no model and cannot win",
}
_FEWER_WORKERS = "Free memory or use fewer workers; 1 trains without worker processes."
_REPORT = "Report the traceback of the trial (`autotrain show NAME --trial N`)."
_ADVICE = {
    Cause.DIVERGED: "Use a smaller learning rate.",
    Cause.TIME: "Use a longer timeout.",
    Cause.NOT_STARTED: "Use a longer timeout.",
    Cause.INTERRUPTED: "Resume the study.",
    Cause.OUT_OF_MEMORY: "Use fewer workers, smaller networks or smaller batches.",
    Cause.WORKER_DIED: _FEWER_WORKERS,
    Cause.GIVEN_UP: _FEWER_WORKERS,
    Cause.OUTSIDE_SPACE: "Enqueue configurations of the space, or train others with `Study.train`.",
    Cause.ERROR: _REPORT,
    Cause.EXPORT: _REPORT,
}


def cause_of(trial: FrozenTrial) -> Cause | None:
    """Return the cause of a trial's end; None for an open trial and for an unknown cause."""
    return known_cause(trial.user_attrs.get(CAUSE))


def known_cause(name: object) -> Cause | None:
    """Return the cause of this name; None for an unknown name."""
    return next((cause for cause in Cause if cause == name), None)


def is_counted(trial: FrozenTrial) -> bool:
    """Whether a trial has ended and counts in the budget."""
    cause = cause_of(trial)
    return trial.state.is_finished() and (cause is None or cause.is_counted)


def seconds_of(trial: FrozenTrial) -> float | None:
    """Return the runtime of a trial in seconds; None before its end."""
    found = trial.user_attrs.get(SECONDS)
    return None if found is None else float(found)


def epochs_of(trial: FrozenTrial) -> int | None:
    """Return the epochs of a trial's longest fold; None before its end."""
    found = trial.user_attrs.get(EPOCHS)
    return None if found is None else int(found)


def fold_epochs_of(trial: FrozenTrial) -> list[int]:
    """Return the epochs of each fold, or one number for all folds."""
    found: list[int] = trial.user_attrs.get(FOLD_EPOCHS, [trial.user_attrs[EPOCHS]])
    return found


def has_epochs(trial: FrozenTrial) -> bool:
    """Whether a trial has ended at least one epoch."""
    return bool(trial.user_attrs.get(EPOCHS))


def flags_of(trial: FrozenTrial) -> list[str]:
    """Return the names of a trial's diagnostic flags."""
    return str(trial.user_attrs.get(FLAGS, "")).split()


def export_seconds(study: optuna.Study) -> tuple[float, float]:
    """Return the seconds of the last export of one model, and of its test score.

    Both are 0 without an export.
    """
    attributes = study.user_attrs
    return float(attributes.get(EXPORT_S, 0.0)), float(attributes.get(SCORING_S, 0.0))


def spent_seconds(user_attrs: Mapping[str, Any]) -> float:
    """Return the seconds of a study's runs that ended in order."""
    return float(user_attrs.get(SPENT_S, 0.0))
