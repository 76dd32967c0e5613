"""Simulates the coverage of the confidence intervals of test scores.

    python -m benchmarks.intervals --repetitions 2000

A world draws test rows: outputs of a model and targets. Its true score is that of four million
rows. For each number of rows, it prints the fraction of intervals that contain the true score, the
fractions entirely above and below it, and the median ends of the intervals divided by the true
score, as Markdown. `--worlds` selects worlds by a part of their name.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from autotrain.metrics import metric_named
from autotrain.network.metric_formulas import metric_function
from autotrain.predictor import bootstrap
from autotrain.predictor.intervals import interval

TRUE_ROWS = 200_000
TRUE_DRAWS = 20
Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class World:
    """Test rows of one kind.

    Args:
        name: name of the world.
        metrics: metrics to score.
        draw: returns outputs (log odds `[N]` of the second class, logits `[N, C]`, or numbers
            `[N]`) and targets `[N]`.
        is_weighted: whether rows have weights, drawn from an exponential distribution.
    """

    name: str
    metrics: tuple[str, ...]
    draw: Draw
    is_weighted: bool = False

    def rows(self, generator: np.random.Generator, n: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return outputs, targets and weights in the form that `interval` expects."""
        outputs, targets = self.draw(generator, n)
        weights = generator.exponential(size=n) if self.is_weighted else None
        if targets.dtype.kind == "i" and outputs.ndim == 1:
            outputs = np.stack([np.zeros(n), outputs], 1)
        return (
            torch.from_numpy(outputs),
            torch.from_numpy(targets),
            None if weights is None else torch.from_numpy(weights),
        )

    def true(self, metric: str) -> float:
        """Return the metric of many rows."""
        generator, function = np.random.default_rng(1), metric_function(metric_named(metric))
        scores = []
        for _ in range(TRUE_DRAWS):
            outputs, targets, _ = self.rows(generator, TRUE_ROWS)
            score = function(outputs[None], targets[None])
            scores.append(float(score.square() if metric == "rmse" else score))
        return float(np.mean(scores)) ** (0.5 if metric == "rmse" else 1)


