"""`[[forbid]]`: combinations that are never tried.

A forbid names choices and countable parameters with the values that they must not have together; a
list means any of its values. `Forbids` answers three questions: is this configuration forbidden,
can these first parameters be completed to an allowed configuration, and how many combinations are
allowed.

Samplers need the second answer. A trial draws its parameters one by one. A sampler that rejects
every value after which no allowed configuration is left ends at an allowed one, so no trial is
wasted. `SearchSpace.suggest` cannot draw again, because Optuna keeps a trial's first answer. It
raises `ForbiddenCombination` if the sampler did not check.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autotrain.errors import SpaceError
from autotrain.space.config import Choice
from autotrain.space.definition import Forbid, SectionSpace
from autotrain.space.domains import Domain, Range
from autotrain.space.sections import ParameterPath, locate
from autotrain.space.values import contains, count_values, decode, listed, show
from autotrain.techniques.technique import Value

Sections = Mapping[str, SectionSpace]
# The values of one section for the names that forbids mention.
Local = frozenset[tuple[str, Value]]
# Represents all values that no forbid mentions.
OTHER = "\0other"


class ForbiddenCombination(SpaceError):  # noqa: N818 - caught by the search
    """A trial drew a combination that the space forbids."""


def explain(forbid: Forbid) -> str:
    """Write a forbid in one line: `activation = "selu", initializer = "he_normal"`."""
    return ", ".join(
        f"{name} = {show(values[0]) if len(values) == 1 else show(list(values))}"
        for name, values in forbid.items()
    )


class Forbids:
    """The compiled forbids of a space.

    Args:
        sections: the domains.
        forbids: the rules.
    """

    def __init__(self, sections: Sections, forbids: Sequence[Forbid]) -> None:
        self.sections = sections
        self.forbids = tuple(forbids)
        self.mentioned: dict[str, set[Value]] = {}
        for forbid in forbids:
            for name, values in forbid.items():
                self.mentioned.setdefault(name, set()).update(values)
        for name in list(self.mentioned):
            self._mention_deciding(locate(name))
        self.involved = list(dict.fromkeys(name.split(".")[0] for name in self.mentioned))
        self.locals = {name: self._local(sections[name]) for name in sections}
        self._compiled = [
            [(locate(name), values) for name, values in forbid.items()] for forbid in forbids
        ]
        self._completable: dict[Local, bool] = {}

    def _mention_deciding(self, path: ParameterPath) -> None:
        """Add the values that decide whether a mentioned parameter has an effect."""
        if path.key is None:
            return
        space = self.sections[path.section.name]
        if space.choices:
            self.mentioned.setdefault(path.section.name, set()).update(space.choices)
        for key in path.section.deciding:
            domain = space.parameters[key]
            values = () if isinstance(domain, Range) else listed(domain)
            self.mentioned.setdefault(f"{path.section.name}.{key}", set()).update(values)

    def find(self, choices: Mapping[str, Choice]) -> Forbid | None:
        """Return the forbid that these complete choices violate, or None."""
        for forbid, conditions in zip(self.forbids, self._compiled, strict=True):
            if all(_matches(choices, path, values) for path, values in conditions):
                return forbid
        return None

    def can_complete(self, params: Mapping[str, Any]) -> bool:
        """Whether an allowed configuration has these parameters; others may be missing."""
        known = self._known(params)
        key = frozenset(known.items())
        if key not in self._completable:
            self._completable[key] = any(True for _ in self._allowed(known))
        return self._completable[key]

    def count(self) -> int:
        """Return the number of allowed combinations of countable parameters."""
        free = math.prod(
            sum(counts.values())
            for name, counts in self.locals.items()
            if name not in self.involved
        )
        return free * sum(self._allowed({}))

    def _known(self, params: Mapping[str, Any]) -> dict[str, Value]:
        """Return the parameters that forbids mention, with the values as forbids write them."""
        known: dict[str, Value] = {}
        for name, value in params.items():
            head, *rest = name.split(".")
            shared = f"{head}.{rest[-1]}" if len(rest) > 1 else name
            for word in (name, shared):
                if word in self.mentioned:
                    parameter = locate(name).parameter
                    decoded = value if parameter is None else decode(parameter, value)
                    decoded = tuple(decoded) if isinstance(decoded, list) else decoded
                    known[word] = self._word_for(word, decoded)
        return known

    def _word_for(self, name: str, value: Any) -> Value:
        mentioned = self.mentioned[name]
        if value in mentioned:
            return value
        # Optuna adds steps in binary, so 0.3 may come as 0.1 · 3.
        numbers = (m for m in mentioned if isinstance(m, float) and isinstance(value, float))
        return next((m for m in numbers if math.isclose(m, value, rel_tol=1e-9)), OTHER)

    def _allowed(self, known: Mapping[str, Value]) -> Iterator[int]:
        """Yield the number of combinations for every allowed assignment of the mentioned names."""
        # Known values of a parameter without effect are ignored.
        options = [
            [
                (dict(local), count)
                for local, count in self.locals[name].items()
                if all(known.get(word, value) == value for word, value in local)
            ]
            for name in self.involved
        ]
        yield from self._search(options, {}, 1)

    def _search(
        self,
        options: list[list[tuple[dict[str, Value], int]]],
        chosen: dict[str, Value],
        count: int,
    ) -> Iterator[int]:
        if any(_violates(chosen, forbid) for forbid in self.forbids):
            return
        if not options:
            yield count
            return
        for local, n in options[0]:
            yield from self._search(options[1:], chosen | local, count * n)

    def _local(self, space: SectionSpace) -> Counter[Local]:
        """Count the combinations of a section by their values for the mentioned names."""
        section = space.section
        counts: Counter[Local] = Counter()
        for row in space.row_names:
            chosen = {}
            if section.name in self.mentioned:
                chosen[section.name] = self._word_for(section.name, row)
            keys = [*section.parameters, *section.own_parameters(row)]
            self._count_keys(space, row, keys, {}, chosen, 1, counts)
        return counts

    def _count_keys(
        self,
        space: SectionSpace,
        row: str,
        keys: list[str],
        values: dict[str, Value],
        chosen: dict[str, Value],
        count: int,
        counts: Counter[Local],
    ) -> None:
        if not keys:
            counts[frozenset(chosen.items())] += count
            return
        key, *rest = keys
        section = space.section
        is_shared = key in section.parameters
        if is_shared and not section.applies(key, row, values):
            self._count_keys(space, row, rest, values, chosen, count, counts)
            return
        domain = space.domain(row, key)[1]
        name = f"{section.name}.{key}" if is_shared else f"{section.name}.{row}.{key}"
        for value, word, n in self._options(name, key in section.deciding, domain):
            also = chosen if word is None else chosen | {name: word}
            more = values | {key: value}
            self._count_keys(space, row, rest, more, also, count * n, counts)

    def _options(
        self, name: str, is_deciding: bool, domain: Domain
    ) -> Iterator[tuple[Value, Value | None, int]]:
        """Yield (a value, its form in forbids, the number of values that it represents)."""
        mentioned = self.mentioned.get(name)
        if isinstance(domain, Range):
            n = count_values(domain) or 1
            inside = [value for value in mentioned or () if contains(domain, value)]
            yield from ((value, value, 1) for value in inside)
            if n > len(inside):
                yield domain.low, None if mentioned is None else OTHER, n - len(inside)
        elif mentioned is None and not is_deciding:
            values = listed(domain)
            yield values[0], None, len(values)
        else:
            for value in listed(domain):
                yield value, None if mentioned is None else self._word_for(name, value), 1


def _matches(choices: Mapping[str, Choice], path: ParameterPath, values: tuple[Value, ...]) -> bool:
    section, row, key = path
    choice = choices[section.name]
    if key is None:
        return choice.name in values
    if row is not None and row != choice.name:
        return False
    if row is None and not section.applies(key, choice.name, choice.parameters):
        return False
    return choice.parameters[key] in values


def _violates(chosen: Mapping[str, Value], forbid: Forbid) -> bool:
    return all(name in chosen and chosen[name] in values for name, values in forbid.items())
