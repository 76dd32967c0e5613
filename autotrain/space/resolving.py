"""Resolve a space for given data: merge the blocks that apply, and replace "auto"."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from autotrain.errors import SpaceError
from autotrain.space.auto import AUTO_VALUES, DataShape
from autotrain.space.checking import check, with_blocks
from autotrain.space.conditions import conditions_text, hold
from autotrain.space.definition import Baseline, Block, SectionSpace, SpaceDefinition, default_row
from autotrain.space.domains import Choices, Domain, Fixed
from autotrain.space.section_checking import check_sections
from autotrain.space.values import AUTO
from autotrain.space.writing import to_dict
from autotrain.techniques.technique import Value


def resolve(definition: SpaceDefinition, shape: DataShape, source: str) -> SpaceDefinition:
    """Return the space for given data, without blocks, conditions and "auto".

    Args:
        source: the name of the space in messages.
    Raises:
        SpaceError: when blocks that apply to these data contradict each other.
    """
    if definition.has_conditions:
        definition = _merge_blocks(definition, shape, source)
    sections = {name: _for_data(space, shape) for name, space in definition.sections.items()}
    idle = {name for name, space in sections.items() if not space.section.has_effect(shape)}
    return replace(
        definition,
        sections=sections,
        forbids=tuple(f for f in definition.forbids if not any(_head(name) in idle for name in f)),
        baselines=tuple(
            Baseline({name: v for name, v in values.items() if _head(name) not in idle}, {})
            for values, _ in definition.baselines
        ),
    )


def _merge_blocks(definition: SpaceDefinition, shape: DataShape, source: str) -> SpaceDefinition:
    """Merge the blocks that apply; forbids and baselines that do not fit are dropped."""
    blocks = [block for block in definition.blocks if hold(block.when, shape)]
    first: list[Baseline] = []
    rest = definition.baselines
    for block in blocks:
        if block.is_only:
            first, rest = [], ()
        first += block.baselines
    general = to_dict(replace(definition, baselines=(), blocks=()))
    written = with_blocks(source, general, [block.sections for block in blocks])
    written.inherited_baseline = [
        dict(baseline.values) for baseline in (*first, *rest) if hold(baseline.when, shape)
    ]
    try:
        merged = check(written)
    except SpaceError as error:
        raise _conflict(source, general, blocks, error.mistakes) from None
    # Baselines that do not fit these data are intended; only those that never fit are reported.
    return replace(merged, dropped=definition.dropped)


def _conflict(
    source: str, general: Mapping[str, Any], blocks: Sequence[Block], mistakes: Iterable[str]
) -> SpaceError:
    """Return the error for blocks that contradict each other; it names a pair if one does."""
    for pair in itertools.combinations(blocks, 2):
        found = check_sections(with_blocks(source, general, [b.sections for b in pair])).mistakes
        if found:
            blocks, mistakes = pair, found
            break
    names = " and ".join(f"({conditions_text(block.when)})" for block in blocks)
    return SpaceError(
        source,
        [
            f"[[when]] blocks for {names} must not contradict each other: {what} Or change a "
            "condition so that only one of them applies."
            for what in mistakes
        ],
    )


def _for_data(space: SectionSpace, shape: DataShape) -> SectionSpace:
    """Replace "auto" in a section; fix the section at its default if it has no effect."""
    section = space.section
    if section.has_effect(shape):
        parameters = {
            key: _without_auto(domain, f"{section.name}.{key}", shape)
            for key, domain in space.parameters.items()
        }
        return replace(space, parameters=parameters)
    choices = default_row(section)
    return SectionSpace(
        section,
        choices,
        {key: Fixed(parameter.default) for key, parameter in section.parameters.items()},
        {
            row: {key: Fixed(p.default) for key, p in section.own_parameters(row).items()}
            for row in choices
        },
    )


def _without_auto(domain: Domain, name: str, shape: DataShape) -> Domain:
    if name not in AUTO_VALUES:
        return domain
    value: Value = AUTO_VALUES[name](shape)
    if domain == Fixed(AUTO):
        return Fixed(value)
    if isinstance(domain, Choices) and AUTO in domain.values:
        values = dict.fromkeys(value if item == AUTO else item for item in domain.values)
        return Choices(tuple(values)) if len(values) > 1 else Fixed(next(iter(values)))
    return domain


def _head(name: str) -> str:
    return name.split(".")[0]
