"""Reproduces the table of the Monte-Carlo dropout paper with the fused trainer.

    python -m benchmarks.uci_dropout FOLDER [--sets yacht energy] [--epochs 4000] [--samples 10000]
                                     [--folds 5] [--tau-folds 5] [--factors 1 10 100]

FOLDER contains `bostonHousing.csv` and the other tables, without header and with the target last.
The protocol is that of Gal and Ghahramani's grid search of 2018: 20 splits of 90 % and 10 % from
`numpy.random.seed(1)`; the last 20 % of the training rows for validation; one hidden layer of 50
ReLUs with dropout before both products; inputs and target standardized by the training rows; Adam
with batches of 128; L2 of λ = l² (1 − p) / (2 N τ) with l = 0.01. The dropout rate with the best
validation log likelihood is trained again on all training rows, with the weights of the last epoch.

One thing differs: τ is fitted (`fit_tau`), which needs no training, instead of chosen from a small
grid. λ needs a value of τ beforehand: ten over the target's variance; λ is so small that this
hardly matters. The 80 candidate networks of a set train fused, and so do the 20 chosen ones.

Three options extend the protocol: `--folds` uses K folds of the training rows, instead of the last
20 %, to choose the rate and τ; `--tau-folds` uses folds to fit τ only, with the chosen network
trained again on each; `--factors` are factors of λ to choose from. No option uses test rows.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from autotrain.bundle import Member
from autotrain.data.codes import ColumnCode, Columns
from autotrain.data.encoded import EncodedFold, EncodedView
from autotrain.data.preprocessing import Preprocessor
from autotrain.metrics import METRICS
from autotrain.predictor.masks import MaskBank
from autotrain.predictor.mixture import Noise, log_likelihood
from autotrain.predictor.passes import Passes
from autotrain.space.config import TrialConfig
from autotrain.techniques.view import View
from autotrain.training.rows import Problem
from autotrain.training.slot import Admission, Outcome
from autotrain.training.trainer import Trainer

# RMSE and log likelihood with their standard errors: the author's table of 2018.
PUBLISHED = {
    "bostonHousing": (2.90, 0.18, -2.40, 0.04),
    "concrete": (4.82, 0.16, -2.93, 0.02),
    "energy": (0.54, 0.01, -1.21, 0.01),
    "wine-quality-red": (0.62, 0.01, -0.93, 0.01),
    "yacht": (0.67, 0.05, -1.25, 0.01),
}
N_SPLITS = 20
RATES = (0.005, 0.01, 0.05, 0.1)
LENGTH_SCALE = 0.01
TAU_OF_VARIANCE = 10.0
SEED = 1
GRID_POINTS = 32
"""Points of the grid that selects the mode of the log likelihood to refine."""
TOLERANCE = 1e-6
"""Tolerance of log τ, absolute."""
LEAST_VARIANCE = 1e-12
"""Smallest noise variance, as a fraction of the target's; a perfect fit has no finite τ."""
_GOLDEN = (math.sqrt(5) - 1) / 2
AT_ONCE = 160
"""Networks in a fleet; in a fleet of 800, each took almost twice as long (docs/benchmarks.md)."""


@dataclass(frozen=True)
class Part:
    """Training rows and scored rows, standardized by the training rows."""

    x: np.ndarray
    y: np.ndarray
    x_out: np.ndarray
    y_out: np.ndarray
    mean: float
    std: float

    @classmethod
    def of(cls, table: np.ndarray, train: np.ndarray, out: np.ndarray) -> Part:
        """Split a table whose last column is the target; `y_out` keeps the target's units."""
        x, y = table[train, :-1], table[train, -1]
        centre, scale = x.mean(0), x.std(0)
        scale[scale == 0] = 1
        mean, std = float(y.mean()), float(y.std())
        return cls(
            ((x - centre) / scale).astype(np.float32),
            ((y - mean) / std).astype(np.float32),
            ((table[out, :-1] - centre) / scale).astype(np.float32),
            table[out, -1],
            mean,
            std,
        )


