"""Values that depend on the data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from autotrain.data.batches import effective_batch_size
from autotrain.data.loading import load_dataset
from autotrain.space.auto import AUTO_VALUES, DataShape, batch_size, epochs
from autotrain.space.domains import Choices
from autotrain.space.search_space import SearchSpace
from autotrain.space.sections import locate


@pytest.mark.parametrize(
    ("n_train", "size"),
    [
        (1, 2),
        (7, 2),
        (8, 2),
        (15, 2),
        (16, 4),
        (100, 16),
        (255, 32),
        (256, 64),
        (1_024, 64),
        (1_025, 128),
        (8_000, 128),
        (8_001, 256),
        (30_000, 256),
        (30_001, 512),
        (100_000, 512),
        (100_001, 1_024),
        (10_000_000, 1_024),
    ],
)
def test_batch_size(n_train: int, size: int) -> None:
    assert batch_size(DataShape(n_train, 10, "binary")) == size


@pytest.mark.parametrize("validation", ["auto", "holdout", "3-fold"])
def test_smallest_tables_have_batches_of_two_rows(validation: str) -> None:
    frame = pd.DataFrame({"x": np.arange(10) / 7, "y": np.arange(10.0) ** 2})
    data = load_dataset(frame, "y", validation=validation)
    chosen = batch_size(DataShape(data.n_train, 1, data.task))
    assert all(effective_batch_size(len(fold.y_train), chosen) > 1 for fold in data.folds)


@pytest.mark.parametrize(
    ("n_train", "n_epochs"),
    [(1, 200), (1_500, 200), (2_000, 150), (4_500, 67), (10_000, 40), (1_000_000, 40)],
)
def test_epochs(n_train: int, n_epochs: int) -> None:
    assert epochs(DataShape(n_train, 10, "binary")) == n_epochs


def test_resolve_replaces_every_auto() -> None:
    space = SearchSpace({}).resolve(n_train=20_000, n_inputs=4, task="multiclass")
    assert space.to_dict()["training"] == {"batch_size": 256, "epochs": 40}
    config = space.config_from({})
    assert (config.batch_size, config.epochs) == (256, 40)


def test_auto_may_be_one_of_several() -> None:
    space = SearchSpace({"training": {"batch_size": {"choices": ["auto", 32, 256]}, "epochs": 5}})
    assert space.resolve(5_000, 4, "binary").distributions() == {
        "training.batch_size": Choices((128, 32, 256))
    }
    assert space.resolve(20_000, 4, "binary").distributions() == {
        "training.batch_size": Choices((256, 32))
    }


def test_baselines_with_auto() -> None:
    space = SearchSpace(
        {
            "training": {"batch_size": {"choices": ["auto", 64]}, "epochs": 5},
            "baseline": [{}, {"training.batch_size": 64}],
        }
    ).resolve(5_000, 4, "binary")
    assert space.baselines() == [{"training.batch_size": 128}, {"training.batch_size": 64}]


def test_sections_without_effect_on_the_task_are_fixed() -> None:
    space = SearchSpace(
        {
            "loss": {"label_smoothing": {"choices": [0.0, 0.1]}},
            "forbid": [{"loss.label_smoothing": 0.0}],
            "training": {"batch_size": 8, "epochs": 5},
        }
    )
    assert space.resolve(500, 4, "binary").size().combinations == 1
    regression = space.resolve(500, 4, "regression")
    assert regression.config_from({}).loss["label_smoothing"] == 0.0
    assert SearchSpace(regression.to_dict()) == regression


def test_numbers_are_kept() -> None:
    space = SearchSpace({"training": {"batch_size": 32, "epochs": 7}})
    assert space.resolve(20_000, 4, "binary") == space


def test_every_rule_has_a_parameter() -> None:
    for name, rule in AUTO_VALUES.items():
        parameter = locate(name).parameter
        assert parameter is not None
        assert parameter.is_legal(rule(DataShape(1, 1, "regression")))
