"""Workers as local processes: one per core, one thread each, one per GPU.

Rows are written once to files that every process maps into memory, so a data set is held once
however many workers there are. A process is started fresh ("spawn"), never forked: a fork of a
process with threads may hang.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch

from autotrain.fused.rows import FoldArrays, Problem
from autotrain.fused.trainer import Trainer
from autotrain.study.workers.protocol import Close, Command, Crashed, Message
from autotrain.study.workers.training import Training

# Read as the child's interpreter starts. One thread per process; and glibc keeps the memory that a
# step frees instead of handing it back, for the next step to fault in again (5–8 % of a step).
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(1 << 26),
}
_ARRAYS = ("x_train", "y_train", "x_valid", "y_valid")
# How long a process may take to leave by itself before it is ended.
LEAVING_S = 2.0


@dataclass(frozen=True)
class StoredRows:
    """Where the folds' arrays lie, and what is to be learned from them; small enough to send."""

    problem: Problem
    folder: str
    scales: tuple[tuple[float, float], ...]

    @classmethod
    def write(cls, problem: Problem, folds: Sequence[FoldArrays], folder: Path) -> StoredRows:
        """Write the arrays as .npy files into `folder`, which must exist."""
        for number, fold in enumerate(folds):
            for name in _ARRAYS:
                np.save(folder / f"{number}.{name}.npy", getattr(fold, name))
        scales = tuple((fold.target_mean, fold.target_std) for fold in folds)
        return cls(problem, str(folder), scales)

    def read(self) -> list[FoldArrays]:
        """Map the arrays into memory, read-only."""
        folder = Path(self.folder)
        folds = []
        for number, (mean, std) in enumerate(self.scales):
            arrays = [np.load(folder / f"{number}.{name}.npy", mmap_mode="r") for name in _ARRAYS]
            x_train, y_train, x_valid, y_valid = arrays
            folds.append(FoldArrays(x_train, y_train, x_valid, y_valid, mean, std))
        return folds


class ProcessWorker:
    """One worker process and the pipe to it.

    Args:
        rows: the data, written by `StoredRows.write`.
        device: "cpu" or "cuda:0".
        name: shown to people, e.g. "worker 1".
    """

    def __init__(self, rows: StoredRows, device: str, name: str) -> None:
        self.rows = rows
        self.device = device
        self.name = name
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=_serve, args=(theirs, rows, device), name=f"autotrain {name}", daemon=True
        )
        with _environment(**WORKER_ENVIRONMENT), _without_interrupts():
            self.process.start()
        theirs.close()
        self.has_left = False

    def send(self, command: Command) -> None:
        """Send a command; a process that is gone is noticed by `receive`."""
        with contextlib.suppress(BrokenPipeError, OSError):
            self.pipe.send(command)

    def receive(self) -> list[Message]:
        """Return all messages that have arrived, without waiting."""
        messages: list[Message] = []
        try:
            while not self.has_left and self.pipe.poll():
                messages += self.pipe.recv()
        except (EOFError, OSError):
            self.has_left = True
            self.process.join(LEAVING_S)
            text = f"{self.name} ended unexpectedly (exit code {self.process.exitcode})"
            messages.append(Crashed((), "worker_died", text, is_alive=False))
        return messages

    def close(self) -> None:
        """Ask the process to leave; end it when it does not."""
        self.send(Close())
        self.process.join(LEAVING_S)
        if self.process.is_alive():
            self.process.terminate()
            self.process.join(LEAVING_S)
        self.pipe.close()
        self.has_left = True

    def renew(self) -> ProcessWorker:
        """Start another process of that name on the same rows."""
        return ProcessWorker(self.rows, self.device, self.name)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back, for good in a process that is started meanwhile.

    A worker that heard it before `_serve` says what it means would print a traceback.
    """
    # Started by the first process otherwise, and then it lets the signal through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(pipe: Connection, rows: StoredRows, device: str) -> None:
    """Run in the worker process until told to close, or until the coordinator is gone."""
    # Ctrl-C goes to the whole terminal group; the coordinator decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    # The garbage collector need not look at the libraries again, above all not when leaving.
    gc.freeze()
    training = Training(partial(_make_trainer, rows, device))
    with contextlib.suppress(EOFError, OSError):
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
