"""The fingerprint follows the content and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from autotrain.data.fingerprint import fingerprint

FRAME = pd.DataFrame(
    {
        "a": [1, 2, 3],
        "b": [0.5, np.nan, 2.5],
        "c": ["ab", "c", None],
        "d": pd.to_datetime(["2024-01-31", None, "2024-01-01"]),
        "y": [True, False, True],
    }
)
PRINT = fingerprint([FRAME], "y")


def test_it_is_the_same_every_time() -> None:
    assert len(PRINT) == 64
    assert fingerprint([FRAME.copy()], "y") == PRINT
    assert fingerprint([FRAME.set_index(pd.Index([5, 6, 7]))], "y") == PRINT


def test_it_is_the_same_in_every_release() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    assert fingerprint([frame], "b") == (
        "e1c7cc4469ff2cc469cadd0817a8e8f0f6a6df45cd4c58d12083c51dbee9e791"
    )


CHANGED: dict[str, Any] = {
    "a number": FRAME.assign(a=[1, 2, 4]),
    "a fraction": FRAME.assign(b=[0.5, np.nan, 2.5000001]),
    "a missing cell": FRAME.assign(b=[0.5, 0.0, 2.5]),
    "a text": FRAME.assign(c=["ab", "d", None]),
    "where a text ends": FRAME.assign(c=["a", "bc", None]),
    "a missing text": FRAME.assign(c=["ab", "c", "None"]),
    "a date": FRAME.assign(d=pd.to_datetime(["2024-01-30", None, "2024-01-01"])),
    "a boolean": FRAME.assign(y=[True, True, True]),
    "a type": FRAME.assign(a=[1.0, 2.0, 3.0]),
    "texts for numbers": FRAME.assign(a=["1", "2", "3"]),
    "a name": FRAME.rename(columns={"a": "A"}),
    "the order of rows": FRAME.iloc[::-1],
    "the order of columns": FRAME[["b", "a", "c", "d", "y"]],
    "a row less": FRAME.iloc[:2],
    "a column less": FRAME.drop(columns="c"),
}


@pytest.mark.parametrize("what", CHANGED)
def test_any_change_shows(what: str) -> None:
    assert fingerprint([CHANGED[what]], "y") != PRINT


def test_the_target_and_the_test_rows_belong_to_it() -> None:
    prints = {PRINT, fingerprint([FRAME], "a"), fingerprint([FRAME, FRAME.iloc[:1]], "y")}
    assert len(prints) == 3


def test_many_texts_are_all_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotrain.data.fingerprint.ROWS_AT_ONCE", 2)
    texts = [f"text {number}" for number in range(7)]
    one = fingerprint([pd.DataFrame({"c": texts})], "y")
    assert one != fingerprint([pd.DataFrame({"c": [*texts[:-1], "other"]})], "y")
