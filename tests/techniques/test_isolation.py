"""Non-finite values in a slot do not affect other slots, for every function on `[K, …]`.

Rows are read from the tables; a new function that is no row needs a case in `CASES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from autotrain.techniques.activations import ACTIVATIONS
from autotrain.techniques.clipping import CLIPPINGS
from autotrain.techniques.constraints import CONSTRAINTS
from autotrain.techniques.dropout import DROPOUTS
from autotrain.techniques.losses import mean_squared_error, pinball, softmax_cross_entropy
from autotrain.techniques.normalization import (
    batch_norm_gradient,
    normalize_batch,
    normalize_moving,
    update_moving,
)
from autotrain.techniques.optimizers import OPTIMIZERS, State
from autotrain.techniques.regularizers import REGULARIZERS
from autotrain.techniques.technique import Technique

# Each case is a function of x `[K, B, H]` with the slots as first axis of the result.
Case = Callable[[Tensor], list[Tensor]]
K, B, H = 3, 8, 6


def new_state(p: Tensor) -> State:
    count = torch.zeros(len(p), 1)
    return State(torch.zeros_like(p), torch.zeros_like(p), count, torch.ones_like(count))


def _per_slot(row: Technique, *shape: int) -> dict[str, Tensor]:
    return {
        key: torch.full((K, *shape), float(p.default))
        for key, p in row.parameters.items()
        if isinstance(p.default, int | float)
    }


def _activation(name: str) -> Case:
    def run(x: Tensor) -> list[Tensor]:
        row, p = ACTIVATIONS[name], _per_slot(ACTIVATIONS[name], 1, 1)
        a = row.f(x, p)
        learned = [] if row.d_learned is None else [row.d_learned(x, p)]
        return [a, row.df(x, a, p), *learned]

    return run


def _clipping(name: str) -> Case:
    def run(x: Tensor) -> list[Tensor]:
        flat, clip = x.flatten(1), CLIPPINGS[name].clip
        assert clip is not None
        clip(flat, flat.split([B, B * (H - 1)], dim=1), torch.ones(K, 1))
        return [flat]

    return run


def _dropout(name: str) -> Case:
    def run(x: Tensor) -> list[Tensor]:
        affine = DROPOUTS[name].affine
        assert affine is not None
        return [part for part in affine(x.sigmoid()) if part is not None]

    return run


def _constraint(name: str) -> Case:
    def run(x: Tensor) -> list[Tensor]:
        apply = CONSTRAINTS[name].apply
        assert apply is not None
        apply(x, _per_slot(CONSTRAINTS[name], 1, 1), 1.0)
        return [x]

    return run


def _optimizer(name: str) -> Case:
    def run(x: Tensor) -> list[Tensor]:
        g, hyper = x.flatten(1), _per_slot(OPTIMIZERS[name], 1)
        p = torch.ones_like(g)
        state = new_state(p)
        for _ in range(3):
            state.t.add_(1)
            OPTIMIZERS[name].update(p, g, state, torch.full((K, 1), 0.1), hyper)
        return [p, *state]

    return run


def _regularizer(name: str) -> Case:
    def run(x: Tensor) -> list[Tensor]:
        row, strength = REGULARIZERS[name], torch.full((K, 1), 0.1)
        return [row.penalty(x.flatten(1), strength), row.gradient(x.flatten(1), strength)]

    return run


def _batch_norm(x: Tensor) -> list[Tensor]:
    gamma, beta = torch.full((K, 1, H), 1.5), torch.full((K, 1, H), 0.5)
    moving_mean, moving_variance = torch.zeros(K, 1, H), torch.ones(K, 1, H)
    epsilon, momentum = torch.full((K, 1, 1), 1e-5), torch.full((K, 1, 1), 0.9)
    y, cache, mean, variance = normalize_batch(x, gamma, beta, epsilon)
    gradients = batch_norm_gradient(x, gamma, cache)
    update_moving(moving_mean, moving_variance, mean, variance, momentum, B)
    predicted = normalize_moving(x, gamma, beta, moving_mean, moving_variance, epsilon)
    return [y, *cache, *gradients, moving_mean, moving_variance, predicted]


def _cross_entropy(x: Tensor) -> list[Tensor]:
    labels = torch.arange(B).remainder(H).expand(K, B)
    smoothing = torch.full((K, 1, 1), 0.1)
    return [
        *softmax_cross_entropy(x, labels, smoothing),
        *softmax_cross_entropy(x, labels, None),
        *softmax_cross_entropy(x, labels, smoothing, torch.full((K, B), 0.5)),
    ]


def _squared_error(x: Tensor) -> list[Tensor]:
    outputs, targets = x[:, :, :1], torch.zeros(K, B)
    weighted = mean_squared_error(outputs, targets, torch.full((K, B), 0.5))
    return [*mean_squared_error(outputs, targets), *weighted]


def _pinball(x: Tensor) -> list[Tensor]:
    return list(pinball(x[:, :, :1], torch.zeros(K, B), 0.9))


CASES: dict[str, Case] = {
    **{f"activation.{name}": _activation(name) for name in ACTIVATIONS},
    **{f"dropout.{name}": _dropout(name) for name in DROPOUTS if name != "none"},
    **{f"clipping.{name}": _clipping(name) for name in CLIPPINGS if name != "none"},
    **{f"constraint.{name}": _constraint(name) for name in CONSTRAINTS if name != "none"},
    **{f"optimizer.{name}": _optimizer(name) for name in OPTIMIZERS},
    **{f"regularizer.{name}": _regularizer(name) for name in REGULARIZERS},
    "batch_norm": _batch_norm,
    "loss.cross_entropy": _cross_entropy,
    "loss.mean_squared_error": _squared_error,
    "loss.pinball": _pinball,
}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e38])
@pytest.mark.parametrize("name", CASES)
def test_nonfinite_slot_does_not_affect_others(name: str, bad: float) -> None:
    x = torch.randn(K, B, H, generator=torch.Generator().manual_seed(0))
    poisoned = x.clone()
    poisoned[1, 0, 0] = bad
    expected, found = CASES[name](x), CASES[name](poisoned)
    for clean, other in zip(expected, found, strict=True):
        assert torch.equal(clean[0], other[0])
        assert torch.equal(clean[2], other[2])
    if math.isnan(bad):
        assert found[0][1].isnan().any(), "a NaN must not be hidden: it is how divergence is seen"
