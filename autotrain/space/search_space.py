"""`SearchSpace`: what may be. Read from TOML or a dictionary, checked, asked for configurations.

    space = SearchSpace.from_toml("default").resolve(n_train=30_000, n_inputs=108, task="binary")
    config = space.suggest(trial)

The parts stand in files of their own: `reading` and `merging` (files, `extends`), `checking`
(mistakes), `cases` (what holds for some data only), `suggesting` (conditional parameters),
`forbidding`, `baselines`, `finite` (every configuration of a finite space), `describing`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from autotrain.errors import SpaceError
from autotrain.space.auto import AUTO_VALUES, DataShape
from autotrain.space.baselines import fill_in, fit_baseline
from autotrain.space.cases import for_data
from autotrain.space.checking import check
from autotrain.space.conditions import conditions_text, hold
from autotrain.space.config import Choice, TrialConfig
from autotrain.space.definition import Baseline, Definition, default_row
from autotrain.space.describing import describe
from autotrain.space.domains import Choices, Domain, Fixed, Range
from autotrain.space.finite import Leaf, all_leaves
from autotrain.space.forbidding import ForbiddenCombination, Forbids
from autotrain.space.naming import flatten
from autotrain.space.notices import may_lack_dropout, notices_of
from autotrain.space.reading import read_dict, read_file
from autotrain.space.shipped import find_space
from autotrain.space.suggesting import GivenParams, Trial, suggest_section
from autotrain.space.values import AUTO
from autotrain.space.writing import to_dict, to_toml
from autotrain.techniques.embeddings import whole
from autotrain.techniques.encoders import ENCODERS
from autotrain.techniques.technique import Value
from autotrain.techniques.view import View


class Size(NamedTuple):
    """How large a space is.

    Args:
        combinations: of everything that can be counted: choices, lists, whole numbers; without
            those forbidden.
        continuous: parameters that range over the reals, on top of that.
    """

    combinations: int
    continuous: int


class SearchSpace:
    """A space of configurations.

    Args:
        described: the space as a dictionary in the grammar of the TOML files.
        source: what to call it in messages.
    Raises:
        SpaceError: with every mistake at once.
    """

    def __init__(self, described: Mapping[str, Any], *, source: str = "search space") -> None:
        reading = read_dict(described, source, Path(), check)
        self._adopt(check(reading), source)

    def _adopt(self, definition: Definition, source: str) -> None:
        self.source = source
        self._definition = definition
        self._forbids = Forbids(definition.sections, definition.forbids)
        self._auto = [name for name in AUTO_VALUES if self._is_auto(name)]

    @classmethod
    def _made_of(cls, definition: Definition, source: str) -> SearchSpace:
        space = cls.__new__(cls)
        space._adopt(definition, source)
        return space

    @classmethod
    def of(cls, space: SearchSpace | Mapping[str, Any] | str | Path) -> SearchSpace:
        """Return a space as it is, or make one from a name, a path or a dictionary."""
        if isinstance(space, SearchSpace):
            return space
        return cls(space) if isinstance(space, Mapping) else cls.from_toml(space)

    @classmethod
    def from_toml(cls, path_or_name: str | Path) -> SearchSpace:
        """Read a space file, or a shipped space by its name.

        Raises:
            SpaceError: when it cannot be found or read, or with every mistake at once.
        """
        source = str(path_or_name)
        path = find_space(source, Path())
        return cls._made_of(check(read_file(path, source, check)), source)

    @classmethod
    def from_dict(cls, described: Mapping[str, Any]) -> SearchSpace:
        """Make a space from what `to_dict` returned."""
        return cls(described)

    def resolve(
        self,
        n_train: int,
        n_inputs: int,
        task: str,
        pictures: bool = False,
        n_numbers: int | None = None,
    ) -> SearchSpace:
        """Return the space for this data.

        Blocks whose conditions hold are laid over the rest, "auto" is replaced, and what has no
        effect on such data is fixed: of another task, or of numbers where there are none.

        Args:
            n_train: training rows.
            n_inputs: inputs where numbers are as they are and each category has one.
            task: "binary", "multiclass" or "regression".
            pictures: whether all columns are pixels.
            n_numbers: numeric columns and parts of dates among them; None for all, of pictures
                none.
        """
        if n_numbers is None:
            n_numbers = 0 if pictures else n_inputs
        shape = DataShape(n_train, n_inputs, task, pictures, n_numbers)
        definition = self._definition
        if definition.has_conditions:
            found = check(for_data(definition, shape, self.source))
            # What some data rule out is what [[when]] is for; what never fits stays a notice.
            definition = replace(found, dropped=definition.dropped)
        sections = {}
        for name, space in definition.sections.items():
            parameters = {
                key: _resolve(domain, f"{name}.{key}", shape)
                for key, domain in space.parameters.items()
            }
            choices, rows = space.choices, space.rows
            if not space.section.has_effect(shape):
                parameters = {key: Fixed(p.default) for key, p in space.section.parameters.items()}
                choices = default_row(space.section)
                rows = {
                    row: {
                        key: Fixed(own.default)
                        for key, own in space.section.own_parameters(row).items()
                    }
                    for row in choices
                }
            sections[name] = replace(space, choices=choices, parameters=parameters, rows=rows)
        definition = replace(definition, sections=sections)
        idle = [name for name, space in sections.items() if not space.section.has_effect(shape)]
        definition = replace(
            definition,
            forbids=tuple(f for f in definition.forbids if not any(_is_in(n, idle) for n in f)),
            baselines=tuple(
                Baseline({name: v for name, v in values.items() if not _is_in(name, idle)}, {})
                for values, _ in definition.baselines
            ),
        )
        return self._made_of(definition, self.source)

    def conditions(self, shape: DataShape) -> list[str]:
        """Return the conditions of the blocks that hold for this data, in words; for people."""
        blocks = self._definition.blocks
        return [conditions_text(block.when) for block in blocks if hold(block.when, shape)]

    def suggest(self, trial: Trial) -> TrialConfig:
        """Ask a trial for every parameter that has an effect and return the configuration.

        Args:
            trial: an Optuna trial, or anything with its three `suggest_*` methods.
        Raises:
            ForbiddenCombination: when the trial's answers are forbidden together.
            SpaceError: when the space follows the data and was not resolved.
        """
        return self._assemble(self._ask(trial))

    def _ask(self, trial: Trial) -> dict[str, Choice]:
        self._refuse_unresolved()
        sections = self._definition.sections
        return {name: suggest_section(trial, space) for name, space in sections.items()}

    def _assemble(self, choices: Mapping[str, Choice]) -> TrialConfig:
        broken = self._forbids.find(choices)
        if broken is not None:
            raise ForbiddenCombination(broken)
        return TrialConfig.assemble(choices)

    def config_from(self, params: Mapping[str, Any]) -> TrialConfig:
        """Return the configuration that a trial's parameters mean in this space.

        Raises:
            SpaceError: when parameters are missing, unknown or outside the space.
            ForbiddenCombination: when they are forbidden together.
        """
        given = GivenParams(params)
        choices = self._ask(given)
        mistakes = given.mistakes + [
            f"{name}: has no effect or is no parameter of this space"
            for name in params
            if name not in given.asked
        ]
        if mistakes:
            raise SpaceError(self.source, mistakes)
        return self._assemble(choices)

    def baselines(self) -> list[dict[str, Any]]:
        """Return the parameters of the configurations to try first, for `enqueue_trial`.

        Each names all parameters that the space will ask for, so it is one configuration.
        """
        self._refuse_unresolved()
        filled: list[dict[str, Any]] = []
        for baseline in self._definition.baselines:
            params, _ = fill_in(baseline.values, self._definition.sections, self._forbids)
            if params not in filled:
                filled.append(params)
        return filled

    def fit(self, values: Mapping[str, Any], source: str = "configuration") -> dict[str, Any]:
        """Return the parameters of a configuration of this space, for `enqueue_trial`.

        Args:
            values: as in a `[[baseline]]`, in tables or by dotted name; what is left out is filled
                in as there.
            source: what to call the configuration in messages.
        Raises:
            SpaceError: with everything that is not in the space.
        """
        self._refuse_unresolved()
        sections = self._definition.sections
        first: list[str] = []
        for spelled in _spellings(flatten(values)):
            mistakes: list[str] = []
            baseline = fit_baseline(spelled, sections, self._forbids, set(), mistakes)
            if not mistakes:
                return fill_in(baseline, sections, self._forbids)[0]
            first = first or mistakes
        raise SpaceError(source, first)

    @property
    def is_fixed(self) -> bool:
        """Whether there is one configuration and nothing to choose."""
        return not any(section.is_searched for section in self._definition.sections.values())

    @cached_property
    def leaves(self) -> tuple[Leaf, ...] | None:
        """All ways to answer this space's questions; None where they are too many, or not finite.

        Resolved spaces only.
        """
        self._refuse_unresolved()
        return all_leaves(self._definition.sections, self._forbids)

    def views(self) -> list[View]:
        """Return every way to encode rows that a configuration of this space may ask for."""
        sections = self._definition.sections
        limits = {
            limit if ENCODERS[name].embeds else 0
            for name in sections["encoder"].row_names
            for limit in _whole_numbers(sections["encoder"].rows[name].get("one_hot_limit"))
        }
        return [
            View(scaler, missing, limit)
            for scaler in sections["scaler"].row_names
            for missing in sections["missing"].row_names
            for limit in sorted(limits)
        ]

    def is_forbidden(self, config: TrialConfig | Mapping[str, Any]) -> bool:
        """Tell whether a configuration, or one of flat parameters, is forbidden."""
        if not isinstance(config, TrialConfig):
            config = TrialConfig.from_params(config)
        return self._forbids.find(config.choices()) is not None

    def can_complete(self, params: Mapping[str, Any]) -> bool:
        """Tell whether an allowed configuration has these parameters of the study.

        For samplers: never accept a value after which this is False, and no trial is wasted.
        """
        return self._forbids.can_complete(params)

    @property
    def has_forbids(self) -> bool:
        """Whether anything is forbidden at all."""
        return bool(self._definition.forbids)

    @property
    def may_lack_dropout(self) -> bool:
        """Whether some of its networks drop nothing, and so could not say how sure they are."""
        return may_lack_dropout(self._definition)

    @property
    def notices(self) -> list[str]:
        """What is allowed and works, but may not be what the space's author wants; sentences.

        Examples:
            >>> [notice] = SearchSpace({"scaler": "none"}).notices
            >>> notice.startswith("some networks of this space read raw numbers")
            True
            >>> SearchSpace({"scaler": "none", "batch_norm": {"input": True}}).notices
            []
        """
        return notices_of(self._definition, self._forbids)

    def distributions(self) -> dict[str, Domain]:
        """Return the domain of every parameter of the study, by name; fixed ones are none."""
        found: dict[str, Domain] = {}
        for name, space in self._definition.sections.items():
            if len(space.choices) > 1:
                found[name] = Choices(space.choices)
            found.update(
                {n: domain for n, _, domain in space.named() if not isinstance(domain, Fixed)}
            )
        return found

    def size(self) -> Size:
        """Return how many combinations there are, and how many continuous parameters."""
        continuous = [
            domain
            for domain in self.distributions().values()
            if isinstance(domain, Range) and not domain.integer and domain.step is None
        ]
        return Size(self._forbids.count(), len(continuous))

    def describe(self) -> str:
        """Return the space as a tree, for people."""
        size = self.size()
        title = (
            f"{self.source}: {size.combinations:,} combinations × "
            f"{size.continuous} continuous parameters"
        )
        return describe(self._definition, title)

    def to_dict(self) -> dict[str, Any]:
        """Return the whole space, nothing left to `extends` or defaults; `from_dict` undoes it."""
        return to_dict(self._definition)

    def to_toml(self) -> str:
        """Return the whole space as a TOML file."""
        return to_toml(self._definition)

    def fingerprint(self) -> str:
        """Return a SHA-256 that is equal exactly for equal spaces, however they were written."""
        canonical = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        # Rows hold functions that cannot be pickled; the dictionary says all.
        return _unpickle, (self.to_dict(), self.source)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SearchSpace) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(self.fingerprint())

    def __repr__(self) -> str:
        size = self.size()
        return (
            f"SearchSpace({self.source!r}: {size.combinations:,} combinations, "
            f"{size.continuous} continuous parameters)"
        )

    def _is_auto(self, name: str) -> bool:
        section, _, key = name.partition(".")
        domain = self._definition.sections[section].parameters[key]
        values = domain.values if isinstance(domain, Choices) else ()
        return domain == Fixed(AUTO) or AUTO in values

    def _refuse_unresolved(self) -> None:
        following = [f'{name}: "auto"' for name in self._auto]
        if self._definition.blocks:
            following.append("[[when]]")
        elif self._definition.has_conditions:
            following.append("[[baseline]]: when")
        if following:
            raise SpaceError(
                self.source,
                [
                    f"{what} follows the data. Call resolve(n_train, n_inputs, task) first."
                    for what in following
                ],
            )


def _spellings(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield values as they are, then with equal widths as text: 64 and 2 layers is "64-64"."""
    yield values
    width, layers = values.get("network.hidden_units"), values.get("network.hidden_layers")
    if isinstance(width, int) and isinstance(layers, int) and layers > 0:
        spelled = values | {"network.hidden_units": "-".join([str(width)] * layers)}
        del spelled["network.hidden_layers"]
        yield spelled


