"""Checks and conversions of the arguments of a study. This file imports nothing heavy."""

from __future__ import annotations

import math
import multiprocessing
import numbers
import os
from pathlib import Path
from typing import Any, TypeGuard

from autotrain.errors import DataError, StudyError
from autotrain.vocabulary import user_path

IN_MEMORY = "<table in memory>"
RAY = "ray"
"""The value of `workers` for a Ray cluster on this machine, or at RAY_ADDRESS."""
MOST_WORKERS_A_CORE = 16
"""Largest number of workers per core; more would only use up memory."""
_WORDS = {"data": "a table", "test": "a table of test rows"}


def n_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_workers() -> int:
    """Return the default number of worker processes: one per core.

    It is 1 inside a worker of a `multiprocessing.Pool` or of joblib, because the other workers of
    the pool use the other cores.
    """
    process = multiprocessing.current_process()
    is_in_pool = process.daemon or ".loky." in f".{type(process).__module__}."
    return 1 if is_in_pool else n_cores()


def is_ray(workers: object) -> bool:
    """Whether a setting `workers` means a Ray cluster: "ray" or "ray://HOST:PORT"."""
    return isinstance(workers, str) and (workers == RAY or workers.startswith("ray://"))


def read_workers(workers: Any) -> int | str:
    """Return the number of worker processes, 0 for one per core or GPU, or a Ray cluster.

    Raises:
        StudyError: when it is neither a Ray cluster nor a non-negative integer, or too large for
            this machine.
    """
    if isinstance(workers, str):
        if is_ray(workers):
            return workers
        raise StudyError(
            f"workers must be a non-negative integer, 'ray' or 'ray://HOST:PORT', got {workers!r}.",
            parameter="workers",
        )
    workers, most = check_count("workers", workers), MOST_WORKERS_A_CORE * n_cores()
    if workers > most:
        raise StudyError(
            f"workers must be at most {most} on this machine, got {workers}. "
            "One per core is usually the fastest: use 0 (`auto` on the command line).",
            parameter="workers",
        )
    return workers


def is_number(value: object, kind: type = numbers.Real) -> TypeGuard[Any]:
    """Whether a value is a Python or NumPy number; True and False are not numbers."""
    return isinstance(value, kind) and not isinstance(value, bool)


def number_or_text(text: str | None) -> float | str | None:
    """Return the number that a text contains, otherwise the text; None for an empty text."""
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def word_for(table: Any) -> str:
    """Return the path or name of a table, or the fraction of test rows, as text."""
    if isinstance(table, str | os.PathLike) or is_number(table, numbers.Real):
        return str(table)
    return IN_MEMORY


def check_still_there(name: str, what: str, source: str) -> None:
    """Check that a study's table is still available.

    Args:
        name: the study's name.
        what: "data" or "test".
        source: the text that `word_for` returned for the table.
    Raises:
        StudyError: when it was a table in memory.
        DataError: when its file is missing.
    """
    if source == IN_MEMORY:
        raise StudyError(
            f"{what} must be given, because study {name!r} was started with {_WORDS[what]} in "
            f"memory. Pass it again: Study.resume(name, {what}=frame).",
            parameter=what,
        )
    if ":" not in source and source != "auto" and not user_path(source).exists():
        raise DataError(
            f"{source}: file not found in {Path.cwd()}. Study {name!r} was started with it. "
            f"If it has moved, pass its new path: {what}=... (`--{what} FILE` on the command "
            "line).",
            parameter=what,
        )


def check_count(name: str, count: Any) -> int:
    """Return a non-negative integer as an int.

    Args:
        name: the parameter, for messages.
    Raises:
        StudyError: when it is not a non-negative integer.
    """
    if isinstance(count, bool) or not isinstance(count, numbers.Integral) or count < 0:
        raise StudyError(f"{name} must be a non-negative integer, got {count!r}.", parameter=name)
    return int(count)


def check_share(name: str, share: Any, *, may_be_zero: bool = False) -> float:
    """Return a number of CPUs or GPUs, which may be a fraction, as a float.

    Args:
        name: the parameter, for messages.
        may_be_zero: whether 0 is valid.
    Raises:
        StudyError: when it is not a positive number.
    """
    if not is_number(share) or not 0 <= share < math.inf or (share == 0 and not may_be_zero):
        expected = "a number of at least 0" if may_be_zero else "a positive number"
        raise StudyError(f"{name} must be {expected}, got {share!r}.", parameter=name)
    return float(share)
