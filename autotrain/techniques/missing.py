"""Replacement of missing numbers and dates.

A column with at most one distinct value always has an indicator, because only the missing cells can
carry information. To add a kind of replacement, add a row to `MISSING`.
"""

from __future__ import annotations

from dataclasses import dataclass

from autotrain.techniques.technique import Technique, table


@dataclass(frozen=True, kw_only=True)
class Missing(Technique):
    """A row of `MISSING`.

    Args:
        indicates: whether an extra input indicates missing cells.
    """

    indicates: bool


MISSING = table(
    Missing("median", "x ← median of the training rows if x is missing", indicates=False),
    Missing(
        "indicator",
        "x ← median if x is missing, and an extra input, 1 if x is missing, else 0",
        note="Only columns of numbers and dates with missing cells in the training or validation "
        "rows have this input.",
        indicates=True,
    ),
)
