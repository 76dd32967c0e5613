"""How well a search's model knows how sure it is, on test rows that the search never saw.

    python -m benchmarks.calibration --data FOLDER [--sets adult car] [--timeout 60] [--seed 0]

FOLDER and splits are those of quality.py. For numbers: how many test rows the 90 % intervals hold
(the mixture's and the conformal ones), and their width in standard deviations of the target. For
classes: the expected calibration error of the Monte-Carlo probabilities before and after the
temperature, the log loss of both, how many rows the 90 % prediction sets hold, and their size.
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
"""Sets of at least 1,000 rows."""


def evaluated(data: Path, name: str, timeout: float, seed: int, folder: Path) -> dict[str, Any]:
    """Search, and evaluate what it found on the test rows."""
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
    """Print two tables, as far as the sets go."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=list(LARGE), choices=list(SETS))
    parser.add_argument("--timeout", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
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
            before, after = found["monte_carlo"], found["calibrated"]
            cells += [f"{before['ece']:.4f}", f"{after['ece']:.4f}"]
            cells += [f"{before['log_loss']:.4f}", f"{after['log_loss']:.4f}"]
            of_sets = held["prediction_set"]
            cells += [f"{of_sets['coverage']:.1%}", f"{of_sets['size']:.2f}"]
        else:
            cells.append("the winner has no dropout")
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
