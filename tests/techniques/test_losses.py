"""Losses of each slot equal `torch.nn.functional`, gradients equal autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from autotrain.techniques.losses import (
    LOSS_PARAMETERS,
    mean_squared_error,
    pinball,
    softmax_cross_entropy,
)

SMOOTHING = (0.0, 0.1, 0.5, 0.99)


def batch(rows: int, classes: int, scale: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rows + classes)
    shape = (len(SMOOTHING), rows, classes)
    logits = scale * torch.randn(shape, dtype=torch.float64, generator=generator)
    return logits, torch.randint(classes, shape[:2], generator=generator)


def numbers(rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw outputs, targets and weights of three slots; some weights are 0."""
    generator = torch.Generator().manual_seed(rows)
    outputs = torch.randn(3, rows, 1, dtype=torch.float64, generator=generator)
    targets = 10 * torch.randn(3, rows, dtype=torch.float64, generator=generator)
    weights = torch.rand(3, rows, dtype=torch.float64, generator=generator)
    weights[:, ::3] = 0
    return outputs, targets, weights


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
@pytest.mark.parametrize(("rows", "classes"), [(1, 2), (5, 2), (64, 7)])
@pytest.mark.parametrize("smooth", [True, False])
def test_cross_entropy_of_each_slot(smooth: bool, rows: int, classes: int, scale: float) -> None:
    logits, labels = batch(rows, classes, scale)
    before = logits.clone()
    smoothing = torch.tensor(SMOOTHING, dtype=logits.dtype).reshape(-1, 1, 1) if smooth else None
    loss, gradient = softmax_cross_entropy(logits, labels, smoothing)
    assert torch.equal(logits, before), "the loss must leave the logits alone"
    assert loss.shape == (len(SMOOTHING),)
    for k, epsilon in enumerate(SMOOTHING):
        own = logits[k].clone().requires_grad_()
        expected = functional.cross_entropy(
            own, labels[k], label_smoothing=epsilon if smooth else 0.0
        )
        expected.backward()
        assert own.grad is not None
        torch.testing.assert_close(loss[k], expected.detach(), rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(gradient[k], own.grad, rtol=1e-10, atol=1e-15)


def test_smoothed_targets_of_a_worked_example() -> None:
    # (1 − ε)·onehot + ε/C with ε = 0.3, C = 3: the gradient is p − q, and p is uniform here.
    logits = torch.zeros(1, 1, 3, dtype=torch.float64)
    epsilon = torch.full((1, 1, 1), 0.3, dtype=torch.float64)
    _, gradient = softmax_cross_entropy(logits, torch.tensor([[2]]), epsilon)
    targets = (1 / 3 - gradient).flatten().tolist()
    assert targets == pytest.approx([0.1, 0.1, 0.8], rel=1e-12)


@pytest.mark.parametrize("rows", [1, 2, 33])
def test_mean_squared_error_of_each_slot(rows: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    outputs = torch.randn(3, rows, 1, dtype=torch.float64, generator=generator)
    targets = 10 * torch.randn(3, rows, dtype=torch.float64, generator=generator)
    before = outputs.clone()
    loss, gradient = mean_squared_error(outputs, targets)
    assert torch.equal(outputs, before), "the loss must leave the outputs alone"
    assert loss.shape == (3,)
    for k in range(3):
        own = outputs[k].clone().requires_grad_()
        expected = functional.mse_loss(own, targets[k].unsqueeze(1))
        expected.backward()
        assert own.grad is not None
        torch.testing.assert_close(loss[k], expected.detach(), rtol=1e-12, atol=0)
        torch.testing.assert_close(gradient[k], own.grad, rtol=1e-12, atol=0)


@pytest.mark.parametrize("rows", [1, 2, 33])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.95])
def test_pinball_loss_of_each_slot(quantile: float, weighted: bool, rows: int) -> None:
    outputs, targets, weights = numbers(rows)
    loss, gradient = pinball(outputs, targets, quantile, weights if weighted else None)
    for k in range(3):
        own = outputs[k].clone().requires_grad_()
        below = torch.relu(targets[k] - own[:, 0])
        above = torch.relu(own[:, 0] - targets[k])
        each = quantile * below + (1 - quantile) * above
        expected = (each * weights[k] if weighted else each).mean()
        expected.backward()
        assert own.grad is not None
        torch.testing.assert_close(loss[k], expected.detach(), rtol=1e-12, atol=0)
        torch.testing.assert_close(gradient[k], own.grad, rtol=1e-12, atol=0)


def test_pinball_loss_is_lowest_at_the_quantile() -> None:
    """For a constant prediction, the derivative changes sign where a fraction q is below."""
    targets = torch.arange(100, dtype=torch.float64).unsqueeze(0)
    for quantile in (0.1, 0.5, 0.9):
        at = 100 * quantile
        slopes = [
            pinball(torch.full((1, 100, 1), x, dtype=torch.float64), targets, quantile)[1].sum()
            for x in (at - 1.5, at + 0.5)
        ]
        assert slopes[0] < 0 < slopes[1]


@pytest.mark.parametrize("rows", [1, 5, 64])
@pytest.mark.parametrize("smooth", [True, False])
def test_weighted_cross_entropy_of_each_slot(smooth: bool, rows: int) -> None:
    logits, labels = batch(rows, 3, 1.0)
    generator = torch.Generator().manual_seed(rows)
    weights = torch.rand(labels.shape, dtype=torch.float64, generator=generator)
    weights[:, 0] = 0
    smoothing = torch.tensor(SMOOTHING, dtype=logits.dtype).reshape(-1, 1, 1) if smooth else None
    loss, gradient = softmax_cross_entropy(logits, labels, smoothing, weights)
    for k, epsilon in enumerate(SMOOTHING):
        own = logits[k].clone().requires_grad_()
        each = functional.cross_entropy(
            own, labels[k], label_smoothing=epsilon if smooth else 0.0, reduction="none"
        )
        # The divisor is the number of rows, not the sum of their weights.
        expected = (each * weights[k]).sum() / rows
        expected.backward()
        assert own.grad is not None
        torch.testing.assert_close(loss[k], expected.detach(), rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(gradient[k], own.grad, rtol=1e-10, atol=1e-15)


def test_weighted_squared_error_of_each_slot() -> None:
    outputs, targets, weights = numbers(33)
    loss, gradient = mean_squared_error(outputs, targets, weights)
    for k in range(3):
        own = outputs[k].clone().requires_grad_()
        expected = (weights[k] * (own[:, 0] - targets[k]) ** 2).sum() / 33
        expected.backward()
        assert own.grad is not None
        torch.testing.assert_close(loss[k], expected.detach(), rtol=1e-12, atol=0)
        torch.testing.assert_close(gradient[k], own.grad, rtol=1e-12, atol=0)


def test_label_smoothing_is_a_fraction_below_one() -> None:
    parameter = LOSS_PARAMETERS["label_smoothing"]
    assert parameter.default == 0.0
    assert parameter.is_legal(0.999)
    assert not parameter.is_legal(1.0)
    assert not parameter.is_legal(-0.1)
