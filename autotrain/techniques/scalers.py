"""Scalers of columns of numbers.

A row is fitted on the training rows, column by column. The fit is a dictionary of float64 arrays
`[…, P]`, P columns, which is all that `apply` needs. Missing cells are filled before. To add a
scaler, write `fit`, `apply` and `typical`, add a row to `SCALERS`, and write the same formula in
torch in `predictor/scaling.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from autotrain.techniques.technique import Technique, table

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")

Arrays = Mapping[str, np.ndarray]
# (x `[N]`, quantiles `[Q]`, their ranks `[Q]`) → ranks of x `[N]`, for one column.

MOST_QUANTILES = 1000
"""Largest number of quantiles, as in scikit-learn's QuantileTransformer."""
LEAST_NUMBER = 1e-290
"""Smaller numbers are treated as 0, because a slope between two of them would overflow."""
QUANTILE_EDGE = 1e-7
"""Distance of ranks from 0 and 1, where the normal quantile is infinite; |z| ≤ 5.2."""
SMOOTH_CLIP = 3.0
"""Limit of |z| in `robust_smooth_clip`."""
LEAST_RAW_STD, MOST_RAW_STD = 2.0**-5, 2.0**40
"""Raw columns with a standard deviation outside these bounds are multiplied by a power of two.

Below, batch norm's ε (1e-5) is not small relative to the variance; above, squares can overflow
float32.
"""
MOST_RAW_STDS = 2.0**13
"""The mean of raw columns that is more standard deviations from 0 is subtracted.

Within this bound, a standard deviation is at least 1,024 steps of float32, which has 24 binary
digits.
"""


@dataclass(frozen=True, kw_only=True)
class Scaler(Technique):
    """A row of `SCALERS`.

    Args:
        arrays: names of the arrays of the fit.
        fit: values `[N, P]` float64 without missing cells → arrays by name, `[…, P]`.
        apply: (values `[N, P]`, arrays) → scaled values `[N, P]` float64.
        typical: (z `[N, P]` in (−3, 3), arrays) → values `[N, P]` that are z standard deviations
            from the center of the column; for constant columns the constant. If the scaler is not
            raw, it is about the inverse of `apply`.
        is_raw: whether columns keep their units, so that they have different scales without batch
            norm of the inputs.
    """

    arrays: tuple[str, ...]
    fit: Callable[[np.ndarray], dict[str, np.ndarray]]
    apply: Callable[[np.ndarray, Arrays], np.ndarray]
    typical: Callable[[np.ndarray, Arrays], np.ndarray]
    is_raw: bool = False


