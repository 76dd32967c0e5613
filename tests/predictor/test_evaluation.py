"""Scores equal those of scikit-learn, with dropout off and Monte-Carlo, for every label type."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn import metrics

from autotrain.errors import AutotrainError, DataError
from autotrain.metrics import METRICS
from autotrain.predictor import ClassificationDistribution, Predictor
from autotrain.predictor.evaluation import MANY_ROWS
from autotrain.predictor.intervals import interval
from tests.winners import random_bundle


def table(n: int = 60) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 5))


def labels(classes: tuple[Any, ...], n: int = 60) -> np.ndarray:
    return np.random.default_rng(1).choice(np.array(classes), n)


def draw_weights(kind: str, n: int = 60) -> np.ndarray | None:
    return None if kind == "alike" else np.random.default_rng(3).exponential(size=n)


def expected_calibration_error(
    right: np.ndarray, confidence: np.ndarray, weights: np.ndarray | None
) -> float:
    own = np.ones(len(right)) if weights is None else weights
    error = 0.0
    for low in np.arange(15) / 15:
        inside = (low < confidence) & (confidence <= low + 1 / 15)
        if inside.any():
            mean = np.average(right[inside], weights=own[inside])
            sure = np.average(confidence[inside], weights=own[inside])
            error += own[inside].sum() / own.sum() * abs(mean - sure)
    return error


def expected_scores(
    y: np.ndarray, p: np.ndarray, classes: np.ndarray, w: np.ndarray | None, positive: int = 1
) -> dict[str, float]:
    is_binary = len(classes) == 2
    predicted, own = classes[p.argmax(1)], p[:, positive] if is_binary else p
    label = {"pos_label": classes[positive]} if is_binary else {}
    counts: dict[str, Any] = {"zero_division": np.nan, "sample_weight": w}
    counts |= label | {"average": "binary" if is_binary else "macro"}
    others = [(y != name, predicted != name) for name in classes]
    specificities = [
        metrics.recall_score(*pair, zero_division=np.nan, sample_weight=w) for pair in others
    ]
    log_loss = metrics.log_loss(y, p, labels=classes, sample_weight=w)
    return {
        "log_loss": log_loss,
        "accuracy": metrics.accuracy_score(y, predicted, sample_weight=w),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, predicted, sample_weight=w),
        "roc_auc": metrics.roc_auc_score(
            y == classes[positive] if is_binary else y, own, multi_class="ovr", sample_weight=w
        ),
        "average_precision": metrics.average_precision_score(y, own, sample_weight=w, **label),
        "f1": metrics.f1_score(
            y, predicted, average="binary" if is_binary else "macro", sample_weight=w, **label
        ),
        "brier": metrics.brier_score_loss(y, own, sample_weight=w, **label),
        "precision": metrics.precision_score(y, predicted, **counts),
        "recall": metrics.recall_score(y, predicted, **counts),
        "specificity": specificities[positive] if is_binary else np.nanmean(specificities),
        "mcc": metrics.matthews_corrcoef(y, predicted, sample_weight=w),
        "nll": log_loss,
        "ece": expected_calibration_error(predicted == y, p.max(1), w),
    }


@pytest.mark.parametrize("weights", ["alike", "weighted"])
@pytest.mark.parametrize("classes", [("no", "yes"), ("a", "b", "c")])
@pytest.mark.parametrize("n_members", [1, 2])
def test_classification_scores_equal_scikit_learns(
    classes: tuple[str, ...], n_members: int, weights: str
) -> None:
    task = "binary" if len(classes) == 2 else "multiclass"
    calibration = {"temperature": 2.0, "temperature_point": 0.5}
    bundle = random_bundle(task=task, classes=classes, n_members=n_members)
    predictor = Predictor(replace(bundle, calibration=calibration))
    y, w = labels(classes), draw_weights(weights)
    found = predictor.evaluate(table(), y, n_samples=30, seed=2, weights=w)
    distribution = predictor.predict_distribution(table(), 30, seed=2)
    names = np.array(classes)
    trained = predictor.predict_proba(table(), calibrated=False)
    point = expected_scores(y, trained, names, w)
    assert found["deterministic"] == pytest.approx(point, rel=1e-6)
    sampled = expected_scores(y, distribution.mean, names, w)
    assert found["monte_carlo"] == pytest.approx(sampled, rel=1e-6)
    assert isinstance(distribution, ClassificationDistribution)
    calibrated = expected_scores(y, distribution.calibrated_mean, names, w)
    assert found["monte_carlo_calibrated"] == pytest.approx(calibrated, rel=1e-6)
    without = predictor.evaluate(table(), y, n_samples=0, weights=w)
    assert without["monte_carlo"] is without["monte_carlo_calibrated"] is None
    calibrated = expected_scores(y, predictor.predict_proba(table()), names, w)
    assert without["calibrated"] == found["calibrated"] == pytest.approx(calibrated, rel=1e-6)
    assert found["n_rows"] == 60
    assert found["n_dropped"] == 0
    assert found["n_samples"] == 30
    assert found["metric"] == "log_loss"
    assert found["weighted"] == (w is not None)


@pytest.mark.parametrize("weights", ["alike", "weighted"])
@pytest.mark.parametrize("positive", ["no", "yes"])
def test_scores_are_those_of_the_positive_class(positive: str, weights: str) -> None:
    classes = np.array(["no", "yes"])
    predictor = Predictor(random_bundle(task="binary", classes=("no", "yes")))
    y, w, place = labels(("no", "yes")), draw_weights(weights), int(positive == "yes")
    found = predictor.evaluate(
        table(), y, n_samples=0, weights=w, positive=positive, interval=w is None
    )
    proba = predictor.predict_proba(table(), calibrated=False)
    expected = expected_scores(y, proba, classes, w, place)
    assert found["deterministic"] == pytest.approx(expected, rel=1e-6)
    assert found["positive"] == positive
    assert found["classes"] == ["no", "yes"]
    matrix = metrics.confusion_matrix(
        y, predictor.predict(table()), sample_weight=None if w is None else w / w.mean()
    )
    np.testing.assert_allclose(found["confusion_matrix"], matrix, rtol=1e-9)
    if w is None:
        low, high = found["intervals"]["f1"]
        assert low < expected["f1"] < high


def test_labels_of_the_positive_class_may_be_spelled_differently() -> None:
    predictor = Predictor(random_bundle(task="binary", classes=(1, 2), label_dtype="int64"))
    y = labels((1, 2))
    first = predictor.evaluate(table(), y, n_samples=0, positive=1)
    assert predictor.evaluate(table(), y, n_samples=0, positive="1") == first
    assert first["positive"] == 1
    assert predictor.evaluate(table(), y, n_samples=0)["positive"] == 2


@pytest.mark.parametrize(
    ("task", "positive", "message"),
    [
        ("binary", "yess", "positive must be one of the classes 'no', 'yes', got 'yess'. Did"),
        ("binary", ["no"], "positive must be one of the classes"),
        ("multiclass", "a", "positive must be left out for a multiclass model"),
        ("regression", "a", "positive must be left out for a regression model"),
    ],
)
def test_wrong_positive_class_raises(task: str, positive: Any, message: str) -> None:
    classes = ("no", "yes") if task == "binary" else ("a", "b", "c")
    y = np.linspace(0, 1, 60) if task == "regression" else labels(classes)
    with pytest.raises(AutotrainError, match=message) as caught:
        Predictor(random_bundle(task=task, classes=classes)).evaluate(
            table(), y, n_samples=0, positive=positive
        )
    assert caught.value.parameter == "positive"


def test_scores_of_labels_that_are_not_defined_are_none() -> None:
    predictor = Predictor(random_bundle(task="binary", classes=("a", "b")))
    found = predictor.evaluate(table(), ["a"] * 60, n_samples=0)
    assert found["deterministic"]["recall"] is None
    assert found["deterministic"]["mcc"] == 0
    regression = Predictor(random_bundle(task="regression"))
    found = regression.evaluate(table(), np.linspace(0, 1, 60), n_samples=0)
    assert found["confusion_matrix"] is found["positive"] is found["classes"] is None


@pytest.mark.parametrize("weights", ["alike", "weighted"])
def test_regression_scores_equal_scikit_learns(weights: str) -> None:
    bundle = replace(random_bundle(task="regression"), metric="pinball:0.9")
    predictor, w = Predictor(bundle), draw_weights(weights)
    y = predictor.predict(table()) + np.random.default_rng(2).normal(size=60)
    notices: list[str] = []
    found = predictor.evaluate(table(), y, n_samples=30, seed=2, weights=w, notices=notices)
    assert found["calibrated"] is None
    assert len(notices) == 1
    assert "predicts the 0.9 quantile: conformal intervals keep" in notices[0]
    with pytest.warns(UserWarning, match="predicts the 0.9 quantile"):
        distribution = predictor.predict_distribution(table(), 30, seed=2)
    assert distribution.samples is not None
    point = predictor.predict(table())
    log_density = {
        "deterministic": stats.norm.logpdf(y, point, 0.4**-0.5),
        "monte_carlo": np.log(stats.norm.pdf(y, distribution.samples, 0.7**-0.5).mean(0)),
    }
    for side, prediction in (("deterministic", point), ("monte_carlo", distribution.mean)):
        assert found[side] == pytest.approx(
            {
                "rmse": metrics.root_mean_squared_error(y, prediction, sample_weight=w),
                "mae": metrics.mean_absolute_error(y, prediction, sample_weight=w),
                "r2": metrics.r2_score(y, prediction, sample_weight=w),
                "pinball": metrics.mean_pinball_loss(y, prediction, sample_weight=w),
                "pinball:0.9": metrics.mean_pinball_loss(y, prediction, sample_weight=w, alpha=0.9),
                "log_likelihood": np.average(log_density[side], weights=w),
                "nll": -np.average(log_density[side], weights=w),
            },
            rel=1e-6,
        ), side


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_metric_of_the_task_is_returned(task: str) -> None:
    classes = ("a", "b") if task == "binary" else ("a", "b", "c")
    predictor = Predictor(random_bundle(task=task, classes=classes))
    y = np.linspace(0, 1, 60) if task == "regression" else labels(classes)
    expected = {name for name, metric in METRICS.items() if task in metric.tasks}
    assert expected < set(predictor.evaluate(table(), y, n_samples=0)["deterministic"])


@pytest.mark.parametrize(
    ("classes", "label_dtype", "written"),
    [
        ((1, 2), "int64", ["1", "2"]),
        ((1, 2), "int64", [1.0, 2.0]),
        ((False, True), "bool", ["False", "True"]),
        (("no", "yes"), "str", [" no", "yes "]),
        ((0.5, 1.5), "float64", ["0.5", "1.5"]),
    ],
)
def test_labels_may_be_spelled_differently(
    classes: tuple[Any, ...], label_dtype: str, written: list[Any]
) -> None:
    predictor = Predictor(random_bundle(task="binary", classes=classes, label_dtype=label_dtype))
    places = np.random.default_rng(1).integers(2, size=60)
    plain = predictor.evaluate(table(), np.array(classes)[places], n_samples=0)
    other = predictor.evaluate(table(), pd.Series([written[p] for p in places]), n_samples=0)
    assert other == plain


def test_rows_without_a_target_are_left_out_and_counted() -> None:
    predictor = Predictor(random_bundle())
    y = labels(("a", "b", "c")).astype(object)
    holes = y.copy()
    holes[[3, 4, 50]] = [None, np.nan, " "]
    keep = np.delete(np.arange(60), [3, 4, 50])
    found = predictor.evaluate(table(), holes, n_samples=10)
    assert (found["n_rows"], found["n_dropped"]) == (57, 3)
    rest = predictor.evaluate(table()[keep], y[keep], n_samples=10)
    assert found["deterministic"] == pytest.approx(rest["deterministic"], rel=1e-5)
    assert found["monte_carlo"] == pytest.approx(rest["monte_carlo"], rel=1e-4)

    regression = Predictor(random_bundle(task="regression"))
    numbers = np.linspace(30, 50, 60)
    with_hole = numbers.copy()
    with_hole[7] = np.nan
    found = regression.evaluate(table(), with_hole, n_samples=10)
    rest = regression.evaluate(np.delete(table(), 7, 0), np.delete(numbers, 7), n_samples=10)
    assert (found["n_rows"], found["n_dropped"]) == (59, 1)
    assert found["monte_carlo"] == pytest.approx(rest["monte_carlo"], rel=1e-4)


def test_rows_without_a_target_need_no_weight() -> None:
    predictor, y = Predictor(random_bundle()), labels(("a", "b", "c")).astype(object)
    w = np.linspace(0, 1, 60)
    y[7], w[7] = None, np.nan
    found = predictor.evaluate(table(), y, n_samples=0, weights=w)
    rest = predictor.evaluate(
        np.delete(table(), 7, 0), np.delete(y, 7), n_samples=0, weights=np.delete(w, 7)
    )
    assert found["deterministic"] == pytest.approx(rest["deterministic"], rel=1e-5)


def test_weights_count_relative_to_each_other() -> None:
    """Also where their sum overflows."""
    predictor, y, w = Predictor(random_bundle()), labels(("a", "b", "c")), np.arange(60.0)
    found = predictor.evaluate(table(), y, n_samples=0, weights=w)["deterministic"]
    for unit in (1e-98, 7.0, 1e98):
        other = predictor.evaluate(table(), y, n_samples=0, weights=w * unit)["deterministic"]
        assert other == pytest.approx(found, rel=1e-9)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0] * 59, r"weights must have one number for each of the 60 rows, got .*\(59,\)"),
        ([1.0] * 59 + [-1.0], "row 60.*-1.0|-1.0.*row 60"),
        ([1.0] * 59 + [np.nan], "row 60"),
        ([0.0] * 60, "60"),
    ],
)
def test_wrong_weights_raise(weights: list[float], message: str) -> None:
    y = labels(("a", "b", "c"))
    with pytest.raises(DataError, match=message):
        Predictor(random_bundle()).evaluate(table(), y, n_samples=0, weights=weights)


def test_undefined_score_is_none() -> None:
    predictor = Predictor(random_bundle(task="binary", classes=("a", "b")))
    found = predictor.evaluate(table(), ["a"] * 60, n_samples=0)
    assert found["deterministic"]["roc_auc"] is None
    assert found["deterministic"]["accuracy"] is not None


def test_monte_carlo_scores_may_be_missing() -> None:
    y = labels(("a", "b", "c"))
    found = Predictor(random_bundle()).evaluate(table(), y, n_samples=0)
    assert found["monte_carlo"] is None
    assert found["n_samples"] is None
    without = Predictor(random_bundle({"dropout.rate": 0.0}))
    assert without.evaluate(table(), y)["monte_carlo"] is None


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a"] * 59 + ["z"], "'z'"),
        (["a"] * 59, "y must have one target for each row of X, got 59 targets for 60 rows"),
        (["a"] * 61, "got 61 targets for 60 rows"),
        ([None] * 60, "y must have a value of 'y' in at least one row, got 60 rows without one"),
        ([], "in at least one row"),
        (np.zeros((60, 2)), r"y must have one label or number per row, got the shape \(60, 2\)"),
        ([["a"]] * 59 + [["b", "c"]], "y must have one label or number in every cell"),
    ],
)
def test_wrong_targets_raise(y: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Predictor(random_bundle()).evaluate(table(), y, n_samples=0)


@pytest.mark.parametrize("n", [59, 61])
def test_regression_needs_one_target_per_row(n: int) -> None:
    with pytest.raises(DataError, match=f"got {n} targets for 60 rows"):
        Predictor(random_bundle(task="regression")).evaluate(table(), np.zeros(n) + 3.0)


def test_column_of_a_frame_is_accepted() -> None:
    predictor, y = Predictor(random_bundle()), labels(("a", "b", "c"))
    frame = pd.DataFrame({"y": y}, index=np.arange(60)[::-1])
    found = predictor.evaluate(table(), frame, n_samples=0)
    assert found == predictor.evaluate(table(), frame["y"], n_samples=0)
    assert found == predictor.evaluate(table(), y, n_samples=0)


def test_intervals_equal_those_of_each_metric() -> None:
    predictor = Predictor(random_bundle(task="binary", classes=("no", "yes")))
    rows = np.random.default_rng(5).normal(size=(500, 5))
    y = labels(("no", "yes"), 500)
    found = predictor.evaluate(rows, y, n_samples=0, interval=True)
    log_p = torch.from_numpy(np.log(predictor.predict_proba(rows)))
    codes = torch.from_numpy((y == "yes").astype(int))
    assert set(found["intervals"]) == {n for n, m in METRICS.items() if "binary" in m.tasks}
    for name, ends in found["intervals"].items():
        assert ends == pytest.approx(interval(METRICS[name], log_p, codes), rel=1e-4)
        assert ends[0] < found["deterministic"][name] < ends[1]
    assert found["interval"] == found["intervals"]["log_loss"]
    assert predictor.evaluate(rows, y, n_samples=0, interval=True) == found
    assert "interval" not in predictor.evaluate(rows, y, n_samples=0)


def test_rows_of_weight_0_do_not_narrow_the_interval() -> None:
    predictor = Predictor(random_bundle(task="binary", classes=("no", "yes")))
    rows, y = np.random.default_rng(5).normal(size=(500, 5)), labels(("no", "yes"), 500)
    weights = np.repeat([1.0, 0.0], 250)
    found = predictor.evaluate(rows, y, n_samples=0, interval=True, weights=weights)
    half = predictor.evaluate(rows[:250], y[:250], n_samples=0, interval=True)
    assert found["interval"] == pytest.approx(half["interval"], rel=1e-5)


def test_many_rows_have_one_interval() -> None:
    predictor = Predictor(replace(random_bundle(task="regression"), metric="pinball:0.9"))
    generator = np.random.default_rng(2)
    rows, y = generator.normal(size=(MANY_ROWS + 1, 5)), generator.normal(size=MANY_ROWS + 1)
    found = predictor.evaluate(rows, y, n_samples=0, interval=True)
    assert list(found["intervals"]) == ["pinball:0.9"]


@pytest.mark.parametrize("y", [np.repeat("no", 60), np.repeat(["no", "yes"], [4, 4])])
def test_undefined_interval_is_none(y: np.ndarray) -> None:
    predictor = Predictor(
        replace(random_bundle(task="binary", classes=("no", "yes")), metric="roc_auc")
    )
    found = predictor.evaluate(table()[: len(y)], y, n_samples=0, interval=True)
    assert found["interval"] is None
