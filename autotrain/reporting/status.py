"""How a study stands, read from its folder: for `autotrain show`, also while a search runs.

`read_status` looks at one study and returns facts, `summaries` at all of a folder. Nothing is
written and no lock is taken. How the facts are worded is the command line's business.
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
from autotrain.search.budget import RemainingBudget, budget_left, seconds_spent
from autotrain.search.facts import summary
from autotrain.search.finalists import Winner
from autotrain.search.finals import finals_of, is_unfinished, winner_of
from autotrain.search.given import config_of
from autotrain.search.opening import seen_study
from autotrain.search.record import is_foreign, own_trials
from autotrain.search.settings import FILE, Definition, NotConnectedError, study_names
from autotrain.search.storage.lock import is_held
from autotrain.search.trial_store import best_trial
from autotrain.space.config import TrialConfig
from autotrain.space.search_space import SearchSpace

TOP = 10
BUNDLE = "best"
RUNNING, STOPPED, DONE, EMPTY = "running", "stopped", "done", "empty"
"""States of a study: a search works on it; it was broken off and may go on; it is at its end; no
trial yet."""


@dataclass(frozen=True)
class Entry:
    """A line of the leaderboard.

    Args:
        number: the trial's.
        value: its best validation score.
        words: its configuration in a few words.
        params: its parameters, Optuna's names.
        epochs: trained.
        seconds: it took.
    """

    number: int
    value: float
    words: str
    params: dict[str, Any]
    epochs: int | None
    seconds: float | None


@dataclass(frozen=True)
class StudyStatus:
    """How a study stands.

    Args:
        definition: what it is.
        folder: where it is.
        state: "running", "stopped", "done" or "empty".
        n_complete, n_pruned, n_failed, n_running, n_waiting: trials by state; those that were
            interrupted or never started are in none of them.
        added: numbers of the trials that others added through Optuna; nothing else counts them.
        causes: trials by what ended them, the commonest first; complete ones that just came to
            their end are left out.
        flags: numbers of the trials that have a flag, by flag, the commonest first.
        top: the best complete trials, the best first.
        winner: number of the trial whose model is handed over; None before there is one.
        finals: what the finals say of it; None when it is the best trial, without them.
        bundle: the folder of the exported model; None before there is one.
        exported: the model in that folder; None if it is missing or cannot be read.
        seconds: the study has run in all.
        left: of its budget.
        is_unfinished: whether a run was cut off before its winner was handed over, or no trial is
            left but repeats of the best are.
        lost: what is missing of its trials and how to continue; None where nothing is.
        updated: when its last trial ended, or it was made.
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
    left: RemainingBudget
    is_unfinished: bool
    lost: str | None
    updated: datetime

    @property
    def metric(self) -> Metric:
        """The metric by which trials are judged."""
        return metric_named(self.definition.metric)

    @property
    def n_trials(self) -> int:
        """Trials that have ended."""
        return self.n_complete + self.n_pruned + self.n_failed

    @property
    def best(self) -> Entry | None:
        """The best complete trial."""
        return self.top[0] if self.top else None

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON has words for."""
        definition = self.definition
        return {
            "study": definition.name,
            "state": self.state,
            "data": definition.source,
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
        """Return the score of the exported model and why it was chosen."""
        model = self.exported
        selection = None if model is None else selection_of(model)
        return {
            "validation_value": None if model is None else validation_score(model),
            "validation_error": None if model is None else validation_error(model),
            "selection": None if selection is None else selection.to_json(),
        }


class Unread(NamedTuple):
    """A study that was not read.

    Args:
        name: of its folder.
        reason: why, and what to do.
        state: "not readable" or "not opened".
    """

    name: str
    reason: str
    state: str = "not readable"


def read_status(folder: Path, storage: str | None = None, *, connects: bool = True) -> StudyStatus:
    """Look at a study.

    Args:
        folder: of the study.
        storage: its URL with the password, when the study is not kept in its folder.
        connects: see `seen_study`.
    Raises:
        StudyError: when there is no such study, or its trials are in another storage.
        StorageError: when its trials cannot be read; NotConnectedError when they are on a server
            and `connects` is False.
    """
    is_running = is_held(folder)
    with seen_study(folder, storage, connects=connects, stays_open=False) as seen:
        definition, user_attrs = seen.definition, seen.user_attrs
        trials = own_trials(seen.trials, user_attrs)
        added = tuple(trial.number for trial in seen.trials if is_foreign(trial, user_attrs))
    trial, winner = winner_of(trials, user_attrs, metric_named(definition.metric))
    left = budget_left(definition.n_trials, definition.timeout_s, trials, user_attrs)
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
        seconds=seconds_spent(trials, user_attrs),
        left=left,
        is_unfinished=unfinished,
        lost=seen.lost,
        updated=_updated(folder, trials),
    )


def summaries(studies: Path, storage: str | None = None) -> list[StudyStatus | Unread]:
    """Look at all studies of a folder, the latest first.

    Args:
        storage: URL of the one server that may be asked, for studies that are kept there.
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
            # A file that was changed by hand must not hide the other studies.
            reason = f"{studies / name}: {type(error).__name__}: {error}"
            unreadable.append(Unread(name, reason))
    found.sort(key=lambda status: status.updated, reverse=True)
    return [*found, *unreadable]


def latest_study(studies: Path) -> str | None:
    """Return the name of the study that was written to last."""
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
        # What a killed search left open runs no more; it is tried again.
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
    left: RemainingBudget,
) -> bool:
    finals = finals_of(
        trials,
        user_attrs,
        # Where trials are left, finals are not due.
        n_finalists=definition.finalists if left.is_nothing else 0,
        metric=metric_named(definition.metric),
        space=SearchSpace.from_dict(definition.space),
    )
    left_s = math.inf if left.timeout_s is None else left.timeout_s
    return is_unfinished(finals, user_attrs, left_s)


def _state(
    trials: Sequence[FrozenTrial], left: RemainingBudget, *, is_running: bool, is_unfinished: bool
) -> str:
    if is_running:
        return RUNNING
    if not any(trial.state.is_finished() for trial in trials):
        return EMPTY
    was_broken_off = any(
        trial.state == TrialState.RUNNING or cause_of(trial) == Cause.INTERRUPTED
        for trial in trials
    )
    goes_on = was_broken_off and not left.is_nothing
    return STOPPED if goes_on or is_unfinished else DONE


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
