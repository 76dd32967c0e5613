"""The scores of simpler models, checked with scikit-learn and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autotrain.metrics import METRICS, metric_for
from autotrain.reporting.report.facts import ReportFacts
from autotrain.reporting.report.scores import (
    Scored,
    network_outputs,
    rows_for_test,
    scored_network,
    simpler_models,
)
from autotrain.study import Study
from tests.reporting.report.conftest import numbered_table


def named(scores: list[Scored]) -> dict[str, Scored]:
    return {each.name: each for each in scores}


def test_simpler_classifiers_equal_those_of_scikit_learn(classified: Study) -> None:
    dataset = classified.dataset
    rows = rows_for_test(dataset)
    assert rows is not None
    found = named(simpler_models(dataset, classified.metric, rows, None))
    split = dataset.splits[0]
    features, labels = dataset.apart(dataset.raw)
    encoded = features.assign(city=(features["city"] == "Bonn") * 1.0)
    tested = rows.features.assign(city=(rows.features["city"] == "Bonn") * 1.0)
    dummy = DummyClassifier(strategy="prior").fit(encoded.iloc[split.train], labels[split.train])
    for model, name in (
        (make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)), "linear"),
        (dummy, "constant"),
    ):
        model.fit(encoded.iloc[split.train].to_numpy(), labels.iloc[split.train])
        for part, expected in (
            (encoded.iloc[split.valid], found[name].validation),
            (tested, found[name].test),
        ):
            y = rows.labels if part is tested else labels.iloc[split.valid]
            p = model.predict_proba(part.to_numpy())
            # The study writes a column of two levels as −1 and 1 and does not divide by its
            # standard deviation, so the penalty of the logistic regression differs a little.
            assert expected == pytest.approx(log_loss(y, p), rel=0.02 if name == "linear" else 1e-6)


def test_simpler_regressions_average_the_folds(regressed: Study) -> None:
    dataset = regressed.dataset
    rows = rows_for_test(dataset)
    assert rows is not None
    found = named(simpler_models(dataset, regressed.metric, rows, None))
    X, y = dataset.apart(dataset.raw)
    for model, name in (
        (make_pipeline(StandardScaler(), Ridge(alpha=1.0)), "linear"),
        (DummyRegressor(), "constant"),
    ):
        predicted, scores = [], []
        for split in dataset.splits:
            model.fit(X.iloc[split.train].to_numpy(), y.iloc[split.train])
            valid = model.predict(X.iloc[split.valid].to_numpy())
            scores.append(root_mean_squared_error(y.iloc[split.valid], valid))
            predicted.append(model.predict(rows.features.to_numpy()))
        together = np.mean(predicted, axis=0)
        assert found[name].validation == pytest.approx(np.mean(scores), rel=1e-4)
        assert found[name].test == pytest.approx(
            root_mean_squared_error(rows.labels, together), rel=1e-4
        )


def test_network_scores_equal_those_of_the_predictor(
    classified: Study, regressed: Study, class_facts: ReportFacts, number_facts: ReportFacts
) -> None:
    for study, facts in ((classified, class_facts), (regressed, number_facts)):
        network = facts.scores[0]
        frame, labels = study.dataset.raw_test()
        found = study.best_predictor().evaluate(frame, labels, n_samples=0, interval=True)
        assert network.test == pytest.approx(found["deterministic"][study.metric.name], rel=1e-6)
        assert network.interval == pytest.approx(found["interval"], rel=1e-6)
        assert network.validation == study.best_value


def test_difference_of_losses_has_the_standard_error_of_a_mean(classified: Study) -> None:
    """For a mean over rows, the paired error is the deviation of the differences over √N."""
    dataset, metric = classified.dataset, metric_for("binary")
    rows = rows_for_test(dataset)
    assert rows is not None
    outputs = network_outputs(classified.best_predictor(), rows)[1]
    linear = named(simpler_models(dataset, metric, rows, outputs))["constant"]
    counts = np.bincount(dataset.folds[0].y_train)
    constant = -np.log(counts / counts.sum())[rows.y]
    network = -outputs[torch.arange(len(rows.y)), torch.from_numpy(rows.y)].numpy()
    differences = constant - network
    assert linear.gain == pytest.approx(differences.mean(), rel=1e-6)
    assert linear.gain_error == pytest.approx(differences.std() / math.sqrt(len(rows.y)), rel=1e-5)


@pytest.mark.parametrize(
    ("gain", "error", "expected"),
    [
        (0.5, 0.1, "better"),
        (-0.5, 0.1, "worse"),
        (0.1, 0.1, "equal"),
        (0.0, 0.0, "equal"),
        (None, None, "unknown"),
    ],
)
def test_verdict_needs_two_standard_errors(
    gain: float | None, error: float | None, expected: str
) -> None:
    scored = Scored("linear", "", 0.0, 0.0, None, gain, error)
    assert scored.verdict == expected


@pytest.mark.parametrize("metric", ["mae", "pinball:0.9", "r2"])
def test_constant_prediction_is_the_best_one_for_the_metric(regressed: Study, metric: str) -> None:
    found = named(
        simpler_models(
            regressed.dataset,
            metric_for("regression", metric),
            rows_for_test(regressed.dataset),
            None,
        )
    )
    y = numbered_table()["amount"]
    if metric == "r2":
        assert found["constant"].test == pytest.approx(0.0, abs=0.1)
        return
    level = 0.5 if metric == "mae" else 0.9
    assert found["linear"].test is not None
    assert found["constant"].test is not None
    assert found["linear"].test < found["constant"].test
    rows = rows_for_test(regressed.dataset)
    assert rows is not None
    train = regressed.dataset.raw.iloc[regressed.dataset.splits[0].train]["amount"]
    error = rows.y - np.quantile(train, level)
    loss = np.mean(np.abs(error) if metric == "mae" else np.maximum(0.9 * error, -0.1 * error))
    assert found["constant"].test == pytest.approx(loss, rel=0.02)
    assert isinstance(y, pd.Series)


def test_network_without_test_rows_has_a_validation_score_only() -> None:
    found = scored_network(METRICS["log_loss"], None, None, 0.25)
    assert (found.validation, found.test, found.interval) == (0.25, None, None)
