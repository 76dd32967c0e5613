"""A sampler that draws no forbidden combination, wrapped around any other sampler.

Optuna keeps the first value that it is given for a parameter, so a combination that turns out to be
forbidden costs a trial. Here each value is checked before it is returned: if no allowed
configuration contains it, another one is drawn.
"""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial

from autotrain.search.sampling.samplers import sampler_seed, seed_number
from autotrain.search.sampling.wrapped import WrappedSampler
from autotrain.space.search_space import SearchSpace

ATTEMPTS = 1000
"""Number of random draws of one value. If 1 % of the values are allowed, all of them fail in one of
20,000 trials."""


class AllowedSampler(WrappedSampler):
    """Use the inner sampler's values where they are allowed, and random allowed ones elsewhere.

    Args:
        inner: the sampler that learns.
        space: the resolved search space with the forbidden combinations.
        seed: the study's seed.
    """

    def __init__(self, inner: BaseSampler, space: SearchSpace, seed: int) -> None:
        super().__init__(inner, seed)
        self.space = space
        # Values that were sampled for a trial before it asked for its first parameter.
        self._ahead: dict[int, dict[str, Any]] = {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Sample parameters jointly; drop values that are forbidden by the ones before them."""
        drawn = self.inner.sample_relative(study, trial, search_space)
        kept: dict[str, Any] = {}
        for name, value in drawn.items():
            if self.space.can_complete({**kept, name: value}):
                kept[name] = value
        self._ahead[trial.number] = kept
        return kept

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Sample one parameter; draw at random until the value is allowed."""
        arguments = (study, trial, param_name, param_distribution)
        known = self._ahead.get(trial.number, {}) | trial.params
        value = self.inner.sample_independent(*arguments)
        if self.space.can_complete({**known, param_name: value}):
            return value
        random = RandomSampler(seed=sampler_seed(self.seed, seed_number(study, trial)))
        for _ in range(ATTEMPTS):
            value = random.sample_independent(*arguments)
            if self.space.can_complete({**known, param_name: value}):
                break
        return value

    def forget(self, number: int) -> None:
        """Drop the values that were sampled for a trial."""
        self._ahead.pop(number, None)
