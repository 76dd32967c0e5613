"""What a checked search space consists of: domains by section, forbids, baselines, blocks.

Nothing here can be wrong any more: `checking.py` makes a `Definition` out of what was read.
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
    """A parameter of the study: its name, what it is, what is searched."""

    name: str
    parameter: Parameter
    domain: Domain


@dataclass(frozen=True)
class SectionSpace:
    """What may be in one section; every parameter that can occur has its domain.

    Args:
        section: the row of `SECTIONS`.
        choices: the techniques to choose from; empty where the section has no table.
        parameters: domains of the shared parameters.
        rows: for each choice the domains of its own parameters, and of the shared ones that are
            said differently for it.
    """

    section: Section
    choices: tuple[str, ...]
    parameters: Mapping[str, Domain]
    rows: Mapping[str, Mapping[str, Domain]]

    @property
    def row_names(self) -> tuple[str, ...]:
        """The names a `Choice` of this section can have, with or without a table."""
        return self.choices or (self.section.default,)

    @property
    def is_searched(self) -> bool:
        """Whether there is anything to choose."""
        return len(self.choices) > 1 or any(
            not isinstance(domain, Fixed) for _, _, domain in self.named()
        )

    def domain(self, row: str, key: str) -> tuple[str, Domain]:
        """Return the study's name and the domain of a parameter when `row` is chosen."""
        if key in self.rows.get(row, {}):
            return f"{self.section.name}.{row}.{key}", self.rows[row][key]
        return f"{self.section.name}.{key}", self.parameters[key]

    def named(self) -> Iterator[Named]:
        """Yield all parameters that can be asked for, shared ones first."""
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
    """What a configuration tried first must have; the rest is filled in.

    Args:
        values: by name, in their parameters' own types.
        when: it is tried only with data for which these hold.
    """

    values: Mapping[str, Value]
    when: Conditions


@dataclass(frozen=True)
class Block:
    """A `[[when]]` block: what holds only for some data.

    Args:
        when: the data for which it holds.
        sections: what is laid over the space, in the grammar of space files (partial ranges mean
            nothing by themselves).
        baselines: tried before those of the rest.
        is_only: whether the baselines of the rest, and of blocks before it, are dropped.
    """

    when: Conditions
    sections: Mapping[str, Any]
    baselines: tuple[Baseline, ...] = ()
    is_only: bool = False


class Dropped(NamedTuple):
    """An inherited baseline that is not tried, because it does not fit the space.

    Args:
        label: which one, for messages.
        reason: the first thing that does not fit.
    """

    label: str
    reason: str


@dataclass(frozen=True)
class Definition:
    """A whole space.

    Args:
        sections: one per row of `SECTIONS`, in that order.
        forbids: combinations never tried.
        baselines: the configurations tried first.
        blocks: what is laid over the rest when the data are known, in that order.
        dropped: the inherited baselines that are not tried.
    """

    sections: Mapping[str, SectionSpace]
    forbids: tuple[Forbid, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    blocks: tuple[Block, ...] = ()
    dropped: tuple[Dropped, ...] = ()

    @property
    def has_conditions(self) -> bool:
        """Whether anything depends on data that are not known yet, "auto" aside."""
        return bool(self.blocks) or any(baseline.when for baseline in self.baselines)


def default_row(section: Section) -> tuple[str, ...]:
    """Return the choices of a section of which a space says nothing."""
    return (section.default,) if section.rows else ()