def calibrated(center: float, spread: float) -> Draw:
    """A calibrated classifier: rows with a large loss are rare."""

    def draw(generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        margin = center + spread * generator.normal(size=n)
        is_right = generator.random(n) < 1 / (1 + np.exp(-margin))
        y = generator.integers(2, size=n)
        return margin * np.where((y == 1) == is_right, 1, -1), y

    return draw


def too_sure(accuracy: float, size: float) -> Draw:
    """An overconfident classifier: its margin is large even if it is wrong."""

    def draw(generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        is_right = generator.random(n) < accuracy
        right = size * generator.gamma(3.0, 1 / 3, n)
        wrong = size / 2 * generator.gamma(1.5, 1 / 1.5, n)
        y = generator.integers(2, size=n)
        return np.where(is_right, right, -wrong) * np.where(y == 1, 1, -1), y

    return draw


def normal_scores(shift: float, share: float = 0.5) -> Draw:
    """Scores of the two classes are normal, `shift` standard deviations apart."""

    def draw(generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        y = (generator.random(n) < share).astype(np.int64)
        return generator.normal(size=n) + shift * y - shift / 2, y

    return draw


def exponential_scores(ratio: float, share: float = 0.5) -> Draw:
    """Scores are exponential: a few rows of the second class have very low scores."""

    def draw(generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        y = (generator.random(n) < share).astype(np.int64)
        return generator.exponential(size=n) * np.where(y == 1, ratio, 1.0) - np.log(ratio), y

    return draw


def classes(n_classes: int, margin: float) -> Draw:
    """Several classes, the last of them half as frequent as the others."""

    def draw(generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        p = np.r_[np.ones(n_classes - 1), 0.5]
        y = generator.choice(n_classes, n, p=p / p.sum())
        return generator.normal(size=(n, n_classes)) + margin * np.eye(n_classes)[y], y

    return draw


def errors(draw_error: Callable[[np.random.Generator, int], np.ndarray]) -> Draw:
    """A regression with errors of this kind and predictions with standard deviation 2."""

    def draw(generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        predictions = 2 * generator.normal(size=n)
        return predictions, predictions + draw_error(generator, n)

    return draw


def log_normal(generator: np.random.Generator, n: int) -> np.ndarray:
    return np.exp(generator.normal(size=n)) - np.exp(0.5)


SURE = ("accuracy", "log_loss", "brier", "balanced_accuracy", "f1")
AREAS = ("roc_auc", "average_precision")
ERRORS = ("rmse", "mae", "r2", "pinball:0.9")
SEVERAL = ("balanced_accuracy", "f1", "roc_auc", "average_precision", "log_loss", "brier")
WORLDS = (
    World("calibrated, accuracy .76", SURE, calibrated(1.0, 1.5)),
    World("calibrated, accuracy .96", SURE, calibrated(4.0, 2.0)),
    World("too sure, accuracy .90", SURE, too_sure(0.90, 4.0)),
    World("too sure, accuracy .97", SURE, too_sure(0.97, 5.0)),
    World("too sure, accuracy .985", SURE, too_sure(0.985, 6.0)),
    World("normal scores, area .90", AREAS, normal_scores(1.8124)),
    World("normal scores, area .99", AREAS, normal_scores(3.2900)),
    World("normal scores, area .998", AREAS, normal_scores(4.0703)),
    World("normal scores, area .97, 20 % positive", AREAS, normal_scores(2.6598, 0.2)),
    World("exponential scores, area .90", AREAS, exponential_scores(9.0)),
    World("exponential scores, area .99", AREAS, exponential_scores(99.0)),
    World("exponential scores, area .97, 20 % positive", AREAS, exponential_scores(32.33, 0.2)),
    World("three classes, accuracy .80", SEVERAL, classes(3, 1.8)),
    World("five classes, accuracy .97", SEVERAL, classes(5, 3.5)),
    World("normal errors", ERRORS, errors(lambda g, n: g.normal(size=n))),
    World("Laplace errors", ERRORS, errors(lambda g, n: g.laplace(size=n))),
    World("t errors, 3 degrees of freedom", ERRORS, errors(lambda g, n: g.standard_t(3, n))),
    World("log-normal errors", ERRORS, errors(log_normal)),
    World("weighted: calibrated, .96", SURE, calibrated(4.0, 2.0), is_weighted=True),
    World("weighted: normal scores, .97", AREAS, normal_scores(2.6598), is_weighted=True),
    World("weighted: Laplace", ERRORS, errors(lambda g, n: g.laplace(size=n)), is_weighted=True),
)


def keep_resamples() -> None:
    """Draw the resamples once, to use them in every repetition."""
    drawn = bootstrap._resamples
    kept = cache(lambda n_rows, n_resamples: tuple(drawn(n_rows, n_resamples)))
    bootstrap._resamples = lambda n_rows, n_resamples: iter(kept(n_rows, n_resamples))


def cells(world: World, metric: str, n_rows: list[int], repetitions: int) -> Iterator[str]:
    """Yield a cell of the table for each number of rows."""
    true = world.true(metric)
    for n in n_rows:
        generator = np.random.default_rng(n)
        found = []
        for _ in range(repetitions):
            ends = interval(metric_named(metric), *world.rows(generator, n))
            if ends is not None:
                found.append(ends)
        low, high = np.array(found).T
        above, below = np.mean(low > true), np.mean(high < true)
        middle, far = np.median(low) / true, np.median(high) / true
        yield (
            f"{1 - above - below:.1%} ({above:.1%}, {below:.1%}; {middle:.3g} to {far:.3g})"
            + (f", {repetitions - len(found)} undefined" if len(found) < repetitions else "")
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--rows", type=int, nargs="+", default=[30, 114, 500])
    parser.add_argument("--worlds", default="")
    parser.add_argument("--metrics", nargs="*")
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_resamples()
    print(f"| world | metric | {' | '.join(f'{n} rows' for n in given.rows)} |")
    print(f"| --- | --- |{' --- |' * len(given.rows)}")
    for world in WORLDS:
        if given.worlds not in world.name:
            continue
        for metric in world.metrics:
            if given.metrics and metric not in given.metrics:
                continue
            shown = " | ".join(cells(world, metric, given.rows, given.repetitions))
            print(f"| {world.name} | {metric} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
