"""Metrics: names, directions, and which task may use which."""

from __future__ import annotations

import pytest

from autotrain.errors import StudyError
from autotrain.tasks import BINARY, CLASSIFICATION, METRICS, MULTICLASS, REGRESSION, TASKS
from autotrain.tasks import metric_for as find

DIRECTIONS = {
    "log_loss": "minimize",
    "accuracy": "maximize",
    "roc_auc": "maximize",
    "f1": "maximize",
    "rmse": "minimize",
    "mae": "minimize",
    "r2": "maximize",
}
OF_CLASSES = ["log_loss", "accuracy", "roc_auc", "f1"]
OF_NUMBERS = ["rmse", "mae", "r2"]


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
def test_which_task_may_use_which_metric(task: str, usable: list[str]) -> None:
    assert find(task) is METRICS[usable[0]]
    for name, metric in METRICS.items():
        if name in usable:
            assert find(task, name) is metric
        else:
            listed = ", ".join(usable)
            with pytest.raises(StudyError, match=f"one of {listed} for a {task} .*'{name}'"):
                find(task, name)


def test_an_unknown_metric_is_answered_with_the_usable_ones() -> None:
    with pytest.raises(StudyError) as caught:
        find(BINARY, "acuracy")
    assert str(caught.value) == (
        "--metric: no metric 'acuracy'. Did you mean 'accuracy'? "
        "Known: log_loss, accuracy, roc_auc, f1."
    )
    with pytest.raises(StudyError, match=r"Did you mean 'rmse'\? Known: rmse, mae, r2\."):
        find(REGRESSION, "RMSE")
