"""Every row is finite in float32 at the bounds of its hyperparameters.

Rows and parameters are read from the tables; a new row needs no change here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from torch import Tensor

from autotrain.techniques.activations import ACTIVATIONS
from autotrain.techniques.clipping import CLIPPINGS
from autotrain.techniques.constraints import CONSTRAINTS
from autotrain.techniques.dropout import DROPOUT_PARAMETERS, DROPOUTS
from autotrain.techniques.initializers import INITIALIZERS
from autotrain.techniques.losses import LOSS_PARAMETERS, softmax_cross_entropy
from autotrain.techniques.normalization import (
    BATCH_NORM_PARAMETERS,
    batch_norm_gradient,
    normalize_batch,
    normalize_moving,
    update_moving,
)
from autotrain.techniques.optimizers import OPTIMIZERS, State
from autotrain.techniques.regularizers import REGULARIZERS
from autotrain.techniques.schedules import SCHEDULES, Clock
from autotrain.techniques.technique import Parameter, Technique

# Smallest and largest values for open ranges. The value nearest to 1 is 1 in single precision, as
# legal values can be.
TINY, NEAR_ONE, LARGE = 1e-12, 1e-12, 1e3


def extremes(parameter: Parameter) -> list[float]:
    """Return the lowest, the default and the highest value."""
    assert isinstance(parameter.default, int | float)
    low = parameter.low + TINY if parameter.open_low else parameter.low
    high = LARGE if parameter.high == math.inf else parameter.high
    if parameter.open_high:
        high -= NEAR_ONE
    values = [low, parameter.default, high]
    assert all(parameter.is_legal(int(v) if parameter.kind == "integer" else v) for v in values)
    return values


def extreme_slots(row: Technique, *shape: int) -> tuple[int, dict[str, Tensor]]:
    """Return K and one slot for each combination of extremes: `[K, *shape]` each."""
    combinations = list(itertools.product(*(extremes(p) for p in row.parameters.values())))
    columns = zip(*combinations, strict=True)
    hyper = {
        key: torch.tensor(values).reshape(-1, *shape)
        for key, values in zip(row.parameters, columns, strict=True)
    }
    return len(combinations), hyper


def all_finite(tensors: Iterable[Tensor]) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in tensors)


def new_state(p: Tensor) -> State:
    count = torch.zeros(len(p), 1)
    return State(torch.zeros_like(p), torch.zeros_like(p), count, torch.ones_like(count))


@pytest.mark.parametrize("name", INITIALIZERS)
def test_extreme_initializers_are_finite(name: str) -> None:
    row = INITIALIZERS[name]
    for fan_in, fan_out in ((1, 1), (1, 900), (900, 1)):
        for values in itertools.product(*(extremes(p) for p in row.parameters.values())):
            hyper = dict(zip(row.parameters, values, strict=True))
            weights = row.draw(np.random.default_rng(0), fan_in, fan_out, hyper)
            assert np.isfinite(weights).all()
            assert (weights != 0).all()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_extreme_activations_are_finite(name: str) -> None:
    row = ACTIVATIONS[name]
    k, p = extreme_slots(row, 1, 1)
    z = torch.tensor([-1e30, -100.0, -1.0, -1e-30, 0.0, 1e-30, 1.0, 100.0, 1e30]).expand(k, 2, 9)
    a = row.f(z, p)
    assert all_finite([a, row.df(z, a, p)])


@pytest.mark.parametrize("name", [name for name, row in CLIPPINGS.items() if row.clip])
def test_extreme_clipping_is_finite(name: str) -> None:
    clip = CLIPPINGS[name].clip
    assert clip is not None
    k, p = extreme_slots(CLIPPINGS[name], 1)
    for scale in (0.0, 1e-15, 1.0, 1e15):
        flat = scale * torch.randn(k, 12, generator=torch.Generator().manual_seed(0))
        clip(flat, flat.split([8, 4], dim=1), p["threshold"])
        assert all_finite([flat])


@pytest.mark.parametrize("name", [name for name, row in CONSTRAINTS.items() if row.apply])
def test_extreme_constraints_are_finite(name: str) -> None:
    apply = CONSTRAINTS[name].apply
    assert apply is not None
    k, p = extreme_slots(CONSTRAINTS[name], 1, 1)
    for scale in (0.0, 1e-15, 1.0, 1e15):
        weights = scale * torch.randn(k, 5, 4, generator=torch.Generator().manual_seed(0))
        apply(weights, p, 1.0)
        assert all_finite([weights])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_extreme_optimizers_are_finite(name: str) -> None:
    k, hyper = extreme_slots(OPTIMIZERS[name], 1)
    generator = torch.Generator().manual_seed(0)
    p = torch.randn(k, 10, generator=generator)
    state, eta = new_state(p), torch.full((k, 1), 1e-3)
    for step in range(60):
        g = torch.randn(k, 10, generator=generator) * (0.0, 1e-8, 1.0, 1e3)[step % 4]
        state.t.add_(1)
        OPTIMIZERS[name].update(p, g, state, eta, hyper)
    assert all_finite([p, *state])


@pytest.mark.parametrize("name", [n for n in SCHEDULES if n != "piecewise"])
def test_extreme_schedules_are_fractions_of_the_learning_rate(name: str) -> None:
    row, t = SCHEDULES[name], np.arange(1000)
    for values in itertools.product(*(extremes(p) for p in row.parameters.values())):
        hyper = dict(zip(row.parameters, values, strict=True))
        for clock in (Clock(10, 1000), Clock(1, 1000), Clock(1000, 1000)):
            multiplier = row.multiplier(t, clock, hyper)
            assert ((multiplier >= 0) & (multiplier <= 1)).all()
            if row.momentum_drop is not None:
                drop = row.momentum_drop(t, clock, hyper)
                assert ((drop >= 0) & (drop <= 1)).all()
        # The training has one step.
        assert np.isfinite(row.multiplier(np.array([0]), Clock(1, 1), hyper)).all()


@pytest.mark.parametrize("name", REGULARIZERS)
def test_extreme_regularizers_are_finite(name: str) -> None:
    row = REGULARIZERS[name]
    k, p = extreme_slots(row, 1)
    w = torch.tensor([0.0, 1e-30, 1.0, -1e10]).expand(k, 4)
    assert all_finite([row.penalty(w, p[name]), row.gradient(w, p[name])])


@pytest.mark.parametrize("name", [name for name, row in DROPOUTS.items() if row.affine])
def test_extreme_dropout_is_finite(name: str) -> None:
    affine = DROPOUTS[name].affine
    assert affine is not None
    rate = torch.tensor(extremes(DROPOUT_PARAMETERS["rate"])).reshape(-1, 1, 1)
    assert all_finite([part for part in affine(rate) if part is not None])


def test_extreme_batch_norm_is_finite() -> None:
    values = itertools.product(
        *(extremes(BATCH_NORM_PARAMETERS[key]) for key in ("momentum", "epsilon"))
    )
    momentum, epsilon = (torch.tensor(v).reshape(-1, 1, 1) for v in zip(*values, strict=True))
    shape = (len(epsilon), 1, 4)
    gamma, beta = torch.ones(shape), torch.zeros(shape)
    mean, variance = torch.zeros(shape), torch.ones(shape)
    for step in range(20):
        generator = torch.Generator().manual_seed(step)
        # A constant unit, one that hardly varies, and one that varies by orders of magnitude.
        spread = torch.tensor([0.0, 1e-10, 1.0, 1e8])
        x = 3.3 + spread * torch.randn(len(epsilon), 6, 4, generator=generator)
        y, cache, batch_mean, batch_variance = normalize_batch(x, gamma, beta, epsilon)
        update_moving(mean, variance, batch_mean, batch_variance, momentum, 6)
        assert all_finite([y, mean, variance, *batch_norm_gradient(x, gamma, cache)])
        assert all_finite([normalize_moving(x, gamma, beta, mean, variance, epsilon)])


def test_extreme_label_smoothing_is_finite() -> None:
    smoothing = torch.tensor(extremes(LOSS_PARAMETERS["label_smoothing"])).reshape(-1, 1, 1)
    logits = torch.tensor([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0]]).expand(len(smoothing), 2, 3)
    labels = torch.tensor([1, 2]).expand(len(smoothing), 2)
    assert all_finite(softmax_cross_entropy(logits, labels, smoothing))
