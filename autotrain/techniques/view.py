"""A view: which of the ways to encode a table a configuration asks for.

The rows of a study are encoded once per view that its space can ask for; slots of a fleet may read
different ones.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class View:
    """How numbers and categories are encoded.

    Args:
        scaler: a row of `SCALERS`.
        missing: a row of `MISSING`.
        one_hot_limit: columns of categories with more levels are codes; 0 for none, so that all
            have an input a level.
    """

    scaler: str = "standard"
    missing: str = "median"
    one_hot_limit: int = 0
