"""Penalties equal plain loops, their gradients equal autograd.

To add a regularizer, add its penalty of one slot, as a plain loop, to `REFERENCES`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from autotrain.techniques.regularizers import REGULARIZERS


def _l1(weights: Tensor, strength: float) -> Tensor:
    penalty = torch.zeros((), dtype=weights.dtype)
    for weight in weights:
        penalty = penalty + strength * abs(weight)
    return penalty


def _l2(weights: Tensor, strength: float) -> Tensor:
    penalty = torch.zeros((), dtype=weights.dtype)
    for weight in weights:
        penalty = penalty + strength * weight**2
    return penalty


REFERENCES: dict[str, Callable[[Tensor, float], Tensor]] = {"l1": _l1, "l2": _l2}

STRENGTHS = (0.0, 1e-6, 0.01, 2.5)


def weights() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    w = 3 * torch.randn(len(STRENGTHS), 40, dtype=torch.float64, generator=generator)
    # |w| has no derivative at 0; autograd uses 0.
    w[:, :3] = 0.0
    return w


@pytest.mark.parametrize("name", REGULARIZERS)
def test_penalty_and_gradient_of_each_slot(name: str) -> None:
    row, w = REGULARIZERS[name], weights()
    strength = torch.tensor(STRENGTHS, dtype=w.dtype).unsqueeze(1)
    penalty, gradient = row.penalty(w, strength), row.gradient(w, strength)
    assert penalty.shape == (len(STRENGTHS),)
    assert gradient.shape == w.shape
    for k, own_strength in enumerate(STRENGTHS):
        own = w[k].clone().requires_grad_()
        expected = REFERENCES[name](own, own_strength)
        expected.backward()
        assert own.grad is not None
        torch.testing.assert_close(penalty[k], expected.detach(), rtol=1e-12, atol=0)
        torch.testing.assert_close(gradient[k], own.grad, rtol=1e-12, atol=0)


def test_parameter_has_the_name_of_the_row() -> None:
    for name, row in REGULARIZERS.items():
        assert list(row.parameters) == [name]
        assert row.parameters[name].default == 0.0
