"""`Watch`: find workers that give no sign of life, so that a search does not wait for them.

A worker process sends `Alive` every `SIGN_EVERY_S` from a thread of its own, also during a long
epoch. So a worker without a message for `SILENT_S` was stopped, hangs, or is on a node that is
gone. At the end of the time the search waits less, and also ends workers that give signs of life
but do not finish the epoch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from autotrain.search.attributes import Cause
from autotrain.search.training_run import TrainingRun
from autotrain.search.workers.protocol import Crashed, Worker

START_S = 120.0
"""Longest time in seconds until the first message, while a worker loads its libraries."""
SILENT_S = 30.0
"""Longest time in seconds between two messages."""
LATE_S = 5.0
"""Longest time in seconds that the search waits at its end for a worker."""
EPOCHS = 2.0
"""At its end the search waits for this number of epochs, if that is longer."""


class Watch:
    """The times of the last messages of all workers.

    Args:
        now: the clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self._late_since_s: float | None = None
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}

    def heard(self, worker: Worker) -> None:
        """Record a message of a worker."""
        self._last[id(worker)] = self.now()

    def forget(self, worker: Worker) -> None:
        """Drop the times of a worker that has ended."""
        self._first.pop(id(worker), None)
        self._last.pop(id(worker), None)

    def overdue(
        self, workers: Sequence[Worker], runs: Sequence[TrainingRun], *, is_late: bool
    ) -> list[tuple[Worker, Crashed]]:
        """Return the workers to end, with a message for the search loop.

        Call it when all messages that have arrived were passed to `heard`: the search itself may
        have been busy for a long time, for example with an export.

        Args:
            workers: the workers. Those in this process cannot be ended and are omitted.
            runs: the running trainings.
            is_late: whether the time for training is over, all trainings were asked to stop, and
                the search has a result to end with.
        """
        if is_late and self._late_since_s is None:
            self._late_since_s = self.now()
        late_s = self.now() - self._late_since_s if is_late and self._late_since_s else None
        found = []
        for worker in workers:
            if not hasattr(worker, "pipe"):
                continue
            silent_s = self._silent_s(worker)
            limit_s = SILENT_S if id(worker) in self._last else START_S
            if late_s is not None:
                limit_s = min(limit_s, LATE_S)
            own = [run for run in runs if run.worker is worker]
            wait_s = max([LATE_S, *(EPOCHS * run.epoch_s() for run in own)])
            if silent_s > limit_s:
                found.append(_ended(worker, f"no sign of life for {silent_s:.0f} s"))
            elif own and late_s is not None and late_s > wait_s:
                text = f"still training {late_s:.0f} s after the end of the time"
                found.append(_ended(worker, text))
        return found

    def _silent_s(self, worker: Worker) -> float:
        first = self._first.setdefault(id(worker), self.now())
        return self.now() - self._last.get(id(worker), first)


def _ended(worker: Worker, reason: str) -> tuple[Worker, Crashed]:
    text = f"{worker.name} was ended: {reason}"
    return worker, Crashed((), Cause.WORKER_DIED, text, is_alive=False)
