"""Fit the preprocessing on training rows with scikit-learn and write it down as a `Preprocessor`.

Numbers: `SimpleImputer(strategy="median")`, then `StandardScaler`. Categories: `OneHotEncoder` with
at most 64 inputs, the rarer levels sharing the last one. Pixels: one mean and one scale for all.
A new kind of column is a branch in `fit_preprocessor` and one in `Preprocessor.encode`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from autotrain.data.codes import ColumnCode
from autotrain.data.columns import Column
from autotrain.data.inputs import plain
from autotrain.data.preprocessing import Preprocessor
from autotrain.data.values import DATE_PARTS, date_parts, days, numbers, texts

MAX_INPUTS = 64
"""Most inputs one column of categories may take, the one for infrequent levels included."""
PIXEL_ROWS = 4096
"""Rows of pixels added up at a time, so that memory stays bounded."""


def fit_preprocessor(
    frame: pd.DataFrame, columns: Sequence[Column], features: Sequence[str]
) -> tuple[Preprocessor, list[str]]:
    """Fit on training rows.

    Args:
        frame: the training rows; its column labels are `columns`' names.
        columns: the kept columns.
        features: all columns of the table without the target, kept or dropped.
    Returns: the preprocessor, and a note for each column whose rarer levels share an input.
    """
    codes: list[ColumnCode] = []
    notes: list[str] = []
    fits: list[np.ndarray] = []
    pixels = [column.name for column in columns if column.kind == "pixel"]
    pixel_fit = _fit_pixels(frame[pixels].to_numpy()) if pixels else np.empty(3)
    for column in columns:
        values = plain(frame[column.name]) if column.kind != "pixel" else np.empty(0)
        if column.kind == "pixel":
            codes.append(ColumnCode(column.name, "pixel", column.dtype))
            fits.append(pixel_fit[:, None])
        elif column.kind == "numeric":
            codes.append(ColumnCode(column.name, "numeric", column.dtype))
            fits.append(_fit_numbers(numbers(values)[0][:, None]))
        elif column.kind == "date":
            code, fit = _fit_dates(values, column)
            codes.append(code)
            fits.append(fit)
        else:
            code, n_levels = _fit_levels(values, column)
            codes.append(code)
            if code.has_infrequent:
                notes.append(
                    f"column {column.name!r} has {n_levels} levels in the training rows: the "
                    f"{len(code.levels)} most frequent have an input each, the others share one"
                )
    stacked = np.concatenate(fits, axis=1) if fits else np.empty((3, 0))
    arrays = dict(zip(("fill", "mean", "scale"), stacked, strict=True))
    return Preprocessor(tuple(codes), tuple(features), arrays), notes


def _fit_numbers(values: np.ndarray) -> np.ndarray:
    """Return medians, means and scales `[3, P]` of float64 `[N, P]`."""
    imputer = SimpleImputer(strategy="median").fit(values)
    scaler = StandardScaler().fit(imputer.transform(values))
    return np.stack([imputer.statistics_, scaler.mean_, scaler.scale_])


def _fit_dates(values: np.ndarray, column: Column) -> tuple[ColumnCode, np.ndarray]:
    since_1970, _ = days(values)
    origin = math.floor(np.nanmin(since_1970))
    known = since_1970[~np.isnan(since_1970)]
    has_clock = bool((known != np.floor(known)).any())
    parts = DATE_PARTS if has_clock else DATE_PARTS[:-1]
    fit = _fit_numbers(date_parts(since_1970, origin, parts))
    code = ColumnCode(column.name, "date", column.dtype, parts=parts, origin=float(origin))
    return code, fit


def _fit_levels(values: np.ndarray, column: Column) -> tuple[ColumnCode, int]:
    found, inverse = texts(values, boolean=column.kind == "boolean")
    levels = np.array([np.nan if text is None else text for text in found], dtype=object)
    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=MAX_INPUTS, drop="if_binary"
    ).fit(levels[inverse][:, None])
    (categories,) = encoder.categories_
    (infrequent,) = encoder.infrequent_categories_
    rare = set() if infrequent is None else {_level(level) for level in infrequent}
    kept = tuple(level for level in map(_level, categories) if level not in rare)
    code = ColumnCode(
        column.name,
        column.kind,
        column.dtype,
        levels=kept,
        has_infrequent=bool(rare),
        is_binary=encoder.drop_idx_ is not None and encoder.drop_idx_[0] is not None,
    )
    return code, len(categories)


def _level(level: object) -> str | None:
    return level if isinstance(level, str) else None


def _fit_pixels(pixels: np.ndarray) -> np.ndarray:
    """Return median, mean and scale `[3]` of all pixels together, exact for uint8."""
    total = squares = 0.0
    for start in range(0, len(pixels), PIXEL_ROWS):
        chunk = pixels[start : start + PIXEL_ROWS].astype(np.float64)
        total += float(chunk.sum())
        squares += float(np.square(chunk).sum())
    mean = total / pixels.size
    scale = math.sqrt(max(squares / pixels.size - mean * mean, 0.0))
    return np.array([mean, mean, scale or 1.0])
