"""`[[forbid]]`: combinations that are never tried.

A forbid names choices and countable parameters with the values they must not have together; a list
stands for any of its values. `Forbids` answers three questions: is this configuration forbidden,
can this beginning of one still be completed, and how many are left.

The second question is what a sampler needs: a trial that draws its parameters one by one and never
accepts a value after which nothing allowed is left ends at an allowed configuration, so no trial is
wasted. `SearchSpace.suggest` cannot draw anew (Optuna keeps a trial's first answer); it raises
`ForbiddenCombination` when a sampler did not ask.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autotrain.errors import AutotrainError
from autotrain.space.config import Choice
from autotrain.space.definition import Forbid, SectionSpace
from autotrain.space.domains import Domain, Range
from autotrain.space.sections import Place, locate
from autotrain.space.values import contains, count_values, decode, listed, show
from autotrain.techniques.technique import Value

Sections = Mapping[str, SectionSpace]
# What one section says about the names that forbids mention.
Local = frozenset[tuple[str, Value]]
# Stands for all values that no forbid mentions.
OTHER = "\0other"


class ForbiddenCombination(AutotrainError):  # noqa: N818 - half an answer, not an error
    """A trial drew a combination that the space forbids; draw another trial."""

    def __init__(self, forbid: Forbid) -> None:
        self.forbid = dict(forbid)
        super().__init__(f"must not be combined: {explain(forbid)}")

    def __reduce__(self) -> tuple[type[ForbiddenCombination], tuple[Forbid]]:
        return type(self), (self.forbid,)


def explain(forbid: Forbid) -> str:
    """Write a forbid in one line: `activation = "selu", initializer = "he_normal"`."""
    return ", ".join(
        f"{name} = {show(values[0]) if len(values) == 1 else show(list(values))}"
        for name, values in forbid.items()
    )


class Forbids:
    """The forbids of a space, ready to be asked.

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
            self._mention_what_decides(locate(name))
        self.involved = list(dict.fromkeys(name.split(".")[0] for name in self.mentioned))
        self.locals = {name: self._local(sections[name]) for name in sections}
        self._compiled = [
            [(locate(name), values) for name, values in forbid.items()] for forbid in forbids
        ]
        self._completable: dict[Local, bool] = {}

    def _mention_what_decides(self, place: Place) -> None:
        """Tell apart also the values that decide whether a parameter mentioned is asked for."""
        if place.key is None:
            return
        space = self.sections[place.section.name]
        if space.choices:
            self.mentioned.setdefault(place.section.name, set()).update(space.choices)
        for key in place.section.deciding:
            domain = space.parameters[key]
            told_apart = () if isinstance(domain, Range) else listed(domain)
            self.mentioned.setdefault(f"{place.section.name}.{key}", set()).update(told_apart)

    def find(self, choices: Mapping[str, Choice]) -> Forbid | None:
        """Return the forbid that these complete choices break, or None."""
        for forbid, conditions in zip(self.forbids, self._compiled, strict=True):
            if all(_matches(choices, place, values) for place, values in conditions):
                return forbid
        return None

    def can_complete(self, params: Mapping[str, Any]) -> bool:
        """Tell whether some allowed configuration has these parameters; not all need be named."""
        known = self._known(params)
        key = frozenset(known.items())
        if key not in self._completable:
            self._completable[key] = any(True for _ in self._allowed(known))
        return self._completable[key]

    def count(self) -> int:
        """Return how many combinations of countable parameters are allowed."""
        free = math.prod(
            sum(counts.values())
            for name, counts in self.locals.items()
            if name not in self.involved
        )
        return free * sum(self._allowed({}))

    def _known(self, params: Mapping[str, Any]) -> dict[str, Value]:
        """Keep what forbids mention, in their words."""
        known: dict[str, Value] = {}
        for name, value in params.items():
            head, *rest = name.split(".")
            shared = f"{head}.{rest[-1]}" if len(rest) > 1 else name
            for word in (name, shared):
                if word in self.mentioned:
                    parameter = locate(name).parameter
                    plain = value if parameter is None else decode(parameter, value)
                    plain = tuple(plain) if isinstance(plain, list) else plain
                    known[word] = self._word_for(word, plain)
        return known

    def _word_for(self, name: str, value: Any) -> Value:
        mentioned = self.mentioned[name]
        if value in mentioned:
            return value
        # Optuna adds steps in binary, so 0.3 may come as 0.1 · 3.
        numbers = (m for m in mentioned if isinstance(m, float) and isinstance(value, float))
        return next((m for m in numbers if math.isclose(m, value, rel_tol=1e-9)), OTHER)

    def _allowed(self, known: Mapping[str, Value]) -> Iterator[int]:
        """Yield the number of combinations of every allowed way to answer what forbids mention."""
        # What is known of a parameter that would have no effect does not matter.
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
        self, options: list[list[tuple[dict[str, Value], int]]], said: dict[str, Value], count: int
    ) -> Iterator[int]:
        if any(_breaks(said, forbid) for forbid in self.forbids):
            return
        if not options:
            yield count
            return
        for local, n in options[0]:
            yield from self._search(options[1:], said | local, count * n)

    def _local(self, space: SectionSpace) -> Counter[Local]:
        """Count a section's combinations by what they say about the names mentioned."""
        section = space.section
        counts: Counter[Local] = Counter()
        for row in space.row_names:
            said = {}
            if section.name in self.mentioned:
                said[section.name] = self._word_for(section.name, row)
            keys = [*section.parameters, *section.own_parameters(row)]
            self._count_keys(space, row, keys, {}, said, 1, counts)
        return counts

    def _count_keys(
        self,
        space: SectionSpace,
        row: str,
        keys: list[str],
        values: dict[str, Value],
        said: dict[str, Value],
        count: int,
        counts: Counter[Local],
    ) -> None:
        if not keys:
            counts[frozenset(said.items())] += count
            return
        key, *rest = keys
        section = space.section
        is_shared = key in section.parameters
        if is_shared and not section.applies(key, row, values):
            self._count_keys(space, row, rest, values, said, count, counts)
            return
        domain = space.domain(row, key)[1]
        name = f"{section.name}.{key}" if is_shared else f"{section.name}.{row}.{key}"
        for value, word, n in self._options(name, key in section.deciding, domain):
            also = said if word is None else said | {name: word}
            more = values | {key: value}
            self._count_keys(space, row, rest, more, also, count * n, counts)

    def _options(
        self, name: str, is_deciding: bool, domain: Domain
    ) -> Iterator[tuple[Value, Value | None, int]]:
        """Yield (a value, the word forbids have for it, how many values it stands for)."""
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


def _matches(choices: Mapping[str, Choice], place: Place, values: tuple[Value, ...]) -> bool:
    section, row, key = place
    choice = choices[section.name]
    if key is None:
        return choice.name in values
    if row is not None and row != choice.name:
        return False
    if row is None and not section.applies(key, choice.name, choice.parameters):
        return False
    return choice.parameters[key] in values


def _breaks(said: Mapping[str, Value], forbid: Forbid) -> bool:
    return all(name in said and said[name] in values for name, values in forbid.items())
