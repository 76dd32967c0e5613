"""The faults that happen to the processes of a search, to its machine, and to its results.

Each fault is a function of a run whose search has started. It waits for its moment, does what it
does, and returns how often it occurred: 0 if the search ended before.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import resource
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

from autotrain.search import watch
from autotrain.training.trainer import Trainer
from benchmarks.faulting.launch import Command
from benchmarks.faulting.run import ALONE, Result, Run, Setting, Whole, finished, running
from benchmarks.faulting.servers import server_of

Act = Callable[[Run, Whole, random.Random], int]
Change = Callable[[random.Random], Callable[[], None]]


@dataclass(frozen=True)
class Fault:
    """A fault.

    Args:
        name: its name on the command line.
        text: its name in the table.
        runs: how many runs are usual.
        act: see above.
        setting: the search.
        is_exact: whether the result must equal that of a search without a fault.
        change: returns a function that changes the process of the search before it begins.
        studies: makes the folder of all studies, for example on a small disk.
        server: kind of the server that has the trials; "" for a journal in the study's folder.
        needs_clock: whether the clock must be one that the benchmark can set.
        special: makes the whole run, instead of all above.
    """

    name: str
    text: str
    runs: int
    act: Act
    setting: Setting = ALONE
    is_exact: bool = False
    change: Change = lambda generator: lambda: None
    studies: Callable[[Path], contextlib.AbstractContextManager[Path | None]] = lambda parent: (
        contextlib.nullcontext()
    )
    server: str = ""
    needs_clock: bool = False
    special: Callable[[Path, int, Whole], Result] | None = None

    def once(
        self,
        parent: Path,
        number: int,
        generator: random.Random,
        whole: Whole,
        seed: int = 0,
    ) -> Result | None:
        """Return the result of one run; None if the search ended before the fault.

        Args:
            parent: folder for temporary files.
            number: number of the run.
            generator: random numbers of the run.
            whole: the search without a fault.
            seed: seed of the search.
        """
        if self.special is not None:
            return self.special(parent, number, whole)
        share = generator.random()
        url = server_of(self.server).url() if self.server else None
        with self.studies(parent) as studies:
            options = {"share": share, "seed": seed, "url": url, "studies": studies}
            with running(parent, self.setting, **options) as run:
                run.start(self.change(generator))
                n = self.act(run, whole, generator)
                if not n:
                    return None
                result = Result(self.name, number, n_faults=n, share=round(share, 3))
                return finished(run, result, whole, is_exact=self.is_exact)


def send(*numbers: int, wait_s: float = 0.0, to_all: bool = True) -> Act:
    """Return a fault that sends signals.

    Args:
        numbers: the signals.
        wait_s: longest time in seconds between two of them.
        to_all: whether the workers get them, too.
    """

    def act(run: Run, whole: Whole, generator: random.Random) -> int:
        if not run.wait(whole):
            return 0
        for index, number in enumerate(numbers):
            if index and not run.command.sleep(generator.uniform(0.0, wait_s)):
                return 1
            if to_all:
                run.command.signal(number)
            else:
                os.kill(run.command.pid, number)
        run.over()
        return 1

    return act


def kill_twice(run: Run, whole: Whole, generator: random.Random) -> int:
    """Kill a search, and kill it again when it was resumed."""
    if not run.wait(whole):
        return 0
    run.command.signal(signal.SIGKILL)
    run.command.wait()
    if not run.is_unfinished():
        return 1
    run.start()
    # The rest of the search is shorter.
    if not run.wait(whole, generator.uniform(0.0, 1.0 - run.share)):
        return 1
    run.command.signal(signal.SIGKILL)
    return 2


def freeze(run: Run, whole: Whole, generator: random.Random) -> int:
    """Stop all processes for a while (SIGSTOP, SIGCONT)."""
    if not run.wait(whole):
        return 0
    run.command.signal(signal.SIGSTOP)
    time.sleep(generator.uniform(0.2, 2.0))
    run.command.signal(signal.SIGCONT)
    run.over()
    return 1


def to_worker(number: int) -> Act:
    """Return a fault that sends a signal to one worker."""

    def act(run: Run, whole: Whole, generator: random.Random) -> int:
        if not run.wait(whole):
            return 0
        workers = run.command.workers()
        if not workers:
            return 0
        with contextlib.suppress(ProcessLookupError):
            os.kill(generator.choice(workers), number)
        run.over()
        return 1

    return act


def impatient(silent_s: float) -> Callable[[], None]:
    """Return a change: workers without a sign of life are ended sooner."""

    def change() -> None:
        watch.SILENT_S = silent_s

    return change


def less_memory(run: Run, whole: Whole, generator: random.Random) -> int:
    """Forbid a worker to get more memory, for a second."""
    if not run.wait(whole):
        return 0
    workers = run.command.workers()
    if not workers:
        return 0
    worker = generator.choice(workers)
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        size = 4096 * int(Path(f"/proc/{worker}/statm").read_text().split()[0])
        resource.prlimit(worker, resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))
        run.command.sleep(1.0)
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(worker, resource.RLIMIT_AS, unlimited)
    run.over()
    return 1


def no_memory(generator: random.Random) -> Callable[[], None]:
    """Return a change: one random step of training raises a MemoryError."""
    left = generator.randrange(1, 60)

    def change() -> None:
        step, n = Trainer.step, 0

        def failing(trainer: Trainer, *arguments: Any) -> object:
            nonlocal n
            n += 1
            if n == left:
                raise MemoryError
            return step(trainer, *arguments)

        setattr(Trainer, "step", failing)  # noqa: B010

    return change


def nothing(run: Run, whole: Whole, generator: random.Random) -> int:
    """Wait for the end: the fault is in the process, or in the data."""
    run.command.wait()
    return 1


@contextlib.contextmanager
def small_disk(parent: Path) -> Iterator[Path]:
    """Mount a disk of 4 MiB for the studies; this needs the rights of root."""
    folder = parent / f"disk-{time.monotonic_ns()}"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        folder.rmdir()


def fill(folder: Path) -> Path:
    """Write a file that takes all free space of a disk, and return it."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1 << 6, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    return path


