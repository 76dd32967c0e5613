"""What values a parameter of a search space may take."""

from __future__ import annotations

from dataclasses import dataclass

from autotrain.techniques.technique import Value


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
