"""Compares rules that choose the exported model, on recorded searches.

    python -m benchmarks.records --data FOLDER --output RECORDS [--sets …] [--seeds 0 1]
    python -m benchmarks.winners RECORDS

A record (see records.py) contains predictions of the best trainings of one search: of the
validation rows (out of fold) and of the test rows. A rule uses only the validation rows and returns
the trainings whose average is exported. It is scored by the loss on the test rows (log loss or root
mean squared error). Each rule is applied to the trainings that were complete after a quarter of the
time, and to all trainings.

The table compares each rule with the model that the search exported: the mean of log(loss / its
loss) over tables and seeds with its standard error, the median, the fraction of searches that are
better, and the worst one. `FLOOR` is added to log losses, because ratios of losses near 0 are
meaningless.
"""

from __future__ import annotations

import argparse
import math
import pickle
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autotrain.export.ensemble import FoldPredictions, contenders, greedy, influences
from autotrain.metrics import Metric, metric_named

FLOOR = 0.01
"""Added to a log loss before a ratio is taken, in nats."""
QUARTER, WHOLE = 0.25, 1.0
Places = Sequence[int]


@dataclass(frozen=True)
class Search:
    """The trainings of one search that were complete at some time, best first.

    Args:
        name, seed: table and seed.
        metric: metric of the search.
        folds: their predictions of the validation rows.
        sizes: `[M]` parameters of each network.
        scores: `[M]` validation scores, lower is better.
        first: `[M]` whether it is a trial's first training, not a repeat with another seed.
        trials: `[M]` their trials.
        shipped: index of the exported training; None if it was not complete.
        test: `[M, m]` or `[M, m, C]` predictions of the test rows.
        y: `[m]` true labels or targets.
    """

    name: str
    seed: int
    metric: Metric
    folds: list[FoldPredictions]
    sizes: np.ndarray
    scores: np.ndarray
    first: np.ndarray
    trials: np.ndarray
    shipped: int | None
    test: np.ndarray
    y: np.ndarray

    @property
    def n_rows(self) -> int:
        """Number of validation rows of all folds."""
        return sum(len(fold.y) for fold in self.folds)

    def loss(self, places: Places) -> float:
        """Return the test loss of the average of some trainings."""
        average = self.test[list(places)].mean(axis=0)
        if average.ndim == 1:
            return float(np.sqrt(np.mean((average - self.y) ** 2)))
        right = average[np.arange(len(self.y)), self.y]
        return float(-np.log(np.clip(right, 1e-7, 1)).mean())

    def validation_loss(self, places: Places) -> float:
        """Return the validation loss of the average of some trainings."""
        values = []
        for fold in self.folds:
            average = fold.predictions[list(places)].mean(axis=0)
            if average.ndim == 1:
                values.append(fold.target_std * math.sqrt(np.mean((average - fold.y) ** 2)))
            else:
                right = average[np.arange(len(fold.y)), fold.y]
                values.append(float(-np.log(np.clip(right, 1e-7, 1)).mean()))
        return float(np.mean(values))


def read(path: Path, share: float) -> Search | None:
    """Read the state of a search at a fraction of its time; None if no training was complete."""
    record: dict[str, Any] = pickle.loads(path.read_bytes())
    until = share * max(t["completed_s"] for t in record["trials"])

    def is_there(training: dict[str, Any]) -> bool:
        return share >= WHOLE or (
            training["completed_s"] is not None and training["completed_s"] <= until
        )

    trainings = [t for t in record["trainings"] if is_there(t)]
    if not trainings:
        return None
    metric = metric_named(record["metric"])
    classifies = record["task"] != "regression"
    std = 1.0 if classifies else record["target_std"]

    def outputs(name: str) -> np.ndarray:
        found = np.stack([t[name] for t in trainings])
        return np.exp(found, dtype=np.float64) if classifies else found.astype(np.float64)

    valid, y = outputs("valid_point"), record["y_valid"]
    if not classifies:
        valid, y = valid / std, np.asarray(y, np.float64) / std
    folds = [
        FoldPredictions(
            np.ascontiguousarray(valid[:, record["fold_of_row"] == fold], dtype=np.float32),
            y[record["fold_of_row"] == fold].astype(np.int64 if classifies else np.float32),
            None,
            std,
        )
        for fold in range(record["n_folds"])
    ]
    shipped = [
        place
        for place, t in enumerate(trainings)
        if (t["trial"], t["repeat"]) == tuple(record["shipped"])
    ]
    return Search(
        name=record["name"],
        seed=record["seed"],
        metric=metric,
        folds=folds,
        sizes=np.array([t["n_parameters"] for t in trainings]),
        scores=np.array([metric.sign * t["value"] for t in trainings]),
        first=np.array([t["repeat"] == 0 for t in trainings]),
        trials=np.array([t["trial"] for t in trainings]),
        shipped=shipped[0] if shipped and share >= WHOLE else None,
        test=outputs("test_point"),
        y=np.asarray(record["y_test"], np.int64 if classifies else np.float64),
    )


