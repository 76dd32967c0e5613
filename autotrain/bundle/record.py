"""What a bundle is: members that predict together, and what is known about them.

A `Bundle` has one `Member` for a winner trained on one fold, K for one trained on K folds; each
brings its own preprocessing, because each was fitted on its own training rows. Everything but the
arrays goes to `bundle.json` (`to_json`) and comes back checked (`from_json`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from autotrain.bundle.tensors import from_tensors, layout_of, tensor_shapes, to_tensors
from autotrain.choices.targets import TARGETS
from autotrain.data.preprocessing import Preprocessor, array_shapes
from autotrain.fused.layout import Columns, Layout
from autotrain.space.config import TrialConfig
from autotrain.tasks import REGRESSION, TASKS, metric_named

LABEL_TYPES: Mapping[str, type] = {"str": str, "int64": int, "float64": float, "bool": bool}
ENSEMBLE = "ensemble"
"""Where the training record of an ensemble says which trainings it is made of."""
Shapes = dict[str, tuple[tuple[int, ...], str]]


@dataclass(frozen=True, eq=False)
class Member:
    """One trained network with what stands before and after it.

    Args:
        config: how it was built and trained.
        n_outputs: classes, or 1.
        preprocessor: fitted on this member's training rows.
        parameters: flat row `[P]` float32 of `layout_of(config, …)`.
        statistics: flat row of batch norm's moving mean and variance.
        target_mean: regression: output · `target_std` + `target_mean` is in the target's units.
        target_std: see `target_mean`.
        target_low, target_high: range of its training target, in output's scale; predictions stay
            within it where the configuration says so.
        fold: the fold whose training rows it saw.
        best_epoch: the epoch, from 1, whose weights these are.
        value: the metric on its own validation rows at that epoch, as training recorded it.
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

    @cached_property
    def layout(self) -> Layout:
        """The places of its numbers in the flat rows."""
        return layout_of(self.config, self.columns, self.n_outputs)

    @property
    def columns(self) -> Columns:
        """What the network reads: the columns that `preprocessor` gives; folds may differ."""
        return Columns(*self.preprocessor.kinds)

    @property
    def n_inputs(self) -> int:
        """What its first layer reads."""
        return self.layout.shape.n_inputs

    @property
    def limits(self) -> tuple[float, float] | None:
        """Range within which outputs stay, or None."""
        # Of a classification there are no limits, whatever the configuration says.
        clamps = self.n_outputs == 1 and TARGETS[self.config.target.name].clamps
        return (self.target_low, self.target_high) if clamps else None


@dataclass(frozen=True, eq=False)
class Bundle:
    """An exported model.

    Args:
        task: a word of `tasks.TASKS`.
        target: name of the target's column.
        classes: the user's own labels, sorted; empty for regression.
        label_dtype: "str", "int64", "float64" or "bool".
        members: at least one; they predict together, with equal weight.
        metric: what chose the winner, a name for `tasks.metric_named`.
        scores: {"validation": {metric: value}, "test": {…} or None}.
        calibration: numbers fitted on rows that did not train; see calibration.py.
        training: study, trial, seed and the like.
        data: name, source, fingerprint, split, counts of rows.
        versions: of Python and the libraries at work.
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
        """Whether labels are predicted."""
        return self.task != REGRESSION

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all arrays by name: weights, and preprocessing under "preprocessing."."""
        named: dict[str, np.ndarray] = {}
        for place, member in enumerate(self.members):
            prefix = prefix_of(place, len(self.members))
            weights = to_tensors(member.config, member.layout, member.parameters, member.statistics)
            fitted = member.preprocessor.to_arrays()
            named |= {prefix + name: array for name, array in weights.items()}
            named |= {f"{prefix}preprocessing.{name}": array for name, array in fitted.items()}
        return named

    def to_json(self) -> dict[str, Any]:
        """Return everything but the arrays as JSON, without format and checksums."""
        return {
            "task": self.task,
            "target": {
                "name": self.target,
                "classes": list(self.classes),
                "label_dtype": self.label_dtype,
            },
            "metric": {"name": self.metric, "direction": metric_named(self.metric).direction},
            "scores": plain(self.scores),
            "calibration": plain(self.calibration),
            "members": [_member_to_json(member) for member in self.members],
            "training": plain(self.training),
            "data": plain(self.data),
            "versions": plain(self.versions),
            "created": self.created,
        }


def prefix_of(place: int, n_members: int) -> str:
    """Return what stands before a member's tensor names: nothing when it is the only one."""
    return "" if n_members == 1 else f"member.{place}."


def expected_tensors(record: Mapping[str, Any]) -> Shapes:
    """Return shape and dtype of every array that a record asks for, by name.

    Raises: what a wrong record raises: KeyError, TypeError, ValueError, SpaceError.
    """
    expected: Shapes = {}
    members = record["members"]
    for place, member in enumerate(members):
        prefix = prefix_of(place, len(members))
        config = TrialConfig.from_json(member["config"])
        columns = _columns_from_json(member["columns"])
        layout = layout_of(config, columns, _count(member["n_outputs"]))
        shapes = tensor_shapes(config, layout)
        expected |= {prefix + name: (shape, "float32") for name, shape in shapes.items()}
        fitted = array_shapes(member["preprocessing"])
        expected |= {f"{prefix}preprocessing.{n}": (own, "float64") for n, own in fitted.items()}
    return expected


