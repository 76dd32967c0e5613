"""One training step of a fleet: forward, loss, backward, regularize, clip, update, constrain.

`fleet.py` makes one `Stepper` for the lifetime of a fleet and calls `step` for every batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from autotrain.network.config import factor_row
from autotrain.network.dropping import Keep
from autotrain.network.layout import pack
from autotrain.network.network import FusedNetwork
from autotrain.space.config import TrialConfig
from autotrain.techniques.clipping import Clipping
from autotrain.techniques.constraints import Constraint
from autotrain.techniques.losses import mean_squared_error, pinball, softmax_cross_entropy
from autotrain.techniques.optimizers import Optimizer, State
from autotrain.techniques.regularizers import REGULARIZERS
from autotrain.training.grouping import step_groups


@dataclass
class Weights:
    """Everything that a step changes, stacked with the slots as first axis.

    Args:
        parameters: `[K, P]`.
        statistics: moving means and variances of batch norm, and bins, `[K, S]`.
        m, v: moments of the optimizers, `[K, P]`.
        t: number of steps taken, `[K, 1]`.
        product: running product of Nadam's momenta, `[K, 1]`.
    """

    parameters: Tensor
    statistics: Tensor
    m: Tensor
    v: Tensor
    t: Tensor
    product: Tensor


@dataclass(frozen=True)
class Rates:
    """The scheduled values of one step, `[K, 1]` each.

    Args:
        learning_rate: η.
        momentum: momentum; None if no schedule moves it.
        decay: factor on decoupled weight decay; None if no slot has any.
    """

    learning_rate: Tensor
    momentum: Tensor | None
    decay: Tensor | None = None


class Stepper:
    """Computes the training steps of one fleet.

    Args:
        network: network of the fleet.
        configs: the slots' configurations, in fleet order.
        weights: weights of the fleet; every step changes them in place.
        classification: whether to train with the softmax cross-entropy.
        quantile: quantile of the pinball loss of regression; None for the mean squared error.
    """

    def __init__(
        self,
        network: FusedNetwork,
        configs: Sequence[TrialConfig],
        weights: Weights,
        *,
        classification: bool,
        quantile: float | None = None,
    ) -> None:
        self.network = network
        self.weights = weights
        self.classification = classification
        self.quantile = quantile
        self.groups = step_groups(configs, network.backend)
        layout = network.layout
        self.gradient = torch.zeros_like(weights.parameters)
        self.bound = network.bind(weights.parameters, weights.statistics)
        self.bound_gradient = network.bind(self.gradient)
        self.factors = _factors(configs, network)
        compiled = network.backend.compiled
        # The compiled updates support one learning rate per slot only.
        self.updates = {} if compiled is None or self.factors is not None else compiled.updates
        self.kernels = weights.parameters[:, : layout.n_kernel]
        self.kernel_gradients = self.gradient[:, : layout.n_kernel]
        # Flat views are contiguous along a row; norms of [I, O] views take three times as long.
        gradients = [
            self.gradient[:, start : start + rows * columns]
            for start, rows, columns in layout.parameters.values()
        ]
        self.layer_gradients = gradients[: network.depth + 1]
        self.clipped = [
            (
                clip,
                self.gradient[group.slots],
                [tensor[group.slots] for tensor in gradients],
                group.parameters["threshold"],
            )
            for group in self.groups.clipping
            if (clip := cast(Clipping, group.row).clip) is not None
        ]
        self.updated = [
            (
                group,
                weights.parameters[group.slots],
                self.gradient[group.slots],
                State(
                    *(x[group.slots] for x in (weights.m, weights.v, weights.t, weights.product))
                ),
            )
            for group in self.groups.optimizer
        ]
        kernels = [
            *((layer.kernel, layer.scale) for layer in self.bound.layers),
            (self.bound.output_kernel, self.bound.output_scale),
        ]
        self.constrained = [
            (
                cast(Constraint, group.row),
                kernel[part.slots],
                part.parameters,
                1.0 if scale is None else scale[part.slots],
            )
            for group in self.groups.constraint
            for kernel, scale in kernels
            if (part := group.within(len(kernel))) is not None
        ]

    def step(
        self,
        x: Tensor,
        y: Tensor,
        keep: Keep,
        rates: Rates,
        weights: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Train every slot on its own batch.

        Args:
            x: encoded rows, `[K, B, W]`.
            y: labels or standardized targets, `[K, B]`.
            keep: dropout masks, see `FusedNetwork.forward`.
            rates: scheduled values of this step.
            weights: sample weights, `[K, B]`; None for equal weights.
        Returns: loss of each slot `[K]`, and gradient norms by layer before clipping, `[K, L + 1]`
            (hidden layers, then the output layer; 0 beyond the depth of a slot).
        """
        loss, norms = self._compute(x, y, keep, weights)
        self._update(rates)
        return loss, norms

    def _compute(
        self, x: Tensor, y: Tensor, keep: Keep, weights: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Compute the gradient of each slot; return losses `[K]` and norms `[K, L + 1]`."""
        network = self.network
        outputs, tape = network.forward(self.bound, x, keep)
        if self.classification:
            smoothing = self.groups.label_smoothing
            loss, d_outputs = softmax_cross_entropy(outputs, y, smoothing, weights)
        elif self.quantile is None:
            loss, d_outputs = mean_squared_error(outputs, y, weights)
        else:
            loss, d_outputs = pinball(outputs, y, self.quantile, weights)
        network.backward(self.bound, self.bound_gradient, tape, d_outputs)
        # Norms are measured before penalties, which are no signal that went through the layers.
        norms = [torch.linalg.vector_norm(tensor, dim=1) for tensor in self.layer_gradients]
        self._regularize()
        return loss, torch.stack(norms, dim=1)

    def _regularize(self) -> None:
        for name, strength in (("l1", self.groups.l1), ("l2", self.groups.l2)):
            if strength is not None:
                self.kernel_gradients += REGULARIZERS[name].gradient(self.kernels, strength)

    def _update(self, rates: Rates) -> None:
        for clip, flat, tensors, threshold in self.clipped:
            clip(flat, tensors, threshold)
        self.weights.t += 1
        whole = len(self.updated) == 1
        learning_rate = rates.learning_rate
        if self.groups.weight_decay is not None and rates.decay is not None:
            self.kernels *= 1 - learning_rate * self.groups.weight_decay * rates.decay
        if self.factors is not None:
            learning_rate = learning_rate * self.factors
        for group, rows, gradient, state in self.updated:
            optimizer, hyper = cast(Optimizer, group.row), group.parameters
            if rates.momentum is not None and optimizer.momentum is not None:
                hyper = {**hyper, optimizer.momentum: rates.momentum[group.slots]}
            eta = learning_rate if whole else learning_rate[group.slots]
            self.updates.get(optimizer.update, optimizer.update)(rows, gradient, state, eta, hyper)
        for constraint, kernel, parameters, scale in self.constrained:
            if constraint.apply is not None:
                constraint.apply(kernel, parameters, scale)


def _factors(configs: Sequence[TrialConfig], network: FusedNetwork) -> Tensor | None:
    """Return the factor of each parameter on the learning rate, `[K, P]`; None if all are 1."""
    factors = [factor_row(c, layout) for c, layout in zip(configs, network.layouts, strict=True)]
    if all(row is None for row in factors):
        return None
    backend = network.backend
    rows = [
        torch.ones(layout.n_parameters) if row is None else torch.from_numpy(row)
        for row, layout in zip(factors, network.layouts, strict=True)
    ]
    rows = [row.to(backend.device, backend.dtype) for row in rows]
    return pack(rows, network.layouts, network.layout)
