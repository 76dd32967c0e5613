"""Suggesting: a trial is asked for exactly the parameters that have an effect."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from optuna.trial import FixedTrial

from autotrain.errors import SpaceError
from autotrain.space.auto import DataShape
from autotrain.space.config import TrialConfig
from autotrain.space.search_space import SearchSpace, as_space
from autotrain.space.sections import SECTIONS
from tests.space import strategies
from tests.space.samplers import CyclingTrial

optuna.logging.set_verbosity(optuna.logging.WARNING)


def resolved(described: dict[str, Any]) -> SearchSpace:
    return SearchSpace(described).resolve(n_train=1000, n_inputs=10, task="multiclass")


def asked(space: SearchSpace, answers: dict[str, Any]) -> tuple[set[str], TrialConfig]:
    """Return the names that a trial was asked for, and the configuration."""
    trial = FixedTrial(answers)
    config = space.suggest(trial)
    return set(trial.params), config


def test_only_parameters_of_the_chosen_technique_are_suggested() -> None:
    space = resolved(
        {
            "activation": {
                "choices": ["relu", "leaky_relu", "elu"],
                "leaky_relu": {"negative_slope": {"low": 0.1, "high": 0.2}},
                "elu": {"alpha": {"low": 0.5, "high": 2.0}},
            }
        }
    )
    answers: dict[str, Any] = {
        "activation.leaky_relu.negative_slope": 0.15,
        "activation.elu.alpha": 0.7,
    }
    names, config = asked(space, answers | {"activation": "relu"})
    assert names == {"activation"}
    shared = {"parametric": False, "mix_learning_rate": 1.0}
    assert config.activation.parameters == shared
    names, config = asked(space, answers | {"activation": "elu"})
    assert names == {"activation", "activation.elu.alpha"}
    assert config.activation.parameters == shared | {"alpha": 0.7}


def test_shared_parameters_are_suggested_where_they_have_an_effect() -> None:
    space = resolved(
        {
            "dropout": {
                "choices": ["none", "dropout"],
                "rate": {"low": 0.1, "high": 0.5},
            },
            "batch_norm": {
                "choices": ["off", "before_activation"],
                "input": {"choices": [False, True]},
                "momentum": {"low": 0.5, "high": 0.9},
            },
        }
    )
    answers = {"dropout.rate": 0.2, "batch_norm.momentum": 0.6}
    names, config = asked(
        space, answers | {"dropout": "none", "batch_norm": "off", "batch_norm.input": False}
    )
    assert names == {"dropout", "batch_norm", "batch_norm.input"}
    assert config.dropout["rate"] == 0.0
    names, config = asked(
        space, answers | {"dropout": "dropout", "batch_norm": "off", "batch_norm.input": True}
    )
    assert names == {"dropout", "dropout.rate", "batch_norm", "batch_norm.input", *answers}
    assert config.batch_norm["momentum"] == 0.6


def test_explicit_widths_need_no_number_of_layers() -> None:
    space = resolved(
        {
            "network": {
                "hidden_units": {"choices": [64, "300-100"]},
                "hidden_layers": {"low": 1, "high": 4},
            }
        }
    )
    answers = {"network.hidden_layers": 3}
    names, config = asked(space, answers | {"network.hidden_units": "300-100"})
    assert (names, config.hidden_units) == ({"network.hidden_units"}, (300, 100))
    names, config = asked(space, answers | {"network.hidden_units": 64})
    assert names == {"network.hidden_units", "network.hidden_layers"}
    assert config.hidden_units == (64, 64, 64)


def test_override_of_a_shared_parameter() -> None:
    space = resolved(
        {
            "optimizer": {
                "choices": ["adam", "sgd", "nadam"],
                "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
                "sgd": {"learning_rate": {"low": 1e-2, "high": 1.0, "log": True}},
                "nadam": {"learning_rate": 0.5},
            }
        }
    )
    answers = {"optimizer.learning_rate": 0.001, "optimizer.sgd.learning_rate": 0.7}
    names, config = asked(space, answers | {"optimizer": "sgd"})
    assert names == {"optimizer", "optimizer.sgd.learning_rate"}
    assert config.optimizer.parameters == {"learning_rate": 0.7}
    names, config = asked(space, answers | {"optimizer": "adam"})
    assert names == {"optimizer", "optimizer.learning_rate"}
    assert config.optimizer["learning_rate"] == 0.001
    names, config = asked(space, answers | {"optimizer": "nadam"})
    assert names == {"optimizer"}
    assert config.optimizer["learning_rate"] == 0.5


def test_lists_are_suggested_as_text() -> None:
    space = resolved(
        {
            "schedule": {
                "choices": ["piecewise"],
                "piecewise": {
                    "boundaries": [2, 4],
                    "factors": {"choices": [[1, 0.5, 0.1], [1.0, 0.1, 0.01]]},
                },
            }
        }
    )
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    config = space.suggest(trial)
    assert trial.params["schedule.piecewise.factors"] in ("[1.0, 0.5, 0.1]", "[1.0, 0.1, 0.01]")
    assert config.schedule["factors"] in ((1.0, 0.5, 0.1), (1.0, 0.1, 0.01))
    assert config.schedule["boundaries"] == (2.0, 4.0)
    assert space.config_from(trial.params) == config


@pytest.mark.parametrize("row", ["sgd", "momentum", "adamw"])
def test_every_kind_of_range(row: str) -> None:
    space = resolved(
        {
            "network": {
                "hidden_layers": {"low": 1, "high": 9, "step": 4},
                "hidden_units": {"low": 8, "high": 512, "log": True},
            },
            "optimizer": row,
            "dropout": {
                "rate": {"low": 0.1, "high": 0.75, "step": 0.2},
                "input_rate": {"low": 0.1, "high": 0.3},
            },
        }
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    configs = [space.suggest(study.ask()) for _ in range(60)]
    assert {len(config.hidden_units) for config in configs} == {1, 5, 9}
    assert {round(config.dropout["rate"], 9) for config in configs} == {0.1, 0.3, 0.5, 0.7}
    assert all(type(config.hidden_units[0]) is int for config in configs)
    assert min(config.hidden_units[0] for config in configs) < 32
    assert all(0.1 <= config.dropout["input_rate"] <= 0.3 for config in configs)


@given(strategies.spaces())
@settings(max_examples=40, deadline=None)
def test_suggested_configurations_are_in_the_space(described: dict[str, Any]) -> None:
    space = SearchSpace(described).resolve(n_train=500, n_inputs=3, task="binary")
    reached: set[str] = set()
    for n in range(64):
        trial = CyclingTrial(n)
        config = space.suggest(trial)
        reached |= set(trial.params)
        if n % 8 == 0:
            assert space.config_from(trial.params) == config
            assert TrialConfig.from_params(config.to_params()) == config
        for name, section in SECTIONS.items():
            if section.rows:
                written = described.get(name, {}).get("choices", [section.default])
                if not section.has_effect(DataShape(500, 3, "binary", n_numbers=3)):
                    written = [section.default]
                assert getattr(config, name).name in written
    # Exactly these parameters are suggested.
    assert reached == set(space.distributions())


@given(strategies.spaces())
@settings(max_examples=20, deadline=None)
def test_optuna_accepts_every_distribution(described: dict[str, Any]) -> None:
    space = SearchSpace(described).resolve(n_train=500, n_inputs=3, task="binary")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(3):
        trial = study.ask()
        config = space.suggest(trial)
        assert space.config_from(trial.params) == config


def test_config_from_is_strict() -> None:
    space = resolved(
        {"activation": {"choices": ["relu", "elu"]}, "dropout": {"rate": {"low": 0.1, "high": 0.5}}}
    )
    with pytest.raises(SpaceError) as caught:
        space.config_from({"activation": "selu", "optimizer": "adam"})
    assert caught.value.mistakes == (
        "activation must be in the space, got 'selu'.",
        "dropout.rate is missing.",
        "optimizer has no effect or is not a parameter of this space.",
    )
    with pytest.raises(SpaceError, match=r"dropout\.rate must be in the space, got 0\.9"):
        space.config_from({"activation": "relu", "dropout.rate": 0.9})


def test_wrong_values_are_reported_before_forbidden_combinations() -> None:
    space = resolved(
        {
            "activation": {"choices": ["relu", "elu"]},
            "dropout": {"choices": ["dropout", "none"]},
            "forbid": [{"activation": "relu", "dropout": "dropout"}],
        }
    )
    with pytest.raises(SpaceError, match="activation is missing"):
        space.config_from({"dropout": "dropout"})


def test_space_may_be_given_in_any_form() -> None:
    quick = SearchSpace.from_toml("quick")
    assert as_space(quick) is quick
    assert as_space("quick") == quick == as_space(quick.to_dict())


def test_auto_must_be_resolved_first() -> None:
    with pytest.raises(SpaceError, match=r'training\.batch_size: "auto" depends on the data'):
        SearchSpace({}).suggest(FixedTrial({}))
