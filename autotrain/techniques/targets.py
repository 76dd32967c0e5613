"""Range of the predictions of regression. To add a range, add a row to `TARGETS`."""

from __future__ import annotations

from dataclasses import dataclass

from autotrain.techniques.technique import Technique, table


@dataclass(frozen=True, kw_only=True)
class TargetRange(Technique):
    """A row of `TARGETS`.

    Args:
        clamps: whether predictions are clamped to the range of the training target.
    """

    clamps: bool


TARGETS = table(
    TargetRange("free", "ŷ ← ŷ", clamps=False),
    TargetRange("clamped", "ŷ ← min(max(ŷ, min y), max y), y the training target", clamps=True),
)
