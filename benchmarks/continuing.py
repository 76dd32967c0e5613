"""Kills searches at random moments, resumes them, and compares the results bit for bit.

    python -m benchmarks.continuing [--kills 40] [--trials 24] [--table breast_cancer]
        [--every 0.5] [--folds holdout] [--pruner performance]

A search with one worker and without a time limit is run once without an interruption. Then it is
run again, killed (SIGKILL) at a random moment, and resumed until it ends. Compared are all trials
(state, parameters, value, curve, cause, epochs, history), the repeats, the winner, and every byte
of the weights in `best/` and in the checkpoints. Not compared are times.

`--every` is the time in seconds between two snapshots, 5 in an ordinary search, so that a short
search has many of them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from autotrain.search.snapshot import FILE, Snapshot
from benchmarks.searches import differences, facts_of, trials_of, write_table

SEARCH = (
    "import autotrain.search.saving as saving; saving.EVERY_S = {every}; saving.SHARE = 1.0; "
    "from autotrain.cli.main import main; main()"
)


@dataclass(frozen=True)
class Kill:
    """A killed search.

    Args:
        after_s: seconds after its start.
        n_running: trials that were running.
        epochs: epochs of these trials that the snapshot had; empty without a snapshot.
        differences: what differs from the search without an interruption.
    """

    after_s: float
    n_running: int
    epochs: tuple[int, ...]
    differences: tuple[str, ...]


def command(every: float, *arguments: str) -> list[str]:
    """Return the command of autotrain with another time between two snapshots."""
    return [sys.executable, "-c", SEARCH.format(every=every), *arguments]


def run(folder: Path, arguments: list[str], kill_after_s: float | None = None) -> float:
    """Run a command in a folder, kill it, and return its seconds.

    Raises:
        RuntimeError: when it fails by itself.
    """
    start = time.monotonic()
    with (folder / "output.txt").open("ab") as output:
        process = subprocess.Popen(
            arguments, cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
        try:
            process.wait(kill_after_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return time.monotonic() - start
    if process.returncode:
        raise RuntimeError((folder / "output.txt").read_text()[-2000:])
    return time.monotonic() - start


def killed(
    folder: Path, search: list[str], resume: list[str], after_s: float, whole: dict[str, Any]
) -> Kill | None:
    """Kill and resume a search; None if it ended before."""
    folder.mkdir()
    run(folder, search, after_s)
    study = folder / "studies" / "s"
    if not (study / "journal.log").is_file():
        return None
    trials, attrs = trials_of(study)
    running = [trial.number for trial in trials if trial.state == TrialState.RUNNING]
    identity = attrs.get("identity", {}).get("id", "")
    snapshot = Snapshot.read(study / "checkpoints" / FILE, identity)
    epochs = () if snapshot is None else tuple(run.epoch for run in snapshot.runs if run.states)
    if attrs.get("is_exported") is not False:
        return None
    run(folder, resume)
    return Kill(after_s, len(running), epochs, tuple(differences(whole, facts_of(study))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--table", default="breast_cancer")
    parser.add_argument("--every", type=float, default=0.5)
    parser.add_argument("--validation", default="holdout")
    parser.add_argument("--pruner", default="performance")
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--space", default="default")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    generator = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        target = write_table(options.table, folder / "table.csv")
        search = command(
            options.every,
            *("search", str(folder / "table.csv"), "--target", target, "--study", "s"),
            *("--trials", str(options.trials), "--workers", "1", "--seed", str(options.seed)),
            *("--validation", options.validation, "--pruner", options.pruner),
            *("--sampler", options.sampler, "--space", options.space, "--quiet"),
        )
        resume = command(options.every, "resume", "s", "--quiet")
        (folder / "whole").mkdir()
        whole_s = run(folder / "whole", search)
        whole = facts_of(folder / "whole" / "studies" / "s")
        print(f"uninterrupted: {whole_s:.0f} s, {len(whole)} facts", flush=True)
        found: list[Kill] = []
        attempt = 0
        while len(found) < options.kills:
            attempt += 1
            after_s = generator.uniform(0.1, 1.0) * whole_s
            kill = killed(folder / str(attempt), search, resume, after_s, whole)
            if kill is None:
                continue
            found.append(kill)
            print(
                f"killed after {kill.after_s:5.1f} s, {kill.n_running} running, epochs "
                f"{list(kill.epochs)}: "
                f"{'equal' if not kill.differences else '; '.join(kill.differences[:3])}",
                flush=True,
            )
        equal = sum(not kill.differences for kill in found)
        middle = sum(any(kill.epochs) for kill in found)
        several = sum(kill.n_running >= 8 for kill in found)
        print(json.dumps({"kills": len(found), "equal": equal, "in_mid_trial": middle}))
        print(f"{several} kills with at least eight trials running")


if __name__ == "__main__":
    main()
