"""Types of option values, and the options that several commands share.

Each type has its own error message, metavar and shell completion. This file imports nothing heavy,
because `--help` must answer at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from autotrain.errors import unknown
from autotrain.metrics import METRICS, TASKS
from autotrain.space.shipped import shipped_spaces
from autotrain.vocabulary import parse_duration

STUDIES = Path("studies")
STORAGE_VARIABLE = "AUTOTRAIN_STORAGE"
# Copies of the names in `search/`, which cannot be imported without Optuna. A test compares them.
SAMPLERS = ("tpe", "gp", "cmaes", "random", "qmc")
PRUNERS = ("performance", "asha", "median", "none")
DEVICES = ("auto", "cpu", "cuda")

Command = TypeVar("Command", bound=Callable[..., Any])


class Word(click.ParamType):
    """One of a few words; for any other word the nearest one is suggested.

    Args:
        meant: common other words, each with the word to suggest for it.
    """

    def __init__(
        self, name: str, words: Sequence[str], meant: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.words = tuple(words)
        self.meant = meant or {}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word."""
        if value not in self.words:
            if value in self.meant:
                near, listed = self.meant[value], f"Known: {', '.join(self.words)}."
                self.fail(f"no {self.name} {value!r}. Did you mean {near!r}? {listed}", param, ctx)
            self.fail(unknown(self.name, value, self.words), param, ctx)
        return str(value)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return the words, for the help."""
        return "|".join(self.words)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the words."""
        return _completions(self.words, incomplete)


class MetricName(Word):
    """A metric; a quantile may follow a colon and is checked once the task is known."""

    def __init__(self) -> None:
        super().__init__("metric", tuple(METRICS))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name unchanged."""
        row, _, _ = str(value).partition(":")
        super().convert(row, param, ctx)
        return str(value)


class Count(click.ParamType):
    """An integer with a lower bound."""

    name = "number"

    def __init__(self, least: int) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number."""
        try:
            number = int(str(value).replace("_", ""))
        except ValueError:
            number = None
        if number is None or number < self.least:
            self.fail(f"must be an integer of at least {self.least}, got {value}.", param, ctx)
        return number

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return N, for the help."""
        return "N"


class Fraction(click.ParamType):
    """A number greater than 0 and less than 1."""

    name = "fraction"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number."""
        try:
            fraction = float(value)
        except ValueError:
            fraction = math.nan
        if not 0 < fraction < 1:
            self.fail(f"must be a number greater than 0 and less than 1, got {value}.", param, ctx)
        return fraction

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return A, for the help."""
        return "A"


class PositiveNumber(click.ParamType):
    """A finite number greater than 0."""

    name = "positive number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 < number < math.inf:
            self.fail(f"must be a finite number greater than 0, got {value}.", param, ctx)
        return number

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return X, for the help."""
        return "X"


class Duration(click.ParamType):
    """A positive duration: 10m, 90s, 1h30m or 600 (seconds)."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds."""
        seconds = parse_duration(str(value))
        if seconds is None:
            self.fail(
                f"must be a duration such as 10m, 90s, 1h30m or 600 (seconds), got {value}.",
                param,
                ctx,
            )
        if not seconds > 0:
            self.fail(
                f"must be more than 0 seconds, got {value}. Leave out the option for no limit.",
                param,
                ctx,
            )
        return seconds

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return an example, for the help."""
        return "10m"


class Members(click.ParamType):
    """A number of ensemble members, or "auto"."""

    name = "members"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        """Return the number, or "auto"."""
        if str(value) == "auto":
            return "auto"
        if not str(value).isdigit():
            self.fail(
                f"must be auto or an integer of at least 0, got {value}. 0 exports the winner "
                "alone.",
                param,
                ctx,
            )
        return int(value)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show the values in the help."""
        return "N|auto"


