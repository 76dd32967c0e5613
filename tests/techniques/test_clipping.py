"""Gradient clipping equals `torch.nn.utils.clip_grad_value_` and `clip_grad_norm_`.

To add a clipping, add a function that clips a list of torch parameters to `REFERENCES`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from autotrain.techniques.clipping import CLIPPINGS

Reference = Callable[[list[Tensor], float], object]


def _nothing(tensors: list[Tensor], threshold: float) -> None:
    pass


def _each_norm(tensors: list[Tensor], threshold: float) -> None:
    for tensor in tensors:
        clip_grad_norm_(tensor, threshold)


REFERENCES: dict[str, Reference] = {
    "none": _nothing,
    "value": clip_grad_value_,
    "norm": _each_norm,
    "global_norm": clip_grad_norm_,
}

# Weights, biases, weights, biases of a network.
SIZES = (6, 3, 8, 1)
THRESHOLDS = (0.01, 1.0, 3.0, 1000.0)


def clip(name: str, flat: Tensor, threshold: Tensor, sizes: tuple[int, ...] = SIZES) -> Tensor:
    clipped = flat.clone()
    rule = CLIPPINGS[name].clip
    if rule is not None:
        rule(clipped, clipped.split(sizes, dim=1), threshold)
    return clipped


def gradients(scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    flat = torch.randn(len(THRESHOLDS), sum(SIZES), dtype=torch.float64, generator=generator)
    # The tensors have different sizes, so that the norms of each and of all differ.
    flat[:, :6] *= 10
    flat[:, 6:9] *= 0.1
    return flat * scale


@pytest.mark.parametrize("scale", [1e-8, 1e-2, 1.0, 1e3])
@pytest.mark.parametrize("name", CLIPPINGS)
def test_clipping_of_each_slot_equals_torch(name: str, scale: float) -> None:
    flat = gradients(scale)
    threshold = torch.tensor(THRESHOLDS, dtype=torch.float64).unsqueeze(1)
    clipped = clip(name, flat, threshold)
    for k, own_threshold in enumerate(THRESHOLDS):
        tensors = []
        for part in flat[k].split(SIZES):
            tensor = torch.zeros_like(part, requires_grad=True)
            tensor.grad = part.clone()
            tensors.append(tensor)
        REFERENCES[name](tensors, own_threshold)
        expected = torch.cat([t.grad for t in tensors if t.grad is not None])
        torch.testing.assert_close(clipped[k], expected, rtol=1e-12, atol=0)


def test_clipping_of_a_worked_example() -> None:
    gradient = torch.tensor([[100.0, 1.0], [100.0, 1.0]], dtype=torch.float64)
    threshold = torch.tensor([[1.0], [1000.0]], dtype=torch.float64)
    by_value = clip("value", gradient, threshold, (2,))
    assert by_value.tolist() == [[1.0, 1.0], [100.0, 1.0]]
    for name in ("norm", "global_norm"):
        by_norm = clip(name, gradient, threshold, (2,))
        assert by_norm[0].tolist() == pytest.approx([0.99995, 0.0099995], rel=1e-6)
        assert by_norm[1].tolist() == [100.0, 1.0]


def test_norm_clips_each_tensor_and_global_norm_all() -> None:
    gradient = torch.tensor([[3.0, 4.0, 0.5], [3.0, 4.0, 12.0]], dtype=torch.float64)
    threshold = torch.tensor([[1.0], [6.5]], dtype=torch.float64)
    each = clip("norm", gradient, threshold, (2, 1))
    assert each[0].tolist() == pytest.approx([0.6, 0.8, 0.5], rel=1e-6)
    assert each[1].tolist() == pytest.approx([3.0, 4.0, 6.5], rel=1e-6)
    together = clip("global_norm", gradient, threshold, (2, 1))
    assert together[1].tolist() == pytest.approx([1.5, 2.0, 6.0], rel=1e-6)


@pytest.mark.parametrize("name", [name for name in CLIPPINGS if name != "none"])
def test_zero_gradient_stays_zero(name: str) -> None:
    zeros = torch.zeros(2, sum(SIZES))
    assert torch.equal(clip(name, zeros, torch.tensor([[1e-12], [1e3]])), zeros)


def test_only_none_has_no_function() -> None:
    assert [name for name, row in CLIPPINGS.items() if row.clip is None] == ["none"]
