"""Compiled kernels for float32 on a CPU; the same contract tests check them and the formulas.

Torch needs five to eight passes over memory for what is one or two loops here. Numba compiles them
on first use and caches them on disk. Every loop runs slot by slot, so that the result of a slot
does not depend on the others. The formulas are in `techniques/`. Only training uses this module, so
a predictor does not need numba. To add a kernel, write its loop and add a field to
`network/kernels.CompiledKernels`.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import numba
import numpy as np
import torch
from torch import Tensor

from autotrain.network.kernels import CompiledKernels
from autotrain.techniques.normalization import BatchNormCache
from autotrain.techniques.optimizers import State, adam, adamw
from autotrain.training.kernel_cache import KernelCache

Function = TypeVar("Function", bound=Callable[..., Any])
F = np.float32
# Sums may be reordered and fused with products. NaN and infinity keep their meaning.
_FREEDOMS = {"reassoc", "contract", "nsz", "arcp"}


def _compiled(function: Function) -> Function:
    # error_model: a division by 0 gives infinity; a check would prevent vectorized loops.
    options: dict[str, Any] = {"fastmath": _FREEDOMS, "error_model": "numpy", "nogil": True}
    made: Any = numba.njit(**options)(function)
    # Without a folder that can be written, every process compiles again.
    with contextlib.suppress(RuntimeError):
        made._cache = KernelCache(function)
    return cast(Function, made)


# ---- batch normalization -----------------------------------------------------------------------


@_compiled
def _normalize(z, gamma, beta, epsilon, out, mean_out, variance_out, inverse_out):  # type: ignore[no-untyped-def]
    n_slots, n_rows, width = z.shape
    mean, square = np.empty(width, F), np.empty(width, F)
    scale, shift = np.empty(width, F), np.empty(width, F)
    share = F(1) / F(n_rows)
    for k in range(n_slots):
        for h in range(width):
            mean[h] = F(0)
            square[h] = F(0)
        for b in range(n_rows):
            for h in range(width):
                mean[h] += z[k, b, h]
        for h in range(width):
            mean[h] *= share
        for b in range(n_rows):
            for h in range(width):
                centered = z[k, b, h] - mean[h]
                z[k, b, h] = centered
                square[h] += centered * centered
        for h in range(width):
            variance = square[h] * share
            inverse = F(1) / np.sqrt(variance + epsilon[k, 0, 0])
            mean_out[k, 0, h], variance_out[k, 0, h] = mean[h], variance
            inverse_out[k, 0, h] = inverse
            scale[h], shift[h] = gamma[k, 0, h] * inverse, beta[k, 0, h]
        for b in range(n_rows):
            for h in range(width):
                out[k, b, h] = z[k, b, h] * scale[h] + shift[h]


def normalize_batch(
    x: Tensor, gamma: Tensor, beta: Tensor, epsilon: Tensor, centered: Tensor | None = None
) -> tuple[Tensor, BatchNormCache, Tensor, Tensor]:
    """Normalize x `[K, B, H]` by its batch; equals `techniques.normalization.normalize_batch`."""
    if centered is None:
        centered = x.clone(memory_format=torch.contiguous_format)
    elif centered is not x:
        centered.copy_(x)
    out = torch.empty_like(centered)
    mean, variance, inverse = (torch.empty_like(gamma) for _ in range(3))
    _normalize(*map(_array, (centered, gamma, beta, epsilon, out, mean, variance, inverse)))
    return out, BatchNormCache(centered, inverse), mean, variance


@_compiled
def _normalize_backward(d, centered, gamma, inverse, d_gamma, d_beta):  # type: ignore[no-untyped-def]
    n_slots, n_rows, width = d.shape
    total, product = np.empty(width, F), np.empty(width, F)
    scale = np.empty(width, F)
    share = F(1) / F(n_rows)
    for k in range(n_slots):
        for h in range(width):
            total[h] = F(0)
            product[h] = F(0)
        for b in range(n_rows):
            for h in range(width):
                total[h] += d[k, b, h]
                product[h] += d[k, b, h] * centered[k, b, h]
        for h in range(width):
            of_gamma = product[h] * inverse[k, 0, h]
            d_beta[k, 0, h], d_gamma[k, 0, h] = total[h], of_gamma
            scale[h] = gamma[k, 0, h] * inverse[k, 0, h]
            total[h] *= -scale[h] * share
            product[h] = -scale[h] * share * inverse[k, 0, h] * of_gamma
        for b in range(n_rows):
            for h in range(width):
                d[k, b, h] = d[k, b, h] * scale[h] + total[h] + centered[k, b, h] * product[h]


def batch_norm_gradient(
    dy: Tensor, gamma: Tensor, cache: BatchNormCache, dx: Tensor, d_gamma: Tensor, d_beta: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Overwrite dy `[K, B, H]` by dx; equals `techniques.normalization.batch_norm_gradient`."""
    assert dx is dy
    tensors = (dy, cache.centered, gamma, cache.inverse_std, d_gamma, d_beta)
    _normalize_backward(*map(_array, tensors))
    return dy, d_gamma, d_beta


# ---- activation --------------------------------------------------------------------------------


