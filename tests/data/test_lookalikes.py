"""Look-alike texts get a notice with examples and a fix."""

from __future__ import annotations

import unicodedata

import numpy as np
import pandas as pd
import pytest

from autotrain.data.columns import read_columns
from autotrain.data.loading import load_dataset

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        (COMPOSED, DECOMPOSED, r"'cafe\u0301' and 'caf\xe9'"),
        ("buy", "b\u200buy", r"'buy' and 'b\u200buy'"),
        ("buy now", "buy\u00a0now", r"'buy now' and 'buy\xa0now'"),
        ("buy", "buy\u00a0\ufeff", r"'buy' and 'buy\xa0\ufeff'"),
    ],
)
def test_labels_that_look_alike_give_a_notice(one: str, other: str, shown: str) -> None:
    frame = pd.DataFrame({"x": np.arange(60) / 7, "y": [one, other, "leave"] * 20})
    data = load_dataset(frame, "y")
    assert len(data.classes) == 3
    (note,) = [note for note in data.notes if "look alike" in note]
    assert note.startswith("target 'y' has texts that look alike")
    assert shown in note


def test_categories_that_look_alike_give_a_notice() -> None:
    _, (note,) = read_columns(pd.DataFrame({"town": [COMPOSED, DECOMPOSED, "Rom"] * 4}))
    assert note.startswith("column 'town' has texts that look alike")


def test_texts_that_look_different_give_no_notice() -> None:
    _, notes = read_columns(pd.DataFrame({"town": ["café", "Café", "cafe", "Rom", None] * 4}))
    assert notes == []


def test_codes_as_categories_keep_their_zeros() -> None:
    frame = pd.DataFrame({"code": pd.Categorical(["007", "7", "110"] * 4)})
    (column,), notes = read_columns(frame)
    assert (column.kind, notes) == ("categorical", [])


def test_leading_zeros_of_a_numeric_target_give_a_notice() -> None:
    frame = pd.DataFrame({"x": np.arange(60) / 7, "y": [f"{n:03}" for n in range(60)]})
    data = load_dataset(frame, "y")
    assert data.task == "regression"
    assert any("target 'y' is read as numbers" in note and "'000'" in note for note in data.notes)
