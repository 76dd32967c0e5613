"""Tasks and the metrics by which their models are judged: names and directions only.

Nothing heavy is imported here, so that the command line can list metrics without torch; the
formulas stand in `network/metric_formulas.py`, one function per row.
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
    """A number that says how good a model is.

    Args:
        name: scikit-learn's word without sign or prefix; with its quantile, as the user writes it,
            such as "pinball:0.9".
        direction: "minimize" or "maximize", Optuna's words.
        tasks: the tasks it is defined for.
        summary: one line for help and documentation.
        in_target_units: whether it grows with the target's unit of measure.
        needs_variety: whether it is undefined on rows whose target is the same everywhere.
        of_labels: whether it judges the predicted labels alone, not the probabilities.
        low: no value is lower.
        quantile: what a quantile's metric, and then the training, aims at; None for all others.
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
        """Its place in `METRICS`: the name without the quantile."""
        return self.name.partition(":")[0]

    @property
    def high(self) -> float:
        """No value is higher: of what is maximized 1."""
        return math.inf if self.direction == "minimize" else 1.0

    @property
    def sign(self) -> float:
        """+1 when lower is better, −1 otherwise: sign · value is always to be minimized."""
        return 1.0 if self.direction == "minimize" else -1.0


METRICS = {
    metric.name: metric
    for metric in (
        Metric("log_loss", "minimize", CLASSIFICATION, "mean of −log p(true class), in nats"),
        Metric(
            "accuracy",
            "maximize",
            CLASSIFICATION,
            "share of rows whose likeliest class is right",
            of_labels=True,
        ),
        Metric(
            "balanced_accuracy",
            "maximize",
            CLASSIFICATION,
            "mean over the classes of the share of their rows that is found",
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
            "mean precision over the recalls, of the second class; macro for several classes",
            needs_variety=True,
        ),
        Metric(
            "f1",
            "maximize",
            CLASSIFICATION,
            "F₁ of the second class; macro for several classes",
            of_labels=True,
        ),
        Metric(
            "brier",
            "minimize",
            CLASSIFICATION,
            "mean of (p − y)² of the second class; of the sum over several classes",
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
            "share of the variance explained",
            needs_variety=True,
            low=-math.inf,
        ),
        Metric(
            "pinball",
            "minimize",
            (REGRESSION,),
            "mean pinball loss of a quantile, 0.5 unless it is named, in units of the target",
            in_target_units=True,
            quantile=0.5,
        ),
    )
}


def metric_named(name: str) -> Metric:
    """Return the metric of a name, such as "roc_auc" or "pinball:0.9".

    Raises:
        KeyError: when there is no such metric.
        ValueError: when what follows the colon is no quantile of a metric that has one.
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
    # One name for one metric, however it was written.
    return (
        metric
        if quantile == metric.quantile
        else replace(metric, name=f"{row}:{quantile}", quantile=quantile)
    )


def metric_for(task: str, name: str | None = None) -> Metric:
    """Return the metric named, or the task's default: log_loss, or rmse for regression.

    Raises:
        StudyError: when there is no such metric, or not for this task, or no such quantile.
    """
    if name is None:
        return METRICS["rmse" if task == REGRESSION else "log_loss"]
    usable = [metric.name for metric in METRICS.values() if task in metric.tasks]
    row, _, text = str(name).partition(":")
    if row not in METRICS:
        raise StudyError(f"--metric: {unknown('metric', row, usable)}")
    if row not in usable:
        raise StudyError(
            f"--metric must be one of {', '.join(usable)} for a {task} target, however: {name!r}. "
            "Choose one of these, or say --task when the task was inferred wrongly."
        )
    try:
        return metric_named(name)
    except ValueError:
        raise StudyError(wrong_quantile(row, text)) from None


def wrong_quantile(row: str, text: str) -> str:
    """Say what may follow a metric's name and a colon."""
    if METRICS[row].quantile is None:
        return f"--metric {row} must stand alone, however: {row}:{text}. Leave out :{text}."
    return (
        f"--metric {row} must be followed by a quantile greater than 0 and less than 1, "
        f"however: {row}:{text}. Write {row}:0.9 for the value below which 90 % lie."
    )
