"""All configurations of a finite space, compared with those of a random search."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from autotrain.space.finite import MOST_LEAVES
from autotrain.space.forbidding import ForbiddenCombination
from autotrain.space.search_space import SearchSpace

SPACES: list[Mapping[str, Any]] = [
    {},
    {"activation": {"choices": ["relu", "elu", "selu"]}, "training": {"batch_size": 8}},
    {
        "activation": {
            "choices": ["relu", "leaky_relu"],
            "leaky_relu": {"negative_slope": {"low": 0.1, "high": 0.5, "step": 0.1}},
        },
        "schedule": {
            "choices": ["constant", "piecewise"],
            "piecewise": {"factors": {"choices": [[1.0, 0.5, 0.1], [1.0, 0.1, 0.01]]}},
        },
    },
    {
        "early_stopping": {
            "enabled": {"choices": [True, False]},
            "patience": {"low": 1, "high": 3},
        },
        "network": {"hidden_layers": {"low": 0, "high": 2}, "hidden_units": {"choices": [4, 8]}},
    },
    {
        "batch_norm": {
            "choices": ["off", "before_activation"],
            "input": {"choices": [True, False]},
        },
        "initializer": {"choices": ["he_normal", "he_uniform"]},
        "forbid": [{"batch_norm": "off", "batch_norm.input": False}],
    },
]


class Dice:
    """A trial with random values."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self.rng.choice(choices)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        assert step is not None
        return low + step * self.rng.randrange(round((high - low) / step) + 1)

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        return self.rng.randrange(low, high + 1, step)


@pytest.mark.parametrize("described", SPACES)
def test_leaves_equal_all_suggested_configurations(described: Mapping[str, Any]) -> None:
    space = SearchSpace({"training": {"epochs": 2}, **described})
    space = space.resolve(100, 3, "binary")
    leaves = space.leaves
    assert leaves is not None
    assert len(leaves) == space.size().combinations
    configs = [space.config_from(leaf.params) for leaf in leaves]
    for one, config in zip(leaves, configs, strict=True):
        for other, its_config in zip(leaves, configs, strict=True):
            assert (one.config == other.config) is (config == its_config)
    rng, met = random.Random(1), set()
    for _ in range(1500):
        try:
            met.add(space.suggest(Dice(rng)))
        except ForbiddenCombination:
            continue
    assert met == set(configs)


def test_width_without_hidden_layers_has_no_effect() -> None:
    space = SearchSpace(
        {
            "network": {
                "hidden_layers": {"low": 0, "high": 1},
                "hidden_units": {"choices": [4, 8]},
            },
            "training": {"batch_size": 16, "epochs": 2},
        }
    )
    assert space.leaves is not None
    assert len(space.leaves) == 4
    assert len({leaf.config for leaf in space.leaves}) == 3


@pytest.mark.parametrize(
    "training",
    [
        {"batch_size": 16, "epochs": {"low": 1, "high": MOST_LEAVES + 1}},
        {"batch_size": {"low": 1, "high": 10**9}, "epochs": 1},
    ],
)
def test_large_space_has_no_leaves(training: dict[str, Any]) -> None:
    assert SearchSpace({"training": training}).leaves is None


def test_continuous_space_has_no_leaves() -> None:
    described = {"optimizer": {"learning_rate": {"low": 0.1, "high": 0.2}}}
    space = SearchSpace(described).resolve(100, 3, "binary")
    assert space.leaves is None
