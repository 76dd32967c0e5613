"""What a study is: everything that must stay the same for its trials to be comparable.

Written as `study.toml` into the study's folder when it is created, read again by `resume`. A study
whose data or space differ from what is asked for is another study, and said to be.
"""

from __future__ import annotations

import importlib.metadata
import numbers
import re
import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import tomli_w

from autotrain.errors import AutotrainError, StorageError, StudyError, nearest, unknown
from autotrain.own_files import read_own, replace_own
from autotrain.study.storage_urls import HIDDEN, absolute_url, hide_password
from autotrain.tasks import TASKS, metric_for

FILE = "study.toml"
STUDIES = Path("studies")
AUTO = "auto"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
VERSIONED = ("autotrain", "torch", "optuna", "scikit-learn", "numpy", "pandas")
# What may be changed when a study goes on: how long, where, how the winner is chosen; never what a
# trial is.
CHANGEABLE = ("n_trials", "timeout_s", "finalists", "ensemble", "storage", "workers", "device")


class NotConnectedError(StorageError):
    """The trials are on a server, to which autotrain did not connect."""


@dataclass(frozen=True)
class Definition:
    """The definition of a study.

    Args:
        name: the folder's name.
        source: where the data came from, as the user named it.
        target, task, metric: what is learned and how it is judged.
        weights: the column of the rows' weights; None when all count alike.
        class_weights: "balanced", or the classes' weights by label; None when all count alike.
        reading: how the table's texts are read, as the user asked; see `data.reading.Reading.of`.
        fingerprint: of the data, see `data/fingerprint.py`.
        split: how rows were split, with the seed.
        test, validation: as the user asked.
        space: the search space, resolved, as `SearchSpace.to_dict`.
        seed: everything random follows from it.
        sampler, pruner: names.
        pruner_options: settings of the pruner that differ from its defaults.
        finalists: trials that are trained again to choose the winner among them.
        ensemble: trainings that are exported together, at most; below 2 the winner alone; "auto":
            as the number of validation rows suggests.
        n_trials, timeout_s: the budget; None for no limit.
        storage: URL without password, None for the journal in the folder; see also
            `storage.word_of`.
        stored_as: name of the Optuna study, where it is not the folder's: the folder was renamed
            or copied.
        workers: processes; 0 for one per core.
        device: "auto", "cpu" or "cuda".
        versions: of the libraries that created the study.
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
    # It may hold a password while the study is open.
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
        """Write `study.toml`; passwords in the storage's URL are left out.

        Raises: StorageError when it cannot be written.
        """
        values = {k: v for k, v in asdict(self).items() if v is not None}
        if self.optuna_name == self.name:
            del values["stored_as"]
        if self.storage is not None:
            values["storage"] = hide_password(self.storage)
        # Tables stand last in TOML.
        ordered = sorted(values.items(), key=lambda item: isinstance(item[1], dict))
        text = tomli_w.dumps(dict(ordered))
        try:
            replace_own(folder / FILE, text.encode())
        except OSError as error:
            raise StorageError(
                f"{folder / FILE} must be a file that can be written, got: {error.strerror}. "
                "Change the permissions of the folder, or make room there."
            ) from error

    @classmethod
    def read(cls, folder: Path) -> Definition:
        """Read a study's folder, whose name is the study's.

        Raises:
            StudyError: when there is no study of that name, or its file cannot be read.
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
        # tomllib raises ValueError for a number of too many digits, too.
        except (OSError, ValueError, TypeError, RecursionError, AutotrainError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise StudyError(
                f"{path}: must be the definition that autotrain wrote, however: "
                f"{str(reason).rstrip('.')}. Restore the file, or start a study of another name."
            ) from error
        return definition

    def _check(self) -> None:
        """Check what a file says: the kind of each value, and words that are looked up later.

        Raises: TypeError, ValueError or AutotrainError.
        """
        for name, kind in get_type_hints(type(self)).items():
            if not _is_of_kind(getattr(self, name), kind):
                raise TypeError(f"{name} = {getattr(self, name)!r} is of a wrong kind")
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name = {self.name!r} is no name of a study")
        if self.task not in TASKS:
            raise ValueError(unknown("task", self.task, TASKS))
        metric_for(self.task, self.metric)

    def differing(self, other: Definition) -> list[str]:
        """Return the names of what makes two studies' trials incomparable."""
        # Tables may have moved: whether they, and their reading, are the same the fingerprint says.
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
        """Return how rows were split; of a table of test rows not where it is."""
        test = self.split.get("test")
        return {**self.split, "test": "a table" if isinstance(test, str) else test}

    def with_free_name(self, wanted: str, studies: Path) -> Definition:
        """Return the definition under a name that is free, or that of the very same study.

        Args:
            wanted: what the name is made from; "-2", "-3", … follow when others have it.
            studies: where the studies are kept.
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
        """Return whether a URL, with or without its password, is that of this study.

        Args:
            storage: None always is.
            folder: the study's.
        """
        if storage is None:
            return True
        own = self.storage or ""
        return _without_password(storage, folder) == _without_password(own, folder)

    def check_same(self, other: Definition, folder: Path) -> None:
        """Refuse to go on under this name with anything that makes trials incomparable.

        Raises:
            StudyError: naming everything that differs.
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
            f"study {self.name!r} exists and can only go on with what it was started with, "
            f"however: its {shown} differ{'s' if len(differing) == 1 else ''}. "
            f"Choose another --study name, or remove the folder {folder} to start anew."
        )

    def with_budget(self, n_trials: int | None, timeout_s: float | None) -> Definition:
        """Return the definition with another budget."""
        return replace(self, n_trials=n_trials, timeout_s=timeout_s)