def from_json(record: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Bundle:
    """Build the bundle that `to_json` and `tensors` wrote down.

    Args:
        tensors: as `expected_tensors` says.
    Raises: KeyError, TypeError, ValueError or AutotrainError when the record says what cannot be.
    """
    target, task = record["target"], record["task"]
    classes = tuple(target["classes"])
    known: list[_Fitted] = []
    members = tuple(
        _member_from_json(member, tensors, prefix_of(place, len(record["members"])), known)
        for place, member in enumerate(record["members"])
    )
    _check_record(task, classes, target["label_dtype"], members)
    return Bundle(
        task=task,
        target=str(target["name"]),
        classes=classes,
        label_dtype=target["label_dtype"],
        members=members,
        metric=metric_named(record["metric"]["name"]).name,
        scores=dict(record["scores"]),
        calibration=_checked_calibration(record["calibration"], task, members),
        training=dict(record["training"]),
        data=dict(record["data"]),
        versions=dict(record["versions"]),
        created=str(record["created"]),
    )


def plain(value: Any) -> Any:
    """Return a value as JSON knows it; what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
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
        "target_low": plain(member.target_low),
        "target_high": plain(member.target_high),
        "fold": member.fold,
        "best_epoch": member.best_epoch,
        "value": plain(member.value),
        "preprocessing": member.preprocessor.to_json(),
    }


class _Fitted(NamedTuple):
    """A preprocessor, and what it was read from."""

    parts: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    preprocessor: Preprocessor


def _member_from_json(
    record: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    prefix: str,
    known: list[_Fitted],
) -> Member:
    config = TrialConfig.from_json(record["config"])
    columns = _columns_from_json(record["columns"])
    layout = layout_of(config, columns, record["n_outputs"])
    own = {name.removeprefix(prefix): array for name, array in tensors.items()}
    if prefix:
        own = {n.removeprefix(prefix): a for n, a in tensors.items() if n.startswith(prefix)}
    parameters, statistics = from_tensors(config, layout, own)
    parts = record["preprocessing"]
    arrays = {name: own[f"preprocessing.{name}"] for name in array_shapes(parts)}
    preprocessor = _preprocessor(parts, arrays, known)
    if Columns(*preprocessor.kinds) != columns:
        raise ValueError(f"the preprocessing gives {preprocessor.kinds} for {columns}")
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
        fold=int(record["fold"]),
        best_epoch=int(record["best_epoch"]),
        value=None if record["value"] is None else float(record["value"]),
    )


def _preprocessor(
    parts: Mapping[str, Any], arrays: Mapping[str, np.ndarray], known: list[_Fitted]
) -> Preprocessor:
    """Return the one that was read from the same before, so that rows are encoded once for all."""
    for fitted in known:
        if fitted.parts == parts and all(
            np.array_equal(array, fitted.arrays[name]) for name, array in arrays.items()
        ):
            return fitted.preprocessor
    known.append(_Fitted(parts, arrays, Preprocessor.from_parts(parts, arrays)))
    return known[-1].preprocessor


def _columns_from_json(record: Mapping[str, Any]) -> Columns:
    levels = tuple(_count(n) for n in record["levels"])
    n_numeric, n_plain = (_count(record[name], least=0) for name in ("n_numeric", "n_plain"))
    return Columns(n_numeric, levels, n_plain)


def _limit(value: Any, default: float) -> float:
    """Read a limit of the target; none is written as null."""
    return default if value is None else float(value)


def _check_record(
    task: object, classes: tuple[Any, ...], label_dtype: object, members: tuple[Member, ...]
) -> None:
    """Refuse what would load but predict nonsense."""
    if task not in TASKS:
        raise ValueError(f"task {task!r}")
    n_outputs = 1
    if task != REGRESSION:
        n_outputs = len(classes)
        kind = LABEL_TYPES[str(label_dtype)]
        if len(set(classes)) != n_outputs or any(type(label) is not kind for label in classes):
            raise ValueError(f"classes {classes[:5]} of type {label_dtype}")
    if not members or (task != REGRESSION and n_outputs < 2):
        raise ValueError(f"{len(members)} members, {n_outputs} classes")
    for member in members:
        if member.n_outputs != n_outputs:
            raise ValueError(f"{member.n_outputs} outputs for {n_outputs}")
        if not member.target_low <= member.target_high:
            raise ValueError(f"target range {member.target_low}, {member.target_high}")
        if not (math.isfinite(member.target_mean) and 0 < member.target_std < math.inf):
            raise ValueError(f"target scale {member.target_mean}, {member.target_std}")


def _checked_calibration(
    calibration: Mapping[str, Any], task: str, members: tuple[Member, ...]
) -> dict[str, Any]:
    # A regression must have its noise; a bundle may be older than the temperature.
    needed = ("tau", "tau_point") if task == REGRESSION else ()
    for name in (*needed, *({"temperature", "temperature_point"} & calibration.keys())):
        if not 0 < float(calibration[name]) < math.inf:
            raise ValueError(f"{name} {calibration[name]}")
    of_folds = calibration.get("conformal_fold_scores", ())
    n_folds = len({member.fold for member in members})
    if "conformal_fold_scores" in calibration and len(of_folds) != n_folds:
        raise ValueError(f"conformal scores of {len(of_folds)} folds for {n_folds}")
    scores = (*of_folds, calibration.get("conformal_scores", ()))
    for strange in scores:
        if list(strange) != sorted(strange) or not all(0 <= each < math.inf for each in strange):
            raise ValueError("conformal scores are not sorted numbers of at least 0")
    if {"conformal_fold_weights", "conformal_weights"} & calibration.keys():
        weights = (
            *calibration.get("conformal_fold_weights", ()),
            calibration.get("conformal_weights", ()),
        )
        if list(map(len, weights)) != list(map(len, scores)) or not all(
            0 < weight < math.inf for own in weights for weight in own
        ):
            raise ValueError("conformal weights are not one positive number for each score")
    return dict(calibration)


def _count(value: object, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"expected a whole number of at least {least}, however: {value!r}")
    return value
