"""Importances equal scikit-learn's with the same permutations; their errors have a known size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.inspection import permutation_importance

from autotrain.errors import AutotrainError, DataError
from autotrain.predictor import Predictor, load
from autotrain.predictor.block_sizes import BlockSizes
from autotrain.predictor.importances import permutations
from tests.winners import mixed_table, random_bundle, train

COLUMNS = ("x0", "x1", "x2", "x3", "x4")
Scores = Callable[..., dict[str, float]]


def table(n: int = 120, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, 5))
    rows[3, 2] = np.nan
    return rows


def labels(classes: tuple[Any, ...], n: int = 120) -> np.ndarray:
    return np.random.default_rng(1).choice(np.array(classes), n)


class Fitted:
    """Scikit-learn asks for an estimator that has a method `fit`."""

    def fit(self) -> None: ...


def class_scores(predictor: Predictor) -> Scores:
    """Return a scorer by scikit-learn's metrics, all so that higher is better."""
    classes = predictor.classes_
    is_binary = len(classes) == 2
    label = {"pos_label": classes[1]} if is_binary else {}

    def scores(_: Any, X: Any, y: Any, sample_weight: Any = None) -> dict[str, float]:
        p = predictor.predict_proba(X, calibrated=False)
        predicted, own, w = classes[p.argmax(1)], p[:, 1] if is_binary else p, sample_weight
        mean = "binary" if is_binary else "macro"
        return {
            "log_loss": -metrics.log_loss(y, p, labels=classes, sample_weight=w),
            "accuracy": metrics.accuracy_score(y, predicted, sample_weight=w),
            "balanced_accuracy": metrics.balanced_accuracy_score(y, predicted, sample_weight=w),
            "roc_auc": metrics.roc_auc_score(y, own, multi_class="ovr", sample_weight=w),
            "average_precision": metrics.average_precision_score(y, own, sample_weight=w, **label),
            "f1": metrics.f1_score(y, predicted, average=mean, sample_weight=w, **label),
            "brier": -metrics.brier_score_loss(y, own, sample_weight=w, **label),
        }

    return scores


def number_scores(predictor: Predictor) -> Scores:
    def scores(_: Any, X: Any, y: Any, sample_weight: Any = None) -> dict[str, float]:
        found, w = predictor.predict(X), sample_weight
        return {
            "rmse": -metrics.root_mean_squared_error(y, found, sample_weight=w),
            "mae": -metrics.mean_absolute_error(y, found, sample_weight=w),
            "r2": metrics.r2_score(y, found, sample_weight=w),
            "pinball:0.9": -metrics.mean_pinball_loss(y, found, alpha=0.9, sample_weight=w),
        }

    return scores


def drops_by_column(predictor: Predictor, X: Any, y: Any, **options: Any) -> np.ndarray:
    found = predictor.importances(X, y, groups=None, **options)
    order = [found.columns.index((name,)) for name in predictor.column_names]
    drops: np.ndarray = found.drops[order]
    assert found.drop.tolist() == sorted(found.drop.tolist(), reverse=True)
    np.testing.assert_allclose(found.drop[order], drops.mean(axis=1))
    return drops


def check_against_scikit_learn(
    predictor: Predictor,
    scores: Scores,
    X: Any,
    y: Any,
    w: np.ndarray | None = None,
    n_repeats: int = 3,
) -> None:
    options: dict[str, Any] = {"n_repeats": n_repeats, "sample_weight": w, "random_state": 7}
    expected = permutation_importance(Fitted(), X, y, scoring=scores, **options)
    options = {"n_repeats": n_repeats, "weights": w, "seed": 7}
    for metric, found in expected.items():
        drops = drops_by_column(predictor, X, y, metric=metric, **options)
        np.testing.assert_allclose(drops, found.importances, rtol=1e-5, atol=1e-6, err_msg=metric)


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("classes", [("no", "yes"), ("a", "b", "c")])
def test_drops_of_classes_equal_scikit_learns(classes: tuple[str, ...], is_weighted: bool) -> None:
    task = "binary" if len(classes) == 2 else "multiclass"
    predictor = Predictor(random_bundle(task=task, classes=classes, n_members=2))
    w = np.random.default_rng(3).exponential(size=120) if is_weighted else None
    check_against_scikit_learn(predictor, class_scores(predictor), table(), labels(classes), w)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_drops_of_numbers_equal_scikit_learns(is_weighted: bool) -> None:
    predictor = Predictor(random_bundle(task="regression", n_members=2))
    y = predictor.predict(table()) + np.random.default_rng(2).normal(size=120)
    w = np.random.default_rng(3).exponential(size=120) if is_weighted else None
    check_against_scikit_learn(predictor, number_scores(predictor), table(), y, w)


