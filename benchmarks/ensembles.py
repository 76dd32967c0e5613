"""Compares a fused pass of all members of an ensemble with separate passes.

    python -m benchmarks.ensembles [--folds 5] [--inputs 30]

The networks have no dropout and arbitrary weights, and rows are already encoded, so this is the
time of the predictor's `Ensemble`. The two alternate; results are medians in milliseconds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from autotrain.bundle import Member
from autotrain.predictor.passes import Ensemble, Group
from tests.winners import random_bundle

KINDS = {
    "5 × 128-128": (1, "128-128"),
    "40 × 128-128": (8, "128-128"),
    "40 × 512-512": (8, "512-512"),
    "40 of eight kinds, 64 to 128": (8, ""),
}
ROWS = {1: 100, 100: 50, 10_000: 5}


def members_of(n_trials: int, units: str, n_folds: int, n_inputs: int) -> list[Member]:
    generator = np.random.default_rng(0)
    members: list[Member] = []
    for seed in range(n_trials):
        params: dict[str, object] = {"network.hidden_units": units}
        if not units:
            layers = generator.choice([64, 96, 128], size=generator.integers(1, 4))
            params = {
                "network.hidden_units": "-".join(map(str, layers)),
                "activation": str(generator.choice(["elu", "relu", "silu"])),
                "batch_norm": str(generator.choice(["off", "before_activation"])),
            }
        bundle = random_bundle(params, n_features=n_inputs, n_members=n_folds, seed=seed)
        members += bundle.members
    return members


@torch.inference_mode()
def main() -> None:
    """Print one line per ensemble and number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--inputs", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sides: dict[str, Callable[[Group, int], bool]] = {
        "one by one": lambda *_: False,
        "fused": lambda group, _: group._pays,
        "chosen": Group.fuses,
    }
    print("| members | rows |", " | ".join(sides), "|\n| --- | --- |", "--- |" * len(sides))
    for name, (n_trials, units) in KINDS.items():
        members = members_of(n_trials, units, arguments.folds, arguments.inputs)
        ensemble = Ensemble(members)
        for n_rows, n_repeats in ROWS.items():
            xs = [torch.randn(n_rows, arguments.inputs) for _ in range(arguments.folds)]
            own = [xs[member.fold] for member in members]
            seconds: dict[str, list[float]] = {side: [] for side in sides}
            for _ in range(n_repeats):
                for side, rule in sides.items():
                    with mock.patch.object(Group, "fuses", rule):
                        start = time.perf_counter()
                        ensemble.outputs(own)
                        seconds[side].append(time.perf_counter() - start)
            cells = " | ".join(f"{1e3 * statistics.median(each):.2f}" for each in seconds.values())
            print(f"| {name} | {n_rows:,} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
