"""`ReportFacts`: everything that a report shows, as plain data without HTML.

`facts_of` computes them from the content of a study: its trials, its exported model and its table.
Sentences about them are in `summary.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from autotrain.bundle.selection import validation_score
from autotrain.data.dataset import Dataset
from autotrain.errors import AutotrainError
from autotrain.metrics import Metric
from autotrain.predictor import Predictor
from autotrain.predictor.importances import Importances
from autotrain.reporting.report.model import ModelFacts, model_facts
from autotrain.reporting.report.scores import (
    HeldOut,
    Scored,
    network_outputs,
    rows_for_test,
    scored_network,
    simpler_models,
)
from autotrain.reporting.report.trials import (
    FlagRow,
    ImportanceFacts,
    LayerLine,
    PruningFacts,
    TechniqueRow,
    flags_of_trials,
    importances_of,
    layers_of,
    pruning_of,
    techniques_of,
)
from autotrain.reporting.status import StudyStatus, status_of
from autotrain.reporting.trial import TrialReport, reports_of
from autotrain.search.definition import Definition, library_versions
from autotrain.search.record import own_trials
from autotrain.space.search_space import SearchSpace
from autotrain.vocabulary import value_text

MOST_COLUMNS = 100
MOST_LABELS = 20
N_REPEATS = 5
"""Permutations of each column."""
MOST_PRODUCTS = 50_000_000_000
"""Multiplications for the importances of the columns, which take a few seconds at most."""
LEAST_ROWS = 20
"""With fewer rows, importances are not measured."""


@dataclass(frozen=True)
class Content:
    """The content of a study that a report is made from.

    Args:
        folder: the study's folder.
        definition, space, metric, dataset: settings, space, metric and table of the study.
        trials, user_attrs: all trials, and attributes of the Optuna study.
        lost: a sentence on missing trials; None if nothing is missing.
        is_running: whether a search is running.
        predictor: the exported model; None if it is missing or damaged.
    """

    folder: Path
    definition: Definition
    space: SearchSpace
    metric: Metric
    dataset: Dataset
    trials: Sequence[FrozenTrial]
    user_attrs: Mapping[str, Any]
    lost: str | None
    is_running: bool
    predictor: Predictor | None


@dataclass(frozen=True)
class ColumnFact:
    """One column of the table.

    Args:
        name: its name.
        kind: "numeric", "categorical", "boolean", "date" or "pixel".
        n_levels: number of its levels; 0 if it has no levels.
        has_missing: whether it has missing cells.
    """

    name: str
    kind: str
    n_levels: int
    has_missing: bool


@dataclass(frozen=True)
class DataFacts:
    """The table of the study.

    Args:
        name, source: name, and the source as the user wrote it.
        target, task, task_reason: the column to predict, the task and the reason for it.
        rows: number of rows by use.
        n_folds: number of folds.
        kinds: number of columns by kind.
        columns: the first columns.
        n_columns: number of all columns.
        target_rows: (label, number of rows) of the classes, or (statistic, value) of numbers.
        notes: notices about the data and the space.
        is_fixed: whether the space has a single configuration.
        weights: name of the column of sample weights; None without weights.
    """

    name: str
    source: str
    target: str
    task: str
    task_reason: str
    rows: Mapping[str, int]
    n_folds: int
    kinds: Mapping[str, int]
    columns: tuple[ColumnFact, ...]
    n_columns: int
    target_rows: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    is_fixed: bool
    weights: str | None


@dataclass(frozen=True)
class ReportFacts:
    """Everything that a report shows.

    Args:
        status: counts of trials, state, winner and exported model.
        trials: reports of the study's own trials that began to train.
        winner: the winning trial; None before a trial is complete.
        techniques, pruning, flags, layers, importances: see `trials.py`.
        scores: scores of the network and of simpler models; the network is the first.
        model: the model on the test rows; None without test rows or model.
        columns: the importances of the columns; None without test rows or model, or if the table
            has too many columns.
        data: the table.
        predictor: the exported model; None if it is missing or damaged.
        versions: versions of the libraries that made the report.
        created: time of the report.
    """

    status: StudyStatus
    trials: tuple[TrialReport, ...]
    winner: TrialReport | None
    techniques: tuple[TechniqueRow, ...]
    pruning: PruningFacts
    flags: tuple[FlagRow, ...]
    layers: tuple[LayerLine, ...]
    importances: ImportanceFacts
    scores: tuple[Scored, ...]
    model: ModelFacts | None
    columns: Importances | None
    data: DataFacts
    predictor: Predictor | None
    versions: Mapping[str, str]
    created: datetime

    @property
    def definition(self) -> Definition:
        """The settings of the study."""
        return self.status.definition

    @property
    def metric(self) -> Metric:
        """The metric of the study."""
        return self.status.metric


def facts_of(content: Content) -> ReportFacts:
    """Compute the facts of a report."""
    definition, metric = content.definition, content.metric
    own = own_trials(content.trials, content.user_attrs)
    reports = reports_of(definition, own, content.user_attrs)
    trials = [each for each in reports if each.cause is None or each.cause.was_trained]
    status = status_of(
        content.folder,
        definition,
        content.trials,
        dict(content.user_attrs),
        lost=content.lost,
        is_running=content.is_running,
    )
    rows = rows_for_test(content.dataset)
    scores, model = _scores(content, rows)
    return ReportFacts(
        status=status,
        trials=tuple(trials),
        winner=next((each for each in trials if each.number == status.winner), None),
        techniques=techniques_of(trials, metric),
        pruning=pruning_of(trials),
        flags=flags_of_trials(trials),
        layers=layers_of(trials),
        importances=importances_of(own, metric),
        scores=scores,
        model=model,
        columns=_columns(content, rows),
        data=_data(content),
        predictor=content.predictor,
        versions=library_versions(),
        created=datetime.now(UTC),
    )


def _columns(content: Content, rows: HeldOut | None) -> Importances | None:
    """Return the permutation importances of the columns on some test rows."""
    if rows is None or content.predictor is None:
        return None
    n_columns = len(content.predictor.column_names)
    n_parameters = sum(member.parameters.size for member in content.predictor.bundle.members)
    n_rows = MOST_PRODUCTS // (n_columns * N_REPEATS * n_parameters)
    if min(n_rows, len(rows.y)) < LEAST_ROWS:
        return None
    chosen = slice(None, None, -(-len(rows.y) // n_rows))
    weights = None if rows.weights is None else rows.weights[chosen]
    try:
        return content.predictor.importances(
            rows.features.iloc[chosen],
            rows.labels.iloc[chosen],
            n_repeats=N_REPEATS,
            weights=weights,
        )
    except AutotrainError:
        return None  # The metric is not defined on these rows.


def _scores(content: Content, rows: HeldOut | None) -> tuple[tuple[Scored, ...], ModelFacts | None]:
    dataset, metric, predictor = content.dataset, content.metric, content.predictor
    if predictor is None:
        return tuple(simpler_models(dataset, metric, rows, None)), None
    outputs = None
    if rows is not None:
        of_labels, of_probabilities = network_outputs(predictor, rows)
        outputs = of_labels if metric.of_labels else of_probabilities
    network = scored_network(metric, rows, outputs, validation_score(predictor.bundle))
    others = simpler_models(dataset, metric, rows, outputs)
    model = None if rows is None else model_facts(predictor, rows, dataset.n_test)
    return (network, *others), model


def _data(content: Content) -> DataFacts:
    dataset = content.dataset
    notes = [*dataset.notes_for(content.space.views()), *content.space.notices]
    return DataFacts(
        name=dataset.name,
        source=content.definition.data,
        target=dataset.target,
        task=dataset.task,
        task_reason=dataset.task_reason,
        rows={
            "training": dataset.n_train,
            "validation": dataset.n_valid,
            "calibration": dataset.n_calibration,
            "test": dataset.n_test,
        },
        n_folds=len(dataset.folds),
        kinds=Counter(column.kind for column in dataset.columns),
        columns=tuple(
            ColumnFact(column.name, column.kind, column.n_levels, column.has_missing)
            for column in dataset.columns[:MOST_COLUMNS]
        ),
        n_columns=len(dataset.columns),
        target_rows=_target_rows(dataset),
        notes=tuple(notes),
        is_fixed=content.space.is_fixed,
        weights=dataset.weights,
    )


def _target_rows(dataset: Dataset) -> tuple[tuple[str, str], ...]:
    """Return a summary of the target in the first fold's training and validation rows."""
    fold = dataset.folds[0]
    y = np.concatenate([fold.y_train, fold.y_valid])
    if dataset.classes:
        counts = np.bincount(y, minlength=len(dataset.classes))
        order = np.argsort(-counts, kind="stable")
        rows = [
            (str(dataset.classes[c]), f"{counts[c]:,} rows ({counts[c] / len(y):.1%})")
            for c in order[:MOST_LABELS]
        ]
        n_more = len(counts) - len(rows)
        return (*rows, ("further classes", f"{n_more:,}")) if n_more else tuple(rows)
    values = y.astype(np.float64) * fold.target_std + fold.target_mean
    statistics = {
        "minimum": values.min(),
        "median": np.median(values),
        "mean": values.mean(),
        "maximum": values.max(),
        "standard deviation": values.std(),
    }
    return tuple((name, value_text(float(value))) for name, value in statistics.items())
