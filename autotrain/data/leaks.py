"""Columns that give the target away: warned of, never dropped, for only the user can know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from autotrain.data.columns import Column
from autotrain.data.inputs import plain
from autotrain.data.values import numbers, texts

MIN_ROWS = 30
CORRELATION = 0.9999


def find_leaks(
    frame: pd.DataFrame, columns: Sequence[Column], y: np.ndarray, task: str
) -> list[str]:
    """Return a warning for each column that alone tells the target of the training rows.

    Classification: its values and the classes are one to one on more than 30 filled rows.
    Regression: its correlation with the target is above 0.9999 in size.
    """
    warnings = []
    for column in columns:
        if column.kind in ("pixel", "date"):
            continue
        values = plain(frame[column.name])
        if task == "regression":
            found = column.kind == "numeric" and _follows(values, y)
            how = "follows the target in a straight line"
        else:
            found = _is_one_to_one(values, y, boolean=column.kind == "boolean")
            how = "has one value for each class"
        if found:
            warnings.append(
                f"column {column.name!r} {how}: a leak of the target? It is kept; drop it from the "
                "table when it is not known at the time of prediction"
            )
    return warnings


def _is_one_to_one(values: np.ndarray, y: np.ndarray, *, boolean: bool) -> bool:
    found, inverse = texts(values, boolean=boolean)
    code_of = {text: code for code, text in enumerate(dict.fromkeys(found))}
    if len(code_of) - (None in code_of) != len(np.unique(y)):
        return False
    codes = np.array([code_of[text] for text in found], dtype=np.int64)[inverse]
    known = codes != code_of.get(None, -1)
    if known.sum() <= MIN_ROWS:
        return False
    pairs = np.unique(np.stack([codes[known], y[known]]), axis=1)
    n_levels, n_classes = len(np.unique(pairs[0])), len(np.unique(pairs[1]))
    return pairs.shape[1] == n_levels == n_classes > 1


def _follows(values: np.ndarray, y: np.ndarray) -> bool:
    read, _ = numbers(values)
    known = ~np.isnan(read)
    if known.sum() <= MIN_ROWS:
        return False
    x, target = read[known] - read[known].mean(), y[known] - y[known].mean()
    size = float(np.sqrt(np.square(x).sum() * np.square(target).sum()))
    return size > 0 and abs(float((x * target).sum())) / size > CORRELATION
