"""The parts of a checked search space: domains by section, forbids, baselines and blocks.

`checking.py` makes a `SpaceDefinition` from a written space; it contains no mistakes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from autotrain.space.conditions import Conditions
from autotrain.space.domains import Choices, Domain, Fixed
from autotrain.space.sections import Section
from autotrain.techniques.technique import Parameter, Value


class Named(NamedTuple):
    """A parameter of the study: its name, its description and its domain."""

    name: str
    parameter: Parameter
    domain: Domain


@dataclass(frozen=True)
class SectionSpace:
    """The searched part of one section, with a domain for every parameter that can occur.

    Args:
        section: the row of `SECTIONS`.
        choices: the techniques to choose from; empty where the section has no table.
        parameters: domains of the shared parameters.
        rows: for each choice the domains of its own parameters, and of shared ones that it
            overrides.
    """

    section: Section
    choices: tuple[str, ...]
    parameters: Mapping[str, Domain]
    rows: Mapping[str, Mapping[str, Domain]]

    @property
    def row_names(self) -> tuple[str, ...]:
        """The possible names of a `Choice` of this section."""
        return self.choices or (self.section.default,)

    @property
    def is_searched(self) -> bool:
        """Whether there is anything to choose."""
        return len(self.choices) > 1 or any(
            not isinstance(domain, Fixed) for _, _, domain in self.named()
        )

    def domain(self, row: str, key: str) -> tuple[str, Domain]:
        """Return the name in the study and the domain of a parameter when `row` is chosen."""
        if key in self.rows.get(row, {}):
            return f"{self.section.name}.{row}.{key}", self.rows[row][key]
        return f"{self.section.name}.{key}", self.parameters[key]

    def named(self) -> Iterator[Named]:
        """Yield all parameters that can have an effect, shared ones first."""
        found: dict[str, Named] = {}
        for row in self.row_names:
            for key, parameter in self.section.parameters.items():
                if any(self.section.applies(key, row, values) for values in self._deciding()):
                    name, domain = self.domain(row, key)
                    found[name] = Named(name, parameter, domain)
        yield from (named for name, named in found.items() if name.count(".") == 1)
        for row in self.row_names:
            prefix = f"{self.section.name}.{row}."
            yield from (named for name, named in found.items() if name.startswith(prefix))
            for key, parameter in self.section.own_parameters(row).items():
                yield Named(prefix + key, parameter, self.rows[row][key])

    def _deciding(self) -> Iterator[dict[str, Value]]:
        """Yield the values that decide whether other parameters have an effect."""
        keys = self.section.deciding
        options = [
            domain.values
            if isinstance(domain := self.parameters[key], Choices)
            else (domain.value if isinstance(domain, Fixed) else domain.low,)
            for key in keys
        ]
        for values in itertools.product(*options):
            yield dict(zip(keys, values, strict=True))


# Values by the name of a choice or parameter; all must match for a combination to be forbidden.
Forbid = Mapping[str, tuple[Value, ...]]


class Baseline(NamedTuple):
    """Values of a configuration that is tried first; other parameters are filled in.

    Args:
        values: values by name, in the types of their parameters.
        when: conditions on the data for which it is tried.
    """

    values: Mapping[str, Value]
    when: Conditions


@dataclass(frozen=True)
class Block:
    """A `[[when]]` block: a part of a space that applies to some data only.

    Args:
        when: conditions on the data.
        sections: sections that are merged over the space, in the form of space files, because
            partial ranges have no meaning on their own.
        baselines: baselines that are tried before those of the rest of the space.
        is_only: whether the baselines of the rest of the space and of earlier blocks are dropped.
    """

    when: Conditions
    sections: Mapping[str, Any]
    baselines: tuple[Baseline, ...] = ()
    is_only: bool = False


class Dropped(NamedTuple):
    """An inherited baseline that is not tried, because it does not fit the space.

    Args:
        label: its name in messages.
        reason: the first mistake.
    """

    label: str
    reason: str


@dataclass(frozen=True)
class SpaceDefinition:
    """A complete, checked search space.

    Args:
        sections: one per row of `SECTIONS`, in that order.
        forbids: combinations that are never tried.
        baselines: configurations that are tried first.
        blocks: blocks that are merged over the rest, in this order, when the data are known.
        dropped: the inherited baselines that are not tried.
    """

    sections: Mapping[str, SectionSpace]
    forbids: tuple[Forbid, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    blocks: tuple[Block, ...] = ()
    dropped: tuple[Dropped, ...] = ()

    @property
    def has_conditions(self) -> bool:
        """Whether anything except "auto" depends on data that are not known yet."""
        return bool(self.blocks) or any(baseline.when for baseline in self.baselines)


def default_row(section: Section) -> tuple[str, ...]:
    """Return the choices of a section that a space does not mention."""
    return (section.default,) if section.rows else ()
