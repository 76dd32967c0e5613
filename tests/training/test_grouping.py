"""Groups and strengths of a training step."""

from __future__ import annotations

import torch

from autotrain.network.grouping import Backend
from autotrain.training.grouping import step_groups
from tests.training.problems import make_config

BACKEND = Backend(torch.device("cpu"), torch.float64)


def test_strengths_that_are_zero_in_all_slots_are_none() -> None:
    groups = step_groups([make_config(), make_config()], BACKEND)
    assert groups.weight_decay is None
    assert groups.l1 is None
    assert groups.l2 is None
    assert groups.label_smoothing is None


def test_strengths_have_one_value_per_slot() -> None:
    strong = make_config(
        {
            "weight_decay": "decoupled",
            "weight_decay.decoupled.rate": 0.3,
            "regularizer.l1": 0.1,
            "regularizer.l2": 0.2,
            "loss.label_smoothing": 0.4,
        }
    )
    groups = step_groups([make_config(), strong], BACKEND)
    for strength, value in [(groups.weight_decay, 0.3), (groups.l1, 0.1), (groups.l2, 0.2)]:
        assert strength is not None
        assert strength.tolist() == [[0.0], [value]]
    assert groups.label_smoothing is not None
    assert groups.label_smoothing.tolist() == [[[0.0]], [[0.4]]]


def test_slots_are_grouped_by_optimizer_clipping_and_constraint() -> None:
    other = make_config({"optimizer": "sgd", "clipping": "value", "constraint": "max_norm"})
    groups = step_groups([make_config({"optimizer": "adam"}), other, other], BACKEND)
    for by_technique, names in [
        (groups.optimizer, ["adam", "sgd"]),
        (groups.clipping, ["none", "value"]),
        (groups.constraint, ["none", "max_norm"]),
    ]:
        assert [group.row.name for group in by_technique] == names
        assert [group.slots for group in by_technique] == [slice(0, 1), slice(1, 3)]
