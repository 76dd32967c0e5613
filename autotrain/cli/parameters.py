"""Types of option values that click does not have, and their shell completion.

This file imports nothing heavy, because `--help` must answer at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from autotrain.errors import unknown
from autotrain.metrics import METRICS, row_of
from autotrain.search.settings import STUDIES
from autotrain.space.shipped import shipped_spaces
from autotrain.validation import is_ray
from autotrain.vocabulary import parse_duration

FILE = click.Path(readable=False)
FOLDER = click.Path(file_okay=False, readable=False)


class Word(click.Choice[str]):
    """One of a few words; for any other word the nearest one is suggested.

    Args:
        kind: what the words name, for messages.
        meant: common other words, each with the word to suggest for it.
    """

    def __init__(
        self, kind: str, words: Sequence[str], meant: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(words)
        self.kind = kind
        self.meant = meant or {}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word."""
        if value not in self.choices:
            if value in self.meant:
                listed = f"Known: {', '.join(self.choices)}."
                near = f"Did you mean {self.meant[value]!r}?"
                self.fail(f"no {self.kind} {value!r}. {near} {listed}", param, ctx)
            self.fail(unknown(self.kind, value, self.choices), param, ctx)
        return str(value)


class MetricName(Word):
    """A metric; a quantile may follow a colon and is checked once the task is known."""

    def __init__(self) -> None:
        super().__init__("metric", tuple(METRICS))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name unchanged."""
        super().convert(row_of(str(value)), param, ctx)
        return str(value)


class NumberOrAuto(click.IntRange):
    """An integer, or "auto".

    Args:
        least: the smallest integer.
        auto: the value of "auto".
    """

    expected = "an integer or auto"

    def __init__(self, least: int, auto: int | str) -> None:
        super().__init__(min=least)
        self.auto = auto

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, or the value of "auto"."""
        if value in ("auto", self.auto):
            return self.auto
        if not re.fullmatch(r"[+-]?\d+", str(value).strip()):
            self.fail(f"must be {self.expected}, got {value!r}.", param, ctx)
        return super().convert(value, param, ctx)


class Workers(NumberOrAuto):
    """A number of workers, "auto", or a Ray cluster."""

    expected = "an integer, auto, ray or ray://HOST:PORT"

    def __init__(self) -> None:
        super().__init__(1, 0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, 0 for "auto", or the address of the cluster."""
        return value if is_ray(value) else super().convert(value, param, ctx)


class Duration(click.ParamType):
    """A positive duration: 10m, 90s, 1h30m or 600 (seconds)."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds."""
        seconds = parse_duration(str(value))
        if seconds is None or not seconds > 0:
            self.fail(
                "must be a positive duration such as 10m, 90s, 1h30m or 600 (seconds), got "
                f"{value}.",
                param,
                ctx,
            )
        return seconds


class Settings(click.ParamType):
    """Settings as NAME=NUMBER pairs; the names and ranges are checked later."""

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


def _number_of(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def complete_space(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the shipped spaces, then files."""
    found = _starting(shipped_spaces(), incomplete)
    return found or [CompletionItem(incomplete, type="file")]


def complete_study(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the studies in the folder."""
    studies = Path(ctx.params.get("directory") or STUDIES)
    names = sorted(path.parent.name for path in studies.glob("*/study.toml"))
    return _starting(names, incomplete)


def complete_bundle(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the studies in the folder, then folders."""
    found = complete_study(ctx, param, incomplete)
    return found or [CompletionItem(incomplete, type="dir")]


def _starting(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]
