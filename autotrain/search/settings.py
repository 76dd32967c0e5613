"""`Definition`: the settings of a study, which must stay the same so that trials are comparable.

They are written to `study.toml` in the study's folder when the study is created, and read by
`resume`. Resuming with other data, another space or other settings raises a `StudyError`.
"""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import tomli_w

from autotrain.bundle.own_files import read_own, replace_own
from autotrain.errors import AutotrainError, StorageError, StudyError, nearest, unknown
from autotrain.metrics import TASKS, metric_for
from autotrain.search.storage.urls import HIDDEN, absolute_url, hide_password
from autotrain.validation import check_count

FILE = "study.toml"
STUDIES = Path("studies")
AUTO = "auto"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
VERSIONED = ("autotrain", "torch", "optuna", "scikit-learn", "numpy", "pandas")
# Settings that may change when a study is resumed: duration, location and choice of the winner, but
# nothing that affects a trial.
CHANGEABLE = ("n_trials", "timeout_s", "finalists", "ensemble", "storage", "workers", "device")


class NotConnectedError(StorageError):
    """The trials are on a server, to which autotrain did not connect."""


@dataclass(frozen=True)
class Definition:
    """The definition of a study.

    Args:
        name: name of the study and of its folder.
        source: path or name of the data, as the user wrote it.
        target, task, metric: the learning problem.
        weights: column with sample weights; None when all are equal.
        class_weights: "balanced" or class weights by label; None when all are equal.
        reading: the user's settings for reading texts; see `data.reading.Reading.of`.
        fingerprint: fingerprint of the data; see `data/fingerprint.py`.
        split: numbers of rows of the split, and its seed.
        test, validation: the user's settings.
        space: the resolved search space, from `SearchSpace.to_dict`.
        seed: random seed.
        sampler, pruner: names.
        pruner_options: settings of the pruner that differ from its defaults.
        finalists: number of trials that are retrained to choose the winner.
        ensemble: largest number of members of an ensemble; below 2 for the winner alone. "auto"
            depends on the number of validation rows.
        n_trials, timeout_s: the total budget; None for no limit.
        storage: URL without its password; None for the journal in the folder. See also
            `storage.open.word_of`.
        stored_as: name of the Optuna study if it differs from the folder's name, because the folder
            was renamed or copied.
        workers: number of processes; 0 for one per core.
        device: "auto", "cpu" or "cuda".
        versions: versions of the libraries that created the study.
    """

    name: str
    source: str
    target: str
    task: str
    metric: str
    fingerprint: str
    split: dict[str, Any]
    test: str
    validation: str
    space: dict[str, Any]
    seed: int
    sampler: str
    pruner: str
    pruner_options: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None
    class_weights: str | dict[str, float] | None = None
    reading: dict[str, Any] = field(default_factory=dict)
    finalists: int = 0
    ensemble: int | str = 0
    n_trials: int | None = None
    timeout_s: float | None = None
    # The URL contains the password while the study is open.
    storage: str | None = field(default=None, repr=False)
    stored_as: str = ""
    workers: int = 0
    device: str = "auto"
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def optuna_name(self) -> str:
        """The name of the study in its storage."""
        return self.stored_as or self.name

    def write(self, folder: Path) -> None:
        """Write `study.toml`, without passwords in the storage's URL.

        Raises:
            StorageError: when it cannot be written.
        """
        values = {k: v for k, v in asdict(self).items() if v is not None}
        if self.optuna_name == self.name:
            del values["stored_as"]
        if self.storage is not None:
            values["storage"] = hide_password(self.storage)
        # In TOML, tables must come last.
        ordered = sorted(values.items(), key=lambda item: isinstance(item[1], dict))
        text = tomli_w.dumps(dict(ordered))
        try:
            replace_own(folder / FILE, text.encode())
        except OSError as error:
            raise StorageError(
                f"{folder / FILE} must be a file that can be written, got: {error.strerror}. "
                "Change the permissions of the folder, or free space there."
            ) from error

    @classmethod
    def read(cls, folder: Path) -> Definition:
        """Read the definition in a study's folder; the folder's name is the study's name.

        Raises:
            StudyError: when the study does not exist, or its file cannot be read.
        """
        path = folder / FILE
        if not path.is_file():
            raise StudyError(_no_study(folder))
        try:
            values = tomllib.loads(read_own(path).decode())
            known = {f.name for f in fields(cls)}
            definition = cls(**{name: value for name, value in values.items() if name in known})
            definition._check()
            name, stored_as = folder.absolute().name, definition.optuna_name
            definition = replace(
                definition, name=name, stored_as="" if stored_as == name else stored_as
            )
        # tomllib also raises ValueError for a number with too many digits.
        except (OSError, ValueError, TypeError, RecursionError, AutotrainError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise StudyError(
                f"{path} must be a definition written by autotrain, got a file with a mistake: "
                f"{str(reason).rstrip('.')}. Restore the file, or start a study with another name."
            ) from error
        return definition

    def _check(self) -> None:
        """Check the types of the values, and names that are looked up later.

        Raises:
            TypeError, ValueError, AutotrainError: when a value is wrong.
        """
        for name, kind in get_type_hints(type(self)).items():
            if not _is_of_kind(getattr(self, name), kind):
                raise TypeError(f"{name} = {getattr(self, name)!r} has a wrong type")
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name = {self.name!r} is not a valid name of a study")
        if self.task not in TASKS:
            raise ValueError(unknown("task", self.task, TASKS))
        metric_for(self.task, self.metric)

    def differing(self, other: Definition) -> list[str]:
        """Return the names of the settings that make the trials of two studies incomparable."""
        # The paths of the tables may differ, because the fingerprint covers their content.
        skipped = {*CHANGEABLE, "stored_as", "versions", "source", "test", "reading"}
        own, others = (
            {
                f.name: getattr(study, f.name) if f.name != "split" else study._split()
                for f in fields(study)
                if f.name not in skipped
            }
            for study in (self, other)
        )
        return [name for name, value in own.items() if value != others[name]]

    def _split(self) -> dict[str, Any]:
        """Return `split` without the path of the test table."""
        test = self.split.get("test")
        return {**self.split, "test": "a table" if isinstance(test, str) else test}

    def with_free_name(self, wanted: str, studies: Path) -> Definition:
        """Return the definition with a free name, or the name of an identical study.

        Args:
            wanted: base of the name; "-2", "-3", … are appended when it is taken.
            studies: the folder of all studies.
        """
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted.removesuffix(".toml")).strip("._-")[:90]
        number = 1
        while True:
            name = (stem or "study") + (f"-{number}" if number > 1 else "")
            named = replace(self, name=name)
            folder = studies / name
            if not (folder / FILE).is_file():
                return named
            begun = Definition.read(folder)
            if not begun.differing(named) and begun.is_kept_in(named.storage, folder):
                return named
            number += 1

    def is_kept_in(self, storage: str | None, folder: Path) -> bool:
        """Whether a URL, with or without its password, is the storage of this study.

        Args:
            storage: the URL; the result for None is True.
            folder: the study's folder.
        """
        if storage is None:
            return True
        own = self.storage or ""
        return _without_password(storage, folder) == _without_password(own, folder)

    def check_same(self, other: Definition, folder: Path) -> None:
        """Check that another definition has comparable trials, so that the study can be resumed.

        Raises:
            StudyError: when it has not; it lists the settings that differ.
        """
        differing = self.differing(other)
        if not differing:
            return
        words = {"fingerprint": "data"}
        shown = ", ".join(
            words.get(name, name)
            if name in ("fingerprint", "space", "split")
            else f"{name} ({getattr(self, name)!r}, now {getattr(other, name)!r})"
            for name in differing
        )
        raise StudyError(
            f"study {self.name!r} exists and can be resumed only with its original settings, but "
            f"its {shown} differ{'s' if len(differing) == 1 else ''}. "
            f"Choose another study name, or remove the folder {folder} to start again."
        )

    def with_budget(self, n_trials: int | None, timeout_s: float | None) -> Definition:
        """Return the definition with another budget."""
        return replace(self, n_trials=n_trials, timeout_s=timeout_s)