def _is_in(name: str, sections: Sequence[str]) -> bool:
    return name.split(".")[0] in sections


def _unpickle(described: Mapping[str, Any], source: str) -> SearchSpace:
    return SearchSpace(described, source=source)


def _resolve(domain: Domain, name: str, shape: DataShape) -> Domain:
    if name not in AUTO_VALUES:
        return domain
    value: Value = AUTO_VALUES[name](shape)
    if domain == Fixed(AUTO):
        return Fixed(value)
    if isinstance(domain, Choices) and AUTO in domain.values:
        values = dict.fromkeys(value if item == AUTO else item for item in domain.values)
        return Choices(tuple(values)) if len(values) > 1 else Fixed(next(iter(values)))
    return domain


def _whole_numbers(domain: Domain | None) -> Iterator[int]:
    """Yield the values of a whole-numbered domain; 0 for none."""
    if domain is None:
        yield 0
    elif isinstance(domain, Fixed):
        yield whole(domain.value)
    elif isinstance(domain, Choices):
        yield from map(whole, domain.values)
    else:
        yield from range(int(domain.low), int(domain.high) + 1, int(domain.step or 1))


def as_space(space: str | Path | Mapping[str, Any] | SearchSpace) -> SearchSpace:
    """Return a search space from whatever names or describes one."""
    if isinstance(space, SearchSpace):
        return space
    if isinstance(space, Mapping):
        return SearchSpace(space)
    return SearchSpace.from_toml(space)
