"""Activations equal `torch.nn.functional`, autograd and formulas in plain Python.

To add an activation, add its torch counterpart to `REFERENCES`, its formula on plain Python floats
to `FORMULAS` and, if it has parameters, one value per slot to `VALUES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from autotrain.techniques.activations import ACTIVATIONS

VALUES = {
    "negative_slope": (0.0, 0.01, 0.3, 1.0),
    # A learned slope can leave [0, 1].
    "init": (0.25, 0.0, -0.3, 1.4),
    "alpha": (1.0, 0.1, 1.7, 6.0),
}
N_SLOTS = 4

REFERENCES: dict[str, Callable[[Tensor, Mapping[str, Tensor]], Tensor]] = {
    "sigmoid": lambda z, p: functional.sigmoid(z),
    "tanh": lambda z, p: functional.tanh(z),
    "relu": lambda z, p: functional.relu(z),
    "softplus": lambda z, p: functional.softplus(z),
    "leaky_relu": lambda z, p: functional.leaky_relu(z, p["negative_slope"].item()),
    "prelu": lambda z, p: functional.prelu(z, p["init"]),
    "elu": lambda z, p: functional.elu(z, p["alpha"].item()),
    "selu": lambda z, p: functional.selu(z),
    "gelu": lambda z, p: functional.gelu(z, approximate="none"),
    "silu": lambda z, p: functional.silu(z),
    "mish": lambda z, p: functional.mish(z),
}


def _elu(z: float, alpha: float) -> float:
    return z if z >= 0 else alpha * math.expm1(z)


FORMULAS: dict[str, Callable[[float, Mapping[str, float]], float]] = {
    "sigmoid": lambda z, p: 1 / (1 + math.exp(-z)),
    "tanh": lambda z, p: math.tanh(z),
    "relu": lambda z, p: max(0.0, z),
    "softplus": lambda z, p: math.log1p(math.exp(z)),
    "leaky_relu": lambda z, p: max(p["negative_slope"] * z, z),
    "prelu": lambda z, p: z if z > 0 else p["init"] * z,
    "elu": lambda z, p: _elu(z, p["alpha"]),
    "selu": lambda z, p: 1.0507009873554805 * _elu(z, 1.6732632423543772),
    "gelu": lambda z, p: z * 0.5 * math.erfc(-z / math.sqrt(2)),
    "silu": lambda z, p: z / (1 + math.exp(-z)),
    "mish": lambda z, p: z * math.tanh(math.log1p(math.exp(z))),
}


def inputs(dtype: torch.dtype = torch.float64) -> Tensor:
    """Return z `[K, B, H]`: −30 to 30, tiny numbers, both zeros, in a different order per slot."""
    tiny = torch.tensor([1e-300, 1e-20, 1e-8, 1e-4, 0.0], dtype=dtype)
    z = torch.cat([torch.linspace(-30, 30, 1190, dtype=dtype), tiny, -tiny])
    return torch.stack([z.roll(7 * k).reshape(40, 30) for k in range(N_SLOTS)])


def parameters(name: str, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    return {
        key: torch.tensor(VALUES[key], dtype=dtype).reshape(N_SLOTS, 1, 1)
        for key in ACTIVATIONS[name].parameters
    }


def slot(p: Mapping[str, Tensor], k: int) -> dict[str, Tensor]:
    return {key: value[k].reshape(1).clone() for key, value in p.items()}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value_and_derivative_equal_torch_and_autograd(name: str) -> None:
    row, z, p = ACTIVATIONS[name], inputs(), parameters(name)
    before = z.clone()
    a = row.f(z, p)
    da = row.df(z, a, p).expand_as(z)
    assert torch.equal(z, before), "f and f′ must leave z alone"
    for k in range(N_SLOTS):
        own = z[k].clone().requires_grad_()
        expected = REFERENCES[name](own, slot(p, k))
        (gradient,) = torch.autograd.grad(expected.sum(), own)
        # torch's softplus is linear above 20, with an error of 2e-9.
        torch.testing.assert_close(a[k], expected.detach(), rtol=1e-6, atol=1e-12)
        torch.testing.assert_close(da[k], gradient, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value_equals_the_formula(name: str) -> None:
    z, p = inputs(), parameters(name)
    a = ACTIVATIONS[name].f(z, p)
    for k in range(N_SLOTS):
        own = {key: value.item() for key, value in slot(p, k).items()}
        expected = [FORMULAS[name](number, own) for number in z[k].flatten().tolist()]
        torch.testing.assert_close(
            a[k].flatten(), torch.tensor(expected, dtype=z.dtype), rtol=1e-6, atol=1e-12
        )


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_no_digits_are_lost_near_zero(name: str) -> None:
    p = parameters(name)
    z = torch.tensor([-1e-5, -1e-9, -1e-15, 1e-15, 1e-9, 1e-5], dtype=torch.float64)
    a = ACTIVATIONS[name].f(z.expand(N_SLOTS, 1, -1), p)
    for k in range(N_SLOTS):
        expected = REFERENCES[name](z, slot(p, k))
        torch.testing.assert_close(a[k, 0], expected, rtol=1e-6, atol=0)


LEARNED = [name for name, row in ACTIVATIONS.items() if row.learned is not None]


@pytest.mark.parametrize("name", LEARNED)
def test_derivative_by_the_learned_parameter_equals_autograd(name: str) -> None:
    row, z, p = ACTIVATIONS[name], inputs(), parameters(name)
    assert row.learned is not None
    assert row.d_learned is not None
    dy = torch.randn(z.shape, dtype=z.dtype, generator=torch.Generator().manual_seed(0))
    ours = (dy * row.d_learned(z, p)).sum(dim=(1, 2))
    for k in range(N_SLOTS):
        own = slot(p, k)
        own[row.learned].requires_grad_()
        loss = (dy[k] * REFERENCES[name](z[k], own)).sum()
        (expected,) = torch.autograd.grad(loss, own[row.learned])
        torch.testing.assert_close(ours[k : k + 1], expected, rtol=1e-6, atol=1e-12)


def test_learned_parameters_are_parameters() -> None:
    assert LEARNED == ["prelu"]
    for row in ACTIVATIONS.values():
        assert row.learned is None or row.learned in row.parameters
        assert (row.learned is None) == (row.d_learned is None)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_saturates_means_flat_on_both_sides(name: str) -> None:
    row, p = ACTIVATIONS[name], parameters(name)
    z = torch.tensor([-30.0, 30.0], dtype=torch.float64).expand(N_SLOTS, 1, 2)
    flat = (row.df(z, row.f(z, p), p).expand_as(z).abs() < 0.01).all(dim=(1, 2))
    assert flat.tolist() == [row.saturates] * N_SLOTS


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_only_rectifying_units_output_exact_zeros(name: str) -> None:
    row, p = ACTIVATIONS[name], parameters(name)
    z = -1 - 100 * torch.rand(N_SLOTS, 50, 1, generator=torch.Generator().manual_seed(1)).double()
    is_dead = (row.f(z, p) == 0).all()
    assert row.rectifies or not is_dead


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_float32_stays_float32_and_finite_for_large_z(name: str) -> None:
    row, p = ACTIVATIONS[name], parameters(name, torch.float32)
    far = torch.tensor([-1e30, -1e10, -200.0, -90.0, 90.0, 200.0, 1e10, 1e30])
    z = torch.cat([inputs(torch.float32).reshape(N_SLOTS, 1, -1), far.expand(N_SLOTS, 1, 8)], dim=2)
    a = row.f(z, p)
    da = row.df(z, a, p)
    assert a.dtype == da.dtype == torch.float32
    assert a.isfinite().all()
    assert da.isfinite().all()
