"""A network's flat rows, cut once into what each layer and run needs.

Taking a slice costs two microseconds and a step would take fifty of them; a fleet lives for
thousands of steps on the same rows, so they are cut when it is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from autotrain.network.grouping import SlotGroup
from autotrain.network.input_layer import BoundInputLayer
from autotrain.network.kernels import CompiledKernels, FusedActivation, fused_activation
from autotrain.network.layout import Key
from autotrain.techniques.activations import Activation
from autotrain.techniques.normalization import (
    BatchNorm,
    BatchNormCache,
    batch_norm_gradient,
    normalize_batch,
)

Views = Mapping[Key, Tensor]


@dataclass(frozen=True)
class BoundNorm:
    """Batch normalization of one run at one place; `is_on` is False where the run has none.

    Args:
        gamma, beta: `[k, 1, H]`, parameters or their gradients.
        mean, variance: moving statistics `[k, 1, H]`; None when bound without them.
        normalize, gradient: `normalize_batch` and `batch_norm_gradient`, or compiled twins.
    """

    slots: slice
    is_on: bool
    gamma: Tensor
    beta: Tensor
    mean: Tensor | None
    variance: Tensor | None
    hyper: Mapping[str, Tensor]
    normalize: Callable[..., tuple[Tensor, BatchNormCache, Tensor, Tensor]]
    gradient: Callable[..., tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class BoundActivation:
    """The activation of one run at one layer.

    Args:
        hyper: its hyperparameters, the learned one at its present value.
        slope: where the learned one lies, `[k, 1, 1]`.
        twin: a faster way to the same numbers, where there is one.
        mix: how much of f each unit uses, learned, `[k, 1, H]`: z + mix (f(z) − z); None for f.
    """

    slots: slice
    row: Activation
    hyper: Mapping[str, Tensor]
    slope: Tensor
    fused: FusedActivation | None
    mix: Tensor | None

    @property
    def needs_z(self) -> bool:
        """Whether `backward` looks at z; where it does not, a may be written over z."""
        return self.fused is None or self.fused.needs_z or self.mix is not None

    def f(self, z: Tensor, out: Tensor | None = None) -> Tensor:
        """Return a = f(z), or z + mix (f(z) − z), written to `out`; None for new memory."""
        if self.mix is not None:
            return torch.lerp(z, self._f(z, None), self.mix, out=out)
        return self._f(z, out)

    def _f(self, z: Tensor, out: Tensor | None) -> Tensor:
        if self.fused is not None:
            return self.fused.f(z, torch.empty_like(z) if out is None else out)
        a = self.row.f(z, self.hyper)
        return a if out is None else out.copy_(a)

    def derivative(self, z: Tensor) -> Tensor:
        """Return f′(z), or 1 − mix + mix f′(z)."""
        ones = torch.ones_like(z)
        if self.mix is not None:
            return self.unmix(ones, z, torch.empty_like(self.mix))
        return self.backward(ones, z, self._f(z, None))

    def backward(self, da: Tensor, z: Tensor, a: Tensor) -> Tensor:
        """Return ∂loss/∂z = ∂loss/∂a · f′(z), written over ∂loss/∂a; for `mix` see `unmix`."""
        if self.fused is not None:
            return self.fused.backward(da, z, a)
        return da.mul_(self.row.df(z, a, self.hyper))

    def unmix(self, da: Tensor, z: Tensor, d_mix: Tensor) -> Tensor:
        """Return ∂loss/∂z of z + mix (f(z) − z), written over ∂loss/∂a, and write ∂loss/∂mix.

        ∂z = ∂a (1 − mix) + ∂a mix f′(z);   ∂mix = Σ_B ∂a (f(z) − z)
        """
        assert self.mix is not None
        base = self._f(z, None)
        torch.sum(da * (base - z), 1, keepdim=True, out=d_mix)
        straight = da * (1 - self.mix)
        return self.backward(da.mul_(self.mix), z, base).add_(straight)


@dataclass(frozen=True)
class BoundLayer:
    """One hidden layer: kernel `[K_l, I, O]`, bias `[K_l, 1, O]` and the runs on it.

    Args:
        scale: s of z = h (s V) + b, `[K_l, 1, 1]`; None where it is 1 in all slots.
    """

    kernel: Tensor
    scale: Tensor | None
    bias: Tensor
    before: Sequence[BoundNorm]
    activation: Sequence[BoundActivation]
    after: Sequence[BoundNorm]
    needs_z: bool
    """Whether any of the activations does."""


@dataclass(frozen=True)
class Bound:
    """A whole network: of parameters and statistics, or of gradients."""

    input_layer: BoundInputLayer
    input_norm: Sequence[BoundNorm]
    layers: Sequence[BoundLayer]
    output_kernel: Tensor
    output_scale: Tensor | None
    output_bias: Tensor


def bind_norms(
    groups: Sequence[SlotGroup],
    side: str,
    layer: int,
    parameters: Views,
    statistics: Views | None,
    compiled: CompiledKernels | None,
) -> list[BoundNorm]:
    """Cut one place's normalization; `side` is "before" or "after"."""
    bound = []
    for group in groups:
        row, slots = cast(BatchNorm, group.row), group.slots
        bound.append(
            BoundNorm(
                slots,
                getattr(row, side),
                parameters["gamma", layer][slots],
                parameters["beta", layer][slots],
                None if statistics is None else statistics["mean", layer][slots],
                None if statistics is None else statistics["variance", layer][slots],
                group.parameters,
                normalize_batch if compiled is None else compiled.normalize_batch,
                batch_norm_gradient if compiled is None else compiled.batch_norm_gradient,
            )
        )
    return bound


def bind_activations(
    groups: Sequence[SlotGroup], layer: int, parameters: Views, compiled: CompiledKernels | None
) -> list[BoundActivation]:
    """Cut one layer's activations."""
    bound = []
    for group in groups:
        row = cast(Activation, group.row)
        slope = parameters["slope", layer][group.slots]
        hyper = (
            group.parameters if row.learned is None else {**group.parameters, row.learned: slope}
        )
        fused = fused_activation(
            row.name, {key: group.parameters[key] for key in row.parameters}, compiled
        )
        mix = (
            parameters["mix", layer][group.slots] if group.parameters["parametric"].any() else None
        )
        bound.append(BoundActivation(group.slots, row, hyper, slope, fused, mix))
    return bound
