"""Data shapes for every combination of conditions that can hold together."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from autotrain.metrics import TASKS
from autotrain.space.auto import DataShape
from autotrain.space.conditions import Conditions


def every_shape(conditions: Iterable[Conditions]) -> Iterator[DataShape]:
    """Yield data shapes for every combination of these conditions that can hold."""
    named: dict[str, set[Any]] = {}
    for each in conditions:
        for name, value in each.items():
            named.setdefault(name, set()).add(value)
    rows = _around(named, "rows")
    columns = _around(named, "columns")
    numbers = _around(named, "numbers", least=0)
    for shape in itertools.product(rows, columns, TASKS, (False, True), numbers):
        yield DataShape(*shape)


def _around(named: Mapping[str, set[int]], noun: str, least: int = 1) -> list[int]:
    """Return one number per interval between the limits, and one outside on either side.

    Args:
        least: the smallest number that a table can have.
    """
    limits = named.get(f"{noun}_above", set()) | named.get(f"{noun}_below", set())
    return sorted(n for n in limits | {max(limits, default=0) + 1} if n >= least)
