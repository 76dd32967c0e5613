"""The winner's way out: its own weights, checked on raw rows, or nothing at all."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.datasets

from autotrain.bundle import RECORD, TENSORS, read_bundle
from autotrain.bundle.files import MOST_RECORD_BYTES
from autotrain.bundle.selection import Selection, selection_of
from autotrain.errors import BundleError, StorageError
from autotrain.export.calibration import calibrate, fit_noise
from autotrain.export.scoring import record_selection, record_test_score
from autotrain.metrics import METRICS
from autotrain.predictor import Predictor, RegressionDistribution, load
from autotrain.predictor.mixture import Noise, total_error
from autotrain.search.definition import library_versions
from tests.winners import Winner, random_bundle, save, train


@pytest.fixture(scope="module")
def wine() -> Winner:
    return train("sklearn:wine")


@pytest.fixture(scope="module")
def diabetes() -> Winner:
    return train("sklearn:diabetes")


@pytest.fixture(scope="module")
def mixed() -> Winner:
    """Every kind of column, missing cells, folds whose one-hot columns differ."""
    generator = np.random.default_rng(0)
    n = 150
    frame = pd.DataFrame(
        {
            "age": generator.normal(40, 9, n),
            "city": generator.choice(["Rom", "Bern", "Oslo", "Paris"], n),
            "member": generator.choice([True, False], n),
            "since": pd.Timestamp("2020-01-01")
            + pd.to_timedelta(generator.integers(0, 900, n), "D"),
            "id": [f"row {place}" for place in range(n)],
        }
    )
    frame.loc[[3, 77], "city"] = ["Lima", "Kyoto"]
    frame.loc[generator.choice(n, 20, replace=False), "age"] = np.nan
    frame.loc[generator.choice(n, 20, replace=False), "city"] = None
    frame["left"] = np.where(frame["member"] | (frame["age"] > 45), "yes", "no")
    frame.loc[[5, 9], "left"] = None
    return train(frame, {"batch_norm": "before_activation"}, target="left", validation="3-fold")


@pytest.mark.parametrize("metric", [name for name, m in METRICS.items() if "binary" in m.tasks])
def test_every_metric_scores_what_training_recorded(metric: str, tmp_path: Path) -> None:
    winner = train("sklearn:breast_cancer", {"training.epochs": 3}, metric=metric)
    exported = winner.export(tmp_path / "best")
    assert exported.value == pytest.approx(winner.outcomes[0].best_value, abs=1e-5)
    assert exported.scores[metric] == exported.value
    assert exported.notes == ()
    features, labels = winner.dataset.raw_valid()
    found = load(exported.path).evaluate(features, labels, n_samples=0)["deterministic"]
    assert found == pytest.approx(dict(exported.scores), rel=1e-6)


@pytest.mark.parametrize("metric", [name for name, m in METRICS.items() if "regression" in m.tasks])
def test_every_regression_metric_scores_what_training_recorded(metric: str, tmp_path: Path) -> None:
    winner = train("sklearn:diabetes", {"training.epochs": 3}, metric=metric)
    exported = winner.export(tmp_path / "best")
    assert exported.value == pytest.approx(winner.outcomes[0].best_value, rel=1e-5)


@pytest.mark.parametrize("metric", list(METRICS))
def test_every_metric_with_weights_scores_what_training_recorded(
    metric: str, tmp_path: Path
) -> None:
    """Weights of several orders of size, some 0; classes weighed in the loss, not in the score."""
    generator = np.random.default_rng(0)
    source = "diabetes" if "regression" in METRICS[metric].tasks else "breast_cancer"
    bunch = getattr(sklearn.datasets, f"load_{source}")(as_frame=True)
    frame = bunch.frame.assign(w=10 ** generator.uniform(-2, 2, len(bunch.frame)))
    frame.loc[::9, "w"] = 0
    options: dict[str, Any] = {"weights": "w"}
    if source == "breast_cancer":
        options["class_weights"] = "balanced"
    winner = train(frame, {"training.epochs": 3}, target="target", metric=metric, **options)
    exported = winner.export(tmp_path / "best")
    assert exported.value == pytest.approx(winner.outcomes[0].best_value, rel=1e-5)
    predictor = load(exported.path)
    assert predictor.weights_name == "w"
    assert "w" not in predictor.column_names
    valid = frame.iloc[winner.dataset.splits[0].valid]
    found = predictor.evaluate(valid, valid["target"], n_samples=0, weights=valid["w"])
    assert found["deterministic"] == pytest.approx(dict(exported.scores), rel=1e-6)


def test_winner_for_a_quantile_has_a_note(tmp_path: Path) -> None:
    winner = train("sklearn:diabetes", {"training.epochs": 3}, metric="pinball:0.9")
    exported = winner.export(tmp_path / "best")
    assert "predicts the 0.9 quantile of the target, not its mean" in exported.notes[0]
    assert read_bundle(exported.path).metric == "pinball:0.9"
    assert exported.value == exported.scores["pinball:0.9"]
    card = (exported.path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "pinball:0.9 (chose the winner)" in card


def test_bundle_has_the_weights_of_the_best_epoch(wine: Winner, tmp_path: Path) -> None:
    wine.export(tmp_path / "best")
    member = read_bundle(tmp_path / "best").members[0]
    (outcome,) = wine.outcomes
    assert outcome.parameters is not None
    np.testing.assert_array_equal(member.parameters, outcome.parameters.astype(np.float32))
    assert member.best_epoch == outcome.best_epoch
    assert member.config == wine.config


def test_record_names_the_study_and_the_trial(wine: Winner, tmp_path: Path) -> None:
    exported = wine.export(tmp_path / "best")
    record = json.loads((exported.path / RECORD).read_text(encoding="utf-8"))
    assert record["training"] == {
        "folds": 1,
        "study": "test",
        "trial": 3,
        "repeat": 0,
        "seed": 5,
        "best_epoch": wine.outcomes[0].best_epoch,
    }
    assert record["data"]["fingerprint"] == wine.dataset.fingerprint
    assert record["data"]["split"] == wine.dataset.split
    assert record["data"]["n_train"] == wine.dataset.n_train
    assert record["scores"]["validation"] == dict(exported.scores)
    assert record["scores"]["test"] is None
    assert record["data"]["n_validated"] == wine.dataset.n_valid
    assert record["versions"] == library_versions()
    assert {"python", "torch", "numpy"} <= set(record["versions"])
    assert record["target"]["classes"] == list(wine.dataset.classes)


def test_raw_rows_of_every_kind_are_predicted(mixed: Winner, tmp_path: Path) -> None:
    exported = mixed.export(tmp_path / "best")
    values = [outcome.best_value for outcome in mixed.outcomes]
    assert exported.value == pytest.approx(np.mean(values), abs=1e-5)
    predictor = load(exported.path)
    assert len(predictor.bundle.members) == 3
    assert len({member.preprocessor.n_inputs for member in predictor.bundle.members}) > 1
    features, labels = mixed.dataset.raw_test()
    assert set(predictor.predict(features)) <= {"yes", "no"}
    assert predictor.evaluate(features, labels)["monte_carlo"]["accuracy"] > 0.5
    assert predictor.predict_proba(features).shape == (len(features), 2)


@pytest.mark.parametrize("validation", ["holdout", "3-fold"])
def test_standard_error_over_rows_is_that_of_the_rows_losses(
    validation: str, tmp_path: Path
) -> None:
    """The witness computes each row's log loss from the exported networks."""
    winner = train("sklearn:wine", {"training.epochs": 3}, validation=validation)
    bundle = read_bundle(winner.export(tmp_path / "best").path)
    variances = []
    for place in range(len(winner.dataset.folds)):
        (member,) = (m for m in bundle.members if m.fold == place)
        own = Predictor(replace(bundle, members=(member,)))
        features, labels = winner.dataset.raw_valid(place)
        right = [list(bundle.classes).index(label) for label in labels]
        losses = -np.log(
            own.predict_proba(features, calibrated=False)[np.arange(len(right)), right]
        )
        variances.append(losses.var() / len(losses))
    expected = math.sqrt(sum(variances)) / len(variances)
    assert bundle.scores["validation_error"]["log_loss"] == pytest.approx(expected, rel=1e-4)
    assert bundle.data["n_validated"] == sum(len(split.valid) for split in winner.dataset.splits)


