"""Fit the preprocessing on training rows and return it as a `Preprocessor`.

Missing numbers become the median, and all numbers are scaled. Categories are encoded by
scikit-learn's `OneHotEncoder` with at most 64 inputs, of which the rarer levels share one, or
become codes if they are embedded. Pixels share one mean and one scale, whatever the scaler is. To
add a kind of column, add a branch to `fit_preprocessor` and one to `Preprocessor.encode`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

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
FITTED_CELLS = 1 << 22
"""Number of cells of columns of numbers that are fitted together: 32 MB in float64."""
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
    for several in _together(columns, len(frame)):
        column = several[0]
        if column.kind == "pixel":
            codes.append(ColumnCode(column.name, "pixel", column.dtype))
            fits.append(pixel_fit)
        elif column.kind == "numeric":
            own, fit = _fit_numeric(frame, several, scaler, indicates=indicates)
            codes += own
            fits.append(fit)
        elif column.kind == "date":
            code, fit = _fit_dates(frame[column.name], column, scaler, indicates=indicates)
            codes.append(code)
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


def _together(columns: Sequence[Column], n_rows: int) -> Iterator[list[Column]]:
    """Yield the columns that are fitted together: neighbours that are numbers, or one column.

    Their number is limited, so that memory stays bounded.
    """
    size = max(FITTED_CELLS // max(n_rows, 1), 1)
    for is_number, run in groupby(columns, lambda column: column.kind == "numeric"):
        own = list(run)
        step = size if is_number else 1
        yield from (own[start : start + step] for start in range(0, len(own), step))


def _fit_numbers(values: np.ndarray, scaler: Scaler) -> dict[str, np.ndarray]:
    """Return the medians `[P]` and the arrays of the scaler for numbers `[N, P]` float64.

    The median of a column without any number is 0. In Fortran order the sums of a column are
    rounded as if it were alone.
    """
    missing = np.isnan(values)
    has_gaps = missing.any(axis=0)
    if not has_gaps.any():
        return {FILL: np.median(values, axis=0), **scaler.fit(values)}
    fill = np.zeros(values.shape[1])
    fill[~has_gaps] = np.median(values[:, ~has_gaps], axis=0) if not has_gaps.all() else 0.0
    for place in np.flatnonzero(has_gaps & ~missing.all(axis=0)):
        fill[place] = np.median(values[~missing[:, place], place])
    filled = values.copy(order="K")
    np.copyto(filled, fill, where=missing)
    return {FILL: fill, **scaler.fit(filled)}


def _fit_numeric(
    frame: pd.DataFrame, columns: Sequence[Column], scaler: Scaler, *, indicates: bool
) -> tuple[list[ColumnCode], dict[str, np.ndarray]]:
    """Fit columns of numbers together, which is much faster than one after the other.

    Args:
        indicates: whether an input indicates missing cells.
    Returns: their codes, and the arrays of the scaler for all of them.
    """
    values = numbers_of(frame, [column.name for column in columns])
    has_gaps = np.isnan(values).any(axis=0).tolist()
    codes = [
        ColumnCode(
            column.name,
            "numeric",
            column.dtype,
            has_missing=_indicates(column, indicates=indicates),
            had_missing=column.has_missing or has_gap,
            written=column.written,
        )
        for column, has_gap in zip(columns, has_gaps, strict=True)
    ]
    return codes, _fit_numbers(values, scaler)


def numbers_of(frame: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Return columns of numbers as float64 `[N, P]` in Fortran order, NaN where missing."""
    part = frame[list(names)]
    if all(isinstance(dtype, np.dtype) and dtype.kind in "iuf" for dtype in part.dtypes):
        return np.asarray(part.to_numpy(dtype=np.float64), order="F")
    read = np.empty((len(names), len(frame)))
    for place, name in enumerate(names):
        read[place], _ = numbers(plain(part[name]))
    return read.T


def _indicates(column: Column, *, indicates: bool) -> bool:
    return column.has_missing and (indicates or column.tells_by_gaps)


def _fit_dates(
    cells: pd.Series[Any], column: Column, scaler: Scaler, *, indicates: bool
) -> tuple[ColumnCode, dict[str, np.ndarray]]:
    since_1970, _ = days(cells, column.zone)
    known = since_1970[~np.isnan(since_1970)]
    origin = math.floor(known.min()) if len(known) else 0
    has_clock = bool((known != np.floor(known)).any())
    parts = DATE_PARTS if has_clock else DATE_PARTS[:-1]
    expanded = date_parts(since_1970, origin, parts)
    code = ColumnCode(
        column.name,
        "date",
        column.dtype,
        parts=parts,
        origin=float(origin),
        has_missing=_indicates(column, indicates=indicates),
        had_missing=column.has_missing or len(known) < len(since_1970),
        zone=column.zone,
        written=column.written,
    )
    return code, _fit_numbers(expanded, scaler)


def _fit_levels(values: np.ndarray, column: Column, *, is_code: bool) -> tuple[ColumnCode, int]:
    # Importing scikit-learn takes a second, which a table of numbers does not need.
    from sklearn.preprocessing import OneHotEncoder  # noqa: PLC0415

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
