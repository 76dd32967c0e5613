"""The status of studies, read from their folders for `autotrain show`, also during a search.

`read_status` reads one study, `summaries` all studies of a folder. Both write nothing and lock
nothing. The command line formats the result.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial, TrialState

from autotrain.bundle import Bundle, read_bundle
from autotrain.bundle.selection import selection_of, validation_error, validation_score
from autotrain.errors import AutotrainError, BundleError
from autotrain.metrics import Metric, metric_named
from autotrain.search.attributes import Cause, cause_of, epochs_of, flags_of, is_counted, seconds_of
from autotrain.search.budget import Budget, Used
from autotrain.search.definition import FILE, Definition, NotConnectedError, study_names
from autotrain.search.facts import summary
from autotrain.search.finals import finals_of, is_unfinished
from autotrain.search.given import config_of
from autotrain.search.opening import seen_study
from autotrain.search.record import is_foreign, own_trials
from autotrain.search.storage.lock import is_held
from autotrain.search.trial_store import best_trial
from autotrain.search.winner import Winner, winner_of
from autotrain.space.config import TrialConfig
from autotrain.space.search_space import SearchSpace

TOP = 10
BUNDLE = "best"
RUNNING, STOPPED, DONE, EMPTY = "running", "stopped", "done", "empty"
"""States of a study: a search is running; a search was interrupted and can be resumed; the search
is finished; no trial is finished yet."""


@dataclass(frozen=True)
class Entry:
    """A line of the leaderboard.

    Args:
        number: number of the trial.
        value: the trial's best validation score.
        words: a short summary of the configuration.
        params: the trial's parameters with Optuna's names.
        epochs: number of trained epochs.
        seconds: duration of the training.
    """

    number: int
    value: float
    words: str
    params: dict[str, Any]
    epochs: int | None
    seconds: float | None


@dataclass(frozen=True)
class StudyStatus:
    """The status of a study.

    Args:
        definition: the study's settings.
        folder: the study's folder.
        state: "running", "stopped", "done" or "empty".
        n_complete, n_pruned, n_failed, n_running, n_waiting: number of trials by state, without
            interrupted trials and those that never started.
        added: numbers of the trials that other programs added; all other fields exclude them.
        causes: number of trials that did not complete, by cause, the most frequent first.
        flags: numbers of the trials with a flag, by flag, the most frequent first.
        top: the best complete trials, the best first.
        winner: number of the winning trial; None before a trial is complete.
        finals: the decision of the finals; None when the trial with the best value won without.
        bundle: folder of the exported model; None before the first export.
        exported: the exported model; None if it is missing or cannot be read.
        seconds: total run time of the study.
        left: the remaining budget.
        is_unfinished: whether a run was interrupted before it exported its winner, or all trials
            are finished but repeats of the best are not.
        lost: a sentence on missing trials and how to continue; None if nothing is missing.
        updated: time of the last finished trial, or of the study's creation.
    """

    definition: Definition
    folder: Path
    state: str
    n_complete: int
    n_pruned: int
    n_failed: int
    n_running: int
    n_waiting: int
    added: tuple[int, ...]
    causes: dict[str, int]
    flags: dict[str, tuple[int, ...]]
    top: tuple[Entry, ...]
    winner: int | None
    finals: Winner | None
    bundle: Path | None
    exported: Bundle | None
    seconds: float
    left: Budget
    is_unfinished: bool
    lost: str | None
    updated: datetime

    @property
    def metric(self) -> Metric:
        """The metric that the study optimizes."""
        return metric_named(self.definition.metric)

    @property
    def n_trials(self) -> int:
        """Number of finished trials."""
        return self.n_complete + self.n_pruned + self.n_failed

    @property
    def best(self) -> Entry | None:
        """The best complete trial; None before a trial is complete."""
        return self.top[0] if self.top else None

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        definition = self.definition
        return {
            "study": definition.name,
            "state": self.state,
            "data": definition.data,
            "target": definition.target,
            "task": definition.task,
            "metric": definition.metric,
            "direction": self.metric.direction,
            "trials": {
                "complete": self.n_complete,
                "pruned": self.n_pruned,
                "failed": self.n_failed,
                "running": self.n_running,
                "waiting": self.n_waiting,
            },
            "added": list(self.added),
            "causes": self.causes,
            "flags": {flag: list(numbers) for flag, numbers in self.flags.items()},
            "best": None if self.best is None else asdict(self.best),
            "top": [asdict(entry) for entry in self.top],
            "winner": self.winner,
            "finals": None if self.finals is None else self.finals.to_json(),
            "bundle": None if self.bundle is None else str(self.bundle),
            **self._exported(),
            "seconds": round(self.seconds, 1),
            "budget": {"trials": definition.n_trials, "seconds": definition.timeout_s},
            "left": asdict(self.left),
            "is_unfinished": self.is_unfinished,
            "lost": self.lost,
            "updated": self.updated.isoformat(timespec="seconds"),
        }

    def _exported(self) -> dict[str, Any]:
        """Return the score of the exported model and the reason for its choice."""
        model = self.exported
        selection = None if model is None else selection_of(model)
        return {
            "validation_value": None if model is None else validation_score(model),
            "validation_error": None if model is None else validation_error(model),
            "selection": None if selection is None else selection.to_json(),
        }


class Unread(NamedTuple):
    """A study that could not be read.

    Args:
        name: name of its folder.
        reason: the error message.
        state: "not readable" or "not opened".
    """

    name: str
    reason: str
    state: str = "not readable"


def read_status(folder: Path, storage: str | None = None, *, connects: bool = True) -> StudyStatus:
    """Read the status of a study.

    Args:
        folder: the study's folder.
        storage: URL with the password, when the study is not stored in its folder.
        connects: see `seen_study`.
    Raises:
        StudyError: when the study does not exist, or its trials are in another storage.
        StorageError: when its trials cannot be read. It is a NotConnectedError when they are on a
            server and `connects` is False.
    """
    is_running = is_held(folder)
    with seen_study(folder, storage, connects=connects, stays_open=False) as seen:
        found = (seen.definition, seen.trials, seen.user_attrs)
    return status_of(folder, *found, lost=seen.lost, is_running=is_running)


def status_of(
    folder: Path,
    definition: Definition,
    trials: Sequence[FrozenTrial],
    user_attrs: dict[str, Any],
    *,
    lost: str | None,
    is_running: bool,
) -> StudyStatus:
    """Return the status of a study whose trials are already loaded.

    Args:
        folder: the study's folder.
        definition, trials, user_attrs: settings, trials and attributes of the study.
        lost: a sentence on missing trials; None if nothing is missing.
        is_running: whether a search is running.
    """
    added = tuple(trial.number for trial in trials if is_foreign(trial, user_attrs))
    trials = own_trials(trials, user_attrs)
    trial, winner = winner_of(trials, user_attrs, metric_named(definition.metric))
    used = Used.of(trials, user_attrs)
    left = definition.budget.minus(used)
    unfinished = _is_unfinished(definition, trials, user_attrs, left)
    return StudyStatus(
        definition=definition,
        folder=folder,
        state=_state(trials, left, is_running=is_running, is_unfinished=unfinished),
        **_counts(trials, is_running=is_running),
        added=added,
        causes=_causes(trials),
        flags=_flags(trials),
        top=_top(definition, trials),
        winner=None if trial is None else trial.number,
        finals=winner,
        bundle=folder / BUNDLE if (folder / BUNDLE).is_dir() else None,
        exported=_exported(folder / BUNDLE),
        seconds=used.seconds,
        left=left,
        is_unfinished=unfinished,
        lost=lost,
        updated=_updated(folder, trials),
    )


def summaries(studies: Path, storage: str | None = None) -> list[StudyStatus | Unread]:
    """Read the status of all studies in a folder, the most recent first.

    Args:
        studies: the folder of all studies.
        storage: URL of the only server to connect to, for studies that are stored there.
    """
    found: list[StudyStatus] = []
    unreadable: list[Unread] = []
    for name in study_names(studies):
        try:
            folder = studies / name
            is_there = storage and Definition.read(folder).is_kept_in(storage, folder)
            url = storage if is_there else None
            found.append(read_status(studies / name, url, connects=False))
        except NotConnectedError as error:
            unreadable.append(Unread(name, str(error), "not opened"))
        except AutotrainError as error:
            unreadable.append(Unread(name, str(error)))
        except Exception as error:
            # One damaged study must not hide the others.
            reason = f"{studies / name}: {type(error).__name__}: {error}"
            unreadable.append(Unread(name, reason))
    found.sort(key=lambda status: status.updated, reverse=True)
    return [*found, *unreadable]


def latest_study(studies: Path) -> str | None:
    """Return the name of the most recently written study; None if there is no study."""
    files = [file for name in study_names(studies) for file in (studies / name).glob("*.*")]
    newest = max(files, key=lambda file: file.stat().st_mtime, default=None)
    return None if newest is None else newest.parent.name


def _exported(path: Path) -> Bundle | None:
    try:
        return read_bundle(path)
    except BundleError:
        return None


def _counts(trials: Sequence[FrozenTrial], *, is_running: bool) -> dict[str, int]:
    ended = Counter(trial.state for trial in trials if is_counted(trial))
    open_ones = Counter(trial.state for trial in trials if not trial.state.is_finished())
    running = open_ones[TrialState.RUNNING]
    return {
        "n_complete": ended[TrialState.COMPLETE],
        "n_pruned": ended[TrialState.PRUNED],
        "n_failed": ended[TrialState.FAIL],
        # Trials that are still marked as running after a killed search will be retried.
        "n_running": running if is_running else 0,
        "n_waiting": open_ones[TrialState.WAITING] + (0 if is_running else running),
    }


def _causes(trials: Sequence[FrozenTrial]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for trial in trials:
        cause = cause_of(trial)
        if not trial.state.is_finished() or (cause is not None and not cause.was_trained):
            continue
        if trial.state != TrialState.COMPLETE:
            found[cause or "unknown"] += 1
    return dict(found.most_common())


def _flags(trials: Sequence[FrozenTrial]) -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = {}
    for trial in trials:
        for flag in flags_of(trial):
            found.setdefault(flag, []).append(trial.number)
    commonest = sorted(found.items(), key=lambda each: -len(each[1]))
    return {flag: tuple(numbers) for flag, numbers in commonest}


def _is_unfinished(
    definition: Definition,
    trials: Sequence[FrozenTrial],
    user_attrs: dict[str, Any],
    left: Budget,
) -> bool:
    finals = finals_of(
        trials,
        user_attrs,
        # The finals start only when no trial is left.
        n_finalists=definition.finalists if left.is_nothing else 0,
        metric=metric_named(definition.metric),
        space=SearchSpace.from_dict(definition.space),
    )
    left_s = math.inf if left.timeout_s is None else left.timeout_s
    return is_unfinished(finals, user_attrs, left_s)


def _state(
    trials: Sequence[FrozenTrial], left: Budget, *, is_running: bool, is_unfinished: bool
) -> str:
    if is_running:
        return RUNNING
    if not any(trial.state.is_finished() for trial in trials):
        return EMPTY
    was_interrupted = any(
        trial.state == TrialState.RUNNING or cause_of(trial) == Cause.INTERRUPTED
        for trial in trials
    )
    can_continue = was_interrupted and not left.is_nothing
    return STOPPED if can_continue or is_unfinished else DONE


def _top(definition: Definition, trials: Sequence[FrozenTrial]) -> tuple[Entry, ...]:
    space = SearchSpace.from_dict(definition.space)
    metric = metric_named(definition.metric)
    rest = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    entries: list[Entry] = []
    while len(entries) < TOP and (trial := best_trial(rest, metric)) is not None:
        rest.remove(trial)
        assert trial.value is not None
        config = config_of(trial, space)
        entries.append(
            Entry(
                number=trial.number,
                value=trial.value,
                words=summary(config),
                params=dict(trial.params) or _not_default(config),
                epochs=epochs_of(trial),
                seconds=seconds_of(trial),
            )
        )
    return tuple(entries)


def _not_default(config: TrialConfig) -> dict[str, Any]:
    """Return the values of a configuration that differ from the defaults."""
    default = TrialConfig.from_params({}).to_params()
    return {name: v for name, v in config.to_params().items() if v != default.get(name)}


def _updated(folder: Path, trials: Sequence[FrozenTrial]) -> datetime:
    ended = [trial.datetime_complete for trial in trials if trial.datetime_complete]
    made = datetime.fromtimestamp((folder / FILE).stat().st_mtime)
    return max([made, *ended])