def test_recording_the_selection_changes_nothing_else(wine: Winner, tmp_path: Path) -> None:
    exported = wine.export(tmp_path / "best")
    (exported.path / "predictor.onnx").write_bytes(b"a graph")
    before = (exported.path / TENSORS).read_bytes()
    chosen = Selection(3, "mean", 20, 7, 5, 0.1, 3, 0.2, 0.01, 0.3)
    assert record_selection(exported.path, chosen) == exported.path
    bundle = read_bundle(exported.path)
    assert selection_of(bundle) == chosen
    assert bundle.scores["validation"] == dict(exported.scores)
    assert (exported.path / TENSORS).read_bytes() == before
    assert (exported.path / "predictor.onnx").read_bytes() == b"a graph"
    with pytest.raises(BundleError):
        record_selection(tmp_path / "none", chosen)


def test_noise_of_a_regression_is_fitted_and_recorded(diabetes: Winner, tmp_path: Path) -> None:
    exported = diabetes.export(tmp_path / "best")
    predictor = load(exported.path)
    calibration = predictor.bundle.calibration
    assert "which were also used to choose the model" in calibration["note"]
    assert calibration["rows"] == "validation"
    assert calibration["n_rows"] == diabetes.dataset.n_valid
    # No other scale is better.
    features, y = diabetes.dataset.raw_valid()
    chosen = predictor.evaluate(features, y)["monte_carlo"]["log_likelihood"]
    for factor in (0.5, 0.9, 1.1, 2.0):
        noise = {**calibration["noise"], "scale": calibration["noise"]["scale"] * factor}
        other = replace(predictor.bundle, calibration={**calibration, "noise": noise})
        found = Predictor(other).evaluate(features, y)["monte_carlo"]["log_likelihood"]
        assert found < chosen + 1e-4


