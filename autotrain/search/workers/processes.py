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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from multiprocessing import Pipe, spawn
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autotrain.data.weights import RowWeights
from autotrain.network.layout import Columns
from autotrain.search.attributes import Cause
from autotrain.search.workers.protocol import Close, Command, Crashed, Message
from autotrain.search.workers.training import Training
from autotrain.techniques.view import View
from autotrain.training.rows import FoldArrays, Inputs, Problem
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
"""Where the package `autotrain` is."""
_TARGETS = ("y_train", "y_valid")
_INPUTS = ("x_train", "x_valid")
_WEIGHTS = tuple(field.name for field in fields(RowWeights))
# How long a process may take to leave by itself before it is ended.
LEAVING_S = 2.0


@dataclass(frozen=True)
class StoredRows:
    """Where the folds' arrays lie, and what is to be learned from them; small enough to send."""

    problem: Problem
    folder: str
    scales: tuple[tuple[float, float], ...]
    views: tuple[tuple[View, tuple[Columns, ...]], ...]

    @classmethod
    def write(cls, problem: Problem, folds: Sequence[FoldArrays], folder: Path) -> StoredRows:
        """Write the arrays as .npy files into `folder`, which must exist."""
        for number, fold in enumerate(folds):
            for name in _TARGETS:
                np.save(folder / f"{number}.{name}.npy", getattr(fold, name))
            for name in _WEIGHTS:
                weights = getattr(fold.weights, name, None)
                if weights is not None:
                    np.save(folder / f"{number}.weights.{name}.npy", weights)
        views = []
        for place, view in enumerate(folds[0].views):
            for number, fold in enumerate(folds):
                for name in _INPUTS:
                    np.save(
                        folder / f"{number}.{place}.{name}.npy", getattr(fold.views[view], name)
                    )
            views.append((view, tuple(fold.views[view].columns for fold in folds)))
        scales = tuple((fold.target_mean, fold.target_std) for fold in folds)
        return cls(problem, str(folder), scales, tuple(views))

    def read(self) -> list[FoldArrays]:
        """Map the arrays into memory, read-only."""
        folds = []
        for number, (mean, std) in enumerate(self.scales):
            y_train, y_valid = (self._array(f"{number}.{name}") for name in _TARGETS)
            views = {}
            for place, (view, columns) in enumerate(self.views):
                x_train, x_valid = (self._array(f"{number}.{place}.{name}") for name in _INPUTS)
                views[view] = Inputs(x_train, x_valid, columns[number])
            first = next(iter(views.values()))
            folds.append(
                FoldArrays(
                    first.x_train,
                    y_train,
                    first.x_valid,
                    y_valid,
                    mean,
                    std,
                    views=views,
                    weights=self._weights(number),
                )
            )
        return folds

    def _weights(self, number: int) -> RowWeights | None:
        found = {
            name: self._array(f"{number}.weights.{name}")
            for name in _WEIGHTS
            if (Path(self.folder) / f"{number}.weights.{name}.npy").exists()
        }
        if not found:
            return None
        return RowWeights(**found)

    def _array(self, name: str) -> np.ndarray:
        array: np.ndarray = np.load(Path(self.folder) / f"{name}.npy", mmap_mode="r")
        return array


class ProcessWorker:
    """One worker process and the pipe to it.

    It loads its libraries while the rows are still being written, and trains once it is given them.

    Args:
        device: "cpu" or "cuda:0".
        name: shown to people, e.g. "worker 1".
    """

    def __init__(self, device: str, name: str) -> None:
        self.rows: StoredRows | None = None
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

    def give(self, rows: StoredRows) -> ProcessWorker:
        """Tell it where the data are, before any command; return this worker."""
        self.rows = rows
        self._send(rows)
        return self

    def send(self, command: Command) -> None:
        """Send a command; a process that is gone is noticed by `receive`."""
        self._send(command)

    def _send(self, message: Command | StoredRows | list[str]) -> None:
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
        return ProcessWorker(self.device, self.name).give(self.rows)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back, for good in a process that is started meanwhile.

    A worker that heard it before `_serve` says what it means would print a traceback.
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
        rows = pipe.recv()
        if isinstance(rows, Close):
            return
        training = Training(partial(_make_trainer, rows, device))
        while True:
            # An idle worker sleeps in recv; a busy one looks between epochs.
            while training.is_idle or pipe.poll():
                command = pipe.recv()
                if isinstance(command, Close):
                    return
                training.obey(command)
            pipe.send(training.step())


def _make_trainer(rows: StoredRows, device: str) -> Trainer:
    return Trainer(rows.problem, rows.read(), device)
