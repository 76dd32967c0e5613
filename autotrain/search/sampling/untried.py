"""Finite spaces: which configurations a study has not tried, and a sampler that draws only these.

A configuration counts as tried as soon as a trial with it is waiting or running. A configuration
whose trial was interrupted is retried by `TrialStore.recover` with the same parameters. So every
configuration of a finite space is drawn once before the search ends.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from autotrain.search.attributes import CONFIG, is_counted
from autotrain.search.given import fixed_params
from autotrain.search.record import own_trials
from autotrain.search.sampling.samplers import seed_number
from autotrain.search.sampling.wrapped import WrappedSampler
from autotrain.space.finite import Leaf
from autotrain.space.search_space import SearchSpace

Key = frozenset[tuple[str, Any]]


class Untried:
    """All configurations of a finite space, compared with the trials of a study.

    Args:
        leaves: every set of parameters, see `space/finite.py`.
    """

    def __init__(self, leaves: Sequence[Leaf]) -> None:
        self.leaves = leaves
        self._configs = {_key(leaf.params): leaf.config for leaf in leaves}

    @classmethod
    def of(cls, space: SearchSpace) -> Untried | None:
        """Return the configurations of a resolved space; None if it is infinite or too large."""
        leaves = space.leaves
        return None if leaves is None else cls(leaves)

    @property
    def n_configs(self) -> int:
        """The number of different configurations."""
        return len(set(self._configs.values()))

    def left(self, trials: Iterable[FrozenTrial], but: int | None = None) -> list[Leaf]:
        """Return the parameters of all configurations that no trial has tried or will try.

        Args:
            but: number of a trial that does not count.
        """
        taken = {
            self._configs.get(_key(trial.params or fixed_params(trial)))
            for trial in trials
            if trial.number != but and CONFIG not in trial.user_attrs and _is_tried(trial)
        }
        return [leaf for leaf in self.leaves if leaf.config not in taken]

    def n_left(self, trials: Sequence[FrozenTrial]) -> int:
        """Return how many trials a study still has: those that wait, and all that is untried."""
        return sum(t.state == TrialState.WAITING for t in trials) + self.count(trials)

    def count(self, trials: Iterable[FrozenTrial]) -> int:
        """Return how many configurations no trial has tried or will try."""
        return len({leaf.config for leaf in self.left(trials)})


class UntriedSampler(WrappedSampler):
    """Use the inner sampler's values where they lead to an untried configuration.

    Elsewhere a value of an untried configuration is drawn. When all configurations have been tried,
    the inner sampler's values are used.

    Args:
        inner: the sampler that learns.
        untried: the configurations of the study's space.
        seed: the study's seed.
    """

    def __init__(self, inner: BaseSampler, untried: Untried, seed: int) -> None:
        super().__init__(inner, seed)
        self.untried = untried
        self._left: dict[int, list[Leaf]] = {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Sample parameters jointly; drop values that only tried configurations have."""
        drawn = self.inner.sample_relative(study, trial, search_space)
        left = self._leaves_left(study, trial)
        kept: dict[str, Any] = {}
        for name, value in drawn.items():
            fitting = _with_params(left, {name: value})
            if fitting or not left:
                kept[name], left = value, fitting
        self._left[trial.number] = left
        return kept

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Sample one parameter; draw a value of an untried configuration where needed."""
        value = self.inner.sample_independent(study, trial, param_name, param_distribution)
        left = _with_params(self._leaves_left(study, trial), trial.params)
        options = [leaf.params[param_name] for leaf in left if param_name in leaf.params]
        if not options or any(_is_same(option, value) for option in options):
            return value
        place = [self.seed, seed_number(study, trial), zlib.crc32(param_name.encode())]
        return options[np.random.default_rng(place).integers(len(options))]

    def forget(self, number: int) -> None:
        """Drop the untried configurations that a trial can still become."""
        self._left.pop(number, None)

    def _leaves_left(self, study: optuna.Study, trial: FrozenTrial) -> list[Leaf]:
        if trial.number not in self._left:
            trials = own_trials(study.get_trials(deepcopy=False), study.user_attrs)
            self._left[trial.number] = self.untried.left(trials, trial.number)
        return self._left[trial.number]


def _is_tried(trial: FrozenTrial) -> bool:
    return is_counted(trial) or trial.state in (TrialState.RUNNING, TrialState.WAITING)


def _with_params(leaves: Iterable[Leaf], params: Mapping[str, Any]) -> list[Leaf]:
    """Return the leaves that do not contradict these parameters."""
    return [
        leaf
        for leaf in leaves
        if all(_is_same(leaf.params.get(name, value), value) for name, value in params.items())
    ]


def _is_same(one: Any, other: Any) -> bool:
    """Compare values; steps are added in binary, so 0.3 may come as 3 · 0.1."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return bool(one == other)


def _key(params: Mapping[str, Any]) -> Key:
    """Return parameters as something to look up, with floats as `_is_same` compares them."""
    return frozenset(
        (name, float(f"{value:.9g}") if isinstance(value, float) else value)
        for name, value in params.items()
    )
