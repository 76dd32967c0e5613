"""Check a space that was read and convert it to a `SpaceDefinition`.

A check never stops at the first mistake. Each mistake names its place, the legal values and the
nearest known word.

Each `[[when]]` block is checked on its own: with its baselines, it must be valid over the rest of
the space, without the other blocks. resolving.py merges the blocks that apply to given data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from autotrain.errors import SpaceError, nearest, unknown
from autotrain.space.baselines import Candidate, read_baselines
from autotrain.space.conditions import CONDITIONS, Conditions, parse_conditions
from autotrain.space.definition import Baseline, Block, Dropped, SpaceDefinition
from autotrain.space.merging import merge
from autotrain.space.naming import mistake
from autotrain.space.reading import WrittenSpace
from autotrain.space.rules import own_rules
from autotrain.space.section_checking import CheckedSections, check_sections
from autotrain.space.sections import SECTIONS, where_else
from autotrain.space.values import show
from autotrain.space.writing import to_dict

OUTSIDE = {
    "extends": "A space extends another for all data.",
    "forbid": "Combinations are forbidden for all data.",
    "when": "Write one block with the conditions of both.",
}


def check(written: WrittenSpace) -> SpaceDefinition:
    """Return the checked space.

    Raises:
        SpaceError: with all mistakes of the space at once.
    """
    mistakes = list(written.mistakes)
    dropped: list[Dropped] = []
    general = check_sections(written)
    mistakes += general.mistakes
    n_own = len(own_rules(written.baseline, "baseline", mistakes))
    candidates = read_baselines(written.all_baseline(), n_own) if written.is_whole else []
    baselines = _fitting(candidates, general, "", mistakes, dropped)
    n_inherited = len(written.all_when()) - len(own_rules(written.when, "when", mistakes))
    check_block = _BlockCheck(written, general, dropped)
    blocks = []
    for number, block in enumerate(written.all_when(), start=1):
        own_number = number - n_inherited
        is_own = own_number > 0
        label = f"[[when]] {own_number}" if is_own else f"[[when]] {number} of the space it extends"
        found: list[str] = []
        checked = check_block.run(_read_block(block, is_own, found), number, found)
        mistakes += [mistake(label, what) for what in found]
        if checked.sections or checked.baselines or checked.is_only:
            blocks.append(checked)
    if mistakes:
        raise SpaceError(written.source, mistakes)
    return SpaceDefinition(
        general.sections, general.forbids, baselines, tuple(blocks), tuple(dropped)
    )


def with_blocks(
    source: str, general: Mapping[str, Any], blocks: Iterable[Mapping[str, Any]]
) -> WrittenSpace:
    """Merge the sections of blocks over the rest of a space, which `to_dict` wrote."""
    sections = dict(general)
    forbids = sections.pop("forbid", [])
    for block in blocks:
        sections = merge(sections, block)
    return WrittenSpace(source, sections, inherited_forbid=forbids, above="the rest of the space")


def _fitting(
    candidates: Iterable[Candidate],
    space: CheckedSections,
    place: str,
    mistakes: list[str],
    dropped: list[Dropped],
) -> tuple[Baseline, ...]:
    """Return the baselines that fit; own ones that do not are mistakes, inherited ones dropped."""
    fitting: list[Baseline] = []
    for candidate in candidates:
        baseline, misfits = space.fit(candidate)
        found = [*candidate.mistakes, *misfits]
        if candidate.is_own:
            mistakes += [mistake(candidate.label, what) for what in found]
        elif found:
            dropped.append(Dropped(f"{candidate.label}{place}", found[0]))
        if not found and baseline not in fitting:
            fitting.append(baseline)
    return tuple(fitting)


@dataclass
class _WrittenBlock:
    """A block as it is written.

    Args:
        when: the conditions that are right.
        sections: what is merged over the rest of the space.
        candidates: its baselines.
        is_only: whether it drops the baselines before it.
    """

    when: Conditions = field(default_factory=dict)
    sections: dict[str, Any] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)
    is_only: bool = False


class _BlockCheck:
    """The check of blocks over the rest of a space.

    Args:
        written: the space.
        general: the space without its blocks, checked.
        dropped: inherited baselines that do not fit are appended here.
    """

    def __init__(
        self, written: WrittenSpace, general: CheckedSections, dropped: list[Dropped]
    ) -> None:
        self.written = written
        self.general = general
        self.dropped = dropped
        # `resolving.py` merges over the same form. With mistakes, only the written form exists.
        if written.is_whole and not general.mistakes:
            self.base = to_dict(SpaceDefinition(general.sections, general.forbids))
        else:
            self.base = {**written.sections, "forbid": written.all_forbid()}

    def run(self, block: _WrittenBlock, number: int, mistakes: list[str]) -> Block:
        """Return a checked block; its mistakes are appended to `mistakes`."""
        source, is_whole = self.written.source, self.written.is_whole
        merged = with_blocks(source, self.base, [block.sections])
        checked = check_sections(replace(merged, is_whole=is_whole))
        alone = check_sections(WrittenSpace(source, block.sections, is_whole=False)).mistakes
        mistakes += [m for m in checked.mistakes if m not in self.general.mistakes or m in alone]
        baselines: tuple[Baseline, ...] = ()
        if is_whole:
            place = f" of [[when]] {number}"
            baselines = _fitting(block.candidates, checked, place, mistakes, self.dropped)
        sections = {name: _with_choices(section) for name, section in block.sections.items()}
        return Block(block.when, sections, baselines, block.is_only)


def _read_block(written: Any, is_own: bool, mistakes: list[str]) -> _WrittenBlock:
    """Return a block; mistakes in its conditions and keys are appended to `mistakes`."""
    if not isinstance(written, Mapping):
        mistakes.append(f"must be a table of conditions and sections, got {show(written)}.")
        return _WrittenBlock()
    before = len(mistakes)
    known = [*CONDITIONS, *SECTIONS, "baseline", *OUTSIDE]
    others = [key for key in written if key not in known]
    unknown_conditions = [key for key in others if _is_meant_as_condition(key, written[key])]
    when = parse_conditions(written, unknown_conditions, mistakes)
    for key in others:
        if key not in unknown_conditions:
            words = [*SECTIONS, "baseline"]
            mistakes.append(f"[{key}]: {unknown('section', key, words)}{where_else(key)}")
    for key, why in OUTSIDE.items():
        if key in written:
            mistakes.append(f"{key} must be outside of [[when]], got one inside. {why}")
    sections = {key: value for key, value in written.items() if key in SECTIONS}
    baselines = own_rules(written.get("baseline"), "baseline", mistakes)
    is_only = written.get("baseline") == []
    if is_own and not sections and not baselines and not is_only and len(mistakes) == before:
        mistakes.append(
            "must have sections or baselines, got only conditions. "
            "Write [when.dropout] for a section of the block, not [dropout]."
        )
    candidates = read_baselines(baselines, len(baselines) if is_own else 0)
    return _WrittenBlock(when, sections, candidates, is_only)


def _is_meant_as_condition(key: str, value: Any) -> bool:
    """Whether an unknown key of a block is probably a misspelled condition."""
    if isinstance(value, Mapping):
        return False
    return nearest(key, CONDITIONS) is not None or nearest(key, SECTIONS) is None


def _with_choices(section: Any) -> Any:
    """Convert `choice` to `choices`, so that equal blocks are written equally."""
    if not isinstance(section, Mapping) or "choice" not in section:
        return section
    return {"choices": [section["choice"]]} | {k: v for k, v in section.items() if k != "choice"}
