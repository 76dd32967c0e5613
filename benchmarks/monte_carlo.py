"""Measures the cost of Monte-Carlo samples relative to a pass without dropout and to torch.

    python -m benchmarks.monte_carlo [--units 300-100] [--inputs 784] [--samples 100]

One network has arbitrary weights, and rows are already encoded, so this is the time of the
predictor's `draw`. It is compared with the usual loop in torch: `model.train()` and S forward
passes without gradients. The two alternate; results are medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import nn

from autotrain.predictor.joint import Joint
from tests.winners import random_bundle

ROWS = {1: 50, 200: 15, 20_000: 3}
CLASSES = tuple("abcdefghij")


def plain_network(n_inputs: int, units: list[int], rate: float) -> nn.Sequential:
    """Return the same architecture with torch's layers."""
    layers: list[nn.Module] = []
    widths = [n_inputs, *units]
    for before, after in zip(widths, units, strict=False):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(rate)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], len(CLASSES)))


def medians(sides: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median seconds of each side; they alternate."""
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats + 1):
        for name, do in sides.items():
            start = time.perf_counter()
            do()
            spent[name].append(time.perf_counter() - start)
    # The first call is a warm-up.
    return {name: statistics.median(times[1:]) for name, times in spent.items()}


def main() -> None:
    """Print one line per number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", default="300-100")
    parser.add_argument("--inputs", type=int, default=784)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--rate", type=float, default=0.2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    params = {"network.hidden_units": arguments.units, "dropout.rate": arguments.rate}
    params |= {"activation": "relu"}
    bundle = random_bundle(params, classes=CLASSES, n_features=arguments.inputs)
    joint = Joint(bundle)
    units = [int(each) for each in arguments.units.split("-")]
    network = plain_network(arguments.inputs, units, arguments.rate).train()
    n_samples, generator = arguments.samples, np.random.default_rng(0)
    print(
        f"{'rows':>7} {'one pass':>10} {'samples':>10} {'in passes':>10} {'torch loop':>11} "
        f"{'times faster':>13}"
    )
    for n_rows, repeats in ROWS.items():
        x = generator.normal(size=(n_rows, arguments.inputs)).astype(np.float32)
        tensor = torch.from_numpy(x)

        @torch.no_grad()
        def loop(tensor: torch.Tensor = tensor) -> torch.Tensor:
            passes = [torch.softmax(network(tensor), 1) for _ in range(n_samples)]
            return torch.stack(passes).mean(0)

        sides: dict[str, Callable[[], object]] = {
            "pass": partial(joint.draw, [tensor], 0, 0),
            "samples": partial(joint.draw, [tensor], n_samples, 0),
            "loop": loop,
        }
        found = medians(sides, repeats)
        one, many, plain = (1000 * found[name] for name in ("pass", "samples", "loop"))
        print(
            f"{n_rows:>7} {one:>8.2f}ms {many:>8.1f}ms {many / one:>10.1f} {plain:>9.1f}ms "
            f"{plain / many:>13.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
