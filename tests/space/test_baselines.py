"""Baselines: each is exactly one configuration, whatever parameters it leaves out."""

from __future__ import annotations

from typing import Any

import optuna
import pytest

from autotrain.errors import SpaceError
from autotrain.space.search_space import SearchSpace

optuna.logging.set_verbosity(optuna.logging.WARNING)


def resolved(described: dict[str, Any], task: str = "binary") -> SearchSpace:
    return SearchSpace(described).resolve(n_train=1000, n_inputs=10, task=task)


def only(space: SearchSpace) -> dict[str, Any]:
    (params,) = space.baselines()
    return params


SPACE: dict[str, Any] = {
    "network": {
        "hidden_layers": {"low": 3, "high": 6},
        "hidden_units": {"low": 16, "high": 1024, "log": True},
    },
    "activation": {
        "choices": ["selu", "leaky_relu", "elu"],
        "leaky_relu": {"negative_slope": {"low": 0.1, "high": 0.3}},
    },
    "initializer": {"choices": ["lecun_normal", "he_normal"]},
    "dropout": {"rate": {"low": 0.2, "high": 0.6, "step": 0.1}, "input_rate": 0.0},
    "optimizer": {
        "choices": ["nadam", "adam", "sgd"],
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "sgd": {"learning_rate": {"low": 1e-2, "high": 1.0, "log": True}},
    },
    "regularizer": {"l2": {"low": 1e-6, "high": 1e-2, "log": True}},
}


def test_parameters_left_out_get_default_or_middle() -> None:
    assert only(resolved({**SPACE, "baseline": [{}]})) == {
        "network.hidden_units": 128,  # the default lies in the range
        "network.hidden_layers": 4,  # 2 does not: the middle, rounded down
        "initializer": "he_normal",  # the default is among the choices
        "activation": "selu",  # relu is not: the first
        "dropout.rate": 0.4,
        "optimizer": "adam",
        "optimizer.learning_rate": 1e-3,
        "regularizer.l2": pytest.approx(1e-4),  # 0 is not in a log range: the geometric middle
    }


def test_parameters_of_the_chosen_technique_are_filled_in() -> None:
    params = only(resolved({**SPACE, "baseline": [{"activation": "leaky_relu"}]}))
    assert params["activation.leaky_relu.negative_slope"] == pytest.approx(0.2)


@pytest.mark.parametrize("name", ["optimizer.learning_rate", "optimizer.sgd.learning_rate"])
def test_shared_parameter_also_sets_an_override(name: str) -> None:
    params = only(resolved({**SPACE, "baseline": [{"optimizer": "sgd", name: 0.5}]}))
    assert params["optimizer.sgd.learning_rate"] == 0.5
    assert "optimizer.learning_rate" not in params


def test_nested_tables_equal_dotted_names() -> None:
    nested = {
        "optimizer": {"choice": "adam", "learning_rate": 0.01},
        "activation": {"choice": "leaky_relu", "leaky_relu": {"negative_slope": 0.3}},
    }
    dotted = {
        "optimizer": "adam",
        "optimizer.learning_rate": 0.01,
        "activation": "leaky_relu",
        "activation.leaky_relu.negative_slope": 0.3,
    }
    space = resolved({**SPACE, "baseline": [nested]})
    assert space.baselines() == resolved({**SPACE, "baseline": [dotted]}).baselines()
    assert space.to_dict()["baseline"] == [dotted]


def test_filled_in_values_are_not_forbidden() -> None:
    space = resolved(
        {
            **SPACE,
            "forbid": [
                {"activation": "selu", "initializer": "he_normal"},
                {"activation": "selu", "optimizer": ["adam", "nadam"]},
            ],
            "baseline": [{"activation": "selu"}, {"initializer": "he_normal"}],
        }
    )
    first, second = space.baselines()
    assert (first["initializer"], first["optimizer"]) == ("lecun_normal", "sgd")
    assert second["activation"] == "leaky_relu"
    assert all(space.can_complete(params) for params in (first, second))


def test_filled_in_values_can_activate_a_forbid() -> None:
    # hidden_layers comes before optimizer: filling it in must consider later named parameters.
    space = resolved(
        {
            **SPACE,
            "activation": {"choices": ["elu", "selu"]},
            "forbid": [{"activation": "elu", "optimizer": "sgd"}],
            "baseline": [{"optimizer": "sgd"}],
        }
    )
    assert only(space)["activation"] == "selu"


def test_lists_are_stored_as_text() -> None:
    space = resolved(
        {
            "schedule": {
                "choices": ["piecewise"],
                "piecewise": {"factors": {"choices": [[1, 0.1, 0.01], [1, 0.5, 0.1]]}},
            },
            "baseline": [{}, {"schedule.piecewise.factors": [1, 0.1, 0.01]}],
        }
    )
    assert space.baselines() == [
        {"schedule.piecewise.factors": "[1.0, 0.5, 0.1]"},
        {"schedule.piecewise.factors": "[1.0, 0.1, 0.01]"},
    ]


def test_equal_baselines_are_merged() -> None:
    space = resolved({**SPACE, "baseline": [{}, {"optimizer": "adam"}, {"optimizer": "sgd"}]})
    assert [params["optimizer"] for params in space.baselines()] == ["adam", "sgd"]


def test_enqueued_baselines_are_suggested_exactly() -> None:
    space = resolved({**SPACE, "baseline": [{"activation": "elu"}, {"optimizer": "sgd"}]})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for params in space.baselines():
        study.enqueue_trial(params)
    for params in space.baselines():
        trial = study.ask()
        config = space.suggest(trial)
        assert trial.params == params
        assert config == space.config_from(params)


def test_baselines_lose_parameters_without_effect_on_the_task() -> None:
    described = {
        **SPACE,
        "loss": {"label_smoothing": {"low": 0.0, "high": 0.2}},
        "baseline": [{"loss.label_smoothing": 0.1}],
    }
    assert only(resolved(described))["loss.label_smoothing"] == 0.1
    space = resolved(described, task="regression")
    assert "loss.label_smoothing" not in space.distributions()
    assert "loss.label_smoothing" not in only(space)
    assert space.config_from(only(space)).loss["label_smoothing"] == 0.0


def test_auto_must_be_resolved_first() -> None:
    with pytest.raises(SpaceError, match="Call resolve"):
        SearchSpace({"baseline": [{}]}).baselines()


def test_a_fixed_value_may_be_repeated() -> None:
    space = resolved({**SPACE, "baseline": [{"dropout": "dropout", "dropout.input_rate": 0}]})
    assert len(space.baselines()) == 1