def fit_standard(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return mean and standard deviation of each column, `[P]` each.

    For a column that is constant up to rounding, the standard deviation is the largest float64, so
    that all values become 0. With the standard deviation 1, new values would keep the units of the
    column.

    Args:
        values: `[N, P]`.
    Examples:
        >>> fit_standard(np.array([[1.0], [3.0]]))
        {'mean': array([2.]), 'scale': array([1.])}

    Equals: `sklearn.preprocessing.StandardScaler`, up to rounding, except for constant columns.
    """
    mean = values.mean(0)
    # The mean of the centered values is subtracted, too: it is the rounding error of the mean.
    centered = values - mean
    variance = (centered**2).mean(0) - centered.mean(0) ** 2
    scale = np.sqrt(np.maximum(variance, 0.0))
    error = len(values) * np.finfo(np.float64).eps
    is_constant = variance <= error * variance + (mean * error) ** 2
    largest = np.finfo(np.float64).max
    return {"mean": mean, "scale": np.where(is_constant | (scale == 0), largest, scale)}


def apply_standard(values: np.ndarray, arrays: Arrays) -> np.ndarray:
    """Return z = (x − mean) / scale, `[N, P]`.

    Examples:
        >>> fit = {"mean": np.array([2.0]), "scale": np.array([1.0])}
        >>> apply_standard(np.array([[1.0], [5.0]]), fit)
        array([[-1.],
               [ 3.]])
    """
    return (values - arrays["mean"]) / arrays["scale"]


def typical_standard(z: np.ndarray, arrays: Arrays) -> np.ndarray:
    """Return x = mean + scale · z, `[N, P]`."""
    is_constant = arrays["scale"] == np.finfo(np.float64).max
    return arrays["mean"] + np.where(is_constant, 0.0, arrays["scale"]) * z


def fit_raw(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return the fit of `fit_standard`, and shift and factor for `apply_raw`, `[P]` each.

    The shift is 0 and the factor 1, unless float32 or batch norm would lose the differences within
    the column, see `LEAST_RAW_STD` and `MOST_RAW_STDS`. The output of batch norm does not depend on
    shift and factor, except through its ε. The factor of a constant column is 0; see
    `fit_standard` for the reason.

    Args:
        values: `[N, P]`.
    Examples:
        >>> fit = fit_raw(np.array([[1.0, 1e6], [3.0, 1e6 + 2]]))
        >>> fit["shift"], fit["factor"]
        (array([      0., 1000001.]), array([1., 1.]))
    """
    standard = fit_standard(values)
    mean, std = standard["mean"], standard["scale"]
    is_constant = std == np.finfo(np.float64).max
    shift = np.where(is_constant | (np.abs(mean) / MOST_RAW_STDS > std), mean, 0.0)
    is_visible = (std >= LEAST_RAW_STD) & (std <= MOST_RAW_STD)
    exponent = np.where(is_constant | is_visible, 0, np.frexp(std)[1])
    # A power of two changes no digit of a number. 2^1000 cannot overflow here.
    factor = np.ldexp(1.0, np.clip(-exponent, -1000, 1000))
    return {**standard, "shift": shift, "factor": np.where(is_constant, 0.0, factor)}


def apply_raw(values: np.ndarray, arrays: Arrays) -> np.ndarray:
    """Return z = (x − shift) · factor, `[N, P]`; x itself for ordinary columns, see `fit_raw`.

    Examples:
        >>> values = np.array([[1.0, 1e6], [3.0, 1e6 + 2]])
        >>> apply_raw(values, fit_raw(values))
        array([[ 1., -1.],
               [ 3.,  1.]])
    """
    return (values - arrays["shift"]) * arrays["factor"]


def fit_robust(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return median and factor of each column, `[P]` each.

    The factor is 1/IQR; 2/range if the IQR is 0; 0 if the range is 0, too.

    Args:
        values: `[N, P]`.
    Examples:
        >>> fit_robust(np.array([[0.0], [1.0], [2.0], [3.0], [100.0]]))
        {'median': array([2.]), 'factor': array([0.5])}

    Source: Holzmüller et al. 2024, arXiv:2407.04491, section 3.1.
    """
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
    width = high - low
    width = np.where(width > 0, width, (values.max(0) - values.min(0)) / 2)
    # The inverse of a subnormal width would be infinite, so such a width counts as 0.
    is_wide = width >= np.finfo(np.float64).tiny
    factor = np.divide(1.0, width, out=np.zeros_like(width), where=is_wide)
    return {"median": median, "factor": factor}


def apply_robust(values: np.ndarray, arrays: Arrays) -> np.ndarray:
    """Return z = u / √(1 + (u/3)²) with u = (x − median) · factor, `[N, P]`; |z| < 3.

    Examples:
        >>> values = np.array([[0.0], [1.0], [2.0], [3.0], [100.0]])
        >>> apply_robust(values, fit_robust(values)).T.round(2)
        array([[-0.95, -0.49,  0.  ,  0.49,  2.99]])
    """
    with np.errstate(over="ignore"):
        u = (values - arrays["median"]) * arrays["factor"]
        # 3 · sin(atan(u/3)) equals u/√(1 + (u/3)²) and cannot overflow.
        return SMOOTH_CLIP * np.sin(np.arctan(u / SMOOTH_CLIP))


def typical_robust(z: np.ndarray, arrays: Arrays) -> np.ndarray:
    """Return x = median + u / factor with u = z / √(1 − (z/3)²), `[N, P]`."""
    factor = arrays["factor"]
    width = np.divide(1.0, factor, out=np.zeros_like(factor), where=factor > 0)
    return arrays["median"] + width * z / np.sqrt(1 - (z / SMOOTH_CLIP) ** 2)


# Coefficients of numerator and denominator, highest power first, in the middle and in the tails.
MIDDLE = (
    (
        *(2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4),
        *(4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3),
        *(1.3314166789178437745e2, 3.3871328727963666080),
    ),
    (
        *(5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4),
        *(2.1213794301586595867e4, 5.3941960214247511077e3, 6.8718700749205790830e2),
        *(4.2313330701600911252e1, 1.0),
    ),
)
TAILS = (
    (
        *(7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1),
        *(1.27045825245236838258, 3.64784832476320460504, 5.76949722146069140550),
        *(4.63033784615654529590, 1.42343711074968357734),
    ),
    (
        *(1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2),
        *(1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940),
        *(2.05319162663775882187, 1.0),
    ),
)


def normal_quantile(p: Array, xp: Any = np) -> Array:
    """Return Φ⁻¹(p) for p in [1e-11, 1 − 1e-11], to sixteen digits.

    Args:
        p: probabilities, an array or a tensor of any shape, float64.
        xp: the module of `p`: `numpy` or `torch`.
    Returns: the quantiles, of the shape of `p`.
    Examples:
        >>> normal_quantile(np.array([0.025, 0.5, 0.975])).round(3)
        array([-1.96,  0.  ,  1.96])

    Source: Wichura 1988, algorithm AS 241. Equals: `statistics.NormalDist().inv_cdf`. It is not
    `torch.special.ndtri`, because an exported graph must contain it (`predictor/scaling.py`).
    """
    q = p - 0.5
    r = 0.180625 - q * q
    middle = q * _polynomial(MIDDLE[0], r) / _polynomial(MIDDLE[1], r)
    r = xp.sqrt(-xp.log(xp.minimum(p, 1 - p))) - 1.6
    tail = _polynomial(TAILS[0], r) / _polynomial(TAILS[1], r)
    quantile: Array = xp.where(abs(q) <= 0.425, middle, xp.where(q < 0, -tail, tail))
    return quantile


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    """Return the value of a polynomial at x, by Horner's rule; highest power first."""
    value = coefficients[0] * x + coefficients[1]
    for coefficient in coefficients[2:]:
        value = value * x + coefficient
    return value


def fit_quantiles(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return the quantiles `[Q, P]` at Q evenly spaced ranks, Q = min(1000, N).

    Args:
        values: `[N, P]`.
    Examples:
        >>> fit_quantiles(np.array([[4.0], [1.0], [3.0]]))["quantiles"].T
        array([[1., 3., 4.]])

    Equals: `sklearn.preprocessing.QuantileTransformer(subsample=None).quantiles_`.
    """
    n_rows = len(values)
    ranks = np.linspace(0, 1, min(MOST_QUANTILES, n_rows)) * (n_rows - 1)
    # `np.quantile` partitions the rows at all ranks, which takes a hundred times as long.
    ordered = np.sort(values, axis=0)
    below = np.minimum(ranks.astype(np.intp), max(n_rows - 2, 0))
    low = ordered[below]
    steps = ordered[np.minimum(below + 1, n_rows - 1)] - low
    quantiles = steps * (ranks - below)[:, None] + low
    # `low + (high − low)` may differ from `high`.
    quantiles[-1] = ordered[-1]
    # Rounding errors of the interpolation can break the order.
    return {"quantiles": np.maximum.accumulate(quantiles, axis=0)}


def apply_quantiles(values: np.ndarray, arrays: Arrays) -> np.ndarray:
    """Return z = Φ⁻¹(rank of x among the training rows), `[N, P]`; 0 for constant columns.

    |z| ≤ 5.2. Ties have the mean of their ranks. Values outside the training range have the rank of
    its nearest end.

    Examples:
        >>> values = np.array([[1.0], [10.0], [100.0]])
        >>> apply_quantiles(values, fit_quantiles(values)).T.round(2)
        array([[-5.2,  0. ,  5.2]])

    Equals: `sklearn.preprocessing.QuantileTransformer(output_distribution="normal")`, except for
    values within 1e-7 of the smallest and the largest one, which scikit-learn moves to ±5.2.
    """
    quantiles = arrays["quantiles"]
    ranks = np.linspace(0, 1, len(quantiles)) if len(quantiles) > 1 else np.full(1, 0.5)
    # Each column is contiguous, which is faster.
    of_columns = np.ascontiguousarray(_flushed(quantiles).T)
    clipped = np.clip(_flushed(values).T, of_columns[:, :1], of_columns[:, -1:])
    scaled = np.empty_like(values, order="F")
    for column, (x, q) in enumerate(zip(clipped, of_columns, strict=True)):
        scaled[:, column] = _ranks(x, q, ranks)
    return normal_quantile(np.clip(scaled, QUANTILE_EDGE, 1 - QUANTILE_EDGE))


def typical_quantiles(z: np.ndarray, arrays: Arrays) -> np.ndarray:
    """Return x, the quantile at the rank Φ(z), `[N, P]`."""
    quantiles = arrays["quantiles"]
    ranks = np.vectorize(NormalDist().cdf, otypes=[np.float64])(z)
    steps = np.linspace(0, 1, len(quantiles))
    columns = [np.interp(rank, steps, q) for rank, q in zip(ranks.T, quantiles.T, strict=True)]
    return np.stack(columns, axis=1) if columns else z


def _ranks(x: np.ndarray, q: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Return interpolated ranks of x `[N]`; of equal quantiles the mean of their ranks."""
    up = np.interp(x, q, ranks)
    down = -np.interp(-x, -q[::-1], -ranks[::-1])
    return (up + down) / 2


def _flushed(values: np.ndarray) -> np.ndarray:
    """Return values with 0 instead of numbers below `LEAST_NUMBER`."""
    return np.where(np.abs(values) < LEAST_NUMBER, 0.0, values)


SCALERS = table(
    Scaler(
        "standard",
        "z = (x − mean) / standard deviation",
        note="Use it for columns without outliers.",
        arrays=("mean", "scale"),
        fit=fit_standard,
        apply=apply_standard,
        typical=typical_standard,
    ),
    Scaler(
        "robust_smooth_clip",
        "u = (x − median) / IQR, z = u / √(1 + (u/3)²)",
        note="Use it for columns with outliers, which approach ±3. If the IQR is 0, half the range "
        "is used. Holzmüller et al. 2024, arXiv:2407.04491.",
        arrays=("median", "factor"),
        fit=fit_robust,
        apply=apply_robust,
        typical=typical_robust,
    ),
    Scaler(
        "quantile_normal",
        "z = Φ⁻¹(rank of x as a fraction of the training rows)",
        note="Use it for skewed columns. Ranks are interpolated between at most 1,000 quantiles, "
        "and |z| ≤ 5.2. Ties have the mean of their ranks. Values outside the training range have "
        "the rank of its nearest end.",
        arrays=("quantiles",),
        fit=fit_quantiles,
        apply=apply_quantiles,
        typical=typical_quantiles,
    ),
    Scaler(
        "none",
        "z = x",
        note="Use it with batch_norm.input = true. If the mean of a column is more than 8,192 "
        "standard deviations from 0, it is subtracted. A column with a standard deviation below "
        "1/32 or above 2⁴⁰ is multiplied by a power of two. Otherwise float32 or batch norm's ε "
        "would hide its differences. Columns that are constant in the training rows become 0.",
        arrays=("mean", "scale", "shift", "factor"),
        fit=fit_raw,
        apply=apply_raw,
        typical=typical_standard,
        is_raw=True,
    ),
)
