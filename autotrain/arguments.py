"""What a study is given, made into what its parts take, or refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autotrain.data.dataset import Dataset
from autotrain.data.view import View
from autotrain.errors import DeviceError, StudyError
from autotrain.fused.layout import Columns
from autotrain.fused.rows import FoldArrays, Inputs, Problem
from autotrain.space.search_space import SearchSpace
from autotrain.tasks import CLASSIFICATION, Metric, metric_for


def problem_of(dataset: Dataset, metric: Metric) -> Problem:
    """Return what is to be learned from a data set."""
    n_outputs = len(dataset.classes) if dataset.task in CLASSIFICATION else 1
    return Problem(dataset.task, n_outputs, metric)


def fold_arrays(dataset: Dataset, views: Iterable[View]) -> list[FoldArrays]:
    """Return a data set's folds as the trainer takes them, in every view that may be asked for."""
    views = list(views)
    arrays = []
    for place, fold in enumerate(dataset.folds):
        inputs = {}
        for view in views:
            encoded = dataset.encoded(place, view)
            columns = Columns(*encoded.preprocessor.kinds)
            inputs[view] = Inputs(encoded.x_train, encoded.x_valid, columns)
        arrays.append(
            FoldArrays(
                fold.x_train,
                fold.y_train,
                fold.x_valid,
                fold.y_valid,
                fold.target_mean,
                fold.target_std,
                views=inputs,
                weights=fold.weights,
            )
        )
    return arrays


def check_metric(metric: Metric, dataset: Dataset) -> None:
    """Refuse a metric that no model could be given on some fold's validation rows.

    Raises:
        StudyError: when it needs targets that differ, and they do not.
    """
    if not metric.needs_variety:
        return
    for place, fold in enumerate(dataset.folds):
        counting = fold.y_valid
        if fold.weights is not None and fold.weights.metric is not None:
            counting = counting[fold.weights.metric > 0]
        if len(np.unique(counting)) < 2:
            where = "the validation rows" + (f" of fold {place}" if len(dataset.folds) > 1 else "")
            kind = "class" if dataset.task in CLASSIFICATION else "value"
            raise StudyError(
                f"--metric {metric.name} needs targets that differ, however: {where} "
                f"({len(counting)}) hold one {kind} only. Give more rows for validation, or "
                f"choose --metric {metric_for(dataset.task).name}."
            )


def as_space(space: str | Path | Mapping[str, Any] | SearchSpace) -> SearchSpace:
    """Return a search space from whatever names or describes one."""
    if isinstance(space, SearchSpace):
        return space
    if isinstance(space, Mapping):
        return SearchSpace(space)
    return SearchSpace.from_toml(space)


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


def check_budget(n_trials: int | None, timeout: float | None) -> None:
    """Refuse a budget of nothing with a StudyError."""
    if n_trials is not None and n_trials < 1:
        raise StudyError(f"n_trials must be at least 1, however: {n_trials}. Give more, or none.")
    if timeout is not None and not timeout > 0:
        raise StudyError(
            f"timeout must be more than 0 seconds, however: {timeout:g}. Give more, or none."
        )


def number_or_text(text: str | None) -> float | str | None:
    """Return a number where the text is one."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text
