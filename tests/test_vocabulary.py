"""Durations and scores in words, and durations read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotrain.vocabulary import count_text, duration_text, parse_duration, value_text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("600", 600),
        ("0", 0),
        ("2.5", 2.5),
        ("90s", 90),
        ("10m", 600),
        ("1h", 3600),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("1 h 30 min", 5400),
        ("2 Minutes", 120),
        ("1d2h", 93600),
        ("10sec", 10),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "m", "-3", "1e3", "10 minuts", "5m1h", "1h1h", "3 x", "soon", "1:30", "nan", "inf"]
)
def test_other_texts_are_not_durations(text: str) -> None:
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.04, "0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3599.7, "1 h"),
        (3661, "1 h 1 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations_are_written(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@given(st.integers(0, 10**7))
def test_written_durations_are_read_back_approximately(seconds: int) -> None:
    found = parse_duration(duration_text(seconds))
    assert found is not None
    # Two units: the error is less than the smaller one.
    assert 0 <= seconds - found < max(60, seconds / 24)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.041904, "0.0419"),
        (1.5, "1.5000"),
        (123.456, "123.46"),
        (48_213.52, "48,213.5"),
        (-0.5, "-0.5000"),
        (0.0, "0.0000"),
        (1.234e-5, "1.234e-05"),
        (1e9, "1e+09"),
        (float("nan"), "nan"),
    ],
)
def test_scores_are_written(value: float, text: str) -> None:
    assert value_text(value) == text


def test_counts_are_in_the_plural() -> None:
    assert count_text(1, "row") == "1 row"
    assert count_text(2000, "row") == "2,000 rows"
    assert count_text(2, "process", "processes") == "2 processes"
