"""The scikit-learn estimators: scikit-learn's own checks, whole, and its tools around them."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from typing import Any

import joblib
import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_diabetes, load_wine, make_classification
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from autotrain import MLPSearchClassifier, MLPSearchRegressor, Study
from autotrain.estimators import workers_for
from autotrain.predictor import ClassificationDistribution, RegressionDistribution

SPACE: dict[str, Any] = {
    "network": {"hidden_layers": 1, "hidden_units": 64},
    "training": {"epochs": 40, "batch_size": 16},
    "activation": "elu",
    "initializer": "he_normal",
    "optimizer": {"choice": "adam", "learning_rate": 0.01},
    "dropout": {"choice": "dropout", "rate": 0.05},
}
FAST: dict[str, Any] = {
    "space": SPACE,
    "n_trials": 1,
    "timeout": None,
    "finalists": 0,
    "validation": "holdout",
    "random_state": 0,
}
NOT_EQUIVALENT = {
    "check_sample_weight_equivalence_on_dense_data": (
        "its rows are fewer than the ten that a search needs; of more, a row of weight 2 is not "
        "two rows: rows are drawn for validation and batches one by one, so the same random state "
        "trains on other rows"
    )
}


@parametrize_with_checks(
    [MLPSearchClassifier(**FAST), MLPSearchRegressor(**FAST)],
    expected_failed_checks=lambda _: NOT_EQUIVALENT,
)
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    if getattr(getattr(check, "func", check), "__name__", "") == "check_array_api_input":
        return  # in a process of its own, where that is switched on: see below
    check(estimator)


def table(n: int = 120) -> tuple[pd.DataFrame, pd.Series[Any]]:
    """Return columns of every kind, some cells missing, and labels that follow from them."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": generator.normal(40, 9, n),
            "city": generator.choice(["Rom", "Bern", "Oslo"], n),
            "member": generator.choice([True, False], n),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(n), "D"),
        },
        index=np.arange(n) + 1000,
    )
    labels = pd.Series(np.where(frame["member"] | (frame["city"] == "Rom"), "yes", "no"))
    frame.loc[1003, "age"] = np.nan
    frame.loc[1005, "city"] = None
    return frame, labels


@pytest.mark.parametrize(
    ("changes", "is_deterministic"),
    [
        ({}, True),
        ({"n_jobs": 1}, True),
        ({"n_jobs": 2}, False),
        ({"timeout": 5}, False),
        ({"n_trials": None}, False),
    ],
)
def test_reproducible_searches_are_tagged_as_deterministic(
    changes: dict[str, Any], is_deterministic: bool
) -> None:
    tags = get_tags(MLPSearchClassifier(**(FAST | changes)))
    assert tags.non_deterministic is not is_deterministic


def test_data_frame_with_every_kind_of_column() -> None:
    frame, labels = table()
    model = MLPSearchClassifier(**FAST).fit(frame, labels)
    assert list(model.classes_) == ["no", "yes"]
    assert list(model.feature_names_in_) == list(frame.columns)
    assert model.score(frame, labels) > 0.9
    unseen = frame.head(3).assign(city="Lima")
    assert set(model.predict(unseen)) <= {"no", "yes"}
    np.testing.assert_allclose(model.predict_proba(unseen).sum(1), 1)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[frame.columns[::-1]])
    result = model.predict_distribution(frame, 20, alpha=0.2)
    assert isinstance(result, ClassificationDistribution)
    assert result.prediction_set is not None


def test_regression_predicts_numbers_with_uncertainty() -> None:
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    model = MLPSearchRegressor(**FAST).fit(X, y)
    assert model.score(X, y) > 0.4
    result = model.predict_distribution(X.head(), 30)
    assert isinstance(result, RegressionDistribution)
    np.testing.assert_allclose(result.point, model.predict(X.head()))
    assert model.n_features_in_ == 10
    assert model.best_score_ > 0
    assert len(model.trials_) == 1
    assert "dropout.rate" not in model.best_params_  # nothing is searched for


