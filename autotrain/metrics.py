"""The tasks, and the name, direction and range of each metric.

This file imports nothing large, so that the command line can list metrics without torch. The
formulas are in `network/metric_formulas.py`, one function per metric.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from autotrain.errors import StudyError, unknown

BINARY = "binary"
MULTICLASS = "multiclass"
REGRESSION = "regression"
TASKS = (BINARY, MULTICLASS, REGRESSION)
CLASSIFICATION = (BINARY, MULTICLASS)


@dataclass(frozen=True)
class Metric:
    """A measure of a model's quality.

    Args:
        name: scikit-learn's name without sign or prefix, with the quantile if it has one, such as
            "pinball:0.9".
        direction: "minimize" or "maximize", as in Optuna.
        tasks: the tasks it is defined for.
        summary: one line for help and documentation.
        in_target_units: whether it has the target's unit of measure.
        needs_variety: whether it is undefined on rows that all have the same target.
        of_labels: whether it depends only on the predicted labels, not on the probabilities.
        low: the lowest possible value.
        quantile: the quantile to predict, in (0, 1); None for metrics without a quantile.
    Examples:
        >>> metric = METRICS["roc_auc"]
        >>> metric.direction, metric.sign, metric.high
        ('maximize', -1.0, 1.0)
    """

    name: str
    direction: Literal["minimize", "maximize"]
    tasks: tuple[str, ...]
    summary: str
    in_target_units: bool = False
    needs_variety: bool = False
    of_labels: bool = False
    low: float = 0.0
    quantile: float | None = None

    @property
    def row(self) -> str:
        """The key in `METRICS`: the name without the quantile."""
        return row_of(self.name)

    @property
    def high(self) -> float:
        """The highest possible value: 1 for metrics to maximize, otherwise infinity."""
        return math.inf if self.direction == "minimize" else 1.0

    @property
    def sign(self) -> float:
        """+1 when lower is better, otherwise −1, so that a lower sign · value is always better."""
        return 1.0 if self.direction == "minimize" else -1.0


METRICS = {
    metric.name: metric
    for metric in (
        Metric("log_loss", "minimize", CLASSIFICATION, "mean of −log p(true class), in nats"),
        Metric(
            "accuracy",
            "maximize",
            CLASSIFICATION,
            "fraction of rows whose most probable class is correct",
            of_labels=True,
        ),
        Metric(
            "balanced_accuracy",
            "maximize",
            CLASSIFICATION,
            "mean recall over the classes",
            of_labels=True,
        ),
        Metric(
            "roc_auc",
            "maximize",
            CLASSIFICATION,
            "area under the ROC curve; macro, one-vs-rest",
            needs_variety=True,
        ),
        Metric(
            "average_precision",
            "maximize",
            CLASSIFICATION,
            "mean precision over the recalls for the second class; macro for several classes",
            needs_variety=True,
        ),
        Metric(
            "f1",
            "maximize",
            CLASSIFICATION,
            "F₁ for the second class; macro for several classes",
            of_labels=True,
        ),
        Metric(
            "brier",
            "minimize",
            CLASSIFICATION,
            "mean of (p − y)² for the second class; summed over the classes if there are several",
        ),
        Metric(
            "rmse",
            "minimize",
            (REGRESSION,),
            "root mean squared error, in units of the target",
            in_target_units=True,
        ),
        Metric(
            "mae",
            "minimize",
            (REGRESSION,),
            "mean absolute error, in units of the target",
            in_target_units=True,
        ),
        Metric(
            "r2",
            "maximize",
            (REGRESSION,),
            "fraction of the variance that is explained",
            needs_variety=True,
            low=-math.inf,
        ),
        Metric(
            "pinball",
            "minimize",
            (REGRESSION,),
            "mean pinball loss of a quantile (default 0.5), in units of the target",
            in_target_units=True,
            quantile=0.5,
        ),
    )
}


def row_of(name: str) -> str:
    """Return the name of a metric without its quantile: its row in `METRICS`."""
    return name.partition(":")[0]


def metric_named(name: str) -> Metric:
    """Return the metric with a name, such as "roc_auc" or "pinball:0.9".

    Raises:
        KeyError: when the metric is unknown.
        ValueError: when the text after the colon is not a quantile, or the metric has none.
    Examples:
        >>> metric_named("pinball:0.9").quantile
        0.9
    """
    row, colon, text = name.partition(":")
    metric = METRICS[row]
    if not colon:
        return metric
    if metric.quantile is None:
        raise ValueError(f"{row} has no quantile")
    quantile = float(text)
    if not 0 < quantile < 1:
        raise ValueError(f"{text} is not greater than 0 and less than 1")
    # Equal quantiles have equal names, however they were written.
    return (
        metric
        if quantile == metric.quantile
        else replace(metric, name=f"{row}:{quantile}", quantile=quantile)
    )


def metric_for(task: str, name: str | None = None) -> Metric:
    """Return a metric by name, or the task's default: log_loss, or rmse for regression.

    Raises:
        StudyError: when the metric is unknown or undefined for the task, or the quantile invalid.
    Examples:
        >>> metric_for("binary").name, metric_for("regression").name
        ('log_loss', 'rmse')
        >>> metric_for("regression", "pinball:0.9").quantile
        0.9
    """
    if name is None:
        return METRICS["rmse" if task == REGRESSION else "log_loss"]
    usable = [metric.name for metric in METRICS.values() if task in metric.tasks]
    row, _, text = str(name).partition(":")
    if row not in METRICS:
        raise StudyError(f"metric: {unknown('metric', row, usable)}", parameter="metric")
    if row not in usable:
        raise StudyError(
            f"metric must be one of {', '.join(usable)} for a {task} target, got {name!r}. "
            "Choose one of these, or set the task if it was inferred incorrectly.",
            parameter="metric",
        )
    try:
        return metric_named(name)
    except ValueError:
        raise StudyError(wrong_quantile(row, text), parameter="metric") from None


def wrong_quantile(row: str, text: str) -> str:
    """Return the error message for an invalid text after a metric's name and a colon."""
    if METRICS[row].quantile is None:
        return f"metric {row} must have no quantile, got {row}:{text}. Remove :{text}."
    return (
        f"metric {row} must have a quantile greater than 0 and less than 1, got {row}:{text}. "
        f"For example, {row}:0.9 is the value that 90 % of the targets are below."
    )
