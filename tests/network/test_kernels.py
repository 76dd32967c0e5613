"""Fused activations equal the formulas of their rows."""

from __future__ import annotations

import math

import pytest
import torch

from autotrain.network.kernels import FUSED_ACTIVATIONS, fused_activation
from autotrain.techniques.activations import ACTIVATIONS


def hyper_of(name: str, values: tuple[float, ...]) -> dict[str, torch.Tensor]:
    """Return hyperparameters that all have these values, one per slot."""
    column = torch.tensor(values, dtype=torch.float64).view(-1, 1, 1)
    return dict.fromkeys(ACTIVATIONS[name].parameters, column)


@pytest.mark.parametrize("value", [0.05, 0.7, 1.0])
@pytest.mark.parametrize("name", FUSED_ACTIVATIONS)
def test_fused_activation_equals_its_row(name: str, value: float) -> None:
    row, hyper = ACTIVATIONS[name], hyper_of(name, (value, value, value))
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(3, 50, 7, dtype=torch.float64, generator=generator) * 4
    z[0, 0] = torch.tensor([0.0, -0.0, 1e-12, -1e-12, 30.0, -30.0, 1.0])
    da = torch.randn(z.shape, dtype=torch.float64, generator=generator)
    fused = fused_activation(name, hyper)
    assert fused is not None
    a = row.f(z, hyper)
    expected = row.df(z, a, hyper) * da
    found = fused.f(z, torch.empty_like(z))
    torch.testing.assert_close(found, a, rtol=1e-12, atol=1e-13)
    if not fused.needs_z:
        over = z.clone()
        assert torch.equal(fused.f(over, over), found)
        z = torch.full_like(z, math.nan)
    over = da.clone()
    fused.backward(over, z, found)
    torch.testing.assert_close(over, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", FUSED_ACTIVATIONS)
def test_fused_activation_is_exact_to_single_precision(name: str) -> None:
    hyper = hyper_of(name, (0.7,))
    fused = fused_activation(name, hyper)
    assert fused is not None
    z = torch.linspace(-20, 20, 40_001).view(1, -1, 1)
    exact = ACTIVATIONS[name].f(z.double(), hyper)
    found = fused.f(z, torch.empty_like(z)).double()
    # Units in the last place of 1, or of the value if it is larger. gelu's
    # Φ(z) loses three more bits to cancellation for very negative z.
    ulp = 2**-20 if name == "gelu" else 2**-22
    torch.testing.assert_close(found, exact, rtol=ulp, atol=ulp)


def test_no_fused_activation_for_differing_or_learned_parameters() -> None:
    assert fused_activation("elu", hyper_of("elu", (1.0, 0.5))) is None
    assert fused_activation("leaky_relu", hyper_of("leaky_relu", (0.01, 0.02))) is None
    assert fused_activation("prelu", hyper_of("prelu", (0.25, 0.25))) is None
    assert fused_activation("elu", hyper_of("elu", (0.5, 0.5))) is not None
