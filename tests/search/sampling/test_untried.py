"""A finite space: nothing is tried twice, whatever the sampler, and everything is tried once."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from autotrain.search.attributes import CONFIG
from autotrain.search.given import enqueue
from autotrain.search.sampling.allowed import AllowedSampler
from autotrain.search.sampling.samplers import SAMPLERS, LearnedStudy, make_sampler
from autotrain.search.sampling.untried import Untried, UntriedSampler
from autotrain.space.search_space import SearchSpace

optuna.logging.set_verbosity(optuna.logging.WARNING)
SPACE = SearchSpace(
    {
        "training": {"batch_size": 16, "epochs": 2},
        "network": {"hidden_layers": {"low": 0, "high": 1}, "hidden_units": {"choices": [4, 8]}},
        "activation": {
            "choices": ["relu", "leaky_relu"],
            "leaky_relu": {"negative_slope": {"low": 0.1, "high": 0.3, "step": 0.1}},
        },
        "optimizer": {"choices": ["adam", "sgd"]},
        "forbid": [{"optimizer": "sgd", "network.hidden_units": 8}],
    }
)
# 4 activations × (adam with 3 networks, sgd with 2).
N_CONFIGS = 20


def known() -> Untried:
    untried = Untried.of(SPACE)
    assert untried is not None
    return untried


def study_with(sampler: str, seed: int) -> optuna.Study:
    inner = AllowedSampler(make_sampler(sampler, seed), SPACE, seed)
    return optuna.create_study(sampler=UntriedSampler(inner, known(), seed))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("n_at_once", [1, 3])
def test_every_configuration_is_tried_once(sampler: str, n_at_once: int) -> None:
    study = study_with(sampler, seed=n_at_once)
    configs: list[Any] = []
    while (left := known().count(study.trials)) > 0:
        trials = [study.ask() for _ in range(min(n_at_once, left))]
        # Each asks before the next begins, as in a search.
        configs += [SPACE.suggest(trial) for trial in trials[:1]]
        configs += [SPACE.suggest(trial) for trial in trials[1:]]
        for number, trial in enumerate(trials):
            state = TrialState.FAIL if number == 2 else TrialState.COMPLETE
            study.tell(trial, None if number == 2 else 0.1 * len(configs), state=state)
    assert len(configs) == len(set(configs)) == N_CONFIGS
    assert known().n_configs == N_CONFIGS


def test_trials_that_count_as_tried() -> None:
    study = study_with("random", seed=0)
    params = known().leaves[0].params
    enqueue(study, params)
    assert known().count(study.trials) == N_CONFIGS - 1, "it waits"
    assert known().n_left(study.trials) == N_CONFIGS
    trial = study.ask()
    SPACE.suggest(trial)
    assert known().count(study.trials) == N_CONFIGS - 1, "it is trained"
    trial.set_user_attr("cause", "interrupted")
    study.tell(trial, state=TrialState.FAIL)
    assert known().count(study.trials) == N_CONFIGS, "it will be tried again"
    enqueue(study, {}, **{CONFIG: {}})
    assert known().count(study.trials) == N_CONFIGS, "another is not in the space"


def test_enqueued_duplicate_is_trained() -> None:
    study = study_with("random", seed=0)
    for leaf in known().leaves:
        enqueue(study, leaf.params)
    enqueue(study, known().leaves[0].params)
    assert known().n_left(study.trials) == len(known().leaves) + 1
    assert known().count(study.trials) == 0


@pytest.mark.parametrize("sampler", ["gp", "cmaes", "tpe"])
def test_samplers_do_not_see_trials_outside_the_space(sampler: str) -> None:
    study = optuna.create_study(sampler=make_sampler(sampler, 1))
    for number in range(14):
        if number == 3:
            enqueue(study, {}, **{CONFIG: {}})
        trial = study.ask()
        if number != 3:
            trial.suggest_float("x", 0, 1)
            trial.suggest_float("y", 0, 1)
        study.tell(trial, float(number))
    assert [trial.number for trial in LearnedStudy(study).get_trials()] == [
        *range(3),
        *range(4, 14),
    ]
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    if sampler != "tpe":
        assert set(trial.relative_search_space or {}) == {"x", "y"}
    study.tell(trial, 0.0)
