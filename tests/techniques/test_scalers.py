"""Scalers equal scikit-learn or a formula in plain Python, column by column.

To add a scaler, add a function (training values, values) → scaled values to `REFERENCES`.
"""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from autotrain.techniques.scalers import QUANTILE_EDGE, SCALERS, fit_quantiles, normal_quantile

Reference = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _standard(train: np.ndarray, x: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = StandardScaler().fit(train).transform(x)
    scaled[:, np.ptp(train, axis=0) == 0] = 0.0
    return scaled


def _robust(train: np.ndarray, x: np.ndarray) -> np.ndarray:
    scaled = np.empty_like(x)
    for d in range(x.shape[1]):
        column = sorted(train[:, d].tolist())
        low, median, high = (float(np.percentile(column, at)) for at in (25, 50, 75))
        if high > low:
            factor = 1 / (high - low)
        elif column[-1] > column[0]:
            factor = 2 / (column[-1] - column[0])
        else:
            factor = 0.0
        for row, value in enumerate(x[:, d].tolist()):
            u = factor * (value - median)
            scaled[row, d] = u / math.sqrt(1 + (u / 3) ** 2)
    return scaled


def _quantile(train: np.ndarray, x: np.ndarray) -> np.ndarray:
    transformer = QuantileTransformer(
        n_quantiles=min(1000, len(train)), output_distribution="normal", subsample=None
    )
    scaled: np.ndarray = transformer.fit(train).transform(x)
    for d, quantiles in enumerate(fit_quantiles(train)["quantiles"].T.tolist()):
        # Near both ends scikit-learn returns ±5.2.
        near = (x[:, d] < quantiles[0] + 2e-7) | (x[:, d] > quantiles[-1] - 2e-7)
        for row in np.flatnonzero(near):
            scaled[row, d] = _quantile_of_one(quantiles, float(x[row, d]))
    return scaled


def _quantile_of_one(quantiles: list[float], x: float) -> float:
    x = min(max(x, quantiles[0]), quantiles[-1])
    first, last = bisect.bisect_left(quantiles, x), bisect.bisect_right(quantiles, x) - 1
    place = (first + last) / 2
    if first > last:
        place = last + (x - quantiles[last]) / (quantiles[first] - quantiles[last])
    rank = place / (len(quantiles) - 1) if len(quantiles) > 1 else 0.5
    return statistics.NormalDist().inv_cdf(min(max(rank, QUANTILE_EDGE), 1 - QUANTILE_EDGE))


def _raw(train: np.ndarray, x: np.ndarray) -> np.ndarray:
    raw = x.copy()
    for d in range(x.shape[1]):
        column = train[:, d].tolist()
        mean = math.fsum(column) / len(column)
        std = math.sqrt(math.fsum((value - mean) ** 2 for value in column) / len(column))
        if np.ptp(train[:, d]) == 0:
            raw[:, d] = 0.0
            continue
        if abs(mean) > 8192 * std:
            # With the rounding of the code, which is 1e-6 standard deviations of such a column.
            raw[:, d] -= train.mean(0)[d]
        if not 1 / 32 <= std <= 2.0**40:
            raw[:, d] /= 2.0 ** (math.floor(math.log2(std)) + 1)
    return raw


REFERENCES: dict[str, Reference] = {
    "standard": _standard,
    "robust_smooth_clip": _robust,
    "quantile_normal": _quantile,
    "none": _raw,
}


def table(n_rows: int, seed: int = 0) -> np.ndarray:
    """Return columns that are numerically difficult."""
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=n_rows)
    columns = [
        normal,
        1e9 + normal,  # a huge offset
        1e9 + 1e-3 * normal,
        np.full(n_rows, 0.1),  # constant, not a sum of powers of two
        np.full(n_rows, -1e9),
        np.zeros(n_rows),
        rng.integers(0, 3, n_rows).astype(np.float64),  # ties
        np.where(rng.random(n_rows) < 0.02, 5.0, 0.0),  # one value for nearly all rows
        rng.standard_cauchy(n_rows) * 1e6,  # outliers
        1e-12 * normal,
        np.exp(10 * normal),
        2015 + rng.integers(0, 9, n_rows),  # years
    ]
    return np.stack(columns, axis=1)