class Workers(click.ParamType):
    """A number of worker processes, or "auto"."""

    name = "workers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number, 0 for "auto"."""
        text = str(value)
        if text == "auto":
            return 0
        if text.startswith("ray:"):
            self.fail(
                f"must be auto or a number of processes on this machine, got {text}. Ray clusters "
                "are not supported.",
                param,
                ctx,
            )
        if not text.isdigit() or int(text) < 1:
            self.fail(f"must be auto or an integer of at least 1, got {text}.", param, ctx)
        return int(text)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show the values in the help."""
        return "N|auto"


class Settings(click.ParamType):
    """Settings as NAME=NUMBER pairs; the receiver checks the names and ranges."""

    name = "settings"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, int | float]:
        """Return the numbers by name."""
        settings: dict[str, int | float] = {}
        for pair in str(value).split(","):
            name, _, text = (part.strip() for part in pair.partition("="))
            number = _number_of(text)
            if not name or number is None:
                self.fail(
                    "must be NAME=NUMBER pairs separated by commas, such as "
                    f"quantile=0.4,n_startup=8, got {value!r}.",
                    param,
                    ctx,
                )
            if name in settings:
                self.fail(f"must name each setting once, got {name!r} twice.", param, ctx)
            settings[name] = number
        return settings

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return the format, for the help."""
        return "NAME=NUMBER,…"


