"""`StudySettings`: the settings of a study, with their defaults, checks and documentation.

`Study`, the options of the command line, study files and the estimators read this table. To add a
setting, add a field here and an argument of `Study.__init__`, and use it. The tests compare the
two. This file imports nothing heavy, because `--help` must answer at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Self, get_type_hints

from autotrain.errors import StudyError, unknown
from autotrain.metrics import TASKS
from autotrain.validation import check_count, check_share, read_workers
from autotrain.vocabulary import shown_path

AUTO = "auto"
STUDIES = Path("studies")
# The tables are in `search/` and import Optuna. A test compares the names.
SAMPLERS = ("tpe", "gp", "cmaes", "random", "qmc")
PRUNERS = ("performance", "asha", "median", "none")
DEVICES = (AUTO, "cpu", "cuda")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def directory_words(folder: Path) -> str:
    """Return the option `--directory` that commands need for the study in a folder, if any."""
    studies = shown_path(folder.parent)
    return "" if studies == str(STUDIES) else f" --directory {studies}"


class OnResume(Enum):
    """The meaning of another value of a setting when a study is resumed."""

    REFUSED = "another study: its trials cannot be compared"
    KEPT = "the study's value from now on; None for the previous value"
    WIDENED = "a space that contains all trials of the study, from now on"
    THIS_RUN = "a value for this run only; None for the study's value"


def check_name(name: str | None) -> str | None:
    """Return a study's name if it is a valid folder name on all systems, or None.

    Raises:
        StudyError: when it is not.
    """
    if name is not None and (not NAME.fullmatch(name) or name.endswith(".toml")):
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


@dataclass(frozen=True)
class Setting:
    """The entry of a setting.

    Args:
        doc: one line for the help of the command line and the docstring of `Study`.
        on_resume: see `OnResume`.
        words: the permitted words; () when there are other values.
        check: value → the value to use, or an error; None for the check of the words.
    """

    doc: str
    on_resume: OnResume = OnResume.REFUSED
    words: tuple[str, ...] = ()
    check: Callable[[Any], Any] | None = None

    def checked(self, name: str, value: Any) -> Any:
        """Return the value as it is used.

        Raises:
            StudyError: when it is invalid.
        """
        if self.check is not None:
            return self.check(value)
        if self.words and value not in self.words:
            raise StudyError(unknown(name, value, self.words), parameter=name)
        return value


@dataclass(frozen=True)
class StudySettings:
    """The settings of a study as the user gave them; `Study` documents their types."""

    name: Annotated[
        str | None,
        Setting(
            "Name of the study and of its folder [default: derived from the data].",
            OnResume.THIS_RUN,
            check=check_name,
        ),
    ]
    data: Annotated[Any, Setting("Table to learn from.", OnResume.KEPT)]
    target: Annotated[str | None, Setting("Column to predict.")] = None
    task: Annotated[
        str, Setting("Kind of target; auto decides from its values.", words=(AUTO, *TASKS))
    ] = AUTO
    space: Annotated[
        Any, Setting("Search space: a shipped name or a TOML file.", OnResume.WIDENED)
    ] = "default"
    metric: Annotated[
        str | None,
        Setting(
            "Metric to optimize [default: log_loss; rmse for regression]. pinball:0.9 predicts the "
            "0.9 quantile."
        ),
    ] = None
    weights: Annotated[
        str | None,
        Setting("Column with sample weights, used for training and scoring, not as a feature."),
    ] = None
    class_weights: Annotated[
        Any,
        Setting("Class weights for training; balanced gives every class the same total weight."),
    ] = None
    reading: Annotated[Mapping[str, Any] | None, Setting("How to read the texts of the table.")] = (
        None
    )
    sampler: Annotated[str, Setting("Sampling strategy.", words=SAMPLERS)] = "tpe"
    pruner: Annotated[str, Setting("Pruning strategy.", words=PRUNERS)] = "performance"
    pruner_options: Annotated[
        Mapping[str, float] | None,
        Setting("Settings of the pruner, such as quantile=0.4,n_startup=8."),
    ] = None
    validation: Annotated[
        str,
        Setting("Validation split that trials are compared on: a holdout, or K folds (5-fold)."),
    ] = AUTO
    test: Annotated[
        Any,
        Setting(
            "Held-out test set, scored once at the end: a file or a fraction [default: the data's "
            "own test split; else 0.2].",
            OnResume.KEPT,
        ),
    ] = None
    finalists: Annotated[
        int,
        Setting(
            "Number of best trials to retrain with other seeds; the best mean wins. 0: the trial "
            "with the best value wins.",
            OnResume.KEPT,
            check=partial(check_count, "finalists"),
        ),
    ] = 4
    ensemble: Annotated[
        int | str,
        Setting(
            "Largest number of trainings in the exported ensemble; 0: the winner alone; auto: up "
            "to 4 with at most 2,500 validation rows. Prediction takes up to N times as long.",
            OnResume.KEPT,
            check=check_ensemble,
        ),
    ] = AUTO
    storage: Annotated[
        Any,
        Setting("Storage of the trials [default: a journal in the study's folder].", OnResume.KEPT),
    ] = None
    workers: Annotated[
        int | str,
        Setting(
            "Number of worker processes [default: one per core or GPU], or a Ray cluster: ray or "
            "ray://HOST:PORT.",
            OnResume.THIS_RUN,
            check=read_workers,
        ),
    ] = 0
    worker_cpus: Annotated[
        float,
        Setting(
            "CPUs of each worker on a Ray cluster; may be a fraction.",
            OnResume.THIS_RUN,
            check=partial(check_share, "worker_cpus"),
        ),
    ] = 1.0
    worker_gpus: Annotated[
        float,
        Setting(
            "GPUs of each worker on a Ray cluster; may be a fraction. With 0 it trains on the CPU.",
            OnResume.THIS_RUN,
            check=partial(check_share, "worker_gpus", may_be_zero=True),
        ),
    ] = 0.0
    # `device.find_device` checks the device with torch.
    device: Annotated[
        str, Setting("Device for training.", OnResume.THIS_RUN, words=DEVICES, check=str)
    ] = AUTO
    seed: Annotated[
        int,
        Setting(
            "Random seed of splits, sampling and training.", check=partial(check_count, "seed")
        ),
    ] = 0
    directory: Annotated[
        str | Path, Setting("Folder that contains the studies.", OnResume.THIS_RUN)
    ] = STUDIES

    def checked(self) -> Self:
        """Return the settings as they are used; what needs the data is checked later.

        Raises:
            StudyError: when a value is invalid.
        """
        values = {
            name: entry.checked(name, getattr(self, name)) for name, entry in SETTINGS.items()
        }
        return replace(self, **values)


SETTINGS: dict[str, Setting] = {
    name: hint.__metadata__[0]
    for name, hint in get_type_hints(StudySettings, include_extras=True).items()
}
"""The entry of each setting by name."""


def names_of(on_resume: OnResume) -> tuple[str, ...]:
    """Return the names of the settings with a meaning on resume."""
    return tuple(name for name, entry in SETTINGS.items() if entry.on_resume is on_resume)
