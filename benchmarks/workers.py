"""Compares searches with one worker, two local workers and two Ray workers, in turns.

    python -m benchmarks.workers TABLE [--ways 1 2 ray] [--turns 3] [--seconds 40]
        [-- --sampler random --pruner none]

Each search is `autotrain search TABLE` with a time limit, without finalists and ensemble, in a
process of its own on two cores. What follows `--` is passed to it. With the random sampler and
without pruning the searches train the same trials. The figures are those of the middle of a search:
from 5 s after its first training began to the last training that began.

- trials per minute, and epochs per second: those that ended in that time
- search: share of a core that the process of the search uses, without exports; with one worker it
  also trains
- per trial: milliseconds of that process for each trial that ended, without exports
- load: other processes' use of the two cores

The last lines have the medians, and the ratio of each way to the first and to the one before.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.deadlines import CORES, ROOT, others_share, used_s
from benchmarks.noted import run_noted

SETTLING_S = 5.0
WORKERS = {"1": ["--workers", "1"], "2": ["--workers", "2"], "ray": ["--workers", "ray"]}
FIXED = ("--finalists", "0", "--ensemble", "0", "--json", "--quiet")


def measure(table: Path, way: str, seconds: float, more: list[str]) -> dict[str, float]:
    """Run a search in a process of its own, and return its figures."""
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "events.json"
        target = pd.read_csv(table, nrows=0).columns[-1]
        command = [sys.executable, "-m", "benchmarks.workers", "--one", str(events), str(table)]
        command += ["--", "search", str(table), "--target", target, "--timeout", f"{seconds:g}s"]
        command += ["--directory", folder, *WORKERS[way], *FIXED, *more]
        before = used_s()
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise SystemExit(f"the search with {way} workers failed")
        load = others_share(before, used_s())
        return {**figures_of(json.loads(events.read_text())), "load": load}


def figures_of(found: dict[str, Any]) -> dict[str, float]:
    """Return the figures of the middle of a search from what `run_noted` wrote."""
    runs = found["runs"]
    start = min(run["begun_s"] for run in runs) + SETTLING_S
    end = max(run["begun_s"] for run in runs)
    n_trials = sum(start < run["heard_s"] <= end for run in runs)
    epochs = [(at_s, cpu_s) for at_s, cpu_s in found["epochs"] if start < at_s <= end]
    if not n_trials or len(epochs) < 2:
        raise SystemExit("no trial ended in the middle of the search; use more seconds")
    cpu_s = epochs[-1][1] - epochs[0][1]
    return {
        "trials": 60 * n_trials / (end - start),
        "epochs": len(epochs) / (end - start),
        "search": cpu_s / (epochs[-1][0] - epochs[0][0]),
        "per trial": 1e3 * cpu_s / n_trials,
    }


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--ways", nargs="+", choices=list(WORKERS), default=list(WORKERS))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    own, more = sys.argv[1:], []
    if "--" in own:
        own, more = own[: own.index("--")], own[own.index("--") + 1 :]
    asked = parser.parse_args(own)
    if asked.one is not None:
        return run_noted(asked.one, more)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    names = ("trials", "epochs", "search", "per trial", "load")
    heads = ("workers", "trials / min", "epochs / s", "search", "ms / trial", "load")
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}", flush=True)

    def row(first: str, figures: dict[str, float]) -> str:
        shown = "{trials:.1f} | {epochs:.1f} | {search:.1%} | {per trial:.1f} | {load:.0%}"
        return f"| {first} | {shown.format(**figures)} |"

    found: dict[str, list[dict[str, float]]] = {way: [] for way in asked.ways}
    for _ in range(asked.turns):
        for way in asked.ways:
            figures = measure(asked.table, way, asked.seconds, more)
            found[way].append(figures)
            print(row(way, figures), flush=True)
    medians = {
        way: {name: statistics.median(each[name] for each in turns) for name in names}
        for way, turns in found.items()
    }
    for way, figures in medians.items():
        print(row(f"{way}, median", figures))
    for before, way in zip(asked.ways, asked.ways[1:], strict=False):
        ratios = [b["epochs"] / a["epochs"] for a, b in zip(found[before], found[way], strict=True)]
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"epochs / s, {way} to {before}: {statistics.median(ratios):.2f} ({shown})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
