"""What a regression may predict. To add a row, extend `TARGETS`."""

from __future__ import annotations

from dataclasses import dataclass

from autotrain.techniques.technique import Technique, table


@dataclass(frozen=True, kw_only=True)
class TargetRange(Technique):
    """A row of `TARGETS`: whether predictions stay within the training target's range."""

    clamps: bool


TARGETS = table(
    TargetRange("free", "ŷ ← ŷ", clamps=False),
    TargetRange("clamped", "ŷ ← min(max(ŷ, min y), max y), y the training target", clamps=True),
)
