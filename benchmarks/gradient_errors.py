"""Compares the rounding errors of a float32 gradient in fused training and in plain PyTorch.

    python -m benchmarks.gradient_errors

It trains the configurations of `benchmarks.fused_against_torch` in float64. Before every step,
weights and moving statistics are rounded to float32. From these values the gradient of the batch is
computed three times: in float64, by fused training in float32, and by plain PyTorch
(`tests/reference.py`, autograd) in float32. It prints ‖g32 − g64‖ / ‖g64‖ over all weights, with
penalties and after clipping. A single step cannot amplify errors, so the difference is rounding.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autotrain.data.encoded import EncodedFold
from autotrain.network.dropping import Keep
from autotrain.training.fleet import Fleet
from autotrain.training.rows import Problem
from autotrain.training.slot import Admission
from autotrain.training.step import Rates
from benchmarks.fused_against_torch import TASKS, draw, in_float32
from tests.reference import GivenDropout, Key, Reference
from tests.training.problems import make_fleet, make_fold, make_problem, make_reference


def plain_gradient(
    reference: Reference, x: Tensor, y: Tensor, keep: Keep, step: int
) -> dict[Key, Tensor]:
    """Return the gradients of one batch by autograd; this changes the reference's weights.

    Args:
        x: inputs `[B, I]`.
        y: targets `[B]`.
        keep: masks by layer, `[1, B, H]`.
        step: number of the step, from 0, for the annealing of dropout.
    """
    reference.t = step
    reference.model.train()
    reference._set_dropout()
    for (_, place), module in reference.named.items():
        if isinstance(module, GivenDropout):
            module.keep = keep[place][0] > 0
    reference.optimizer.zero_grad()
    losses = reference._losses(reference.model(x), y, reference.config.loss["label_smoothing"])
    (losses.mean() + reference._penalty()).backward()
    reference._clip()
    with torch.no_grad():
        for weight in reference.weights:
            weight.copy_(torch.zeros_like(weight) if weight.grad is None else weight.grad)
    return reference.parameters()


class Comparison:
    """Trains one model in float64 and compares the gradient of every step.

    Args:
        model: the model.
    """

    def __init__(self, model: Admission, task: str, problem: Problem, fold: EncodedFold) -> None:
        self.exact, self.fused = (
            make_fleet([model], task, folds=[fold], dtype=dtype)
            for dtype in (torch.float64, torch.float32)
        )
        self.plain = in_float32(make_reference(model.config, problem, fold, seed=model.seed))
        self.errors: list[tuple[float, float]] = []
        """Errors of the fused and of the plain gradient, by step."""
        self.exact_step = self.exact.stepper.step
        self.exact.stepper.step = self._step  # type: ignore[method-assign,assignment]

    def train(self) -> np.ndarray:
        """Train to the end; return the errors `[steps, 2]`: fused, plain."""
        for _ in range(self.exact.slots[0].config.epochs):
            with torch.inference_mode():
                self.fused.slots[0].epoch = self.exact.slots[0].epoch
                self.fused._set_dropout()
            self.exact.run_epoch()
        return np.array(self.errors)

    def _step(
        self, x: Tensor, y: Tensor, keep: Keep, rates: Rates, **rest: Any
    ) -> tuple[Tensor, Tensor]:
        weights = self.exact.weights
        pairs = zip(vars(self.fused.weights).values(), vars(weights).values(), strict=True)
        for own, given in pairs:
            own.copy_(given)
            given.copy_(own)
        single_x, single_y = x.float(), y.float() if y.is_floating_point() else y
        self.plain.load(
            self._views(self.fused, weights.parameters.float()),
            self._views(self.fused, weights.statistics.float(), statistics=True),
        )
        by_key = plain_gradient(self.plain, single_x[0], single_y[0], keep, len(self.errors))
        plain = {key: tensor.clone() for key, tensor in by_key.items()}
        masks = {place: mask.float() for place, mask in keep.items()}
        single_rates = Rates(
            rates.learning_rate.float(),
            None if rates.momentum is None else rates.momentum.float(),
            None if rates.decay is None else rates.decay.float(),
        )
        self.fused.stepper.step(single_x, single_y, masks, single_rates)
        result = self.exact_step(x, y, keep, rates, **rest)
        fused, exact = (
            self._views(fleet, fleet.stepper.gradient) for fleet in (self.fused, self.exact)
        )
        a, b, c = (
            torch.cat([tensors[key].double().ravel() for key in plain])
            for tensors in (fused, plain, exact)
        )
        self.errors.append((float((a - c).norm() / c.norm()), float((b - c).norm() / c.norm())))
        return result

    @staticmethod
    def _views(fleet: Fleet, row: Tensor, *, statistics: bool = False) -> dict[Key, Tensor]:
        views = fleet.network.layout.views(row, statistics=statistics)
        return {key: view[0] for key, view in views.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configurations", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--each", action="store_true", help="print every configuration, too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for task in TASKS:
        fold = make_fold(task, n_train=given.rows, n_valid=given.rows // 2)
        for model in draw(given.configurations // len(TASKS), task, given.epochs):
            errors = Comparison(model, task, make_problem(task), fold).train()
            found.append(errors)
            if given.each:
                medians, largest = np.median(errors, axis=0), errors.max(axis=0)
                numbers = " | ".join(f"{value:.1e}" for value in (*medians, *largest))
                print(f"{task} {model.slot} | {numbers}", flush=True)
    medians = np.array([np.median(errors, axis=0) for errors in found])
    ratios = medians[:, 0] / medians[:, 1]
    every = np.concatenate(found)
    print(f"{len(found)} configurations, {len(every)} steps")
    print("| gradient in float32 | median | largest median of a configuration | largest |")
    print("| --- | ---: | ---: | ---: |")
    for place, name in enumerate(("fused", "plain PyTorch")):
        column = every[:, place]
        print(
            f"| {name} | {np.median(column):.1e} | {medians[:, place].max():.1e} "
            f"| {column.max():.1e} |"
        )
    print(
        f"Fused by plain, medians of a configuration: {ratios.min():.2f} to {ratios.max():.2f}, "
        f"median {np.median(ratios):.2f}"
    )


if __name__ == "__main__":
    main()
