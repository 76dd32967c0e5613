"""The options that say how the texts of DATA are read: marks in numbers, names of the columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

NAMES = ("decimal", "thousands", "missing", "header", "names")
MARKS = {"comma": ",", "point": ".", "dot": ".", "space": " ", "apostrophe": "'"}


class Mark(click.ParamType):
    """A character in numbers, or its name; which ones there are is checked later."""

    name = "mark"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the character."""
        return MARKS.get(str(value), str(value))

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show MARK in the help."""
        return "MARK"


class Texts(click.ParamType):
    """Texts parted by commas."""

    name = "texts"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[str]:
        """Return the texts; a list, as a study file has it, stays one."""
        parts = value if isinstance(value, list | tuple) else str(value).split(",")
        texts = [str(part).strip() for part in parts]
        if not all(texts):
            self.fail(f"must be texts parted by commas, got {value!r}.", param, ctx)
        return texts

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show the form in the help."""
        return "A,B,…"


def reading_options(command: Command) -> Command:
    """Add --decimal, --thousands, --missing, --header and --names."""
    for option in (
        click.option("--names", type=Texts(), help="Names of the columns of a file without them."),
        click.option(
            "--header/--no-header",
            default=None,
            help="Whether the first line has the names of the columns; without, they are x1, x2, …",
        ),
        click.option(
            "--missing", type=Texts(), help="More words for a missing cell, such as unknown,n.d."
        ),
        click.option("--thousands", type=Mark(), help="Thousands separator: , . space ' or _"),
        click.option(
            "--decimal", type=Mark(), help="Decimal mark: . or , [default: what the table shows]"
        ),
    ):
        command = option(command)
    return command


def reading_asked(options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return these options as `Reading.of` takes them; None when none is given."""
    asked = {name: options[name] for name in NAMES if options.get(name) is not None}
    return asked or None
