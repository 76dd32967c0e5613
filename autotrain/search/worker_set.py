"""`WorkerSet`: the workers of a run, which may die, be replaced, and join later."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from autotrain.search.training_run import TrainingRun
from autotrain.search.watch import Watch
from autotrain.search.workers.protocol import Close, Crashed, Message, Worker, receive_all

MOST_RENEWED = 10
"""Largest number of workers that are replaced in one run because their process died."""


class WorkerSet:
    """The workers of one run.

    Args:
        workers: the workers at the start.
        new_workers: returns workers that have become ready; None if no more can come.

    Attributes:
        alive: the workers, in the order in which they came.
        error_text: the last line of the last error of a worker.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        new_workers: Callable[[], Sequence[Worker]] | None = None,
    ) -> None:
        self.alive = list(workers)
        self.error_text = ""
        self._new_workers = new_workers
        self._n_renewed = 0
        self._watch = Watch()

    @property
    def may_grow(self) -> bool:
        """Whether workers can join later."""
        return self._new_workers is not None

    def receive(self, timeout_s: float) -> list[tuple[Worker, list[Message]]]:
        """Add workers that have become ready, and return the new messages of all.

        Args:
            timeout_s: longest time to wait for a message.
        """
        if self._new_workers is not None:
            self.alive += self._new_workers()
        received = receive_all(self.alive, timeout_s)
        for worker, messages in received:
            if messages:
                self._watch.heard(worker)
        return received

    def overdue(
        self, runs: Sequence[TrainingRun], *, is_late: bool
    ) -> list[tuple[Worker, Crashed]]:
        """Return the workers that the search must not wait for; see `Watch.overdue`."""
        return self._watch.overdue(self.alive, runs, is_late=is_late)

    def remove(self, worker: Worker, *, renew: bool) -> None:
        """End a worker.

        Args:
            worker: a worker that has died or is overdue.
            renew: whether to start another one, unless too many have died.
        """
        if worker not in self.alive:
            return
        worker.close()
        self.alive.remove(worker)
        self._watch.forget(worker)
        if renew and self._n_renewed < MOST_RENEWED and (new := worker.renew()) is not None:
            self._n_renewed += 1
            self.alive.append(new)

    def close(self) -> None:
        """End all workers."""
        # All workers get the message before the first one is waited for.
        for worker in self.alive:
            worker.send(Close())
        for worker in self.alive:
            worker.close()