# ---- rules -------------------------------------------------------------------------------------


def least_value(search: Search) -> Places:
    """The trial with the best validation score."""
    return [int(np.where(search.first, search.scores, np.inf).argmin())]


def least_of_all(search: Search) -> Places:
    """The training with the best validation score, repeats included."""
    return [int(search.scores.argmin())]


def today(search: Search) -> Places:
    """The exported training; before the finals the trial with the best score."""
    return least_value(search) if search.shipped is None else [search.shipped]


def by_trial_mean(search: Search) -> Places:
    """All trainings of the exported trial."""
    best = today(search)[0]
    return [int(p) for p in np.flatnonzero(search.trials == search.trials[best])]


def together(n_members: int) -> Callable[[Search], Places]:
    """Contenders: the trainings that are not clearly worse than the best."""
    return lambda search: contenders(search.folds, search.metric, n_members)


def added(n_members: int) -> Callable[[Search], Places]:
    """The greedy ensemble."""
    return lambda search: greedy(search.folds, search.metric, n_members)


def top(n_members: int) -> Callable[[Search], Places]:
    """A fixed number of the best trainings."""
    return lambda search: [int(p) for p in np.argsort(search.scores, kind="stable")[:n_members]]


def within(errors: float, order: str) -> Callable[[Search], Places]:
    """The smallest or the oldest training within some paired standard errors of the best."""

    def choose(search: Search) -> Places:
        best = int(search.scores.argmin())
        rows = np.concatenate([influences(f, search.metric) for f in search.folds], axis=1)
        error = np.linalg.norm(rows - rows[best], axis=1) / len(search.folds)
        near = search.scores - search.scores[best] <= errors * error
        keys = search.sizes if order == "smallest" else search.trials
        return [int(np.where(near, keys, np.inf).argmin())]

    return choose


RULES: dict[str, Callable[[Search], Places]] = {
    "as exported": today,
    "least validation score": least_value,
    "least score, repeats included": least_of_all,
    "all trainings of the exported trial": by_trial_mean,
    "smallest within 1 SE": within(1.0, "smallest"),
    "smallest within 2 SE": within(2.0, "smallest"),
    "oldest within 1 SE": within(1.0, "oldest"),
    "contenders, at most 2": together(2),
    "contenders, at most 4": together(4),
    "contenders, at most 8": together(8),
    "contenders, at most 16": together(16),
    "greedy, at most 4": added(4),
    "greedy, at most 8": added(8),
    "best 4": top(4),
    "best 8": top(8),
}


# ---- report ------------------------------------------------------------------------------------


def floored(search: Search, loss: float) -> float:
    """Return a loss whose ratios can be averaged."""
    return loss + (FLOOR if search.folds[0].predictions.ndim == 3 else 0.0)


def summary(ratios: Sequence[float]) -> str:
    """Return mean and standard error, median, fraction that is better, and worst, in percent."""
    if not ratios:
        return "– | – | – | –"
    percent = [100 * r for r in ratios]
    error = statistics.stdev(percent) / math.sqrt(len(percent)) if len(percent) > 1 else math.nan
    better = statistics.mean((r < 0) + (r == 0) / 2 for r in ratios)
    return (
        f"{statistics.mean(percent):+.2f} ± {error:.2f} | {statistics.median(percent):+.2f} | "
        f"{better:.0%} | {max(percent):+.1f}"
    )


def report(pairs: Sequence[tuple[Search | None, Search]]) -> None:
    """Print each rule relative to the exported model, and to itself at a quarter of the time."""
    head = "mean, % | median | better on | worst"
    print(f"| rule | {head} | from ¼ to the whole time: {head} | members |")
    print(f"| --- |{' --- |' * 9}")
    for name, rule in RULES.items():
        against, longer, counts = [], [], []
        for early, late in pairs:
            own = floored(late, late.loss(chosen := rule(late)))
            counts.append(len(chosen))
            against.append(math.log(own / floored(late, late.loss(today(late)))))
            if early is not None:
                longer.append(math.log(own / floored(late, early.loss(rule(early)))))
        print(
            f"| {name} | {summary(against)} | {summary(longer)} | {statistics.mean(counts):.1f} |"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", type=Path)
    parser.add_argument("--few", type=int, default=2_500, help="validation rows that are few")
    arguments = parser.parse_args()
    paths = sorted(arguments.records.glob("*.pkl"))
    pairs = [(read(path, QUARTER), late) for path in paths if (late := read(path, WHOLE))]
    groups = {
        f"at most {arguments.few:,} validation rows": [
            p for p in pairs if p[1].n_rows <= arguments.few
        ],
        "more": [p for p in pairs if p[1].n_rows > arguments.few],
        "all": pairs,
    }
    for title, group in groups.items():
        if len(group) > 1:
            tables = {late.name for _, late in group}
            print(f"\n{title}: {len(group)} searches, {len(tables)} tables\n")
            report(group)


if __name__ == "__main__":
    main()