def _number_of(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


class SpaceName(click.ParamType):
    """A shipped search space or a TOML file; it is read and checked later."""

    name = "space"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the shipped spaces, then files."""
        offered = _completions(shipped_spaces(), incomplete)
        return offered or [CompletionItem(incomplete, type="file")]

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return the two forms, for the help."""
        return "NAME|FILE"


class StudyName(click.ParamType):
    """The name of an existing study; it is looked up later."""

    name = "study"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the studies in the folder."""
        studies = Path(ctx.params.get("directory") or STUDIES)
        names = sorted(path.parent.name for path in studies.glob("*/study.toml"))
        return _completions(names, incomplete)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return NAME, for the help."""
        return "NAME" if param.required else "[NAME]"


class FileName(click.ParamType):
    """A path; it completes to files or folders."""

    name = "path"

    def __init__(self, metavar: str, kind: str = "file") -> None:
        self.metavar = metavar
        self.kind = kind

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return the metavar, for the help."""
        return self.metavar

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete files or folders."""
        return [CompletionItem(incomplete, type=self.kind)]


def _completions(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def target_option(command: Command) -> Command:
    """Add --target."""
    return click.option("--target", metavar="COLUMN", help="Column to predict.")(command)


def study_option(command: Command) -> Command:
    """Add --study."""
    return click.option(
        "--study", metavar="NAME", help="Name of the study [default: derived from DATA]."
    )(command)


def metric_option(command: Command) -> Command:
    """Add --metric."""
    return click.option(
        "--metric",
        type=MetricName(),
        help="Metric to optimize [default: log_loss; rmse for regression]. pinball:0.9 predicts "
        "the 0.9 quantile.",
    )(command)


def weights_option(command: Command) -> Command:
    """Add --weights."""
    return click.option(
        "--weights",
        metavar="COLUMN",
        help="Column with sample weights, used for training and scoring, not as a feature.",
    )(command)


def class_weights_option(command: Command) -> Command:
    """Add --class-weights."""
    return click.option(
        "--class-weights",
        type=Word("class weights", ("balanced",)),
        help="Class weights for training; balanced gives every class the same total weight.",
    )(command)


def task_option(command: Command) -> Command:
    """Add --task."""
    return click.option(
        "--task",
        type=Word("task", ("auto", *TASKS)),
        default="auto",
        show_default=True,
        help="Kind of target; auto decides from its values.",
    )(command)


def validation_option(command: Command) -> Command:
    """Add --validation."""
    return click.option(
        "--validation",
        metavar="auto|holdout|K-fold",
        default="auto",
        show_default=True,
        help="Validation split that trials are compared on: a holdout, or K folds (5-fold).",
    )(command)


def test_option(command: Command) -> Command:
    """Add --test."""
    return click.option(
        "--test",
        type=FileName("FILE|FRACTION"),
        help="Held-out test set, scored once at the end: a file or a fraction [default: the data's "
        "own test split; else 0.2].",
    )(command)


def seed_option(command: Command) -> Command:
    """Add --seed."""
    return click.option(
        "--seed",
        type=Count(0),
        default=0,
        show_default=True,
        help="Seed of everything random.",
    )(command)


def directory_option(command: Command) -> Command:
    """Add --directory."""
    return click.option(
        "--directory",
        type=FileName("DIR", "dir"),
        default=str(STUDIES),
        show_default=True,
        help="Folder that contains the studies.",
    )(command)


def storage_option(command: Command) -> Command:
    """Add --storage."""
    return click.option(
        "--storage",
        metavar="URL",
        envvar=STORAGE_VARIABLE,
        help="Storage of the trials [default: a journal in the study's folder]: "
        "sqlite:///study.db, postgresql+psycopg://…, mysql+pymysql://…, journal+redis://… Pass a "
        f"URL with a password in the environment variable {STORAGE_VARIABLE}, because other users "
        "can see options.",
    )(command)


def storage_of(ctx: click.Context, storage: str | None, folder: Path) -> str | None:
    """Return the storage URL for the study in a folder.

    A URL from the environment applies to new studies and to those whose trials it contains. For
    other studies it is ignored, so that it does not make them fail.
    """
    from autotrain.search.settings import FILE, Definition

    is_meant = ctx.get_parameter_source("storage") is not ParameterSource.ENVIRONMENT
    if storage is None or is_meant or not (folder / FILE).is_file():
        return storage
    return storage if Definition.read(folder).is_kept_in(storage, folder) else None


def workers_option(command: Command) -> Command:
    """Add --workers."""
    return click.option(
        "--workers", type=Workers(), help="Worker processes; auto: one per core or GPU."
    )(command)


def finalists_option(command: Command) -> Command:
    """Add --finalists."""
    return click.option(
        "--finalists",
        type=Count(0),
        metavar="N",
        help="Number of best trials to retrain with other seeds; the best mean wins. 0: the trial "
        "with the best value wins. [default: 4, or the study's setting]",
    )(command)


def ensemble_option(command: Command) -> Command:
    """Add --ensemble."""
    return click.option(
        "--ensemble",
        type=Members(),
        help="Largest number of trainings in the exported ensemble; 0: the winner alone; auto: up "
        "to 4 with at most 2,500 validation rows. Prediction takes up to N times as long. "
        "[default: auto, or the study's setting]",
    )(command)


def device_option(command: Command) -> Command:
    """Add --device."""
    device = Word("device", DEVICES, meant={"gpu": "cuda"})
    return click.option("--device", type=device, help="Device for training [default: auto].")(
        command
    )


def trials_option(command: Command) -> Command:
    """Add --trials."""
    return click.option("--trials", type=Count(1), help="Number of trials to run.")(command)


def timeout_option(command: Command) -> Command:
    """Add --timeout."""
    return click.option(
        "--timeout",
        type=Duration(),
        help="Time limit from the start of the command: 10m, 90s, 1h30m or 600 (seconds).",
    )(command)


def sampling_options(command: Command) -> Command:
    """Add --samples, --alpha, --per-class and --seed of Monte-Carlo dropout."""
    for option in (
        click.option(
            "--seed",
            type=Count(0),
            default=0,
            show_default=True,
            help="Seed of the dropout masks.",
        ),
        click.option(
            "--per-class",
            is_flag=True,
            help="Give every class the same error rate in prediction sets.",
        ),
        click.option(
            "--alpha",
            type=Fraction(),
            default=0.1,
            show_default=True,
            help="Error rate: intervals and sets contain the truth of about 1 − A of the rows.",
        ),
        click.option(
            "--samples",
            type=Count(1),
            default=100,
            show_default=True,
            help="Number of Monte-Carlo samples, each with its own dropout mask.",
        ),
    ):
        command = option(command)
    return command


def json_option(command: Command) -> Command:
    """Add --json."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print the result as one JSON object."
    )(command)


def quiet_option(command: Command) -> Command:
    """Add --quiet."""
    return click.option("--quiet", is_flag=True, help="Suppress progress and notes.")(command)


def number_or_name(test: str | None) -> float | str | None:
    """Return --test as a number if it is a fraction, else as the name of a file."""
    if test is None:
        return None
    try:
        return float(test)
    except ValueError:
        return test