@_compiled
def _elu(z, alpha, scale):  # type: ignore[no-untyped-def]
    # In place: with two arrays that may overlap, the compiler would not vectorize the loop.
    # exp(x) = 2ⁿ exp(r), r = x − n log 2, by Cephes' polynomial: to one unit in the last place.
    for i in range(z.size):
        y = z[i]
        x = max(min(y, F(0)), F(-87))
        n = F(np.rint(x * F(1.44269504)))
        r = x - n * F(0.693359375)
        r = r - n * F(-2.12194440e-4)
        p = F(1.9875691500e-4)
        p = p * r + F(1.3981999507e-3)
        p = p * r + F(8.3334519073e-3)
        p = p * r + F(4.1665795894e-2)
        p = p * r + F(1.6666665459e-1)
        p = p * r + F(5.0000001201e-1)
        p = p * r * r + r + F(1)
        power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
        # y − y is 0, but NaN for y = NaN, which the clamps above would lose.
        z[i] = scale * (max(y, F(0)) + alpha * (p * power - F(1))) + (y - y)


def elu(z: Tensor, out: Tensor, alpha: float, scale: float) -> Tensor:
    """Write scale · elu(z; α) to `out`, which may be `z`; both contiguous, of any shape."""
    if out is not z:
        out.copy_(z)
    _elu(out.view(-1).numpy(), F(alpha), F(scale))
    return out


# ---- dropout bits ------------------------------------------------------------------------------


def state_of(bits: np.random.SFC64) -> np.ndarray:
    """Return the generator's state `[4]` uint64, not a copy: changes to it advance `bits`."""
    state = (ctypes.c_uint64 * 4).from_address(bits.ctypes.state_address)
    return np.ctypeslib.as_array(state)


@_compiled
def draw_words(state, words):  # type: ignore[no-untyped-def]
    """Fill `words` `[n]` uint64 as `SFC64.random_raw` does, and advance `state` `[4]`."""
    a, b, c, counter = state[0], state[1], state[2], state[3]
    for i in range(words.size):
        word = a + b + counter
        counter += np.uint64(1)
        a = b ^ (b >> np.uint64(11))
        b = c + (c << np.uint64(3))
        c = ((c << np.uint64(24)) | (c >> np.uint64(40))) + word
        words[i] = word
    state[0], state[1], state[2], state[3] = a, b, c, counter


@_compiled
def keep_below(units, threshold, keep):  # type: ignore[no-untyped-def]
    """Write 1 to `keep` `[B, H]` where a 16-bit unit `[B · H]` is below the threshold, else 0."""
    n_rows, width = keep.shape
    for b in range(n_rows):
        for h in range(width):
            keep[b, h] = F(1) if units[b * width + h] < threshold else F(0)


# ---- optimizers --------------------------------------------------------------------------------


@_compiled
def _adam(p, g, m, v, eta, beta_1, beta_2, epsilon, t, decay):  # type: ignore[no-untyped-def]
    n_slots, n = p.shape
    for k in range(n_slots):
        b1, b2, small = beta_1[k, 0], beta_2[k, 0], epsilon[k, 0]
        rest_1, rest_2 = F(1) - b1, F(1) - b2
        steps = np.float64(t[k, 0])
        correct_1 = F(1 / (1 - np.float64(b1) ** steps))
        correct_2 = F(1 / np.sqrt(1 - np.float64(b2) ** steps))
        size = eta[k, 0] * correct_1
        kept = F(1) - eta[k, 0] * decay[k, 0]
        for i in range(n):
            gradient = g[k, i]
            first = b1 * m[k, i] + rest_1 * gradient
            second = b2 * v[k, i] + rest_2 * gradient * gradient
            m[k, i], v[k, i] = first, second
            p[k, i] = p[k, i] * kept - size * first / (np.sqrt(second) * correct_2 + small)


def _run_adam(
    p: Tensor, g: Tensor, state: State, eta: Tensor, hyper: Mapping[str, Tensor], decay: Tensor
) -> None:
    betas = (hyper["beta_1"], hyper["beta_2"], hyper["epsilon"])
    _adam(*map(_array, (p, g, state.m, state.v, eta, *betas, state.t, decay)))


def _compiled_adam(
    p: Tensor, g: Tensor, state: State, eta: Tensor, hyper: Mapping[str, Tensor]
) -> None:
    """Update p `[K, P]` in place; equals `techniques.optimizers.adam`."""
    _run_adam(p, g, state, eta, hyper, torch.zeros_like(state.t))


def _compiled_adamw(
    p: Tensor, g: Tensor, state: State, eta: Tensor, hyper: Mapping[str, Tensor]
) -> None:
    """Update p `[K, P]` in place; equals `techniques.optimizers.adamw`."""
    _run_adam(p, g, state, eta, hyper, hyper["weight_decay"])


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.numpy()


COMPILED = CompiledKernels(
    normalize_batch=normalize_batch,
    batch_norm_gradient=batch_norm_gradient,
    elu=elu,
    updates={adam: _compiled_adam, adamw: _compiled_adamw},
    state_of=state_of,
    draw_words=draw_words,
    keep_below=keep_below,
)


def compiled_for(device: torch.device, dtype: torch.dtype) -> CompiledKernels | None:
    """Return the compiled kernels for float32 on a CPU; None for other devices and dtypes."""
    return COMPILED if dtype == torch.float32 and device.type == "cpu" else None
