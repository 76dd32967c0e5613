"""Compares fused training with plain PyTorch on random configurations of all techniques.

    python -m benchmarks.fused_against_torch --float32 --orders 100

A third of the configurations belongs to each task; they train together in one fused trainer. Each
then trains alone in plain PyTorch in float64 (`tests/reference.py`: `nn.Sequential`, autograd,
`torch.optim`). For fused training in float64 and in float32, it prints the largest relative
differences |a − b| / |b| of losses and metric over all epochs, and ‖a − b‖ / ‖b‖ of all weights
after the last epoch.

`--float32` also trains plain PyTorch in float32. `--orders N` repeats each configuration whose
fused float32 curves differ by more than 1e-3, N times in fused and in plain float32. Each time the
rows within every batch are in another random order, which only changes rounding.

ε of the optimizers is 1e-6 to 1e-4, as in the tests. With a smaller ε, gradients that are 0 up to
rounding would be magnified.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from autotrain.data.encoded import EncodedFold
from autotrain.space.sections import SECTIONS
from autotrain.training.rows import Problem
from autotrain.training.slot import Admission, EpochReport
from tests.reference import Epoch, Key, Reference
from tests.training.problems import (
    make_config,
    make_fold,
    make_problem,
    make_reference,
    make_trainer,
    random_params,
    split,
)

TASKS = ("multiclass", "binary", "regression")
BAR = 2e-6
FAR = 1e-3
DEPTHS = 5
"""Depths of the networks: 0 to 4."""


def draw(n: int, task: str, epochs: int) -> list[Admission]:
    """Draw configurations that cover all rows of all tables."""
    generator = np.random.default_rng(TASKS.index(task))
    drawn = []
    for k in range(n):
        params = random_params(generator, depth=k % DEPTHS, task=task)
        if k % DEPTHS:
            widths = generator.integers(4, 65, size=k % DEPTHS)
            params["network.hidden_units"] = "-".join(str(width) for width in widths)
        params["training.epochs"] = epochs
        params["training.batch_size"] = int(generator.choice([16, 32, 64]))
        # The weights of the last epoch are compared, not those of the best one.
        params["early_stopping.restore_best_weights"] = False
        drawn.append(Admission(k, make_config(params), int(generator.integers(2**40))))
    return drawn


@dataclass(frozen=True)
class Trained:
    """The epochs of one model and its weights after the last one, by the names of the layout."""

    epochs: Sequence[EpochReport | Epoch]
    weights: dict[Key, Tensor]

    def difference(self, exact: Trained) -> float:
        """Return the largest relative difference of losses and metric over all epochs."""
        return max(
            abs(getattr(ours, name) - getattr(theirs, name)) / abs(getattr(theirs, name))
            for ours, theirs in zip(self.epochs, exact.epochs, strict=True)
            for name in ("train_loss", "valid_loss", "value")
        )

    def weight_difference(self, exact: Trained) -> float:
        """Return ‖a − b‖ / ‖b‖ of all weights."""
        a, b = (
            torch.cat([tensors[key].double().ravel() for key in exact.weights])
            for tensors in (self.weights, exact.weights)
        )
        return float((a - b).norm() / b.norm())


class Reordered:
    """Draws the rows of an epoch like `generator`, but in another order within each batch.

    Args:
        generator: generator of the model.
        seed: seed of the other order.
        batch_size: number of rows of a batch.
    """

    def __init__(self, generator: np.random.Generator, seed: int, batch_size: int) -> None:
        self.generator, self.batch_size = generator, batch_size
        self.other = np.random.default_rng(seed)

    def permutation(self, n_rows: int) -> np.ndarray:
        """Return row numbers `[n_rows]`."""
        order = self.generator.permutation(n_rows)
        used = n_rows // self.batch_size * self.batch_size
        batches = order[:used].reshape(-1, self.batch_size)
        order[:used] = self.other.permuted(batches, axis=1).ravel()
        return order


def fused(
    models: Sequence[Admission],
    task: str,
    fold: EncodedFold,
    dtype: torch.dtype,
    order: int | None = None,
) -> dict[int, Trained]:
    """Train all models together; return them by slot.

    Args:
        order: seed of another order of the rows within batches; None for the original order.
    """
    trainer = make_trainer(task, folds=[fold], dtype=dtype)
    for model in models:
        trainer.admit(model)
    slots = {slot.id: slot for waiting in trainer.waiting.values() for slot in waiting}
    if order is not None:
        for slot in slots.values():
            reordered = Reordered(slot.row_order, order, slot.config.batch_size)
            slot.row_order = cast(np.random.Generator, reordered)
    reports, outcomes = split(trainer.run())
    epochs: dict[int, list[EpochReport]] = defaultdict(list)
    for report in reports:
        epochs[report.slot].append(report)
    trained = {}
    for outcome in outcomes:
        assert outcome.parameters is not None
        rows = torch.from_numpy(outcome.parameters)[None]
        views = slots[outcome.slot].layout.views(rows)
        weights = {key: view[0] for key, view in views.items()}
        trained[outcome.slot] = Trained(epochs[outcome.slot], weights)
    return trained


def in_float32(reference: Reference) -> Reference:
    """Convert weights and rows of an untrained reference to float32."""
    reference.model.float()
    for name in ("train_rows", "valid_rows"):
        x, y = getattr(reference, name)
        setattr(reference, name, (x.float(), y.float() if y.is_floating_point() else y))
    return reference


def plain(
    model: Admission,
    problem: Problem,
    fold: EncodedFold,
    dtype: torch.dtype,
    order: int | None = None,
) -> Trained:
    """Train one model in plain PyTorch; `order` as in `fused`."""
    reference = make_reference(model.config, problem, fold, seed=model.seed)
    if dtype == torch.float32:
        in_float32(reference)
    if order is not None:
        reordered = Reordered(reference.row_order, order, reference.batch_size)
        reference.row_order = cast(np.random.Generator, reordered)
    epochs = [reference.train_epoch() for _ in range(model.config.epochs)]
    return Trained(epochs, reference.parameters())


def repeat(
    model: Admission, task: str, problem: Problem, fold: EncodedFold, exact: Trained, n_orders: int
) -> None:
    """Train one model in float32 in other orders; print how often it differs from float64."""
    runs = {
        "fused": [
            fused([model], task, fold, torch.float32, k)[model.slot] for k in range(n_orders)
        ],
        "plain PyTorch": [plain(model, problem, fold, torch.float32, k) for k in range(n_orders)],
    }
    for name, trained in runs.items():
        apart = np.array([each.difference(exact) for each in trained])
        print(
            f"{task} {model.slot}, {name} in float32: {(apart > FAR).sum()} of {n_orders} orders "
            f"differ by more than {FAR:.0e}; median {np.median(apart):.1e}, "
            f"largest {apart.max():.1e}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configurations", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--orders", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    n_rows = sum(len(section.rows) for section in SECTIONS.values())
    drawn: set[tuple[str, str]] = set()
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for task in TASKS:
        fold = make_fold(task, n_train=given.rows, n_valid=given.rows // 2)
        problem = make_problem(task)
        models = draw(given.configurations // len(TASKS), task, given.epochs)
        drawn |= {
            (name, getattr(model.config, name).name)
            for model in models
            for name, section in SECTIONS.items()
            if section.rows
        }
        exact = {model.slot: plain(model, problem, fold, torch.float64) for model in models}
        trained = {
            "fused, float64": fused(models, task, fold, torch.float64),
            "fused, float32": fused(models, task, fold, torch.float32),
        }
        if given.float32:
            trained["plain PyTorch, float32"] = {
                model.slot: plain(model, problem, fold, torch.float32) for model in models
            }
        for name, by_slot in trained.items():
            found[name] += [
                (by_slot[slot].difference(theirs), by_slot[slot].weight_difference(theirs))
                for slot, theirs in exact.items()
            ]
        for model in models if given.orders else ():
            theirs = exact[model.slot]
            if trained["fused, float32"][model.slot].difference(theirs) > FAR:
                repeat(model, task, problem, fold, theirs, given.orders)
    n_configurations = len(found["fused, float64"])
    print(f"{n_configurations} configurations with {len(drawn)} of {n_rows} rows of the tables")
    print("| trained in | losses and metric: largest | median | at most 2e-6 | weights: median |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, pairs in found.items():
        curves, weights = np.array(pairs).T
        numbers = f"{curves.max():.1e} | {np.median(curves):.1e}"
        within = f"{(curves <= BAR).sum()} of {len(curves)}"
        print(f"| {name} | {numbers} | {within} | {np.median(weights):.1e} |")


if __name__ == "__main__":
    main()
