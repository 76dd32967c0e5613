"""Prepare a study: check its settings, load its data, find its folder. Nothing is written.

`StudySettings` → `prepare` → `Prepared` → `opening.open_study`
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage

from autotrain.data.dataset import Dataset
from autotrain.data.loading import load_dataset
from autotrain.metrics import Metric, metric_for
from autotrain.search.definition import FILE, Definition
from autotrain.search.device import find_device
from autotrain.search.opening import storage_of
from autotrain.search.pruning.pruners import read_options
from autotrain.search.sampling.allowed import AllowedSampler
from autotrain.search.sampling.samplers import make_sampler
from autotrain.search.sampling.untried import Untried, UntriedSampler
from autotrain.search.settings import StudySettings
from autotrain.search.storage.urls import absolute_url
from autotrain.search.widening import widen
from autotrain.space.auto import DataShape
from autotrain.space.search_space import SearchSpace, as_space
from autotrain.training.rows import check_metric
from autotrain.validation import check_still_there, number_or_text
from autotrain.vocabulary import user_path


@dataclass(frozen=True)
class Prepared:
    """A study before its storage is opened.

    Args:
        definition: the settings as resolved for the data.
        folder: the study's folder; it exists if the study exists.
        device: "cpu" or "cuda".
        dataset, metric: the problem.
        space: the resolved space.
        sampler: it draws only allowed configurations.
        untried: the untried configurations of a finite space; None for an infinite space.
        storage: an Optuna storage that the user gave; None for the storage of the definition.
    """

    definition: Definition
    folder: Path
    device: str
    dataset: Dataset
    metric: Metric
    space: SearchSpace
    sampler: BaseSampler
    untried: Untried | None
    storage: BaseStorage | None


def prepare(settings: StudySettings, *, widens: bool = False) -> Prepared:
    """Check the settings of a study, and load its data.

    Args:
        widens: whether an existing study gets the space, if it contains the study's trials.
    Raises:
        DataError, SpaceError, StudyError, StorageError, DeviceError: when a setting is invalid.
    """
    settings = settings.checked()
    options = read_options(settings.pruner, settings.pruner_options)
    settings = replace(settings, pruner_options=options)
    device = find_device(settings.device)
    sampler = make_sampler(settings.sampler, settings.seed)
    space = as_space(settings.space)
    dataset = _load(settings)
    metric = metric_for(dataset.task, settings.metric)
    check_metric(metric, dataset)
    space = resolve_for(space, dataset)
    definition = Definition.of(settings, dataset, space, metric)
    if widens:
        _widen(definition, settings, metric, space)
    definition, folder = _locate(definition, settings, dataset.name)
    allowed = AllowedSampler(sampler, space, settings.seed)
    untried = Untried.of(space)
    return Prepared(
        definition=definition,
        folder=folder,
        device=device,
        dataset=dataset,
        metric=metric,
        space=space,
        sampler=allowed if untried is None else UntriedSampler(allowed, untried, settings.seed),
        untried=untried,
        storage=settings.storage if isinstance(settings.storage, BaseStorage) else None,
    )


def _load(settings: StudySettings) -> Dataset:
    return load_dataset(
        settings.data,
        settings.target,
        task=settings.task,
        test=settings.test,
        validation=settings.validation,
        seed=settings.seed,
        weights=settings.weights,
        class_weights=settings.class_weights,
        reading=settings.reading,
    )


def _widen(
    definition: Definition, settings: StudySettings, metric: Metric, space: SearchSpace
) -> None:
    """Give an existing study another space, if nothing else differs.

    Raises: as `widen`.
    """
    folder = user_path(str(settings.directory)).absolute() / definition.name
    begun = Definition.read(folder)
    if begun.differing(definition) == ["space"]:
        url = storage_of(begun, settings.storage, folder)
        given = settings.storage if isinstance(settings.storage, BaseStorage) else None
        widen(replace(begun, storage=url), folder, metric, space, given)


def _locate(
    definition: Definition, settings: StudySettings, data_name: str
) -> tuple[Definition, Path]:
    """Return the study's folder, and the definition with the storage of the study in it.

    Raises:
        StudyError: when the folder contains a study with other settings.
    """
    # The working directory may change before the study is opened.
    directory = user_path(str(settings.directory)).absolute()
    if settings.name is None:
        definition = definition.with_free_name(data_name, directory)
    folder = directory / definition.name
    if (folder / FILE).is_file():
        begun = Definition.read(folder)
        begun.check_same(definition, folder)
        url = storage_of(begun, settings.storage, folder)
        definition = replace(definition, storage=url, stored_as=begun.stored_as)
    elif definition.storage is not None:
        absolute_url(definition.storage, folder)  # Raises for a database in memory.
    return definition, folder


def resumed(name: str, directory: str | Path, given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of an existing study, with the given ones in place of its own.

    Args:
        given: values by setting; None for the study's value.
    Raises:
        StudyError: when the study does not exist, or was started with a table in memory.
        DataError: when the file of its data is missing.
    """
    old = Definition.read(Path(directory) / name)
    if given["data"] is None:
        check_still_there(name, "data", old.data)
    if given["test"] is None and isinstance(number_or_text(old.test), str):
        check_still_there(name, "test", str(old.test))
    return old.arguments() | {key: value for key, value in given.items() if value is not None}


def shape_of(dataset: Dataset) -> DataShape:
    """Return the facts about the data that a space depends on."""
    return DataShape(
        dataset.n_train,
        dataset.n_inputs,
        dataset.task,
        dataset.is_pictures,
        dataset.preprocessor().input_columns.n_numeric,
    )


def resolve_for(space: SearchSpace, dataset: Dataset) -> SearchSpace:
    """Return the space with the values that depend on the data filled in."""
    return space.resolve(**asdict(shape_of(dataset)))
