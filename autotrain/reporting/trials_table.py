"""`read_trials`: all trials of a study as one table, for other programs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from optuna.trial import FrozenTrial

from autotrain.search.attributes import CAUSE, EPOCHS, N_PARAMETERS, SECONDS
from autotrain.search.opening import seen_study
from autotrain.search.record import is_foreign

FACTS = (CAUSE, EPOCHS, "best_epoch", SECONDS, N_PARAMETERS, "gradient_ratio")
"""User attributes of a trial that are columns of the table."""


def read_trials(folder: Path, storage: str | None = None) -> pd.DataFrame:
    """Return one row per trial of a study, in their order.

    Args:
        folder: the study's folder.
        storage: URL with the password, when the study is not stored in its folder.
    Returns: the columns are the number, the state, the value, start and end, facts about the
        training, whether another program added the trial, and `params.NAME` for each parameter;
        empty where a trial does not have it.
    Raises: as `status.read_status`.
    """
    with seen_study(folder, storage, stays_open=False) as seen:
        rows = [_row(trial, seen.user_attrs) for trial in seen.trials]
    names = sorted({name for row in rows for name in row if name.startswith("params.")})
    table = pd.DataFrame(rows, columns=[*_COLUMNS, *names])
    return table.astype(dict.fromkeys(_COUNTS, "Int64"))


_COUNTS = (EPOCHS, "best_epoch", N_PARAMETERS)
_COLUMNS = ("trial", "state", "value", "start", "end", *FACTS, "added")


def _row(trial: FrozenTrial, user_attrs: Mapping[str, Any]) -> dict[str, Any]:
    facts = {name: trial.user_attrs.get(name) for name in FACTS}
    params = {f"params.{name}": value for name, value in trial.params.items()}
    return {
        "trial": trial.number,
        "state": trial.state.name,
        "value": trial.value,
        "start": trial.datetime_start,
        "end": trial.datetime_complete,
        **facts,
        "added": is_foreign(trial, user_attrs),
        **params,
    }
