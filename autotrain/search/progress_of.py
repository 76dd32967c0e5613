"""`progress_of`: the progress of a search loop, for the displays."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from autotrain.search.facts import summary
from autotrain.search.progress import ENDING, InTraining, Progress
from autotrain.search.scheduler import SearchState, is_time_for_finals
from autotrain.search.training_run import TrainingRun

if TYPE_CHECKING:
    from autotrain.search.loop import SearchLoop

MOST_SHOWN = 4
"""Largest number of trainings that are described."""


def progress_of(loop: SearchLoop) -> Progress:
    """Return the progress of a search loop."""
    runs, clock = loop.slots.runs(), loop.clock
    return replace(
        loop.recorder.progress(),
        n_running=len(runs),
        n_trials=loop.n_trials,
        is_whole_space=loop.is_whole_space,
        timeout_s=clock.limit_s,
        epochs=loop.epochs,
        elapsed_s=clock.elapsed_s,
        stage=ENDING if clock.is_late else "",
        purpose=purpose_of(loop.state()),
        in_training=tuple(map(_in_training, runs[:MOST_SHOWN])),
    )


def purpose_of(state: SearchState) -> str:
    """Return the kind of trainings that go first."""
    if state.finals is not None and is_time_for_finals(state, state.finals):
        return "repeats of the best"
    return "the running trials" if state.asked_all else "new trials"


def _in_training(run: TrainingRun) -> InTraining:
    return InTraining(
        number=run.number,
        repeat=run.repeat,
        epoch=run.epoch,
        most_epochs=run.config.epochs,
        value=run.value_so_far(),
        words=summary(run.config),
    )
