"""Does a search of several times the time give a model that is not worse?

    python -m benchmarks.records --data FOLDER --output RECORDS --timeout 120 --share 0.25
    python -m benchmarks.longer RECORDS

A record holds the losses of the model that a search exported after a share of its time, and of the
model at its end (see records.py). The loss is the log loss, or the root mean squared error, of what
`predict` and `predict_proba` give.

The report has, for each table, the mean of log(longer / shorter) over the seeds and its standard
error (log losses have `FLOOR` added, because ratios of losses near 0 say nothing), and the paired
standard error over test rows of the difference between the two models. "worse" marks a table whose
mean is above 0 by more than two of the larger of the two errors.
"""

from __future__ import annotations

import argparse
import math
import pickle
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

FLOOR = 0.01
"""Added to a log loss before a ratio is taken, in nats."""
Row = dict[str, Any]


def compare(record: Row) -> Row:
    """Return how the two exported models of a record score."""
    classifies = record["task"] != "regression"
    kind = "point_calibrated" if classifies else "point"
    rows = [export["losses"][kind] for export in record["exports"]]
    short, long = (float(r.mean()) if classifies else math.sqrt(r.mean()) for r in rows)
    floor = FLOOR if classifies else 0.0
    difference = rows[1] - rows[0]
    # To first order; the root halves a relative error.
    scale = rows[0].mean() + floor if classifies else 2 * rows[0].mean()
    return {
        "name": record["name"],
        "short": short,
        "long": long,
        "log_ratio": math.log((long + floor) / (short + floor)),
        "row_error": float(difference.std() / math.sqrt(len(difference)) / scale),
    }


def report(rows: Iterable[Row]) -> None:
    """Print a line per table, and the mean of all."""
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
    """Print the report of the records."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", type=Path)
    arguments = parser.parse_args()
    paths = sorted(arguments.records.glob("*.pkl"))
    report(compare(pickle.loads(path.read_bytes())) for path in paths)


if __name__ == "__main__":
    main()
