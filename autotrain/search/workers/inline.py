"""A worker in the process of the search loop: deterministic, and sufficient for one core."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from autotrain.search.workers.protocol import Command, Message
from autotrain.search.workers.training import Training
from autotrain.training.trainer import Trainer


class InlineWorker:
    """Trains one fleet for one epoch at each call of `receive`."""

    def __init__(self, make_trainer: Callable[[], Trainer], name: str = "inline") -> None:
        self.name = name
        self.training = Training(make_trainer)
        self.within_epoch: Callable[[], object] = lambda: None
        """Called every few steps of an epoch, in which this process does nothing else; it may call
        `send`, for example to end the epoch when the time is over."""

    def send(self, command: Command) -> None:
        """Accept a command, on which the next epoch acts."""
        self.training.obey(command)

    def receive(self) -> list[Message]:
        """Train one fleet for one epoch, if there is one, and return its messages.

        Raises: what `within_epoch` raises.
        """
        if self.training.is_idle:
            return []
        errors: list[Exception] = []
        messages = self.training.step(partial(self._look, errors))
        for error in errors:
            raise error
        return messages

    def _look(self, errors: list[Exception]) -> None:
        """Call `within_epoch`, and keep its error, because `Training` catches it."""
        try:
            self.within_epoch()
        except Exception as error:
            errors.append(error)
            raise

    def close(self) -> None:
        """Do nothing: there is no process to end."""

    def renew(self) -> None:
        """Return None: an inline worker cannot be restarted."""
