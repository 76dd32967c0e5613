"""The pruners that a user can choose, with their settings.

The default is performance scheduling: the rule of `plateaus.py`, applied by `comparison.py`. The
other rows of `PRUNERS` are pruners of Optuna. To add one, add a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.pruners import BasePruner

from autotrain import errors
from autotrain.search.pruning.plateaus import OPTIONS
from autotrain.techniques.technique import Parameter


@dataclass(frozen=True)
class PrunerRow:
    """A row of `PRUNERS`.

    Args:
        build: makes Optuna's pruner from a value for each of `options`.
        doc: description in one clause.
        options: settings by name.
    """

    build: Callable[[Mapping[str, Any]], BasePruner]
    doc: str
    options: Mapping[str, Parameter]


PRUNERS: dict[str, PrunerRow] = {
    "performance": PrunerRow(
        # The search itself compares the trials; see `comparison.py`.
        lambda options: optuna.pruners.NopPruner(),
        "at plateaus of the validation loss, by what other trials had at theirs",
        OPTIONS,
    ),
    "asha": PrunerRow(
        lambda options: optuna.pruners.SuccessiveHalvingPruner(**options),
        "successive halving: the best 1/`reduction_factor` of the trials at a rung continue",
        {
            "min_resource": Parameter(4, "epochs until the first rung", low=1, kind="integer"),
            "reduction_factor": Parameter(
                3, "factor between the epochs of two rungs", low=2, kind="integer"
            ),
            "min_early_stopping_rate": Parameter(
                0, "number of rungs that are skipped at the start", low=0, kind="integer"
            ),
        },
    ),
    "median": PrunerRow(
        lambda options: optuna.pruners.MedianPruner(**options),
        "prune trials that are worse than the median of complete trials at the same epoch",
        {
            "n_startup_trials": Parameter(
                5,
                "number of finished trials before any is pruned",
                low=0,
                kind="integer",
            ),
            "n_warmup_steps": Parameter(
                4, "number of epochs in which a trial is not pruned", low=0, kind="integer"
            ),
            "interval_steps": Parameter(1, "epochs between two comparisons", low=1, kind="integer"),
            "n_min_trials": Parameter(
                1,
                "number of trials that must have reached an epoch",
                low=1,
                kind="integer",
            ),
        },
    ),
    "none": PrunerRow(lambda options: optuna.pruners.NopPruner(), "no pruning", {}),
}


def read_options(name: str, options: Mapping[str, Any] | None) -> dict[str, int | float]:
    """Return the settings of a pruner that differ from its defaults.

    Args:
        name: a row of `PRUNERS`.
        options: values by name; None for the defaults.
    Raises:
        StudyError: when the pruner or a setting is unknown, or a value is illegal; it lists all
            mistakes.
    """
    if name not in PRUNERS:
        raise errors.StudyError(errors.unknown("pruner", name, PRUNERS), parameter="pruner")
    if not isinstance(options, Mapping | None):
        raise errors.StudyError(
            "pruner_options must be a table of names and numbers, such as "
            f'{{"quantile": 0.4}}, got {options!r}.',
            parameter="pruner_options",
        )
    known, mistakes, differing = PRUNERS[name].options, [], {}
    for key, given in (options or {}).items():
        value = as_builtin(given)
        if key not in known:
            mistakes.append(errors.unknown(f"option of pruner {name!r}", key, known))
        elif not known[key].is_legal(value):
            mistakes.append(f"{key} must be {known[key].explain()}, got {given!r}.")
        elif value != known[key].default:
            differing[key] = value
    if mistakes:
        raise errors.StudyError("pruner_options: " + " ".join(mistakes), parameter="pruner_options")
    return differing


def as_builtin(number: Any) -> Any:
    """Convert a NumPy number to a Python number."""
    return number.item() if isinstance(number, np.generic) else number


def make_pruner(name: str = "performance", options: Mapping[str, Any] | None = None) -> BasePruner:
    """Make the Optuna pruner for a row of `PRUNERS`.

    Args:
        name: a row of `PRUNERS`.
        options: values by name; missing ones have their default.
    Raises:
        StudyError: as `read_options`.
    """
    given = read_options(name, options)
    row = PRUNERS[name]
    return row.build({key: parameter.default for key, parameter in row.options.items()} | given)
