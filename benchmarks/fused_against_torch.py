"""Fused training against plain PyTorch: random configurations over every row of every table.

    python -m benchmarks.fused_against_torch

Of each task, a third of the configurations train together in one fused trainer. Each then trains
alone in plain PyTorch in float64 (`tests/reference.py`: `nn.Sequential`, autograd, `torch.optim`).
Prints the largest relative differences |a − b| / |b| of losses and metric over all epochs, and of
all weights after the last epoch, ‖a − b‖ / ‖b‖: of fused training in float64 and in float32.

ε of the optimizers is 1e-6 to 1e-4, as in the tests: a gradient that is 0 except for rounding would
otherwise be divided by its own size.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch

from autotrain.fused.layout import Layout
from autotrain.fused.plan import shape_of
from autotrain.fused.rows import FoldArrays
from autotrain.fused.slot import Admission, EpochReport, Outcome
from autotrain.space.sections import SECTIONS
from tests.fused.problems import (
    make_config,
    make_fold,
    make_problem,
    make_reference,
    make_trainer,
    random_params,
    split,
)
from tests.reference import Reference

TASKS = ("multiclass", "binary", "regression")
BAR = 2e-6
DEPTHS = 5
"""Depths of the networks: 0 to 4."""


def draw(n: int, task: str, epochs: int) -> list[Admission]:
    """Draw configurations over all rows of all tables that train for so many epochs."""
    generator = np.random.default_rng(TASKS.index(task))
    drawn = []
    for k in range(n):
        params = random_params(generator, depth=k % DEPTHS, task=task)
        if k % DEPTHS:
            widths = generator.integers(4, 65, size=k % DEPTHS)
            params["network.hidden_units"] = "-".join(str(width) for width in widths)
        params["training.epochs"] = epochs
        params["training.batch_size"] = int(generator.choice([16, 32, 64]))
        # The last epoch's weights are compared, whichever epoch was best.
        params["early_stopping.restore_best_weights"] = False
        drawn.append(Admission(k, make_config(params), int(generator.integers(2**40))))
    return drawn


def fused(
    models: Sequence[Admission], task: str, fold: FoldArrays, dtype: torch.dtype
) -> tuple[dict[int, list[EpochReport]], dict[int, Outcome]]:
    """Train all models together; return each model's epochs and its end."""
    trainer = make_trainer(task, folds=[fold], dtype=dtype)
    for model in models:
        trainer.admit(model)
    reports, outcomes = split(trainer.run())
    epochs: dict[int, list[EpochReport]] = defaultdict(list)
    for report in reports:
        epochs[report.slot].append(report)
    return epochs, {outcome.slot: outcome for outcome in outcomes}


def differences(
    reference: Reference, epochs: Sequence[EpochReport], outcome: Outcome, layout: Layout
) -> tuple[float, float]:
    """Train the reference; return the relative differences of the curves and of the weights."""
    of_curves = 0.0
    for ours in epochs:
        theirs = reference.train_epoch()
        for name in ("train_loss", "valid_loss", "value"):
            a, b = getattr(ours, name), getattr(theirs, name)
            of_curves = max(of_curves, abs(a - b) / abs(b))
    assert outcome.parameters is not None
    views = layout.views(torch.from_numpy(outcome.parameters).double()[None])
    expected = reference.parameters()
    a, b = (
        torch.cat([tensors[key].detach().double().ravel() for key in expected])
        for tensors in (views, expected)
    )
    return of_curves, float((a - b).norm() / b.norm())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configurations", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=400)
    given = parser.parse_args()
    torch.set_num_threads(1)
    n_rows = sum(len(section.rows) for section in SECTIONS.values())
    drawn: set[tuple[str, str]] = set()
    found: dict[str, list[tuple[float, float]]] = {"float64": [], "float32": []}
    for task in TASKS:
        fold, problem = (
            make_fold(task, n_train=given.rows, n_valid=given.rows // 2),
            make_problem(task),
        )
        models = draw(given.configurations // len(TASKS), task, given.epochs)
        drawn |= {
            (name, getattr(model.config, name).name)
            for model in models
            for name, section in SECTIONS.items()
            if section.rows
        }
        for dtype in found:
            epochs, ended = fused(models, task, fold, getattr(torch, dtype))
            for model in models:
                reference = make_reference(model.config, problem, fold, seed=model.seed)
                shape = shape_of(model.config, reference.columns, problem.n_outputs)
                place = model.slot
                pair = differences(reference, epochs[place], ended[place], Layout(shape))
                found[dtype].append(pair)
    print(
        f"{len(found['float64'])} configurations with {len(drawn)} of {n_rows} rows of the tables"
    )
    print("| fused in | losses and metric: largest | median | at most 2e-6 | weights: median |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for dtype, pairs in found.items():
        curves, weights = np.array(pairs).T
        numbers = f"{curves.max():.1e} | {np.median(curves):.1e}"
        within = f"{(curves <= BAR).sum()} of {len(curves)}"
        print(f"| {dtype} | {numbers} | {within} | {np.median(weights):.1e} |")


if __name__ == "__main__":
    main()
