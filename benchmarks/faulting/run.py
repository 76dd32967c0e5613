"""`Run`: one search with a fault, its continuation, and the checks of both."""

from __future__ import annotations

import contextlib
import functools
import random
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import autotrain
from autotrain.cli.resume import _is_incomplete
from autotrain.reporting.status import read_status
from benchmarks.faulting import audit
from benchmarks.faulting.launch import Command, processes_of, sleep
from benchmarks.searches import differences, facts_of, trials_of, write_table

SPACE = """
[network]
hidden_layers = 1
hidden_units = { low = 4, high = 16 }
[dropout]
choices = ["dropout"]
rate = { low = 0.0, high = 0.3 }
[optimizer]
choices = ["adam"]
learning_rate = { low = 1e-3, high = 1e-2, log = true }
[training]
batch_size = 32
epochs = 20
"""
START, END = 0.06, 0.94
"""Shares of the moments before the first epoch, and after the last one."""
PATIENCE_S = 5.0
"""Seconds in which the processes of a run must have ended."""
EXPECTED_CODES = (0, 130)
"""Exit codes of a command that was interrupted, or was not."""


@dataclass(frozen=True)
class Setting:
    """A search.

    Args:
        n_trials, workers, n_finalists, sampler: options of the command.
        learning_rates: lowest and highest learning rate.
    """

    n_trials: int = 10
    workers: int = 1
    n_finalists: int = 2
    sampler: str = "tpe"
    learning_rates: tuple[float, float] = (1e-3, 1e-2)

    def options(self) -> list[str]:
        """Return the options of the command."""
        return [
            *("../table.csv", "--target", "target", "--space", "../space.toml", "--quiet"),
            *("--trials", str(self.n_trials), "--finalists", str(self.n_finalists)),
            *("--ensemble", "0", "--validation", "holdout", "--sampler", self.sampler),
        ]

    def space(self) -> str:
        """Return the space as TOML."""
        low, high = self.learning_rates
        return SPACE.replace("low = 1e-3, high = 1e-2", f"low = {low}, high = {high}")


ALONE = Setting()
"""One worker, so that a search can be repeated bit for bit."""
TWO = Setting(workers=2, n_finalists=0)


@dataclass
class Result:
    """The mistakes in one run.

    Args:
        fault: name of the fault.
        number: number of the run.
        n_faults: how often the fault occurred.
        lost, doubled, wrong, unloadable, left, errors: mistakes, as sentences.
        recover_s: seconds until the next epoch was trained, or until the end if none was left.
        share: the moment, as a share of the search.
        notes: anything else.
    """

    fault: str
    number: int
    n_faults: int = 1
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unloadable: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    recover_s: float | None = None
    share: float | None = None
    notes: str = ""

    def is_good(self) -> bool:
        """Whether no mistake was found."""
        return not any((self.lost, self.doubled, self.wrong, self.unloadable, self.left))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Whole:
    """A search without a fault.

    Args:
        facts: see `facts_of`.
        n_epochs: number of trained epochs.
        start_s, end_s: seconds before the first epoch, and after the last one.
        rows: validation rows of the table.
    """

    facts: dict[str, Any]
    n_epochs: int
    start_s: float
    end_s: float
    rows: audit.Rows


class Run:
    """A search with a fault, in a folder of its own.

    Args:
        parent: folder for temporary files of the benchmark.
        setting: the search.
        share: the moment of the fault, from 0 (start of the command) to 1 (its end).
        seed: seed of the search.
        url: URL of its storage; None for the journal in its folder.
        studies: folder of all studies; None for a new one.
    """

    def __init__(
        self,
        parent: Path,
        setting: Setting,
        *,
        share: float = 0.0,
        seed: int = 0,
        url: str | None = None,
        studies: Path | None = None,
    ) -> None:
        self.parent = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
        self.folder = self.parent / "here"
        self.temporary = self.parent / "temporary"
        self.folder.mkdir()
        self.temporary.mkdir()
        self.setting, self.share, self.seed, self.url = setting, share, seed, url
        # In a database all studies have different names.
        name = "s" if url is None else self.parent.name
        self.study = (studies or self.folder / "studies") / name
        write_table("wine", self.parent / "table.csv")
        (self.parent / "space.toml").write_text(setting.space())
        self.commands: list[Command] = []
        self.over_s = 0.0
        """When the fault was over."""

    @property
    def command(self) -> Command:
        """The last command."""
        return self.commands[-1]

    def environment(self) -> dict[str, str]:
        """Return the changed variables of the environment."""
        found = {"TMPDIR": str(self.temporary)}
        return found if self.url is None else found | {"AUTOTRAIN_STORAGE": self.url}

    def start(self, change: Callable[[], None] = lambda: None) -> None:
        """Start the search, or resume it if it has begun."""
        place = ["--directory", str(self.study.parent), "--workers", str(self.setting.workers)]
        if self._is_begun():
            arguments = ["resume", self.study.name, "--quiet", *place]
        else:
            options = self.setting.options()
            name = ["--study", self.study.name, "--seed", str(self.seed)]
            arguments = ["search", *options, *name, *place]
        self.commands.append(Command(self.folder, arguments, self.environment(), change))

    def _is_begun(self) -> bool:
        if not (self.study / "study.toml").is_file():
            return False
        with contextlib.suppress(Exception):
            read_status(self.study, self.url)
            return True
        return False

    def is_unfinished(self) -> bool:
        """Whether anything is left to do."""
        if not self._is_begun():
            return True
        status = read_status(self.study, self.url)
        return status.is_unfinished or not status.left.is_nothing or _is_incomplete(status)

    def wait(self, whole: Whole, share: float | None = None) -> bool:
        """Wait for the moment; return False if the search ends before."""
        share = self.share if share is None else share
        command = self.command
        if share < START:
            return command.sleep(share / START * whole.start_s)
        if share >= END:
            target = whole.n_epochs
            rest_s = (share - END) / (1 - END) * whole.end_s
        else:
            target = 1 + int((share - START) / (END - START) * (whole.n_epochs - 1))
            rest_s = 0.0
        return command.wait(lambda: command.n_epochs() >= target) and command.sleep(rest_s)

    def over(self) -> None:
        """Note that the fault is over now."""
        self.over_s = time.monotonic()

    def recover_s(self) -> float:
        """Return the seconds from the end of the fault to the next epoch, or to the end."""
        command = self.command
        begun_s = max(self.over_s, command.begun_s)
        later = [epoch_s for epoch_s in command.epochs_s if epoch_s > begun_s]
        return (min(later) if later else time.monotonic()) - begun_s

    def left_processes(self) -> list[str]:
        """Return the processes that are still alive some seconds after the end."""
        end_s = time.monotonic() + PATIENCE_S
        while True:
            found = [pid for command in self.commands for pid in processes_of(command.pid)]
            if not found or time.monotonic() > end_s:
                return [f"process {pid} is alive" for pid in found]
            sleep(0.02)

    def close(self) -> None:
        """End all processes, and remove the files."""
        for command in self.commands:
            if not command.has_ended() or processes_of(command.pid):
                command.signal(9)
        shutil.rmtree(self.parent, ignore_errors=True)


