"""Faster twins of formulas in `choices/`, used where they apply; the same contract tests hold both.

An activation's row is written for hyperparameters that differ from slot to slot. Where all slots
of a run agree on them, torch has one compiled kernel for f and one for the gradient, instead of the
row's three to eight passes over memory (docs/benchmarks.md, "Native activations"). To add a twin,
add a row to `TWINS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from autotrain.choices.activations import SELU_ALPHA, SELU_SCALE

_aten = torch.ops.aten


@dataclass(frozen=True)
class Twin:
    """An activation with its hyperparameters built in.

    Args:
        f: z → a.
        backward: (∂loss/∂a, z, a) → ∂loss/∂z.
    """

    f: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]


def _elu(alpha: float, scale: float) -> Twin:
    return Twin(
        lambda z: _aten.elu(z, alpha, scale, 1.0),
        # True: the derivative is taken from a, not from z.
        lambda da, z, a: _aten.elu_backward(da, alpha, scale, 1.0, True, a),
    )


def _leaky_relu(slope: float) -> Twin:
    return Twin(
        lambda z: _aten.leaky_relu(z, slope),
        lambda da, z, a: _aten.leaky_relu_backward(da, z, slope, False),
    )


TWINS: dict[str, Callable[[Mapping[str, float]], Twin]] = {
    "sigmoid": lambda p: Twin(torch.sigmoid, lambda da, z, a: _aten.sigmoid_backward(da, a)),
    "tanh": lambda p: Twin(torch.tanh, lambda da, z, a: _aten.tanh_backward(da, a)),
    "relu": lambda p: Twin(torch.relu, lambda da, z, a: _aten.threshold_backward(da, a, 0.0)),
    "leaky_relu": lambda p: _leaky_relu(p["negative_slope"]),
    "elu": lambda p: _elu(p["alpha"], 1.0),
    "selu": lambda p: _elu(SELU_ALPHA, SELU_SCALE),
    "gelu": lambda p: Twin(_aten.gelu, lambda da, z, a: _aten.gelu_backward(da, z)),
    "silu": lambda p: Twin(_aten.silu, lambda da, z, a: _aten.silu_backward(da, z)),
    "mish": lambda p: Twin(_aten.mish, lambda da, z, a: _aten.mish_backward(da, z)),
}


def twin_of(name: str, hyper: Mapping[str, Tensor]) -> Twin | None:
    """Return the twin of an activation whose slots agree on its hyperparameters, or None.

    Args:
        name: a row of `ACTIVATIONS`.
        hyper: its hyperparameters, `[k, 1, 1]` each.
    """
    if name not in TWINS:
        return None
    values = {key: value.flatten().tolist() for key, value in hyper.items()}
    if any(len(set(column)) > 1 for column in values.values()):
        return None
    return TWINS[name]({key: column[0] for key, column in values.items()})
