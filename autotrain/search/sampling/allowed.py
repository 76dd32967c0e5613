"""A sampler that never draws a forbidden combination, around any other sampler.

Optuna keeps a trial's first answer, so a combination that turns out to be forbidden costs a trial.
Here each answer is looked at before it is given: one after which no allowed configuration is left
is drawn again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from autotrain.search.sampling.samplers import sampler_seed, seed_number
from autotrain.space.search_space import SearchSpace

# Draws of one answer; with a share of 1 % allowed, one in 20,000 trials is still not.
ATTEMPTS = 1000


class AllowedSampler(BaseSampler):
    """Give the inner sampler's answers where they are allowed, random allowed ones elsewhere.

    Args:
        inner: the sampler that learns.
        space: decides which parameters can be completed.
        seed: the study's.
    """

    def __init__(self, inner: BaseSampler, space: SearchSpace, seed: int) -> None:
        self.inner = inner
        self.space = space
        self.seed = seed
        # Values drawn for a trial before it asks for its first parameter.
        self._ahead: dict[int, dict[str, Any]] = {}

    def reseed_rng(self) -> None:
        """Pass on."""
        self.inner.reseed_rng()

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Ask the inner sampler."""
        return self.inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Ask the inner sampler; leave out answers that the ones before them forbid."""
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
        """Ask the inner sampler; draw at random until allowed where its answer is not."""
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

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Pass on."""
        self.inner.before_trial(study, trial)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Pass on, and forget the trial."""
        self._ahead.pop(trial.number, None)
        self.inner.after_trial(study, trial, state, values)
