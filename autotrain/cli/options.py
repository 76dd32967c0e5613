"""The kinds of values that options take, and the options that several commands share.

Each kind says what it expected, what came and what to do, and completes in the shell. Nothing
heavy is imported here: `--help` reads this file.
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
from autotrain.space.shipped import shipped_spaces
from autotrain.tasks import METRICS, TASKS
from autotrain.wording import parse_duration

STUDIES = Path("studies")
STORAGE_VARIABLE = "AUTOTRAIN_STORAGE"
# The names of the tables in study/, which cannot be read without Optuna; a test holds them equal.
SAMPLERS = ("tpe", "gp", "cmaes", "random", "qmc")
PRUNERS = ("performance", "asha", "median", "none")
DEVICES = ("auto", "cpu", "cuda")

Command = TypeVar("Command", bound=Callable[..., Any])


class Word(click.ParamType):
    """One of a few words; a near one is suggested for any other.

    Args:
        meant: other words that people use for them.
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
        """Show the words in the help."""
        return "|".join(self.words)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer the words."""
        return _completions(self.words, incomplete)


class MetricName(Word):
    """A metric; a quantile may follow a colon, and is checked once the task is known."""

    def __init__(self) -> None:
        super().__init__("metric", tuple(METRICS))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name as it was given."""
        row, _, _ = str(value).partition(":")
        super().convert(row, param, ctx)
        return str(value)


class Count(click.ParamType):
    """A whole number with a least value."""

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
            self.fail(
                f"must be a whole number, at least {self.least}, however: {value}.", param, ctx
            )
        return number

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show N in the help."""
        return "N"


class Share(click.ParamType):
    """A number greater than 0 and less than 1."""

    name = "share"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number."""
        try:
            share = float(value)
        except ValueError:
            share = math.nan
        if not 0 < share < 1:
            self.fail(
                f"must be a number greater than 0 and less than 1, however: {value}.", param, ctx
            )
        return share

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show A in the help."""
        return "A"


class Duration(click.ParamType):
    """A time as 10m, 90s, 1h30m or 600 (seconds), more than 0."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds."""
        seconds = parse_duration(str(value))
        if seconds is None:
            self.fail(
                f"must be a time such as 10m, 90s, 1h30m or 600 (seconds), however: {value}.",
                param,
                ctx,
            )
        if not seconds > 0:
            self.fail(
                f"must be more than 0 seconds, however: {value}. Leave it out for no limit, or "
                "give more.",
                param,
                ctx,
            )
        return seconds

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show an example in the help."""
        return "10m"


class Members(click.ParamType):
    """A number of trainings, or "auto"."""

    name = "members"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        """Return the number, or "auto"."""
        if str(value) == "auto":
            return "auto"
        if not str(value).isdigit():
            self.fail(
                f"must be auto or a whole number, at least 0, got {value}. Give 0 to export one "
                "model alone.",
                param,
                ctx,
            )
        return int(value)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show the values in the help."""
        return "N|auto"