def test_labels_keep_their_type() -> None:
    X, y = load_wine(return_X_y=True)
    for labels in (y + 5, y.astype(str), np.array(["b", "a", "c"], dtype=object)[y], y == 1):
        model = MLPSearchClassifier(**FAST).fit(X, labels)
        predicted = model.predict(X)
        assert predicted.dtype == labels.dtype
        assert (predicted == labels).mean() > 0.9


def test_distribution_has_the_users_labels() -> None:
    X, codes = load_wine(return_X_y=True)
    labels = np.array(["c", "a", "b", "x"])[np.concatenate([codes, [3, 3]])]
    X = np.concatenate([X, X[:2]])
    # Nothing was learned of "x".
    model = MLPSearchClassifier(**FAST).fit(X, labels, sample_weight=(labels != "x").astype(float))
    result = model.predict_distribution(X, 20)
    assert result.classes.tolist() == model.classes_.tolist() == ["a", "b", "c", "x"]
    assert (result.label[:178] == labels[:178]).mean() > 0.95
    for array in (result.mean, result.point, result.proba, result.calibrated_mean, result.samples):
        assert array is not None
        assert array.shape[-1] == 4
        np.testing.assert_array_equal(array[..., 3], 0)
        np.testing.assert_allclose(array.sum(-1), 1, atol=1e-12)
    np.testing.assert_array_equal(result.label, model.predict(X))
    np.testing.assert_array_equal(result.proba, model.predict_proba(X))
    assert result.prediction_set is not None
    assert not result.prediction_set[:, 3].any()
    assert {"proba_a", "in_set_x"} <= set(result.to_frame().columns)


@pytest.mark.filterwarnings("ignore:X (does not have|has) .*feature names:UserWarning")
def test_frames_and_arrays_are_interchangeable() -> None:
    X, y = load_wine(return_X_y=True, as_frame=True)
    for first, others in (
        (X, [X.to_numpy(), X.rename(columns=dict(zip(X, range(13), strict=True)))]),
        (X.to_numpy(), [X, X.to_numpy().astype(object)]),
        (X.set_axis([f"x{place}" for place in range(12, -1, -1)], axis=1), [X.to_numpy()]),
        # scikit-learn reads by place what was fitted without names.
        (X.to_numpy(), [X.set_axis([f"x{place}" for place in range(12, -1, -1)], axis=1)]),
        (
            X.set_axis(range(13), axis=1),
            [X.to_numpy(), X.set_axis(range(13), axis=1).iloc[:, ::-1]],
        ),
    ):
        model = MLPSearchClassifier(**FAST).fit(first, y)
        expected = model.predict_proba(first)
        for other in others:
            np.testing.assert_array_equal(model.predict_proba(other), expected)


def test_text_columns_of_an_array_stay_text() -> None:
    generator = np.random.default_rng(0)
    code = generator.choice(["007", "008", "A1"], 120)
    texts = np.stack([code, generator.normal(size=120).astype(str)], axis=1)
    for X in (texts, texts.astype(object)):
        model = MLPSearchClassifier(**FAST).fit(X, code == "008")
        proba = model.predict_proba(X)
        for row in range(5):
            alone = model.predict_proba(X[row : row + 1].astype(object))
            np.testing.assert_allclose(alone[0], proba[row], atol=1e-6)


def test_invalid_rows_raise_a_value_error() -> None:
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    model = MLPSearchRegressor(**FAST).fit(X, y)
    strange = X.head(3).astype(object)
    strange.iloc[1, 2] = "much"
    for ask in (model.predict, model.predict_distribution):
        with pytest.raises(ValueError, match="got 'much' in row 2"):
            ask(strange)
    with pytest.raises(ValueError, match="alpha must be between 0 and 1"):
        model.predict_distribution(X, alpha=2)


