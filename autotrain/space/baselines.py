"""`[[baseline]]`: configurations that are tried first.

A baseline names some parameters. The others get their default where the space contains it and the
middle of their range where it does not, so that a baseline is exactly one configuration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from autotrain.errors import unknown
from autotrain.space.conditions import CONDITIONS, Conditions, parse_conditions
from autotrain.space.config import Choice
from autotrain.space.domains import Choices, Fixed, Range
from autotrain.space.forbidding import Forbids, Sections, explain
from autotrain.space.naming import flatten, mistake
from autotrain.space.sections import locate
from autotrain.space.suggesting import suggest_section
from autotrain.space.values import contains, decode, encode, middle, parse_value, show
from autotrain.techniques.technique import Value

FORBIDDEN = "must not be a forbidden combination"


class BaselineTrial:
    """A trial that suggests the values of a baseline and fills in the others.

    Args:
        baseline: values by name, in their parameters' own types.
        forbids: a choice is only filled in when it leaves an allowed configuration.
    """

    def __init__(self, baseline: Mapping[str, Value], forbids: Forbids) -> None:
        self.baseline = dict(baseline)
        self.forbids = forbids
        self.params: dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        given = self._given(name)
        if given is not None and encode(given) in choices:
            return self._keep(name, encode(given))
        path = locate(name)
        if path.parameter is None:
            first = path.section.default if path.section.default in choices else choices[0]
        else:
            decoded = [decode(path.parameter, choice) for choice in choices]
            values = tuple(tuple(v) if isinstance(v, list) else v for v in decoded)
            first = encode(middle(path.parameter, Choices(values)))
        for choice in [first, *(c for c in choices if c != first)]:
            if self.forbids.can_complete({**self.baseline, **self.params, name: choice}):
                return self._keep(name, choice)
        return self._keep(name, first)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        value: float = self._number(name, Range(low, high, log, step))
        return value

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        value: int = self._number(name, Range(low, high, log, step, integer=True))
        return value

    def _number(self, name: str, domain: Range) -> Any:
        given = self._given(name)
        parameter = locate(name).parameter
        assert parameter is not None
        value = given if given is not None else middle(parameter, domain)
        return self._keep(name, value)

    def _given(self, name: str) -> Value | None:
        """Return the value that the baseline names; `section.key` also sets `section.row.key`."""
        head, *rest = name.split(".")
        return self.baseline.get(name, self.baseline.get(f"{head}.{rest[-1]}" if rest else name))

    def _keep(self, name: str, value: Any) -> Any:
        self.params[name] = value
        return value


def fill_in(
    baseline: Mapping[str, Value], sections: Sections, forbids: Forbids
) -> tuple[dict[str, Any], dict[str, Choice]]:
    """Return all parameters of the study for a baseline, and the choices that they mean."""
    trial = BaselineTrial(baseline, forbids)
    choices = {name: suggest_section(trial, space) for name, space in sections.items()}
    return trial.params, choices


@dataclass(frozen=True)
class Candidate:
    """A baseline as it is written, with its `when` parsed.

    Args:
        written: its names and values.
        when: conditions on the data for which it is tried.
        label: its name in messages.
        is_own: whether the space itself has it. Mistakes in such baselines are errors; inherited
            baselines that do not fit are dropped.
        mistakes: mistakes in its `when`.
    """

    written: Any
    when: Conditions
    label: str
    is_own: bool
    mistakes: tuple[str, ...]


def read_baselines(written: Sequence[Any], n_own: int) -> list[Candidate]:
    """Return the baselines, those of the space itself first.

    Args:
        written: the tables.
        n_own: the number of tables that the space itself has.
    """
    candidates = []
    for number, baseline in enumerate(written, start=1):
        rest: Any = baseline
        when: Conditions = {}
        found: list[str] = []
        if isinstance(baseline, Mapping) and "when" in baseline:
            rest = {name: value for name, value in baseline.items() if name != "when"}
            when, found = _read_when(baseline["when"])
        is_own = number <= n_own
        label = f"[[baseline]] {number if is_own else number - n_own}"
        candidates.append(Candidate(rest, when, label, is_own, tuple(found)))
    return candidates


def _read_when(written: Any) -> tuple[Conditions, list[str]]:
    if not isinstance(written, Mapping):
        return {}, [f"when must be a table of conditions, got {show(written)}."]
    found: list[str] = []
    unknown_keys = [str(key) for key in written if key not in CONDITIONS]
    when = parse_conditions(written, unknown_keys, found)
    return when, [mistake("when", what) for what in found]


def fit_baseline(
    written: Any,
    sections: Sections,
    rules: Forbids,
    broken: Set[str],
    mistakes: list[str],
) -> Mapping[str, Value]:
    """Return the values of a baseline; append the reasons why it is not in the space."""
    baseline = _parse_baseline(written, sections, mistakes)
    if not isinstance(written, Mapping):
        return baseline
    # Sections with a mistake are not checked further.
    wrong = {name.split(".")[0] for name in flatten(written) if name not in baseline}
    sound = {name: v for name, v in baseline.items() if name.split(".")[0] not in wrong}
    found: list[str] = []
    _check_effect(sound, sections, rules, broken, found)
    mistakes += [what for what in found if not wrong or not what.startswith(FORBIDDEN)]
    return baseline


def _parse_baseline(written: Any, sections: Sections, mistakes: list[str]) -> dict[str, Value]:
    if not isinstance(written, Mapping):
        mistakes.append(f"must be a table of names and values, got {show(written)}.")
        return {}
    baseline: dict[str, Value] = {}
    for name, value in flatten(written).items():
        try:
            path = locate(name)
            if path.parameter is None:
                choices = sections[path.section.name].choices
                if value not in choices:
                    raise ValueError(unknown(f"choice of {name}", value, choices))
                baseline[name] = value
            else:
                baseline[name] = parse_value(path.parameter, value)
        except ValueError as error:
            mistakes.append(mistake(name, str(error)))
    return baseline


def _check_effect(
    baseline: Mapping[str, Value],
    sections: Sections,
    forbids: Forbids,
    broken: Set[str],
    mistakes: list[str],
) -> None:
    """Append mistakes about values that are outside the space, have no effect or are forbidden."""
    _, choices = fill_in(baseline, sections, forbids)
    for name, value in baseline.items():
        section, row, key = locate(name)
        if key is None:
            continue
        choice = choices[section.name]
        if row is not None and row != choice.name:
            mistakes.append(
                f"{name} has no effect with {section.name} = {show(choice.name)}. It needs "
                f"{section.name} = {show(row)}."
            )
        elif (
            row is None
            and key in section.parameters
            and not section.applies(key, choice.name, choice.parameters)
        ):
            mistakes.append(f"{name} has no effect with the rest of this baseline. Leave it out.")
        else:
            asked, domain = sections[section.name].domain(choice.name, key)
            if asked in broken:
                continue
            if isinstance(domain, Fixed) and domain.value != value:
                mistakes.append(
                    f"{name} must be {show(domain.value)}, the only value in the space, got "
                    f"{show(value)}."
                )
            elif not contains(domain, value):
                mistakes.append(f"{name} must be in the space, got {show(value)}.")
    forbidden = forbids.find(choices)
    if forbidden is not None and not mistakes and not broken:
        mistakes.append(f"{FORBIDDEN}, got {explain(forbidden)}.")
