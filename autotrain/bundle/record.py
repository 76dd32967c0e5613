"""`Bundle`: members that predict together, and their record.

A `Bundle` has one `Member` for a winner trained on one fold, and K for one trained on K folds. Each
member has its own preprocessing, fitted on its own training rows. `to_json` writes everything
except the arrays to `bundle.json`, and `from_json` reads it. checking.py checks the fields one by
one; this file checks whether they fit each other.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from autotrain.data.codes import Columns
from autotrain.data.preprocessing import Preprocessor, array_shapes
from autotrain.metrics import BINARY, REGRESSION, TASKS, metric_named
from autotrain.network.flags import Diagnosis
from autotrain.network.layout import Layout
from autotrain.network.tensors import from_tensors, layout_of, tensor_shapes, to_tensors
from autotrain.space.config import TrialConfig
from autotrain.techniques.targets import TARGETS

LABEL_TYPES: Mapping[str, type] = {"str": str, "int64": int, "float64": float, "bool": bool}
INT64 = range(-(2**63), 2**63)
ENSEMBLE = "ensemble"
"""Key of the training record: the trainings of an ensemble."""
SELECTION = "selection"
"""Key of the training record: how the model was chosen; see selection.py."""
Shapes = dict[str, tuple[tuple[int, ...], str]]


@dataclass(frozen=True, eq=False)
class Member:
    """One trained network with its preprocessing and the scale of its target.

    Args:
        config: its configuration.
        n_outputs: number of classes, or 1.
        preprocessor: fitted on this member's training rows.
        parameters: flat row `[P]` float32 of `layout_of(config, …)`.
        statistics: flat row of batch norm's moving mean and variance.
        target_mean: regression: output · `target_std` + `target_mean` is in the target's units.
        target_std: see `target_mean`.
        target_low, target_high: range of its training target, in the scale of the output. If the
            configuration clamps, predictions stay within it.
        fold: the fold that it was trained on.
        best_epoch: the epoch of its weights, from 1.
        value: the metric on its own validation rows at that epoch, as training recorded it.
        diagnosis: diagnostics of its training, see `network/flags.py`.
    """

    config: TrialConfig
    n_outputs: int
    preprocessor: Preprocessor
    parameters: np.ndarray
    statistics: np.ndarray
    target_mean: float = 0.0
    target_std: float = 1.0
    target_low: float = -math.inf
    target_high: float = math.inf
    fold: int = 0
    best_epoch: int = 0
    value: float | None = None
    diagnosis: Diagnosis = field(default_factory=Diagnosis)

    @cached_property
    def layout(self) -> Layout:
        """The layout of the flat rows."""
        return layout_of(self.config, self.columns, self.n_outputs)

    @property
    def columns(self) -> Columns:
        """The input columns, as `preprocessor` encodes them; folds may differ."""
        return self.preprocessor.input_columns

    @property
    def n_inputs(self) -> int:
        """Number of inputs of the first layer."""
        return self.layout.shape.n_inputs

    @property
    def limits(self) -> tuple[float, float] | None:
        """The range of the outputs, or None without limits."""
        # A classification has no limits, whatever its configuration contains.
        clamps = self.n_outputs == 1 and TARGETS[self.config.target.name].clamps
        return (self.target_low, self.target_high) if clamps else None


@dataclass(frozen=True, eq=False)
class Bundle:
    """An exported model.

    Args:
        task: one of `metrics.TASKS`.
        target: name of the target's column.
        classes: the labels of the table, sorted; empty for regression.
        label_dtype: "str", "int64", "float64" or "bool".
        members: at least one; they predict together, with equal weight.
        metric: the metric that chose the winner, a name for `metrics.metric_named`.
        scores: {"validation": {metric: value}, "test": {…} or None, "validation_error": {metric:
            standard error over rows}}; once there is a test score also "test_interval" {metric:
            [low, high]}, "test_calibrated", "test_monte_carlo" and "test_coverage" {answer:
            {"coverage", "coverage_error", "size", "alpha", "n_rows"}}.
        calibration: numbers fitted on rows that did not train; see export/calibration.py.
        training: study, trial, seed and similar facts.
        data: name, source, fingerprint, split, counts of rows.
        versions: versions of Python and the libraries.
        created: ISO date and time, UTC.
    """

    task: str
    target: str
    classes: tuple[str | int | float | bool, ...]
    label_dtype: str
    members: tuple[Member, ...]
    metric: str
    scores: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""

    @property
    def is_classification(self) -> bool:
        """Whether the model predicts labels."""
        return self.task != REGRESSION

    @property
    def quantile(self) -> float | None:
        """The predicted quantile of the target; None for the mean or the median."""
        quantile = metric_named(self.metric).quantile
        return None if quantile == 0.5 else quantile

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all arrays by name, in the shapes of `expected_tensors`."""
        named: dict[str, np.ndarray] = {}
        for place, member in enumerate(self.members):
            prefix = prefix_of(place, len(self.members))
            weights = to_tensors(member.config, member.layout, member.parameters, member.statistics)
            fitted = member.preprocessor.to_arrays()
            named |= {prefix + name: array for name, array in weights.items()}
            named |= {f"{prefix}preprocessing.{name}": array for name, array in fitted.items()}
        return named

    def to_json(self) -> dict[str, Any]:
        """Return everything except the arrays as JSON, without format and checksums."""
        return {
            "task": self.task,
            "target": {
                "name": self.target,
                "classes": list(self.classes),
                "label_dtype": self.label_dtype,
            },
            "metric": {"name": self.metric, "direction": metric_named(self.metric).direction},
            "scores": plain_json(self.scores),
            "calibration": plain_json(self.calibration),
            "members": [_member_to_json(member) for member in self.members],
            "training": plain_json(self.training),
            "data": plain_json(self.data),
            "versions": plain_json(self.versions),
            "created": self.created,
        }


