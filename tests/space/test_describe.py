"""The tree that `autotrain spaces show` prints."""

from __future__ import annotations

import pytest

from autotrain.space.search_space import SearchSpace

TREE = """\
mine: 72 combinations × 2 continuous parameters
├── network
│   ├── hidden_units 64 | 300-100
│   └── hidden_layers 1 … 5 (step 2)
├── training
│   ├── batch_size = auto
│   └── epochs = 50
├── scaler = standard
├── missing = median
├── encoder = one_hot
├── embedding = none
├── input_scale = off
├── parametrization = standard
├── initializer = he_normal
├── activation relu | leaky_relu
│   └── leaky_relu
│       └── negative_slope 0.01 … 0.3 (log)
├── batch_norm off | after_activation
│   ├── input false | true
│   └── momentum = 0.99
├── dropout = dropout
│   └── rate 0.1 … 0.5
├── clipping = none
├── optimizer = adam
├── schedule constant | piecewise
│   └── piecewise
│       └── factors [1.0, 0.5, 0.1] | [1.0, 0.1, 0.01]
├── regularizer
│   ├── l1 = 0.0
│   └── l2 = 0.0
├── weight_decay = none
├── constraint = none
├── early_stopping
│   ├── enabled = true
│   ├── patience = 10
│   ├── min_delta = 0.0
│   ├── wait_for_schedule = false
│   └── restore_best_weights = true
├── loss
│   └── label_smoothing = 0.0
├── target = free
├── forbidden
│   └── activation = "relu", batch_norm = "off"
└── tried first
    └── activation = leaky_relu, dropout.rate = 0.2"""


def test_tree() -> None:
    space = SearchSpace(
        {
            "network": {
                "hidden_units": {"choices": [64, "300-100"]},
                "hidden_layers": {"low": 1, "high": 6, "step": 2},
            },
            "training": {"epochs": 50},
            "activation": {
                "choices": ["relu", "leaky_relu"],
                "leaky_relu": {"negative_slope": {"low": 0.01, "high": 0.3, "log": True}},
            },
            "batch_norm": {
                "choices": ["off", "after_activation"],
                "input": {"choices": [False, True]},
                "momentum": 0.99,
            },
            "dropout": {"rate": {"low": 0.1, "high": 0.5}},
            "schedule": {
                "choices": ["constant", "piecewise"],
                "piecewise": {"factors": {"choices": [[1.0, 0.5, 0.1], [1.0, 0.1, 0.01]]}},
            },
            "forbid": [{"activation": "relu", "batch_norm": "off"}],
            "baseline": [{"activation": "leaky_relu", "dropout.rate": 0.2}],
        },
        source="mine",
    )
    # 4 networks × 3 of 4 pairs of activation and placement × 2 inputs × 3 schedules
    assert space.size() == (4 * 3 * 2 * 3, 2)
    assert space.describe() == TREE


@pytest.mark.parametrize("name", ["default", "quick", "notes", "notes_plus", "deep", "regularized"])
def test_tree_of_a_shipped_space_has_every_parameter(name: str) -> None:
    space = SearchSpace.from_toml(name)
    tree = space.describe()
    for parameter in space.distributions():
        assert parameter.split(".")[-1] in tree