class Workers(click.ParamType):
    """A number of processes, or "auto"."""

    name = "workers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number, 0 for "auto"."""
        text = str(value)
        if text == "auto":
            return 0
        if text.startswith("ray:"):
            self.fail(
                "must be a number of processes on this machine, however: Ray clusters are not "
                "available in this version. Give a number, or auto.",
                param,
                ctx,
            )
        if not text.isdigit() or int(text) < 1:
            self.fail(
                f"must be auto or a number of processes, at least 1, however: {text}.", param, ctx
            )
        return int(text)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show the values in the help."""
        return "N|auto"


class Settings(click.ParamType):
    """Settings as NAME=NUMBER pairs; names and legal numbers are checked by who takes them."""

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
        """Show the form in the help."""
        return "NAME=NUMBER,…"


def _number_of(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


class SpaceName(click.ParamType):
    """A shipped search space or a TOML file; read and checked later."""

    name = "space"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer the shipped spaces, then files."""
        offered = _completions(shipped_spaces(), incomplete)
        return offered or [CompletionItem(incomplete, type="file")]

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show the two ways in the help."""
        return "NAME|FILE"


class StudyName(click.ParamType):
    """The name of a study that is there; looked up later."""

    name = "study"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer the studies of the folder."""
        studies = Path(ctx.params.get("directory") or STUDIES)
        names = sorted(path.parent.name for path in studies.glob("*/study.toml"))
        return _completions(names, incomplete)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show NAME in the help."""
        return "NAME" if param.required else "[NAME]"


class FileName(click.ParamType):
    """A path; completes to files."""

    name = "path"

    def __init__(self, metavar: str, kind: str = "file") -> None:
        self.metavar = metavar
        self.kind = kind

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show the word in the help."""
        return self.metavar

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer files or folders."""
        return [CompletionItem(incomplete, type=self.kind)]


def _completions(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def target_option(command: Command) -> Command:
    """Add --target."""
    return click.option("--target", metavar="COLUMN", help="The column to predict.")(command)


def study_option(command: Command) -> Command:
    """Add --study."""
    return click.option(
        "--study", metavar="NAME", help="Name of the study; else made from the data's name."
    )(command)


def metric_option(command: Command) -> Command:
    """Add --metric."""
    return click.option(
        "--metric",
        type=MetricName(),
        help="What is made best; else log_loss, or rmse for numbers. pinball:0.9 is of a quantile.",
    )(command)


def weights_option(command: Command) -> Command:
    """Add --weights."""
    return click.option(
        "--weights",
        metavar="COLUMN",
        help="What each row counts, in training and in all scores; no feature.",
    )(command)


def class_weights_option(command: Command) -> Command:
    """Add --class-weights."""
    return click.option(
        "--class-weights",
        type=Word("class weights", ("balanced",)),
        help="What each class counts in training; balanced: all classes the same.",
    )(command)


def task_option(command: Command) -> Command:
    """Add --task."""
    return click.option(
        "--task",
        type=Word("task", ("auto", *TASKS)),
        default="auto",
        show_default=True,
        help="What kind of target it is; auto looks at its values.",
    )(command)


def validation_option(command: Command) -> Command:
    """Add --validation."""
    return click.option(
        "--validation",
        metavar="auto|holdout|K-fold",
        default="auto",
        show_default=True,
        help="How trials are compared: on rows held out, or K times on others (5-fold).",
    )(command)


def test_option(command: Command) -> Command:
    """Add --test."""
    return click.option(
        "--test",
        type=FileName("FILE|FRACTION"),
        help="Rows that only the winner sees, at the end; else 0.2, or the data's own test rows.",
    )(command)


def seed_option(command: Command) -> Command:
    """Add --seed."""
    return click.option(
        "--seed",
        type=Count(0),
        default=0,
        show_default=True,
        help="Everything random follows from it.",
    )(command)


def directory_option(command: Command) -> Command:
    """Add --directory."""
    return click.option(
        "--directory",
        type=FileName("DIR", "dir"),
        default=str(STUDIES),
        show_default=True,
        help="Where studies are kept.",
    )(command)


def storage_option(command: Command) -> Command:
    """Add --storage."""
    return click.option(
        "--storage",
        metavar="URL",
        envvar=STORAGE_VARIABLE,
        help="Where the trials are, when not in the study's folder: sqlite:///study.db, "
        "postgresql+psycopg://…, mysql+pymysql://…, journal+redis://… Give a URL with a password "
        f"in the environment variable {STORAGE_VARIABLE}: other users can see options.",
    )(command)


def storage_of(ctx: click.Context, storage: str | None, folder: Path) -> str | None:
    """Return --storage for the study in a folder.

    A URL from the environment is for the studies that are kept there, and for new ones: it must
    not make the others fail.
    """
    from autotrain.study.definition import FILE, Definition

    is_meant = ctx.get_parameter_source("storage") is not ParameterSource.ENVIRONMENT
    if storage is None or is_meant or not (folder / FILE).is_file():
        return storage
    return storage if Definition.read(folder).is_kept_in(storage, folder) else None


def workers_option(command: Command) -> Command:
    """Add --workers."""
    return click.option(
        "--workers", type=Workers(), help="Processes that train; auto: one per core or GPU."
    )(command)


def finalists_option(command: Command) -> Command:
    """Add --finalists."""
    return click.option(
        "--finalists",
        type=Count(0),
        metavar="N",
        help="How many of the best trials are trained again, to choose the winner by mean; else 4, "
        "or what the study has. 0: the trial with the best value wins.",
    )(command)


def ensemble_option(command: Command) -> Command:
    """Add --ensemble."""
    return click.option(
        "--ensemble",
        type=Members(),
        help="Export the average of up to N trainings, 0: the winner alone; auto: up to 4 where at "
        "most 2,500 rows validate. Prediction takes up to N times as long. [default: auto, or what "
        "the study has]",
    )(command)


def device_option(command: Command) -> Command:
    """Add --device."""
    device = Word("device", DEVICES, meant={"gpu": "cuda"})
    return click.option("--device", type=device, help="Where to train.")(command)


def trials_option(command: Command) -> Command:
    """Add --trials."""
    return click.option("--trials", type=Count(1), help="Stop after so many more trials.")(command)


def timeout_option(command: Command) -> Command:
    """Add --timeout."""
    return click.option(
        "--timeout",
        type=Duration(),
        help="Stop after this time, counted from the start of the command: 10m, 90s, 1h30m, 600.",
    )(command)


def sampling_options(command: Command) -> Command:
    """Add --samples, --alpha, --per-class and --seed of Monte-Carlo dropout."""
    for option in (
        click.option(
            "--seed", type=Count(0), default=0, show_default=True, help="Of the dropout masks."
        ),
        click.option(
            "--per-class",
            is_flag=True,
            help="Prediction sets with the same error rate for every class.",
        ),
        click.option(
            "--alpha",
            type=Share(),
            default=0.1,
            show_default=True,
            help="Error rate of intervals and sets: 1 − alpha of the rows are inside.",
        ),
        click.option(
            "--samples",
            type=Count(1),
            default=100,
            show_default=True,
            help="Monte-Carlo samples: passes with different dropout masks.",
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
    return click.option("--quiet", is_flag=True, help="Show no progress and no notes.")(command)


def number_or_name(test: str | None) -> float | str | None:
    """Read --test: a fraction as a number; anything else is the name of the test rows."""
    if test is None:
        return None
    try:
        return float(test)
    except ValueError:
        return test
