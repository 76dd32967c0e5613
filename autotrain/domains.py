"""Hyperparameters: what a value may be (`Parameter`) and what a search tries (`Domain`).

A technique's row names its `Parameter`s; a search space gives each a `Domain`: `Fixed`, `Choices`
or `Range`. Neither knows about TOML, Optuna or torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

Value = bool | int | float | str | tuple[float, ...]


@dataclass(frozen=True)
class Parameter:
    """One hyperparameter of a technique: its default and the values that make sense.

    Args:
        default: the value when a space says nothing.
        doc: one clause: meaning and unit.
        low: smallest legal value; itself legal unless `open_low`.
        high: largest legal value; itself legal unless `open_high`.
        kind: "real", "integer", "boolean", "text", or "reals" (a tuple of numbers).
    """

    default: Value
    doc: str
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    kind: str = "real"

    def explain(self) -> str:
        """Say in words what is legal, for error messages and the documentation."""
        if self.kind == "boolean":
            return "true or false"
        if self.kind == "text":
            return "text"
        noun = {
            "integer": "a whole number",
            "real": "a number",
            "reals": "a list of numbers, each",
        }[self.kind]
        bounds = []
        if self.low > -math.inf:
            bounds.append(
                f"{'greater than' if self.open_low else 'at least'} {self._shown(self.low)}"
            )
        if self.high < math.inf:
            bounds.append(
                f"{'less than' if self.open_high else 'at most'} {self._shown(self.high)}"
            )
        return " ".join([noun, " and ".join(bounds)]) if bounds else noun

    def _shown(self, bound: float) -> str:
        return f"{bound:,.0f}" if self.kind == "integer" else f"{bound:g}"

    def is_legal(self, value: object) -> bool:
        """Tell whether `value` may be this hyperparameter's value."""
        if self.kind == "boolean":
            return isinstance(value, bool)
        if self.kind == "text":
            return isinstance(value, str)
        if self.kind == "reals":
            return isinstance(value, list | tuple) and all(self._in_bounds(v) for v in value)
        if self.kind == "integer" and not isinstance(value, int):
            return False
        return self._in_bounds(value)

    def _in_bounds(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if isinstance(value, float) and not math.isfinite(value):
            return False
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below


@dataclass(frozen=True)
class Words(Parameter):
    """A hyperparameter that is one of some words."""

    kind: str = "text"
    words: tuple[str, ...] = ()

    def explain(self) -> str:
        """Name the words."""
        return "one of " + ", ".join(f'"{word}"' for word in self.words)

    def is_legal(self, value: object) -> bool:
        """Tell whether `value` is one of the words."""
        return isinstance(value, str) and value in self.words


@dataclass(frozen=True)
class Fixed:
    """Always this value; not a parameter of the study."""

    value: Value


@dataclass(frozen=True)
class Choices:
    """One of these values, no order between them."""

    values: tuple[Value, ...]


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`, both included; log-uniform when `log`."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    integer: bool = False


Domain = Fixed | Choices | Range


@dataclass(frozen=True)
class Technique:
    """One row of a table of techniques; each table adds the functions its kind needs.

    Args:
        name: the word in space files, configs and Optuna parameters.
        summary: the formula in one line, an assignment or a relation; of a section what it is for.
        parameters: the hyperparameters by name.
        note: what the formula leaves out: limits, and where torch or Keras differ. Full sentences.
    """

    name: str
    summary: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    note: str = ""


Row = TypeVar("Row", bound=Technique)


def table(*rows: Row) -> dict[str, Row]:
    """Index rows by name, refusing a name that stands twice."""
    named = {row.name: row for row in rows}
    if len(named) != len(rows):
        raise ValueError(f"every name must stand once, however: {[row.name for row in rows]}")
    return named
