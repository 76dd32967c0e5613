"""Compares trial-epochs per second of the fused trainer and of the usual loop in one run.

    python benchmarks/throughput.py [--job reference|small|all] [--repeats 5]

The usual loop is typical code with Optuna: `DataLoader`, `nn.Module`, autograd, `torch.optim.Adam`,
`clip_grad_norm_`. Both sides train the same network on the same rows and evaluate it once per
epoch. "machine" runs one single-thread process per core on each side; "core" runs one process with
one thread. The sides alternate, so that other load affects both; the result is the median ratio of
the turns. `mixed` is the same job with techniques and hyperparameters that differ between slots.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from autotrain.data.codes import Columns
from autotrain.data.encoded import EncodedFold, EncodedView
from autotrain.metrics import METRICS
from autotrain.search.workers.processes import WORKER_ENVIRONMENT
from autotrain.space.config import TrialConfig
from autotrain.techniques.view import View
from autotrain.training.rows import Problem
from autotrain.training.slot import Admission
from autotrain.training.trainer import Trainer
from autotrain.training.width import fleet_width


@dataclass(frozen=True)
class Job:
    """A network and the size of its data."""

    n_rows: int
    n_inputs: int
    width: int
    depth: int
    batch_size: int
    seconds: float


JOBS = {
    "reference": Job(20_000, 50, 128, 2, 128, 6.0),
    "small": Job(1_500, 30, 64, 2, 32, 4.0),
}


def rows_of(job: Job) -> EncodedFold:
    """Return a learnable binary problem; it has one validation row per five training rows."""
    generator = np.random.default_rng(0)
    n = job.n_rows + job.n_rows // 5
    x = generator.normal(size=(n, job.n_inputs)).astype(np.float32)
    y = (x @ generator.normal(size=job.n_inputs) + generator.normal(size=n) > 0).astype(np.int64)
    k = job.n_rows
    encoded = EncodedView(x[:k], x[k:], Columns.plain(job.n_inputs))
    return EncodedFold(y[:k], y[k:], {View(): encoded})


def usual_loop(job: Job, seconds: float) -> float:
    """Train with the usual loop; return trial-epochs per second."""
    rows = rows_of(job)
    inputs = rows.views[View()]
    train = TensorDataset(torch.from_numpy(inputs.x_train), torch.from_numpy(rows.y_train))
    loader = DataLoader(train, batch_size=job.batch_size, shuffle=True, drop_last=True)
    x_valid, y_valid = torch.from_numpy(inputs.x_valid), torch.from_numpy(rows.y_valid)
    layers: list[nn.Module] = []
    width = job.n_inputs
    for _ in range(job.depth):
        layers += [
            nn.Linear(width, job.width),
            nn.BatchNorm1d(job.width),
            nn.ELU(),
            nn.Dropout(0.2),
        ]
        width = job.width
    model = nn.Sequential(*layers, nn.Linear(width, 2))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    start, steps = time.perf_counter(), 0
    n_steps = job.n_rows // job.batch_size
    while True:
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            steps += 1
            # An epoch can take longer than the turn, so steps are counted.
            if time.perf_counter() - start > seconds:
                return steps / n_steps / (time.perf_counter() - start)
        model.eval()
        with torch.no_grad():
            nn.functional.cross_entropy(model(x_valid), y_valid).item()


def config_of(job: Job, **changes: Any) -> TrialConfig:
    """Return the job as a configuration."""
    return TrialConfig.from_params(
        {
            "network.hidden_layers": job.depth,
            "network.hidden_units": job.width,
            "training.batch_size": job.batch_size,
            "training.epochs": 100_000,
            "early_stopping.patience": 100_000,
            "activation": "elu",
            "batch_norm": "before_activation",
            "dropout": "dropout",
            "dropout.rate": 0.2,
            "clipping": "global_norm",
            "optimizer": "adam",
        }
        | changes
    )


def mixed_configs(job: Job) -> list[TrialConfig]:
    """Return configurations that differ in all techniques."""
    return [
        config_of(job),
        config_of(job, activation="relu", optimizer="nadam", **{"dropout.rate": 0.4}),
        config_of(job, activation="selu", dropout="alpha_dropout", batch_norm="off"),
        config_of(job, activation="leaky_relu", optimizer="nesterov", clipping="norm"),
        config_of(job, activation="silu", optimizer="adamw", schedule="one_cycle"),
        config_of(job, activation="elu", batch_norm="after_activation", schedule="cosine"),
        config_of(job, activation="mish", optimizer="rmsprop", constraint="max_norm"),
        config_of(job, activation="relu", clipping="none", **{"regularizer.l2": 1e-5}),
    ]


def fused(job: Job, seconds: float, mixed: bool, width: int | None = None) -> float:
    """Train a full fleet; return trial-epochs per second."""
    trainer = Trainer(Problem("binary", 2, METRICS["log_loss"]), [rows_of(job)])
    configs = mixed_configs(job) if mixed else [config_of(job)]
    k = width or fleet_width(configs[0], job.n_inputs, 2)
    for slot in range(k):
        trainer.admit(Admission(slot, configs[slot % len(configs)], slot))
    trainer.step()
    start, epochs = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        epochs += len(trainer.step())
    return epochs / (time.perf_counter() - start)


SIDES = {
    "usual": lambda job: usual_loop(job, job.seconds),
    "fused": lambda job: fused(job, job.seconds, mixed=False),
    "mixed": lambda job: fused(job, job.seconds, mixed=True),
}


def _measure(side: str, job: Job, barrier: Any, results: Any) -> None:
    torch.set_num_threads(1)
    barrier.wait()
    results.put(SIDES[side](job))


def turn(side: str, job: Job, n_processes: int) -> float:
    """Run one side once; return the trial-epochs per second of all its processes."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(n_processes), context.Queue()
    processes = [
        context.Process(target=_measure, args=(side, job, barrier, results))
        for _ in range(n_processes)
    ]
    # Our processes have the environment of a study's workers.
    before = dict(os.environ)
    if side != "usual":
        os.environ.update(WORKER_ENVIRONMENT)
    for process in processes:
        process.start()
    os.environ.clear()
    os.environ.update(before)
    rates = [results.get() for _ in processes]
    for process in processes:
        process.join()
    return sum(rates)


def main() -> None:
    """Print a table of medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--job", default="all", choices=[*JOBS, "all"])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores, torch {torch.__version__}; trial-epochs per second, medians")
    print(f"{'job':10} {'on':8} {'usual':>8} {'fused':>8} {'ratio':>12} {'mixed':>8} {'ratio':>12}")
    for name, job in JOBS.items():
        if arguments.job not in (name, "all"):
            continue
        for where, n in (("core", 1), ("machine", cores)):
            rates: dict[str, list[float]] = {side: [] for side in SIDES}
            for _ in range(arguments.repeats):
                for side, values in rates.items():
                    values.append(turn(side, job, n))
            line = f"{name:10} {where:8} {statistics.median(rates['usual']):8.2f}"
            for side in ("fused", "mixed"):
                ratios = [a / b for a, b in zip(rates[side], rates["usual"], strict=True)]
                spread = f"({min(ratios):.1f}–{max(ratios):.1f})"
                line += f" {statistics.median(rates[side]):8.2f}"
                line += f" {statistics.median(ratios):4.1f} {spread:>10}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