def _is_of_kind(value: Any, kind: Any) -> bool:
    """Whether a value read from TOML is of the kind that an annotation names."""
    if isinstance(kind, UnionType):
        return any(_is_of_kind(value, each) for each in get_args(kind))
    if get_origin(kind) is dict:
        return isinstance(value, dict) and all(
            get_args(kind)[1] is Any or _is_of_kind(each, get_args(kind)[1])
            for each in value.values()
        )
    # True is an int for Python, and 60 a fine number of seconds.
    return type(value) is kind or (kind is float and type(value) is int)


def _without_password(url: str, folder: Path) -> str:
    return hide_password(absolute_url(url, folder)).replace(f":{HIDDEN}@", "@")


def check_name(name: str) -> str:
    """Return a study's name if it can be a folder's name everywhere.

    Raises:
        StudyError: when it cannot.
    """
    if not _NAME.fullmatch(name) or name.endswith(".toml"):
        raise StudyError(
            "--study must be letters, digits, '.', '_' and '-' (at most 100, the first a letter "
            f"or digit, not ending in .toml), however: {name!r}."
        )
    return name


def check_count(name: str, count: Any) -> int:
    """Return a whole number of at least 0.

    Raises:
        StudyError: when it is not.
    """
    if isinstance(count, bool) or not isinstance(count, numbers.Integral) or count < 0:
        raise StudyError(f"--{name} must be a whole number of at least 0, however: {count!r}.")
    return int(count)


def check_ensemble(ensemble: Any) -> int | str:
    """Return a number of trainings, or "auto".

    Raises:
        StudyError: when it is neither.
    """
    if ensemble == AUTO:
        return AUTO
    if isinstance(ensemble, str):
        raise StudyError(
            f"--ensemble must be a whole number of at least 0 or {AUTO!r}, got {ensemble!r}. "
            "Give 0 to export one model alone."
        )
    return check_count("ensemble", ensemble)


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that decide what a study computes."""
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
        f"there must be a study {folder.name!r} in {folder.parent}/, however: {folder / FILE} "
        f"is not there.{hint}{known}"
    )
