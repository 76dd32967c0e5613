"""Options that several commands share.

The options for the settings of a study are made from `StudySettings`; `FORMS` has what click needs
in addition. This file imports nothing heavy, because `--help` must answer at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from autotrain.cli.parameters import (
    FILE,
    FOLDER,
    Duration,
    MetricName,
    NumberOrAuto,
    Settings,
    Word,
    Workers,
    complete_space,
    complete_study,
)
from autotrain.cli.reading import reading_asked
from autotrain.search.settings import AUTO, SETTINGS, StudySettings
from autotrain.validation import number_or_text

STORAGE_VARIABLE = "AUTOTRAIN_STORAGE"
FORMS: dict[str, dict[str, Any]] = {
    "name": {"metavar": "NAME"},
    "target": {"metavar": "COLUMN"},
    "space": {"metavar": "NAME|FILE", "shell_complete": complete_space},
    "metric": {"type": MetricName()},
    "weights": {"metavar": "COLUMN"},
    "class_weights": {"type": Word("class weights", ("balanced",))},
    "pruner_options": {"type": Settings(), "metavar": "NAME=NUMBER,…"},
    "validation": {"metavar": "auto|holdout|K-fold"},
    "test": {"type": FILE, "metavar": "FILE|FRACTION"},
    "finalists": {"type": click.IntRange(min=0), "metavar": "N"},
    "ensemble": {"type": NumberOrAuto(0, AUTO), "metavar": "N|auto"},
    "storage": {"metavar": "URL", "envvar": STORAGE_VARIABLE},
    "workers": {"type": Workers(), "metavar": "N|auto|ray|ray://…"},
    "worker_cpus": {"type": float, "metavar": "N"},
    "worker_gpus": {"type": float, "metavar": "N"},
    "device": {"type": Word("device", SETTINGS["device"].words, meant={"gpu": "cuda"})},
    "seed": {"type": click.IntRange(min=0), "metavar": "N"},
    "directory": {"type": FOLDER, "metavar": "DIR"},
}
MORE_HELP = {
    "space": " See `autotrain spaces list`.",
    "storage": " sqlite:///study.db, postgresql+psycopg://…, mysql+pymysql://…, journal+redis://… "
    f"Pass a URL with a password in the environment variable {STORAGE_VARIABLE}, because other "
    "users can see options.",
}
PARAMETERS = {"name": "study"}
"""The name of a setting's option, where it is another one."""
DEFAULTS = vars(StudySettings(name=None, data=None))

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]


def options(*decorators: Decorator[Any]) -> Decorator[Any]:
    """Return a decorator that adds several options, in this order in the help."""

    def add(command: Any) -> Any:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return add


def setting_option(name: str, *, resumed: bool = False, **form: Any) -> Decorator[Any]:
    """Return the decorator that adds the option of a setting.

    Args:
        resumed: the default is the value that an existing study has.
        form: arguments of `click.option` that differ from the usual ones.
    """
    entry, default = SETTINGS[name], DEFAULTS[name]
    text = entry.doc + MORE_HELP.get(name, "")
    if resumed:
        default = None
        text = re.sub(r" \[default: [^]]*\]", "", text) + " [default: the study's value]"
    elif default is not None and "[default" not in text:
        form = {"show_default": True} | form
    form = FORMS.get(name, {}) | form
    if entry.words:
        form = {"type": Word(name, entry.words)} | form
    option = f"--{PARAMETERS.get(name, name).replace('_', '-')}"
    form = {"default": default, "help": text} | form
    return click.option(option, **form)


def setting_options(*names: str, resumed: bool = False) -> Decorator[Any]:
    """Return the decorator that adds the options of several settings."""
    return options(*(setting_option(name, resumed=resumed) for name in names))


def study_arguments(ctx: click.Context, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a command as arguments of `Study`."""
    arguments = {name: given[name] for name in SETTINGS if name in given}
    folder = Path(given["directory"]) / (given["study"] or "")
    return arguments | {
        "name": given["study"],
        "reading": reading_asked(given),
        "test": number_or_text(given["test"]),
        "storage": storage_of(ctx, given["storage"], folder),
    }


def storage_of(ctx: click.Context, storage: str | None, folder: Path) -> str | None:
    """Return the storage URL for the study in a folder.

    A URL from the environment applies to new studies and to those whose trials it contains. For
    other studies it is ignored, so that it does not make them fail.
    """
    from autotrain.search.definition import FILE, Definition

    is_meant = ctx.get_parameter_source("storage") is not ParameterSource.ENVIRONMENT
    if storage is None or is_meant or not (folder / FILE).is_file():
        return storage
    return storage if Definition.read(folder).is_kept_in(storage, folder) else None


directory_option = setting_option("directory")
storage_option = setting_option("storage", resumed=True)
study_argument = click.argument("name", shell_complete=complete_study)
any_study_argument = click.argument("name", required=False, shell_complete=complete_study)
data_argument = click.argument("data", type=FILE)
trials_option = click.option(
    "--trials", type=click.IntRange(min=1), metavar="N", help="Number of trials to run."
)
timeout_option = click.option(
    "--timeout",
    type=Duration(),
    metavar="10m",
    help="Time limit from the start of the command: 10m, 90s, 1h30m or 600 (seconds).",
)
samples_option = click.option(
    "--samples",
    type=click.IntRange(min=1),
    metavar="N",
    default=100,
    show_default=True,
    help="Number of Monte-Carlo samples, each with its own dropout mask.",
)
masks_seed_option = click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    show_default=True,
    help="Seed of the dropout masks.",
)
sampling_options = options(
    samples_option,
    click.option(
        "--alpha",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        metavar="A",
        default=0.1,
        show_default=True,
        help="Error rate: intervals and sets contain the truth of about 1 − A of the rows.",
    ),
    click.option(
        "--per-class",
        is_flag=True,
        help="Give every class the same error rate in prediction sets.",
    ),
    masks_seed_option,
)
positive_option = click.option(
    "--positive",
    metavar="LABEL",
    help="Positive class of two [default: that of the model's threshold, otherwise the second "
    "label in sorted order].",
)
threshold_option = click.option(
    "--threshold",
    metavar="GOAL|P|none",
    help="Decision threshold for two classes: cost=FP:FN, precision=P or recall=R to choose it on "
    "the held-out rows of the model; a probability; or none [default: that of the model, if it "
    "has one].",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as one JSON object."
)
quiet_option = click.option("--quiet", is_flag=True, help="Suppress progress and notes.")
