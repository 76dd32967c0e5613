"""Compares the winner's test score with scikit-learn's default MLP on equal rows.

    python benchmarks/against_sklearn.py --timeout 120 FILE:TARGET [FILE:TARGET ...]

Each search is an `autotrain search` in its own process; its budget starts with the command.
scikit-learn's MLP, with early stopping, is trained on the training and validation rows of the
search, encoded by the winner's preprocessing. Both are scored on the same test rows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss, root_mean_squared_error
from sklearn.neural_network import MLPClassifier, MLPRegressor

from autotrain.data.dataset import Dataset
from autotrain.data.loading import load_dataset


def search(source: str, target: str, arguments: argparse.Namespace, folder: str) -> dict[str, Any]:
    """Run one search; return its JSON with the wall time in seconds."""
    command = [sys.executable, "-m", "autotrain.cli.main", "search", source, "--json", "--quiet"]
    command += ["--timeout", f"{arguments.timeout:g}s", "--study", "bench"]
    command += ["--target", target] if target else []
    command += ["--metric", arguments.metric] if arguments.metric else []
    command += ["--space", arguments.space]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - start
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} gave {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout) | {"wall_s": wall}


def scikit_learn(dataset: Dataset, seed: int) -> dict[str, float]:
    """Fit scikit-learn's default MLP with early stopping; return its test metrics."""
    x = np.concatenate([dataset.encoded().x_train, dataset.encoded().x_valid])
    y = np.concatenate([dataset.folds[0].y_train, dataset.folds[0].y_valid])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if dataset.task == "regression":
            model = MLPRegressor(early_stopping=True, random_state=seed).fit(x, y)
            scale, mean = dataset.folds[0].target_std, dataset.folds[0].target_mean
            predicted = model.predict(dataset.x_test) * scale + mean
            return {"rmse": root_mean_squared_error(dataset.y_test * scale + mean, predicted)}
        model = MLPClassifier(early_stopping=True, random_state=seed).fit(x, y)
    p = model.predict_proba(dataset.x_test)
    return {
        "log_loss": log_loss(dataset.y_test, p, labels=model.classes_),
        "accuracy": accuracy_score(dataset.y_test, model.classes_[p.argmax(1)]),
    }


def main() -> None:
    """Print one line per data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", help="FILE:TARGET; TARGET may be empty")
    parser.add_argument("--timeout", type=float, default=120)
    parser.add_argument("--space", default="default")
    parser.add_argument("--metric", default=None)
    parser.add_argument(
        "--seeds",
        type=int,
        default=3,
        help="number of seeds of scikit-learn's MLP, which are averaged",
    )
    arguments = parser.parse_args()
    print(
        f"{'data':24} {'trials':>7} {'wall s':>7} {'valid':>9} {'metric':>9} "
        f"{'ours':>9} {'sklearn':>9}  better"
    )
    for item in arguments.data:
        source, _, target = item.rpartition(":")
        source = source if "://" in source or ":" in source else str(Path(source).resolve())
        with tempfile.TemporaryDirectory() as folder:
            found = search(source, target, arguments, folder)
        dataset = load_dataset(source, target or None)
        runs = [scikit_learn(dataset, seed) for seed in range(arguments.seeds)]
        for name in runs[0]:
            theirs = float(np.mean([run[name] for run in runs]))
            ours = found["test"][name]
            better = ours > theirs if name == "accuracy" else ours < theirs
            print(
                f"{dataset.name[:24]:24} {sum(found['trials'].values()):7d} {found['wall_s']:7.1f} "
                f"{found['validation_value']:9.4f} {name:>9} {ours:9.4f} {theirs:9.4f}  "
                f"{'yes' if better else 'no'}",
                flush=True,
            )


if __name__ == "__main__":
    main()
