"""The model on the test rows, checked with scikit-learn and the predictor."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    mean_absolute_error,
    roc_auc_score,
)

from autotrain.predictor import RegressionDistribution
from autotrain.reporting.report.facts import ReportFacts
from autotrain.reporting.report.model import MOST_ROWS, SHARES
from autotrain.study import Study


def test_confusion_and_curves_equal_those_of_scikit_learn(
    classified: Study, class_facts: ReportFacts
) -> None:
    model, predictor = class_facts.model, classified.best_predictor()
    assert model is not None
    frame, labels = classified.dataset.raw_test()
    proba = predictor.predict_proba(frame)[:, 1]
    expected = confusion_matrix(labels, predictor.predict(frame), labels=list(predictor.classes_))
    assert model.confusion is not None
    assert np.array_equal(model.confusion, expected)
    assert model.labels == tuple(predictor.classes_)
    is_second = labels == predictor.classes_[1]
    assert model.roc[0].area == pytest.approx(roc_auc_score(is_second, proba))
    precision = average_precision_score(is_second, proba)
    assert model.precision_recall[0].area == pytest.approx(precision)
    assert (model.roc[0].x[-1], model.roc[0].y[-1]) == (1.0, 1.0)
    assert len(model.roc) == 1


def test_reliability_has_all_rows_and_their_accuracy(
    classified: Study, class_facts: ReportFacts
) -> None:
    model = class_facts.model
    assert model is not None
    frame, labels = classified.dataset.raw_test()
    n = sum(each.n_rows for each in model.reliability)
    assert n == len(labels)
    accuracy = np.mean(classified.best_predictor().predict(frame) == labels)
    observed = sum(each.observed * each.n_rows for each in model.reliability) / n
    assert observed == pytest.approx(accuracy)
    confidence = classified.best_predictor().predict_proba(frame).max(axis=1).mean()
    assert sum(e.expected * e.n_rows for e in model.reliability) / n == pytest.approx(confidence)
    assert all(each.low <= each.observed <= each.high for each in model.reliability)


def test_coverage_and_certain_rows_equal_those_of_the_predictor(
    classified: Study, regressed: Study, class_facts: ReportFacts, number_facts: ReportFacts
) -> None:
    for study, facts in ((classified, class_facts), (regressed, number_facts)):
        model, predictor = facts.model, study.best_predictor()
        assert model is not None
        frame, labels = study.dataset.raw_test()
        found = predictor.evaluate(frame, labels, notices=[])
        for name, expected in found["coverage"].items():
            assert model.coverage[name] == pytest.approx(expected)
        assert model.certain_shares == SHARES
        score = model.certain_scores[-1]
        if predictor.task == "regression":
            errors = np.abs(predictor.predict(frame) - labels.to_numpy())
            assert score == pytest.approx(mean_absolute_error(labels, predictor.predict(frame)))
            distribution = predictor.predict_distribution(frame, notices=[])
            assert isinstance(distribution, RegressionDistribution)
            doubt = distribution.total_error
            most_certain = np.argsort(doubt, kind="stable")[: round(len(frame) / 2)]
            half = model.certain_scores[SHARES.index(0.5)]
            assert half == pytest.approx(errors[most_certain].mean())
        else:
            assert score == pytest.approx(np.mean(predictor.predict(frame) == labels))


def test_worst_rows_have_the_largest_errors(regressed: Study, number_facts: ReportFacts) -> None:
    model = number_facts.model
    assert model is not None
    frame, labels = regressed.dataset.raw_test()
    errors = np.abs(regressed.best_predictor().predict(frame) - labels.to_numpy())
    assert [row.number - 1 for row in model.worst] == np.argsort(-errors)[:MOST_ROWS].tolist()
    first = model.worst[0]
    assert float(first.truth) == labels.iloc[first.number - 1]
    name, cell = first.cells[0]
    assert float(cell) == pytest.approx(frame[name].iloc[first.number - 1], rel=1e-4)


def test_worst_rows_of_classes_are_wrong_and_confident(class_facts: ReportFacts) -> None:
    model = class_facts.model
    assert model is not None
    assert all(row.truth != row.prediction for row in model.worst)
    shares = [float(row.measure.rstrip("%")) for row in model.worst]
    assert shares == sorted(shares)


def test_intervals_of_a_regression_have_rising_levels(number_facts: ReportFacts) -> None:
    model = number_facts.model
    assert model is not None
    observed = [each.observed for each in model.reliability]
    assert observed == sorted(observed)
    assert observed[-1] > 0.7
