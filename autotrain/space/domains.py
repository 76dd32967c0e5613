"""Domains: the values that a search may try for a parameter."""

from __future__ import annotations

from dataclasses import dataclass

from autotrain.techniques.technique import Value


@dataclass(frozen=True)
class Fixed:
    """A single value; the parameter is not part of the study."""

    value: Value


@dataclass(frozen=True)
class Choices:
    """Unordered values."""

    values: tuple[Value, ...]


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, both included; sampled log-uniformly with `log`."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    integer: bool = False


Domain = Fixed | Choices | Range
