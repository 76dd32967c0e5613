"""Checks of what a user says about sampling."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from autotrain.errors import AutotrainError

MOST_SAMPLES = 100_000
LEAST_SAMPLES = 20
"""With fewer, means are so inexact that intervals around them hold too little: of 90 % with 5
samples 67 %, with 20 as much as with 100, on one table with dropout of 0.3."""
LEAST_ALPHA = 1e-9
"""Nearer to 0 or 1, float64 cannot tell a quantile's level from the end."""


class Sampling(NamedTuple):
    """What samples are drawn, as Python's own numbers."""

    n_samples: int
    alpha: float
    seed: int


def read_sampling(n_samples: Any, alpha: Any, seed: Any, *, least: int = 1) -> Sampling:
    """Return the arguments, or refuse them where they are out of their range.

    Args:
        least: smallest number of samples that makes sense.
    Raises: AutotrainError saying what is expected.
    """
    if not _is_whole(n_samples, least, MOST_SAMPLES):
        raise AutotrainError(
            f"n_samples: expected a whole number from {least} to {MOST_SAMPLES}, however: "
            f"{n_samples!r}. 100 is usual."
        )
    if not (_is_number(alpha) and LEAST_ALPHA <= alpha <= 1 - LEAST_ALPHA):
        raise AutotrainError(
            f"alpha: expected a number greater than 0 and less than 1, by {LEAST_ALPHA:g} at "
            f"least, however: {alpha!r}. 0.1 gives intervals that hold 90 %."
        )
    if not _is_whole(seed, 0, 2**64):
        raise AutotrainError(
            f"seed: expected a whole number of at least 0 (2**64 at most), however: {seed!r}."
        )
    return Sampling(int(n_samples), float(alpha), int(seed))


def check_tolerance(tolerance: Any, samples: object) -> None:
    """Refuse a tolerance that is none, or one together with samples that are to be kept.

    Raises: AutotrainError saying what is expected.
    """
    if samples is not None and not isinstance(samples, bool | np.bool_):
        raise AutotrainError(f"samples: expected True, False or None, however: {samples!r}.")
    if tolerance is None:
        return
    if not (_is_number(tolerance) and 0 < tolerance < np.inf):
        raise AutotrainError(
            f"tolerance: expected a number greater than 0, however: {tolerance!r}. It is compared "
            "with mc_error, the standard error of the mean."
        )
    if samples:
        raise AutotrainError(
            "samples: expected not to be kept where there is a tolerance, however: samples=True. "
            "Rows then have different numbers of samples: leave out one of the two."
        )


def _is_number(value: object) -> bool:
    is_real = isinstance(value, int | float | np.integer | np.floating)
    return is_real and not isinstance(value, bool)


def _is_whole(value: Any, low: int, high: int) -> bool:
    is_number = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return is_number and low <= int(value) <= high