@pytest.mark.parametrize("side", ["temperature", "temperature_point"])
def test_temperature_of_a_classification_is_fitted_and_recorded(side: str, tmp_path: Path) -> None:
    winner = train("sklearn:breast_cancer", {"training.epochs": 1})
    predictor = load(winner.export(tmp_path / "best").path)
    calibration: dict[str, Any] = predictor.bundle.calibration  # type: ignore[assignment]
    assert "which were also used to choose the model" in calibration["note"]
    assert calibration["n_rows"] == winner.dataset.n_valid
    card = (tmp_path / "best" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "The temperature was fitted on" in card
    assert "## Limits" in card
    drawn = [line for line in card.splitlines() if "`" in line and "│" in line]
    assert len(drawn) == 10
    shares = [float(line.split("|")[2].strip(" %")) for line in drawn]
    bars = [line.split("`")[1].count("█") for line in drawn]
    np.testing.assert_allclose(np.array(bars) / 40, np.array(shares) / 100, atol=0.04)
    features, y = winner.dataset.raw_valid()
    n_samples = calibration["n_samples"] if side == "temperature" else 0

    def loss(temperature: float) -> float:
        calibration[side] = temperature
        kind = "monte_carlo_calibrated" if side == "temperature" else "calibrated"
        scores = predictor.evaluate(features, y, n_samples=n_samples)[kind]
        return float(scores["log_loss"] + 2 * math.log(temperature) ** 2 / len(y))

    fitted = calibration[side]
    assert fitted != 1
    best = loss(fitted)
    for factor in (0.5, 0.9, 1.1, 2.0):
        assert loss(fitted * factor) > best
        assert loss(fitted / factor) > best


@pytest.mark.parametrize("validation", ["holdout", "3-fold"])
def test_temperature_applies_to_single_networks_only(validation: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(300, 8)), columns=list("abcdefgh"))
    frame["y"] = np.where(frame["a"] + 2 * generator.normal(size=300) > 0, "up", "down")
    params = {
        **{"training.epochs": 200, "optimizer.learning_rate": 0.03, "dropout.rate": 0.0},
        "early_stopping.restore_best_weights": False,
    }
    winner = train(frame, params, target="y", validation=validation, test=0.0)
    calibration = read_bundle(winner.export(tmp_path / "best").path).calibration
    for side in ("temperature", "temperature_point"):
        # Networks that learned their rows by heart; an average of folds is softer by itself.
        assert (calibration[side] > 1.2) if validation == "holdout" else (calibration[side] == 1)


