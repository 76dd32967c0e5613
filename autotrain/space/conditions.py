"""Conditions on the data: when a `[[when]]` block holds, and a baseline that has a `when`.

To add one: a row in `CONDITIONS`, a field of `DataShape` when it looks at something new, and its
values in `every_shape`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autotrain.errors import unknown
from autotrain.metrics import TASKS
from autotrain.space.auto import DataShape
from autotrain.space.values import parse_value, show
from autotrain.techniques.technique import Parameter

# Values by the name of a condition; all must hold, and none at all always does.
Conditions = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A row of `CONDITIONS`.

    Args:
        parse: what was written → the value; raises ValueError with what was expected and came.
        holds: (the value, the data) → whether the condition is met.
        text: the value → the condition in words.
    """

    parse: Callable[[Any], Any]
    holds: Callable[[Any, DataShape], bool]
    text: Callable[[Any], str]


def _number(least: int) -> Callable[[Any], Any]:
    parameter = Parameter(least, "a limit", low=least, kind="integer")
    return lambda written: parse_value(parameter, written)


def _parse_pictures(written: Any) -> bool:
    if not isinstance(written, bool):
        raise ValueError(f"must be true or false, however: {show(written)}")
    return written


def _parse_tasks(written: Any) -> tuple[str, ...]:
    words = written if isinstance(written, list) else [written]
    if not words:
        raise ValueError(f"must name at least one, however: []. Known: {', '.join(TASKS)}.")
    for place, word in enumerate(words):
        if word not in TASKS:
            raise ValueError(unknown("task", word, TASKS))
        if word in words[:place]:
            raise ValueError(f"every task must stand once, however: {word!r} stands twice")
    return tuple(task for task in TASKS if task in words)


CONDITIONS: dict[str, Condition] = {
    "rows_above": Condition(
        parse=_number(0),
        holds=lambda limit, shape: shape.n_train > limit,
        text=lambda limit: f"rows > {limit:,}",
    ),
    "rows_below": Condition(
        parse=_number(1),
        holds=lambda limit, shape: shape.n_train <= limit,
        text=lambda limit: f"rows ≤ {limit:,}",
    ),
    "columns_above": Condition(
        parse=_number(0),
        holds=lambda limit, shape: shape.n_inputs > limit,
        text=lambda limit: f"columns > {limit:,}",
    ),
    "columns_below": Condition(
        parse=_number(1),
        holds=lambda limit, shape: shape.n_inputs <= limit,
        text=lambda limit: f"columns ≤ {limit:,}",
    ),
    "numbers_above": Condition(
        parse=_number(0),
        holds=lambda limit, shape: shape.n_numbers > limit,
        text=lambda limit: f"numbers > {limit:,}",
    ),
    "numbers_below": Condition(
        parse=_number(1),
        holds=lambda limit, shape: shape.n_numbers <= limit,
        text=lambda limit: f"numbers ≤ {limit:,}",
    ),
    "task": Condition(
        parse=_parse_tasks,
        holds=lambda tasks, shape: shape.task in tasks,
        text=lambda tasks: " or ".join(tasks),
    ),
    "pictures": Condition(
        parse=_parse_pictures,
        holds=lambda wanted, shape: shape.pictures is wanted,
        text=lambda wanted: "pictures" if wanted else "no pictures",
    ),
}


def parse_conditions(
    written: Mapping[str, Any], strange: Iterable[str], mistakes: list[str]
) -> Conditions:
    """Return the conditions that stand in a table, complaining about those that cannot be.

    Args:
        written: a table that may hold other things as well.
        strange: those of its keys that were meant as conditions and are none.
        mistakes: what is wrong is added here.
    """
    before = len(mistakes)
    mistakes += [f"{word}: {unknown('condition', word, CONDITIONS)}" for word in strange]
    conditions: dict[str, Any] = {}
    for name, condition in CONDITIONS.items():
        if name in written:
            try:
                conditions[name] = condition.parse(written[name])
            except ValueError as error:
                mistakes.append(f"{name}: {error}")
    for noun in ("rows", "columns", "numbers"):
        above, below = conditions.get(f"{noun}_above"), conditions.get(f"{noun}_below")
        if above is not None and below is not None and above >= below:
            mistakes.append(
                f"{noun}_above: must be less than {noun}_below, however: "
                f"{noun}_above = {above}, {noun}_below = {below}. No table is both."
            )
    if not conditions and len(mistakes) == before:
        mistakes.append(f"must have a condition, however: none. Known: {', '.join(CONDITIONS)}.")
    return conditions


def hold(conditions: Conditions, shape: DataShape) -> bool:
    """Tell whether all conditions hold for this data."""
    return all(CONDITIONS[name].holds(value, shape) for name, value in conditions.items())


def conditions_text(conditions: Conditions) -> str:
    """Write conditions for people: `rows > 20,000, binary or multiclass`."""
    return ", ".join(CONDITIONS[name].text(value) for name, value in conditions.items())


def conditions_to_plain(conditions: Conditions) -> dict[str, Any]:
    """Return conditions as a space file writes them."""
    plain = {}
    for name, value in conditions.items():
        one = value[0] if isinstance(value, tuple) and len(value) == 1 else value
        plain[name] = list(one) if isinstance(one, tuple) else one
    return plain


def every_shape(conditions: Iterable[Conditions]) -> Iterator[DataShape]:
    """Yield data of every kind that these conditions tell apart, at least once."""
    named: dict[str, set[Any]] = {}
    for each in conditions:
        for name, value in each.items():
            named.setdefault(name, set()).add(value)
    rows = _around(named, "rows")
    columns = _around(named, "columns")
    tasks = TASKS if "task" in named else TASKS[:1]
    pictures = (False, True) if "pictures" in named else (False,)
    numbers = _around(named, "numbers", least=0)
    for shape in itertools.product(rows, columns, tasks, pictures, numbers):
        yield DataShape(*shape)


def _around(named: Mapping[str, set[int]], noun: str, least: int = 1) -> list[int]:
    """Return a number between every two limits, below the least and above the largest.

    Args:
        least: no table has fewer.
    """
    limits = named.get(f"{noun}_above", set()) | named.get(f"{noun}_below", set())
    return sorted(n for n in limits | {max(limits, default=0) + 1} if n >= least)
