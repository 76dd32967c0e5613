"""A network's flat rows, cut once into what each layer and run needs.

Taking a slice costs two microseconds and a step would take fifty of them; a fleet lives for
thousands of steps on the same rows, so they are cut when it is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from autotrain.choices.activations import Activation
from autotrain.choices.normalization import BatchNorm
from autotrain.fused.kernels import Twin, twin_of
from autotrain.fused.layout import Key
from autotrain.fused.plan import Run

Views = Mapping[Key, Tensor]


@dataclass(frozen=True)
class BoundNorm:
    """Batch normalization of one run at one place; `is_on` is False where the run has none.

    Args:
        gamma, beta: `[k, 1, H]`, parameters or their gradients.
        mean, variance: moving statistics `[k, 1, H]`; None when bound without them.
    """

    slots: slice
    is_on: bool
    gamma: Tensor
    beta: Tensor
    mean: Tensor | None
    variance: Tensor | None
    hyper: Mapping[str, Tensor]


@dataclass(frozen=True)
class BoundActivation:
    """The activation of one run at one layer.

    Args:
        hyper: its hyperparameters, the learned one at its present value.
        slope: where the learned one lies, `[k, 1, 1]`.
        twin: a faster way to the same numbers, where there is one.
    """

    slots: slice
    row: Activation
    hyper: Mapping[str, Tensor]
    slope: Tensor
    twin: Twin | None

    @property
    def needs_z(self) -> bool:
        """Whether `backward` looks at z; where it does not, a may be written over z."""
        return self.twin is None or self.twin.needs_z

    def f(self, z: Tensor, out: Tensor | None = None) -> Tensor:
        """Return a = f(z), written to `out`; None for new memory."""
        if self.twin is not None:
            return self.twin.f(z, torch.empty_like(z) if out is None else out)
        a = self.row.f(z, self.hyper)
        return a if out is None else out.copy_(a)

    def backward(self, da: Tensor, z: Tensor, a: Tensor) -> Tensor:
        """Return ∂loss/∂z = ∂loss/∂a · f′(z), written over ∂loss/∂a."""
        if self.twin is not None:
            return self.twin.backward(da, z, a)
        return da.mul_(self.row.df(z, a, self.hyper))


@dataclass(frozen=True)
class BoundLayer:
    """One hidden layer: kernel `[K_l, I, O]`, bias `[K_l, 1, O]` and the runs on it."""

    kernel: Tensor
    bias: Tensor
    before: Sequence[BoundNorm]
    activation: Sequence[BoundActivation]
    after: Sequence[BoundNorm]
    needs_z: bool
    """Whether any of the activations does."""


@dataclass(frozen=True)
class Bound:
    """A whole network: of parameters and statistics, or of gradients."""

    input_norm: Sequence[BoundNorm]
    layers: Sequence[BoundLayer]
    output_kernel: Tensor
    output_bias: Tensor


def bind_norms(
    runs: Sequence[Run], side: str, layer: int, parameters: Views, statistics: Views | None
) -> list[BoundNorm]:
    """Cut one place's normalization; `side` is "before" or "after"."""
    bound = []
    for run in runs:
        row, slots = cast(BatchNorm, run.row), run.slots
        bound.append(
            BoundNorm(
                slots,
                getattr(row, side),
                parameters["gamma", layer][slots],
                parameters["beta", layer][slots],
                None if statistics is None else statistics["mean", layer][slots],
                None if statistics is None else statistics["variance", layer][slots],
                run.parameters,
            )
        )
    return bound


def bind_activations(runs: Sequence[Run], layer: int, parameters: Views) -> list[BoundActivation]:
    """Cut one layer's activations."""
    bound = []
    for run in runs:
        row = cast(Activation, run.row)
        slope = parameters["slope", layer][run.slots]
        hyper = run.parameters if row.learned is None else {**run.parameters, row.learned: slope}
        twin = twin_of(row.name, run.parameters)
        bound.append(BoundActivation(run.slots, row, hyper, slope, twin))
    return bound
