"""What a study is given, made into what its parts take, or refused."""

from __future__ import annotations

import math
import multiprocessing
import numbers
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeGuard

import torch

from autotrain.errors import (
    DataError,
    DeviceError,
    StudyError,
)
from autotrain.vocabulary import user_path

IN_MEMORY = "<table in memory>"
MOST_WORKERS_A_CORE = 16
"""More would only take the memory of the machine."""
_WORDS = {"data": "a table", "test": "a table of test rows"}


def find_device(device: str) -> str:
    """Return "cpu" or "cuda".

    Raises:
        DeviceError: when there is no such device here.
    """
    known: dict[str, Callable[[], bool]] = {
        "auto": lambda: True,
        "cpu": lambda: True,
        "cuda": torch.cuda.is_available,
    }
    if device not in known:
        raise DeviceError(f"--device must be auto, cpu or cuda, however: {device!r}.")
    if not known[device]():
        raise DeviceError(
            "--device cuda needs a GPU that torch can use, however: torch sees none "
            f"(torch {torch.__version__}). Use --device cpu, or install a CUDA build of torch."
        )
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def n_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_workers() -> int:
    """Return how many processes train when no number is given: one per core.

    It is 1 in a worker of a `multiprocessing.Pool` or of joblib: the other workers of the pool
    use the other cores.
    """
    process = multiprocessing.current_process()
    is_in_pool = process.daemon or ".loky." in f".{type(process).__module__}."
    return 1 if is_in_pool else n_cores()


def read_workers(workers: Any) -> int:
    """Return how many processes are to train; 0 for one per core, or per GPU.

    Raises:
        StudyError: when it is no number of processes, or more than this machine bears.
    """
    workers, most = check_count("workers", workers), MOST_WORKERS_A_CORE * n_cores()
    if workers > most:
        raise StudyError(
            f"--workers must be at most {most} on this machine, however: {workers}. "
            "One for each core, `auto`, is the fastest as a rule."
        )
    return workers


def read_budget(n_trials: Any, timeout: Any) -> tuple[int | None, float | None]:
    """Return trials and seconds as Python's own numbers; None for no limit.

    Raises:
        StudyError: when it is a budget of nothing, or no number.
    """
    if isinstance(timeout, float) and timeout == math.inf:
        timeout = None
    if n_trials is not None and not (is_number(n_trials, numbers.Integral) and n_trials >= 1):
        raise StudyError(
            f"n_trials must be a whole number of at least 1, however: {n_trials!r}. "
            "Give more, or none."
        )
    if timeout is not None and not (is_number(timeout, numbers.Real) and timeout > 0):
        raise StudyError(
            f"timeout must be a number of seconds above 0, however: {timeout!r}. "
            "Give more, or none."
        )
    return (
        None if n_trials is None else int(n_trials),
        None if timeout is None else float(timeout),
    )


def is_number(value: object, kind: type = numbers.Real) -> TypeGuard[Any]:
    """Whether a value is a number of Python or NumPy; True and False are none."""
    return isinstance(value, kind) and not isinstance(value, bool)


def number_or_text(text: str | None) -> float | str | None:
    """Return a number where the text is one, nothing where there is no text."""
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def word_for(table: Any) -> str:
    """Return by what name a table is found again, or the share of the rows that test."""
    if isinstance(table, str | os.PathLike) or is_number(table, numbers.Real):
        return str(table)
    return IN_MEMORY


def check_still_there(name: str, what: str, source: str) -> None:
    """Refuse to go on without a table that is not where it was.

    Args:
        name: the study's.
        what: "data" or "test".
        source: what `word_for` said of it.
    Raises:
        StudyError: when it was a frame.
        DataError: when there is no such file.
    """
    if source == IN_MEMORY:
        raise StudyError(
            f"study {name!r} was started with {_WORDS[what]} in memory, however: none is given. "
            f"Pass it again: Study.resume(name, {what}=frame)."
        )
    if ":" not in source and source != "auto" and not user_path(source).exists():
        raise DataError(
            f"{source}: expected a file, however: there is none in {Path.cwd()}. Study "
            f"{name!r} was started with it; when it has moved, or you work in another folder, "
            f"say where it is: --{what} FILE (in Python {what}=...)."
        )


def check_count(name: str, count: Any) -> int:
    """Return a whole number of at least 0.

    Raises:
        StudyError: when it is not.
    """
    if isinstance(count, bool) or not isinstance(count, numbers.Integral) or count < 0:
        raise StudyError(f"--{name} must be a whole number of at least 0, however: {count!r}.")
    return int(count)
