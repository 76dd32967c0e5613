"""`[[when]]`: what a space is for some data and not for others.

A block is laid over the rest of the space as a space is over the one it extends. Which blocks hold
together follows from their conditions; every set of them that some data can have is a case, laid
and judged when the space is read, so that `SearchSpace.resolve` never finds a mistake.
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
from autotrain.space.definition import Baseline, Block, Definition, Dropped, Forbid
from autotrain.space.forbidding import Forbids, Sections
from autotrain.space.merging import merge
from autotrain.space.reading import Reading
from autotrain.space.rules import own_rules
from autotrain.space.sections import SECTIONS, where_else
from autotrain.space.values import show
from autotrain.space.writing import to_dict

OUTSIDE = {
    "extends": "The whole space extends another, for all data.",
    "forbid": "What is forbidden is so for all data.",
    "when": "Write one block with the conditions of both.",
}


@dataclass(frozen=True)
class Judged:
    """A space judged but for its baselines.

    Args:
        sections: domains; defaults stand where they are wrong.
        forbids: the forbids in force.
        broken: names whose domains are wrong, for nothing can be judged by them.
        mistakes: what is wrong.
    """

    sections: Sections
    forbids: tuple[Forbid, ...]
    broken: Set[str]
    mistakes: tuple[str, ...]

    @cached_property
    def rules(self) -> Forbids:
        """The forbids, ready to be asked."""
        return Forbids(self.sections, self.forbids)

    def fit(self, candidate: Candidate) -> tuple[Baseline, list[str]]:
        """Return a baseline and what keeps it from being one of this space."""
        found: list[str] = []
        values = fit_baseline(candidate.written, self.sections, self.rules, self.broken, found)
        return Baseline(values, candidate.when), found


Judge = Callable[[Reading], Judged]


def for_data(definition: Definition, shape: DataShape, source: str) -> Reading:
    """Return a space as it is for some data; what no longer fits is dropped when it is checked."""
    sections = to_dict(replace(definition, baselines=(), blocks=()))
    forbids = sections.pop("forbid", [])
    holding = [block for block in definition.blocks if hold(block.when, shape)]
    first: list[Baseline] = []
    rest = definition.baselines
    for block in holding:
        if block.is_only:
            first, rest = [], ()
        first += block.baselines
    reading = _lay(source, sections, forbids, [block.sections for block in holding])
    reading.inherited_baseline = [
        dict(baseline.values) for baseline in (*first, *rest) if hold(baseline.when, shape)
    ]
    return reading


def _lay(
    source: str, sections: dict[str, Any], forbids: list[Any], blocks: Iterable[Mapping[str, Any]]
) -> Reading:
    for block in blocks:
        sections = merge(sections, block)
    return Reading(source, sections, inherited_forbid=forbids, above="the rest of the space")


@dataclass
class _Written:
    """A block as it was written.

    Args:
        label: what to call it in messages.
        is_own: whether the space itself has it; what does not fit of others is dropped.
        when: the conditions that could be read.
        is_sound: whether these are all.
        mistakes: what is wrong with it, each once.
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
    def says_nothing(self) -> bool:
        return not self.sections and not self.candidates and not self.is_only

    def complain(self, mistakes: Iterable[str]) -> None:
        self.mistakes |= dict.fromkeys(mistakes)