def prefix_of(place: int, n_members: int) -> str:
    """Return the prefix of a member's tensor names; empty for the only member."""
    return "" if n_members == 1 else f"member.{place}."


def expected_tensors(record: Mapping[str, Any]) -> Shapes:
    """Return the shape and dtype of every array that a record needs, by name.

    Args:
        record: a record that passed `check_fields`.
    Raises: KeyError, TypeError, ValueError or SpaceError when the record describes no model.
    """
    expected: Shapes = {}
    members = record["members"]
    for place, member in enumerate(members):
        prefix = prefix_of(place, len(members))
        config = TrialConfig.from_json(member["config"])
        columns = _columns_from_json(member["columns"])
        layout = layout_of(config, columns, member["n_outputs"])
        shapes = tensor_shapes(config, layout)
        expected |= {prefix + name: (shape, "float32") for name, shape in shapes.items()}
        fitted = array_shapes(member["preprocessing"])
        expected |= {f"{prefix}preprocessing.{n}": (own, "float64") for n, own in fitted.items()}
    return expected


def from_json(record: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Bundle:
    """Build a bundle from its record and its tensors.

    Args:
        record: a record that passed `check_fields`.
        tensors: tensors with the shapes of `expected_tensors`.
    Raises: KeyError, TypeError, ValueError or AutotrainError when the record is contradictory.
    """
    target = record["target"]
    known: dict[bytes, Preprocessor] = {}
    written = record["members"]
    bundle = Bundle(
        task=record["task"],
        target=target["name"],
        classes=tuple(target["classes"]),
        label_dtype=target["label_dtype"],
        members=tuple(
            _member_from_json(member, own, known)
            for member, own in zip(written, _of_members(tensors, len(written)), strict=True)
        ),
        metric=metric_named(record["metric"]["name"]).name,
        scores=record["scores"],
        calibration=record["calibration"],
        training=record["training"],
        data=record["data"],
        versions=record["versions"],
        created=record["created"],
    )
    _check_target(bundle)
    _check_members(bundle)
    _check_calibration(bundle)
    return bundle


def plain_json(value: Any) -> Any:
    """Return a value as plain JSON; NaN and infinity become null."""
    if isinstance(value, Mapping):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _member_to_json(member: Member) -> dict[str, Any]:
    return {
        "config": member.config.to_json(),
        "columns": {
            "n_numeric": member.columns.n_numeric,
            "levels": list(member.columns.levels),
            "n_plain": member.columns.n_plain,
        },
        "n_outputs": member.n_outputs,
        "target_mean": member.target_mean,
        "target_std": member.target_std,
        "target_low": plain_json(member.target_low),
        "target_high": plain_json(member.target_high),
        "fold": member.fold,
        "best_epoch": member.best_epoch,
        "value": plain_json(member.value),
        "diagnosis": member.diagnosis.to_json(),
        "preprocessing": member.preprocessor.to_json(),
    }


def _of_members(
    tensors: Mapping[str, np.ndarray], n_members: int
) -> Sequence[Mapping[str, np.ndarray]]:
    """Return each member's tensors by their name without the prefix."""
    if n_members == 1:
        return [tensors]
    own: list[dict[str, np.ndarray]] = [{} for _ in range(n_members)]
    for name, array in tensors.items():
        _, place, rest = name.split(".", 2)
        own[int(place)][rest] = array
    return own


def _member_from_json(
    record: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    known: dict[bytes, Preprocessor],
) -> Member:
    config = TrialConfig.from_json(record["config"])
    columns = _columns_from_json(record["columns"])
    layout = layout_of(config, columns, record["n_outputs"])
    parameters, statistics = from_tensors(config, layout, tensors)
    preprocessor = _preprocessor(record["preprocessing"], tensors, known)
    if preprocessor.input_columns != columns:
        raise ValueError(f"the preprocessing gives {preprocessor.input_columns} for {columns}")
    return Member(
        config=config,
        n_outputs=record["n_outputs"],
        preprocessor=preprocessor,
        parameters=parameters,
        statistics=statistics,
        target_mean=float(record["target_mean"]),
        target_std=float(record["target_std"]),
        target_low=_limit(record["target_low"], -math.inf),
        target_high=_limit(record["target_high"], math.inf),
        fold=record["fold"],
        best_epoch=record["best_epoch"],
        value=None if record["value"] is None else float(record["value"]),
        diagnosis=Diagnosis.from_json(record.get("diagnosis", {})),
    )


def _preprocessor(
    parts: Mapping[str, Any], tensors: Mapping[str, np.ndarray], known: dict[bytes, Preprocessor]
) -> Preprocessor:
    """Return one preprocessor for equal parts, so that members share the encoded rows."""
    arrays = {name: tensors[f"preprocessing.{name}"] for name in array_shapes(parts)}
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for array in arrays.values():
        digest.update(array.tobytes())
    key = digest.digest()
    if key not in known:
        known[key] = Preprocessor.from_parts(parts, arrays)
    return known[key]


def _columns_from_json(record: Mapping[str, Any]) -> Columns:
    return Columns(record["n_numeric"], tuple(record["levels"]), record["n_plain"])


def _limit(value: float | None, default: float) -> float:
    """Return a limit of the target; null stands for no limit."""
    return default if value is None else float(value)


def _check_target(bundle: Bundle) -> None:
    """Refuse labels and metrics that the task cannot have."""
    if bundle.task not in TASKS:
        raise ValueError(f"task {bundle.task!r}")
    if bundle.task not in metric_named(bundle.metric).tasks:
        raise ValueError(f"metric {bundle.metric} of a {bundle.task} model")
    if not bundle.is_classification:
        return
    classes, kind = bundle.classes, LABEL_TYPES[bundle.label_dtype]
    if any(type(label) is not kind for label in classes) or len(set(classes)) != len(classes):
        raise ValueError(f"classes {classes[:5]} of type {bundle.label_dtype}")
    if any(isinstance(label, int) and label not in INT64 for label in classes):
        raise ValueError("classes beyond 64 bits")
    if len(classes) < 2:
        raise ValueError(f"{len(classes)} classes")


def _check_members(bundle: Bundle) -> None:
    """Refuse members that would load but predict nonsense."""
    if not bundle.members:
        raise ValueError("no members")
    n_outputs = len(bundle.classes) if bundle.is_classification else 1
    for member in bundle.members:
        if member.n_outputs != n_outputs:
            raise ValueError(f"{member.n_outputs} outputs for {n_outputs}")
        if not member.target_low <= member.target_high:
            raise ValueError(f"target range {member.target_low}, {member.target_high}")
        names, features = member.preprocessor.column_names, member.preprocessor.features
        if len(set(features)) < len(features) or len(set(names)) < len(names):
            raise ValueError("two columns with the same name")
        if not set(names) <= set(features):
            raise ValueError("columns that the table does not have")


def _check_calibration(bundle: Bundle) -> None:
    calibration = bundle.calibration
    kind = "temperature" if bundle.is_classification else "noise"
    for name in (kind, f"{kind}_point"):
        if name not in calibration:
            raise ValueError(f"a {bundle.task} model without {name}")
    of_classes = calibration.get("class_weights")
    if of_classes is not None and len(of_classes) != len(bundle.classes):
        raise ValueError(f"{len(of_classes)} class weights for {len(bundle.classes)} classes")
    answers = calibration.get("answers")
    if answers is not None and len(answers["doubts"]) != len(answers["is_wrong"]):
        raise ValueError("answers must have one entry of is_wrong per doubt")
    threshold = calibration.get("threshold")
    if threshold is not None and (bundle.task != BINARY or threshold["positive"] > 1):
        raise ValueError(f"a decision threshold of a {bundle.task} model")
    _check_conformal(bundle)


def _check_conformal(bundle: Bundle) -> None:
    """Refuse conformal scores that do not fit the members, each other or the classes."""
    calibration = bundle.calibration
    scores = calibration.get("conformal_fold_scores")
    if scores is None:
        return
    n_folds = len({member.fold for member in bundle.members})
    if len(scores) != n_folds:
        raise ValueError(f"conformal scores of {len(scores)} folds for {n_folds}")
    if any(own != sorted(own) for own in scores):
        raise ValueError("conformal scores are not sorted")
    if bundle.is_classification and "conformal_fold_labels" not in calibration:
        raise ValueError("conformal scores without the class of each row")
    for name in ("conformal_fold_weights", "conformal_fold_labels"):
        if name in calibration and list(map(len, calibration[name])) != list(map(len, scores)):
            raise ValueError(f"{name} must have one entry per score")
    labels = calibration.get("conformal_fold_labels", [])
    if any(label >= len(bundle.classes) for own in labels for label in own):
        raise ValueError("conformal labels that are not classes")
