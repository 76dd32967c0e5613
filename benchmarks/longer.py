"""Tests whether a longer search gives a model that is not worse.

    python -m benchmarks.longer --data FOLDER --output FILE [--sets …] [--seeds 0 1]
    python -m benchmarks.longer --output FILE

Each table is searched for `--timeout` seconds, and the exported model is scored on the test rows.
Then the study is resumed until `--times` that time is used, and scored again. Tables and splits are
those of quality.py. The loss is the log loss or the root mean squared error of `predict_proba` or
`predict`. The output file gets a line of JSON per search; searches in the file are not repeated.

For each table, the report has the mean of log(longer / shorter) over the seeds and its standard
error (`FLOOR` is added to log losses, because ratios of losses near 0 are meaningless), and the
paired standard error over test rows of the difference between the two models. "worse" marks a table
whose mean is above 0 by more than two of the larger of the two errors.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autotrain import Study
from autotrain.search.progress import Silent
from benchmarks.quality import LEFT_OUT, SETS, Split, make_split

FLOOR = 0.01
"""Added to a log loss before a ratio is taken, in nats."""
Row = dict[str, Any]


def losses(study: Study) -> np.ndarray:
    """Return the loss of each test row: −log p, or the squared error."""
    frame, labels = study.dataset.raw_test()
    predictor = study.best_predictor()
    if not study.dataset.classes:
        errors: np.ndarray = predictor.predict(frame) - np.asarray(labels, dtype=np.float64)
        return errors**2
    places = {label: place for place, label in enumerate(predictor.classes_.tolist())}
    right = [places[label] for label in labels]
    p = predictor.predict_proba(frame)[np.arange(len(right)), right]
    found: np.ndarray = -np.log(np.clip(p, 1e-7, 1))
    return found


def compare(split: Split, folder: Path, timeout: float, times: float, workers: int) -> Row:
    """Run a search, resume it, and return the scores of both models."""
    with Study(
        "longer",
        data=str(split.train),
        target=split.target,
        task=split.task,
        test=str(split.test),
        workers=workers,
        seed=split.seed,
        directory=folder,
    ) as study:
        rows, models = [], []
        for seconds in (timeout, (times - 1) * timeout):
            study.optimize(timeout=seconds, observer=Silent())
            rows.append(losses(study))
            selection = study.selection
            assert selection is not None
            models.append(
                {
                    "trials": selection.n_trials,
                    "reason": selection.reason,
                    "validation": study.best_value,
                }
            )
        classifies = bool(study.dataset.classes)
    short, long = (float(r.mean()) if classifies else math.sqrt(r.mean()) for r in rows)
    floor = FLOOR if classifies else 0.0
    difference = rows[1] - rows[0]
    # To first order, the square root halves a relative error.
    scale = rows[0].mean() + floor if classifies else 2 * rows[0].mean()
    return {
        "name": split.name,
        "seed": split.seed,
        "short": short,
        "long": long,
        "log_ratio": math.log((long + floor) / (short + floor)),
        "row_error": float(difference.std() / math.sqrt(len(difference)) / scale),
        "models": models,
    }


def report(rows: Iterable[Row]) -> None:
    """Print one line per table, and the mean of all tables."""
    of_tables: dict[str, list[Row]] = {}
    for row in rows:
        of_tables.setdefault(row["name"], []).append(row)
    print("| data | seeds | shorter | longer | change, % | ± seeds | ± rows | |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, own in sorted(of_tables.items()):
        mean, error = _mean([row["log_ratio"] for row in own])
        by_rows = math.sqrt(sum(row["row_error"] ** 2 for row in own)) / len(own)
        noise = max(by_rows, 0.0 if math.isnan(error) else error)
        losses = " | ".join(
            f"{statistics.mean(row[side] for row in own):.4g}" for side in ("short", "long")
        )
        mark = "worse" if mean > 2 * noise else ""
        print(
            f"| {name} | {len(own)} | {losses} | {100 * mean:+.1f} | {100 * error:.1f} | "
            f"{100 * by_rows:.1f} | {mark} |"
        )
    every = [row["log_ratio"] for own in of_tables.values() for row in own]
    if every:
        mean, error = _mean(every)
        print(f"\n{len(every)} searches: {100 * mean:+.2f} ± {100 * error:.2f} %")


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return statistics.mean(values), error


def main() -> None:
    """Run the searches that are not in the file, then print the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help="folder with the tables; without it, only the report is printed"
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=[n for n in SETS if n not in LEFT_OUT])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--timeout", type=float, default=30.0)
    parser.add_argument("--times", type=float, default=4.0)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    lines = arguments.output.read_text().splitlines() if arguments.output.exists() else []
    rows = [json.loads(line) for line in lines]
    done = {(row["name"], row["seed"]) for row in rows}
    for seed in arguments.seeds if arguments.data else ():
        for name in arguments.sets:
            if (name, seed) in done:
                continue
            with tempfile.TemporaryDirectory() as folder:
                split = make_split(arguments.data, name, seed, Path(folder))
                row = compare(
                    split, Path(folder), arguments.timeout, arguments.times, arguments.workers
                )
            rows.append(row)
            with arguments.output.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{name}-{seed}: {row['short']:.4g} → {row['long']:.4g}", flush=True)
    report(rows)


if __name__ == "__main__":
    main()
