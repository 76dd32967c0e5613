"""Fit the preprocessing on training rows and return it as a `Preprocessor`.

Missing numbers become the median, and all numbers are scaled. Categories are encoded by
scikit-learn's `OneHotEncoder` with at most 64 inputs, of which the rarer levels share one, or
become codes if they are embedded. Pixels share one mean and one scale, whatever the scaler is. To
add a kind of column, add a branch to `fit_preprocessor` and one to `Preprocessor.encode`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.preprocessing import OneHotEncoder

from autotrain.data.arrays import plain
from autotrain.data.codes import ColumnCode
from autotrain.data.columns import Column
from autotrain.data.preprocessing import FILL, Preprocessor
from autotrain.data.values import DATE_PARTS, date_parts, days, numbers, texts
from autotrain.techniques.missing import MISSING
from autotrain.techniques.scalers import SCALERS, Scaler
from autotrain.techniques.view import View

MAX_INPUTS = 64
"""Maximum number of inputs of a categorical column, including one for infrequent levels."""
MAX_CODES = 1024
"""Maximum number of levels of an embedded column; the rarer levels share a code."""
PIXEL_ROWS = 4096
"""Number of rows of pixels summed at a time, so that memory stays bounded."""
VIEW = View()


def fit_preprocessor(
    frame: pd.DataFrame, columns: Sequence[Column], features: Sequence[str], view: View = VIEW
) -> tuple[Preprocessor, dict[str, int]]:
    """Fit on training rows.

    Args:
        frame: the training rows; its column labels are `columns`' names.
        columns: the kept columns.
        features: all columns of the table except the target, kept or dropped.
        view: the encoding.
    Returns: the preprocessor, and the number of levels of each categorical column in these rows.
    """
    # All pixels have the same unit, so one mean and one scale are used with every scaler.
    pixels = [column.name for column in columns if column.kind == "pixel"]
    scaler = SCALERS["standard" if pixels else view.scaler]
    indicates = MISSING[view.missing].indicates
    codes: list[ColumnCode] = []
    levels: dict[str, int] = {}
    fits: list[dict[str, np.ndarray]] = []
    pixel_fit = _fit_pixels(frame[pixels].to_numpy()) if pixels else {}
    for column in columns:
        has_missing = column.has_missing and (indicates or column.tells_by_gaps)
        if column.kind == "pixel":
            codes.append(ColumnCode(column.name, "pixel", column.dtype))
            fits.append(pixel_fit)
        elif column.kind in ("numeric", "date"):
            fit_column = _fit_numeric if column.kind == "numeric" else _fit_dates
            code, fit = fit_column(frame[column.name], column, scaler)
            had_missing = column.has_missing or code.had_missing
            code = replace(code, has_missing=has_missing, had_missing=had_missing)
            codes.append(replace(code, written=column.written))
            fits.append(fit)
        else:
            values = plain(frame[column.name])
            code, levels[column.name] = _fit_levels(values, column, is_code=is_code(column, view))
            codes.append(code)
    arrays = {
        name: np.concatenate([fit[name] for fit in fits], axis=-1) if fits else np.empty((0,))
        for name in (FILL, *scaler.arrays)
    }
    return Preprocessor(tuple(codes), tuple(features), arrays, scaler.name), levels


def is_code(column: Column, view: View) -> bool:
    """Whether a categorical column becomes codes, which a network embeds."""
    return 0 < view.one_hot_limit < column.n_levels


def rare_levels(
    columns: Sequence[Column], levels: Mapping[str, int], views: Iterable[View]
) -> list[str]:
    """Return a notice for each column whose rarer levels share an input or a vector.

    Args:
        columns: the kept columns.
        levels: number of levels of a column in the training rows, see `fit_preprocessor`.
        views: the encodings that the space allows.
    """
    notices = []
    views = list(views)
    for column in columns:
        count = levels.get(column.name, 0)
        coded = {is_code(column, view) for view in views}
        capped = {
            f"the {most - 1:,} most frequent have {what} each, and the others share one": embeds
            for embeds, most, what in (
                (False, MAX_INPUTS, "an input"),
                (True, MAX_CODES, "a vector"),
            )
            if embeds in coded and count > most
        }
        for words, embeds in capped.items():
            where = (
                {False: "one-hot encoded, ", True: "embedded, "}[embeds] if len(coded) > 1 else ""
            )
            notices.append(
                f"column {column.name!r} has {count:,} levels in the training rows: {where}{words}"
            )
    return notices


def _fit_numbers(values: np.ndarray, scaler: Scaler) -> dict[str, np.ndarray]:
    """Return the medians `[P]` and the arrays of the scaler for numbers `[N, P]` float64.

    The median of a column without any number is 0.
    """
    known = ~np.isnan(values)
    fill = np.array(
        [
            np.median(values[known[:, place], place]) if known[:, place].any() else 0.0
            for place in range(values.shape[1])
        ]
    )
    return {FILL: fill, **scaler.fit(np.where(known, values, fill))}


def _fit_numeric(
    cells: pd.Series[Any], column: Column, scaler: Scaler
) -> tuple[ColumnCode, dict[str, np.ndarray]]:
    read, _ = numbers(plain(cells))
    had_missing = bool(np.isnan(read).any())
    code = ColumnCode(column.name, "numeric", column.dtype, had_missing=had_missing)
    return code, _fit_numbers(read[:, None], scaler)


def _fit_dates(
    cells: pd.Series[Any], column: Column, scaler: Scaler
) -> tuple[ColumnCode, dict[str, np.ndarray]]:
    since_1970, _ = days(cells, column.zone)
    known = since_1970[~np.isnan(since_1970)]
    origin = math.floor(known.min()) if len(known) else 0
    has_clock = bool((known != np.floor(known)).any())
    parts = DATE_PARTS if has_clock else DATE_PARTS[:-1]
    fit = _fit_numbers(date_parts(since_1970, origin, parts), scaler)
    code = ColumnCode(
        column.name,
        "date",
        column.dtype,
        parts=parts,
        origin=float(origin),
        had_missing=len(known) < len(since_1970),
        zone=column.zone,
    )
    return code, fit


def _fit_levels(values: np.ndarray, column: Column, *, is_code: bool) -> tuple[ColumnCode, int]:
    found, inverse = texts(values, boolean=column.kind == "boolean")
    levels = np.array([np.nan if text is None else text for text in found], dtype=object)
    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        max_categories=MAX_CODES if is_code else MAX_INPUTS,
        drop=None if is_code else "if_binary",
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
        is_binary=(
            not is_code and encoder.drop_idx_ is not None and encoder.drop_idx_[0] is not None
        ),
        is_code=is_code,
    )
    return code, len(categories)


def _level(level: object) -> str | None:
    return level if isinstance(level, str) else None


def _fit_pixels(pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Return fill, mean and scale `[1]` of all pixels together, exact for uint8."""
    total = squares = 0.0
    for start in range(0, len(pixels), PIXEL_ROWS):
        chunk = pixels[start : start + PIXEL_ROWS].astype(np.float64)
        total += float(chunk.sum())
        squares += float(np.square(chunk).sum())
    mean = total / pixels.size
    scale = math.sqrt(max(squares / pixels.size - mean * mean, 0.0))
    return {FILL: np.array([mean]), "mean": np.array([mean]), "scale": np.array([scale or 1.0])}