class Cases:
    """The spaces that a space with blocks can become.

    Args:
        reading: the space.
        general: the space without its blocks, judged.
        judge: how a space with some of them is judged.
        mistakes: what cannot be a list of blocks at all is added here.

    Attributes:
        dropped: inherited baselines that fit nowhere, found by the two methods below.
    """

    def __init__(
        self, reading: Reading, general: Judged, judge: Judge, mistakes: list[str]
    ) -> None:
        self.reading = reading
        self.general = general
        self.judge = judge
        n_own = len(own_rules(reading.when, "when", mistakes))
        written = reading.all_when()
        self.blocks = [
            _read_block(block, number, number - (len(written) - n_own))
            for number, block in enumerate(written, start=1)
        ]
        self.n_own = len(own_rules(reading.baseline, "baseline", mistakes))
        self.candidates = read_baselines(reading.all_baseline(), self.n_own)
        self.dropped: list[Dropped] = []
        # The same words that `for_data` starts from; as written where they are not all right.
        self.sections, self.forbids = reading.sections, reading.all_forbid()
        if reading.is_whole and not general.mistakes:
            self.sections = to_dict(Definition(general.sections, general.forbids))
            self.forbids = self.sections.pop("forbid", [])
        self.shapes: dict[tuple[int, ...], list[DataShape]] = {}
        self._laid: dict[tuple[int, ...], Judged] = {(): general}
        if reading.is_whole:
            self._find_cases()

    def _find_cases(self) -> None:
        candidates = [*self.candidates, *(c for block in self.blocks for c in block.candidates)]
        conditions = [block.when for block in self.blocks if block.is_sound]
        for shape in every_shape([*conditions, *(candidate.when for candidate in candidates)]):
            case = tuple(
                place
                for place, block in enumerate(self.blocks)
                if block.is_sound and hold(block.when, shape)
            )
            self.shapes.setdefault(case, []).append(shape)

    def baselines(self, mistakes: list[str]) -> tuple[Baseline, ...]:
        """Return the baselines outside of blocks; own ones must be right.

        One that has conditions may also fit only what the space is when they hold.
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
                mistakes += [f"{candidate.label}: {mistake}" for mistake in found]
            elif found:
                self.dropped.append(Dropped(f"[[baseline]] {number}", found[0]))
            if not found and baseline not in fitting:
                fitting.append(baseline)
        return tuple(fitting)

    def checked_blocks(self, mistakes: list[str]) -> tuple[Block, ...]:
        """Return the blocks; of inherited ones, baselines that fit nowhere are dropped."""
        for case in self.shapes:
            self._judge_case(case)
        for block in self.blocks:
            if not block.is_sound or not self.reading.is_whole:
                self._judge_apart(block)
        blocks = []
        for place, block in enumerate(self.blocks):
            baselines = self._baselines_of(place) if self.reading.is_whole else ()
            mistakes += [f"{block.label}: {mistake}" for mistake in block.mistakes]
            sections = {name: _with_choices(section) for name, section in block.sections.items()}
            if sections or baselines or block.is_only:
                blocks.append(Block(block.when, sections, baselines, block.is_only))
        return tuple(blocks)

    def _lay(self, case: tuple[int, ...]) -> Judged:
        if case not in self._laid:
            blocks = [self.blocks[place].sections for place in case]
            laid = _lay(self.reading.source, self.sections, self.forbids, blocks)
            self._laid[case] = self.judge(laid)
        return self._laid[case]

    def _judge_case(self, case: tuple[int, ...]) -> None:
        """Lay a case block by block; what is wrong in the end is the fault of who brought it."""
        wrong = self._lay(case).mistakes
        for length, place in enumerate(case if wrong else ()):
            block = self.blocks[place]
            before, after = self._lay(case[:length]).mistakes, self._lay(case[: length + 1])
            brought = [m for m in wrong if m in after.mistakes]
            block.complain(m for m in brought if m not in before or m in self._alone(block))

    def _judge_apart(self, block: _Written) -> None:
        """Judge a block of which nobody knows over what it is laid."""
        laid = _lay(self.reading.source, self.sections, [], [block.sections])
        before = self.general.mistakes
        found = self.judge(replace(laid, is_whole=False)).mistakes
        block.complain(m for m in found if m not in before or m in self._alone(block))

    def _alone(self, block: _Written) -> tuple[str, ...]:
        """Return what is wrong with a block whatever it is laid over."""
        return self.judge(Reading(self.reading.source, block.sections, is_whole=False)).mistakes

    def _baselines_of(self, place: int) -> tuple[Baseline, ...]:
        block = self.blocks[place]
        fitting: list[Baseline] = []
        for candidate in block.candidates:
            found = list(candidate.mistakes)
            cases = [] if found or not block.is_sound else self._cases_of(candidate, place)
            if cases:
                baseline, found = self._fit_anywhere(candidate, cases)
                if not found and baseline not in fitting:
                    fitting.append(baseline)
            elif block.is_sound and not found:
                found.append(
                    "when: must hold for some data of the block, however: "
                    f"{conditions_text(candidate.when)} never does with "
                    f"{conditions_text(block.when)}"
                )
            if block.is_own:
                block.complain(f"{candidate.label}: {mistake}" for mistake in found)
            elif found:
                self.dropped.append(Dropped(f"{candidate.label} of [[when]] {place + 1}", found[0]))
        return tuple(fitting)

    def _cases_of(self, candidate: Candidate, place: int | None = None) -> list[tuple[int, ...]]:
        """Return the cases in which a baseline, of one of the blocks or of none, is tried."""
        return [
            case
            for case, shapes in self.shapes.items()
            if (place is None or place in case)
            and any(hold(candidate.when, shape) for shape in shapes)
        ]

    def _fit_anywhere(
        self, candidate: Candidate, cases: Iterable[tuple[int, ...]]
    ) -> tuple[Baseline, list[str]]:
        """Return a baseline as it is in the first case that it fits; else what the first finds."""
        fits: Iterator[tuple[Baseline, list[str]]] = (self._lay(c).fit(candidate) for c in cases)
        first = next(fits)
        if not first[1]:
            return first
        return next((fit for fit in fits if not fit[1]), first)


def _read_block(written: Any, number: int, own_number: int) -> _Written:
    is_own = own_number > 0
    label = f"[[when]] {own_number}" if is_own else f"[[when]] {number} of the space it extends"
    block = _Written(label, is_own)
    if not isinstance(written, Mapping):
        block.is_sound = False
        block.complain(
            [f"must be a table of conditions and what holds then, however: {show(written)}"]
        )
        return block
    found: list[str] = []
    known = [*CONDITIONS, *SECTIONS, "baseline", *OUTSIDE]
    others = [key for key in written if key not in known]
    strange = [key for key in others if _is_meant_as_condition(key, written[key])]
    block.when = parse_conditions(written, strange, found)
    block.is_sound = not found
    for key in others:
        if key not in strange:
            words = [*SECTIONS, "baseline"]
            found.append(f"[{key}]: {unknown('section', key, words)}{where_else(key)}")
    for key, why in OUTSIDE.items():
        if key in written:
            found.append(f"{key}: must stand outside of [[when]], however: it stands inside. {why}")
    block.sections = {key: value for key, value in written.items() if key in SECTIONS}
    baselines = own_rules(written.get("baseline"), "baseline", found)
    block.candidates = read_baselines(baselines, len(baselines))
    block.is_only = written.get("baseline") == []
    if is_own and block.says_nothing and not found:
        found.append(
            "must say what holds then, however: only conditions. "
            "Write [when.dropout] for a section of the block, not [dropout]."
        )
    block.complain(found)
    return block


def _is_meant_as_condition(key: str, value: Any) -> bool:
    """Guess what an unknown word in a block was to be."""
    if isinstance(value, Mapping):
        return False
    return nearest(key, CONDITIONS) is not None or nearest(key, SECTIONS) is None


def _with_choices(section: Any) -> Any:
    """Write `choice` as `choices`, so that equal blocks look equal."""
    if not isinstance(section, Mapping) or "choice" not in section:
        return section
    return {"choices": [section["choice"]]} | {k: v for k, v in section.items() if k != "choice"}
