"""One layer of K networks at once: product, batch norm and activation, forward and backward.

Batch norm and activations act on runs, each on its slots' part of `[K, …]` (see plan.py).
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
    """What one layer's backward pass needs: its input, weights, z, a = f(z), and what changed it.

    Where no activation needs z, it is a itself.
    """

    x: Tensor
    kernel: Tensor
    z: Tensor = field(init=False)
    a: Tensor = field(init=False)
    before: list[BatchNormCache | None] = field(default_factory=list)
    after: list[BatchNormCache | None] = field(default_factory=list)
    scale: Tensor | None = None


def scaled(kernel: Tensor, scale: Tensor | None) -> Tensor:
    """Return the weights that the network uses: an NTK parametrization scales what is learned."""
    return kernel if scale is None else kernel * scale


def outputs(kernel: Tensor, bias: Tensor, last: Tensor) -> Tensor:
    """Return what the output layers say, `[K, B, C]`.

    Computed as (Wᵀhᵀ)ᵀ: a product with a few columns measured three times slower than one with
    a few rows.
    """
    rows = kernel.transpose(1, 2).contiguous()
    return torch.baddbmm(bias.transpose(1, 2), rows, last.transpose(1, 2)).transpose(1, 2)


def normalize(
    norms: Sequence[BoundNorm], x: Tensor, updating: bool, *, in_place: bool = False
) -> tuple[Tensor, list[BatchNormCache | None]]:
    """Normalize each run that has batch norm; with `in_place`, x is overwritten by x − μ."""
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
    """Normalize, in place, each run that has batch norm; return x."""
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
    """Turn ∂loss/∂y into ∂loss/∂x, in place, and write the parameters' gradients."""
    for norm, to, cache in zip(norms, gradients, caches, strict=True):
        if cache is not None:
            part = part_of(dy, norm, norms)
            norm.gradient(part, norm.gamma, cache, part, to.gamma, to.beta)


def activate(at: BoundLayer, z: Tensor) -> Tensor:
    """Return f(z), written over z where no run needs it again."""
    if len(at.activation) == 1:
        return at.activation[0].f(z, None if at.needs_z else z)
    a = torch.empty_like(z) if at.needs_z else z
    for group in at.activation:
        group.f(z[group.slots], a[group.slots])
    return a


def activate_backward(at: BoundLayer, to: BoundLayer, record: LayerTape, da: Tensor) -> None:
    """Turn ∂loss/∂a into ∂loss/∂z, in place, and write learned parameters' gradients."""
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
    """Return a run's part of `[K, …]`; a slice costs a microsecond: the whole needs none."""
    return x if len(groups) == 1 else x[group.slots]


def whole(parts: Sequence[Tensor]) -> Tensor:
    """Return the runs' parts as one tensor `[K, …]`."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def bias_gradient(to: BoundLayer, dz: Tensor) -> None:
    """Write ∂loss/∂bias where it has an effect."""
    # Batch norm subtracts a bias that stands right before it: such a bias stays 0, or rounding
    # noise would move it (an adaptive optimizer magnifies noise to full steps).
    for norm in to.before:
        if not norm.is_on:
            torch.sum(dz[norm.slots], 1, keepdim=True, out=to.bias[norm.slots])
