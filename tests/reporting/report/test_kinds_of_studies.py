"""Reports of other kinds of studies: many classes, quantiles, weights, no test rows, no trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotrain.reporting.report.facts import facts_of
from autotrain.reporting.report.figures import figures_of
from autotrain.reporting.report.page import page_of
from autotrain.study import Study
from tests.reporting.report.conftest import OPTIONS, content_of, labelled_table, numbered_table


def weighted_table() -> Any:
    table = numbered_table()
    return table.assign(weight=np.linspace(0.5, 2.0, len(table)))


KINDS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "many classes": (
        {"data": "sklearn:digits", "metric": "accuracy"},
        {"confusion", "roc", "precision_recall", "reliability", "certain"},
    ),
    "quantile": (
        {"data": numbered_table(), "target": "amount", "metric": "pinball:0.9"},
        {"predicted", "residuals", "columns"},
    ),
    "sample weights": (
        {"data": weighted_table(), "target": "amount", "weights": "weight"},
        {"predicted", "residuals", "columns"},
    ),
    "class weights": (
        {"data": labelled_table(), "target": "label", "class_weights": "balanced"},
        {"confusion", "roc", "columns"},
    ),
    "no test rows": ({"data": labelled_table(), "target": "label", "test": 0}, {"curves"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_studies_have_a_report(kind: str, tmp_path: Path) -> None:
    arguments, expected = KINDS[kind]
    study = Study("s", directory=tmp_path, validation="holdout", **arguments, **OPTIONS)
    study.optimize(n_trials=2, quiet=True)
    study.close()
    facts = facts_of(content_of(study))
    figures = figures_of(facts)
    assert expected <= set(figures)
    assert kind != "no test rows" or not {"confusion", "roc", "columns"} & set(figures)
    page = page_of(facts, figures)
    assert ("No test rows were held out." in page) == (kind == "no test rows")
    network, linear, constant = facts.scores
    assert network.validation is not None
    assert linear.validation is not None
    assert constant.validation is not None
    if kind != "no test rows":
        frame, labels = study.dataset.raw_test()
        weights = study.dataset.test_weights
        found = study.best_predictor().evaluate(frame, labels, n_samples=0, weights=weights)
        # The network is scored as `evaluate` does it, also with weights.
        assert network.test == pytest.approx(found["deterministic"][study.metric.name], rel=1e-5)
        sign = study.metric.sign
        assert linear.test is not None
        assert constant.test is not None
        assert sign * linear.test < sign * constant.test


def test_study_without_an_ended_trial_has_a_report(tmp_path: Path) -> None:
    study = Study("s", data="sklearn:iris", directory=tmp_path, **OPTIONS)
    with study:
        _ = study.optuna_study
        page = study.report(tmp_path / "r.html").html
    assert "The study has no model yet." in page
    assert "No trial has ended." in page
