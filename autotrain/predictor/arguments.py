"""Checks of the arguments of a predictor: sampling, permutations and labels."""

from __future__ import annotations

import math
import numbers
from typing import Any, NamedTuple

import numpy as np

from autotrain.bundle import Bundle
from autotrain.data.arrays import plain
from autotrain.data.numerals import Numeral
from autotrain.data.targets import Target
from autotrain.errors import AutotrainError, DataError, nearest
from autotrain.metrics import BINARY
from autotrain.validation import is_number

MOST_SAMPLES = 100_000
MOST_REPEATS = 10_000
MOST_VALUES = 10_000
LEAST_SAMPLES = 20
"""With fewer samples, means are inexact and intervals around them too narrow. Coverage of 90 %
intervals on one table with a dropout rate of 0.3: 67 % with 5 samples; with 20 the same as with
100."""
LEAST_ALPHA = 1e-9
"""Nearer to 0 or 1, float64 cannot distinguish a quantile's level from the end."""


class Sampling(NamedTuple):
    """Checked arguments of Monte-Carlo sampling, as Python's own numbers."""

    n_samples: int
    alpha: float
    seed: int


def read_sampling(n_samples: Any, alpha: Any, seed: Any, *, least: int = 1) -> Sampling:
    """Return the checked arguments.

    Args:
        least: the smallest number of samples allowed.
    Raises: AutotrainError when an argument is out of its range.
    """
    if not _is_integer(n_samples, least, MOST_SAMPLES):
        raise AutotrainError(
            f"n_samples must be an integer from {least} to {MOST_SAMPLES:,}, got {n_samples!r}. "
            "The default is 100.",
            parameter="n_samples",
        )
    if not (is_number(alpha) and LEAST_ALPHA <= alpha <= 1 - LEAST_ALPHA):
        raise AutotrainError(
            f"alpha must be between 0 and 1, at least {LEAST_ALPHA:g} away from both, got "
            f"{alpha!r}. alpha = 0.1 gives intervals that contain about 90 % of the targets.",
            parameter="alpha",
        )
    if not _is_integer(seed, 0, 2**64):
        raise AutotrainError(
            f"seed must be an integer from 0 to 2**64, got {seed!r}.", parameter="seed"
        )
    return Sampling(int(n_samples), float(alpha), int(seed))


def read_repeats(n_repeats: Any, seed: Any) -> tuple[int, int]:
    """Return the checked number of permutations and their seed.

    Raises: AutotrainError when one is out of its range.
    """
    if not _is_integer(n_repeats, 1, MOST_REPEATS):
        raise AutotrainError(
            f"n_repeats must be an integer from 1 to {MOST_REPEATS:,}, got {n_repeats!r}. The "
            "default is 10.",
            parameter="n_repeats",
        )
    if not _is_integer(seed, 0, 2**32 - 1):
        raise AutotrainError(
            f"seed must be an integer from 0 to 2**32 - 1, got {seed!r}.", parameter="seed"
        )
    return int(n_repeats), int(seed)


def read_grid(grid: Any) -> int:
    """Return the checked number of values of a column.

    Raises: AutotrainError when it is out of its range.
    """
    if not _is_integer(grid, 1, MOST_VALUES):
        raise AutotrainError(
            f"grid must be an integer from 1 to {MOST_VALUES:,}, got {grid!r}. The default is 20.",
            parameter="grid",
        )
    return int(grid)


def check_tolerance(tolerance: Any, samples: object) -> None:
    """Check `tolerance` and `samples`, which exclude each other.

    Raises: AutotrainError when one of them is out of its range, or both are given.
    """
    if samples is not None and not isinstance(samples, bool | np.bool_):
        raise AutotrainError(
            f"samples must be True, False or None, got {samples!r}.", parameter="samples"
        )
    if tolerance is None:
        return
    if not (is_number(tolerance) and 0 < tolerance < math.inf):
        raise AutotrainError(
            f"tolerance must be a finite number greater than 0, got {tolerance!r}. It is compared "
            "with mc_error, the standard error of the mean.",
            parameter="tolerance",
        )
    if samples:
        raise AutotrainError(
            "samples must not be True when tolerance is given, because rows then have different "
            "numbers of samples. Leave out one of the two.",
            parameter="samples",
        )


def target_of(bundle: Bundle) -> Target:
    """Return the target of a model, which encodes labels and numbers as in training."""
    written = bundle.data.get("reading", {}).get("written", {}).get(bundle.target, ())
    return Target(
        bundle.target,
        bundle.task,
        "",
        bundle.classes,
        bundle.label_dtype,
        np.empty(0),
        Numeral.from_json(written),
    )


def read_positive(bundle: Bundle, positive: Any) -> int | None:
    """Return the number of the positive class; None for a model that has not two classes.

    Args:
        positive: its label; None for that of the bundle's threshold, otherwise the second class.
    Raises: AutotrainError when the label is unknown, or the model has not two classes.
    """
    if positive is None:
        stored = bundle.calibration.get("threshold", {"positive": 1})
        return int(stored["positive"]) if bundle.task == BINARY else None
    if bundle.task != BINARY:
        raise AutotrainError(
            f"positive must be left out for a {bundle.task} model, because only two classes have "
            f"a positive one, got {positive!r}.",
            parameter="positive",
        )
    try:
        return int(target_of(bundle).encode(plain([positive]), "positive")[0])
    except (DataError, ValueError):
        near = nearest(str(positive), map(str, bundle.classes))
        hint = "" if near is None else f" Did you mean {near!r}?"
        raise AutotrainError(
            f"positive must be one of the classes {', '.join(map(repr, bundle.classes))}, got "
            f"{positive!r}.{hint}",
            parameter="positive",
        ) from None


def _is_integer(value: Any, low: int, high: int) -> bool:
    return is_number(value, numbers.Integral) and low <= int(value) <= high
