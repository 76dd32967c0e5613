"""Constraints hold after every step and equal `torch.renorm`.

To add a constraint, add its torch counterpart for one layer `[I, O]` to `REFERENCES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from autotrain.techniques.constraints import CONSTRAINTS

REFERENCES: dict[str, Callable[[Tensor, Mapping[str, float]], Tensor]] = {
    "none": lambda weights, p: weights,
    "max_norm": lambda weights, p: torch.renorm(weights, p=2, dim=1, maxnorm=p["max_value"]),
}

LIMITS = (0.01, 1.0, 3.0, 1e6)


def weights() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(len(LIMITS), 7, 5, dtype=torch.float64, generator=generator)
    # Norms of units from far below to far above every limit, and one unit with weights 0.
    return drawn * torch.tensor([0.0, 1e-4, 0.3, 1.5, 50.0], dtype=torch.float64)


def limits() -> dict[str, Tensor]:
    return {"max_value": torch.tensor(LIMITS, dtype=torch.float64).reshape(-1, 1, 1)}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraint_of_each_slot_equals_its_reference(name: str) -> None:
    constrained = weights()
    rule = CONSTRAINTS[name].apply
    if rule is not None:
        rule(constrained, limits(), 1.0)
    for k, limit in enumerate(LIMITS):
        expected = REFERENCES[name](weights()[k], {"max_value": limit})
        # torch divides by ‖w‖ + 1e-7.
        torch.testing.assert_close(constrained[k], expected, rtol=1e-4, atol=0)


def test_max_norm_scales_only_units_above_the_limit() -> None:
    rule = CONSTRAINTS["max_norm"].apply
    assert rule is not None
    before, after = weights(), weights()
    rule(after, limits(), 1.0)
    for k, limit in enumerate(LIMITS):
        for unit in range(before.shape[2]):
            own = before[k, :, unit]
            norm = sum(number**2 for number in own.tolist()) ** 0.5
            if norm <= limit:
                assert torch.equal(after[k, :, unit], own)
            else:
                torch.testing.assert_close(
                    after[k, :, unit], own * limit / norm, rtol=1e-12, atol=0
                )


def test_constraint_acts_on_the_scaled_weights() -> None:
    scale = torch.tensor([0.5, 1.0, 0.1, 4.0], dtype=torch.float64).reshape(-1, 1, 1)
    for row in CONSTRAINTS.values():
        if row.apply is not None:
            learned, used = weights(), scale * weights()
            row.apply(learned, limits(), scale)
            row.apply(used, limits(), 1.0)
            torch.testing.assert_close(scale * learned, used, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_max_norm_holds_after_every_step(dtype: torch.dtype) -> None:
    rule = CONSTRAINTS["max_norm"].apply
    assert rule is not None
    generator = torch.Generator().manual_seed(1)
    w, p = weights().to(dtype), {key: value.to(dtype) for key, value in limits().items()}
    bound = p["max_value"].squeeze(1) * (1 + 4 * torch.finfo(dtype).eps)
    for _ in range(50):
        w += torch.randn(w.shape, dtype=dtype, generator=generator)
        rule(w, p, 1.0)
        norms = w.square().sum(dim=1).sqrt()
        assert (norms <= bound).all()
        # The norms equal the limits.
        assert (norms[0] > LIMITS[0] * 0.999).all()


def test_only_none_has_no_function() -> None:
    assert [name for name, row in CONSTRAINTS.items() if row.apply is None] == ["none"]
