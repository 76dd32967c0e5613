"""Batch normalization equals `torch.nn.BatchNorm1d`, step by step.

To add a position, add the order of a layer's operations to `REFERENCES`.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autotrain.techniques.normalization import (
    BATCH_NORM_PARAMETERS,
    BATCH_NORMS,
    batch_norm_gradient,
    normalize_batch,
    normalize_moving,
    update_moving,
)

# Order of the operations of a hidden layer after its product.
REFERENCES = {
    "off": ("activation",),
    "before_activation": ("batch_norm", "activation"),
    "after_activation": ("activation", "batch_norm"),
}

MOMENTA = (0.9, 0.0, 0.99, 0.5)
EPSILONS = (1e-5, 1e-3, 0.5, 1e-8)
RATES = (0.1, 0.01, 0.3, 0.05)
N_UNITS = 6
# Sizes of full batches and of the last batch of an epoch.
BATCH_SIZES = (32, 32, 32, 7, 32, 32, 32, 2) * 5


def per_slot(numbers: tuple[float, ...]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64).reshape(-1, 1, 1)


def batch(step: int, rows: int) -> tuple[Tensor, Tensor]:
    """Return x and ∂loss/∂y `[K, B, H]`, with location and scale by slot, unit and step."""
    generator = torch.Generator().manual_seed(step)
    shape = (len(MOMENTA), rows, N_UNITS)
    x, dy = (torch.randn(shape, dtype=torch.float64, generator=generator) for _ in range(2))
    scale = torch.logspace(-3, 2, N_UNITS, dtype=torch.float64)
    return x * scale + per_slot((0.0, 3.0, -50.0, 0.1)) + 0.1 * step, dy


def torch_layers() -> list[nn.BatchNorm1d]:
    return [
        nn.BatchNorm1d(N_UNITS, eps=epsilon, momentum=1 - momentum, dtype=torch.float64)
        for momentum, epsilon in zip(MOMENTA, EPSILONS, strict=True)
    ]


def rows_of(tensor: Tensor, k: int) -> Tensor:
    return tensor[k, 0]


def test_training_of_each_slot_equals_torch_step_by_step() -> None:
    layers = torch_layers()
    optimizers = [
        torch.optim.SGD(layer.parameters(), lr=rate)
        for layer, rate in zip(layers, RATES, strict=True)
    ]
    shape = (len(MOMENTA), 1, N_UNITS)
    gamma, moving_variance = torch.ones(shape).double(), torch.ones(shape).double()
    beta, moving_mean = torch.zeros(shape).double(), torch.zeros(shape).double()
    for step, rows in enumerate(BATCH_SIZES):
        x, dy = batch(step, rows)
        y, cache, mean, variance = normalize_batch(x, gamma, beta, per_slot(EPSILONS))
        dx, d_gamma, d_beta = batch_norm_gradient(dy, gamma, cache)
        update_moving(moving_mean, moving_variance, mean, variance, per_slot(MOMENTA), rows)
        gamma = gamma - per_slot(RATES) * d_gamma
        beta = beta - per_slot(RATES) * d_beta
        for k, (layer, optimizer) in enumerate(zip(layers, optimizers, strict=True)):
            own = x[k].clone().requires_grad_()
            expected = layer(own)
            optimizer.zero_grad()
            expected.backward(dy[k])
            optimizer.step()
            assert own.grad is not None
            assert layer.running_mean is not None
            assert layer.running_var is not None
            for ours, theirs in (
                (y[k], expected.detach()),
                (dx[k], own.grad),
                (rows_of(gamma, k), layer.weight.detach()),
                (rows_of(beta, k), layer.bias.detach()),
                (rows_of(moving_mean, k), layer.running_mean),
                (rows_of(moving_variance, k), layer.running_var),
            ):
                # Errors are relative to the largest value, because γ and dx cross 0.
                atol = 1e-9 * theirs.abs().max().item()
                torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=atol)
    x, _ = batch(1000, 50)
    y = normalize_moving(x, gamma, beta, moving_mean, moving_variance, per_slot(EPSILONS))
    for k, layer in enumerate(layers):
        torch.testing.assert_close(y[k], layer.eval()(x[k]).detach(), rtol=1e-8, atol=1e-9)


def test_momentum_is_the_weight_of_the_past() -> None:
    mean, variance = torch.full((2, 1, 1), 10.0), torch.full((2, 1, 1), 3.0)
    moving_mean, moving_variance = torch.zeros(2, 1, 1), torch.ones(2, 1, 1)
    momentum = torch.tensor([0.9, 0.25]).reshape(2, 1, 1)
    update_moving(moving_mean, moving_variance, mean, variance, momentum, batch_size=4)
    assert moving_mean.flatten().tolist() == pytest.approx([1.0, 7.5])
    # For four rows, the biased variance 3 is the unbiased variance 4.
    assert moving_variance.flatten().tolist() == pytest.approx([1.3, 3.25])


def test_batch_of_one_row_and_constant_unit_stay_finite() -> None:
    x = torch.full((2, 1, 3), 3.3)
    gamma, beta = torch.ones(2, 1, 3), torch.full((2, 1, 3), 0.5)
    epsilon = torch.tensor([1e-5, 1e-12]).reshape(2, 1, 1)
    y, cache, mean, variance = normalize_batch(x, gamma, beta, epsilon)
    torch.testing.assert_close(y, beta.expand_as(y))
    for gradient in batch_norm_gradient(torch.ones_like(x), gamma, cache):
        assert gradient.isfinite().all()
    moving_mean, moving_variance = torch.zeros(2, 1, 3), torch.ones(2, 1, 3)
    update_moving(
        moving_mean, moving_variance, mean, variance, torch.full((2, 1, 1), 0.5), batch_size=1
    )
    torch.testing.assert_close(moving_mean, torch.full((2, 1, 3), 1.65))
    torch.testing.assert_close(moving_variance, torch.full((2, 1, 3), 0.5))


@pytest.mark.parametrize("name", BATCH_NORMS)
def test_positions_of_batch_norm(name: str) -> None:
    row = BATCH_NORMS[name]
    steps = ("batch_norm",) * row.before + ("activation",) + ("batch_norm",) * row.after
    assert steps == REFERENCES[name]


def test_defaults_of_batch_norm() -> None:
    defaults = {name: parameter.default for name, parameter in BATCH_NORM_PARAMETERS.items()}
    assert defaults == {"input": False, "momentum": 0.9, "epsilon": 1e-5}
