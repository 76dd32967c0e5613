"""Flags as a table: numbers of a training → flags."""

from __future__ import annotations

import json

import pytest

from autotrain.network.flags import FLAGS, Diagnosis

HEALTHY = Diagnosis(start_loss=1.1, loss=0.4, start_norms=(1.0, 1.0, 1.0), norms=(0.5, 0.6, 0.7))


@pytest.mark.parametrize(
    ("norms", "loss", "wanted"),
    [
        ((0.5, 0.6, 0.7), 0.4, ()),
        ((2.1e-3, 1.0, 1.0), 0.4, ()),
        ((1.9e-3, 1.0, 1.0), 0.4, ("vanishing",)),
        ((1.0, 1.9e-3, 1.0), 0.4, ("vanishing",)),
        # A norm of 1 has not vanished, however large the output layer's is.
        ((1.0, 500.0, 1e6), 9e4, ()),
        ((0.9, 500.0, 1e6), 9e4, ("vanishing",)),
        ((0.0, 0.0, 0.0, 2.1), 0.4, ("vanishing",)),
        ((0.0, 0.0, 0.0, 0.0), 0.4, ("vanishing",)),
        ((0.5, 0.0, 0.0), 0.4, ("vanishing",)),
        # Nothing is left to learn.
        ((0.0, 0.0, 0.0), 0.0, ()),
        # What the epoch lost is not known.
        ((1e-9, 1.0, 1.0), None, ()),
        # Without hidden layers there is nothing to compare; without any step neither.
        ((0.7,), 0.4, ()),
        ((0.0,), 0.4, ()),
        ((), None, ()),
    ],
)
def test_vanishing(norms: tuple[float, ...], loss: float | None, wanted: tuple[str, ...]) -> None:
    assert Diagnosis(start_loss=1.1, loss=loss, norms=norms).flags == wanted


@pytest.mark.parametrize("word", ["dead_units", "saturated"])
@pytest.mark.parametrize(
    ("shares", "is_flagged"),
    [
        (None, False),
        ((), False),
        ((0.5, 0.5, 0.5), False),
        ((0.0, 0.0, 0.51), True),
        ((0.75, 0.64, 0.0), True),
        ((1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0), True),
    ],
)
def test_one_layer_with_more_than_half_is_enough(
    word: str, shares: tuple[float, ...] | None, is_flagged: bool
) -> None:
    found = Diagnosis(loss=0.4, norms=(1.0, 1.0), **{word: shares})  # type: ignore[arg-type]
    assert found.flags == ((word,) if is_flagged else ())


def test_several_flags_are_in_the_order_of_the_table() -> None:
    found = Diagnosis(
        loss=1.0, norms=(0.0, 1.0), saturated=(0.9,), dead_units=(0.9,), explosion="loss"
    )
    assert found.flags == tuple(FLAGS) == ("vanishing", "exploding", "dead_units", "saturated")
    assert HEALTHY.flags == ()


@pytest.mark.parametrize(
    "found",
    [
        HEALTHY,
        Diagnosis(),
        Diagnosis(norms=(1 / 3,), dead_units=(), explosion="layers", explosion_epoch=2),
        Diagnosis(norms=(3e38, 1.0), saturated=(0.1, 0.2), loss=3e37),
    ],
)
def test_json_brings_a_diagnosis_back(found: Diagnosis) -> None:
    """To four digits, with what is not known left out, in words that JSON has."""
    text = json.dumps({"fold": 3, **found.to_json()}, allow_nan=False)
    again = Diagnosis.from_json(json.loads(text))
    assert again.flags == found.flags
    assert again.norms == pytest.approx(found.norms, rel=1e-3)
    assert again.to_json() == found.to_json()
