"""`Definition`: the settings of a study as resolved for its data, and what identifies the data.

It is written to `study.toml` in the study's folder when the study is created, and read by `resume`.
Resuming with other data, another space or other settings raises a `StudyError`.
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, Self, get_args, get_origin, get_type_hints

import tomli_w

from autotrain.bundle.own_files import read_own, replace_own
from autotrain.data.dataset import Dataset
from autotrain.data.weights import class_weights_as_json
from autotrain.errors import AutotrainError, StorageError, StudyError, nearest, unknown
from autotrain.metrics import TASKS, Metric, metric_for
from autotrain.search.budget import Budget
from autotrain.search.settings import NAME, SETTINGS, STUDIES, OnResume, StudySettings, names_of
from autotrain.search.storage.storages import word_of
from autotrain.search.storage.urls import HIDDEN, absolute_url, hide_password
from autotrain.space.search_space import SearchSpace
from autotrain.validation import number_or_text, word_for

FILE = "study.toml"
LIBRARIES = ("autotrain", "numpy", "optuna", "pandas", "safetensors", "scikit-learn", "torch")
NOT_WRITTEN = "directory"


class NotConnectedError(StorageError):
    """The trials are on a server, to which autotrain did not connect."""


@dataclass(frozen=True, kw_only=True)
class Definition(StudySettings):
    """The definition of a study: its settings as words and numbers, and what identifies its data.

    Args:
        data, test: path or name of the table, as the user wrote it; or the fraction of test rows.
        space: the resolved search space, from `SearchSpace.to_dict`.
        pruner_options: settings of the pruner that differ from its defaults.
        reading: the user's settings for reading texts; see `data.reading.Reading.of`.
        storage: URL without its password; None for the journal in the folder. See also
            `storages.word_of`. The URL contains the password while the study is open.
        directory: the folder of all studies. It is not written, because the folder may move.
        fingerprint: fingerprint of the data; see `data/fingerprint.py`.
        split: numbers of rows of the split, and its seed.
        n_trials, timeout_s: the total budget; None for no limit.
        stored_as: name of the Optuna study if it differs from the folder's name, because the folder
            was renamed or copied.
        versions: versions of the libraries that created the study.

    For the other settings see `StudySettings`.
    """

    name: str
    data: str
    target: str
    space: dict[str, Any]
    metric: str
    class_weights: str | dict[str, float] | None = None
    reading: dict[str, Any] = field(default_factory=dict)
    pruner_options: dict[str, Any] = field(default_factory=dict)
    test: str | None = None
    storage: str | None = field(default=None, repr=False)
    directory: Path = field(default=STUDIES, compare=False)
    fingerprint: str
    split: dict[str, Any]
    n_trials: int | None = None
    timeout_s: float | None = None
    stored_as: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, settings: StudySettings, dataset: Dataset, space: SearchSpace, metric: Metric
    ) -> Self:
        """Return the definition of a new study with checked settings and loaded data."""
        given = {name: getattr(settings, name) for name in SETTINGS}
        # A study that started without calibration rows has other validation rows.
        calibration = {"calibration": dataset.n_calibration} if dataset.n_calibration else {}
        storage = settings.storage
        resolved = {
            "name": settings.name or "",
            "data": word_for(settings.data),
            "target": dataset.target,
            "task": dataset.task,
            "space": space.to_dict(),
            "metric": metric.name,
            "class_weights": class_weights_as_json(settings.class_weights),
            "reading": dict(settings.reading or {}),
            "test": None if settings.test is None else word_for(settings.test),
            "storage": storage if isinstance(storage, str | None) else word_of(storage),
            "fingerprint": dataset.fingerprint,
            "split": dataset.split | calibration,
            "versions": library_versions(),
        }
        return cls(**given | resolved)

    @property
    def optuna_name(self) -> str:
        """The name of the study in its storage."""
        return self.stored_as or self.name

    def arguments(self) -> dict[str, Any]:
        """Return the settings as arguments of `Study`."""
        given = {name: getattr(self, name) for name in SETTINGS}
        return given | {
            "space": SearchSpace.from_dict(self.space),
            "test": number_or_text(self.test),
        }

    def write(self, folder: Path) -> None:
        """Write `study.toml`, without passwords in the storage's URL.

        Raises:
            StorageError: when it cannot be written.
        """
        values = {k: v for k, v in asdict(self).items() if v is not None and k != NOT_WRITTEN}
        if self.optuna_name == self.name:
            del values["stored_as"]
        if self.storage is not None:
            values["storage"] = hide_password(self.storage)
        # In TOML, tables must come last.
        ordered = sorted(values.items(), key=lambda item: isinstance(item[1], dict))
        text = tomli_w.dumps(dict(ordered))
        try:
            # Without this file, nothing else of the study can be used.
            replace_own(folder / FILE, text.encode(), durable=True)
        except OSError as error:
            raise StorageError(
                f"{folder / FILE} must be a file that can be written, got: {error.strerror}. "
                "Change the permissions of the folder, or free space there."
            ) from error

    def write_changes(self, folder: Path, total: Budget | None = None) -> None:
        """Write the settings that may change on resume; the others stay as they were at first.

        Args:
            total: the new total budget; None for the previous one.
        """
        now = {name: getattr(self, name) for name in names_of(OnResume.KEPT)}
        begun = Definition.read(folder)
        replace(begun, **now).with_budget(begun.budget if total is None else total).write(folder)

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
            _check(values)
            known = {f.name for f in fields(cls)} - {NOT_WRITTEN}
            definition = cls(**{name: value for name, value in values.items() if name in known})
            name, stored_as = folder.absolute().name, definition.optuna_name
            definition = replace(
                definition,
                name=name,
                stored_as="" if stored_as == name else stored_as,
                directory=folder.absolute().parent,
            )
        # tomllib also raises ValueError for a number with too many digits.
        except (OSError, ValueError, TypeError, RecursionError, AutotrainError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise StudyError(
                f"{path} must be a definition written by this version of autotrain, got a file "
                f"with a mistake: {str(reason).rstrip('.')}. Restore the file, use the version "
                "that wrote it, or start a study with another name."
            ) from error
        return definition

    def differing(self, other: Definition) -> list[str]:
        """Return the names of the settings that make the trials of two studies incomparable."""
        # The fingerprint compares the content of the table, however its texts are read.
        kinds = (OnResume.REFUSED, OnResume.WIDENED)
        compared = [name for name, entry in SETTINGS.items() if entry.on_resume in kinds]
        compared.append("fingerprint")
        names = [name for name in compared if getattr(self, name) != getattr(other, name)]
        if self._split() != other._split():
            names.append("split")
        return [name for name in names if name != "reading"]

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
        shown = ", ".join(
            name.replace("fingerprint", "data")
            if name in ("fingerprint", "space", "split")
            else f"{name} ({getattr(self, name)!r}, now {getattr(other, name)!r})"
            for name in differing
        )
        raise StudyError(
            f"study {self.name!r} exists and can be resumed only with its original settings, but "
            f"its {shown} differ{'s' if len(differing) == 1 else ''}. "
            f"Choose another study name, or remove the folder {folder} to start again."
        )

    @property
    def budget(self) -> Budget:
        """The study's total budget."""
        return Budget(self.n_trials, self.timeout_s)

    def with_budget(self, budget: Budget) -> Definition:
        """Return the definition with another total budget."""
        return replace(self, n_trials=budget.n_trials, timeout_s=budget.timeout_s)


def _check(values: dict[str, Any]) -> None:
    """Check the types of the values in `study.toml`, and names that are looked up later.

    Raises:
        TypeError, ValueError, AutotrainError: when a value is wrong.
    """
    # Settings of a single run may be missing, so that a later version can add one.
    optional = {*names_of(OnResume.THIS_RUN), "stored_as"} - {"name"}
    for name, kind in get_type_hints(Definition).items():
        if name not in values and not _is_of_kind(None, kind) and name not in optional:
            raise ValueError(f"{name} is missing")
        if name in values and not _is_of_kind(values[name], kind):
            raise TypeError(f"{name} = {values[name]!r} has a wrong type")
    if not NAME.fullmatch(values["name"]):
        raise ValueError(f"name = {values['name']!r} is not a valid name of a study")
    if values["task"] not in TASKS:
        raise ValueError(unknown("task", values["task"], TASKS))
    metric_for(values["task"], values["metric"])


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


def library_versions() -> dict[str, str]:
    """Return the versions of Python and the installed libraries, without importing them."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # For example autotrain in a checkout that is not installed.
    return versions


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
