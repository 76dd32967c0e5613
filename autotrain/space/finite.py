"""List every configuration of a finite space.

A leaf is one complete set of parameters. Only forbids relate sections to each other, so the leaves
are the product of the leaves of the sections, without forbidden ones. Different leaves may mean the
same configuration: without hidden layers, their width has no effect.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from autotrain.space.config import Choice
from autotrain.space.definition import SectionSpace
from autotrain.space.domains import Range
from autotrain.space.forbidding import Forbids, Sections
from autotrain.space.suggesting import suggest_section
from autotrain.space.values import count_values, snap

MOST_LEAVES = 10_000
"""Larger spaces are not listed, because no search tries all their configurations."""


class Leaf(NamedTuple):
    """One complete set of parameters of a space.

    Args:
        params: values by the names of the study's parameters.
        config: number of the configuration, equal for equal configurations.
    """

    params: Mapping[str, Any]
    config: int


class _SectionLeaf(NamedTuple):
    params: dict[str, Any]
    choice: Choice
    identity: int | str


def all_leaves(sections: Sections, forbids: Forbids) -> tuple[Leaf, ...] | None:
    """Return every leaf of a space; None when a parameter is continuous or there are too many."""
    if any(count_values(domain) is None for s in sections.values() for _, _, domain in s.named()):
        return None
    if forbids.count() > MOST_LEAVES:
        return None
    found = {name: list(_section_leaves(space)) for name, space in sections.items()}
    if math.prod(map(len, found.values())) > 10 * MOST_LEAVES:
        return None
    fixed = {name: leaves[0].choice for name, leaves in found.items() if len(leaves) == 1}
    open_sections = [name for name in found if name not in fixed]
    numbers: dict[tuple[int | str, ...], int] = {}
    leaves = []
    for parts in itertools.product(*(found[name] for name in open_sections)):
        choices = {name: part.choice for name, part in zip(open_sections, parts, strict=True)}
        if forbids.find(fixed | choices) is None:
            params = {name: value for part in parts for name, value in part.params.items()}
            config = numbers.setdefault(tuple(part.identity for part in parts), len(numbers))
            leaves.append(Leaf(params, config))
    return tuple(leaves)


def _identity(section: str, choice: Choice, number: int) -> int | str:
    """Return a key that is equal for leaves with the same configuration."""
    if section != "network":
        return number
    units, layers = choice["hidden_units"], choice["hidden_layers"]
    return units if isinstance(units, str) else "-".join([str(units)] * layers)


class _Path:
    """A trial that follows a path of answers and then gives the first value of each parameter.

    It records the number of values of each parameter in `counts`.

    Args:
        path: index of the answer among the values of each parameter, in order.
    """

    def __init__(self, path: Sequence[int]) -> None:
        self.path = path
        self.counts: list[int] = []
        self.params: dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._answer(name, choices)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        domain = Range(low, high, log, step)
        n = count_values(domain) or 0
        value: float = self._answer(name, [snap(domain, low + i * (step or 0)) for i in range(n)])
        return value

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        value: int = self._answer(name, range(low, high + 1, step))
        return value

    def _answer(self, name: str, values: Sequence[Any]) -> Any:
        index = self.path[len(self.counts)] if len(self.counts) < len(self.path) else 0
        self.counts.append(len(values))
        self.params[name] = values[index]
        return values[index]


def _section_leaves(space: SectionSpace) -> Iterator[_SectionLeaf]:
    """Yield every leaf of one section."""
    waiting: list[list[int]] = [[]]
    for number in itertools.count():
        if not waiting:
            return
        path = waiting.pop()
        trial = _Path(path)
        choice = suggest_section(trial, space)
        yield _SectionLeaf(trial.params, choice, _identity(space.section.name, choice, number))
        firsts = [*path, *[0] * (len(trial.counts) - len(path))]
        for depth in range(len(path), len(trial.counts)):
            waiting += [[*firsts[:depth], n] for n in range(1, trial.counts[depth])]
