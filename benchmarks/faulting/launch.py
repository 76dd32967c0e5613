"""`Command`: a command of autotrain in a process of its own, whose trained epochs are counted.

The process is a fork of the benchmark, which has loaded all libraries, so that a search takes
seconds. It is the leader of a session of its own, as in a terminal. Everything after the imports is
the command itself. Two things are added: the time of each trained epoch is written to a file, and
so is the number of ended trials whenever it is shown.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autotrain.cli.main import main
from autotrain.search import saving
from autotrain.search.loop import SearchLoop
from autotrain.search.progress import Observer, Progress

EVERY_S = 0.1
"""Seconds between two snapshots; 5 in an ordinary search."""
EPOCHS, SHOWN, OUTPUT = "epochs", "shown", "output.txt"
"""Names of the files with the times of epochs, the number of ended trials, and the output."""
POLL_S = 0.002
CLOCK = "FAKETIME_TIMESTAMP_FILE"
"""Variable of the environment with the file that sets the clock of all processes of a run."""


class Command:
    """A running command.

    Args:
        folder: its working directory; files of the benchmark are in the folder above.
        arguments: those of the command line.
        environment: changed variables of the environment.
        change: changes something in the process before the command begins.
    """

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        change: Callable[[], None] = lambda: None,
    ) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="command-", dir=folder.parent))
        self.code: int | None = None
        self.begun_s = time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            _run(self.place, folder, arguments, environment, change)

    @property
    def output(self) -> str:
        """Its outputs so far."""
        return _bytes(self.place / OUTPUT).decode(errors="replace")

    @property
    def n_shown(self) -> int:
        """Number of complete and pruned trials that were shown."""
        data = _bytes(self.place / SHOWN)
        return int(struct.unpack("d", data[:8])[0]) if len(data) >= 8 else 0

    @property
    def epochs_s(self) -> list[float]:
        """Time of each trained epoch."""
        data = _bytes(self.place / EPOCHS)
        return list(struct.unpack(f"{len(data) // 8}d", data[: len(data) // 8 * 8]))

    def n_epochs(self) -> int:
        """Return the number of trained epochs."""
        with contextlib.suppress(FileNotFoundError):
            return (self.place / EPOCHS).stat().st_size // 8
        return 0

    def has_ended(self) -> bool:
        """Whether the process has ended."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def wait(self, until: Callable[[], bool] = lambda: False, patience_s: float = 180.0) -> bool:
        """Wait for a condition; return False if the process ends before.

        Raises:
            TimeoutError: when neither happens.
        """
        end_s = time.monotonic() + patience_s
        while not self.has_ended():
            if until():
                return True
            if time.monotonic() > end_s:
                raise TimeoutError(f"the search did not end in time: {self.output[-1500:]}")
            sleep(POLL_S)
        return False

    def sleep(self, seconds: float) -> bool:
        """Wait some seconds; return False if the process ends before."""
        end_s = time.monotonic() + seconds
        return self.wait(lambda: time.monotonic() >= end_s)

    def signal(self, number: int) -> None:
        """Send a signal to the process and its workers, as a terminal does."""
        self.wait(lambda: (self.place / OUTPUT).exists())
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def workers(self) -> list[int]:
        """Return the ids of its living worker processes."""
        return [pid for pid in processes_of(self.pid) if pid != self.pid]


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def processes_of(session: int) -> list[int]:
    """Return the ids of the living processes of a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # The name of the program is in brackets and may contain spaces.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] not in "ZX":
                found.append(int(folder.name))
    return sorted(found)


def _run(
    place: Path,
    folder: Path,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    change: Callable[[], None],
) -> None:
    """Run the command in the new process, and end the process."""
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        _connect(place)
        os.environ.update(environment)
        tempfile.tempdir = None
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = ["autotrain", *arguments]
        count(place)
        if CLOCK in os.environ:
            setattr(time, "sleep", sleep)  # noqa: B010
        change()
        code = main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 71
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def sleep(seconds: float) -> None:
    """Sleep in another way than `time.sleep`, which fails under libfaketime."""
    select.select([], [], [], seconds)


def _connect(place: Path) -> None:
    """Connect the standard input with nothing, and the outputs with a file."""
    output = os.open(place / OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    # The objects of the benchmark may be those of a test, which write elsewhere.
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, mode, closefd=False) for number, mode in enumerate(("r", "w", "w"))
    )


class _Noted:
    """An observer that writes to a file how many trials were shown."""

    def __init__(self, observer: Observer, path: Path) -> None:
        self.observer = observer
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT)

    def update(self, progress: Progress) -> None:
        self.observer.update(progress)
        number = progress.n_complete + progress.n_pruned
        os.pwrite(self._fd, struct.pack("d", number), 0)


def count(place: Path) -> None:
    """Write the times of epochs, and the numbers of ended trials, to files in a folder."""
    saving.EVERY_S, saving.SHARE = EVERY_S, 1.0
    fd = os.open(place / EPOCHS, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    take, make = SearchLoop._take_report, SearchLoop.__init__

    def noted(loop: SearchLoop, *report: Any) -> None:
        take(loop, *report)
        os.write(fd, struct.pack("d", time.monotonic()))

    def made(loop: SearchLoop, *arguments: Any, **options: Any) -> None:
        make(loop, *arguments, **options)
        loop.observer = _Noted(loop.observer, place / SHOWN)

    setattr(SearchLoop, "_take_report", noted)  # noqa: B010
    setattr(SearchLoop, "__init__", made)  # noqa: B010
