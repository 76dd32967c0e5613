"""Faster versions of formulas in `techniques/`; the same contract tests check both.

An activation's row supports hyperparameters that differ between slots. If all slots of a group have
equal ones, torch can compute f and its gradient with one kernel each, instead of the row's three to
eight passes over memory (docs/lab-notebook.md). To add such a version, add a
row to `FUSED_ACTIVATIONS`. The kernels in `CompiledKernels` are compiled in
`training/compiled.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from autotrain.techniques.activations import SELU_ALPHA, SELU_SCALE
from autotrain.techniques.normalization import BatchNormCache
from autotrain.techniques.optimizers import Update

_aten = torch.ops.aten


@dataclass(frozen=True)
class FusedActivation:
    """An activation with fixed hyperparameters; all tensors `[k, B, H]`.

    Args:
        f: (z, out) → a, written to `out`, which may be `z` itself.
        backward: (∂loss/∂a, z, a) → ∂loss/∂z, written over ∂loss/∂a.
        needs_z: whether `backward` reads z; if not, a may be written over z.
    """

    f: Callable[[Tensor, Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]
    needs_z: bool = False


def _elu(alpha: float, scale: float) -> FusedActivation:
    def f(z: Tensor, out: Tensor) -> Tensor:
        # exp − 1 instead of expm1: torch's exp is six times as fast. The digits below 1e-7 that
        # this loses would be lost in the sum of the next layer, too.
        below = z.clamp(max=0).exp_().sub_(1)
        torch.clamp(z, min=0, out=out)
        return (out if scale == 1 else out.mul_(scale)).add_(below, alpha=alpha * scale)

    return FusedActivation(
        f,
        # True: the derivative is computed from a, not from z.
        lambda da, z, a: _aten.elu_backward.grad_input(
            da, alpha, scale, 1.0, True, a, grad_input=da
        ),
    )


def _leaky_relu(slope: float) -> FusedActivation:
    return FusedActivation(
        lambda z, out: _aten.leaky_relu.out(z, slope, out=out),
        lambda da, z, a: _aten.leaky_relu_backward.grad_input(da, z, slope, False, grad_input=da),
        needs_z=True,
    )


def _of_z(f: Callable[..., Tensor], backward: Callable[..., Tensor]) -> FusedActivation:
    return FusedActivation(
        lambda z, out: f(z, out=out),
        lambda da, z, a: backward(da, z, grad_input=da),
        needs_z=True,
    )


def _of_a(f: Callable[..., Tensor], backward: Callable[..., Tensor]) -> FusedActivation:
    return FusedActivation(
        lambda z, out: f(z, out=out),
        lambda da, z, a: backward(da, a, grad_input=da),
    )


FUSED_ACTIVATIONS: dict[str, Callable[[Mapping[str, float]], FusedActivation]] = {
    "sigmoid": lambda p: _of_a(_aten.sigmoid.out, _aten.sigmoid_backward.grad_input),
    "tanh": lambda p: _of_a(_aten.tanh.out, _aten.tanh_backward.grad_input),
    "relu": lambda p: FusedActivation(
        lambda z, out: torch.clamp(z, min=0, out=out),
        lambda da, z, a: _aten.threshold_backward.grad_input(da, a, 0.0, grad_input=da),
    ),
    "leaky_relu": lambda p: _leaky_relu(p["negative_slope"]),
    "elu": lambda p: _elu(p["alpha"], 1.0),
    "selu": lambda p: _elu(SELU_ALPHA, SELU_SCALE),
    "gelu": lambda p: _of_z(_aten.gelu.out, _aten.gelu_backward.grad_input),
    "silu": lambda p: _of_z(_aten.silu.out, _aten.silu_backward.grad_input),
    # mish_backward writes to new memory only.
    "mish": lambda p: FusedActivation(
        lambda z, out: _aten.mish.out(z, out=out),
        lambda da, z, a: da.copy_(_aten.mish_backward(da, z)),
        needs_z=True,
    ),
}


@dataclass(frozen=True)
class CompiledKernels:
    """Compiled functions for one device and dtype, equal to formulas in `techniques/`.

    `training/compiled.py` defines them. They are passed in because a predictor must not need numba.

    Args:
        normalize_batch, batch_norm_gradient: see `techniques/normalization.py`.
        elu: (z, out, α, scale) → scale · elu(z; α), written to `out`, which may be `z`.
        updates: update rules, by the `update` of a row of `OPTIMIZERS`; for learning rates
            `[k, 1]`, not `[k, P]`.
        state_of: generator → its state `[4]` uint64, not a copy.
        draw_words: (state `[4]`, words `[n]` uint64) → None; fills words with random bits.
        keep_below: (16-bit units `[B · H]`, threshold, keep `[B, H]`) → None; writes 1 to keep
            where a unit is below the threshold, else 0.
    """

    normalize_batch: Callable[..., tuple[Tensor, BatchNormCache, Tensor, Tensor]]
    batch_norm_gradient: Callable[..., tuple[Tensor, Tensor, Tensor]]
    elu: Callable[[Tensor, Tensor, float, float], Tensor]
    updates: Mapping[Update, Update]
    state_of: Callable[[np.random.SFC64], np.ndarray]
    draw_words: Callable[[np.ndarray, np.ndarray], None]
    keep_below: Callable[[np.ndarray, np.int16, np.ndarray], None]


def fused_activation(
    name: str, hyper: Mapping[str, Tensor], compiled: CompiledKernels | None = None
) -> FusedActivation | None:
    """Return the fused version of an activation.

    Args:
        name: a row of `ACTIVATIONS`.
        hyper: its hyperparameters, `[k, 1, 1]` each.
        compiled: compiled kernels; None for torch alone.
    Returns: None if there is no fused version or the slots differ in a hyperparameter.
    """
    if name not in FUSED_ACTIVATIONS:
        return None
    values = {key: value.flatten().tolist() for key, value in hyper.items()}
    if any(len(set(column)) > 1 for column in values.values()):
        return None
    fused = FUSED_ACTIVATIONS[name]({key: column[0] for key, column in values.items()})
    if compiled is None or name not in ("elu", "selu"):
        return fused
    alpha, scale = (values["alpha"][0], 1.0) if name == "elu" else (SELU_ALPHA, SELU_SCALE)
    elu = compiled.elu
    return replace(fused, f=lambda z, out: elu(z, out, alpha, scale))