def _is_of_kind(value: Any, kind: Any) -> bool:
    """Whether a value from TOML has the type of an annotation."""
    if isinstance(kind, UnionType):
        return any(_is_of_kind(value, each) for each in get_args(kind))
    if get_origin(kind) is dict:
        return isinstance(value, dict) and all(
            get_args(kind)[1] is Any or _is_of_kind(each, get_args(kind)[1])
            for each in value.values()
        )
    # True is an int in Python, and 60 is a valid number of seconds.
    return type(value) is kind or (kind is float and type(value) is int)


def _without_password(url: str, folder: Path) -> str:
    return hide_password(absolute_url(url, folder)).replace(f":{HIDDEN}@", "@")


def check_name(name: str) -> str:
    """Return a study's name if it is a valid folder name on all systems.

    Raises:
        StudyError: when it is not.
    """
    if not _NAME.fullmatch(name) or name.endswith(".toml"):
        raise StudyError(
            "name must consist of letters, digits, '.', '_' and '-' (at most 100, the first a "
            f"letter or digit, not ending in .toml), got {name!r}.",
            parameter="name",
        )
    return name


def check_ensemble(ensemble: Any) -> int | str:
    """Return the largest number of members of an ensemble, or "auto".

    Raises:
        StudyError: when it is neither.
    """
    if ensemble == AUTO:
        return AUTO
    if isinstance(ensemble, str):
        raise StudyError(
            f"ensemble must be a non-negative integer or {AUTO!r}, got {ensemble!r}. "
            "Use 0 to export only the winner.",
            parameter="ensemble",
        )
    return check_count("ensemble", ensemble)


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that influence a study's results."""
    return {name: importlib.metadata.version(name) for name in VERSIONED}


def study_names(studies: Path = STUDIES) -> list[str]:
    """Return the names of all studies in a folder."""
    return sorted(path.parent.name for path in studies.glob(f"*/{FILE}"))


def _no_study(folder: Path) -> str:
    names = study_names(folder.parent)
    near = nearest(folder.name, names)
    hint = f" Did you mean {near!r}?" if near else ""
    known = f" Known: {', '.join(names)}." if names else " There are no studies here yet."
    return (
        f"there must be a study {folder.name!r} in {folder.parent}/, but {folder / FILE} "
        f"does not exist.{hint}{known}"
    )
