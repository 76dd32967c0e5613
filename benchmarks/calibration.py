"""Measures the calibration of a search's model on test rows that the search does not use.

    python -m benchmarks.calibration --data FOLDER [--sets adult car] [--timeout 60] [--seed 0]

FOLDER and splits are those of quality.py. For regression, it prints the coverage of the 90 %
intervals (of the mixture and conformal) and their width in standard deviations of the target. For
classification, it prints the expected calibration error and the log loss before and after
calibration (without dropout, then Monte-Carlo), and coverage and size of the 90 % prediction sets.
The last lines compare the coverage with the requirement: 90 ± 3 % on each table of at least 200
test rows, 90 ± 1 % on the mean of all tables.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.quality import SETS, environment, make_split

LARGE = (
    *("bank32nh", "california_housing", "insurance", "winequality_white"),
    *("adult", "car", "letter", "optdigits", "telco_churn"),
)
"""Data sets of at least 1,000 rows."""
FEWEST = 200
"""Smallest number of test rows of a table whose coverage has a requirement."""


def evaluated(data: Path, name: str, timeout: float, seed: int, folder: Path) -> dict[str, Any]:
    """Run a search, and evaluate its model on the test rows."""
    split = make_split(data, name, seed, folder)
    cli = [sys.executable, "-m", "autotrain.cli.main"]
    search = [*cli, "search", str(split.train), "--target", split.target, "--task", split.task]
    search += ["--test", str(split.test), "--timeout", f"{timeout:g}s", "--study", name, "--quiet"]
    search += ["--seed", str(seed)]
    subprocess.run(search, check=True, cwd=folder, env=environment(2), capture_output=True)
    asked = [*cli, "evaluate", name, str(split.test), "--json", "--quiet"]
    done = subprocess.run(asked, check=True, cwd=folder, env=environment(2), capture_output=True)
    found: dict[str, Any] = json.loads(done.stdout)
    found["std"] = float(split.truth().std()) if not split.classes else 1.0
    return found


def main() -> None:
    """Print a table for classification and one for regression."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=list(LARGE), choices=list(SETS))
    parser.add_argument("--timeout", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    shares: dict[str, list[tuple[str, int, float]]] = {}
    for name in arguments.sets:
        with tempfile.TemporaryDirectory(prefix="calibration-") as folder:
            found = evaluated(arguments.data, name, arguments.timeout, arguments.seed, Path(folder))
        cells = [name, str(found["n_rows"])]
        held = found["coverage"]
        if "interval" in held:
            for kind in ("interval", "conformal_interval"):
                width = held[kind]["size"] / found["std"]
                cells += [f"{held[kind]['coverage']:.1%}", f"{width:.2f}"]
        elif "prediction_set" in held:
            sides = ("deterministic", "calibrated", "monte_carlo", "monte_carlo_calibrated")
            for metric in ("ece", "log_loss"):
                cells += [f"{found[side][metric]:.4f}" for side in sides]
            of_sets = held["prediction_set"]
            cells += [f"{of_sets['coverage']:.1%}", f"{of_sets['size']:.2f}"]
        else:
            cells.append("the winner has no dropout")
        print(f"| {' | '.join(cells)} |", flush=True)
        for answer, own in held.items():
            shares.setdefault(answer, []).append((name, found["n_rows"], own["coverage"]))
    for answer, each in shares.items():
        outside = [name for name, n, share in each if n >= FEWEST and abs(share - 0.9) > 0.03]
        mean = sum(share for _, _, share in each) / len(each)
        print(
            f"{answer}: {mean:.1%} on the mean of {len(each)}; beyond 3 points: {outside or 'none'}"
        )


if __name__ == "__main__":
    main()