KINDS: dict[str, dict[str, Any]] = {
    "linear": {"network.hidden_layers": 0},
    "deep": {"network.hidden_layers": 4},
    "narrow": {"network.hidden_units": "3-20"},
    "batch norm": {"batch_norm.input": True, "batch_norm": "before_activation"},
    "batch norm after": {"batch_norm": "after_activation"},
    "ntk": {"parametrization": "ntk"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_network(kind: str) -> None:
    predictor = Predictor(random_bundle(KINDS[kind]))
    check_against_scikit_learn(predictor, class_scores(predictor), table(), labels(("a", "b", "c")))


@pytest.mark.parametrize(
    ("target", "params"),
    [
        (
            "left",
            {"embedding": "plr", "encoder": "embedding", "encoder.embedding.one_hot_limit": 2},
        ),
        ("left", {"embedding": "pbld", "input_scale": "diagonal", "missing": "indicator"}),
        ("age", {"scaler": "quantile_normal", "embedding": "piecewise_linear"}),
    ],
)
def test_every_kind_of_column(target: str, params: dict[str, Any], tmp_path: Any) -> None:
    frame = mixed_table()
    predictor = load(train(frame, params, target=target).export(tmp_path / "best").path)
    rows = frame[frame[target].notna()]
    X, y = rows[list(predictor.column_names)], rows[target]
    scores = class_scores if target == "left" else number_scores
    # Some columns have fewer different cells than there are permutations.
    check_against_scikit_learn(predictor, scores(predictor), X, y, n_repeats=6)


def test_result_does_not_depend_on_the_sizes_of_blocks() -> None:
    bundle, y = random_bundle(n_members=3), labels(("a", "b", "c"))
    expected = Predictor(bundle).importances(table(), y, n_repeats=4, groups=[["x0", "x3"]])
    for encoded in (1, 120 * 3 * 3, 120 * 3 * 9):
        sizes = BlockSizes(encoded=encoded, samples=50, layer=64 * 12, rows=64)
        found = Predictor(bundle, sizes).importances(table(), y, n_repeats=4, groups=[["x0", "x3"]])
        assert found.columns == expected.columns
        np.testing.assert_allclose(found.drops, expected.drops, atol=1e-6)
        np.testing.assert_allclose(found.standard_error, expected.standard_error, rtol=1e-4)


def test_columns_of_a_group_are_shuffled_together() -> None:
    predictor, X, y = Predictor(random_bundle()), table(), labels(("a", "b", "c"))
    found = predictor.importances(X, y, n_repeats=2, seed=5, groups=[["x3", "x1"]])
    place = found.columns.index(("x3", "x1"))
    assert found.names[place] == "x3 + x1"
    for repeat, order in enumerate(permutations(5, 120, 2)):
        moved = X.copy()
        moved[:, [1, 3]] = X[order][:, [1, 3]]
        score = predictor.evaluate(moved, y, n_samples=0)["deterministic"]["log_loss"]
        assert found.drops[place, repeat] == pytest.approx(score - found.score, abs=1e-6)


def test_similar_columns_are_found_and_grouped() -> None:
    rows = table(300)
    rows[:, 4] = rows[:, 1] ** 3 + 0.1 * rows[:, 0]
    found = Predictor(random_bundle()).importances(rows, labels(("a", "b", "c"), 300), n_repeats=1)
    assert {group for group in found.columns if len(group) > 1} == {("x1", "x4")}
    assert {group[0] for group in found.columns if len(group) == 1} == set(COLUMNS)


def test_a_constant_column_has_no_importance() -> None:
    rows = table()
    rows[:, 2] = 0.3
    found = Predictor(random_bundle(n_members=2)).importances(rows, labels(("a", "b", "c")))
    place = found.columns.index(("x2",))
    assert found.drop[place] == found.standard_error[place] == 0
    assert (np.delete(found.standard_error, place) > 0).all()


def test_score_is_that_of_evaluate() -> None:
    """Also with class weights, which metrics of probabilities divide out."""
    bundle = random_bundle(n_members=2)
    weighted = replace(bundle, calibration={**bundle.calibration, "class_weights": [0.5, 1.0, 4.0]})
    y = labels(("a", "b", "c"))
    for own in (bundle, weighted):
        predictor = Predictor(own)
        scores = predictor.evaluate(table(), y, n_samples=0)["deterministic"]
        for metric in ("log_loss", "accuracy", "roc_auc"):
            found = predictor.importances(table(), y, metric=metric, n_repeats=1, groups=None)
            assert found.score == pytest.approx(scores[metric], rel=1e-6)
            assert found.metric == metric
    assert Predictor(bundle).importances(table(), y, n_repeats=1).metric == "log_loss"


def test_rows_without_a_target_are_left_out() -> None:
    predictor, y = Predictor(random_bundle()), labels(("a", "b", "c")).astype(object)
    y[[3, 50]] = None
    found = predictor.importances(table(), y, n_repeats=2)
    keep = np.delete(np.arange(120), [3, 50])
    rest = predictor.importances(table()[keep], y[keep], n_repeats=2)
    assert found.n_rows == 118
    np.testing.assert_allclose(found.drops, rest.drops, atol=1e-6)


@pytest.mark.parametrize("metric", ["rmse", "mae"])
@pytest.mark.parametrize("n_repeats", [2, 10])
def test_standard_error_is_the_spread_over_other_tables(metric: str, n_repeats: int) -> None:
    """The spread of the drop over new tables, each with other permutations."""
    predictor = Predictor(random_bundle(task="regression"))
    drops, errors = [], []
    for seed in range(150):
        generator = np.random.default_rng(seed)
        X = generator.normal(size=(150, 5))
        y = predictor.predict(X) + generator.normal(0, 3, size=150)
        found = predictor.importances(
            X, y, metric=metric, n_repeats=n_repeats, seed=seed, groups=None
        )
        order = [found.columns.index((name,)) for name in COLUMNS]
        drops.append(found.drop[order])
        errors.append(found.standard_error[order])
    spread = np.std(drops, axis=0)
    typical = np.sqrt(np.mean(np.square(errors), axis=0))
    # The spread of 150 numbers has itself an error of 6 %.
    np.testing.assert_allclose(typical, spread, rtol=0.2)
    inside = np.abs(np.array(drops) - np.mean(drops, axis=0)) <= 1.96 * np.array(errors)
    assert inside.mean() > 0.9


def test_interval_is_around_the_drop() -> None:
    found = Predictor(random_bundle()).importances(table(), labels(("a", "b", "c")))
    half = found.interval - found.drop[:, None]
    np.testing.assert_allclose(half[:, 1], 1.96 * found.standard_error, rtol=1e-4)
    np.testing.assert_allclose(half[:, 0], -half[:, 1])
    frame = found.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert frame["name"].tolist() == list(found.names)
    assert frame["high"].tolist() == found.interval[:, 1].tolist()


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"metric": "rmse"}, "metric"),
        ({"metric": "acc"}, "metric"),
        ({"n_repeats": 0}, "n_repeats"),
        ({"n_repeats": 2.5}, "n_repeats"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"groups": "all"}, "groups"),
        ({"groups": [["x0"]]}, "groups"),
        ({"groups": [["x0", "x0"]]}, "groups"),
        ({"groups": [["x0", "nothing"]]}, "groups"),
        ({"groups": ["x0"]}, "groups"),
        ({"groups": 3}, "groups"),
    ],
)
def test_wrong_arguments_raise(options: dict[str, Any], parameter: str) -> None:
    with pytest.raises(AutotrainError) as caught:
        Predictor(random_bundle()).importances(table(), labels(("a", "b", "c")), **options)
    assert caught.value.parameter == parameter


@pytest.mark.parametrize(
    ("n", "weights", "parameter"), [(119, None, "y"), (120, [1.0] * 119, "weights")]
)
def test_wrong_lengths_raise(n: int, weights: list[float] | None, parameter: str) -> None:
    predictor = Predictor(random_bundle())
    with pytest.raises(DataError) as caught:
        predictor.importances(table(), labels(("a", "b", "c"), n), weights=weights)
    assert caught.value.parameter == parameter


def test_an_undefined_metric_raises() -> None:
    predictor = Predictor(random_bundle(task="binary", classes=("a", "b")))
    with pytest.raises(AutotrainError, match="roc_auc") as caught:
        predictor.importances(table(), ["a"] * 120, metric="roc_auc")
    assert caught.value.parameter == "metric"
