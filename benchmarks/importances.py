"""Measures `Predictor.importances` against scikit-learn's `permutation_importance`.

    python -m benchmarks.importances [--rows 20000] [--columns 50] [--repeats 10]

Both use the same predictor, metric (log loss), permutations and one thread. Networks have the sizes
and embeddings of usual winners and are hardly trained, which does not change the time. The table
consists of numbers, as an array, or of numbers and texts, as a data frame. Seconds are those of the
processor, so that other programs disturb little. The two sides alternate; results are medians, and
the drops of both are compared.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
from sklearn.inspection import permutation_importance
from sklearn.metrics import log_loss

from autotrain.predictor import Predictor, load
from tests.winners import train

NETWORKS: dict[str, dict[str, Any]] = {
    "128": {"network.hidden_units": "128"},
    "128-128": {"network.hidden_units": "128-128"},
    "128-128, piecewise linear": {
        "network.hidden_units": "128-128",
        "embedding": "piecewise_linear",
        "scaler": "quantile_normal",
    },
}


class Fitted:
    """Scikit-learn asks for an estimator that has a method `fit`."""

    def fit(self) -> None:
        """Do nothing."""


def make_table(n_rows: int, n_columns: int, n_texts: int) -> pd.DataFrame:
    """Return columns of numbers and of texts, and a label of two classes."""
    generator = np.random.default_rng(0)
    values = generator.normal(size=(n_rows, n_columns))
    frame = pd.DataFrame(values, columns=[f"x{place}" for place in range(n_columns)])
    for place in range(n_columns - n_texts, n_columns):
        frame[f"x{place}"] = np.array(list("abcdefgh"))[generator.integers(8, size=n_rows)]
    frame["label"] = (values[:, :3].sum(axis=1) + generator.normal(size=n_rows) > 0).astype(int)
    return frame


def seconds(predictor: Predictor, X: Any, y: np.ndarray, n_repeats: int, times: int) -> None:
    """Print the median seconds of both sides."""
    classes = predictor.classes_

    def score(_: Any, table: Any, labels: np.ndarray) -> float:
        return -float(
            log_loss(labels, predictor.predict_proba(table, calibrated=False), labels=classes)
        )

    spent: dict[str, list[float]] = {"ours": [], "sklearn": []}
    for _ in range(times):
        start = time.process_time()
        ours = predictor.importances(X, y, n_repeats=n_repeats, groups=None)
        spent["ours"].append(time.process_time() - start)
        start = time.process_time()
        theirs = permutation_importance(
            Fitted(), X, y, scoring=score, n_repeats=n_repeats, random_state=0
        )
        spent["sklearn"].append(time.process_time() - start)
    order = [ours.columns.index((name,)) for name in predictor.column_names]
    difference = np.abs(ours.drops[order] - theirs.importances).max()
    own, other = (statistics.median(spent[side]) for side in ("ours", "sklearn"))
    ratios = ", ".join(f"{b / a:.1f}" for a, b in zip(spent["ours"], spent["sklearn"], strict=True))
    print(
        f"{own:>8.2f} s {other:>9.2f} s {other / own:>6.1f}   ({ratios})   {difference:.1e}",
        flush=True,
    )


def main() -> None:
    """Print one line per network and table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--texts", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--times", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'':<52} {'ours':>10} {'sklearn':>11} {'ratio':>6}   (each time)   difference")
    for n_texts in (0, arguments.texts):
        table = make_table(arguments.rows, arguments.columns, n_texts)
        for name, params in NETWORKS.items():
            with tempfile.TemporaryDirectory() as folder:
                winner = train(
                    table, {**params, "activation": "relu", "training.epochs": 1}, target="label"
                )
                predictor = load(winner.export(Path(folder) / "best").path)
            X = table[list(predictor.column_names)]
            kind = f"{n_texts} of {arguments.columns} columns are texts"
            print(f"{kind + ', ' + name:<52} ", end="", flush=True)
            own = X if n_texts else X.to_numpy()
            seconds(predictor, own, table["label"].to_numpy(), arguments.repeats, arguments.times)


if __name__ == "__main__":
    main()
