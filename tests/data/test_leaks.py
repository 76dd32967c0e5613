"""Columns that reveal the target give a warning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from autotrain.data.columns import read_columns
from autotrain.data.leaks import find_leaks

N = 60
RNG = np.random.default_rng(0)
CLASSES = RNG.integers(0, 3, N)
AMOUNTS = RNG.normal(size=N)


def leaks(cells: Any, y: np.ndarray, task: str) -> list[str]:
    frame = pd.DataFrame({"x": cells})
    return find_leaks(frame, read_columns(frame)[0], y, task)


GIVEN_AWAY: dict[str, Any] = {
    "a copy": CLASSES,
    "other words": np.array(["no", "maybe", "yes"])[CLASSES],
    "other numbers": np.array([7.5, -1.0, 3.0])[CLASSES],
    "a copy with missing cells": pd.Series(CLASSES, dtype="Int64").where(np.arange(N) % 4 > 0),
}
KEPT_APART: dict[str, Any] = {
    "one cell differs": np.where(np.arange(N) == 5, (CLASSES + 1) % 3, CLASSES),
    "finer words except in one cell": [
        f"level {(label + (n == 7)) % 3}-{n % 2}" for n, label in enumerate(CLASSES)
    ],
    "nearly all different": [f"row {n % 55}" for n in range(N)],
    "finer, but few repeat": [f"level {label}-{n // 3}" for n, label in enumerate(CLASSES)],
    "ranges that meet": CLASSES * 10 + np.arange(N) % 11,
    "missing by chance": pd.Series(RNG.normal(size=N)).where(np.arange(N) % 2 > 0),
    "coarser": CLASSES // 2,
    "few filled rows": pd.Series(CLASSES, dtype="Int64").where(np.arange(N) < 30),
    "noise": RNG.integers(0, 3, N),
}


@pytest.mark.parametrize("what", GIVEN_AWAY)
def test_one_value_for_each_class_gives_a_warning(what: str) -> None:
    (warning,) = leaks(GIVEN_AWAY[what], CLASSES, "multiclass")
    assert "column 'x' has one value for each class, which may leak the target" in warning


@pytest.mark.parametrize("what", KEPT_APART)
def test_other_columns_give_no_warning(what: str) -> None:
    assert leaks(KEPT_APART[what], CLASSES, "multiclass") == []


FINER: dict[str, Any] = {
    "words": [f"level {label}-{n % 2}" for n, label in enumerate(CLASSES)],
    "numbers that interleave": CLASSES + 3 * RNG.integers(0, 3, N),
    "with missing cells": pd.Series(
        [f"{label}-{n % 2}" if n % 4 else None for n, label in enumerate(CLASSES)]
    ),
}


@pytest.mark.parametrize("what", FINER)
def test_finer_code_of_the_target_gives_a_warning(what: str) -> None:
    (warning,) = leaks(FINER[what], CLASSES, "multiclass")
    assert warning.startswith(
        "column 'x' has only values that each occur with one class, which may leak"
    )


def test_separate_ranges_of_the_classes_give_a_warning() -> None:
    (warning,) = leaks(CLASSES * 10 + np.arange(N) % 9, CLASSES, "multiclass")
    assert "column 'x' has a separate range of numbers for each class, which may leak" in warning


def test_separate_ranges_of_few_rows_give_no_warning() -> None:
    rare = (np.arange(N) >= N - 9).astype(int)
    assert leaks(np.arange(N) * 1.5 + 0.25, rare, "binary") == []


def test_cells_that_only_one_class_has_give_a_warning() -> None:
    left = np.repeat([0, 1], N // 2 + 5)
    reasons = [f"reason {n % 7}" if gone else None for n, gone in enumerate(left)]
    (warning,) = leaks(reasons, left, "binary")
    assert (
        "column 'x' is empty for some classes and filled for the others, which may leak" in warning
    )
    reasons[0] = "reason 0"
    assert leaks(reasons, left, "binary") == []
    since = [f"2024-01-{1 + n % 28:02}" if gone else None for n, gone in enumerate(left)]
    (warning,) = leaks(since, left, "binary")
    assert "column 'x' is empty for some classes" in warning


def test_boolean_copy_gives_a_warning() -> None:
    assert len(leaks(CLASSES == 1, (CLASSES == 1).astype(int), "binary")) == 1


@pytest.mark.parametrize("scale", [1.0, -1e-9, 1e9])
def test_straight_line_gives_a_warning(scale: float) -> None:
    (warning,) = leaks(AMOUNTS * scale + 5 * scale, AMOUNTS, "regression")
    assert "column 'x' follows the target in a straight line" in warning
    assert leaks(AMOUNTS * scale + 0.1 * scale * RNG.normal(size=N), AMOUNTS, "regression") == []


def test_curve_and_text_give_no_warning() -> None:
    assert leaks(AMOUNTS**3, AMOUNTS, "regression") == []
    assert leaks([f"t{n % 7}" for n in range(N)], AMOUNTS, "regression") == []
