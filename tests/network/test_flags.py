"""Flags as a table: diagnosis → flags."""

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
        # A norm of 1 has not vanished, even if that of the output layer is very large.
        ((1.0, 500.0, 1e6), 9e4, ()),
        ((0.9, 500.0, 1e6), 9e4, ("vanishing",)),
        ((0.0, 0.0, 0.0, 2.1), 0.4, ("vanishing",)),
        ((0.0, 0.0, 0.0, 0.0), 0.4, ("vanishing",)),
        ((0.5, 0.0, 0.0), 0.4, ("vanishing",)),
        # With a loss of 0, small gradients are expected.
        ((0.0, 0.0, 0.0), 0.0, ()),
        # The loss of the epoch is not finite.
        ((1e-9, 1.0, 1.0), None, ()),
        # There is no ratio without hidden layers or without steps.
        ((0.7,), 0.4, ()),
        ((0.0,), 0.4, ()),
        ((), None, ()),
    ],
)
def test_vanishing_gradients_need_small_ratio_and_norm(
    norms: tuple[float, ...], loss: float | None, wanted: tuple[str, ...]
) -> None:
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
def test_one_layer_above_half_sets_the_flag(
    word: str, shares: tuple[float, ...] | None, is_flagged: bool
) -> None:
    found = Diagnosis(loss=0.4, norms=(1.0, 1.0), **{word: shares})  # type: ignore[arg-type]
    assert found.flags == ((word,) if is_flagged else ())


def test_flags_are_in_table_order() -> None:
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
def test_diagnosis_survives_json(found: Diagnosis) -> None:
    """Values are rounded to four digits, and unknown ones are left out."""
    text = json.dumps({"fold": 3, **found.to_json()}, allow_nan=False)
    again = Diagnosis.from_json(json.loads(text))
    assert again.flags == found.flags
    assert again.norms == pytest.approx(found.norms, rel=1e-3)
    assert again.to_json() == found.to_json()
