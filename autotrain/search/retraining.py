"""Train a finished trial once more, from its record: the same epochs, the same weights.

A trial's result follows from its configuration and seed alone, so lost weights can be trained
again. They are equal up to rounding, because a float32 sum depends slightly on the number of models
in a fleet.
"""

from __future__ import annotations

from collections.abc import Sequence

from autotrain.space.config import TrialConfig
from autotrain.training.slot import Admission, Outcome
from autotrain.training.trainer import Trainer


def train_again(
    trainer: Trainer,
    config: TrialConfig,
    seed: int,
    *,
    n_folds: int,
    epochs: Sequence[int],
    repeat: int = 0,
) -> tuple[Outcome, ...]:
    """Train one trial alone, and end it at the epoch at which it ended before.

    Args:
        trainer: without models.
        config, seed: the trial's own.
        n_folds: models it has, one per fold.
        epochs: each of them was trained for, whatever had stopped it then; one number holds for
            all.
        repeat: which of its trainings.
    Returns: one outcome per fold.
    """
    ends = list(epochs) * (n_folds if len(epochs) == 1 else 1)
    for fold in range(n_folds):
        trainer.admit(Admission(fold, config, seed, fold, repeat))
    outcomes: dict[int, Outcome] = {}
    while trainer.n_slots:
        for message in trainer.step():
            if isinstance(message, Outcome):
                outcomes[message.slot] = message
            elif message.epoch >= ends[message.slot]:
                trainer.stop(message.slot)
    return tuple(outcomes[fold] for fold in range(n_folds))