def test_the_temperature_is_fitted_on_rows_of_all_folds(tmp_path: Path) -> None:
    winner = train("sklearn:wine", {"training.epochs": 3}, validation="3-fold")
    winner.export(tmp_path / "best")
    calibration = read_bundle(tmp_path / "best").calibration
    assert calibration["n_rows"] == sum(len(fold.y_valid) for fold in winner.dataset.folds)
    assert calibration["temperature"] > 0


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_many_rows_held_out_calibrate_apart(task: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(10_000, 2)), columns=["a", "b"])
    y = frame["a"] - frame["b"] + generator.normal(size=len(frame))
    frame["y"] = np.where(y > 0, "up", "down") if task == "binary" else y
    winner = train(frame, {"training.epochs": 2}, target="y", test=0.0)
    exported = winner.export(tmp_path / "best")
    predictor, (split,) = load(exported.path), winner.dataset.splits
    calibration = predictor.bundle.calibration
    assert split.calibration is not None
    assert (len(split.valid), len(split.calibration)) == (1_500, 500)
    own = frame.iloc[split.calibration]
    if task == "regression":
        errors = predictor.predict(own) - own["y"]
        expected = fit_noise(own["y"].to_numpy() + errors.to_numpy(), own["y"].to_numpy())
        found = Noise.from_json(calibration["noise_point"])
        assert found.dof == expected.dof
        assert found.scale == pytest.approx(expected.scale, rel=1e-3)
    else:
        places = predictor.classes_.tolist()
        right = [places.index(label) for label in own["y"]]
        scores = 1 - predictor.predict_proba(own, calibrated=False)[np.arange(500), right]
        np.testing.assert_allclose(calibration["conformal_fold_scores"][0], np.sort(scores), 1e-5)
    assert (calibration["n_rows"], calibration["rows"]) == (500, "calibration")
    # The score that chose the winner is of the other rows alone.
    valid = frame.iloc[split.valid]
    found = predictor.evaluate(valid, valid["y"], n_samples=0)["deterministic"]
    assert found[predictor.bundle.metric] == pytest.approx(exported.value, rel=1e-6)
    card = (exported.path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "8000 training, 1500 validation, 500 calibration, 0 test" in card
    assert "was fitted on 500 rows that were not used to train or choose the model." in card


@pytest.mark.parametrize(
    ("validation", "said"),
    [
        (
            "holdout",
            r"was fitted on 28 validation rows, .* used to choose the model: .* overconfident",
        ),
        ("3-fold", r"cross-fitted: on 142 .* did not train on it; .* used to choose the model"),
    ],
)
def test_card_describes_the_validation_rows(validation: str, said: str, tmp_path: Path) -> None:
    winner = train("sklearn:wine", {"training.epochs": 2}, validation=validation)
    card = (winner.export(tmp_path / "best").path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert re.search(said, card)


@pytest.mark.parametrize("source", ["sklearn:diabetes", "sklearn:breast_cancer"])
def test_conformal_coverage_on_validation_rows(source: str, tmp_path: Path) -> None:
    winner = train(source, {"training.epochs": 10}, validation="3-fold")
    predictor = load(winner.export(tmp_path / "best").path)
    n = sum(len(fold.y_valid) for fold in winner.dataset.folds)
    calibration = predictor.bundle.calibration
    of_folds = calibration["conformal_fold_scores"]
    assert list(map(len, of_folds)) == [len(fold.y_valid) for fold in winner.dataset.folds]
    pooled = sorted(score for scores in of_folds for score in scores)
    pooled_scores = {"conformal_fold_scores": [pooled], "conformal_fold_labels": [[0] * n]}
    if not predictor.bundle.is_classification:
        del pooled_scores["conformal_fold_labels"]
    # Each row by the member that did not train on it, as when the scores were made.
    inside = 0.0
    for place in range(len(winner.dataset.folds)):
        (member,) = (m for m in predictor.bundle.members if m.fold == place)
        own = replace(predictor.bundle, members=(member,))
        alone = Predictor(replace(own, calibration={**calibration, **pooled_scores}))
        features, y = winner.dataset.raw_valid(place)
        (found,) = (
            value["coverage"]
            for name, value in alone.evaluate(features, y, alpha=0.2)["coverage"].items()
            if name != "interval"
        )
        inside += found * len(y)
    # Of numbers, a network alone draws other samples than among the others: so does the spread.
    tolerance = 1.5 if predictor.bundle.is_classification else 6
    assert inside == pytest.approx(math.ceil((n + 1) * 0.8), abs=tolerance)


def test_conformal_scores_equal_those_of_the_predictor(tmp_path: Path) -> None:
    winner = train("sklearn:diabetes", {"training.epochs": 3}, validation="3-fold")
    predictor = load(winner.export(tmp_path / "best").path)
    calibration = predictor.bundle.calibration
    for place in range(len(winner.dataset.folds)):
        features, y = winner.dataset.raw_valid(place)
        drawn = predictor.predict_distribution(features, samples=True)
        assert isinstance(drawn, RegressionDistribution)
        assert drawn.samples is not None
        (member,) = (m for m in predictor.bundle.members if m.fold == place)
        center = Predictor(replace(predictor.bundle, members=(member,))).predict(features)
        # Sample s is of member s mod 3.
        scale = total_error(
            drawn.samples[place::3].std(axis=0), Noise.from_json(calibration["noise"])
        )
        scores = np.sort(np.abs(y - center) / scale)
        np.testing.assert_allclose(calibration["conformal_fold_scores"][place], scores, rtol=2e-5)


def test_weight_of_a_row_does_not_depend_on_its_fold(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(90, 2)), columns=["a", "b"])
    frame["y"] = np.where(frame["a"] > 0, "up", "down")
    frame["times"] = np.where(np.arange(90) == 4, 50, 1)
    options: dict[str, Any] = {"weights": "times", "validation": "3-fold", "test": 0.0}
    winner = train(frame, {"training.epochs": 2}, target="y", **options)
    calibration = read_bundle(winner.export(tmp_path / "best").path).calibration
    counts = np.concatenate(calibration["conformal_fold_weights"])
    np.testing.assert_allclose(sorted(counts / counts.min()), [1] * 89 + [50], rtol=1e-4)


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_conformal_coverage_with_sample_weights(task: str, tmp_path: Path) -> None:
    def rows(n: int) -> pd.DataFrame:
        # Rows that stand for many are noise: counted as one each, they would be the one in seven.
        x, is_heavy = generator.normal(size=n), generator.uniform(size=n) < 0.15
        y = x + np.where(is_heavy, 3.0, 0.1) * generator.normal(size=n)
        return pd.DataFrame(
            {
                "x": x,
                "z": generator.normal(size=n),
                "times": np.where(is_heavy, 20, 1),
                "y": np.where(y > 0, "up", "down") if task == "binary" else y,
            }
        )

    generator = np.random.default_rng(0)
    options: dict[str, Any] = {"weights": "times", "validation": "3-fold", "test": 0.0}
    winner = train(rows(1_500), {"training.epochs": 10}, target="y", **options)
    predictor = load(winner.export(tmp_path / "best").path)
    new = rows(3_000)
    found = predictor.evaluate(new[["x", "z"]], new["y"], weights=new["times"], alpha=0.2)
    name = "prediction_set" if task == "binary" else "conformal_interval"
    assert found["coverage"][name]["coverage"] == pytest.approx(0.8, abs=0.06)


def test_the_noise_is_fitted_on_rows_of_all_folds(tmp_path: Path) -> None:
    winner = train("sklearn:diabetes", {"training.epochs": 3}, validation="3-fold")
    winner.export(tmp_path / "best")
    calibration = read_bundle(tmp_path / "best").calibration
    assert calibration["n_rows"] == sum(len(fold.y_valid) for fold in winner.dataset.folds)


def test_many_validation_rows_are_thinned_out(diabetes: Winner, tmp_path: Path) -> None:
    bundle = diabetes.export(tmp_path / "best").bundle
    assert 15 <= calibrate(bundle, diabetes.dataset, max_rows=30)["n_rows"] <= 30


def test_winner_without_dropout_has_a_note(tmp_path: Path) -> None:
    for source in ("sklearn:wine", "sklearn:diabetes"):
        winner = train(source, {"dropout.rate": 0.0, "training.epochs": 2})
        exported = winner.export(tmp_path / "best")
        (note,) = exported.notes
        assert "has no dropout" in note
        assert "[dropout] rate above 0" in note
        assert not load(exported.path).has_dropout
        card = (exported.path / "MODEL_CARD.md").read_text(encoding="utf-8")
        assert "predict_distribution is not available" in card


# ---- what must not be published ----------------------------------------------------------------


def changed(winner: Winner, **changes: Any) -> Winner:
    (outcome,) = winner.outcomes
    return replace(winner, outcomes=(replace(outcome, **changes),))


def nothing_but(folder: Path, *names: str) -> bool:
    return sorted(entry.name for entry in folder.iterdir()) == sorted(names)


def test_other_weights_than_the_recorded_ones_are_not_published(
    wine: Winner, tmp_path: Path
) -> None:
    (outcome,) = wine.outcomes
    assert outcome.parameters is not None
    stranger = changed(wine, parameters=outcome.parameters + np.float32(0.01))
    with pytest.raises(RuntimeError, match=r"scores log_loss .* training recorded"):
        stranger.export(tmp_path / "best")
    assert nothing_but(tmp_path)


def test_a_failed_export_leaves_the_bundle_before_it(
    wine: Winner, diabetes: Winner, tmp_path: Path
) -> None:
    wine.export(tmp_path / "best")
    before = (tmp_path / "best" / TENSORS).read_bytes()
    for winner in (wine, diabetes):
        (outcome,) = winner.outcomes
        with pytest.raises(RuntimeError, match="training recorded"):
            changed(winner, best_value=outcome.best_value * 1.01).export(tmp_path / "best")
    assert (tmp_path / "best" / TENSORS).read_bytes() == before
    assert nothing_but(tmp_path, "best")


def test_different_encoding_is_detected(wine: Winner, diabetes: Winner, tmp_path: Path) -> None:
    for winner in (wine, diabetes):
        fitted = {
            key: (preprocessor, replace(rows, x_valid=rows.x_valid + np.float32(0.001)))
            for key, (preprocessor, rows) in winner.dataset.fitted.items()
        }
        dataset = replace(winner.dataset, fitted=fitted)
        with pytest.raises(RuntimeError, match="predictions of the written bundle differ"):
            winner.export(tmp_path / "best", dataset=dataset)
    assert nothing_but(tmp_path)


def test_a_metric_that_counts_may_differ_by_two_tied_rows(tmp_path: Path) -> None:
    winner = train("sklearn:breast_cancer", {"training.epochs": 2}, metric="accuracy")
    (outcome,) = winner.outcomes
    n = winner.dataset.n_valid
    changed(winner, best_value=outcome.best_value - 1 / n).export(tmp_path / "best")
    with pytest.raises(RuntimeError, match="training recorded"):
        changed(winner, best_value=outcome.best_value - 3 / n).export(tmp_path / "best")


@pytest.mark.parametrize("metric", ["balanced_accuracy", "roc_auc", "average_precision", "f1"])
def test_a_metric_of_classes_may_differ_by_two_rows_of_the_rarest(
    metric: str, tmp_path: Path
) -> None:
    winner = train("sklearn:breast_cancer", {"training.epochs": 2}, metric=metric)
    (outcome,) = winner.outcomes
    n_rarest = int(np.bincount(winner.dataset.folds[0].y_valid).min())
    changed(winner, best_value=outcome.best_value - 1 / n_rarest).export(tmp_path / "best")
    with pytest.raises(RuntimeError, match="training recorded"):
        changed(winner, best_value=outcome.best_value - 3 / n_rarest).export(tmp_path / "best")


def test_outcomes_must_fit_the_dataset(wine: Winner, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one per fold \(1\), got"):
        wine.export(tmp_path / "best", outcomes=())
    with pytest.raises(ValueError, match=r"has no weights \(diverged\)"):
        changed(wine, parameters=None, cause="diverged").export(tmp_path / "best")
    (outcome,) = wine.outcomes
    assert outcome.parameters is not None
    with pytest.raises(ValueError, match="do not fit the configuration"):
        changed(wine, parameters=outcome.parameters[:-1]).export(tmp_path / "best")
    assert nothing_but(tmp_path)


def test_existing_folder_is_an_error_and_is_not_changed(wine: Winner, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(StorageError, match=r"thesis\.txt"):
        wine.export(tmp_path / "mine")
    assert nothing_but(tmp_path / "mine", "thesis.txt")


# ---- the test score ----------------------------------------------------------------------------


def test_recording_the_test_score_changes_nothing_else(wine: Winner, tmp_path: Path) -> None:
    exported = wine.export(tmp_path / "best")
    (exported.path / "predictor.onnx").write_bytes(b"a graph")
    before = read_bundle(exported.path)
    tensors = (exported.path / TENSORS).read_bytes()
    evaluation = load(exported.path).evaluate(*wine.dataset.raw_test())
    assert record_test_score(exported.path, evaluation) == exported.path
    after = read_bundle(exported.path)
    about = {"alpha": 0.1, "n_rows": evaluation["n_rows"]}
    assert after.scores == {
        "validation": dict(exported.scores),
        "validation_error": before.scores["validation_error"],
        "test": evaluation["deterministic"],
        "test_monte_carlo": evaluation["monte_carlo"],
        "test_calibrated": evaluation["calibrated"],
        "test_monte_carlo_calibrated": evaluation["monte_carlo_calibrated"],
        "test_coverage": {k: each | about for k, each in evaluation["coverage"].items()},
    }
    assert replace(after, scores=before.scores).to_json() == before.to_json()
    assert (exported.path / TENSORS).read_bytes() == tensors
    assert (exported.path / "predictor.onnx").read_bytes() == b"a graph"
    card = (exported.path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert f"{evaluation['deterministic']['accuracy']:.4g}" in card
    assert "On 36 test rows, prediction sets of 0.9 contain the truth of" in card
    assert "| metric | validation | test | test_calibrated | test_monte_carlo |" in card


def test_infinite_intervals_leave_a_bundle_that_can_be_read(tmp_path: Path) -> None:
    bundle = random_bundle(task="regression")
    own = {"conformal_fold_scores": [[1.0] * 5], "note": "fitted on 5 rows"}
    folder = save(replace(bundle, calibration={**bundle.calibration, **own}), tmp_path / "best")
    x = np.random.default_rng(0).normal(size=(12, 5))
    # A row of weight 0 must not turn an infinite mean width into none.
    evaluation = load(folder).evaluate(x, x[:, 0], weights=[0.0] + [1.0] * 11, notices=[])
    assert evaluation["coverage"]["conformal_interval"]["size"] == math.inf
    record_test_score(folder, evaluation)
    assert read_bundle(folder).scores["test_coverage"]["conformal_interval"]["size"] is None
    # The card is written again from what was read.
    record_selection(folder, Selection(0, "only", 1, 1, 0, 0.5))
    assert "mean width infinite" in (folder / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_a_test_score_needs_an_intact_bundle(wine: Winner, tmp_path: Path) -> None:
    exported = wine.export(tmp_path / "best")
    content = bytearray((exported.path / TENSORS).read_bytes())
    content[-1] ^= 1
    (exported.path / TENSORS).write_bytes(content)
    with pytest.raises(BundleError, match="so it was changed"):
        record_test_score(exported.path, {"deterministic": {}})


def test_a_bundle_that_cannot_be_read_is_not_published(tmp_path: Path) -> None:
    winner = train("sklearn:iris", {"training.epochs": 2})
    exported = winner.export(tmp_path / "best")
    before = (exported.path / "bundle.json").read_bytes()
    with pytest.raises(RuntimeError, match=r"the written bundle cannot be read: .*bundle\.json"):
        winner.export(tmp_path / "best", study="x" * MOST_RECORD_BYTES)
    assert (exported.path / "bundle.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["best"]
