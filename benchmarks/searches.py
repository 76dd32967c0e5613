"""Searches of a benchmark: tables of scikit-learn, and what two equal searches have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial
from sklearn import datasets

from autotrain.search.storage.open import read_storage

TIMES = ("seconds", "spent_s", "export_s", "scoring_s", "place", "identity", "origin", "exported")
CONTINUED = ("abandoned", "saved_epoch")
"""User attributes that differ between two runs, and those of a trial that continued."""


def write_table(name: str, path: Path) -> str:
    """Write a table of scikit-learn, and return the name of its target."""
    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    frame.to_csv(path, index=False)
    return "target"


def trials_of(study: Path, url: str | None = None) -> tuple[list[FrozenTrial], dict[str, Any]]:
    """Return the trials and the user attributes of a study.

    Args:
        study: its folder.
        url: URL of its storage; None for the journal in the folder.
    """
    with read_storage(study, url, stays_open=False) as storage:
        [found] = [each for each in storage.get_all_studies() if each.study_name == study.name]
        return storage.get_all_trials(found._study_id), found.user_attrs


def facts_of(study: Path, url: str | None = None) -> dict[str, Any]:
    """Return everything that must be equal, in an order that does not depend on the storage.

    For the arguments see `trials_of`.
    """
    trials, attrs = trials_of(study, url)
    hidden = (*TIMES, *CONTINUED)
    facts: dict[str, Any] = {
        f"trial {trial.number}": (
            trial.state.name,
            trial.params,
            trial.values,
            sorted(trial.intermediate_values.items()),
            {key: value for key, value in sorted(trial.user_attrs.items()) if key not in hidden},
        )
        for trial in trials
    }
    facts |= {f"study {key}": value for key, value in attrs.items() if key not in hidden}
    for path in sorted((study / "checkpoints").glob("*.safetensors")):
        facts[f"checkpoint {path.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted((study / "best").rglob("*.safetensors")):
        facts[f"best {path.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return facts


def differences(one: dict[str, Any], other: dict[str, Any]) -> Iterator[str]:
    """Yield what differs."""
    for key in sorted(one.keys() | other.keys()):
        # As text, because NaN differs from itself.
        if repr(one.get(key)) != repr(other.get(key)):
            yield f"{key}: {one.get(key)!r:.300} != {other.get(key)!r:.300}"
