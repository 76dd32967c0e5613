"""Missing numbers and dates: what stands in their place. To add a way, add a row to `MISSING`.

A column that holds one value or none has an indicator whatever the way: nothing else tells.
"""

from __future__ import annotations

from dataclasses import dataclass

from autotrain.techniques.technique import Technique, table


@dataclass(frozen=True, kw_only=True)
class Missing(Technique):
    """A row of `MISSING`: whether a missing number or date is also told by an input of its own."""

    indicates: bool


MISSING = table(
    Missing("median", "x ← median of the training rows where x is missing", indicates=False),
    Missing(
        "indicator",
        "x ← median where x is missing, and an input that is 1 where it is, else 0",
        note="Only columns (numbers and dates) with gaps in the rows that train or validate have "
        "this input.",
        indicates=True,
    ),
)
