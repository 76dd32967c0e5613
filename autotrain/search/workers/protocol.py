"""The messages between the search loop and its workers.

Search loop → worker: `Admission` (train this), `StopSlot` (end that slot), `Save` (send the states
of all slots), `Close` (no more). Worker → search loop: a list of `EpochReport`s and `Outcome`s
after every epoch of a fleet, `Saved`, or `Crashed`. Workers never open the study's storage. A new
kind of worker is a class with the methods of `Worker`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from typing import Protocol

from autotrain.search.attributes import Cause
from autotrain.training.slot import Admission, EpochReport, Outcome, SlotState


@dataclass(frozen=True)
class StopSlot:
    """End a slot; its `Outcome` follows with cause "stopped".

    It ends at its next epoch boundary. The worker abandons the epoch if all slots that train with
    it end, too.
    """

    slot: int


@dataclass(frozen=True)
class Save:
    """Send the states of all slots between two epochs, as `Saved` with this number."""

    number: int


@dataclass(frozen=True)
class Close:
    """End the worker; no more commands follow."""


@dataclass(frozen=True)
class Saved:
    """The states of a worker's slots after the messages before and before those that follow.

    Args:
        number: that of the `Save`.
        states: the states by slot, without slots that have not started.
        seconds: time that it took.
    """

    number: int
    states: Mapping[int, SlotState]
    seconds: float


@dataclass(frozen=True)
class Crashed:
    """An error in a worker that is not the user's mistake; its slots are lost.

    If the worker is not alive, all its slots are lost.

    Args:
        slots: numbers of the lost slots; empty if the worker is not alive.
        cause: OUT_OF_MEMORY, ERROR or WORKER_DIED.
        text: the traceback, or the exit code of a process.
        is_alive: whether the worker continues with an empty trainer.
    """

    slots: tuple[int, ...]
    cause: Cause
    text: str
    is_alive: bool


@dataclass(frozen=True)
class Alive:
    """A sign of life, also during a long epoch; see `watch.py`."""


SIGN_EVERY_S = 1.0
"""Seconds between two signs of life of a worker."""

Command = Admission | StopSlot | Save | Close
Message = EpochReport | Outcome | Saved | Crashed | Alive


class Worker(Protocol):
    """Trains slots somewhere."""

    name: str

    def send(self, command: Command) -> None:
        """Send a command, on which the worker acts at its next epoch boundary."""

    def receive(self) -> list[Message]:
        """Return the worker's new messages, possibly none. An inline worker trains here."""

    def close(self) -> None:
        """End the worker and free its memory; may be called twice."""

    def renew(self) -> Worker | None:
        """Start a new worker in place of this one, which has died; None if that is impossible."""


def receive_all(workers: Sequence[Worker], timeout_s: float) -> list[tuple[Worker, list[Message]]]:
    """Return the new messages of the workers that have some, or of all if one has no pipe.

    Args:
        workers: the workers. Those in other processes have a `pipe`.
        timeout_s: seconds to wait for a message if all workers are other processes.
    """
    if not workers:
        time.sleep(timeout_s)
    pipes = [worker.pipe for worker in workers if hasattr(worker, "pipe")]
    ready: Sequence[Worker] = workers
    if len(pipes) == len(workers):
        found = connection.wait(pipes, timeout_s)
        ready = [worker for worker, pipe in zip(workers, pipes, strict=True) if pipe in found]
    return [(worker, worker.receive()) for worker in ready]
