"""Initial values from training rows: scaled weights, bins, moving averages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from autotrain.data.codes import Columns
from autotrain.network.layout import INPUT
from autotrain.training.initializing import SAMPLE_ROWS
from autotrain.training.slot import Admission, Slot
from tests.training.problems import inputs_of, make_config, make_fleet, make_fold

N_ROWS = 200


RAW = {"scaler": "none", "batch_norm.input": True}


def slot_of(params: dict[str, Any], x: np.ndarray | None = None) -> tuple[Slot, np.ndarray]:
    fold = make_fold(n_train=N_ROWS)
    if x is not None:
        inputs_of(fold).x_train[:] = x
    config = make_config({"initializer": "data_std"} | params)
    return make_fleet([Admission(0, config, 3)], folds=[fold]).slots[0], inputs_of(fold).x_train


def pre_activations(slot: Slot, x: np.ndarray, s: bool = False) -> list[np.ndarray]:
    """Return z of every layer of a tanh network, computed with NumPy."""
    views = slot.layout.views(slot.parameters.unsqueeze(0))
    h, z = x.astype(np.float64), []
    keys = [("kernel", layer) for layer in range(slot.shape.depth)] + [("output_kernel", 0)]
    for key in keys:
        kernel = views[key][0].numpy() * (len(views[key][0]) ** -0.5 if s else 1.0)
        z.append(h @ kernel)
        h = np.tanh(z[-1])
    return z


@pytest.mark.parametrize("parametrization", ["standard", "ntk"])
def test_z_of_every_unit_has_standard_deviation_one(parametrization: str) -> None:
    params = {"activation": "tanh", "parametrization": parametrization}
    slot, x = slot_of(params | {"network.hidden_units": "9-4-6"})
    for z in pre_activations(slot, x, s=parametrization == "ntk"):
        np.testing.assert_allclose(z.std(0), 1, rtol=1e-9)


def test_sorted_rows_are_sampled_from_the_whole_table() -> None:
    n_rows = 4 * SAMPLE_ROWS
    fold = make_fold(n_train=n_rows)
    inputs_of(fold).x_train[:] = np.sort(inputs_of(fold).x_train * [1, 5, 1, 1, 1], axis=0)
    config = make_config({"initializer": "data_std", "activation": "tanh"})
    admissions = [Admission(0, config, 3), Admission(1, config, 3)]
    slots = make_fleet(admissions, folds=[fold]).slots
    for z in pre_activations(slots[0], inputs_of(fold).x_train):
        np.testing.assert_allclose(z.std(0), 1, rtol=0.3)
    assert torch.equal(slots[0].parameters, slots[1].parameters)


def test_dropout_does_not_change_initialization() -> None:
    slot, x = slot_of({"activation": "tanh", "dropout": "dropout", "dropout.rate": 0.5})
    for z in pre_activations(slot, x):
        np.testing.assert_allclose(z.std(0), 1, rtol=1e-9)


def test_units_without_variation_are_not_scaled() -> None:
    slot, _ = slot_of({"activation": "tanh"}, x=np.ones((N_ROWS, 5), np.float32))
    assert slot.parameters.isfinite().all()
    plain = make_fleet([Admission(0, make_config({"initializer": "lecun_normal"}), 3)]).slots[0]
    assert torch.equal(slot.parameters, plain.parameters)


def test_scaling_uses_the_output_of_the_input_layer() -> None:
    columns = Columns(3, (4,), 1)
    fold = make_fold(n_train=N_ROWS, n_inputs=5, columns=columns)
    config = make_config(
        {
            "initializer": "data_std",
            "activation": "tanh",
            "encoder": "embedding",
            "encoder.embedding.width": 3,
            "network.hidden_units": "9",
        }
    )
    [slot] = make_fleet([Admission(0, config, 3)], folds=[fold]).slots
    x = inputs_of(fold).x_train
    vectors = slot.layout.views(slot.parameters.unsqueeze(0))["level_vectors", 0][0].numpy()
    read = np.concatenate([x[:, :3], vectors[x[:, 3].astype(int)], x[:, 4:]], axis=1)
    for z in pre_activations(slot, read):
        np.testing.assert_allclose(z.std(0), 1, rtol=1e-9)


@pytest.mark.parametrize("n_bins", [3, 40])
def test_bins_are_those_of_the_training_rows_of_the_fold(n_bins: int) -> None:
    columns = Columns(2, (), 3)
    folds = [make_fold(n_train=N_ROWS, columns=columns, seed=seed) for seed in (0, 1)]
    config = make_config(
        {"embedding": "piecewise_linear", "embedding.piecewise_linear.n_bins": n_bins}
    )
    slots = make_fleet([Admission(f, config, 3, fold=f) for f in (0, 1)], folds=folds).slots
    for slot, fold in zip(sorted(slots, key=lambda own: own.fold), folds, strict=True):
        statistics = slot.layout.views(slot.statistics.unsqueeze(0), statistics=True)
        for d in range(2):
            wanted = np.quantile(
                inputs_of(fold).x_train[:, d].astype(float), np.linspace(0, 1, n_bins + 1)
            )
            edges, widths = statistics["bin_edge", INPUT][0], statistics["bin_width", INPUT][0]
            np.testing.assert_allclose(edges[d].numpy(), wanted[:-1], rtol=1e-6)
            np.testing.assert_allclose(widths[d].numpy(), np.diff(wanted), rtol=1e-6)


@pytest.mark.parametrize("embedding", ["none", "pbld"])
def test_moving_averages_of_raw_inputs_start_at_training_statistics(embedding: str) -> None:
    columns = Columns(3, (), 2)
    fold = make_fold(n_train=N_ROWS, columns=columns)
    inputs_of(fold).x_train[:] = inputs_of(fold).x_train * [1, 1e4, 1e-1, 1, 1] + [0, 2e6, 5, 0, 1]
    config = make_config(RAW | {"embedding": embedding})
    [slot] = make_fleet([Admission(0, config, 3)], folds=[fold]).slots
    found = slot.layout.views(slot.statistics.unsqueeze(0), statistics=True)
    mean, variance = (found[kind, INPUT].flatten().numpy() for kind in ("mean", "variance"))
    x = inputs_of(fold).x_train.astype(np.float64)
    # With pbld, each number is the first component of its block.
    at = [0, 1, 2, 3, 4] if embedding == "none" else [0, len(mean) // 3, 2 * (len(mean) // 3)]
    np.testing.assert_allclose(mean[at], x.mean(0)[: len(at)], rtol=1e-9)
    np.testing.assert_allclose(variance[at], x.var(0, ddof=1)[: len(at)], rtol=1e-9)


def test_moving_averages_of_scaled_inputs_start_as_in_torch() -> None:
    slot, _ = slot_of({"batch_norm.input": True})
    found = slot.layout.views(slot.statistics.unsqueeze(0), statistics=True)
    assert (found["mean", INPUT] == 0).all()
    assert (found["variance", INPUT] == 1).all()


def test_z_has_standard_deviation_one_after_batch_norm_of_raw_inputs() -> None:
    x = inputs_of(make_fold(n_train=N_ROWS)).x_train * [1, 1e4, 0.1, 1, 1] + 7
    slot, x = slot_of(RAW | {"activation": "tanh"}, x)
    z = (x - x.mean(0)) / np.sqrt(x.astype(np.float64).var(0, ddof=1) + 1e-5)
    for layer in pre_activations(slot, z):
        np.testing.assert_allclose(layer.std(0), 1, rtol=1e-4)
