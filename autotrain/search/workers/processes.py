"""Workers as local processes: one per core, one thread each, one per GPU.

Rows are written once to files that every process maps into memory. One fold's rows are held once
however many workers there are; several folds are joined in each process, which holds a copy then.

A worker is a subprocess that runs `_serve` at the other end of a pipe. It is not a
`multiprocessing.Process`, so a search also runs inside the processes of joblib, of
`multiprocessing.Pool` (daemonic: no children allowed) and of notebooks, and it never runs the
caller's script again. It is never forked: a fork of a process with threads may hang.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from multiprocessing import Pipe, spawn
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from autotrain.data.encoded import PackedFolds, unpack
from autotrain.search.attributes import Cause
from autotrain.search.workers.protocol import Close, Command, Crashed, Message
from autotrain.search.workers.training import Training
from autotrain.training.rows import Problem
from autotrain.training.trainer import Trainer

# Read as the child's interpreter starts. One thread per process; and glibc keeps the memory that a
# step frees instead of handing it back, for the next step to fault in again (5–8 % of a step).
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(1 << 26),
}
# The first message is the list of folders in which the coordinator finds its modules. `-P` keeps
# the working directory, which may hold a file named like a module, out of the search until then.
_START = (
    "import sys; from multiprocessing.connection import Connection; "
    "pipe = Connection({fd}); sys.path[:] = pipe.recv(); "
    "from autotrain.search.workers.processes import _serve; _serve(pipe, {device!r})"
)
OWN_FOLDER = str(Path(__file__).resolve().parents[3])
"""Folder of the package `autotrain`."""
# How long a process may take to leave by itself before it is ended.
LEAVING_S = 2.0


class ProcessWorker:
    """One worker process and the pipe to it.

    It loads its libraries while the rows are still being written, and trains once it is given them.

    Args:
        device: "cpu" or "cuda:0".
        name: shown to people, e.g. "worker 1".
    """

    def __init__(self, device: str, name: str) -> None:
        self.rows: tuple[Problem, PackedFolds] | None = None
        self.device = device
        self.name = name
        self.pipe, theirs = Pipe()
        code = _START.format(fd=theirs.fileno(), device=device)
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

    def give(self, problem: Problem, folds: PackedFolds) -> ProcessWorker:
        """Send the problem and the places of the rows, before any command; return this worker."""
        self.rows = problem, folds
        self._send(self.rows)
        return self

    def send(self, command: Command) -> None:
        """Send a command; a process that is gone is noticed by `receive`."""
        self._send(command)

    def _send(self, message: Command | tuple[Problem, PackedFolds] | list[str]) -> None:
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
            text = f"{self.name} ended unexpectedly (exit code {self.process.returncode})"
            messages.append(Crashed((), Cause.WORKER_DIED, text, is_alive=False))
        return messages

    def close(self) -> None:
        """Ask the process to leave; end it when it does not."""
        self.send(Close())
        if not self._has_ended():
            self.process.terminate()
            if not self._has_ended():
                self.process.kill()
                self.process.wait()
        self.pipe.close()
        self.has_left = True

    def _has_ended(self) -> bool:
        """Wait a moment for the process; return True when it has ended."""
        try:
            self.process.wait(LEAVING_S)
        except subprocess.TimeoutExpired:
            return False
        return True

    def renew(self) -> ProcessWorker:
        """Start another process of that name on the same rows."""
        assert self.rows is not None
        return ProcessWorker(self.device, self.name).give(*self.rows)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back, for good in a process that is started meanwhile.

    A worker that received it before `_serve` handles it would print a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _module_folders() -> list[str]:
    """Return where the coordinator finds its modules, the working directory left out.

    It is '' in the search path of a notebook or a prompt. A worker imports autotrain and what that
    needs, and no file next to the data.
    """
    folders = [folder for folder in sys.path if isinstance(folder, str) and folder]
    return folders if OWN_FOLDER in folders else [*folders, OWN_FOLDER]


def can_start_processes() -> bool:
    """Return True when there is an interpreter to start; a frozen program has none."""
    return bool(spawn.get_executable()) and not getattr(sys, "frozen", False)


def _interpreter_flags() -> list[str]:
    """Return the options with which this interpreter was started, such as -W error."""
    made: Any = subprocess
    flags: list[str] = made._args_from_interpreter_flags()
    return flags


def _serve(pipe: Connection, device: str) -> None:
    """Run in the worker process until told to close, or until the coordinator is gone."""
    # Ctrl-C goes to the whole terminal group; the coordinator decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    # The garbage collector need not look at the libraries again, above all not when leaving.
    gc.freeze()
    with contextlib.suppress(EOFError, OSError):
        first = pipe.recv()
        if isinstance(first, Close):
            return
        problem, folds = first
        training = Training(partial(_make_trainer, problem, folds, device))
        while True:
            # An idle worker sleeps in recv; a busy one looks between epochs.
            while training.is_idle or pipe.poll():
                command = pipe.recv()
                if isinstance(command, Close):
                    return
                training.obey(command)
            pipe.send(training.step())


def _make_trainer(problem: Problem, folds: PackedFolds, device: str) -> Trainer:
    return Trainer(problem, unpack(folds), device)
