"""One layer of K networks: product, batch norm and activation, forward and backward.

`FusedNetwork` calls these functions layer by layer. Batch norm and activations act on groups of
slots, each on its part of `[K, …]` (see grouping.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from autotrain.network.binding import BoundActivation, BoundLayer, BoundNorm
from autotrain.techniques.normalization import BatchNormCache, normalize_moving, update_moving


@dataclass
class LayerTape:
    """Values that the backward pass of one layer needs from the forward pass.

    Args:
        x: input of the layer, `[K_l, B, I]`.
        kernel: weights s V, `[K_l, I, O]`.
        z: input of the activation, `[K_l, B, O]`; the same tensor as `a` if no activation needs z.
        a: output of the activation, f(z), `[K_l, B, O]`.
        before, after: caches of batch norm, by group; None for groups without.
        scale: derivative of dropout and padding by its input; None for 1.
    """

    x: Tensor
    kernel: Tensor
    z: Tensor = field(init=False)
    a: Tensor = field(init=False)
    before: list[BatchNormCache | None] = field(default_factory=list)
    after: list[BatchNormCache | None] = field(default_factory=list)
    scale: Tensor | None = None


def scaled(kernel: Tensor, scale: Tensor | None) -> Tensor:
    """Return the weights W = s V that the network uses, `[K, I, O]`.

    Args:
        kernel: the learned V, `[K, I, O]`.
        scale: s, `[K, 1, 1]`; None for 1. Only the NTK parametrization has another scale.
    """
    return kernel if scale is None else kernel * scale


def outputs(kernel: Tensor, bias: Tensor, last: Tensor) -> Tensor:
    """Return the outputs h W + b of the networks, `[K, B, C]`.

    They are computed as (Wᵀhᵀ)ᵀ: a product with few columns took three times as long as one with
    few rows.

    Args:
        kernel: W, `[K, I, C]`.
        bias: b, `[K, 1, C]`.
        last: h, the input of the output layer, `[K, B, I]`.
    """
    rows = kernel.transpose(1, 2).contiguous()
    return torch.baddbmm(bias.transpose(1, 2), rows, last.transpose(1, 2)).transpose(1, 2)


def normalize(
    norms: Sequence[BoundNorm], x: Tensor, updating: bool, *, in_place: bool = False
) -> tuple[Tensor, list[BatchNormCache | None]]:
    """Normalize the slots that have batch norm by the statistics of the batch.

    Args:
        norms: batch norm by group.
        x: `[K, B, H]`.
        updating: whether to update the moving statistics.
        in_place: whether x may be overwritten (by x − μ).
    Returns: y `[K, B, H]` and the cache of each group; None for groups without batch norm.
    """
    if not any(norm.is_on for norm in norms):
        return x, [None] * len(norms)
    caches: list[BatchNormCache | None] = []
    parts = []
    for norm in norms:
        part = part_of(x, norm, norms)
        cache = None
        if norm.is_on:
            part, cache, mean, variance = norm.normalize(
                part, norm.gamma, norm.beta, norm.hyper["epsilon"], part if in_place else None
            )
            if updating and norm.mean is not None and norm.variance is not None:
                momentum = norm.hyper["momentum"]
                update_moving(norm.mean, norm.variance, mean, variance, momentum, x.shape[1])
        caches.append(cache)
        parts.append(part)
    return whole(parts), caches


def normalize_by_moving(norms: Sequence[BoundNorm], x: Tensor) -> Tensor:
    """Normalize x `[K, B, H]` by the moving statistics, in place, and return it."""
    for norm in norms:
        if norm.is_on and norm.mean is not None and norm.variance is not None:
            part, epsilon = part_of(x, norm, norms), norm.hyper["epsilon"]
            normalize_moving(part, norm.gamma, norm.beta, norm.mean, norm.variance, epsilon, part)
    return x


def normalize_backward(
    norms: Sequence[BoundNorm],
    gradients: Sequence[BoundNorm],
    caches: Sequence[BatchNormCache | None],
    dy: Tensor,
) -> None:
    """Turn ∂loss/∂y into ∂loss/∂x, in place, and write the gradients of γ and β.

    Args:
        norms: batch norm by group, with parameters.
        gradients: the same, with gradients.
        caches: from `normalize`.
        dy: `[K, B, H]`.
    """
    for norm, to, cache in zip(norms, gradients, caches, strict=True):
        if cache is not None:
            part = part_of(dy, norm, norms)
            norm.gradient(part, norm.gamma, cache, part, to.gamma, to.beta)


def activate(at: BoundLayer, z: Tensor) -> Tensor:
    """Return f(z) `[K, B, H]`, written over z if the backward pass does not read z."""
    if len(at.activation) == 1:
        return at.activation[0].f(z, None if at.needs_z else z)
    a = torch.empty_like(z) if at.needs_z else z
    for group in at.activation:
        group.f(z[group.slots], a[group.slots])
    return a


def activate_backward(at: BoundLayer, to: BoundLayer, record: LayerTape, da: Tensor) -> None:
    """Turn ∂loss/∂a into ∂loss/∂z, in place, and write the gradients of learned parameters.

    Args:
        at: the layer, with parameters.
        to: the layer, with gradients.
        record: the tape of the forward pass.
        da: `[K_l, B, H]`.
    """
    for group, gradient in zip(at.activation, to.activation, strict=True):
        part, z, a = (part_of(x, group, at.activation) for x in (da, record.z, record.a))
        if group.row.d_learned is not None:
            slope = part * group.row.d_learned(z, group.hyper)
            if group.mix is not None:
                slope *= group.mix
            torch.sum(slope, dim=(1, 2), keepdim=True, out=gradient.slope)
        if group.mix is not None:
            assert gradient.mix is not None
            group.unmix(part, z, gradient.mix)
        else:
            group.backward(part, z, a)


def part_of(x: Tensor, group: BoundNorm | BoundActivation, groups: Sequence[object]) -> Tensor:
    """Return the part of `[K, …]` that belongs to a group.

    A single group gets the whole tensor, because taking a slice costs a microsecond.
    """
    return x if len(groups) == 1 else x[group.slots]


def whole(parts: Sequence[Tensor]) -> Tensor:
    """Return the parts of all groups as one tensor `[K, …]`."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def bias_gradient(to: BoundLayer, dz: Tensor) -> None:
    """Write ∂loss/∂bias of the slots whose bias has an effect.

    Args:
        to: the layer, with gradients.
        dz: `[K_l, B, H]`.
    """
    # Batch norm subtracts a bias that is added right before it. The gradient of such a bias must be
    # exactly 0: an adaptive optimizer would magnify rounding noise to full steps.
    for norm in to.before:
        if not norm.is_on:
            torch.sum(dz[norm.slots], 1, keepdim=True, out=to.bias[norm.slots])
