"""Tasks and the metrics by which their models are judged: names and directions only.

Nothing heavy is imported here, so that the command line can list metrics without torch; the
formulas stand in `fused/metrics.py`, one function per row.
"""

from __future__ import annotations

from dataclasses import dataclass
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
        name: scikit-learn's word without sign or prefix.
        direction: "minimize" or "maximize", Optuna's words.
        tasks: the tasks it is defined for.
        summary: one line for help and documentation.
        in_target_units: whether it grows with the target's unit of measure.
        needs_variety: whether it is undefined on rows whose target is the same everywhere.
    """

    name: str
    direction: Literal["minimize", "maximize"]
    tasks: tuple[str, ...]
    summary: str
    in_target_units: bool = False
    needs_variety: bool = False

    @property
    def sign(self) -> float:
        """+1 when lower is better, −1 otherwise: sign · value is always to be minimized."""
        return 1.0 if self.direction == "minimize" else -1.0


METRICS = {
    metric.name: metric
    for metric in (
        Metric("log_loss", "minimize", CLASSIFICATION, "mean of −log p(true class), in nats"),
        Metric(
            "accuracy", "maximize", CLASSIFICATION, "share of rows whose likeliest class is right"
        ),
        Metric(
            "roc_auc",
            "maximize",
            CLASSIFICATION,
            "area under the ROC curve; macro, one-vs-rest",
            needs_variety=True,
        ),
        Metric(
            "f1", "maximize", CLASSIFICATION, "F₁ of the second class; macro for several classes"
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
            "r2", "maximize", (REGRESSION,), "share of the variance explained", needs_variety=True
        ),
    )
}


def metric_for(task: str, name: str | None = None) -> Metric:
    """Return the metric named, or the task's default: log_loss, or rmse for regression.

    Raises:
        StudyError: when there is no such metric, or not for this task.
    """
    if name is None:
        return METRICS["rmse" if task == REGRESSION else "log_loss"]
    usable = [metric.name for metric in METRICS.values() if task in metric.tasks]
    if name not in METRICS:
        raise StudyError(f"--metric: {unknown('metric', name, usable)}")
    if name not in usable:
        raise StudyError(
            f"--metric must be one of {', '.join(usable)} for a {task} target, however: {name!r}. "
            "Choose one of these, or say --task when the task was inferred wrongly."
        )
    return METRICS[name]
