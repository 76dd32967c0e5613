"""The fingerprint depends on the content and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from autotrain.data.fingerprint import fingerprint

CELLS: dict[str, Any] = {
    "a": [1, 2, 3],
    "b": [0.5, np.nan, 2.5],
    "c": ["ab", "c", None],
    "d": np.array(["2024-01-31", "NaT", "2024-01-01"], dtype="datetime64[us]"),
    "y": [True, False, True],
}
FRAME = pd.DataFrame(CELLS)
PRINT = fingerprint([FRAME], "y")


def test_fingerprint_is_deterministic() -> None:
    assert len(PRINT) == 64
    assert fingerprint([FRAME.copy()], "y") == PRINT
    assert fingerprint([FRAME.set_index(pd.Index([5, 6, 7]))], "y") == PRINT


def test_fingerprint_is_the_same_in_every_release() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    assert fingerprint([frame], "b") == (
        "e1c7cc4469ff2cc469cadd0817a8e8f0f6a6df45cd4c58d12083c51dbee9e791"
    )


def changed(**columns: Any) -> pd.DataFrame:
    return FRAME.assign(**columns)


CHANGED: dict[str, Any] = {
    "a number": changed(a=[1, 2, 4]),
    "a fraction": changed(b=[0.5, np.nan, 2.5000001]),
    "a missing cell": changed(b=[0.5, 0.0, 2.5]),
    "a text": changed(c=["ab", "d", None]),
    "where a text ends": changed(c=["a", "bc", None]),
    "a missing text": changed(c=["ab", "c", "None"]),
    "a date": changed(d=np.array(["2024-01-30", "NaT", "2024-01-01"], dtype="datetime64[us]")),
    "a boolean": changed(y=[True, True, True]),
    "a type": changed(a=[1.0, 2.0, 3.0]),
    "texts for numbers": changed(a=["1", "2", "3"]),
    "a name": FRAME.rename(columns={"a": "A"}),
    "the order of rows": FRAME.iloc[::-1],
    "the order of columns": FRAME[["b", "a", "c", "d", "y"]],
    "a row less": FRAME.iloc[:2],
    "a column less": FRAME.drop(columns="c"),
}


@pytest.mark.parametrize("what", CHANGED)
def test_any_change_changes_the_fingerprint(what: str) -> None:
    assert fingerprint([CHANGED[what]], "y") != PRINT


def test_fingerprint_includes_target_and_test_rows() -> None:
    prints = {PRINT, fingerprint([FRAME], "a"), fingerprint([FRAME, FRAME.iloc[:1]], "y")}
    assert len(prints) == 3


def test_all_parts_of_a_long_column_of_texts_are_read() -> None:
    texts = [f"text {number}" for number in range(7)]
    one = fingerprint([pd.DataFrame({"c": texts})], "y", 2)
    assert one != fingerprint([pd.DataFrame({"c": [*texts[:-1], "other"]})], "y", 2)
