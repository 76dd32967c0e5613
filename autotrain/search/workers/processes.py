"""Workers as local processes: one per core, one thread each, one per GPU.

Rows are written once to files that every process maps into memory (`data/encoded.py`), each view
when a training first reads it. The rows of a single fold are in memory once, whatever the number of
workers. Several folds are joined into a copy in each process.

A worker is a subprocess that runs `_serve` at the other end of a pipe. It is not a
`multiprocessing.Process`, so a search also runs inside the processes of joblib, of
`multiprocessing.Pool` (daemonic: no children allowed) and of notebooks, and it never runs the
caller's script again. It is never forked, because a fork of a process with threads may hang.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from multiprocessing import Pipe, spawn
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch

from autotrain.data.encoded import EncodedFold, Packed, PackedRows, unpack
from autotrain.network.config import view_of
from autotrain.search.attributes import Cause
from autotrain.search.workers.protocol import (
    SIGN_EVERY_S,
    Alive,
    Close,
    Command,
    Crashed,
    Message,
)
from autotrain.search.workers.training import Training
from autotrain.techniques.view import View
from autotrain.training.rows import Problem
from autotrain.training.slot import Admission
from autotrain.training.trainer import Trainer

# The child's interpreter reads this when it starts. Each process has one thread. glibc keeps memory
# that a step frees; otherwise the next step would have to fault it in again (5–8 % of a step).
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(1 << 26),
}
# The first message is the list of folders in which the search loop finds its modules. Until then
# `-P` excludes the working directory, which may contain a file with the name of a module.
_START = (
    "import sys; from multiprocessing.connection import Connection; "
    "pipe = Connection({fd}); sys.path[:] = pipe.recv(); "
    "from autotrain.search.workers.parent import end_with; end_with({pid}); "
    "from autotrain.search.workers.processes import _serve; _serve(pipe, {device!r})"
)
OWN_FOLDER = str(Path(__file__).resolve().parents[3])
"""Folder of the package `autotrain`."""
# Time in seconds in which a process may end by itself before it is terminated.
LEAVING_S = 2.0
READ_EVERY_S = 0.05
"""Seconds between two looks for commands within an epoch."""
KILLED = 9
"""Number of SIGKILL, a name that Windows lacks."""
VMSTAT = Path("/proc/vmstat")


class Inputs(NamedTuple):
    """The inputs of all folds in a view, which the next admissions read."""

    view: View
    packed: Packed


class ProcessWorker:
    """One worker process and the pipe to it.

    It loads its libraries while the rows are still being written, and trains after `give`.

    Args:
        device: "cpu" or "cuda:0".
        name: name in messages to the user, such as "worker 1".
    """

    def __init__(self, device: str, name: str) -> None:
        self.rows: tuple[Problem, PackedRows] | None = None
        self._views: set[View] = set()
        self.device = device
        self.name = name
        self._n_killed = n_killed_for_memory()
        self.pipe, theirs = Pipe()
        code = _START.format(fd=theirs.fileno(), pid=os.getpid(), device=device)
        try:
            with _without_interrupts():
                self.process = subprocess.Popen(
                    [spawn.get_executable(), *_interpreter_flags(), "-P", "-c", code],
                    env=os.environ | WORKER_ENVIRONMENT,
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                )
        except BaseException:
            self.pipe.close()
            raise
        finally:
            theirs.close()
        self._send(_module_folders())
        self.has_left = False

    def give(self, problem: Problem, rows: PackedRows) -> ProcessWorker:
        """Send the problem and the targets, before any command; return this worker."""
        self.rows = problem, rows
        self._send((problem, rows.targets))
        return self

    def send(self, command: Command) -> None:
        """Send a command; `receive` reports a process that has ended.

        Raises:
            StorageError: when the rows that an admission reads cannot be written.
        """
        if isinstance(command, Admission):
            self._send_view(view_of(command.config))
        self._send(command)

    def _send_view(self, view: View) -> None:
        """Send the places of a view's inputs, unless the process knows them."""
        if view in self._views or self.rows is None:
            return
        _, rows = self.rows
        self._send(Inputs(view, rows.view(view)))
        self._views.add(view)

    def _send(self, message: Command | tuple[Problem, Packed] | Inputs | list[str]) -> None:
        with contextlib.suppress(BrokenPipeError, OSError):
            self.pipe.send(message)

    def receive(self) -> list[Message]:
        """Return all messages that have arrived, without waiting."""
        messages: list[Message] = []
        try:
            while not self.has_left and self.pipe.poll():
                messages += self.pipe.recv()
        except (EOFError, OSError):
            self.has_left = True
            self._has_ended()
            text, cause = f"exit code {self.process.returncode}", Cause.WORKER_DIED
            is_killed = self.process.returncode == -KILLED
            if is_killed and n_killed_for_memory() > self._n_killed:
                text, cause = "the memory of the system is too small", Cause.OUT_OF_MEMORY
            text = f"{self.name} ended unexpectedly ({text})"
            messages.append(Crashed((), cause, text, is_alive=False))
        return messages

    def close(self) -> None:
        """Ask the process to end, and terminate it if it does not."""
        self.send(Close())
        if not self._has_ended():
            self.process.terminate()
            if not self._has_ended():
                self.process.kill()
                self.process.wait()
        self.pipe.close()
        self.has_left = True

    def _has_ended(self) -> bool:
        """Wait for the process at most `LEAVING_S` seconds; return True if it has ended."""
        try:
            self.process.wait(LEAVING_S)
        except subprocess.TimeoutExpired:
            return False
        return True

    def renew(self) -> ProcessWorker:
        """Start another process with this name and the same rows."""
        assert self.rows is not None
        return ProcessWorker(self.device, self.name).give(*self.rows)


