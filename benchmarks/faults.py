"""Injects faults into searches, resumes them, and counts what was lost, doubled or wrong.

    python -m benchmarks.faults [--only NAME,NAME] [--runs N] [--output FILE]
    python -m benchmarks.faults --table --output FILE

A run is a short search on a table of 178 rows. At a random moment the fault happens. Then the
search goes on by itself, or is resumed, until its budget is used. Counted are:

- lost: a trial that had ended before (or was shown as ended) is missing or has changed, a study
  ends with fewer trials than its budget, or trials stay marked as running;
- doubled: a trial counts besides the one that it repeats, two trials have the same parameters, or a
  study has more trials than its budget;
- wrong winners: the model is not that of the best trial or repeat. With kill -9, and where the
  search goes on by itself with one worker, also: anything differs from a search without the fault,
  bit for bit;
- unloadable: the model cannot be loaded, does not predict, or scores differently from its record;
- leftovers: processes that live 5 seconds after the end of their search, temporary files, shared
  memory, files in the study's folder that are no longer needed;
- errors: a traceback, or a resume that fails.

Seconds to recover: from the end of the fault, or the start of `resume`, to the next trained epoch;
to the end of the command if nothing was left to train. The result of each run is a line of the
output file, and a benchmark that was stopped continues there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.faulting.kinds import Fault
from benchmarks.faulting.launch import CLOCK
from benchmarks.faulting.run import Result, seeds_of, whole_search
from benchmarks.faulting.servers import clock_environment
from benchmarks.faulting.table import FAULTS

MISTAKES = ("lost", "doubled", "wrong", "unloadable", "left", "errors")
MOST_MISSES = 20


def one(fault: Fault, parent: Path, number: int) -> Result:
    """Return the result of one run.

    Raises:
        RuntimeError: when the search always ends before the fault.
    """
    generator = seeds_of(fault.name, number)
    # A search without a fault is needed for each seed, and special runs have the first one.
    seed = 0 if fault.is_exact or fault.special is not None else number % 3
    whole = whole_search(parent, fault.setting, seed)
    for _ in range(MOST_MISSES):
        result = fault.once(parent, number, generator, whole, seed)
        if result is not None:
            return result
    raise RuntimeError(f"{fault.name} {number}: the search always ended before the fault")


def results_of(path: Path) -> list[dict[str, Any]]:
    """Return the results in a file; none if there is no file."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def table(results: Iterable[Mapping[str, Any]], faults: Sequence[Fault] = FAULTS) -> str:
    """Return the table of all faults as Markdown."""
    head = ("fault", "runs", "faults", *MISTAKES, "s to recover", "slowest")
    lines = [head, ("---",) * len(head)]
    found = list(results)
    for fault in faults:
        lines += [_row(fault.text, [each for each in found if each["fault"] == fault.name])]
    lines += [_row("all", found)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines if line)


def _row(text: str, found: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    if not found:
        return ()
    times = [each["recover_s"] for each in found if each["recover_s"] is not None]
    seconds = (f"{statistics.median(times):.1f}", f"{max(times):.1f}") if times else ("", "")
    mistakes = [str(sum(bool(each[name]) for each in found)) for name in MISTAKES]
    n_faults = sum(each["n_faults"] for each in found)
    return (text, str(len(found)), str(n_faults), *mistakes, *seconds)


def run_all(faults: Sequence[Fault], runs: int | None, output: Path, first: int = 0) -> int:
    """Run all faults that the output does not have yet; return the number of runs with mistakes."""
    known = {(each["fault"], each["number"]) for each in results_of(output)}
    n_bad = 0
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        for fault in faults:
            if fault.needs_clock and CLOCK not in os.environ:
                n_bad += _with_a_clock(fault, runs, output, first, Path(name))
                continue
            for number in range(first, first + (fault.runs if runs is None else runs)):
                if (fault.name, number) in known:
                    continue
                begun_s = time.monotonic()
                try:
                    result = one(fault, Path(name), number)
                except Exception:
                    text = traceback.format_exc()[-2000:]
                    result = Result(fault.name, number, errors=[text])
                with output.open("a") as file:
                    file.write(json.dumps(result.to_json()) + "\n")
                is_good = result.is_good() and not result.errors
                n_bad += not is_good
                took_s = time.monotonic() - begun_s
                word = "good" if is_good else json.dumps(result.to_json())
                print(f"{fault.name} {number}: {word} ({took_s:.1f} s){result.notes}", flush=True)
    return n_bad


def _with_a_clock(fault: Fault, runs: int | None, output: Path, first: int, folder: Path) -> int:
    """Run a fault in a benchmark whose clock can be set."""
    n = fault.runs if runs is None else runs
    words = ["--only", fault.name, "--runs", str(n), "--first", str(first), "--no-table"]
    command = [sys.executable, "-m", "benchmarks.faults", *words, "--output", str(output)]
    environment = os.environ | clock_environment(folder)
    return subprocess.run(command, env=environment, check=False).returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(fault.name for fault in FAULTS))
    parser.add_argument("--runs", type=int)
    parser.add_argument("--first", type=int, default=0, help="number of the first run")
    parser.add_argument("--output", type=Path)
    parser.add_argument(
        "--table", action=argparse.BooleanOptionalAction, help="print the table, and run nothing"
    )
    options = parser.parse_args()
    by_name = {fault.name: fault for fault in FAULTS}
    unknown = [name for name in options.only.split(",") if name not in by_name]
    if unknown:
        parser.error(f"--only must name faults, got {unknown}. Known: {', '.join(by_name)}.")
    faults = [by_name[name] for name in options.only.split(",")]
    with contextlib.ExitStack() as stack:
        if options.output is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            options.output = Path(folder) / "results.jsonl"
        n_bad = 0
        if not options.table:
            n_bad = run_all(faults, options.runs, options.output, options.first)
        if options.table is not False:
            print(table(results_of(options.output)))
    sys.exit(bool(n_bad))


if __name__ == "__main__":
    main()