def scaled(name: str, train: np.ndarray, x: np.ndarray) -> np.ndarray:
    row = SCALERS[name]
    arrays = row.fit(train)
    assert tuple(arrays) == row.arrays
    for array in arrays.values():
        assert array.dtype == np.float64
        assert array.shape[-1] == train.shape[1]
        assert np.isfinite(array).all()
    before = x.copy()
    found = row.apply(x, arrays)
    np.testing.assert_array_equal(x, before)
    assert found.shape == x.shape
    assert found.dtype == np.float64
    return found


def tolerance(train: np.ndarray) -> np.ndarray:
    """Return the largest error of scaled values from the rounding of the mean, by column."""
    std = train.std(0)
    error = 8 * np.finfo(np.float64).eps * np.abs(train.mean(0)) / np.where(std > 0, std, np.inf)
    return 1e-9 + error


def compare(found: np.ndarray, wanted: np.ndarray, train: np.ndarray) -> None:
    # Quantiles of columns far from 0 are interpolated between values with few digits.
    excess = np.abs(found - wanted) - (tolerance(train) + 1e-6 * np.abs(wanted))
    assert (excess <= 0).all(), np.argwhere(excess > 0)[:5]


@pytest.mark.parametrize("n_rows", [1, 2, 5, 999, 1000, 1001, 4000])
@pytest.mark.parametrize("name", SCALERS)
def test_scaled_rows_equal_the_reference(name: str, n_rows: int) -> None:
    train, other = table(n_rows), table(500, seed=1)
    for x in (train, other):
        compare(scaled(name, train, x), REFERENCES[name](train, x), train)


@pytest.mark.parametrize("name", SCALERS)
def test_values_far_outside_keep_their_sign_and_are_finite(name: str) -> None:
    train = table(300)
    spread = np.ptp(train, axis=0) + 1
    far = np.concatenate([train.mean(0) + factor * spread for factor in (-1e6, -30, 30, 1e6)])
    far = far.reshape(4, -1)
    found = scaled(name, train, far)
    assert np.isfinite(found).all()
    varies = np.ptp(train, axis=0) > 0
    center = scaled(name, train, train.mean(0)[None])[0, varies]
    assert (found[:2, varies] < center).all()
    assert (found[2:, varies] > center).all()
    np.testing.assert_allclose(found, REFERENCES[name](train, far), rtol=1e-6, atol=1e-6)
    limit = {
        "standard": math.inf,
        "none": math.inf,
        "robust_smooth_clip": 3.0,
        "quantile_normal": 5.2,
    }[name]
    assert np.abs(found).max() <= limit


@pytest.mark.parametrize("name", SCALERS)
@given(
    st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=30),
    st.lists(st.floats(-1e15, 1e15), min_size=1, max_size=10),
)
def test_order_is_kept_and_results_are_finite(
    name: str, train: list[float], values: list[float]
) -> None:
    x = np.sort(np.array(values))[:, None]
    found = scaled(name, np.array(train)[:, None], x)[:, 0]
    assert np.isfinite(found).all()
    # Order is kept up to rounding errors.
    steps = np.diff(found)
    assert (steps >= -1e-9 * np.maximum(np.abs(found[1:]), 1)).all()


def test_nearly_equal_quantiles_do_not_overflow() -> None:
    train = np.array([[-1.0], [0.0], [2e-313], [1.0]])
    found = scaled("quantile_normal", train, np.array([[-5e-324], [1e-313], [2e-313]]))
    assert np.isfinite(found).all()
    assert np.ptp(found) == 0


def test_ties_at_an_end_have_the_mean_of_their_ranks() -> None:
    train = np.r_[np.zeros(60), np.arange(1.0, 31), np.full(11, 31.0)][:, None]
    x = np.array([-1.0, 0.0, 1e-9, 1.0, 30.0, 31.0, 32.0])[:, None]
    found = scaled("quantile_normal", train, x)[:, 0]
    wanted = [statistics.NormalDist().inv_cdf(place / 100) for place in (29.5, 59, 60, 89, 95)]
    np.testing.assert_allclose(found[[1, 2, 3, 4, 5]], wanted, atol=0.02)
    np.testing.assert_array_equal(found[[0, 6]], found[[1, 5]])
    found = scaled("quantile_normal", x, np.array([[-1.0], [32.0], [1e9]]))[:, 0]
    np.testing.assert_allclose(found, [-5.2, 5.2, 5.2], atol=1e-2)


@pytest.mark.parametrize("unit", [1e-280, 1e-12, 1e-8, 1.0, 1e12])
def test_quantiles_do_not_depend_on_the_unit(unit: float) -> None:
    train = np.random.default_rng(0).normal(size=(200, 1))
    found = scaled("quantile_normal", unit * train, unit * train)
    np.testing.assert_allclose(found, scaled("quantile_normal", train, train), rtol=1e-6)


