"""No sampler ever draws what the space forbids, and nothing allowed is left out."""

from __future__ import annotations

import optuna
import pytest

from autotrain.search.sampling.allowed import AllowedSampler
from autotrain.search.sampling.samplers import SAMPLERS, make_sampler
from autotrain.space.search_space import SearchSpace

TIGHT = {
    "activation": {"choices": ["selu", "relu", "elu"]},
    "initializer": {"choices": ["lecun_normal", "he_normal", "glorot_normal"]},
    "dropout": {"choices": ["dropout", "alpha_dropout"], "rate": {"low": 0.1, "high": 0.5}},
    "optimizer": {"choices": ["adam"], "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}},
    "training": {"epochs": 5, "batch_size": 32},
    "forbid": [
        {"activation": "selu", "initializer": ["he_normal", "glorot_normal"]},
        {"activation": ["relu", "elu"], "initializer": "lecun_normal"},
        {"dropout": "alpha_dropout", "activation": ["relu", "elu"]},
    ],
}


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_forbidden_combinations_are_never_drawn(name: str) -> None:
    space = SearchSpace(TIGHT).resolve(100, 4, "binary")
    sampler = AllowedSampler(make_sampler(name, 3), space, 3)
    study = optuna.create_study(sampler=sampler)
    seen = set()
    for _ in range(25):
        trial = study.ask()
        config = space.suggest(trial)  # raises when forbidden
        seen.add((config.activation.name, config.initializer.name, config.dropout.name))
        study.tell(trial, config.optimizer["learning_rate"])
    assert {activation for activation, *_ in seen} == {"selu", "relu", "elu"}
    assert ("selu", "lecun_normal", "alpha_dropout") in seen