def n_killed_for_memory() -> int:
    """Return how many processes Linux has ended because its memory was full; 0 elsewhere."""
    with contextlib.suppress(OSError, ValueError):
        for line in VMSTAT.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Block Ctrl-C; a process that is started in this context never receives it.

    A worker that received it before `_serve` handles it would print a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _module_folders() -> list[str]:
    """Return the folders in which this process finds its modules, without the working directory.

    That is '' in the search path of a notebook or a prompt. So a worker imports autotrain and its
    libraries, but no file next to the data.
    """
    folders = [folder for folder in sys.path if isinstance(folder, str) and folder]
    return folders if OWN_FOLDER in folders else [*folders, OWN_FOLDER]


def can_start_processes() -> bool:
    """Whether there is an interpreter to start, and a pipe can be passed to it.

    A frozen program has no interpreter, and Windows passes no descriptors.
    """
    passes_pipes = hasattr(signal, "pthread_sigmask")
    return passes_pipes and bool(spawn.get_executable()) and not getattr(sys, "frozen", False)


def _interpreter_flags() -> list[str]:
    """Return the options with which this interpreter was started, such as -W error."""
    made: Any = subprocess
    flags: list[str] = made._args_from_interpreter_flags()
    return flags


def _serve(pipe: Connection, device: str) -> None:
    """Run in the worker process until `Close`, or until the search loop has ended."""
    # Ctrl-C reaches all processes of the terminal, and the search loop handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    # The garbage collector need not visit the libraries again, which also makes the exit fast.
    gc.freeze()
    with contextlib.suppress(EOFError, OSError):
        first = pipe.recv()
        if isinstance(first, Close):
            return
        problem, targets = first
        folds: tuple[EncodedFold, ...] = unpack(targets)
        lock = threading.Lock()
        threading.Thread(target=_send_signs, args=(pipe, lock), daemon=True).start()
        training = Training(partial(Trainer, problem, folds, device))
        commands = Orders(pipe, training, folds)
        while True:
            commands.read(waits=training.is_idle)
            messages = training.step(commands.read_within_epoch)
            with lock:
                pipe.send(messages)


class Orders:
    """The commands that arrive in a worker process.

    Args:
        pipe: the connection to the search loop.
        training: obeys the commands.
        folds: get the inputs of the views that are announced.
    """

    def __init__(self, pipe: Connection, training: Training, folds: Sequence[EncodedFold]) -> None:
        self.pipe = pipe
        self.training = training
        self.folds = folds
        self._read_s = 0.0

    def read(self, *, waits: bool = False) -> None:
        """Read the commands that have arrived.

        Args:
            waits: wait until there is something to train.
        Raises:
            SystemExit: when the search loop closes the worker.
        """
        # An idle worker sleeps in recv; a busy one polls.
        while (waits and self.training.is_idle) or self.pipe.poll():
            command = self.pipe.recv()
            if isinstance(command, Close):
                sys.exit(0)
            if isinstance(command, Inputs):
                for fold, encoded in zip(self.folds, unpack(command.packed), strict=True):
                    fold.views[command.view] = encoded
            else:
                self.training.obey(command)

    def read_within_epoch(self) -> None:
        """Read the commands that have arrived, but not after every step of a small network."""
        now_s = time.monotonic()
        if now_s - self._read_s >= READ_EVERY_S:
            self._read_s = now_s
            self.read()


def _send_signs(pipe: Connection, lock: threading.Lock) -> None:
    """Send signs of life until the search loop has ended."""
    with contextlib.suppress(OSError, ValueError):
        while True:
            time.sleep(SIGN_EVERY_S)
            with lock:
                pipe.send([Alive()])
