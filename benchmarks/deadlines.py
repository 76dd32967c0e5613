"""Measures how well searches keep their time limit, and which part of it is training.

    python -m benchmarks.deadlines --data FOLDER [--tables wide long adult] [--timeouts 20 60]

Each search is `autotrain search TABLE --timeout S` in a process of its own on two cores, with the
default space. The tables are three synthetic ones and all tables of FOLDER, whose target is the
last column:

- wide: 2,000 rows × 1,000 numbers
- wider: 2,000 rows × 5,000 numbers
- long: 1,000,000 rows × 20 numbers

Each of the three has two classes; with the suffix `-numbers`, such as `wide-numbers`, the target is
a number. They are CSV files with four decimals, written once to `--work`.

For each search the report has:

- wall: seconds from the start of the process to its end, and as a share of the time limit
- before: seconds until the first training is sent to a worker
- after: seconds from the last report of a training to the end of the process
- training: share of the workers' wall time during which they have a training
- trials, repeats: trainings that started
- load: other processes' use of the two cores, which makes a search slower

A search keeps its time limit if the wall time is at most 5 % longer. `--profile` writes a profile
of the search's process, without the workers, for each search to `--work`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.noted import run_noted

ROOT = Path(__file__).resolve().parents[1]
CORES = 2
TOLERANCE = 1.05
SYNTHETIC = {"wide": (2_000, 1_000), "wider": (2_000, 5_000), "long": (1_000_000, 20)}
NUMBERS = "-numbers"
SUFFIXES = (".csv", ".csv.gz")


@dataclass(frozen=True)
class Result:
    """One search; times in seconds from the start of its process."""

    table: str
    timeout_s: float
    wall_s: float
    first_s: float
    last_s: float
    training_share: float
    n_trials: int
    n_repeats: int
    others_share: float
    test_value: float | None

    @property
    def is_kept(self) -> bool:
        """Whether the time limit was kept."""
        return self.wall_s <= TOLERANCE * self.timeout_s


# ---- tables ------------------------------------------------------------------------------------


def synthetic_table(name: str) -> pd.DataFrame:
    """Return a synthetic table whose target is the last column."""
    n_rows, n_columns = SYNTHETIC[name.removesuffix(NUMBERS)]
    random = np.random.default_rng(0)
    x = random.normal(size=(n_rows, n_columns)).astype(np.float32)
    score = x[:, :10].sum(axis=1) + x[:, 0] * x[:, 1] + random.normal(size=n_rows)
    frame = pd.DataFrame(x, columns=[f"x{number}" for number in range(n_columns)])
    return frame.assign(y=score if name.endswith(NUMBERS) else np.where(score > 0, "yes", "no"))


def table_of(name: str, data: Path | None, work: Path) -> Path:
    """Return the file of a table; a synthetic one is written if it is missing."""
    if name.removesuffix(NUMBERS) in SYNTHETIC:
        path = work / f"{name}.csv"
        if not path.is_file():
            synthetic_table(name).to_csv(path, index=False, float_format="%.4f")
        return path
    paths = [] if data is None else [data / f"{name}{suffix}" for suffix in SUFFIXES]
    for path in paths:
        if path.is_file():
            return path
    raise SystemExit(f"no table {name!r} in {data}")


def all_tables(data: Path | None) -> list[str]:
    """Return the names of the synthetic tables, and of those in a folder."""
    files = [] if data is None else sorted(data.iterdir())
    return [*SYNTHETIC, *(f.name.split(".")[0] for f in files if f.name.endswith(SUFFIXES))]


# ---- one search --------------------------------------------------------------------------------


def measure(
    name: str, path: Path, timeout_s: float, work: Path, *, profiles: bool, n_rows: int | None
) -> Result:
    """Run a search in a process of its own, and measure it."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        events = Path(folder) / "events.json"
        table = path
        if n_rows is not None:
            table = Path(folder) / f"{name}.csv"
            pd.read_csv(path, dtype=str, nrows=n_rows).to_csv(table, index=False)
        profile = work / f"{name}-{timeout_s:g}.prof" if profiles else None
        target = pd.read_csv(table, nrows=0).columns[-1]
        command = [sys.executable, "-m", "benchmarks.deadlines", "--one", str(events)]
        command += [] if profile is None else ["--profile-to", str(profile)]
        command += ["--", "search", str(table), "--target", target, "--timeout", f"{timeout_s:g}s"]
        command += ["--directory", folder, "--json", "--quiet"]
        before = used_s()
        begun_s = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        wall_s = time.monotonic() - begun_s
        load = others_share(before, used_s())
        if done.returncode:
            raise SystemExit(f"the search of {name} failed")
        found = json.loads(events.read_text())
        runs = found["runs"]
        return Result(
            table=name,
            timeout_s=timeout_s,
            wall_s=wall_s,
            first_s=min(run["begun_s"] for run in runs) - begun_s,
            last_s=max(run["heard_s"] for run in runs) - begun_s,
            training_share=_training_s(runs) / (found["n_workers"] * wall_s),
            n_trials=sum(not run["repeat"] for run in runs),
            n_repeats=sum(bool(run["repeat"]) for run in runs),
            others_share=load,
            test_value=json.loads(done.stdout)["test_value"],
        )


