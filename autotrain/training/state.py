"""The state of a slot between two epochs as numbers and arrays, so that a training can continue.

A slot that continues from its state computes the same numbers as without the interruption. The
state does not contain what follows from the configuration and the seed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from autotrain.techniques.schedules import Plateau
from autotrain.training.slot import Slot, SlotState

ROWS = ("parameters", "statistics", "m", "v", "t", "product", "best_parameters", "best_statistics")
"""Tensors of a slot."""
NUMBERS = ("epoch", "best_epoch", "best_score", "stops_early", "diverged", "turn")
GRADIENTS = ("epoch", "start", "last", "is_finite", "explosion")


def state_of(slot: Slot) -> SlotState:
    """Return a copy of the state of a slot whose tensors are up to date."""
    numbers: dict[str, Any] = {name: getattr(slot, name) for name in NUMBERS}
    numbers["gradients"] = {name: getattr(slot.gradients, name) for name in GRADIENTS}
    numbers["patience"] = _plateau(slot.patience)
    numbers["plateau"] = None if slot.plateau is None else _plateau(slot.plateau)
    numbers["row_order"] = _stream(slot.row_order.bit_generator)
    numbers["dropout_bits"] = _stream(slot.dropout_bits)
    arrays = {name: getattr(slot, name).detach().cpu().numpy().copy() for name in ROWS}
    return SlotState(numbers, arrays)


def restore(slot: Slot, state: SlotState) -> None:
    """Set a new slot to a state of a slot with the same configuration and seed.

    Raises:
        ValueError: when the shapes of the tensors differ.
    """
    for name in ROWS:
        now, then = getattr(slot, name), torch.from_numpy(np.array(state.arrays[name]))
        if now.shape != then.shape:
            raise ValueError(f"{name} must have shape {list(now.shape)}, got {list(then.shape)}")
        setattr(slot, name, then.to(now))
    numbers = state.numbers
    for name in NUMBERS:
        setattr(slot, name, numbers[name])
    for name in GRADIENTS:
        found = numbers["gradients"][name]
        # JSON has no tuples.
        setattr(slot.gradients, name, tuple(found) if isinstance(found, list) else found)
    _set_plateau(slot.patience, numbers["patience"])
    if slot.plateau is not None:
        _set_plateau(slot.plateau, numbers["plateau"])
    _set_stream(slot.row_order.bit_generator, numbers["row_order"])
    _set_stream(slot.dropout_bits, numbers["dropout_bits"])


def _plateau(plateau: Plateau) -> list[float]:
    return [plateau.best, plateau.waited, plateau.count]


def _set_plateau(plateau: Plateau, state: list[Any]) -> None:
    plateau.best, plateau.waited, plateau.count = state


def _stream(bits: np.random.BitGenerator) -> list[Any]:
    state: Any = bits.state
    return [state["state"]["state"].tolist(), state["has_uint32"], state["uinteger"]]


def _set_stream(bits: np.random.BitGenerator, state: list[Any]) -> None:
    words, has_uint32, uinteger = state
    bits.state = {
        "bit_generator": "SFC64",
        "state": {"state": np.array(words, dtype=np.uint64)},
        "has_uint32": has_uint32,
        "uinteger": uinteger,
    }
