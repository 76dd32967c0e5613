"""One training step of a fleet: forward, loss, backward, regularize, clip, update, constrain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from autotrain.choices.clipping import Clipping
from autotrain.choices.constraints import Constraint
from autotrain.choices.losses import mean_squared_error, softmax_cross_entropy
from autotrain.choices.optimizers import Optimizer, State
from autotrain.choices.regularizers import REGULARIZERS
from autotrain.fused.network import Keep, Network
from autotrain.fused.plan import step_runs
from autotrain.space.config import TrialConfig


@dataclass
class Weights:
    """Everything of a fleet that a step changes, stacked: slot axis first.

    Args:
        parameters: `[K, P]`.
        statistics: batch norm's moving means and variances, `[K, S]`.
        m, v: the optimizers' moments, `[K, P]`.
        t: steps taken, `[K, 1]`.
        product: running product of Nadam's momenta, `[K, 1]`.
    """

    parameters: Tensor
    statistics: Tensor
    m: Tensor
    v: Tensor
    t: Tensor
    product: Tensor

    def tensors(self) -> tuple[Tensor, ...]:
        """Return all of them, in order."""
        return (self.parameters, self.statistics, self.m, self.v, self.t, self.product)


@dataclass(frozen=True)
class Rates:
    """What a schedule says for one step: η `[K, 1]`, and momentum `[K, 1]` where it moves."""

    learning_rate: Tensor
    momentum: Tensor | None


class Stepper:
    """Takes steps of one fleet.

    Args:
        network: the fleet's network.
        configs: the slots' configurations, in fleet order.
        weights: changed in place by every step.
        classification: softmax cross-entropy if true, mean squared error otherwise.
    """

    def __init__(
        self,
        network: Network,
        configs: Sequence[TrialConfig],
        weights: Weights,
        *,
        classification: bool,
    ) -> None:
        self.network = network
        self.weights = weights
        self.classification = classification
        self.runs = step_runs(configs, network.numbers)
        layout = network.layout
        self.n_kernel = layout.n_kernel
        self.gradient = torch.zeros_like(weights.parameters)
        self.bound = network.bind(weights.parameters, weights.statistics)
        self.bound_gradient = network.bind(self.gradient)
        # Flat views are contiguous along a row: norms over them cost a third of [I, O] ones.
        self.gradient_tensors = [
            self.gradient[:, start : start + rows * columns]
            for start, rows, columns in layout.parameters.values()
        ]
        kernels = [*(layer.kernel for layer in self.bound.layers), self.bound.output_kernel]
        self.constrained = [
            (cast(Constraint, run.row), kernel[part.slots], part.parameters)
            for run in self.runs.constraint
            for kernel in kernels
            if (part := run.within(len(kernel))) is not None
        ]

    def step(
        self, x: Tensor, y: Tensor, keep: Keep, rates: Rates, frozen: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Train every slot on its own batch.

        Args:
            x: inputs `[K, B, I]`.
            y: labels or standardized targets `[K, B]`.
            keep: dropout masks, see `Network.forward`.
            rates: this step's learning rates.
            frozen: slots `[K]` (bool) that stay bit for bit as they are; None for none.
        Returns: each slot's loss `[K]` and its gradient norm by layer before clipping, `[K, L+1]`
            (hidden layers, then the output layer; 0 beyond a slot's depth).
        """
        if frozen is not None:
            kept = [tensor[frozen] for tensor in self.weights.tensors()]
        loss, norms = self._compute(x, y, keep)
        self._update(rates)
        if frozen is not None:
            for tensor, rows in zip(self.weights.tensors(), kept, strict=True):
                tensor[frozen] = rows
        return loss, norms

    def _compute(self, x: Tensor, y: Tensor, keep: Keep) -> tuple[Tensor, Tensor]:
        network = self.network
        outputs, tape = network.forward(self.bound, x, keep)
        if self.classification:
            loss, d_outputs = softmax_cross_entropy(outputs, y, self.runs.label_smoothing)
        else:
            loss, d_outputs = mean_squared_error(outputs, y)
        network.backward(self.bound, self.bound_gradient, tape, d_outputs)
        self._regularize()
        norms = [
            torch.linalg.vector_norm(tensor, dim=1)
            for tensor in self.gradient_tensors[: network.depth + 1]
        ]
        return loss, torch.stack(norms, dim=1)

    def _regularize(self) -> None:
        kernels = self.weights.parameters[:, : self.n_kernel]
        gradient = self.gradient[:, : self.n_kernel]
        for name, strength in (("l1", self.runs.l1), ("l2", self.runs.l2)):
            if strength is not None:
                gradient += REGULARIZERS[name].gradient(kernels, strength)

    def _update(self, rates: Rates) -> None:
        weights = self.weights
        for run in self.runs.clipping:
            clip = cast(Clipping, run.row).clip
            if clip is not None:
                tensors = [tensor[run.slots] for tensor in self.gradient_tensors]
                clip(self.gradient[run.slots], tensors, run.parameters["threshold"])
        weights.t += 1
        for run in self.runs.optimizer:
            optimizer, hyper = cast(Optimizer, run.row), run.parameters
            if rates.momentum is not None and optimizer.momentum is not None:
                hyper = {**hyper, optimizer.momentum: rates.momentum[run.slots]}
            state = State(
                weights.m[run.slots],
                weights.v[run.slots],
                weights.t[run.slots],
                weights.product[run.slots],
            )
            optimizer.update(
                weights.parameters[run.slots],
                self.gradient[run.slots],
                state,
                rates.learning_rate[run.slots],
                hyper,
            )
        for constraint, kernel, parameters in self.constrained:
            if constraint.apply is not None:
                constraint.apply(kernel, parameters)
