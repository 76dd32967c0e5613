"""Forbidden combinations: found, counted, and never drawn by a sampler that checks."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import FixedTrial

from autotrain.errors import SpaceError
from autotrain.space.forbidding import ForbiddenCombination
from autotrain.space.search_space import SearchSpace
from tests.space.samplers import AskingSampler

optuna.logging.set_verbosity(optuna.logging.WARNING)

SMALL: dict[str, Any] = {
    "network": {
        "hidden_layers": {"low": 0, "high": 3},
        "hidden_units": {"choices": [8, 16, "32-8"]},
    },
    "activation": {"choices": ["relu", "elu", "selu"], "elu": {"alpha": {"choices": [1.0, 2.0]}}},
    "initializer": {"choices": ["he_normal", "lecun_normal"]},
    "batch_norm": {"choices": ["off", "after_activation"], "input": {"choices": [True, False]}},
    "training": {"batch_size": 8, "epochs": 3},
}
CONDITIONS: dict[str, list[Any]] = {
    "network.hidden_layers": [0, 1, 2, 3],
    "network.hidden_units": [8, 16, "32-8"],
    "activation": ["relu", "elu", "selu"],
    "activation.elu.alpha": [1.0, 2.0],
    "initializer": ["he_normal", "lecun_normal"],
    "batch_norm": ["off", "after_activation"],
    "batch_norm.input": [True, False],
}


def enumerate_params(space: SearchSpace) -> list[dict[str, Any]]:
    """Enumerate all combinations by trying every value of every parameter."""
    found: list[dict[str, Any]] = []
    todo: list[dict[str, Any]] = [{}]
    while todo:
        answers = todo.pop()
        trial = _Branching(answers)
        try:
            space.suggest(trial)
        except ForbiddenCombination:
            pass
        except _Open as stop:
            todo += [{**answers, stop.name: value} for value in stop.values]
            continue
        else:
            found.append(answers)
    return found


class _Open(Exception):  # noqa: N818
    def __init__(self, name: str, values: Any) -> None:
        super().__init__(name)
        self.name, self.values = name, values


class _Branching:
    """A trial that stops at the first parameter without a value."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        if name not in self.answers:
            raise _Open(name, choices)
        return self.answers[name]

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> Any:
        return self.suggest_categorical(name, range(low, high + 1, step))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> Any:
        raise AssertionError(name)


FREE = enumerate_params(SearchSpace(SMALL))


@st.composite
def forbids(draw: st.DrawFn) -> list[dict[str, Any]]:
    return [
        {
            name: draw(
                st.lists(st.sampled_from(CONDITIONS[name]), min_size=1, max_size=2, unique=True)
            )
            for name in draw(
                st.lists(st.sampled_from([*CONDITIONS]), min_size=1, max_size=3, unique=True)
            )
        }
        for _ in range(draw(st.integers(0, 4)))
    ]


def matches(params: dict[str, Any], forbid: dict[str, Any]) -> bool:
    return all(name in params and params[name] in values for name, values in forbid.items())


@given(forbids())
@settings(max_examples=40, deadline=None)
def test_count_and_completion_equal_enumeration(rules: list[dict[str, Any]]) -> None:
    free = FREE
    expected = [params for params in free if not any(matches(params, rule) for rule in rules)]
    if not expected:
        with pytest.raises(SpaceError, match="at least one combination"):
            SearchSpace({**SMALL, "forbid": rules})
        return
    space = SearchSpace({**SMALL, "forbid": rules})
    left = enumerate_params(space)
    assert left == expected
    assert space.size().combinations == len(left)
    # The first parameters of a trial can be completed exactly if an allowed trial starts with them.
    beginnings = {tuple(params.items())[:n] for params in free for n in range(len(params) + 1)}
    reachable = {tuple(params.items())[:n] for params in left for n in range(len(params) + 1)}
    for beginning in beginnings:
        assert space.can_complete(dict(beginning)) == (beginning in reachable), beginning


def test_without_forbids_everything_is_allowed() -> None:
    space = SearchSpace(SMALL)
    # 2 widths × 4 depths + 1 explicit; relu, selu, elu × 2; 2 initializers; 2 × 2.
    assert space.size() == (9 * 4 * 2 * 4, 0)
    assert len(enumerate_params(space)) == 9 * 4 * 2 * 4
    assert "forbid" not in space.to_dict()


def test_sampler_that_checks_never_draws_forbidden_combinations() -> None:
    space = SearchSpace.from_toml("default").resolve(5000, 20, "multiclass")
    study = optuna.create_study(sampler=AskingSampler(space, seed=0))
    for _ in range(500):
        config = space.suggest(study.ask())
        assert space.can_complete(config.to_params())
        assert config.activation.name != "selu" or config.initializer.name != "he_normal"


def test_sampler_that_does_not_check_gets_an_exception() -> None:
    space = SearchSpace.from_toml("default").resolve(5000, 20, "multiclass")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    refused = 0
    for _ in range(500):
        try:
            config = space.suggest(study.ask())
        except ForbiddenCombination:
            refused += 1
        else:
            assert space.can_complete(config.to_params())
    # 1 of 6 activations with 1 of 3 initializers.
    assert 10 < refused < 60


