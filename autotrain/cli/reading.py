"""Options for reading DATA: number formats, missing cells, column names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

NAMES = ("decimal", "thousands", "missing", "header", "names")
MARKS = {"comma": ",", "point": ".", "dot": ".", "space": " ", "apostrophe": "'"}


class Mark(click.ParamType):
    """A character in numbers, or its name; it is checked later."""

    name = "mark"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the character."""
        return MARKS.get(str(value), str(value))


class Texts(click.ParamType):
    """Comma-separated strings."""

    name = "texts"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[str]:
        """Return the strings; a list, as in a study file, stays a list."""
        parts = value if isinstance(value, list | tuple) else str(value).split(",")
        texts = [str(part).strip() for part in parts]
        if not all(texts):
            self.fail(f"must be comma-separated strings, got {value!r}.", param, ctx)
        return texts


def reading_options(command: Command) -> Command:
    """Add --decimal, --thousands, --missing, --header and --names."""
    for option in (
        click.option(
            "--names",
            type=Texts(),
            metavar="A,B,…",
            help="Column names, for a file without a header.",
        ),
        click.option(
            "--header/--no-header",
            default=None,
            help="Whether the first line contains the column names; without, they are x1, x2, …",
        ),
        click.option(
            "--missing",
            type=Texts(),
            metavar="A,B,…",
            help="Additional markers of missing cells, such as unknown,n.d.",
        ),
        click.option(
            "--thousands",
            type=Mark(),
            metavar="MARK",
            help="Thousands separator: , . space ' or _ [default: detected]",
        ),
        click.option(
            "--decimal",
            type=Mark(),
            metavar="MARK",
            help="Decimal mark: . or , [default: detected]",
        ),
    ):
        command = option(command)
    return command


def reading_asked(options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the given options as arguments of `Reading.of`; None if no option is given."""
    asked = {name: options[name] for name in NAMES if options.get(name) is not None}
    return asked or None
