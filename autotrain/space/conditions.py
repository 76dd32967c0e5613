"""Conditions on the data, of `[[when]]` blocks and of baselines with `when`.

To add a condition, add a row to `CONDITIONS`, and a field to `DataShape` if it depends on a new
property.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from autotrain.errors import unknown
from autotrain.metrics import TASKS
from autotrain.space.auto import DataShape
from autotrain.space.naming import mistake
from autotrain.space.values import parse_value, show
from autotrain.techniques.technique import Parameter

# Values by the name of a condition. All must hold; without conditions the result is true.
Conditions = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A row of `CONDITIONS`.

    Args:
        parse: the written value → the value; raises ValueError with a predicate ("must be …").
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
        raise ValueError(f"must be true or false, got {show(written)}.")
    return written


def _parse_tasks(written: Any) -> tuple[str, ...]:
    words = written if isinstance(written, list) else [written]
    if not words:
        raise ValueError(f"must name at least one task, got []. Known: {', '.join(TASKS)}.")
    for index, word in enumerate(words):
        if word not in TASKS:
            raise ValueError(unknown("task", word, TASKS))
        if word in words[:index]:
            raise ValueError(f"must contain every task once, got {word!r} twice.")
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
    written: Mapping[str, Any], unknown_keys: Iterable[str], mistakes: list[str]
) -> Conditions:
    """Return the conditions of a table.

    Args:
        written: a table, which may contain other keys too.
        unknown_keys: its keys that are not conditions but were probably meant as such.
        mistakes: mistakes are appended here.
    """
    before = len(mistakes)
    mistakes += [f"{word}: {unknown('condition', word, CONDITIONS)}" for word in unknown_keys]
    conditions: dict[str, Any] = {}
    for name, condition in CONDITIONS.items():
        if name in written:
            try:
                conditions[name] = condition.parse(written[name])
            except ValueError as error:
                mistakes.append(mistake(name, str(error)))
    for noun in ("rows", "columns", "numbers"):
        above, below = conditions.get(f"{noun}_above"), conditions.get(f"{noun}_below")
        if above is not None and below is not None and above >= below:
            mistakes.append(
                f"{noun}_above must be less than {noun}_below, got "
                f"{noun}_above = {above}, {noun}_below = {below}. No table satisfies both."
            )
    if not conditions and len(mistakes) == before:
        mistakes.append(f"must have a condition, got none. Known: {', '.join(CONDITIONS)}.")
    return conditions


def hold(conditions: Conditions, shape: DataShape) -> bool:
    """Whether all conditions hold for this data."""
    return all(CONDITIONS[name].holds(value, shape) for name, value in conditions.items())


def conditions_text(conditions: Conditions) -> str:
    """Write conditions for people: `rows > 20,000, binary or multiclass`."""
    return ", ".join(CONDITIONS[name].text(value) for name, value in conditions.items())


def write_conditions(conditions: Conditions) -> dict[str, Any]:
    """Return conditions in the form of space files."""
    written = {}
    for name, value in conditions.items():
        one = value[0] if isinstance(value, tuple) and len(value) == 1 else value
        written[name] = list(one) if isinstance(one, tuple) else one
    return written
