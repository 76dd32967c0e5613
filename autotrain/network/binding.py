"""Views into the flat rows of a fleet, cut once for every layer and group of slots.

`FusedNetwork.bind` makes a `Bound` from the parameters, and another one from their gradients.
Taking a slice costs two microseconds, and a step would need about fifty. A fleet uses the same rows
for thousands of steps, so they are cut when it is built.
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
    """Batch normalization of one group of slots at one position of the network.

    Args:
        slots: the slots of the group.
        is_on: False if the group has no batch normalization at this position.
        gamma, beta: parameters or their gradients, `[k, 1, H]`.
        mean, variance: moving statistics, `[k, 1, H]`; None if bound without them.
        hyper: hyperparameters, `[k, 1, 1]` each.
        normalize, gradient: `normalize_batch` and `batch_norm_gradient`, or compiled versions.
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
    """The activation of one group of slots at one layer.

    Args:
        slots: the slots of the group.
        row: the activation's row of `ACTIVATIONS`.
        hyper: hyperparameters, `[k, 1, 1]` each; a learned one has its current value.
        slope: the learned hyperparameter, `[k, 1, 1]`.
        fused: faster version of f and its gradient; None without one.
        mix: learned weight of f in z + mix (f(z) − z), `[k, 1, H]`; None for f alone.
    """

    slots: slice
    row: Activation
    hyper: Mapping[str, Tensor]
    slope: Tensor
    fused: FusedActivation | None
    mix: Tensor | None

    @property
    def needs_z(self) -> bool:
        """Whether `backward` reads z; if not, a may be written over z."""
        return self.fused is None or self.fused.needs_z or self.mix is not None

    def f(self, z: Tensor, out: Tensor | None = None) -> Tensor:
        """Return a = f(z), or z + mix (f(z) − z), `[k, B, H]`.

        Args:
            z: `[k, B, H]`.
            out: memory for the result, which may be `z`; None for new memory.
        """
        if self.mix is not None:
            return torch.lerp(z, self._f(z, None), self.mix, out=out)
        return self._f(z, out)

    def _f(self, z: Tensor, out: Tensor | None) -> Tensor:
        if self.fused is not None:
            return self.fused.f(z, torch.empty_like(z) if out is None else out)
        a = self.row.f(z, self.hyper)
        return a if out is None else out.copy_(a)

    def derivative(self, z: Tensor) -> Tensor:
        """Return f′(z), or 1 − mix + mix f′(z), of z `[k, B, H]`."""
        ones = torch.ones_like(z)
        if self.mix is not None:
            return self.unmix(ones, z, torch.empty_like(self.mix))
        return self.backward(ones, z, self._f(z, None))

    def backward(self, da: Tensor, z: Tensor, a: Tensor) -> Tensor:
        """Return ∂loss/∂z = ∂loss/∂a · f′(z), written over ∂loss/∂a; all `[k, B, H]`.

        With `mix`, use `unmix` instead.
        """
        if self.fused is not None:
            return self.fused.backward(da, z, a)
        return da.mul_(self.row.df(z, a, self.hyper))

    def unmix(self, da: Tensor, z: Tensor, d_mix: Tensor) -> Tensor:
        """Return ∂loss/∂z of a = z + mix (f(z) − z), written over ∂loss/∂a.

        ∂z = ∂a (1 − mix) + ∂a mix f′(z);   ∂mix = Σ_B ∂a (f(z) − z)

        Args:
            da, z: `[k, B, H]`.
            d_mix: memory for ∂loss/∂mix, `[k, 1, H]`.
        """
        assert self.mix is not None
        base = self._f(z, None)
        torch.sum(da * (base - z), 1, keepdim=True, out=d_mix)
        straight = da * (1 - self.mix)
        return self.backward(da.mul_(self.mix), z, base).add_(straight)


@dataclass(frozen=True)
class BoundLayer:
    """One hidden layer of the K_l slots that reach it.

    Args:
        kernel: V of z = h (s V) + b, `[K_l, I, O]`.
        scale: s, `[K_l, 1, 1]`; None if it is 1 in all slots.
        bias: b, `[K_l, 1, O]`.
        before, after: batch normalization before and after the activation, by group.
        activation: activations by group.
        needs_z: whether the backward pass of any activation reads z.
    """

    kernel: Tensor
    scale: Tensor | None
    bias: Tensor
    before: Sequence[BoundNorm]
    activation: Sequence[BoundActivation]
    after: Sequence[BoundNorm]
    needs_z: bool


@dataclass(frozen=True)
class Bound:
    """All tensors of a fleet: its parameters and statistics, or its gradients.

    Args:
        input_layer: embeddings and input scale.
        input_norm: batch normalization of the inputs, by group.
        layers: the hidden layers.
        output_kernel: `[K, I, C]`.
        output_scale: s of the output layer, `[K, 1, 1]`; None for 1.
        output_bias: `[K, 1, C]`.
    """

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
    """Cut the batch normalization on one side of one layer's activation.

    Args:
        groups: slots by batch normalization.
        side: "before" or "after".
        layer: `INPUT` or a hidden layer.
        parameters: views `[K, 1, H]` of the parameters or gradients.
        statistics: views of the moving statistics; None for gradients.
        compiled: compiled kernels; None for torch.
    """
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
    """Cut the activations of one hidden layer.

    Args:
        groups: slots by activation.
        layer: number of the hidden layer.
        parameters: views `[K, rows, columns]` of the parameters or gradients.
        compiled: compiled kernels; None for torch.
    """
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
