"""`[[when]]` blocks: the parts of a space that apply to some data only.

A block is merged over the rest of the space, as a space is over the one it extends. A case is a set
of blocks that apply together for some data; the conditions determine all cases. Every case is
merged and checked when the space is read, so that `SearchSpace.resolve` never finds a mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from autotrain.errors import nearest, unknown
from autotrain.space.auto import DataShape
from autotrain.space.baselines import Candidate, fit_baseline, read_baselines
from autotrain.space.conditions import (
    CONDITIONS,
    Conditions,
    conditions_text,
    every_shape,
    hold,
    parse_conditions,
)
from autotrain.space.definition import Baseline, Block, Dropped, Forbid, SpaceDefinition
from autotrain.space.forbidding import Forbids, Sections
from autotrain.space.merging import merge
from autotrain.space.naming import mistake
from autotrain.space.reading import WrittenSpace
from autotrain.space.rules import own_rules
from autotrain.space.sections import SECTIONS, where_else
from autotrain.space.values import show
from autotrain.space.writing import to_dict

OUTSIDE = {
    "extends": "A space extends another for all data.",
    "forbid": "Combinations are forbidden for all data.",
    "when": "Write one block with the conditions of both.",
}


@dataclass(frozen=True)
class CheckedSpace:
    """The checked sections and forbids of a space, with the mistakes that were found.

    Args:
        sections: domains, with defaults where they are wrong.
        forbids: own and inherited forbids.
        broken: names whose domains are wrong; later checks skip them.
        mistakes: the mistakes.
    """

    sections: Sections
    forbids: tuple[Forbid, ...]
    broken: Set[str]
    mistakes: tuple[str, ...]

    @cached_property
    def rules(self) -> Forbids:
        """The forbids, compiled."""
        return Forbids(self.sections, self.forbids)

    def fit(self, candidate: Candidate) -> tuple[Baseline, list[str]]:
        """Return a baseline, and the reasons why it is not in this space."""
        found: list[str] = []
        values = fit_baseline(candidate.written, self.sections, self.rules, self.broken, found)
        return Baseline(values, candidate.when), found


SectionsCheck = Callable[[WrittenSpace], CheckedSpace]


def for_data(definition: SpaceDefinition, shape: DataShape, source: str) -> WrittenSpace:
    """Return a space for some data, unchecked; the check drops inherited rules that do not fit."""
    sections = to_dict(replace(definition, baselines=(), blocks=()))
    forbids = sections.pop("forbid", [])
    holding = [block for block in definition.blocks if hold(block.when, shape)]
    first: list[Baseline] = []
    rest = definition.baselines
    for block in holding:
        if block.is_only:
            first, rest = [], ()
        first += block.baselines
    written = _merge_blocks(source, sections, forbids, [block.sections for block in holding])
    written.inherited_baseline = [
        dict(baseline.values) for baseline in (*first, *rest) if hold(baseline.when, shape)
    ]
    return written


def _merge_blocks(
    source: str, sections: dict[str, Any], forbids: list[Any], blocks: Iterable[Mapping[str, Any]]
) -> WrittenSpace:
    for block in blocks:
        sections = merge(sections, block)
    return WrittenSpace(source, sections, inherited_forbid=forbids, above="the rest of the space")


@dataclass
class _WrittenBlock:
    """A block as it is written.

    Args:
        label: its name in messages.
        is_own: whether the space itself has it. Inherited baselines that do not fit are dropped.
        when: the conditions that are right.
        sections: what is merged over the rest of the space.
        candidates: its baselines.
        is_only: whether it drops the baselines before it.
        is_sound: whether all its conditions are right.
        mistakes: its mistakes, each once.
    """

    label: str
    is_own: bool
    when: Conditions = field(default_factory=dict)
    sections: dict[str, Any] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)
    is_only: bool = False
    is_sound: bool = True
    mistakes: dict[str, None] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not self.sections and not self.candidates and not self.is_only

    def complain(self, mistakes: Iterable[str]) -> None:
        self.mistakes |= dict.fromkeys(mistakes)


class Cases:
    """All spaces that a space with blocks can become.

    Args:
        written: the space.
        general: the space without its blocks, checked.
        check: checks a space with some of its blocks.
        mistakes: mistakes in the lists of blocks and baselines are appended here.

    Attributes:
        dropped: inherited baselines that fit in no case, set by `baselines` and `checked_blocks`.
    """

    def __init__(
        self,
        written: WrittenSpace,
        general: CheckedSpace,
        check: SectionsCheck,
        mistakes: list[str],
    ) -> None:
        self.written = written
        self.general = general
        self.check = check
        n_own = len(own_rules(written.when, "when", mistakes))
        blocks = written.all_when()
        self.blocks = [
            _read_block(block, number, number - (len(blocks) - n_own))
            for number, block in enumerate(blocks, start=1)
        ]
        self.n_own = len(own_rules(written.baseline, "baseline", mistakes))
        self.candidates = read_baselines(written.all_baseline(), self.n_own)
        self.dropped: list[Dropped] = []
        # `for_data` starts from the same form. With mistakes, only the written form exists.
        self.sections, self.forbids = written.sections, written.all_forbid()
        if written.is_whole and not general.mistakes:
            self.sections = to_dict(SpaceDefinition(general.sections, general.forbids))
            self.forbids = self.sections.pop("forbid", [])
        self.shapes: dict[tuple[int, ...], list[DataShape]] = {}
        self._merged: dict[tuple[int, ...], CheckedSpace] = {(): general}
        if written.is_whole:
            self._find_cases()

    def _find_cases(self) -> None:
        candidates = [*self.candidates, *(c for block in self.blocks for c in block.candidates)]
        conditions = [block.when for block in self.blocks if block.is_sound]
        for shape in every_shape([*conditions, *(candidate.when for candidate in candidates)]):
            case = tuple(
                index
                for index, block in enumerate(self.blocks)
                if block.is_sound and hold(block.when, shape)
            )
            self.shapes.setdefault(case, []).append(shape)

    def baselines(self, mistakes: list[str]) -> tuple[Baseline, ...]:
        """Return the baselines outside of blocks; report mistakes in own ones.

        A baseline with conditions may fit only in the cases in which they hold.
        """
        fitting: list[Baseline] = []
        for number, candidate in enumerate(self.candidates, start=1 - self.n_own):
            found = list(candidate.mistakes)
            cases: list[tuple[int, ...]] = [()]
            if candidate.when and not found:
                cases += self._cases_of(candidate)
            baseline, misfits = self._fit_anywhere(candidate, cases)
            found += misfits
            if candidate.is_own:
                mistakes += [mistake(candidate.label, what) for what in found]
            elif found:
                self.dropped.append(Dropped(f"[[baseline]] {number}", found[0]))
            if not found and baseline not in fitting:
                fitting.append(baseline)
        return tuple(fitting)

    def checked_blocks(self, mistakes: list[str]) -> tuple[Block, ...]:
        """Return the blocks; inherited baselines that fit in no case are dropped."""
        for case in self.shapes:
            self._check_case(case)
        for block in self.blocks:
            if not block.is_sound or not self.written.is_whole:
                self._check_alone(block)
        blocks = []
        for index, block in enumerate(self.blocks):
            baselines = self._baselines_of(index) if self.written.is_whole else ()
            mistakes += [mistake(block.label, what) for what in block.mistakes]
            sections = {name: _with_choices(section) for name, section in block.sections.items()}
            if sections or baselines or block.is_only:
                blocks.append(Block(block.when, sections, baselines, block.is_only))
        return tuple(blocks)

    def _checked(self, case: tuple[int, ...]) -> CheckedSpace:
        if case not in self._merged:
            blocks = [self.blocks[index].sections for index in case]
            merged = _merge_blocks(self.written.source, self.sections, self.forbids, blocks)
            self._merged[case] = self.check(merged)
        return self._merged[case]

    def _check_case(self, case: tuple[int, ...]) -> None:
        """Merge a case block by block; report each mistake for the block that introduces it."""
        final = self._checked(case).mistakes
        for length, index in enumerate(case if final else ()):
            block = self.blocks[index]
            before, after = self._checked(case[:length]), self._checked(case[: length + 1])
            present = [m for m in final if m in after.mistakes]
            block.complain(
                m for m in present if m not in before.mistakes or m in self._mistakes_alone(block)
            )

    def _check_alone(self, block: _WrittenBlock) -> None:
        """Check a block when it is unknown what it is merged over."""
        merged = _merge_blocks(self.written.source, self.sections, [], [block.sections])
        before = self.general.mistakes
        found = self.check(replace(merged, is_whole=False)).mistakes
        block.complain(m for m in found if m not in before or m in self._mistakes_alone(block))

    def _mistakes_alone(self, block: _WrittenBlock) -> tuple[str, ...]:
        """Return the mistakes of a block that do not depend on what it is merged over."""
        return self.check(
            WrittenSpace(self.written.source, block.sections, is_whole=False)
        ).mistakes

    def _baselines_of(self, index: int) -> tuple[Baseline, ...]:
        block = self.blocks[index]
        fitting: list[Baseline] = []
        for candidate in block.candidates:
            found = list(candidate.mistakes)
            cases = [] if found or not block.is_sound else self._cases_of(candidate, index)
            if cases:
                baseline, found = self._fit_anywhere(candidate, cases)
                if not found and baseline not in fitting:
                    fitting.append(baseline)
            elif block.is_sound and not found:
                found.append(
                    "when must hold for some data of the block, got "
                    f"{conditions_text(candidate.when)} with {conditions_text(block.when)}."
                )
            if block.is_own:
                block.complain(mistake(candidate.label, what) for what in found)
            elif found:
                self.dropped.append(Dropped(f"{candidate.label} of [[when]] {index + 1}", found[0]))
        return tuple(fitting)

    def _cases_of(self, candidate: Candidate, index: int | None = None) -> list[tuple[int, ...]]:
        """Return the cases in which a baseline is tried.

        Args:
            candidate: the baseline.
            index: the block that has it; None when it is outside of blocks.
        """
        return [
            case
            for case, shapes in self.shapes.items()
            if (index is None or index in case)
            and any(hold(candidate.when, shape) for shape in shapes)
        ]

    def _fit_anywhere(
        self, candidate: Candidate, cases: Iterable[tuple[int, ...]]
    ) -> tuple[Baseline, list[str]]:
        """Return a baseline as it is in the first case that it fits.

        Returns: the baseline, and the mistakes in the first case when it fits in none.
        """
        fits: Iterator[tuple[Baseline, list[str]]] = (
            self._checked(c).fit(candidate) for c in cases
        )
        first = next(fits)
        if not first[1]:
            return first
        return next((fit for fit in fits if not fit[1]), first)


def _read_block(written: Any, number: int, own_number: int) -> _WrittenBlock:
    is_own = own_number > 0
    label = f"[[when]] {own_number}" if is_own else f"[[when]] {number} of the space it extends"
    block = _WrittenBlock(label, is_own)
    if not isinstance(written, Mapping):
        block.is_sound = False
        block.complain([f"must be a table of conditions and sections, got {show(written)}."])
        return block
    found: list[str] = []
    known = [*CONDITIONS, *SECTIONS, "baseline", *OUTSIDE]
    others = [key for key in written if key not in known]
    unknown_conditions = [key for key in others if _is_meant_as_condition(key, written[key])]
    block.when = parse_conditions(written, unknown_conditions, found)
    block.is_sound = not found
    for key in others:
        if key not in unknown_conditions:
            words = [*SECTIONS, "baseline"]
            found.append(f"[{key}]: {unknown('section', key, words)}{where_else(key)}")
    for key, why in OUTSIDE.items():
        if key in written:
            found.append(f"{key} must be outside of [[when]], got one inside. {why}")
    block.sections = {key: value for key, value in written.items() if key in SECTIONS}
    baselines = own_rules(written.get("baseline"), "baseline", found)
    block.candidates = read_baselines(baselines, len(baselines))
    block.is_only = written.get("baseline") == []
    if is_own and block.is_empty and not found:
        found.append(
            "must have sections or baselines, got only conditions. "
            "Write [when.dropout] for a section of the block, not [dropout]."
        )
    block.complain(found)
    return block


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
