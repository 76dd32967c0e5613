"""Configurations that a user gives to a study. They are tried before those that a sampler draws.

They wait in the storage as enqueued trials of Optuna, also when the study is closed. Only
`Study.train` accepts a configuration outside the study's space. Such a trial has no parameters of
the study. Its configuration is a user attribute, and samplers do not learn from the trial.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from autotrain.errors import AutotrainError, SpaceError
from autotrain.search.attributes import CONFIG, GIVEN
from autotrain.space.config import TrialConfig
from autotrain.space.search_space import SearchSpace


def config_of(trial: FrozenTrial, space: SearchSpace) -> TrialConfig:
    """Return a trial's configuration, inside or outside the study's space.

    Raises:
        SpaceError: when its parameters are not complete.
    """
    if CONFIG in trial.user_attrs:
        return TrialConfig.from_dict(trial.user_attrs[CONFIG])
    return space.config_from(trial.params or fixed_params(trial))


def params_of(config: TrialConfig, space: SearchSpace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a configuration as a trial's parameters and user attributes; `config_of` undoes it."""
    try:
        params = space.fit(config.to_params())
        is_inside = space.config_from(params) == config
    except SpaceError:
        is_inside = False
    return (params, {}) if is_inside else ({}, {CONFIG: config.to_dict()})


def configs_outside(trials: Iterable[FrozenTrial]) -> list[TrialConfig]:
    """Return the configurations of the trials that are outside the study's space."""
    configs = []
    for trial in trials:
        if CONFIG in trial.user_attrs:
            # An invalid configuration by another program raises when it is used.
            with contextlib.suppress(AutotrainError, TypeError, ValueError, AttributeError):
                configs.append(TrialConfig.from_dict(trial.user_attrs[CONFIG]))
    return configs


def enqueue(study: optuna.Study, params: Mapping[str, Any], **attributes: Any) -> int:
    """Add a waiting trial with these parameters and user attributes; return its number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.enqueue_trial(dict(params), user_attrs=attributes)
    return study.get_trials(deepcopy=False)[-1].number


def give(study: optuna.Study, config: TrialConfig, space: SearchSpace) -> int:
    """Add a waiting trial with a configuration inside or outside the space; return its number."""
    params, outside = params_of(config, space)
    return enqueue(study, params, **{GIVEN: "train"}, **outside)


def begin_given(study: optuna.Study, only: int | None) -> optuna.Trial | None:
    """Begin the first waiting trial that a user enqueued; None if no trial waits.

    Args:
        only: the number of the trial that may begin; None for any trial.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        is_wanted = GIVEN in trial.user_attrs if only is None else trial.number == only
        if is_wanted and study._storage.set_trial_state_values(
            trial._trial_id, state=TrialState.RUNNING
        ):
            return optuna.Trial(study, trial._trial_id)
    return None


def fixed_params(trial: FrozenTrial) -> dict[str, Any]:
    """Return the parameters with which a waiting trial was enqueued."""
    return dict(trial.system_attrs.get("fixed_params", {}))
