"""Print results to stdout, as text or one JSON object, and everything else to stderr.

All commands print through this module, because text from files may contain terminal control
characters.
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

from autotrain.vocabulary import CONTROL, visible


def print_json(result: Any) -> None:
    """Print one JSON object; NaN and infinity become null."""
    text = json.dumps(_plain(result), indent=2, ensure_ascii=False, allow_nan=False)
    # Control characters occur only inside strings, where the escape has the same meaning.
    click.echo(CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text for people, with control characters escaped.

    Args:
        err: print to stderr.
        nl: end with a line break.
    """
    click.echo(visible(text), err=err, nl=nl)


def say_table(text: str) -> None:
    """Print text for programs, such as CSV: unchanged, except on a terminal."""
    # click.echo would remove some characters when the output goes to a file.
    sys.stdout.write(visible(text) if sys.stdout.isatty() else text)


def note(text: str, *, quiet: bool = False) -> None:
    """Print a note to stderr; on a terminal, lines break between words."""
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
        rows: rows of equal length; the first one is the header.
        right: indices of the columns to align to the right.
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
    """Return (label, text) pairs as aligned lines; pairs with an empty text are left out."""
    width = max((len(label) for label, text in rows if text), default=0)
    return [f"{indent}{label.ljust(width)}  {_cell(text)}" for label, text in rows if text]


def _cell(text: str) -> str:
    """Escape line breaks, so that a name cannot imitate another line of the output."""
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
