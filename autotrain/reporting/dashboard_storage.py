"""`DashboardStorage`: the trials of a study as optuna-dashboard shows them.

The page receives all trials and all points of their curves in one answer. So attributes that only
autotrain reads are left out, and the curves of a large study have fewer points.
"""

from __future__ import annotations

import copy
import math
from typing import Any

from optuna.trial import FrozenTrial

from autotrain.search.attributes import ORIGIN
from autotrain.search.storage.storages import GivenStorage

MOST_POINTS = 50_000
"""Number of points of all curves from which on points are left out."""


class DashboardStorage(GivenStorage):
    """A storage whose trials have only the attributes and points that the dashboard can show.

    Args:
        storage: the storage of the study, which is only read.
    """

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Any = None
    ) -> list[FrozenTrial]:
        """Return the trials of a study, which share their unchanged parts with the storage."""
        trials = self._given.get_all_trials(study_id, deepcopy=False, states=states)
        n_points = sum(len(trial.intermediate_values) for trial in trials)
        stride = max(math.ceil(n_points / MOST_POINTS), 1)
        return [shown(trial, stride) for trial in trials]


def shown(trial: FrozenTrial, stride: int) -> FrozenTrial:
    """Return a trial with attributes that are numbers or texts, and some points of its curve.

    Args:
        trial: the trial.
        stride: every point of this number is kept, and the first and the last one.
    """
    found = copy.copy(trial)
    found.user_attrs = {
        name: value
        for name, value in trial.user_attrs.items()
        if isinstance(value, str | int | float) and name != ORIGIN
    }
    steps = sorted(trial.intermediate_values)
    if stride > 1 and steps:
        kept = dict.fromkeys([*steps[:1], *steps[stride - 1 :: stride], steps[-1]])
        found.intermediate_values = {step: trial.intermediate_values[step] for step in kept}
    return found
