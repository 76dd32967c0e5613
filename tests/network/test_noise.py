"""Random numbers of a slot are independent, reproducible, and independent of other slots."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autotrain.network import noise
from autotrain.network.grouping import Backend
from autotrain.network.layout import INPUT, Layout, Shape
from autotrain.network.network import FusedNetwork
from autotrain.network.noise import DropoutBits, initial_parameters, keep_threshold, stream
from autotrain.space.config import TrialConfig
from autotrain.techniques.activations import ACTIVATIONS
from tests.training.problems import CPU, DOUBLE, make_config

N_INPUTS, BATCH = 3, 16
BACKEND = Backend(CPU, DOUBLE)


def dropping(units: str, rate: float, input_rate: float = 0.0, **params: Any) -> TrialConfig:
    return make_config(
        {
            "network.hidden_units": units,
            "dropout": "dropout",
            "dropout.rate": rate,
            "dropout.input_rate": input_rate,
        }
        | params
    )


def bits_of(configs: Sequence[TrialConfig], seeds: Sequence[int]) -> DropoutBits:
    network = FusedNetwork(configs, N_INPUTS, 2, BACKEND)
    streams = [stream(seed, 0, 0, noise.DROPOUT) for seed in seeds]
    return DropoutBits(
        configs, network.shapes, network.layout, network.reach, streams, BATCH, BACKEND
    )


def masks_of(bits: DropoutBits, n_steps: int, at_once: int = 1) -> dict[int, np.ndarray]:
    """Return keep-masks by layer, `[steps, K, B, H]`, with some steps drawn at once."""
    steps: list[dict[int, torch.Tensor]] = []
    while len(steps) < n_steps:
        drawn = bits.draw(at_once)
        steps += [bits.masks(drawn, step) for step in range(at_once)]
    return {layer: np.stack([s[layer].numpy() for s in steps]) for layer in steps[0]}


def assert_uncorrelated(samples: np.ndarray) -> None:
    """Check that columns `[n, m]` are pairwise uncorrelated, within five standard errors."""
    correlations = np.corrcoef(samples, rowvar=False) - np.eye(samples.shape[1])
    assert np.abs(correlations).max() < 5 / np.sqrt(len(samples))


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.25, 0.5, 0.8, 0.99])
def test_dropped_fraction_matches_the_rate(rate: float) -> None:
    bits = bits_of([dropping("20-10", rate, rate)], [4])
    for layer, kept in masks_of(bits, 2048, at_once=64).items():
        assert set(np.unique(kept)) <= {0.0, 1.0}
        realized = 1 - kept.mean()
        # Five standard errors, and at most half a percent.
        n = kept.size
        assert abs(realized - rate) < min(0.005, 5 * np.sqrt(rate * (1 - rate) / n)), layer


def test_masks_are_independent_across_slots_rows_units_layers_steps() -> None:
    n_steps = 512
    bits = bits_of([dropping("6-4", 0.5, 0.5)] * 3, [1, 2, 3])
    masks = masks_of(bits, n_steps, at_once=8)
    n_slots = 3
    first = masks[0]
    # One column each for successive units, rows, slots and steps.
    assert_uncorrelated(first.reshape(-1, 6))
    assert_uncorrelated(first.transpose(0, 1, 3, 2).reshape(-1, BATCH))
    assert_uncorrelated(first.transpose(0, 2, 3, 1).reshape(-1, n_slots))
    assert_uncorrelated(first.reshape(n_steps // 2, 2, -1).transpose(0, 2, 1).reshape(-1, 2))
    layers = [masks[INPUT][..., :3], masks[0][..., :3], masks[1][..., :3]]
    assert_uncorrelated(np.stack([layer.ravel() for layer in layers], axis=1))


def test_rows_and_slots_have_different_masks() -> None:
    masks = masks_of(bits_of([dropping("40", 0.5)] * 4, [1, 2, 3, 4]), 8)
    rows = masks[0].reshape(-1, 40)
    assert len(np.unique(rows, axis=0)) == len(rows)


@pytest.mark.parametrize("at_once", [1, 2, 3, 6])
def test_masks_do_not_depend_on_number_of_steps_drawn_ahead(at_once: int) -> None:
    # 15 units of 16 bits do not fill an integer number of 64-bit words.
    configs = [dropping("7-5", 0.3, 0.2), dropping("3", 0.5)]
    one_by_one = masks_of(bits_of(configs, [8, 9]), 12)
    ahead = masks_of(bits_of(configs, [8, 9]), 12, at_once)
    assert one_by_one.keys() == ahead.keys()
    for layer, kept in one_by_one.items():
        assert np.array_equal(kept, ahead[layer])


@pytest.mark.parametrize("input_rate", [0.0, 0.4])
def test_masks_do_not_depend_on_other_slots_or_padding(input_rate: float) -> None:
    own = dropping("7-5", 0.3, input_rate)
    alone = masks_of(bits_of([own], [8]), 6)
    others = [
        dropping("30-2-9", 0.6, 0.5, activation="elu"),
        own,
        dropping("50", 0.0, 0.9),
        make_config({"network.hidden_units": "6"}),
    ]
    seeds = [1, 8, 2, 3]
    fused = masks_of(bits_of(others, seeds), 6)
    for layer, kept in alone.items():
        width = kept.shape[-1]
        assert np.array_equal(kept[:, 0], fused[layer][:, 1, :, :width])
        assert not fused[layer][:, 1, :, width:].any(), "a unit that only pads is never kept"


def test_streams_depend_on_seed_fold_repeat_and_purpose() -> None:
    keys = [
        (seed, fold, repeat, purpose)
        for seed in (0, 1, 2**32, 2**40 + 1)
        for fold in (0, 1)
        for repeat in (0, 1)
        for purpose in (noise.INITIAL_WEIGHTS, noise.ROW_ORDER, noise.DROPOUT)
    ]
    drawn = {key: stream(*key).random_raw(64) for key in keys}
    for one, other in combinations(keys, 2):
        assert not np.isin(drawn[one], drawn[other]).any(), (one, other)
    for key in keys:
        assert np.array_equal(stream(*key).random_raw(64), drawn[key])


def test_stream_continues_in_a_new_fleet() -> None:
    """The bits of a slot continue if its fleet is rebuilt."""
    config = dropping("7-5", 0.3)
    whole = masks_of(bits_of([config], [8]), 6)
    network = FusedNetwork([config], N_INPUTS, 2, BACKEND)
    bits = stream(8, 0, 0, noise.DROPOUT)
    parts = [
        masks_of(
            DropoutBits(
                [config], network.shapes, network.layout, network.reach, [bits], BATCH, BACKEND
            ),
            3,
        )
        for _ in range(2)
    ]
    for layer, kept in whole.items():
        assert np.array_equal(kept, np.concatenate([part[layer] for part in parts]))


# ---- thresholds ----------------------------------------------------------------------------


@given(st.floats(0.0, 1.0, exclude_max=True))
def test_threshold_equals_rate_up_to_rounding(rate: float) -> None:
    threshold = keep_threshold(rate)
    assert -(2**15) <= threshold < 2**15
    assert abs((threshold + 2**15) / 2**16 - (1 - rate)) <= 2**-16


@pytest.mark.parametrize(
    ("rate", "threshold"), [(0.0, 2**15 - 1), (1e-9, 2**15 - 1), (0.5, 0), (1 - 1e-9, -(2**15))]
)
def test_extreme_rates(rate: float, threshold: int) -> None:
    assert keep_threshold(rate) == threshold
    torch.tensor([threshold], dtype=torch.int16)


def test_masks_at_extreme_rates() -> None:
    masks = masks_of(bits_of([dropping("50", 0.99), dropping("50", 1e-6)], [1, 2]), 200)
    assert masks[0][:, 0].mean() == pytest.approx(0.01, rel=0.05)
    assert masks[0][:, 1].mean() > 0.999


# ---- initial weights -----------------------------------------------------------------------


def initial(config: TrialConfig, seed: int = 3) -> dict[tuple[str, int], np.ndarray]:
    layout = Layout(Shape(N_INPUTS, config.hidden_units, 2))
    row = initial_parameters(config, layout.shape, layout, stream(seed, 0, 0, 0))
    views = layout.views(torch.from_numpy(row).unsqueeze(0))
    return {key: view[0].numpy() for key, view in views.items()}


def test_variance_of_weights_uses_fans_of_real_layers() -> None:
    views = initial(make_config({"network.hidden_units": "900-400", "initializer": "he_normal"}))
    assert views["kernel", 0].std() == pytest.approx(np.sqrt(2 / N_INPUTS), rel=0.05)
    assert views["kernel", 1].std() == pytest.approx(np.sqrt(2 / 900), rel=0.02)
    assert views["output_kernel", 0].std() == pytest.approx(np.sqrt(2 / 400), rel=0.1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_parameters_other_than_kernels_start_at_constants(activation: str) -> None:
    views = initial(make_config({"activation": activation}))
    start = {"bias": 0.0, "output_bias": 0.0, "beta": 0.0}
    start |= {"gamma": 1.0, "scale": 1.0, "mix": 1.0}
    start["slope"] = 0.25 if activation == "prelu" else 0.0
    for (kind, _), view in views.items():
        if not kind.endswith("kernel"):
            assert (view == start[kind]).all(), kind


def test_weights_depend_on_the_seed() -> None:
    config = make_config()
    one, same, other = initial(config), initial(config), initial(config, seed=4)
    assert all(np.array_equal(one[key], same[key]) for key in one)
    assert not np.isclose(one["kernel", 0], other["kernel", 0]).any()