def used_s() -> tuple[float, float, float]:
    """Return the time, and the processor seconds of all processes and of ended children."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system = map(int, fields[:3])
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy_s = (user + nice + system) / os.sysconf("SC_CLK_TCK")
    return time.monotonic(), busy_s, children.ru_utime + children.ru_stime


def others_share(before: tuple[float, float, float], after: tuple[float, float, float]) -> float:
    """Return the share of the cores that others used between two results of `used_s`."""
    wall_s, busy_s, own_s = (b - a for a, b in zip(before, after, strict=True))
    return max(busy_s - own_s, 0.0) / (CORES * wall_s)


def _training_s(runs: Sequence[dict[str, Any]]) -> float:
    """Return the seconds during which a worker has a training, added over the workers."""
    covered_s = 0.0
    for worker in {run["worker"] for run in runs}:
        until = -np.inf
        own = [run for run in runs if run["worker"] == worker]
        for begun, heard in sorted((float(r["begun_s"]), float(r["heard_s"])) for r in own):
            covered_s += max(heard - max(begun, until), 0.0)
            until = max(until, heard)
    return covered_s


# ---- report ------------------------------------------------------------------------------------

COLUMNS = (
    *("table", "limit s", "wall s", "wall / limit", "before s", "after s"),
    *("training", "trials", "repeats", "other load"),
)


def row_of(result: Result) -> str:
    """Return a result as a row of the report."""
    r = result
    ratio = f"{r.wall_s / r.timeout_s:.3f}{'' if r.is_kept else ' LATE'}"
    return (
        f"| {r.table} | {r.timeout_s:g} | {r.wall_s:.1f} | {ratio} | {r.first_s:.1f} | "
        f"{r.wall_s - r.last_s:.1f} | {r.training_share:.0%} | {r.n_trials} | {r.n_repeats} | "
        f"{r.others_share:.0%} |"
    )


def main() -> int:
    """Run the benchmark; the exit code is 1 if a time limit was not kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of tables")
    parser.add_argument("--tables", nargs="+", help="names of tables [default: all]")
    parser.add_argument("--timeouts", nargs="+", type=float, default=[20.0, 60.0])
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "deadlines")
    parser.add_argument("--profile", action="store_true", help="write profiles to --work")
    parser.add_argument("--rows", type=int, help="use only the first rows of each table")
    parser.add_argument("--results", type=Path, help="file to which results are appended (JSON)")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--profile-to", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one is not None:
        return run_noted(asked.one, asked.arguments, asked.profile_to)
    asked.work.mkdir(parents=True, exist_ok=True)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}", flush=True)
    results = []
    for name in asked.tables or all_tables(asked.data):
        path = table_of(name, asked.data, asked.work)
        for timeout_s in asked.timeouts:
            result = measure(
                name, path, timeout_s, asked.work, profiles=asked.profile, n_rows=asked.rows
            )
            results.append(result)
            print(row_of(result), flush=True)
            if asked.results is not None:
                with asked.results.open("a") as file:
                    file.write(json.dumps(asdict(result)) + "\n")
    n_late = sum(not result.is_kept for result in results)
    print(f"\n{len(results) - n_late} of {len(results)} time limits were kept within 5 %.")
    return 1 if n_late else 0


if __name__ == "__main__":
    sys.exit(main())
