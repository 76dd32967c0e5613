"""Techniques and their hyperparameters: the types that all tables of techniques share.

A row of a table is a `Technique` with `Parameter`s, which define the legal values. A search space
gives each parameter a domain (`space/domains.py`). Nothing here depends on TOML, Optuna or torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

Value = bool | int | float | str | tuple[float, ...]


@dataclass(frozen=True)
class Parameter:
    """One hyperparameter of a technique: its default and its legal values.

    Args:
        default: value if a space does not mention it.
        doc: meaning and unit, a phrase.
        low: lower bound.
        high: upper bound.
        open_low, open_high: whether the bound itself is illegal.
        kind: "real", "integer", "boolean", "text", or "reals" (a tuple of numbers).
    Examples:
        >>> Parameter(0.9, "weight of the past", low=0.0, high=1.0, open_high=True).explain()
        'a number of at least 0 and less than 1'
    """

    default: Value
    doc: str
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    kind: str = "real"

    def explain(self) -> str:
        """Return the legal values in words, for error messages and the documentation."""
        if self.kind == "boolean":
            return "true or false"
        if self.kind == "text":
            return "text"
        noun = {
            "integer": "an integer",
            "real": "a number",
            "reals": "a list of numbers, each",
        }[self.kind]
        bounds = []
        if self.low > -math.inf:
            bounds.append(
                f"{'greater than' if self.open_low else 'of at least'} {self._shown(self.low)}"
            )
        if self.high < math.inf:
            bounds.append(
                f"{'less than' if self.open_high else 'at most'} {self._shown(self.high)}"
            )
        return " ".join([noun, " and ".join(bounds)]) if bounds else noun

    def _shown(self, bound: float) -> str:
        return f"{bound:,.0f}" if self.kind == "integer" else f"{bound:g}"

    def is_legal(self, value: object) -> bool:
        """Whether `value` is a legal value.

        Examples:
            >>> Parameter(0.9, "weight of the past", low=0.0, high=1.0).is_legal(1.5)
            False
        """
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
    """A hyperparameter whose values are words.

    Args:
        words: the legal values.
    Examples:
        >>> Words("constant", "annealing", words=("constant", "flat_cos")).explain()
        'one of "constant", "flat_cos"'
    """

    kind: str = "text"
    words: tuple[str, ...] = ()

    def explain(self) -> str:
        """Return the legal words."""
        return "one of " + ", ".join(f'"{word}"' for word in self.words)

    def is_legal(self, value: object) -> bool:
        """Whether `value` is one of the words."""
        return isinstance(value, str) and value in self.words


@dataclass(frozen=True)
class Technique:
    """One row of a table of techniques; each table adds the functions its kind needs.

    Args:
        name: name in space files, configurations and Optuna's parameters.
        summary: formula in one line, an assignment or a relation; for a section its purpose.
        parameters: hyperparameters by name.
        note: full sentences about use, limits and differences from torch or Keras.
    """

    name: str
    summary: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    note: str = ""


Row = TypeVar("Row", bound=Technique)


def table(*rows: Row) -> dict[str, Row]:
    """Return rows by name.

    Raises:
        ValueError: if two rows have the same name.
    Examples:
        >>> list(table(Technique("relu", "max(0, z)"), Technique("tanh", "tanh z")))
        ['relu', 'tanh']
    """
    named = {row.name: row for row in rows}
    if len(named) != len(rows):
        raise ValueError(f"names must be unique, got {[row.name for row in rows]}")
    return named