@contextlib.contextmanager
def running(*arguments: Any, **options: Any) -> Iterator[Run]:
    """Make a run, and end it; for the arguments see `Run`."""
    run = Run(*arguments, **options)
    try:
        yield run
    finally:
        run.close()


@functools.cache
def whole_search(parent: Path, setting: Setting, seed: int = 0) -> Whole:
    """Run a search without a fault.

    Raises:
        RuntimeError: when it fails.
    """
    with running(parent, setting, seed=seed) as run:
        run.start()
        run.command.wait()
        ended_s = time.monotonic()
        times = run.command.epochs_s
        if run.command.code:
            raise RuntimeError(run.command.output)
        rows = validation_rows(run.study)
        start_s, end_s = times[0] - run.command.begun_s, ended_s - times[-1]
        return Whole(facts_of(run.study), len(times), start_s, end_s, rows)


def validation_rows(study: Path) -> audit.Rows:
    """Return the validation rows of a study: features and target."""
    with (
        contextlib.chdir(study.parents[1]),
        autotrain.Study.resume(study.name, directory=study.parent) as opened,
    ):
        return opened.dataset.raw_valid()


def checked(
    run: Run, result: Result, whole: Whole, *, is_exact: bool, before: Mapping[int, str]
) -> Result:
    """Check the study of a run at its end.

    Args:
        run: the run, whose search has ended.
        result: what was found so far.
        whole: the search without a fault.
        is_exact: whether all must equal that search.
        before: `audit.ended` after the fault.
    """
    n_trials = run.setting.n_trials
    trials, attributes = trials_of(run.study, run.url)
    result.lost += audit.lost(dict(before), trials, n_trials)
    result.doubled += audit.doubled(trials, n_trials)
    result.wrong += audit.wrong_winner(run.study, trials, attributes, run.setting.n_finalists)
    result.unloadable += audit.unloadable(run.study, trials, attributes, whole.rows)
    if is_exact:
        result.wrong += list(differences(whole.facts, facts_of(run.study, run.url)))[:3]
    result.left += audit.left_files(run.study, run.temporary)
    result.left += [f"left: /dev/shm/{name}" for name in sorted(_shared() - SHARED)]
    return result


def _shared() -> set[str]:
    """Return the names of the shared memory, without that of the programs of the benchmark."""
    folder = Path("/dev/shm")
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return {name for name in names if not re.match(r"PostgreSQL\.|(sem\.)?faketime_", name)}


SHARED = _shared()
"""Shared memory at the start of the benchmark."""


def finished(run: Run, result: Result, whole: Whole, *, is_exact: bool) -> Result:
    """Wait for the end of a search with a fault, resume it if anything is left, and check it."""
    command = run.command
    command.wait()
    result.left += run.left_processes()
    _note_code(command, result)
    before: dict[int, str] = {}
    if run._is_begun():
        trials, _ = trials_of(run.study, run.url)
        before = audit.ended(trials)
        result.lost += audit.shown_and_lost(command.n_shown, trials)
    if run.is_unfinished():
        run.start()
        run.command.wait()
        result.left += run.left_processes()
        if run.command.code:
            result.errors.append(f"resume: exit code {run.command.code}: {_last(run.command)}")
    elif command.code is not None and command.code < 0:
        # It was killed after its end was recorded. The next command removes the temporary files.
        repair = Command(
            run.folder,
            ["doctor", run.study.name, "--fix", "--directory", str(run.study.parent)],
            run.environment(),
        )
        repair.wait()
        run.commands.insert(0, repair)
    result.recover_s = round(run.recover_s(), 3)
    return checked(run, result, whole, is_exact=is_exact, before=before)


def _note_code(command: Command, result: Result) -> None:
    code = command.code
    # A negative code is the signal that ended it.
    if code is not None and code >= 0 and code not in EXPECTED_CODES:
        result.notes += f" exit code {code}: {_last(command)}"
    if "Traceback" in command.output:
        result.errors.append(f"traceback: {_last(command)}")


def _last(command: Command) -> str:
    return " ".join(command.output.split())[-600:]


def seeds_of(fault: str, number: int) -> random.Random:
    """Return the random numbers of a run, which are the same when the benchmark is repeated."""
    return random.Random(f"{fault} {number}")
