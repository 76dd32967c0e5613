"""`SearchSpace`: the configurations that a search may try.

    space = SearchSpace.from_toml("default").resolve(n_train=30_000, n_inputs=108, task="binary")
    config = space.suggest(trial)

The package's docstring lists the files of its parts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from autotrain.errors import SpaceError
from autotrain.space.auto import AUTO_VALUES, DataShape
from autotrain.space.baselines import fill_in, fit_baseline
from autotrain.space.checking import check
from autotrain.space.conditions import conditions_text, hold
from autotrain.space.config import Choice, TrialConfig
from autotrain.space.definition import SpaceDefinition
from autotrain.space.describing import describe
from autotrain.space.domains import Choices, Domain, Fixed, Range
from autotrain.space.finite import Leaf, all_leaves
from autotrain.space.forbidding import ForbiddenCombination, Forbids, explain
from autotrain.space.naming import flatten
from autotrain.space.notices import may_lack_dropout, notices_of
from autotrain.space.reading import read_dict, read_file
from autotrain.space.resolving import resolve
from autotrain.space.shipped import find_space
from autotrain.space.suggesting import GivenParams, Trial, suggest_section
from autotrain.space.values import AUTO
from autotrain.space.writing import to_dict, to_toml
from autotrain.techniques.embeddings import whole
from autotrain.techniques.encoders import ENCODERS
from autotrain.techniques.view import View


class Size(NamedTuple):
    """The size of a space.

    Args:
        combinations: number of allowed combinations of choices, lists and integers.
        continuous: number of continuous parameters in addition.
    """

    combinations: int
    continuous: int


class SearchSpace:
    """A space of configurations.

    Args:
        described: the space as a dictionary, in the form of the TOML files (docs/spaces.md).
        source: its name in messages.
    Raises:
        SpaceError: with all mistakes at once.
    Examples:
        >>> space = SearchSpace({"activation": {"choices": ["relu", "elu"]}})
        >>> space.size()
        Size(combinations=2, continuous=0)
    """

    def __init__(self, described: Mapping[str, Any], *, source: str = "search space") -> None:
        self._set(check(read_dict(described, source, Path(), check)), source)

    def _set(self, definition: SpaceDefinition, source: str) -> None:
        self.source = source
        self._definition = definition
        self._forbids = Forbids(definition.sections, definition.forbids)
        self._auto = [name for name in AUTO_VALUES if self._is_auto(name)]

    @classmethod
    def _from_definition(cls, definition: SpaceDefinition, source: str) -> SearchSpace:
        space = cls.__new__(cls)
        space._set(definition, source)
        return space

    @classmethod
    def from_toml(cls, path_or_name: str | Path) -> SearchSpace:
        """Read a space file, or a shipped space by its name.

        Args:
            path_or_name: path of a file, or the name of a shipped space.
        Returns: the space, which must be resolved before it is searched.
        Raises:
            SpaceError: when it cannot be found or read, or with all mistakes at once.
        Examples:
            >>> SearchSpace.from_toml("quick")
            SearchSpace('quick': 432 combinations, 2 continuous parameters)
        """
        source = str(path_or_name)
        path = find_space(source, Path())
        return cls._from_definition(check(read_file(path, source, check)), source)

    @classmethod
    def from_dict(cls, described: Mapping[str, Any]) -> SearchSpace:
        """Make a space from a dictionary, the inverse of `to_dict`.

        Args:
            described: the space with the keys of a space file.
        Returns: the space.
        Examples:
            >>> SearchSpace.from_dict(space.to_dict()) == space
            True
        """
        return cls(described)

    def resolve(
        self,
        n_train: int,
        n_inputs: int,
        task: str,
        pictures: bool = False,
        n_numbers: int | None = None,
    ) -> SearchSpace:
        """Return the space for the data of a study.

        Blocks whose conditions hold are merged over the rest, and "auto" is replaced. Sections that
        have no effect on these data are fixed at their default: those of another task, and those of
        numbers for data without numbers.

        Args:
            n_train: number of training rows.
            n_inputs: number of inputs with one input per number and category.
            task: "binary", "multiclass" or "regression".
            pictures: whether all columns are pixels.
            n_numbers: number of numeric columns and parts of dates among the inputs; None: all of
                them, or none for pictures.
        Returns: a space without blocks and "auto".
        Raises:
            SpaceError: when blocks that apply to these data contradict each other.
        Examples:
            >>> space.resolve(n_train=1000, n_inputs=20, task="binary").to_dict()["training"]
            {'batch_size': 64, 'epochs': 200}
        """
        if n_numbers is None:
            n_numbers = 0 if pictures else n_inputs
        shape = DataShape(n_train, n_inputs, task, pictures, n_numbers)
        definition = resolve(self._definition, shape, self.source)
        return self._from_definition(definition, self.source)

    def conditions(self, shape: DataShape) -> list[str]:
        """Return the conditions, in words, of the blocks that apply to these data."""
        blocks = self._definition.blocks
        return [conditions_text(block.when) for block in blocks if hold(block.when, shape)]

    def suggest(self, trial: Trial) -> TrialConfig:
        """Ask a trial for every parameter that has an effect, and return the configuration.

        Args:
            trial: an Optuna trial, or any object with its three `suggest_*` methods.
        Returns: one value for each choice and parameter of the space.
        Raises:
            ForbiddenCombination: when the trial suggests a forbidden combination.
            SpaceError: when the space depends on the data and is not resolved.
        Examples:
            >>> import optuna
            >>> trial = optuna.trial.FixedTrial({"activation": "elu"})
            >>> space.resolve(1000, 20, "binary").suggest(trial).activation.name
            'elu'
        """
        return self._assemble(self._ask(trial))

    def _ask(self, trial: Trial) -> dict[str, Choice]:
        self._require_resolved()
        sections = self._definition.sections
        return {name: suggest_section(trial, space) for name, space in sections.items()}

    def _assemble(self, choices: Mapping[str, Choice]) -> TrialConfig:
        broken = self._forbids.find(choices)
        if broken is not None:
            raise ForbiddenCombination(self.source, [f"must not be combined: {explain(broken)}."])
        return TrialConfig.assemble(choices)

    def config_from(self, params: Mapping[str, Any]) -> TrialConfig:
        """Return the configuration of a trial's parameters.

        Args:
            params: all parameters of a trial, such as `trial.params`.
        Returns: the complete configuration, with fixed values and defaults.
        Raises:
            SpaceError: when parameters are missing, unknown or outside the space.
            ForbiddenCombination: when the combination is forbidden.
        Examples:
            >>> config = space.resolve(1000, 20, "binary").config_from({"activation": "elu"})
            >>> config.activation.name, config.hidden_units
            ('elu', (128, 128))
        """
        given = GivenParams(params)
        choices = self._ask(given)
        mistakes = given.mistakes + [
            f"{name} has no effect or is not a parameter of this space."
            for name in params
            if name not in given.asked
        ]
        if mistakes:
            raise SpaceError(self.source, mistakes)
        return self._assemble(choices)

    def baselines(self) -> list[dict[str, Any]]:
        """Return the configurations to try first, for `enqueue_trial`.

        Each dictionary has all parameters that the space asks for.

        Returns: one dictionary of parameters for each baseline, without repetitions, in the order
            of the file.
        Examples:
            >>> described = {"activation": {"choices": ["relu", "elu"]}}
            >>> described["baseline"] = [{"activation": "elu"}]
            >>> SearchSpace(described).resolve(1000, 20, "binary").baselines()
            [{'activation': 'elu'}]
        """
        self._require_resolved()
        filled: list[dict[str, Any]] = []
        for baseline in self._definition.baselines:
            params, _ = fill_in(baseline.values, self._definition.sections, self._forbids)
            if params not in filled:
                filled.append(params)
        return filled

    def fit(self, values: Mapping[str, Any], source: str = "configuration") -> dict[str, Any]:
        """Return the parameters of a configuration of this space, for `enqueue_trial`.

        Args:
            values: as in a `[[baseline]]`, in tables or by dotted names. Other parameters are
                filled in as for a baseline.
            source: the name of the configuration in messages.
        Returns: the parameters of the study with their values.
        Raises:
            SpaceError: with all values that are not in the space.
        Examples:
            >>> space.resolve(1000, 20, "binary").fit({"activation": "elu"})
            {'activation': 'elu'}
        """
        self._require_resolved()
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
        """Whether the space contains a single configuration.

        Examples:
            >>> space.is_fixed, SearchSpace({"activation": "elu"}).is_fixed
            (False, True)
        """
        return not any(section.is_searched for section in self._definition.sections.values())

    @cached_property
    def leaves(self) -> tuple[Leaf, ...] | None:
        """All complete sets of parameters; None when there are too many, or infinitely many.

        The space must be resolved.
        """
        self._require_resolved()
        return all_leaves(self._definition.sections, self._forbids)

    def views(self) -> list[View]:
        """Return all views (ways to encode rows) that configurations of this space use."""
        sections = self._definition.sections
        limits = {
            limit if ENCODERS[name].embeds else 0
            for name in sections["encoder"].row_names
            for limit in _integers(sections["encoder"].rows[name].get("one_hot_limit"))
        }
        return [
            View(scaler, missing, limit)
            for scaler in sections["scaler"].row_names
            for missing in sections["missing"].row_names
            for limit in sorted(limits)
        ]

    def can_complete(self, params: Mapping[str, Any]) -> bool:
        """Whether an allowed configuration has these parameters of the study.

        A sampler that rejects every value after which this is False wastes no trial.

        Args:
            params: some of the study's parameters with their values.
        Returns: True if the other parameters can be chosen so that nothing is forbidden.
        Examples:
            >>> space.can_complete({"activation": "elu"})
            True
        """
        return self._forbids.can_complete(params)

    @property
    def may_lack_dropout(self) -> bool:
        """Whether some networks have no dropout, so that they cannot estimate their uncertainty.

        Examples:
            >>> space.may_lack_dropout
            False
        """
        return may_lack_dropout(self._definition)

    @property
    def notices(self) -> list[str]:
        """Sentences about settings that are legal but probably not intended.

        Examples:
            >>> [notice] = SearchSpace({"scaler": "none"}).notices
            >>> notice.startswith("some networks of this space read raw numbers")
            True
            >>> SearchSpace({"scaler": "none", "batch_norm": {"input": True}}).notices
            []
        """
        return notices_of(self._definition, self._forbids)

    def distributions(self) -> dict[str, Domain]:
        """Return the domain of every parameter of the study, by name.

        Returns: domains by parameter; fixed values are not parameters.
        Examples:
            >>> space.distributions()
            {'activation': Choices(values=('relu', 'elu'))}
        """
        found: dict[str, Domain] = {}
        for name, space in self._definition.sections.items():
            if len(space.choices) > 1:
                found[name] = Choices(space.choices)
            found.update(
                {n: domain for n, _, domain in space.named() if not isinstance(domain, Fixed)}
            )
        return found

    def size(self) -> Size:
        """Return the number of combinations and of continuous parameters.

        Returns: a `Size`; a value of a list or an integer range counts as one combination.
        Examples:
            >>> space.size()
            Size(combinations=2, continuous=0)
        """
        continuous = [
            domain
            for domain in self.distributions().values()
            if isinstance(domain, Range) and not domain.integer and domain.step is None
        ]
        return Size(self._forbids.count(), len(continuous))

    def describe(self) -> str:
        """Return the space as a tree of text.

        Returns: several lines: the size, then each section with its choices and ranges.
        Examples:
            >>> print(space.describe().splitlines()[0])
            search space: 2 combinations × 0 continuous parameters
        """
        size = self.size()
        title = (
            f"{self.source}: {size.combinations:,} combinations × "
            f"{size.continuous} continuous parameters"
        )
        return describe(self._definition, title)

    def to_dict(self) -> dict[str, Any]:
        """Return the complete space without `extends` and defaults, the inverse of `from_dict`.

        Returns: nested dictionaries of plain values, with the keys of a space file.
        Examples:
            >>> space.to_dict()["activation"]["choices"]
            ['relu', 'elu']
        """
        return to_dict(self._definition)

    def to_toml(self) -> str:
        """Return the complete space as the text of a TOML file.

        Returns: the text; `from_toml` of a file with it gives an equal space.
        Examples:
            >>> "[activation]" in space.to_toml()
            True
        """
        return to_toml(self._definition)

    def fingerprint(self) -> str:
        """Return a SHA-256 that is equal exactly for equal spaces, whatever their written form.

        Returns: 64 hexadecimal digits.
        Examples:
            >>> same = SearchSpace({"activation": {"choices": ["relu", "elu"]}})
            >>> space.fingerprint() == same.fingerprint()
            True
        """
        canonical = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        # Rows contain functions, which cannot be pickled; the dictionary is complete.
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

    def _require_resolved(self) -> None:
        depending = [f'{name}: "auto"' for name in self._auto]
        if self._definition.blocks:
            depending.append("[[when]]")
        elif self._definition.has_conditions:
            depending.append("[[baseline]]: when")
        if depending:
            raise SpaceError(
                self.source,
                [
                    f"{what} depends on the data. Call resolve(n_train, n_inputs, task) first."
                    for what in depending
                ],
            )


def _spellings(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the values, then the same with equal widths as text: 64 and 2 layers are "64-64"."""
    yield values
    width, layers = values.get("network.hidden_units"), values.get("network.hidden_layers")
    if isinstance(width, int) and isinstance(layers, int) and layers > 0:
        spelled = values | {"network.hidden_units": "-".join([str(width)] * layers)}
        del spelled["network.hidden_layers"]
        yield spelled


def _unpickle(described: Mapping[str, Any], source: str) -> SearchSpace:
    return SearchSpace(described, source=source)


def _integers(domain: Domain | None) -> Iterator[int]:
    """Yield the values of an integer domain; 0 for None."""
    if domain is None:
        yield 0
    elif isinstance(domain, Fixed):
        yield whole(domain.value)
    elif isinstance(domain, Choices):
        yield from map(whole, domain.values)
    else:
        yield from range(int(domain.low), int(domain.high) + 1, int(domain.step or 1))


def as_space(space: str | Path | Mapping[str, Any] | SearchSpace) -> SearchSpace:
    """Return a search space from a name, a path, a dictionary or a search space.

    Examples:
        >>> as_space("quick") == SearchSpace.from_toml("quick")
        True
    """
    if isinstance(space, SearchSpace):
        return space
    if isinstance(space, Mapping):
        return SearchSpace(space)
    return SearchSpace.from_toml(space)
