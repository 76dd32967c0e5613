"""The record of trials in a study's folder: a study that lost them is not silently restarted.

The folder contains `trials.json` with the identity of the Optuna study, its number of trials and
its number of finished trials. The numbers never decrease. The file is written after the trials are
on disk, so it never contains more than the storage has after a crash. If the storage has fewer
trials, or another study, then it was lost or replaced or is the wrong one, and `refuse_loss` raises
an error before anything is written.

A trial that this study trained has the identity in its user attribute `origin`. Trials that were
added through Optuna have none: see `own_trials`.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from autotrain.bundle.own_files import read_own, replace_own
from autotrain.errors import StudyError
from autotrain.search.attributes import CAUSE, IDENTITY, ORIGIN
from autotrain.search.checkpoints import FOLDER as CHECKPOINTS
from autotrain.vocabulary import count_text

FILE = "trials.json"
MODEL = "best"


@dataclass(frozen=True)
class Record:
    """The content of `trials.json`.

    Args:
        id: identity of the Optuna study.
        n_trials: trials that it had.
        n_ended: those of them that had ended.
    """

    id: str
    n_trials: int
    n_ended: int

    @classmethod
    def of(cls, identity: str, trials: Iterable[FrozenTrial]) -> Record:
        """Return the record of a study with these trials."""
        ended = [trial.state.is_finished() for trial in trials]
        return cls(identity, len(ended), sum(ended))

    @classmethod
    def read(cls, folder: Path) -> Record | None:
        """Return the record of a study's folder; None if it is missing or cannot be read."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            content = json.loads(read_own(folder / FILE))
            return cls(str(content["id"]), int(content["n_trials"]), int(content["n_ended"]))
        return None

    def write(self, folder: Path) -> None:
        """Write the record atomically.

        Raises: OSError when the system refuses.
        """
        replace_own(folder / FILE, json.dumps(asdict(self)).encode() + b"\n")


def new_identity(n_trials: int) -> dict[str, Any]:
    """Return the user attribute `IDENTITY` of an Optuna study that has none yet."""
    return {"id": uuid.uuid4().hex, "since": n_trials}


def origin(user_attrs: Mapping[str, Any], number: int) -> str | None:
    """Return the `ORIGIN` of a trial that a study ends; None before the study has an identity.

    Args:
        user_attrs: the study's.
    """
    identity = user_attrs.get(IDENTITY)
    return None if identity is None else f"{identity['id']}/{number}"


def own_trials(trials: Iterable[FrozenTrial], user_attrs: Mapping[str, Any]) -> list[FrozenTrial]:
    """Return the trials that are the study's own: all but those that others ended.

    A trial from `add_trial`, or from `ask` and `tell`, has a value and no model. Samplers learn
    from it; it does not win, and nothing of the budget is used.

    Args:
        user_attrs: the study's.
    """
    return [trial for trial in trials if not is_foreign(trial, user_attrs)]


def is_foreign(trial: FrozenTrial, user_attrs: Mapping[str, Any]) -> bool:
    """Whether a trial was finished by another program than this study."""
    if not trial.state.is_finished():
        return False
    identity = user_attrs.get(IDENTITY)
    if identity is None:
        return False  # Nothing is known of a study that this version has not opened yet.
    if trial.number < identity["since"]:
        return CAUSE not in trial.user_attrs
    return bool(trial.user_attrs.get(ORIGIN) != origin(user_attrs, trial.number))


def loss(folder: Path, where: str, found: Record | None) -> str | None:
    """Return a sentence on a study's lost trials and how to continue; None if none are lost.

    Args:
        folder: the study's folder.
        where: address of its storage, for the message.
        found: record of the trials in the storage; None if it does not contain the study.
    """
    known = Record.read(folder)
    if known is None:
        has_model = any((folder / name).is_dir() for name in (MODEL, CHECKPOINTS))
        if not has_model or (found is not None and found.n_trials):
            return None
        wanted = "the trials that its models come from"
    else:
        wanted = _counted(known)
    if found is None or not found.n_trials:
        if known is not None and not known.n_trials:
            return None
        return f"study {folder.name!r} must have {wanted} in {where}, got none. {_remedy(folder)}"
    assert known is not None
    if found.id and known.id and found.id != known.id:
        return (
            f"study {folder.name!r} must have {wanted} in {where}, got the trials of another "
            f"study with that name. {_remedy(folder)}"
        )
    if found.n_trials < known.n_trials or found.n_ended < known.n_ended:
        return (
            f"study {folder.name!r} must have {wanted} in {where}, got {_counted(found)}. "
            f"{_remedy(folder)} To continue with the trials that are left, delete "
            f"{folder / FILE}; the next run may then replace a better model."
        )
    return None


def refuse_loss(folder: Path, where: str, found: Record | None) -> None:
    """Check that no trials of a study are lost, before its best model is replaced.

    Raises:
        StudyError: when trials are missing. For the arguments see `loss`.
    """
    text = loss(folder, where, found)
    if text is not None:
        raise StudyError(text)


def _counted(record: Record) -> str:
    return f"{count_text(record.n_trials, 'trial')} ({record.n_ended:,} ended)"


def _remedy(folder: Path) -> str:
    return (
        "Restore the storage from a copy, pass the storage that contains them (--storage URL, in "
        "Python storage=...), or choose another study name. To start again with this name, remove "
        f"the folder {folder}."
    )
