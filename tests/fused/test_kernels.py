"""Faster twins give the numbers of the formulas they stand in for."""

from __future__ import annotations

import pytest
import torch

from autotrain.choices.activations import ACTIVATIONS
from autotrain.fused.kernels import TWINS, twin_of


def hyper_of(name: str, values: tuple[float, ...]) -> dict[str, torch.Tensor]:
    """Give every hyperparameter these values, one a slot."""
    column = torch.tensor(values, dtype=torch.float64).view(-1, 1, 1)
    return dict.fromkeys(ACTIVATIONS[name].parameters, column)


@pytest.mark.parametrize("value", [0.05, 0.7, 1.0])
@pytest.mark.parametrize("name", TWINS)
def test_twin_equals_its_row(name: str, value: float) -> None:
    row, hyper = ACTIVATIONS[name], hyper_of(name, (value, value, value))
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(3, 50, 7, dtype=torch.float64, generator=generator) * 4
    z[0, 0] = torch.tensor([0.0, -0.0, 1e-12, -1e-12, 30.0, -30.0, 1.0])
    da = torch.randn(z.shape, dtype=torch.float64, generator=generator)
    twin = twin_of(name, hyper)
    assert twin is not None
    a = row.f(z, hyper)
    torch.testing.assert_close(twin.f(z), a, rtol=1e-12, atol=1e-13)
    expected = row.df(z, a, hyper) * da
    torch.testing.assert_close(twin.backward(da, z, a), expected, rtol=1e-10, atol=1e-12)


def test_no_twin_where_slots_differ_or_a_parameter_is_learned() -> None:
    assert twin_of("elu", hyper_of("elu", (1.0, 0.5))) is None
    assert twin_of("leaky_relu", hyper_of("leaky_relu", (0.01, 0.02))) is None
    assert twin_of("prelu", hyper_of("prelu", (0.25, 0.25))) is None
    assert twin_of("elu", hyper_of("elu", (0.5, 0.5))) is not None
