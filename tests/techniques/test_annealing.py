"""Annealings equal closed forms and torch's cosine.

To add an annealing, add its factor, as a function of the fraction of training done, to
`REFERENCES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from autotrain.techniques.annealing import ANNEALINGS

REFERENCES: dict[str, Callable[[float], float]] = {
    "constant": lambda x: 1.0,
    "flat_cos": lambda x: 1.0 if x <= 0.5 else math.cos(math.pi * (x - 0.5)) ** 2,
}


@pytest.mark.parametrize("name", ANNEALINGS)
def test_factors_equal_the_reference(name: str) -> None:
    x = np.linspace(0, 1, 101)
    found = ANNEALINGS[name].factor(x)
    np.testing.assert_allclose(found, [REFERENCES[name](share) for share in x], atol=1e-12)
    assert found.shape == x.shape
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert ANNEALINGS[name].factor(np.array([0.0]))[0] == 1


def test_flat_cos_is_constant_and_then_the_cosine_of_torch() -> None:
    factor = ANNEALINGS["flat_cos"].factor
    np.testing.assert_array_equal(factor(np.linspace(0, 0.5, 50)), 1)
    np.testing.assert_allclose(factor(np.array([0.75, 1.0])), [0.5, 0], atol=1e-15)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100)
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(factor(0.5 + np.arange(100) / 200), rates, atol=1e-12)
