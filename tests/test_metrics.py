"""Metrics: names, directions, and the tasks that may use them."""

from __future__ import annotations

import pytest

from autotrain.errors import StudyError
from autotrain.metrics import (
    BINARY,
    CLASSIFICATION,
    METRICS,
    MULTICLASS,
    REGRESSION,
    TASKS,
    metric_named,
)
from autotrain.metrics import metric_for as find

DIRECTIONS = {
    "log_loss": "minimize",
    "accuracy": "maximize",
    "balanced_accuracy": "maximize",
    "roc_auc": "maximize",
    "average_precision": "maximize",
    "f1": "maximize",
    "brier": "minimize",
    "rmse": "minimize",
    "mae": "minimize",
    "r2": "maximize",
    "pinball": "minimize",
}
OF_NUMBERS = ["rmse", "mae", "r2", "pinball"]
OF_CLASSES = [name for name in DIRECTIONS if name not in OF_NUMBERS]


def test_every_metric_has_its_direction() -> None:
    assert {name: metric.direction for name, metric in METRICS.items()} == DIRECTIONS
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.summary
        assert metric.sign == (1.0 if DIRECTIONS[name] == "minimize" else -1.0)


def test_tasks() -> None:
    assert TASKS == ("binary", "multiclass", "regression")
    assert CLASSIFICATION == (BINARY, MULTICLASS)


@pytest.mark.parametrize(
    ("task", "usable"),
    [(BINARY, OF_CLASSES), (MULTICLASS, OF_CLASSES), (REGRESSION, OF_NUMBERS)],
)
def test_metrics_of_each_task(task: str, usable: list[str]) -> None:
    assert find(task) is METRICS[usable[0]]
    for name, metric in METRICS.items():
        if name in usable:
            assert find(task, name) is metric
        else:
            listed = ", ".join(usable)
            with pytest.raises(StudyError, match=f"one of {listed} for a {task} .*'{name}'"):
                find(task, name)


def test_unknown_metric_is_reported_with_the_valid_ones() -> None:
    with pytest.raises(StudyError) as caught:
        find(BINARY, "acuracy")
    assert str(caught.value) == (
        "metric: no metric 'acuracy'. Did you mean 'accuracy'? "
        "Known: log_loss, accuracy, balanced_accuracy, roc_auc, average_precision, f1, brier."
    )
    with pytest.raises(StudyError, match=r"Did you mean 'rmse'\? Known: rmse, mae, r2, pinball\."):
        find(REGRESSION, "RMSE")


@pytest.mark.parametrize(
    ("written", "name", "quantile"),
    [
        ("pinball", "pinball", 0.5),
        ("pinball:0.5", "pinball", 0.5),
        ("pinball:0.9", "pinball:0.9", 0.9),
        ("pinball:.90", "pinball:0.9", 0.9),
        ("pinball:0.975", "pinball:0.975", 0.975),
    ],
)
def test_quantile_has_one_name_in_every_spelling(written: str, name: str, quantile: float) -> None:
    metric = find(REGRESSION, written)
    assert (metric.name, metric.row, metric.quantile) == (name, "pinball", quantile)
    assert metric.direction == "minimize"
    assert metric_named(metric.name) == metric


@pytest.mark.parametrize("text", ["", "0", "1", "90", "-0.1", "nan", "median"])
def test_quantile_is_between_0_and_1(text: str) -> None:
    with pytest.raises(StudyError, match="must have a quantile greater than 0 and less"):
        find(REGRESSION, f"pinball:{text}")


def test_other_metrics_have_no_quantile() -> None:
    with pytest.raises(StudyError, match=r"metric mae must have no quantile, got mae:0\.9"):
        find(REGRESSION, "mae:0.9")
    with pytest.raises(StudyError, match=r"one of log_loss.* for a binary target"):
        find(BINARY, "pinball:0.9")