def test_exception_names_the_combination() -> None:
    space = SearchSpace(
        {
            **SMALL,
            "forbid": [{"activation": "elu", "activation.elu.alpha": [2.0], "batch_norm": "off"}],
        }
    )
    answers = {
        "network.hidden_units": 8,
        "network.hidden_layers": 1,
        "activation": "elu",
        "activation.elu.alpha": 2.0,
        "initializer": "he_normal",
        "batch_norm": "off",
        "batch_norm.input": True,
    }
    with pytest.raises(ForbiddenCombination) as caught:
        space.suggest(FixedTrial(answers))
    message = (
        'must not be combined: activation = "elu", activation.elu.alpha = 2.0, batch_norm = "off".'
    )
    assert caught.value.mistakes == (message,)
    assert pickle.loads(pickle.dumps(caught.value)).mistakes == (message,)
    space.suggest(FixedTrial(answers | {"activation.elu.alpha": 1.0}))


def test_lists_of_values_and_nested_tables() -> None:
    space = SearchSpace(
        {
            **SMALL,
            "forbid": [
                {"activation": ["relu", "elu"], "network": {"hidden_layers": [2, 3]}},
                {"batch_norm": {"choice": "off", "input": True}, "activation": "selu"},
            ],
        }
    )
    deep = {"network.hidden_units": 8, "network.hidden_layers": 3}
    assert not space.can_complete({"activation": "elu", **deep})
    assert space.can_complete({"activation": "selu", **deep})
    off = {"activation": "selu", "batch_norm": "off"}
    assert not space.can_complete(off | {"batch_norm.input": True})
    assert space.can_complete(off | {"batch_norm.input": False})


def test_override_of_a_shared_parameter() -> None:
    space = SearchSpace(
        {
            "optimizer": {
                "choices": ["adam", "sgd"],
                "learning_rate": {"choices": [0.1, 0.01]},
                "sgd": {"learning_rate": {"choices": [0.1, 1.0]}},
            },
            "forbid": [{"optimizer.sgd.learning_rate": 0.1}],
            "training": {"batch_size": 8, "epochs": 3},
        }
    )
    assert space.size().combinations == 3
    assert not space.can_complete({"optimizer": "sgd", "optimizer.sgd.learning_rate": 0.1})
    assert space.can_complete({"optimizer": "adam", "optimizer.learning_rate": 0.1})
    assert SearchSpace(space.to_dict()) == space


def test_dead_ends_are_avoided() -> None:
    # No rule forbids relu on its own, but together they leave no combination with it.
    space = SearchSpace(
        {
            **SMALL,
            "forbid": [
                {"activation": "relu", "initializer": "he_normal"},
                {"initializer": "lecun_normal", "batch_norm": "off"},
                {"activation": "relu", "batch_norm": "after_activation"},
            ],
        }
    )
    assert not space.can_complete({"activation": "relu"})
    assert not space.can_complete({"activation": "relu", "unknown.name": 3})
    assert space.can_complete({"activation": "elu"})


def test_lists_can_be_forbidden() -> None:
    described = {
        "schedule": {
            "choices": ["piecewise", "constant"],
            "piecewise": {"factors": {"choices": [[1, 0.5, 0.1], [1, 0.1, 0.01]]}},
        },
        "activation": {"choices": ["relu", "elu"]},
        "training": {"batch_size": 8, "epochs": 3},
        "forbid": [{"schedule.piecewise.factors": [1, 0.5, 0.1], "activation": "relu"}],
    }
    space = SearchSpace(described)
    assert space.size().combinations == 5
    assert not space.can_complete(
        {
            "schedule.piecewise.factors": "[1.0, 0.5, 0.1]",
            "activation": "relu",
            "schedule": "piecewise",
        }
    )
    assert SearchSpace(space.to_dict()) == space


def test_steps_of_reals_can_be_forbidden() -> None:
    space = SearchSpace(
        {
            "dropout": {"rate": {"low": 0.1, "high": 0.5, "step": 0.1}},
            "training": {"batch_size": 8, "epochs": 3},
            "forbid": [{"dropout.rate": [0.3, 0.4]}],
        }
    )
    assert space.size().combinations == 3
    in_binary = 0.1 + 0.1 * 2  # what Optuna answers: 0.30000000000000004
    assert in_binary != 0.3
    assert not space.can_complete({"dropout.rate": in_binary})
    assert space.can_complete({"dropout.rate": 0.2})
    with pytest.raises(ForbiddenCombination):
        space.config_from({"dropout.rate": in_binary})
    assert space.config_from({"dropout.rate": 0.1 * 5}).dropout["rate"] == 0.5


def test_counting_of_a_large_space() -> None:
    # A space with all techniques and forbids in many sections is counted without enumeration.
    rows = {"choices": ["relu", "elu", "selu", "tanh", "sigmoid"]}
    rules = [
        {a: x, b: y}
        for (a, x), (b, y) in itertools.combinations(
            [("activation", "relu"), ("optimizer", "adam"), ("schedule", "cosine")], 2
        )
    ]
    space = SearchSpace(
        {
            "activation": rows,
            "optimizer": {"choices": ["adam", "sgd", "nadam"]},
            "schedule": {"choices": ["cosine", "constant"]},
            "training": {"epochs": {"low": 1, "high": 1_000_000}},
            "forbid": rules,
        }
    )
    # 30 minus those with two or three of relu, adam, cosine: 1·1·1 + 1·1·1 + 1·2·1 + 4·1·1
    assert space.size().combinations == (30 - 8) * 1_000_000
