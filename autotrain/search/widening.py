"""Give a study another search space that contains its trials, for `resume` with `--space`.

Optuna keeps the choices of a parameter for a whole study, and all parameters of a trial as they
were sampled. So the trials are copied into a new Optuna study in the same storage, with the
parameters and ranges that they have in the new space. `study.toml` then names the new Optuna study,
and the old one is deleted. A kill in between leaves the study as it was, or as it is then.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from autotrain.errors import SpaceError, StudyError
from autotrain.metrics import Metric
from autotrain.search.attributes import CONFIG, IDENTITY
from autotrain.search.definition import Definition
from autotrain.search.given import fixed_params, params_of
from autotrain.search.opening import PLACE, open_study, quiet_optuna
from autotrain.search.record import is_foreign
from autotrain.search.storage.open import open_storage
from autotrain.search.trial_store import TrialStore
from autotrain.space.search_space import SearchSpace

FIXED = "fixed_params"
"""System attribute of Optuna with the parameters of an enqueued trial."""


def widen(
    begun: Definition,
    folder: Path,
    metric: Metric,
    space: SearchSpace,
    given: BaseStorage | None = None,
) -> Definition:
    """Copy the trials of a study to a new space, and return the study's new definition.

    Args:
        begun: the study's definition, with the URL of its storage.
        folder: the study's folder.
        metric: the study's metric.
        space: the new space, resolved.
        given: an open storage in place of the URL.
    Raises:
        StudyError: when a trial is not in the new space, or another process writes to the study.
        StorageError: when the storage cannot be used.
    """
    old_space = SearchSpace.from_dict(begun.space)
    storage, study = open_study(folder, begun, metric, RandomSampler(seed=0), given)
    with storage:
        TrialStore(study, storage, old_space, metric).release()
        trials = study.get_trials(deepcopy=False)
        copies = _copies(trials, study, old_space, space, begun.name)
        name = f"{begun.name}-{uuid.uuid4().hex[:8]}"
        _copy_study(storage, study, name, metric, copies)
        storage.commit()
        wider = replace(begun, space=space.to_dict(), stored_as=name)
        wider.write(folder)
    with open_storage(folder, begun.storage, given) as storage:
        _delete_others(storage, name)
    return wider


def _delete_others(storage: BaseStorage, name: str) -> None:
    """Delete the Optuna studies that this one replaces, also those of a killed attempt."""
    studies = storage.get_all_studies()
    [own] = [study.user_attrs for study in studies if study.study_name == name]
    for study in studies:
        # A copy of the folder has the same identity and another place.
        is_same = all(study.user_attrs.get(key) == own[key] for key in (IDENTITY, PLACE))
        if study.study_name != name and is_same:
            storage.delete_study(study._study_id)


def _copy_study(
    storage: BaseStorage,
    study: optuna.Study,
    name: str,
    metric: Metric,
    trials: Sequence[FrozenTrial],
) -> None:
    direction = StudyDirection[metric.direction.upper()]
    with quiet_optuna():
        new = storage.create_new_study([direction], name)
    for key, value in study.user_attrs.items():
        storage.set_study_user_attr(new, key, value)
    for trial in trials:
        storage.create_new_trial(new, template_trial=trial)


def _copies(
    trials: Sequence[FrozenTrial],
    study: optuna.Study,
    old_space: SearchSpace,
    space: SearchSpace,
    name: str,
) -> list[FrozenTrial]:
    """Return the trials as they are in the new space.

    Raises:
        StudyError: when a trial is not in it; it lists the first five.
    """
    copies, outside = [], []
    for trial in trials:
        try:
            copies.append(_copied(trial, study, old_space, space))
        except SpaceError as error:
            outside.append(f"trial {trial.number}: {'; '.join(error.mistakes)}")
    if outside:
        raise StudyError(
            f"space must contain all trials of study {name!r}, got a space without "
            f"{len(outside)} of {len(trials)}:\n  " + "\n  ".join(outside[:5]) + "\n"
            "Extend the study's space (`extends` in the file), or start a study with another name.",
            parameter="space",
        )
    return copies


def _copied(
    trial: FrozenTrial, study: optuna.Study, old_space: SearchSpace, space: SearchSpace
) -> FrozenTrial:
    """Return a trial as it is in the new space.

    Raises:
        SpaceError: when it is not in it.
    """
    has_none = not (trial.params or fixed_params(trial))
    if CONFIG in trial.user_attrs or has_none or is_foreign(trial, study.user_attrs):
        return trial
    try:
        config = old_space.config_from(trial.params or fixed_params(trial))
    except SpaceError:
        return trial  # A rejected trial has parameters that no space has.
    params, outside = params_of(config, space)
    if outside:
        # Raises the error with the reason.
        space.fit(config.to_params(), source=f"trial {trial.number}")
        raise SpaceError(f"trial {trial.number}", ["its configuration is not in the space."])
    copied = copy.copy(trial)
    if trial.state == TrialState.WAITING:
        copied.system_attrs = trial.system_attrs | {FIXED: params}
        return copied
    copied.params, copied.distributions = params, _distributions(space, params)
    return copied


def _distributions(space: SearchSpace, params: dict[str, object]) -> dict[str, BaseDistribution]:
    """Return the distributions of the parameters in a space."""
    asked = FixedTrial(params)
    space.suggest(asked)
    found = asked.distributions
    return {name: found[name] for name in params}
