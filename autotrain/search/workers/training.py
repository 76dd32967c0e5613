"""The common part of all workers: a trainer that obeys commands and survives errors."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from functools import partial

import torch

from autotrain.search.attributes import Cause
from autotrain.search.workers.protocol import Command, Crashed, Message, Save, Saved, StopSlot
from autotrain.training.slot import Admission, Outcome
from autotrain.training.trainer import Trainer


class Training:
    """A trainer that turns its own errors into messages.

    Args:
        make_trainer: makes a trainer, at the start and after every error, so that nothing of a
            broken fleet remains.
    """

    def __init__(self, make_trainer: Callable[[], Trainer]) -> None:
        self.make_trainer = make_trainer
        self.trainer = make_trainer()
        self.slots: set[int] = set()
        self._waiting: list[Command] = []

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to train."""
        return not self.slots

    def obey(self, command: Command) -> None:
        """Accept an `Admission`, a `StopSlot` or a `Save`, on which the next step acts."""
        if isinstance(command, Admission):
            self.slots.add(command.slot)
        self._waiting.append(command)

    def step(self, read: Callable[[], object] = lambda: None) -> list[Message]:
        """Train one fleet for one epoch and return its messages.

        Args:
            read: passes the commands that have arrived within the epoch to `obey`; called every few
                steps. A fleet whose slots are all stopped by them does not finish the epoch.
        """
        commands, self._waiting = self._waiting, []
        answers: list[Message] = []
        for command in commands:
            if isinstance(command, StopSlot):
                self.trainer.stop(command.slot)
            elif isinstance(command, Admission):
                try:
                    self.trainer.admit(command)
                except Exception as error:  # such as too little memory; the other slots continue
                    self.slots.discard(command.slot)
                    answers.append(_crash((command.slot,), error))
            elif isinstance(command, Save):
                begun_s = time.monotonic()
                states = self.trainer.states()
                answers.append(Saved(command.number, states, time.monotonic() - begun_s))
        try:
            messages: list[Message] = list(self.trainer.step(partial(self._listen, read)))
        # The search loop decides about every error, so none is hidden here.
        except Exception as error:
            lost = tuple(sorted(self.slots))
            self.slots.clear()
            self.trainer = self.make_trainer()
            return [*answers, _crash(lost, error)]
        for message in messages:
            if isinstance(message, Outcome):
                self.slots.discard(message.slot)
        return [*answers, *messages]

    def _listen(self, read: Callable[[], object]) -> None:
        read()
        for command in self._waiting:
            if isinstance(command, StopSlot):
                self.trainer.stop(command.slot)


def _crash(lost: tuple[int, ...], error: Exception) -> Crashed:
    text = "".join(traceback.format_exception(error))
    return Crashed(lost, _cause(error), text, is_alive=True)


def _cause(error: Exception) -> Cause:
    memory = isinstance(error, MemoryError | torch.cuda.OutOfMemoryError)
    # torch's CPU allocator raises a plain RuntimeError.
    memory = memory or "can't allocate memory" in str(error)
    return Cause.OUT_OF_MEMORY if memory else Cause.ERROR
