"""Trials for tests: a sampler that checks with the space first, and trials without a study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial

from autotrain.space.search_space import SearchSpace


class AskingSampler(optuna.samplers.RandomSampler):
    """Samples at random, but rejects values after which no allowed configuration is left."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        super().__init__(seed=seed)
        self.space = space

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        for _ in range(20):
            value = super().sample_independent(study, trial, param_name, param_distribution)
            if self.space.can_complete({**trial.params, param_name: value}):
                return value
        assert isinstance(param_distribution, CategoricalDistribution)
        return next(
            choice
            for choice in param_distribution.choices
            if self.space.can_complete({**trial.params, param_name: choice})
        )


class CyclingTrial:
    """A trial without a study; trials 0 to 63 reach every parameter.

    Sixteen trials in a row take all techniques of every section in turn (there are fewer), and
    then the lists of values move on by one.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.params: dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        turn = self.number // 16 if "." in name else self.number
        return self.params.setdefault(name, choices[turn % len(choices)])

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        value = low if step is not None else low + (high - low) * self.number / 63
        drawn: float = self.params.setdefault(name, min(max(value, low), high))
        return drawn

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        values = range(low, high + 1, step)
        drawn: int = self.params.setdefault(name, values[self.number % len(values)])
        return drawn
