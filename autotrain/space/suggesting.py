"""Ask a trial for exactly the parameters that have an effect ("define by run").

A trial is any object with Optuna's `suggest_categorical`, `suggest_float` and `suggest_int`; Optuna
itself is not imported. Parameters with a single value are not asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from autotrain.space.config import Choice
from autotrain.space.definition import SectionSpace
from autotrain.space.domains import Choices, Domain, Fixed, Range
from autotrain.space.values import contains, decode, encode, parse_value, snap
from autotrain.techniques.technique import Parameter, Value


class Trial(Protocol):
    """The methods of an Optuna trial that a space needs."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int: ...


def suggest_section(trial: Trial, space: SectionSpace) -> Choice:
    """Ask for a technique, then for the parameters that have an effect with it."""
    section = space.section
    if len(space.choices) > 1:
        row = trial.suggest_categorical(section.name, space.choices)
    else:
        row = space.row_names[0]
    values: dict[str, Value] = {}
    for key in section.parameters:
        if section.applies(key, row, values):
            values[key] = suggest_value(trial, *space.domain(row, key))
        else:
            values[key] = section.idle_value(key)
    for key in section.own_parameters(row):
        values[key] = suggest_value(trial, *space.domain(row, key))
    return Choice(row, values)


def suggest_value(trial: Trial, name: str, domain: Domain) -> Value:
    """Ask for a value, unless there is only one."""
    if isinstance(domain, Fixed):
        return domain.value
    if isinstance(domain, Choices):
        # Optuna stores lists as text; the answer is looked up, not parsed.
        values = {encode(value): value for value in domain.values}
        return values[trial.suggest_categorical(name, tuple(values))]
    if domain.integer:
        return trial.suggest_int(
            name, int(domain.low), int(domain.high), step=int(domain.step or 1), log=domain.log
        )
    value = trial.suggest_float(name, domain.low, domain.high, step=domain.step, log=domain.log)
    return value if domain.step is None else snap(domain, value)


class GivenParams:
    """A trial with given answers; it records missing ones and those outside the space.

    Args:
        params: answers by name.

    Attributes:
        asked: names that the space asked for.
        mistakes: the mistakes.
    """

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        self.asked: list[str] = []
        self.mistakes: list[str] = []

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._answer(name, choices[0], lambda value: value in choices)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        value: float = self._answer(name, low, _within(Range(low, high, log, step)))
        return float(value)

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        value: int = self._answer(name, low, _within(Range(low, high, log, step, integer=True)))
        return value

    def _answer(self, name: str, fallback: Any, is_right: Any) -> Any:
        self.asked.append(name)
        if name not in self.params:
            self.mistakes.append(f"{name} is missing.")
            return fallback
        if not is_right(self.params[name]):
            self.mistakes.append(f"{name} must be in the space, got {self.params[name]!r}.")
            return fallback
        return self.params[name]


def _within(domain: Range) -> Any:
    kind = "integer" if domain.integer else "real"
    number = Parameter(0, "", kind=kind)

    def is_within(value: object) -> bool:
        try:
            return contains(domain, parse_value(number, decode(number, value)))
        except ValueError:
            return False

    return is_within
