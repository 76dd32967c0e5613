"""Kills a search before every n-th change of a file, resumes it, and compares the results.

    python -m benchmarks.killing [--every 1] [--first 1] [--last N]

Unlike random moments, these are all the moments at which a kill leaves other files. A search with
one worker and without a time limit is run once without an interruption, and its changes of files
are counted: writes, syncs, renames, removals, new folders. Then it is run again, and killed
(SIGKILL) before the first change, before the second one, and so on, and resumed. Compared are all
trials, the repeats, the winner, and every byte of the weights in `best/` and in the checkpoints.
Moments before the study exists are left out, because there is nothing to resume.

The commands are forks of this process, which has loaded the libraries.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import autotrain.search.storage.journal as journal
from autotrain.cli.main import main as command_line
from autotrain.search import saving
from benchmarks.searches import differences, facts_of, write_table

CHANGES = ("replace", "rename", "unlink", "rmdir", "mkdir", "fsync", "fdatasync", "write", "link")
"""Functions of `os` that change files, or wait for a change."""
TERMINAL = (1, 2)
NOTHING_LEFT = 2
"""Exit code of `resume` for a study that has ended."""
SPACE = """
[network]
hidden_layers = { low = 1, high = 2 }
hidden_units = { low = 4, high = 24 }
[optimizer]
choices = ["adam", "nesterov"]
[training]
batch_size = 32
epochs = 12
"""


def command(folder: Path, arguments: Sequence[str], kill_at: int | None = None) -> int:
    """Run a command in a fork of this process, and return its exit code.

    Args:
        folder: its working directory. The number of changes is written to `changes.txt`.
        arguments: those of `autotrain`.
        kill_at: number of the change before which it is killed; None to let it end.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 99
    try:
        os.chdir(folder)
        output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for number in TERMINAL:
            os.dup2(output, number)
        n_changes = count_changes(kill_at)
        sys.argv = ["autotrain", *arguments]
        try:
            code = command_line() or 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        Path("changes.txt").write_text(str(n_changes[0]))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def count_changes(kill_at: int | None) -> list[int]:
    """Count the changes of files in this process, and kill it before one of them.

    Returns: a list with the number of changes so far.
    """
    n = [0]

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def change(*arguments: Any, **named: Any) -> Any:
            if arguments[:1] not in [(number,) for number in TERMINAL]:
                n[0] += 1
                if n[0] == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        return change

    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))
    journal._sync = os.fdatasync
    return n


def main() -> int:
    """Run the benchmark; the exit code is 1 if a resumed search differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--last", type=int)
    asked = parser.parse_args()
    importlib.import_module("autotrain.study")  # so that the forks have it
    # A short search has many snapshots.
    saving.EVERY_S, saving.SHARE = 0.05, 1.0
    n_kills = n_different = 0
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        target = write_table("wine", work / "table.csv")
        (work / "space.toml").write_text(SPACE)
        search = ["search", str(work / "table.csv"), "--target", target, "--study", "s"]
        search += ["--trials", "8", "--workers", "1", "--validation", "holdout", "--quiet"]
        search += ["--space", str(work / "space.toml"), "--finalists", "2"]
        (work / "whole").mkdir()
        if command(work / "whole", search):
            raise SystemExit((work / "whole" / "output.txt").read_text())
        whole = facts_of(work / "whole" / "studies" / "s")
        n_changes = int((work / "whole" / "changes.txt").read_text())
        last = n_changes if asked.last is None else min(n_changes, asked.last)
        for number in range(asked.first, last + 1, asked.every):
            folder = work / str(number)
            folder.mkdir()
            command(folder, search, number)
            study = folder / "studies" / "s"
            if (study / "study.toml").is_file():
                n_kills += 1
                code = command(folder, ["resume", "s", "--quiet"])
                found = list(differences(whole, facts_of(study)))
                # A search that was killed when all was done has nothing left to resume.
                if found or code not in (0, NOTHING_LEFT):
                    n_different += 1
                    names = ", ".join(each.partition(":")[0] for each in found[:5])
                    print(f"killed before change {number}: exit code {code}, {names}", flush=True)
            shutil.rmtree(folder)
    print(f"{n_changes} changes, {n_kills} kills, {n_different} differ")
    return int(n_different > 0)


if __name__ == "__main__":
    sys.exit(main())