@pytest.mark.parametrize("n_jobs", [-1, -2, 3])
def test_n_jobs_follows_scikit_learn(n_jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert workers_for(n_jobs, "cpu") == joblib.effective_n_jobs(n_jobs)
    # On a GPU, 0 is one process per GPU.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert workers_for(n_jobs, "auto") == max(n_jobs, 0)


def test_same_random_state_gives_the_same_model() -> None:
    X, y = load_wine(return_X_y=True)
    first, second = (MLPSearchClassifier(**FAST).fit(X, y).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    other = MLPSearchClassifier(**{**FAST, "random_state": 1}).fit(X, y).predict_proba(X)
    assert (first != other).any()


def test_pickled_model_contains_the_bundle() -> None:
    X, y = load_wine(return_X_y=True)
    model = MLPSearchClassifier(**FAST).fit(X, y)
    pickled = pickle.dumps(model)
    again = pickle.loads(pickled)
    np.testing.assert_array_equal(model.predict_proba(X), again.predict_proba(X))
    assert b"bundle.json" in pickled
    with pytest.raises(NotFittedError):
        clone(model).predict(X)


def test_sample_weights_change_the_model() -> None:
    X, y = make_classification(200, flip_y=0.3, class_sep=0.5, random_state=0)
    plain = MLPSearchClassifier(**FAST).fit(X, y)
    by_rows = MLPSearchClassifier(**FAST).fit(X, y, sample_weight=np.where(y == 1, 20.0, 1.0))
    assert by_rows.predict(X).mean() > plain.predict(X).mean() + 0.1


@pytest.mark.parametrize("class_weight", [{"no": 1, "yes": 20}, "balanced"])
def test_class_weights_equal_those_of_a_study(class_weight: Any) -> None:
    X, y = make_classification(200, flip_y=0.3, class_sep=0.5, weights=[0.8], random_state=0)
    labels = np.where(y == 1, "yes", "no")
    plain = MLPSearchClassifier(**FAST).fit(X, labels)
    weighted = MLPSearchClassifier(**FAST, class_weight=class_weight).fit(X, labels)
    # The decision follows the weights, the probabilities do not, scores are unweighted.
    shares = [(model.predict(X) == "yes").mean() for model in (plain, weighted)]
    assert shares[1] > shares[0] + 0.1
    frequency = weighted.predict_proba(X)[:, 1].mean()
    assert frequency == pytest.approx(plain.predict_proba(X)[:, 1].mean(), abs=0.12)
    frame = pd.DataFrame(X, columns=[f"x{place}" for place in range(X.shape[1])])
    own = class_weight if isinstance(class_weight, str) else {0: 1, 1: 20}
    data = frame.assign(target=y)
    options: dict[str, Any] = {"test": 0.0, "finalists": 0, "validation": "holdout", "workers": 1}
    seed = int(np.random.RandomState(0).randint(2**31))
    with (
        tempfile.TemporaryDirectory() as folder,
        Study(
            "s",
            data=data,
            target="target",
            task="binary",
            space=SPACE,
            class_weights=own,
            seed=seed,
            directory=folder,
            **options,
        ) as study,
    ):
        study.optimize(1, None)
        predictor = study.best_predictor()
        assert weighted.best_score_ == study.best_value
    np.testing.assert_array_equal(predictor.predict(frame), (weighted.predict(X) == "yes"))
    found = predictor.predict_proba(frame)
    np.testing.assert_array_equal(found, weighted.predict_proba(X))


def test_class_weights_of_labels_whose_rows_have_weight_zero() -> None:
    X, y = load_wine(return_X_y=True)
    model = MLPSearchClassifier(**FAST, class_weight={0: 2, 1: 1, 2: 3})
    model.fit(X, y, sample_weight=(y != 1).astype(float))
    assert set(model.predict(X)) == {0, 2}


def test_class_with_weight_zero_is_never_predicted() -> None:
    X, y = load_wine(return_X_y=True)
    model = MLPSearchClassifier(**FAST).fit(X, y, sample_weight=(y != 1).astype(float))
    assert list(model.classes_) == [0, 1, 2]
    assert model.predict_proba(X)[:, 1].max() == 0
    assert set(model.predict(X)) == {0, 2}


def test_estimators_work_in_pipelines_grids_and_calibration() -> None:
    frame, labels = table()
    numbers = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    pipeline = make_pipeline(numbers, MLPSearchClassifier(**FAST))
    assert cross_val_score(pipeline, frame, labels, cv=2).mean() > 0.7
    grid = GridSearchCV(MLPSearchClassifier(**FAST), {"ensemble": [0, 2]}, cv=2)
    grid.fit(frame, labels)
    assert grid.best_score_ > 0.7
    calibrated = CalibratedClassifierCV(MLPSearchClassifier(**FAST), cv=2).fit(frame, labels)
    assert roc_auc_score(labels == "yes", calibrated.predict_proba(frame)[:, 1]) > 0.9


def test_fit_with_several_processes_and_a_timeout() -> None:
    X, y = load_wine(return_X_y=True)
    space = FAST["space"] | {"optimizer": {"learning_rate": {"low": 0.005, "high": 0.02}}}
    changes = {"space": space, "n_trials": 4, "timeout": 60.0, "n_jobs": 2}
    model = MLPSearchClassifier(**{**FAST, **changes})
    assert model.fit(X, y).score(X, y) > 0.9
    assert len(model.trials_) == 4
    study = pickle.loads(pickle.dumps(model)).study_
    assert [trial.state.name for trial in study.trials] == list(model.trials_["state"])
    assert study.best_params == model.study_.best_params
    assert optuna.importance.get_param_importances(study).keys() == {"optimizer.learning_rate"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": "defualt"}, "Did you mean 'default'"),
        ({"metric": "rmse"}, "rmse"),
        ({"metric": 3}, "no metric '3'"),
        ({"sampler": "magic"}, "magic"),
        ({"n_trials": 0}, "n_trials"),
        ({"n_jobs": "all"}, "n_jobs must be an integer or None, got 'all'"),
        ({"n_jobs": 1.5}, "n_jobs must .*, got 1.5"),
        ({"n_jobs": True}, "n_jobs must .*, got True"),
        ({"n_jobs": 10**9}, "workers must be at most .*, got 1000000000"),
        ({"class_weight": {0: -1, 1: 1, 2: 1}}, "class_weight must be .* got -1"),
        ({"class_weight": {0: np.nan, 1: 1, 2: 1}}, "class_weight must be .* got nan"),
        ({"class_weight": {0: 0, 1: 0, 2: 0}}, "one weight must be positive"),
        ({"class_weight": {0: 1, 7: 1}}, "are not in class_weight"),
        ({"class_weight": "balance"}, "balanced"),
    ],
)
def test_invalid_parameter_is_a_value_error(changes: dict[str, Any], message: str) -> None:
    X, y = load_wine(return_X_y=True)
    with pytest.raises(ValueError, match=message):
        MLPSearchClassifier(**{**FAST, **changes}).fit(X, y)


def test_failed_fit_leaves_the_estimator_unfitted() -> None:
    X, y = load_wine(return_X_y=True)
    model = MLPSearchClassifier(**FAST)
    for features, labels in ((X, y), (X[:, :2], 0 * y)):
        if labels.any():
            model.fit(features, labels)
        with pytest.raises(ValueError, match="at least two classes"):
            model.fit(features, 0 * y)
        with pytest.raises(NotFittedError):
            model.predict(features)


def test_wide_floats_are_accepted() -> None:
    X, y = load_wine(return_X_y=True)
    expected = MLPSearchClassifier(**FAST).fit(X, y).predict_proba(X)
    longer = X.astype(np.longdouble)
    found = MLPSearchClassifier(**FAST).fit(longer, y).predict_proba(longer)
    np.testing.assert_array_equal(found, expected)


def test_array_api_input_is_accepted_if_enabled() -> None:
    check = (
        "from sklearn.utils.estimator_checks import check_array_api_input\n"
        "from autotrain import MLPSearchClassifier, MLPSearchRegressor\n"
        "from tests.test_estimators import FAST\n"
        "for kind in (MLPSearchClassifier, MLPSearchRegressor):\n"
        "    check_array_api_input(\n"
        "        kind.__name__, kind(**FAST), 'numpy', expect_only_array_outputs=False\n"
        "    )\n"
    )
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    subprocess.run([sys.executable, "-c", check], check=True, env=environment)


def test_too_few_rows_raise() -> None:
    X, y = load_wine(return_X_y=True)
    with pytest.raises(ValueError, match=r"at least 10 rows.* n_samples=9"):
        MLPSearchClassifier(**FAST).fit(X[56:65], y[56:65])