@pytest.mark.parametrize("name", SCALERS)
def test_constant_column_is_equal_for_all_rows_near_it(name: str) -> None:
    train = np.full((50, 1), 0.1)
    found = scaled(name, train, train)
    assert np.ptp(found) == 0
    assert np.abs(found).max() < 1e-12


@pytest.mark.parametrize("name", SCALERS)
@pytest.mark.parametrize("value", [0.0, 0.1, -7e9])
def test_column_that_is_constant_in_training_becomes_zero(name: str, value: float) -> None:
    train = np.full((50, 1), value)
    unseen = np.array([[-1e100], [-1e6], [value], [value + 1], [1e6], [1e100]])
    found = scaled(name, train, unseen)
    np.testing.assert_array_equal(found.astype(np.float32), 0)


@pytest.mark.parametrize("name", SCALERS)
def test_typical_values_invert_the_scaler(name: str) -> None:
    generator = np.random.default_rng(3)
    train = np.stack([generator.normal(1990, 20, 500), 1e-6 * generator.gamma(2, size=500)], 1)
    z = generator.normal(size=(50, 2)).clip(-2.5, 2.5)
    row = SCALERS[name]
    arrays = row.fit(train)
    values = row.typical(z, arrays)
    wanted = (values - train.mean(0)) / train.std(0) if row.is_raw else row.apply(values, arrays)
    np.testing.assert_allclose(wanted, z, atol=1e-9)
    constant = row.fit(np.full((20, 2), 7.0))
    np.testing.assert_array_equal(row.typical(z, constant), 7.0)


@pytest.mark.parametrize(("offset", "unit"), [(0, 1), (300, 5), (2020, 3), (-1e9, 4e8), (0, 1e9)])
def test_ordinary_columns_stay_raw(offset: float, unit: float) -> None:
    x = offset + unit * np.random.default_rng(0).normal(size=(400, 1))
    np.testing.assert_array_equal(scaled("none", x, x), x)


@pytest.mark.parametrize(
    ("offset", "unit"), [(0, 1e-9), (1.7e9, 3600), (5, 1e-7), (0, 1e35), (1e150, 1e140)]
)
def test_raw_columns_keep_digits_and_do_not_overflow_in_float32(offset: float, unit: float) -> None:
    """Batch norm in float32 equals standardization in float64."""
    x = offset + unit * np.random.default_rng(0).normal(size=(400, 1))
    raw = torch.from_numpy(scaled("none", x, x).astype(np.float32))
    found = torch.nn.BatchNorm1d(1)(raw).detach().numpy()
    np.testing.assert_allclose(found, (x - x.mean()) / x.std(), atol=2e-3)
    np.testing.assert_allclose(np.corrcoef(raw[:, 0], x[:, 0])[0, 1], 1, atol=1e-6)


@pytest.mark.parametrize("name", SCALERS)
def test_columns_are_scaled_independently(name: str) -> None:
    train, x = table(200), table(50, seed=2)
    together = scaled(name, train, x)
    for d in range(train.shape[1]):
        alone = scaled(name, train[:, d : d + 1], x[:, d : d + 1])
        # The order of summation differs between one and many columns.
        compare(alone[:, 0:1], together[:, d : d + 1], train[:, d : d + 1])


def test_smooth_clip_is_linear_near_zero_and_ends_at_three() -> None:
    train = np.linspace(-1, 1, 101)[:, None]  # median 0, quartiles ±½
    x = np.array([0.0, 1e-4, 4.0, 1e9, -1e300])[:, None]
    found = scaled("robust_smooth_clip", train, x)[:, 0]
    np.testing.assert_allclose(found[:3], [0.0, 1e-4, 4 / math.sqrt(1 + 16 / 9)], rtol=1e-8)
    np.testing.assert_allclose(found[3:], [3.0, -3.0], rtol=1e-12)


def test_normal_quantile_equals_the_standard_library() -> None:
    tails = np.geomspace(QUANTILE_EDGE, 0.08, 500)
    p = np.concatenate([tails, np.linspace(0.07, 0.93, 501), 1 - tails])
    wanted = [statistics.NormalDist().inv_cdf(value) for value in p.tolist()]
    np.testing.assert_allclose(normal_quantile(p), wanted, rtol=1e-14, atol=1e-16)