def splits(n_rows: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the published training and test rows."""
    generator = np.random.RandomState(1)
    n_train = round(0.9 * n_rows)
    found = []
    for _ in range(N_SPLITS):
        order = generator.choice(range(n_rows), n_rows, replace=False)
        found.append((order[:n_train], order[n_train:]))
    return found


class Choice(NamedTuple):
    """The dropout rate of a network, and a factor of λ."""

    rate: float
    factor: float


def config_of(choice: Choice, part: Part, epochs: int) -> TrialConfig:
    """Return the paper's network with this dropout."""
    rate, tau = choice.rate, TAU_OF_VARIANCE / part.std**2
    decay = choice.factor * LENGTH_SCALE**2 * (1 - rate) / (2 * len(part.y) * tau)
    return TrialConfig.from_params(
        {
            "network.hidden_units": "50",
            "training.batch_size": 128,
            "training.epochs": epochs,
            "activation": "relu",
            "initializer": "glorot_uniform",
            "optimizer": "adam",
            "optimizer.learning_rate": 1e-3,
            "schedule": "constant",
            "dropout": "dropout",
            "dropout.rate": rate,
            "dropout.input_rate": rate,
            "regularizer.l2": decay,
            "early_stopping.patience": epochs,
            "early_stopping.restore_best_weights": False,
        }
    )


def train(parts: list[Part], wanted: list[tuple[int, Choice]], epochs: int) -> list[Outcome]:
    """Train a network for each (part, choice), fused; return them in that order."""
    folds = []
    for part in parts:
        y_out = ((part.y_out - part.mean) / part.std).astype(np.float32)
        encoded = EncodedView(part.x, part.x_out, Columns.plain(part.x.shape[1]))
        folds.append(EncodedFold(part.y, y_out, {View(): encoded}, part.mean, part.std))
    found: dict[int, Outcome] = {}
    for start in range(0, len(wanted), AT_ONCE):
        trainer = Trainer(Problem("regression", 1, METRICS["rmse"]), folds)
        for slot, (fold, choice) in enumerate(wanted[start : start + AT_ONCE], start):
            config = config_of(choice, parts[fold], epochs)
            trainer.admit(Admission(slot, config, seed=SEED + fold, fold=fold))
        outcomes = [message for message in trainer.run() if isinstance(message, Outcome)]
        found |= {outcome.slot: outcome for outcome in outcomes}
    return [found[slot] for slot in range(len(wanted))]


def sample(
    outcome: Outcome, choice: Choice, part: Part, epochs: int, n_samples: int
) -> torch.Tensor:
    """Return Monte-Carlo predictions `[S, N]` of the scored rows, in the target's units."""
    n_inputs = part.x.shape[1]
    names = tuple(f"x{place}" for place in range(n_inputs))
    codes = tuple(ColumnCode(name, "numeric", "float64") for name in names)
    arrays = {"fill": np.zeros(n_inputs), "mean": np.zeros(n_inputs), "scale": np.ones(n_inputs)}
    assert outcome.parameters is not None
    assert outcome.statistics is not None
    member = Member(
        config_of(choice, part, epochs),
        1,
        Preprocessor(codes, names, arrays),
        outcome.parameters,
        outcome.statistics,
    )
    bank = MaskBank(member.config, n_inputs, range(n_samples), SEED)
    outputs = Passes(member).samples(torch.from_numpy(part.x_out), bank)[..., 0].double()
    return outputs * part.std + part.mean


def fit_tau(samples: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the precision τ that maximizes the mean log likelihood of validation rows.

    At the maximum, 1/τ is a weighted mean of the squared errors, so it is between the mean over
    rows of the smallest squared error of the samples and that of their mean squared error. A grid
    over this range in log τ is followed by a golden-section search around its best point.

    Args:
        samples: Monte-Carlo predictions `[S, N]` in the target's units, or `[N]` without dropout.
        y: `[N]`, true values.
        weights: sample weights, `[N]`; None for equal weights.
    Returns: τ in 1 / units². For S = 1 it is 1 / mean squared error.
    Raises:
        ValueError: if there are no rows, or shapes do not fit.
    Source: Gal & Ghahramani 2016, arXiv:1506.02142, eq. 8 (there τ is searched on a grid).
    """
    y_hat, target = np.atleast_2d(samples).astype(np.float64), np.asarray(y, dtype=np.float64)
    if target.ndim != 1 or y_hat.shape[1:] != target.shape or not len(target):
        raise ValueError(f"samples [S, N] must fit y [N], got {y_hat.shape}, {target.shape}")
    squared = (target - y_hat) ** 2
    scale = float(target.var()) or 1.0
    largest = max(_average(squared.mean(axis=0), weights), LEAST_VARIANCE * scale)
    smallest = max(_average(squared.min(axis=0), weights), LEAST_VARIANCE * largest)
    drawn, truth = torch.from_numpy(y_hat), torch.from_numpy(target)

    def score(log_tau: float) -> float:
        return _average(
            log_likelihood(drawn, truth, Noise.normal(math.exp(log_tau))).numpy(), weights
        )

    low, high = -math.log(largest), -math.log(smallest)
    step = (high - low) / (GRID_POINTS - 1)
    if step < TOLERANCE:
        return math.exp(low)
    best = max((low + place * step for place in range(GRID_POINTS)), key=score)
    a, b = max(best - step, low), min(best + step, high)
    left, right = b - _GOLDEN * (b - a), a + _GOLDEN * (b - a)
    at_left, at_right = score(left), score(right)
    while b - a > TOLERANCE:
        if at_left > at_right:
            b, right, at_right = right, left, at_left
            left = b - _GOLDEN * (b - a)
            at_left = score(left)
        else:
            a, left, at_left = left, right, at_right
            right = a + _GOLDEN * (b - a)
            at_right = score(right)
    return math.exp((a + b) / 2)


def _average(values: np.ndarray, weights: np.ndarray | None) -> float:
    return float(np.average(values, weights=weights))


def inner_parts(table: np.ndarray, training: np.ndarray, n_folds: int) -> list[Part]:
    """Split training rows into training and validation: the last 20 %, or K folds."""
    if not n_folds:
        n_fit = int(0.8 * len(training))
        return [Part.of(table, training[:n_fit], training[n_fit:])]
    folds = np.array_split(training, n_folds)
    return [Part.of(table, np.setdiff1d(training, fold), fold) for fold in folds]


@dataclass(frozen=True)
class Found:
    """Validation log likelihood, test RMSE and test log likelihood `[splits]`, and the choices."""

    validation: np.ndarray
    rmse: np.ndarray
    likelihood: np.ndarray
    chosen: list[Choice]


class Judged(NamedTuple):
    """Validation log likelihood of a choice, with its τ."""

    score: float
    choice: Choice
    tau: float


def judge(
    table: np.ndarray,
    choices: list[list[Choice]],
    n_folds: int,
    epochs: int,
    n_samples: int,
) -> list[Judged]:
    """Return the choice with the best validation score for each split."""
    inner = [inner_parts(table, rows, n_folds) for rows, _ in splits(len(table))]
    parts = [part for own in inner for part in own]
    each = len(inner[0])
    wanted = [(place, choice) for place in range(len(parts)) for choice in choices[place // each]]
    outcomes = dict(zip(wanted, train(parts, wanted, epochs), strict=True))
    best = []
    for split, own in enumerate(inner):
        truth = np.concatenate([part.y_out for part in own])
        found = []
        for choice in choices[split]:
            drawn = [
                sample(outcomes[split * each + k, choice], choice, part, epochs, n_samples)
                for k, part in enumerate(own)
            ]
            together = torch.cat(drawn, dim=1)
            tau = fit_tau(together.numpy(), truth)
            score = float(
                log_likelihood(together, torch.from_numpy(truth), Noise.normal(tau)).mean()
            )
            found.append(Judged(score, choice, tau))
        best.append(max(found))
    return best


def run(
    table: np.ndarray,
    choices: list[Choice],
    n_folds: int,
    tau_folds: int,
    epochs: int,
    n_samples: int,
) -> Found:
    """Choose for each split, retrain on all training rows, and test."""
    best = judge(table, [choices] * N_SPLITS, n_folds, epochs, n_samples)
    chosen = [judged.choice for judged in best]
    fitted = best
    if tau_folds:
        fitted = judge(table, [[choice] for choice in chosen], tau_folds, epochs, n_samples)
    outer = [Part.of(table, *both) for both in splits(len(table))]
    rmse, likelihood = [], []
    for split, outcome in enumerate(train(outer, list(enumerate(chosen)), epochs)):
        part = outer[split]
        drawn = sample(outcome, chosen[split], part, epochs, n_samples)
        truth = torch.from_numpy(part.y_out)
        rmse.append(float(((drawn.mean(0) - truth) ** 2).mean().sqrt()))
        likelihood.append(
            float(log_likelihood(drawn, truth, Noise.normal(fitted[split].tau)).mean())
        )
    validation = np.array([judged.score for judged in best])
    return Found(validation, np.array(rmse), np.array(likelihood), chosen)


def main() -> None:
    """Print our columns next to the published ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=list(PUBLISHED), choices=list(PUBLISHED))
    parser.add_argument("--folds", type=int, default=0, help="0: the last 20 %% validate")
    parser.add_argument("--tau-folds", type=int, default=0, help="0: what chose fits τ")
    parser.add_argument(
        "--factors", type=float, nargs="+", default=[1.0], help="of λ, to choose from"
    )
    parser.add_argument("--epochs", type=int, default=4000)
    parser.add_argument("--samples", type=int, default=10_000)
    arguments = parser.parse_args()
    if 1 in (arguments.folds, arguments.tau_folds):
        parser.error("one fold leaves nothing to train on: 0, or 2 and more")
    torch.set_num_threads(1)
    print("| set | RMSE | published | log likelihood | published | seconds |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in arguments.sets:
        start = time.perf_counter()
        table = np.loadtxt(arguments.folder / f"{name}.csv", delimiter=",", dtype=np.float64)
        choices = [Choice(rate, factor) for rate in RATES for factor in arguments.factors]
        found = run(
            table,
            choices,
            arguments.folds,
            arguments.tau_folds,
            arguments.epochs,
            arguments.samples,
        )
        spent = time.perf_counter() - start

        def shown(values: np.ndarray) -> str:
            error = values.std(ddof=1) / np.sqrt(len(values))
            return f"{values.mean():.3f} ± {error:.3f}"

        r, r_error, ll, ll_error = PUBLISHED[name]
        print(
            f"| {name} | {shown(found.rmse)} | {r:.2f} ± {r_error:.2f} | "
            f"{shown(found.likelihood)} | {ll:.2f} ± {ll_error:.2f} | {spent:.0f} |",
            flush=True,
        )
        counts = {tuple(choice): found.chosen.count(choice) for choice in choices}
        print(f"  validation: {shown(found.validation)}; chosen: {counts}", flush=True)


if __name__ == "__main__":
    main()
