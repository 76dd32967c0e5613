"""Decision thresholds of a predictor: chosen on rows that did not train, stored, and followed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from autotrain.bundle import read_bundle
from autotrain.errors import AutotrainError, BundleError, DataError
from autotrain.predictor import ClassificationDistribution, Predictor, Threshold, load
from autotrain.predictor.thresholds import Goal, choose
from tests.winners import Winner, mixed_table, random_bundle, save, train

COST = {"false_positive": 1, "false_negative": 4}


def table(n: int = 60) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 5))


def binary(**changes: Any) -> Predictor:
    bundle = random_bundle(task="binary", classes=("no", "yes"), **changes)
    calibration = {"temperature": 2.0, "temperature_point": 0.5, "class_weights": [1.0, 3.0]}
    return Predictor(replace(bundle, calibration=calibration))


@pytest.fixture(scope="module")
def winner() -> Winner:
    return train(
        mixed_table(), {"training.epochs": 3}, target="left", validation="2-fold", test=0.0
    )


@pytest.fixture(scope="module")
def folded(winner: Winner, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return load(winner.export(tmp_path_factory.mktemp("folded") / "best").path)


@pytest.mark.parametrize("positive", ["no", "yes"])
def test_threshold_of_a_bundle_is_that_of_out_of_fold_predictions(
    winner: Winner, folded: Predictor, positive: str
) -> None:
    place = int(positive == "yes")
    proba, labels = [], []
    for fold, split in enumerate(winner.dataset.splits):
        own = tuple(member for member in folded.bundle.members if member.fold == fold)
        rows = winner.dataset.raw.iloc[split.valid]
        proba.append(Predictor(replace(folded.bundle, members=own)).predict_proba(rows)[:, place])
        labels.append(rows["left"].to_numpy() == positive)
    for goal in ("cost=1:4", "precision=0.7", "recall=0.9"):
        expected = choose(
            np.concatenate(proba), np.concatenate(labels), None, Goal.parse(goal), positive
        )
        found = folded.threshold(**Goal.parse(goal).arguments(), positive=positive)
        assert found.metrics == pytest.approx(expected.metrics)
        assert found.value == pytest.approx(expected.value, abs=1e-5)
        assert (found.goal, found.n_rows, found.positive) == (goal, 150, positive)


@pytest.mark.parametrize("positive", ["no", "yes"])
def test_labels_follow_the_threshold_everywhere(positive: str, tmp_path: Path) -> None:
    predictor, place = binary(), int(positive == "yes")
    p = predictor.predict_proba(table())[:, place]
    value = float(np.median(p)) + 1e-9
    other = "yes" if positive == "no" else "no"
    expected = np.where(p >= value, positive, other)
    assert (predictor.predict(table()) != expected).any()
    decided = load(save(predictor.with_threshold(value, positive=positive).bundle, tmp_path / "b"))
    assert decided.stored_threshold == Threshold(value, positive)
    np.testing.assert_array_equal(decided.predict(table()), expected)
    found = decided.predict_distribution(table(), 5)
    assert isinstance(found, ClassificationDistribution)
    np.testing.assert_array_equal(found.label, expected)
    np.testing.assert_array_equal(found.proba, predictor.predict_proba(table()))
    y = np.random.default_rng(1).choice(["no", "yes"], 60)
    scores = decided.evaluate(table(), y, n_samples=0)
    before = predictor.evaluate(table(), y, n_samples=0, positive=positive)
    assert scores["deterministic"] == before["deterministic"]
    np.testing.assert_array_equal(
        scores["confusion_matrix"], metrics.confusion_matrix(y, expected, labels=["no", "yes"])
    )
    assert scores["threshold"]["metrics"] == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(y, expected),
            "balanced_accuracy": metrics.balanced_accuracy_score(y, expected),
            "f1": metrics.f1_score(y, expected, pos_label=positive),
            "precision": metrics.precision_score(y, expected, pos_label=positive),
            "recall": metrics.recall_score(y, expected, pos_label=positive),
            "specificity": metrics.recall_score(y, expected, pos_label=other),
            "mcc": metrics.matthews_corrcoef(y, expected),
        }
    )
    assert before["threshold"] is None
    without = decided.with_threshold(None)
    np.testing.assert_array_equal(without.predict(table()), predictor.predict(table()))
    assert without.stored_threshold is None
    text = (tmp_path / "b" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Decision threshold" not in text  # without a calibration the card has no such section


def test_threshold_on_own_rows_is_that_of_their_probabilities() -> None:
    predictor, w = binary(), np.linspace(0, 2, 60)
    y = np.random.default_rng(1).choice(["no", "yes"], 60).astype(object)
    y[7] = None
    known = np.delete(np.arange(60), 7)
    p = predictor.predict_proba(table())[known, 0]
    found = predictor.threshold(table(), y, cost=COST, positive="no", weights=w)
    expected = choose(p, y[known] == "no", w[known], Goal.parse("cost=1:4"), "no")
    assert found.value == expected.value
    assert found.metrics == pytest.approx(expected.metrics)
    assert predictor.with_threshold(found).stored_threshold == found


def test_card_has_the_threshold(folded: Predictor, tmp_path: Path) -> None:
    found = folded.threshold(recall=0.9)
    save(folded.with_threshold(found).bundle, tmp_path / "best")
    text = (tmp_path / "best" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert f"`yes` is predicted from a calibrated probability of {found.value:.4g} on" in text
    assert "chosen for `recall=0.9` on 150 rows" in text


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_other_models_have_no_threshold(task: str) -> None:
    predictor = Predictor(random_bundle(task=task))
    for call in (
        lambda: predictor.threshold(recall=0.9),
        lambda: predictor.with_threshold(0.5),
    ):
        with pytest.raises(AutotrainError, match=f"two classes, got a model for {task}") as caught:
            call()
        assert caught.value.parameter == "threshold"
    assert predictor.with_threshold(None).stored_threshold is None


def test_forged_threshold_is_refused(tmp_path: Path) -> None:
    for task, classes, record in (
        ("multiclass", ("a", "b", "c"), {"value": 0.5, "positive": 1}),
        ("binary", ("a", "b"), {"value": 0.5, "positive": 2}),
        ("binary", ("a", "b"), {"value": 1.5, "positive": 1}),
    ):
        bundle = random_bundle(task=task, classes=classes)
        forged = replace(bundle, calibration={**bundle.calibration, "threshold": record})
        with pytest.raises(BundleError):
            read_bundle(save(forged, tmp_path / f"{task}{record['value']}{record['positive']}"))


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "0.5", True])
def test_wrong_threshold_raises(value: Any) -> None:
    with pytest.raises(AutotrainError, match="threshold must be a number from 0 to 1"):
        binary().with_threshold(value)


def test_rows_must_be_given_completely() -> None:
    predictor, y = binary(), ["no", "yes"] * 30
    with pytest.raises(DataError, match="X and y must be given together, got no y"):
        predictor.threshold(table(), recall=0.9)
    with pytest.raises(DataError, match="got no X"):
        predictor.threshold(y=y, recall=0.9)
    with pytest.raises(DataError, match="got 59 targets for 60 rows"):
        predictor.threshold(table(), y[:59], recall=0.9)
    with pytest.raises(BundleError, match="must have calibration rows to choose on, got none"):
        predictor.threshold(recall=0.9)
    with pytest.raises(AutotrainError, match="positive must be one of the classes"):
        predictor.threshold(table(), y, recall=0.9, positive="maybe")
    with pytest.raises(AutotrainError, match="both classes, got only rows without"):
        predictor.threshold(table(), ["no"] * 60, recall=0.9)


def test_weighted_rows_of_a_bundle_are_weighted(tmp_path: Path) -> None:
    frame: pd.DataFrame = mixed_table()
    frame["w"] = np.random.default_rng(2).uniform(0.5, 2, len(frame))
    winner = train(
        frame, {"training.epochs": 2}, target="left", validation="2-fold", test=0.0, weights="w"
    )
    predictor = load(winner.export(tmp_path / "best").path)
    found = predictor.threshold(cost=COST)
    weighted = sum(map(sum, predictor.bundle.calibration["conformal_fold_weights"]))
    plain = {k: v for k, v in predictor.bundle.calibration.items() if k != "conformal_fold_weights"}
    without = Predictor(replace(predictor.bundle, calibration=plain)).threshold(cost=COST)
    assert weighted == pytest.approx(150, rel=1e-3)
    assert found.metrics["cost"] != pytest.approx(without.metrics["cost"], rel=1e-6)
