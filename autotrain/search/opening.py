"""A study's storage and the Optuna study in it: opened, or made when they are new."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.samplers import BaseSampler

from autotrain.errors import StudyError
from autotrain.metrics import Metric
from autotrain.search.settings import FILE, Definition
from autotrain.search.storage.open import OpenStorage, open_storage


def open_study(
    folder: Path, definition: Definition, metric: Metric, sampler: BaseSampler
) -> tuple[OpenStorage, optuna.Study]:
    """Open a study for this process alone; a new one is written down.

    Raises:
        StudyError: when another process works on it, or the storage has another of its name.
        StorageError: when the storage cannot be used.
    """
    storage = open_storage(folder, definition.storage)
    try:
        if not (folder / FILE).is_file():
            _refuse_strangers(storage, folder, definition.name)
            definition.write(folder)
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            study = optuna.create_study(
                storage=storage,
                study_name=definition.name,
                direction=metric.direction,
                sampler=sampler,
                pruner=optuna.pruners.NopPruner(),
                load_if_exists=True,
            )
        finally:
            optuna.logging.set_verbosity(before)
    except BaseException:
        if (folder / FILE).is_file():
            storage.close()
        else:
            storage.abandon()
        raise
    return storage, study


def _refuse_strangers(storage: OpenStorage, folder: Path, name: str) -> None:
    """Refuse to mix a new study's trials with those of another that has its name there."""
    if any(study.study_name == name for study in storage.get_all_studies()):
        raise StudyError(
            f"study {name!r} must be new in {storage.shown}, however: there is one of that "
            f"name, and no {folder / FILE} that says what it is. Choose another --study name."
        )