SECOND_S = 10.0
"""Seconds until a second signal on a full disk."""


def full_disk(run: Run, whole: Whole, generator: random.Random) -> int:
    """Fill the disk for a while."""
    if not run.wait(whole):
        return 0
    filler = fill(run.study.parent)
    is_alive = run.command.sleep(generator.uniform(0.1, 2.5))
    filler.unlink()
    run.over()
    return int(is_alive)


def full_disk_and_end(number: int) -> Act:
    """Return a fault that fills the disk, and ends the search while it is full."""

    def act(run: Run, whole: Whole, generator: random.Random) -> int:
        if not run.wait(whole):
            return 0
        filler = fill(run.study.parent)
        is_alive = run.command.sleep(generator.uniform(0.1, 1.5))
        run.command.signal(number)
        # After Ctrl-C it may begin to wait for space; the next one ends the wait.
        if run.command.sleep(SECOND_S):
            run.command.signal(number)
        run.command.wait()
        filler.unlink()
        run.over()
        return int(is_alive)

    return act


def dashboard(run: Run, whole: Whole, generator: random.Random) -> int:
    """Open the dashboard during the search, and ask it for everything until the search ends."""
    if not run.wait(whole, START_OF_DASHBOARD):
        return 0
    words = ["dashboard", run.study.name, "--port", "0", "--no-browser"]
    words += ["--directory", str(run.study.parent)]
    page = Command(run.folder, words, run.environment())
    run.commands.insert(0, page)
    try:
        page.wait(lambda: "token=" in page.output and page.output.endswith("\n"))
        address = next(word for word in page.output.split() if "token=" in word)
        root = address.partition("/dashboard")[0]
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
        )
        n = 0
        while not run.command.has_ended():
            for place in (address, f"{root}/api/studies", f"{root}/api/studies/0"):
                with opener.open(place, timeout=60) as answer:
                    answer.read()
            n += 1
        if not n:
            return 0
    finally:
        page.signal(signal.SIGINT)
        page.wait()
    if page.code:
        raise RuntimeError(f"dashboard: {page.code}: {page.output}")
    run.over()
    return 1


START_OF_DASHBOARD = 0.1
