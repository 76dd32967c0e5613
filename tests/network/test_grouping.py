"""Groups of neighbouring slots that share a technique."""

from __future__ import annotations

import torch

from autotrain.network.grouping import Backend, SlotGroup, group_slots, network_groups, order_key
from autotrain.space.config import TrialConfig
from autotrain.techniques.activations import ACTIVATIONS
from tests.training.problems import make_config

BACKEND = Backend(torch.device("cpu"), torch.float64)


def activations(*names: str) -> list[TrialConfig]:
    return [make_config({"activation": name}) for name in names]


def groups_of(configs: list[TrialConfig]) -> list[SlotGroup]:
    return group_slots(configs, ACTIVATIONS, lambda c: c.activation, BACKEND, 3)


def test_neighbours_with_one_technique_are_a_group() -> None:
    groups = groups_of(activations("relu", "relu", "elu", "relu"))
    assert [(group.row.name, group.slots) for group in groups] == [
        ("relu", slice(0, 2)),
        ("elu", slice(2, 3)),
        ("relu", slice(3, 4)),
    ]


def test_parametric_activations_are_separate_groups() -> None:
    plain = make_config({"activation": "relu"})
    parametric = make_config({"activation": "relu", "activation.parametric": True})
    assert [group.slots for group in groups_of([plain, parametric])] == [slice(0, 1), slice(1, 2)]


def test_hyperparameters_have_one_value_per_slot() -> None:
    configs = [
        make_config({"activation": "elu", "activation.elu.alpha": alpha}) for alpha in (0.5, 2.0)
    ]
    (group,) = groups_of(configs)
    assert group.parameters["alpha"].shape == (2, 1, 1)
    assert group.parameters["alpha"].flatten().tolist() == [0.5, 2.0]


def test_part_of_a_group_within_a_prefix_of_the_slots() -> None:
    _, group = groups_of(activations("elu", "relu", "relu"))
    part = group.within(2)
    assert part is not None
    assert part.slots == slice(1, 2)
    assert all(len(values) == 1 for values in part.parameters.values())
    assert group.within(1) is None


def test_rate_zero_is_grouped_as_no_dropout() -> None:
    configs = [
        make_config({"dropout": "none"}),
        make_config({"dropout": "dropout", "dropout.rate": 0.0, "dropout.input_rate": 0.3}),
    ]
    groups = network_groups(configs, BACKEND)
    assert [group.row.name for group in groups.dropout] == ["none"]
    assert [group.row.name for group in groups.input_dropout] == ["none", "dropout"]


def test_deeper_slots_come_first_and_techniques_are_neighbours() -> None:
    configs = [
        make_config({"network.hidden_units": units, "activation": activation})
        for units in ("7", "7-5")
        for activation in ("relu", "elu", "relu")
    ]
    configs.sort(key=order_key)
    assert [len(c.hidden_units) for c in configs] == [2, 2, 2, 1, 1, 1]
    assert [c.activation.name for c in configs] == ["elu", "relu", "relu"] * 2


def test_column_broadcasts_over_the_other_axes() -> None:
    assert BACKEND.column([1, 2], 2).shape == (2, 1)
    column = BACKEND.column([True, False], 3)
    assert column.dtype == torch.float64
    assert column.tolist() == [[[1.0]], [[0.0]]]
