"""Format durations, scores and intervals as text, and parse durations.

1h30m, 90s, 10m, 600  →  seconds  →  "1 h 30 min", "1 min 30 s"
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

_UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_PART = re.compile(
    r"(\d+(?:\.\d+)?)\s*"
    r"(?:(d)(?:ays?)?|(h)(?:ours?|rs?)?|(m)(?:in(?:utes?|s)?)?|(s)(?:ec(?:onds?|s)?)?)(?![a-z])\s*"
)


CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Return the text with escaped control characters, such as \\x1b, except newlines and tabs.

    Names and labels come from files, which can contain anything. A terminal executes some control
    characters, and marks of the writing direction display a text in a different order.
    """
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def parse_duration(text: str) -> float | None:
    """Return a duration such as "10m", "90s", "1h30m", "2 min" or "600" in seconds.

    A number without a unit is in seconds. Units go from large to small, each at most once.

    Returns: seconds; None when the text is not a duration.
    Examples:
        >>> parse_duration("1h30m")
        5400.0
    """
    text = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    seconds, position, smallest = 0.0, 0, math.inf
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            return None
        unit = _UNITS[next(letter for letter in part.groups()[1:] if letter)]
        if unit >= smallest:
            return None
        smallest = unit
        seconds += float(part[1]) * smallest
        position = part.end()
    return seconds if text else None


def duration_text(seconds: float) -> str:
    """Format seconds in at most two units: "0.4 s", "1 min 5 s", "2 h 10 min"."""
    if seconds < 9.95:
        short = f"{max(seconds, 0.0):.1f}".removesuffix(".0")
        return f"{short} s"
    whole = round(seconds)
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, left = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (left, "s")]
    first = next(i for i, (count, _) in enumerate(parts) if count or i == len(parts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)


def duration_option(seconds: float) -> str:
    """Format seconds as a command-line value: "90s", "10m", "2h"."""
    whole = max(1, math.ceil(seconds))
    for unit in ("h", "m"):
        size = int(_UNITS[unit])
        if whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def value_text(value: float) -> str:
    """Format a score with about four digits, without an exponent when possible."""
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size >= 1e7 or 0 < size < 1e-3:
        return f"{value:.4g}"
    decimals = 4 if size < 100 else 2 if size < 10_000 else 1
    return f"{value:,.{decimals}f}"


FEW_TEST_ROWS = 500
"""With fewer test rows, the interval's explanation adds that it is wide."""


def count_text(count: int, noun: str, plural: str | None = None) -> str:
    """Format a count with its noun: "1 row", "2,000 rows", "2 processes"."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def numbers_text(numbers: Sequence[int], most: int = 12) -> str:
    """Format numbers of trials or lines: "3, 5, 8"; those after the first `most` become "…".

    Examples:
        >>> numbers_text([3, 5, 8], most=2)
        '3, 5, …'
    """
    return ", ".join([*map(str, numbers[:most]), *(["…"] if numbers[most:] else [])])


def size_text(n_bytes: int) -> str:
    """Format a size in decimal units: "512 B", "2.1 kB", "64 GB".

    Examples:
        >>> size_text(2_100)
        '2.1 kB'
    """
    size, unit = float(n_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" or size >= 9.95 else f"{size:.1f} {unit}"


def interval_text(n_rows: int) -> str:
    """Return the sentence that explains the 95 % confidence interval of a test score."""
    few = (
        f" It is wide because there are only {n_rows} test rows." if n_rows < FEW_TEST_ROWS else ""
    )
    return (
        "95 % confidence interval for the score on the whole population; the score on another test "
        f"set of this size can be outside it.{few}"
    )


def repeats_text(n: int, n_test: int, n_same_target: int) -> str:
    """Return a sentence with the number and fraction of test rows that equal a training row."""
    return (
        f"{n:,} of {count_text(n_test, 'test row')} ({n / n_test:.1%}) "
        f"{'equals' if n == 1 else 'equal'} a training row in every feature of the model, "
        f"{n_same_target:,} of them also in the target"
    )


def user_path(text: str) -> Path:
    """Return a path with ~ replaced by the home folder; ~ of an unknown user stays."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path.expanduser raises


def shown_path(path: Path) -> str:
    """Return a path as text, relative if it is below the working directory."""
    path = path.absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
