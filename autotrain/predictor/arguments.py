"""Checks of what a user says about sampling."""

from __future__ import annotations

import numpy as np

from autotrain.errors import AutotrainError

MOST_SAMPLES = 100_000


def check_sampling(n_samples: object, alpha: object, seed: object, *, least: int = 1) -> None:
    """Refuse arguments out of their range.

    Args:
        least: smallest number of samples that makes sense.
    Raises: AutotrainError saying what is expected.
    """
    if not _is_whole(n_samples, least, MOST_SAMPLES):
        raise AutotrainError(
            f"n_samples: expected a whole number from {least} to {MOST_SAMPLES}, however: "
            f"{n_samples!r}. 100 is usual."
        )
    if not (isinstance(alpha, int | float | np.number) and 0 < alpha < 1):
        raise AutotrainError(
            f"alpha: expected a number greater than 0 and less than 1, however: {alpha!r}. "
            "0.1 gives intervals that hold 90 %."
        )
    if not _is_whole(seed, 0, 2**64):
        raise AutotrainError(f"seed: expected a whole number of at least 0, however: {seed!r}.")


def check_tolerance(tolerance: object, samples: bool | None) -> None:
    """Refuse a tolerance that is none, or one together with samples that are to be kept.

    Raises: AutotrainError saying what is expected.
    """
    if tolerance is None:
        return
    if not (isinstance(tolerance, int | float | np.number) and 0 < tolerance < np.inf):
        raise AutotrainError(
            f"tolerance: expected a number greater than 0, however: {tolerance!r}. It is compared "
            "with mc_error, the standard error of the mean."
        )
    if samples:
        raise AutotrainError(
            "samples: expected not to be kept where there is a tolerance, however: samples=True. "
            "Rows then have different numbers of samples: leave out one of the two."
        )


def _is_whole(value: object, low: int, high: int) -> bool:
    is_number = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return is_number and low <= int(value) <= high  # type: ignore[call-overload]
