"""A training that continues from its state equals the same training without interruption."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from autotrain.training.slot import Admission, EpochReport, Slot, SlotState
from autotrain.training.trainer import SlotMessage, Trainer
from tests.training.problems import draw_models, make_config, make_fold, make_trainer

DRAWS = [
    ("multiclass", "log_loss", 11, torch.float64),
    ("regression", "rmse", 12, torch.float32),
    ("binary", "log_loss", 13, torch.float32),
]


def reread(state: SlotState) -> SlotState:
    """Return the state as it comes back from a file."""
    return SlotState(json.loads(json.dumps(state.numbers)), state.arrays)


def continued(trainer: Trainer, models: list[Admission], make: Any) -> Trainer:
    """Return a new trainer that continues the models that are in training."""
    states = trainer.states()
    again: Trainer = make()
    for model in models:
        if model.slot in states:
            again.admit(replace(model, state=reread(states[model.slot])))
    return again


def bits(message: SlotMessage) -> list[Any]:
    """Return all numbers of a message, without the time."""
    if isinstance(message, EpochReport):
        return [repr(replace(message, at_s=0.0))]
    arrays = [None if a is None else a.tobytes() for a in (message.parameters, message.statistics)]
    return [message.slot, message.cause, message.epochs, repr(message.best_value), *arrays]


@pytest.mark.parametrize(("task", "metric", "seed", "dtype"), DRAWS)
def test_continued_training_is_bit_identical(
    task: str, metric: str, seed: int, dtype: torch.dtype
) -> None:
    models = draw_models(task, seed, 10, (0, 1, 2, 3, 4))
    make = partial(make_trainer, task, metric, [make_fold(task)], dtype=dtype)
    whole = make()
    for model in models[:6]:
        whole.admit(model)
    expected, trainer, messages = [], make(), []
    for model in models[:6]:
        trainer.admit(model)
    for step in range(40):
        if step == 3:
            for model in models[6:]:
                whole.admit(model)
                trainer.admit(model)
        # Interrupted after every step, so that each kind of state is restored at each moment.
        if step not in (0, 3):
            trainer = continued(trainer, models, make)
        expected += whole.step()
        messages += trainer.step()
    assert not whole.n_slots
    assert [bits(m) for m in messages] == [bits(m) for m in expected]


def test_fleets_keep_their_turns() -> None:
    """Two fleets train in turns, also after an interruption between them."""
    small, large = make_config({"training.batch_size": 8}), make_config()
    models = [Admission(0, small, 1), Admission(1, large, 2)]
    trainer = make_trainer()
    for model in models:
        trainer.admit(model)
    [first] = trainer.step()
    trainer = continued(trainer, models, make_trainer)
    [second] = trainer.step()
    assert {first.slot, second.slot} == {0, 1}


def test_state_has_all_that_training_changes() -> None:
    """A new attribute of `Slot` must be restored, or follow from its configuration and seed."""
    params = {"schedule": "performance", "dropout": "dropout", "early_stopping.patience": 2}
    model = Admission(0, make_config(params), 5)
    trainer = make_trainer()
    trainer.admit(model)
    for _ in range(2):
        trainer.step()
    [fleet] = trainer.fleets.values()
    [slot] = fleet.release()
    again = make_trainer()
    again.admit(replace(model, state=trainer.states()[0]))
    [[other]] = again.waiting.values()
    assert attributes(other) == attributes(slot)


def attributes(slot: Slot) -> dict[str, Any]:
    """Return the attributes of a slot in comparable form."""
    found: dict[str, Any] = {}
    for name, value in vars(slot).items():
        if isinstance(value, torch.Tensor):
            found[name] = value.numpy().tobytes()
        elif isinstance(value, np.random.Generator):
            found[name] = repr(value.bit_generator.state)
        elif isinstance(value, np.random.BitGenerator):
            found[name] = repr(value.state)
        elif name in ("gradients", "patience", "plateau"):
            found[name] = vars(value)
        elif name != "layout":
            found[name] = value
    return found


def test_state_of_another_network_is_refused() -> None:
    trainer = make_trainer()
    trainer.admit(Admission(0, make_config(), 1))
    trainer.step()
    other = Admission(0, make_config({"network.hidden_units": "9"}), 1, state=trainer.states()[0])
    with pytest.raises(ValueError, match=r"parameters must have shape \[.*\], got \["):
        make_trainer().admit(other)
