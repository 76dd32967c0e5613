"""The mask bank is reproducible, independent and drops units at the rate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from autotrain.network.config import dropout_sites
from autotrain.predictor.masks import MaskBank
from autotrain.space.config import TrialConfig


def config_of(dropout: str = "dropout", rate: float = 0.25, **more: Any) -> TrialConfig:
    params: dict[str, Any] = {"network.hidden_units": "40-30", "dropout": dropout}
    if dropout != "none":
        params["dropout.rate"] = rate
    return TrialConfig.from_params(params | {k.replace("__", "."): v for k, v in more.items()})


def bank(n_samples: int, seed: int = 0, **params: Any) -> dict[int, torch.Tensor]:
    masks = MaskBank(config_of(**params), 6, range(n_samples), seed)
    assert len(masks) == n_samples
    return masks.masks(0, n_samples)


def test_sites_are_the_layers_with_dropout() -> None:
    assert dropout_sites(config_of("none"), 6) == []
    assert dropout_sites(config_of(rate=0.0), 6) == []
    assert dropout_sites(config_of(), 6) == [(0, 40, 0.25), (1, 30, 0.25)]
    with_inputs = config_of(dropout__input_rate=0.1)
    assert dropout_sites(with_inputs, 6) == [(-1, 6, 0.1), (0, 40, 0.25), (1, 30, 0.25)]
    assert dropout_sites(config_of(rate=0.0, dropout__input_rate=0.1), 6) == [(-1, 6, 0.1)]


def test_masks_are_binary_and_shared_by_all_rows() -> None:
    masks = bank(9, dropout__input_rate=0.5)
    assert {layer: tuple(mask.shape) for layer, mask in masks.items()} == {
        -1: (9, 1, 6),
        0: (9, 1, 40),
        1: (9, 1, 30),
    }
    for mask in masks.values():
        assert set(mask.unique().tolist()) == {0.0, 1.0}


def test_first_masks_do_not_depend_on_the_number_of_samples() -> None:
    few, many = bank(3), bank(50)
    for layer, mask in few.items():
        assert torch.equal(mask, many[layer][:3])


def test_part_of_the_bank_equals_the_whole() -> None:
    masks = MaskBank(config_of(), 6, range(20), 0)
    for layer, part in masks.masks(5, 9).items():
        assert torch.equal(part, masks.masks(0, 20)[layer][5:9])


def test_bank_of_selected_samples() -> None:
    every_third = MaskBank(config_of(), 6, range(1, 20, 3), 0)
    assert torch.equal(every_third.masks(0, 7)[0], bank(20)[0][1::3])


def test_seeds_and_samples_differ() -> None:
    assert not torch.equal(bank(5, seed=0)[0], bank(5, seed=1)[0])
    assert len({mask.numpy().tobytes() for mask in bank(50)[0]}) == 50


@pytest.mark.parametrize("dropout", ["dropout", "alpha_dropout"])
@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_units_are_dropped_at_the_rate(dropout: str, rate: float) -> None:
    masks = bank(6000, dropout=dropout, rate=rate, dropout__input_rate=0.3)
    for layer, expected in ((-1, 0.3), (0, rate), (1, rate)):
        assert 1 - float(masks[layer].mean()) == pytest.approx(expected, abs=0.008)


def test_units_and_samples_are_independent() -> None:
    mask = bank(4000)[0][:, 0].numpy()
    between_units = np.corrcoef(mask.T) - np.eye(40)
    assert np.abs(between_units).max() < 5 / np.sqrt(4000)
    shifted = np.corrcoef(mask[:-1].ravel(), mask[1:].ravel())[0, 1]
    assert abs(shifted) < 5 / np.sqrt(mask.size)
