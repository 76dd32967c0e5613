"""`[[baseline]]`: configurations that are tried first.

A baseline names what matters; the rest is filled in with defaults where the space has them and
with the middle of the range where not, so that a baseline is one definite configuration.
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
from autotrain.space.naming import flatten
from autotrain.space.sections import locate
from autotrain.space.suggesting import suggest_section
from autotrain.space.values import contains, decode, encode, middle, parse_value, show
from autotrain.techniques.technique import Value

FORBIDDEN = "must not be forbidden"


class Filling:
    """A trial that answers with a baseline's values, and fills in the rest.

    Args:
        baseline: values by name, in their parameters' own types.
        forbids: a filled-in choice must leave an allowed configuration.
    """

    def __init__(self, baseline: Mapping[str, Value], forbids: Forbids) -> None:
        self.baseline = dict(baseline)
        self.forbids = forbids
        self.params: dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        given = self._given(name)
        if given is not None and encode(given) in choices:
            return self._keep(name, encode(given))
        place = locate(name)
        if place.parameter is None:
            first = place.section.default if place.section.default in choices else choices[0]
        else:
            decoded = [decode(place.parameter, choice) for choice in choices]
            values = tuple(tuple(v) if isinstance(v, list) else v for v in decoded)
            first = encode(middle(place.parameter, Choices(values)))
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
        """Return the baseline's own value; `optimizer.learning_rate` also stands for a row's."""
        head, *rest = name.split(".")
        return self.baseline.get(name, self.baseline.get(f"{head}.{rest[-1]}" if rest else name))

    def _keep(self, name: str, value: Any) -> Any:
        self.params[name] = value
        return value


def fill_in(
    baseline: Mapping[str, Value], sections: Sections, forbids: Forbids
) -> tuple[dict[str, Any], dict[str, Choice]]:
    """Return a baseline's parameters of the study, all of them, and the choices they make."""
    filling = Filling(baseline, forbids)
    choices = {name: suggest_section(filling, space) for name, space in sections.items()}
    return filling.params, choices


@dataclass(frozen=True)
class Candidate:
    """A baseline as it was written, but for its `when`, which is read.

    Args:
        written: its names and values.
        when: the data for which it is tried.
        label: what to call it in messages.
        is_own: whether it must be right; others are dropped when they do not fit.
        mistakes: what is wrong with its `when`.
    """

    written: Any
    when: Conditions
    label: str
    is_own: bool
    mistakes: tuple[str, ...]


def read_baselines(written: Sequence[Any], n_own: int) -> list[Candidate]:
    """Return what stands in `[[baseline]]`, the own ones first."""
    candidates = []
    for number, baseline in enumerate(written, start=1):
        rest: Any = baseline
        when: Conditions = {}
        found: list[str] = []
        if isinstance(baseline, Mapping) and "when" in baseline:
            rest = {name: value for name, value in baseline.items() if name != "when"}
            when, found = _read_when(baseline["when"])
        label = f"[[baseline]] {number}"
        candidates.append(Candidate(rest, when, label, number <= n_own, tuple(found)))
    return candidates


def _read_when(written: Any) -> tuple[Conditions, list[str]]:
    if not isinstance(written, Mapping):
        return {}, [f"when: must be a table of conditions, however: {show(written)}"]
    found: list[str] = []
    strange = [str(key) for key in written if key not in CONDITIONS]
    when = parse_conditions(written, strange, found)
    return when, [f"when: {mistake}" for mistake in found]


def fit_baseline(
    written: Any,
    sections: Sections,
    rules: Forbids,
    broken: Set[str],
    mistakes: list[str],
) -> Mapping[str, Value]:
    """Return a baseline's values, complaining about all that keeps it out of a space."""
    baseline = _parse_baseline(written, sections, mistakes)
    if not isinstance(written, Mapping):
        return baseline
    # Nothing more can be said of a section in which something is wrong already.
    wrong = {name.split(".")[0] for name in flatten(written) if name not in baseline}
    sound = {name: v for name, v in baseline.items() if name.split(".")[0] not in wrong}
    found: list[str] = []
    _check_effect(sound, sections, rules, broken, found)
    mistakes += [mistake for mistake in found if not wrong or not mistake.startswith(FORBIDDEN)]
    return baseline


def _parse_baseline(written: Any, sections: Sections, mistakes: list[str]) -> dict[str, Value]:
    if not isinstance(written, Mapping):
        mistakes.append(f"must be a table of names and values, however: {show(written)}")
        return {}
    baseline: dict[str, Value] = {}
    for name, value in flatten(written).items():
        try:
            place = locate(name)
            if place.parameter is None:
                choices = sections[place.section.name].choices
                if value not in choices:
                    raise ValueError(unknown(f"choice of {name}", value, choices))
                baseline[name] = value
            else:
                baseline[name] = parse_value(place.parameter, value)
        except ValueError as error:
            mistakes.append(f"{name}: {error}")
    return baseline


def _check_effect(
    baseline: Mapping[str, Value],
    sections: Sections,
    forbids: Forbids,
    broken: Set[str],
    mistakes: list[str],
) -> None:
    """Complain about what lies outside the space, has no effect or is forbidden."""
    _, choices = fill_in(baseline, sections, forbids)
    for name, value in baseline.items():
        section, row, key = locate(name)
        if key is None:
            continue
        choice = choices[section.name]
        if row is not None and row != choice.name:
            mistakes.append(
                f"{name}: has no effect unless {section.name} = {show(row)}, "
                f"however: {section.name} = {show(choice.name)}"
            )
        elif (
            row is None
            and key in section.parameters
            and not section.applies(key, choice.name, choice.parameters)
        ):
            mistakes.append(f"{name}: has no effect with the rest of this baseline; leave it out")
        else:
            asked, domain = sections[section.name].domain(choice.name, key)
            if asked in broken:
                continue
            if isinstance(domain, Fixed) and domain.value != value:
                mistakes.append(
                    f"{name}: must be the space's only value {show(domain.value)}, "
                    f"however: {show(value)}"
                )
            elif not contains(domain, value):
                mistakes.append(f"{name}: must lie in the space, however: {show(value)}")
    forbidden = forbids.find(choices)
    if forbidden is not None and not mistakes and not broken:
        mistakes.append(f"{FORBIDDEN}, however: {explain(forbidden)} is")
