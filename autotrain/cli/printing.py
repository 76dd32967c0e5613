"""Results go to stdout, as text or as one JSON object; everything else to stderr.

All commands print through this module: what comes from files must not reach the terminal as it is.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from autotrain.wording import CONTROL, visible


def print_json(result: Any) -> None:
    """Print one JSON object; what JSON has no word for (NaN, infinity) becomes null."""
    text = json.dumps(_plain(result), indent=2, ensure_ascii=False, allow_nan=False)
    # Only inside texts, so that JSON's own form of them means the same.
    click.echo(CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text for people: control characters are written out.

    Args:
        err: to stderr.
        nl: end the line.
    """
    click.echo(visible(text), err=err, nl=nl)


def say_table(text: str) -> None:
    """Print what a program may read, such as CSV: unchanged, unless it goes to a terminal."""
    # click.echo would remove some characters from what goes to a file.
    sys.stdout.write(visible(text) if sys.stdout.isatty() else text)


def note(text: str, *, quiet: bool = False) -> None:
    """Tell the user something that is no result; lines of a terminal break between words."""
    if quiet:
        return
    text = _cell(text)
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        text = click.wrap_text(text, width, subsequent_indent="  ")
    say(text, err=True)


def columns(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Return rows as lines of aligned columns, two spaces apart.

    Args:
        rows: of equal length, the header first.
        right: the columns that are aligned to the right.
    """
    rows = [[_cell(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def fields(rows: Sequence[tuple[str, str]], *, indent: str = "") -> list[str]:
    """Return (label, text) pairs as lines, the texts aligned; empty texts are left out."""
    width = max((len(label) for label, text in rows if text), default=0)
    return [f"{indent}{label.ljust(width)}  {_cell(text)}" for label, text in rows if text]


def _cell(text: str) -> str:
    """Keep a text in its line: a name that holds a line break must not look like a line of ours."""
    return visible(text).replace("\n", "\\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
