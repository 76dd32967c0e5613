"""Ensembles: who is in them, one bundle, predicting as their members on average."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from autotrain.bundle import RECORD, Bundle, read_bundle
from autotrain.data.dataset import Dataset
from autotrain.export.calibration import fit_noise
from autotrain.export.ensemble import (
    FoldPredictions,
    choose,
    contenders,
    ensemble_seconds,
    first_is_clearly_better,
    greedy,
    influences,
    is_clearly_better,
    most_members,
    out_of_fold,
    scores_with,
    select,
)
from autotrain.export.writer import write_model
from autotrain.metrics import METRICS, REGRESSION, metric_named
from autotrain.predictor import Predictor, load
from autotrain.search.trained import Trained
from tests.winners import Exported, Winner, train

Score = Callable[[np.ndarray, np.ndarray, Any], float]

# scikit-learn is the witness: score of (y, prediction, weights), lower is better.
SCORES: dict[str, Score] = {
    "log_loss": lambda y, p, w: sk.log_loss(y, p, sample_weight=w),
    "accuracy": lambda y, p, w: -sk.accuracy_score(y, p.argmax(1), sample_weight=w),
    "balanced_accuracy": lambda y, p, w: (
        -sk.balanced_accuracy_score(y, p.argmax(1), sample_weight=w)
    ),
    "roc_auc": lambda y, p, w: -sk.roc_auc_score(y, p, multi_class="ovr", sample_weight=w),
    "average_precision": lambda y, p, w: (
        -sk.average_precision_score(np.eye(3)[y], p, sample_weight=w)
    ),
    "f1": lambda y, p, w: -sk.f1_score(y, p.argmax(1), average="macro", sample_weight=w),
    "brier": lambda y, p, w: sk.brier_score_loss(y, p, sample_weight=w),
    "mae": lambda y, p, w: sk.mean_absolute_error(y, p, sample_weight=w),
    "pinball:0.9": lambda y, p, w: sk.mean_pinball_loss(y, p, alpha=0.9, sample_weight=w),
    "rmse": lambda y, p, w: sk.root_mean_squared_error(y, p, sample_weight=w),
    "r2": lambda y, p, w: -sk.r2_score(y, p, sample_weight=w),
}


def problem(metric: str, seed: int, n_candidates: int = 7) -> list[FoldPredictions]:
    """Random predictions of three folds, better than nothing."""
    generator = np.random.default_rng(seed)
    folds = []
    for unit, n in enumerate((30, 41, 35), start=1):
        weights = generator.uniform(0.1, 2, n) if seed % 2 else None
        if metric_named(metric).tasks == (REGRESSION,):
            y = generator.normal(size=n).astype(np.float32)
            noise = generator.normal(scale=generator.uniform(0.3, 2), size=(n_candidates, n))
            folds.append(FoldPredictions((y + noise).astype(np.float32), y, weights, 7.0**unit))
            continue
        labels = np.arange(n) % 3
        logits = 0.7 * np.eye(3)[labels] + generator.normal(size=(n_candidates, n, 3))
        p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        folds.append(FoldPredictions(p.astype(np.float32), labels, weights))
    return folds


def score(folds: Sequence[FoldPredictions], members: Sequence[int], metric: str) -> float:
    each = []
    for fold in folds:
        average = fold.predictions[list(members)].astype(np.float64).mean(0)
        if average.ndim == 2:
            average /= average.sum(1, keepdims=True)
        unit = fold.target_std if metric_named(metric).in_target_units else 1.0
        each.append(unit * SCORES[metric](fold.y, average, fold.weights))
    return float(np.mean(each))


@pytest.mark.parametrize("metric", SCORES)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("one_fold", [True, False])
def test_every_step_of_greedy_adds_the_best_candidate(
    metric: str, seed: int, one_fold: bool
) -> None:
    folds = problem(metric, seed)[: 1 if one_fold else None]
    chosen = greedy(folds, metric_named(metric), 7)
    assert len(set(chosen)) == len(chosen)

    def counted(members: list[int]) -> float:
        """Half of the average's gain lasts where folds are averaged as well."""
        together = score(folds, members, metric)
        apart = float(np.mean([score(folds, [member], metric) for member in members]))
        return together if one_fold else (together + apart) / 2

    best = np.inf
    for n in range(1, len(chosen) + 1):
        others = [c for c in range(7) if c not in chosen[: n - 1]]
        steps = [counted([*chosen[: n - 1], other]) for other in others]
        assert counted([*chosen[:n]]) == pytest.approx(min(steps), rel=1e-6)
        assert min(steps) < best + 1e-6
        best = min(steps)
    rest = [c for c in range(7) if c not in chosen]
    assert all(counted([*chosen, other]) > best - 1e-6 for other in rest)


def test_no_more_members_than_wanted_and_the_first_are_the_same() -> None:
    folds, metric = problem("rmse", 2)[:1], metric_named("rmse")
    everything = greedy(folds, metric, 7)
    assert len(everything) > 3
    for n in (1, 2, 3):
        assert greedy(folds, metric, n) == everything[:n]


def test_candidate_without_a_gain_is_not_chosen() -> None:
    y = np.array([0, 1, 0, 1])
    good = np.where(np.eye(2)[y] == 1, 0.9, 0.1)
    folds = [FoldPredictions(np.stack([1 - good, good, good]).astype(np.float32), y)]
    for name in ("log_loss", "accuracy"):
        assert greedy(folds, metric_named(name), 3) == (1,)


@pytest.mark.parametrize("rule", [greedy, contenders])
def test_undefined_score_is_never_the_best(rule: Callable[..., Any]) -> None:
    y = np.array([0.0, 1.0], dtype=np.float32)
    folds = [FoldPredictions(np.array([[np.nan, 1], [0.5, 0.5]], dtype=np.float32), y)]
    assert rule(folds, metric_named("rmse"), 2) == (1,)
    unknown = [FoldPredictions(np.full((3, 2), np.nan, dtype=np.float32), y)]
    assert rule(unknown, metric_named("rmse"), 2) == (0,)


def test_scores_do_not_depend_on_the_block_size() -> None:
    folds = problem("roc_auc", 1)
    totals = [fold.predictions[0].astype(float) for fold in folds]
    places = np.arange(1, len(folds[0].predictions))
    whole, parts = (
        scores_with(folds, totals, places, 1, metric_named("roc_auc"), block_numbers)
        for block_numbers in (1 << 20, 250)
    )
    np.testing.assert_array_equal(parts, whole)


# ---- contenders --------------------------------------------------------------------------------


def test_every_metric_has_a_reference() -> None:
    assert {name.partition(":")[0] for name in SCORES} == set(METRICS)


@pytest.mark.parametrize("metric", SCORES)
@pytest.mark.parametrize("seed", range(2))
def test_influence_is_the_derivative_by_the_weight_of_a_row(metric: str, seed: int) -> None:
    fold, step = problem(metric, seed, n_candidates=2)[1], 1e-5
    sign = metric_named(metric).sign
    found = influences(fold, metric_named(metric))
    of_all = np.ones(len(fold.y)) if fold.weights is None else fold.weights
    for place, prediction in enumerate(fold.predictions):
        for row in range(0, len(fold.y), 4):
            sides = []
            for side in (1 + step, 1 - step):
                weights = of_all.copy()
                weights[row] *= side
                nudged = replace(fold, predictions=prediction[None], weights=weights)
                sides.append(score([nudged], [0], metric))
            slope = sign * (sides[0] - sides[1]) / (2 * step)
            assert found[place, row] == pytest.approx(slope, rel=1e-4, abs=1e-6 * fold.target_std)


@pytest.mark.parametrize("metric", ["roc_auc", "rmse", "f1"])
def test_influences_give_the_standard_error_of_a_bootstrap(metric: str) -> None:
    fold = problem(metric, 0, n_candidates=2)[1]
    found = influences(fold, metric_named(metric))
    generator = np.random.default_rng(1)
    n = len(fold.y)
    differences = []
    for _ in range(400):
        drawn = generator.integers(n, size=n)
        again = FoldPredictions(fold.predictions[:, drawn], fold.y[drawn], None, fold.target_std)
        differences.append(score([again], [0], metric) - score([again], [1], metric))
    expected = np.std(differences)
    assert np.linalg.norm(found[0] - found[1]) == pytest.approx(expected, rel=0.15)


def test_contenders_are_those_within_two_standard_errors_paired_by_rows() -> None:
    generator = np.random.default_rng(0)
    n = 400
    hard = generator.uniform(0.05, 0.9, n)
    # Rows hard for all make every loss uncertain, but say nothing of the differences.
    noise = generator.normal(size=(5, n))
    noise -= noise.mean(1, keepdims=True)
    # The second and the fourth are behind by 1 and 1.9 standard errors, the others by 2.1 and 6.
    own = 0.08 * np.sqrt(noise[0].var() + noise[1:].var(1)) / np.sqrt(n)
    behind = np.concatenate([[0.0], own * [1, 2.1, 1.9, 6]])
    losses = behind[:, None] - np.log(hard) + 0.08 * noise
    p = np.exp(-losses)
    folds = [FoldPredictions(np.stack([1 - p, p], 2).astype(np.float32), np.ones(n, np.int64))]
    worse = losses[1:] - losses[0]
    z = worse.mean(1) / worse.std(1) * np.sqrt(n)
    assert z == pytest.approx([1, 2.1, 1.9, 6], rel=0.08)
    assert z[1] > 2 > z[2]
    chosen = contenders(folds, metric_named("log_loss"), 8)
    assert sorted(chosen) == [0, 1, 3]
    assert chosen == tuple(place for place in np.argsort(losses.mean(1)) if place in (0, 1, 3))
    assert contenders(folds, metric_named("log_loss"), 2) == chosen[:2]


def of_fresh_rows(
    rule: Callable[..., tuple[int, ...]], seed: int, n_poor: int
) -> tuple[int, float]:
    """Return how many of 24 models a rule chooses by 40 rows, and their error on fresh rows.

    What nobody can know is as large as what each good model adds of its own; the good ones are all
    equally good, so that the more of them are averaged the better.
    """
    generator = np.random.default_rng(seed)
    n = 2_040
    y = generator.normal(size=n).astype(np.float32)
    own = np.where(np.arange(24) < 24 - n_poor, 1.0, 4.0)
    p = y + generator.normal(size=n) + own[:, None] * generator.normal(size=(24, n))
    seen, fresh = slice(40), slice(40, None)
    p = p[np.argsort(((p - y)[:, seen] ** 2).mean(1))].astype(np.float32)
    chosen = rule([FoldPredictions(p[:, seen], y[seen])], metric_named("rmse"), 8)
    return len(chosen), float(np.mean((p[list(chosen), fresh].mean(0) - y[fresh]) ** 2))


@pytest.mark.parametrize(("n_poor", "n_good"), [(0, 8), (20, 4)])
def test_contenders_ignore_errors_that_cancel_on_few_rows(n_poor: int, n_good: int) -> None:
    found = {
        rule: np.mean([of_fresh_rows(rule, seed, n_poor) for seed in range(20)], axis=0)
        for rule in (greedy, contenders)
    }
    # Nearly as many as are good; better than half of them are together, so none is poor.
    assert 0.75 * n_good < found[contenders][0] <= n_good
    assert 1 + 1 / n_good <= found[contenders][1] < 1 + 2 / n_good
    assert found[contenders][1] < found[greedy][1]


@pytest.mark.parametrize("metric", ["balanced_accuracy", "roc_auc", "average_precision", "f1"])
@pytest.mark.parametrize("weighted", [False, True])
def test_class_without_rows_does_not_affect_others(metric: str, weighted: bool) -> None:
    fold = problem(metric, 1)[0]
    kept = np.flatnonzero(fold.y != 2)
    weights = fold.weights[kept] if weighted and fold.weights is not None else None
    absent = FoldPredictions(fold.predictions[:, kept], fold.y[kept], weights)
    found = influences(absent, metric_named(metric))
    assert (np.abs(found).max(1) > 0).all()
    # More of every row changes nothing.
    np.testing.assert_allclose(found.sum(1), 0, atol=1e-6)


def test_a_perfect_model_contends_alone() -> None:
    y = np.arange(50, dtype=np.float32)
    p = np.stack([y + 1, y, y - 1])
    assert contenders([FoldPredictions(p, y)], metric_named("rmse"), 3) == (1,)


def test_equal_candidates_are_contenders() -> None:
    y = np.array([0, 1, 0, 1])
    good = np.where(np.eye(2)[y] == 1, 0.9, 0.1)
    folds = [FoldPredictions(np.stack([1 - good, good, good]).astype(np.float32), y)]
    for name in ("log_loss", "accuracy"):
        assert contenders(folds, metric_named(name), 3) == (1, 2)


def test_greedy_chooses_if_there_are_many_rows() -> None:
    # The second is clearly worse than the first, yet cancels all of its errors; the third does not.
    y = np.zeros(40, dtype=np.float32)
    errors = np.stack([np.tile([1, -1], 20), np.tile([-1.3, 1.3], 20), np.tile([1, -1], 20)])
    folds = [FoldPredictions(errors.astype(np.float32), y)]
    metric, n_rows = metric_named("rmse"), 40
    by_rule = {rule: tuple(sorted(rule(folds, metric, 3))) for rule in (contenders, greedy)}
    assert by_rule == {contenders: (0, 2), greedy: (0, 1)}
    assert select(folds, metric, 3, few_rows=n_rows) == by_rule[contenders]
    assert select(folds, metric, 3, few_rows=n_rows - 1) == by_rule[greedy]


# ---- of real trials ----------------------------------------------------------------------------

PARAMS: tuple[dict[str, Any], ...] = (
    {},
    {"network.hidden_layers": 1, "network.hidden_units": 20, "activation": "relu"},
    {"batch_norm": "before_activation", "optimizer.learning_rate": 0.02},
)


def table() -> pd.DataFrame:
    """Numbers and categories, some of whose one-hot columns differ between folds."""
    generator = np.random.default_rng(0)
    n = 150
    frame = pd.DataFrame(
        {
            "age": generator.normal(40, 9, n),
            "city": generator.choice(["Rom", "Bern", "Oslo"], n),
            "shop": generator.choice(["a", "b", "c"], n),
            "member": generator.choice([True, False], n),
            "size": generator.normal(size=n),
        }
    )
    frame.loc[[3, 77], "city"] = ["Lima", "Kyoto"]
    frame["dear"] = np.where(frame["size"] + (frame["age"] > 45) > 0.3, "yes", "no")
    frame["price"] = 1000 + 50 * frame["size"] + 20 * (frame["city"] == "Rom")
    return frame


def train_all(target: str, *params: dict[str, Any]) -> list[Winner]:
    frame = table()[["age", "city", "shop", "member", "size", target]]
    return [
        train(frame, own | {"training.epochs": 5}, target=target, validation="3-fold")
        for own in params
    ]


@pytest.fixture(scope="module")
def classifiers() -> list[Winner]:
    return train_all("dear", *PARAMS)


@pytest.fixture(scope="module")
def regressions() -> list[Winner]:
    return train_all("price", *PARAMS)


def trained(winners: Sequence[Winner]) -> list[Trained]:
    return [
        Trained(
            number,
            float(np.mean([outcome.best_value for outcome in winner.outcomes])),
            winner.config,
            5,
            winner.outcomes,
        )
        for number, winner in enumerate(winners)
    ]


def export(winners: Sequence[Winner], folder: Path) -> Exported:
    bundle = write_model(
        folder,
        trained(winners),
        dataset=winners[0].dataset,
        metric=winners[0].metric,
        study="test",
    )
    return Exported(folder, bundle)


def raw_valid(winner: Winner, fold: int) -> pd.DataFrame:
    return winner.dataset.raw_valid(fold)[0]


def test_out_of_fold_predictions_are_those_of_the_bundles(
    classifiers: list[Winner], regressions: list[Winner], tmp_path: Path
) -> None:
    for winners in (classifiers, regressions):
        folds = out_of_fold(trained(winners), winners[0].dataset)
        assert len(folds) == 3
        for number, winner in enumerate(winners):
            bundle = read_bundle(winner.export(tmp_path / "best").path)
            for place, fold in enumerate(folds):
                alone = load_members(bundle, place)
                rows, found = raw_valid(winner, place), fold.predictions[number]
                if winners is classifiers:
                    np.testing.assert_allclose(
                        found, alone.predict_proba(rows, calibrated=False), atol=1e-5
                    )
                    continue
                own = winner.dataset.folds[place]
                wanted = (alone.predict(rows) - own.target_mean) / own.target_std
                np.testing.assert_allclose(found, wanted, atol=1e-5)


def load_members(bundle: Bundle, *places: int) -> Predictor:
    return Predictor(replace(bundle, members=tuple(bundle.members[place] for place in places)))


def test_many_rows_are_thinned_out(classifiers: list[Winner]) -> None:
    candidates, dataset = trained(classifiers), classifiers[0].dataset
    whole = out_of_fold(candidates, dataset)
    thin = out_of_fold(candidates, dataset, most_numbers=whole[0].predictions.size)
    assert sum(fold.predictions.size for fold in thin) <= whole[0].predictions.size + 3 * 6
    for one, all_rows in zip(thin, whole, strict=True):
        np.testing.assert_array_equal(one.y, all_rows.y[::3])
        np.testing.assert_allclose(one.predictions, all_rows.predictions[:, ::3], atol=1e-6)


def test_chosen_ensemble_is_never_worse_than_the_best(
    classifiers: list[Winner], regressions: list[Winner], tmp_path: Path
) -> None:
    for winners in (classifiers, regressions):
        candidates, dataset = trained(winners), winners[0].dataset
        metric = metric_named(winners[0].metric)
        best = min(candidates, key=lambda c: c.value)
        assert choose(candidates, dataset, metric, 1) == (best,)
        assert choose(candidates[::-1], dataset, metric, 1) == (best,)
        chosen = choose(candidates, dataset, metric, 3)
        bundle = write_model(tmp_path / "best", chosen, dataset=dataset, metric=metric.name)
        assert bundle.scores["validation"][metric.name] < best.value + 1e-5


@pytest.mark.parametrize(("shift", "expected"), [(0.0, False), (0.9, False), (1.1, True)])
def test_clearly_better_is_more_than_a_paired_standard_error(shift: float, expected: bool) -> None:
    """The rows' losses differ by noise plus a number of its standard errors: a paired z test."""
    generator = np.random.default_rng(0)
    n = 400
    noise = 0.1 * generator.normal(size=n)
    noise -= noise.mean()
    error = noise.std() / math.sqrt(n)
    old = generator.uniform(0.3, 0.7, size=n)
    # Hard rows are hard for both: unpaired, nothing would be clear.
    new = old * np.exp(noise + shift * error)
    right = np.stack([new, old]).astype(np.float32)
    fold = FoldPredictions(np.stack([right, 1 - right], axis=-1), np.zeros(n, dtype=np.int64))
    assert first_is_clearly_better([fold], metric_named("log_loss")) == expected


def test_a_model_is_not_clearly_better_than_itself(classifiers: list[Winner]) -> None:
    one = trained(classifiers)[0]
    metric = metric_named(classifiers[0].metric)
    assert not is_clearly_better(one, one, classifiers[0].dataset, metric)


@pytest.mark.parametrize(
    ("ensemble", "n_rows", "expected"),
    [("auto", 2_500, 4), ("auto", 2_501, 0), (3, 10**6, 3), (0, 10, 0), ("auto", 40, 4)],
)
def test_rows_decide_how_many_members_auto_means(
    ensemble: int | str, n_rows: int, expected: int
) -> None:
    class Rows:
        n_validated = n_rows

    assert most_members(ensemble, cast(Dataset, Rows())) == expected


def test_an_ensemble_predicts_as_its_trials_on_average(
    classifiers: list[Winner], regressions: list[Winner], tmp_path: Path
) -> None:
    for winners in (classifiers[:2], regressions[:2]):
        features, y = winners[0].dataset.raw_test()
        together = load(export(winners, tmp_path / "both").path)
        assert len(together.bundle.members) == 6
        bundles = [read_bundle(winner.export(tmp_path / "one").path) for winner in winners]
        apart = [load_members(bundle, fold) for bundle in bundles for fold in range(3)]
        if winners[0] is classifiers[0]:
            wanted = np.mean(
                [each.predict_proba(features, calibrated=False) for each in apart], axis=0
            )
            np.testing.assert_allclose(
                together.predict_proba(features, calibrated=False), wanted, atol=1e-6
            )
            loss = sk.log_loss(y, wanted)
            evaluation = together.evaluate(features, y)
            assert evaluation["deterministic"]["log_loss"] == pytest.approx(loss, abs=1e-5)
            assert evaluation["monte_carlo"]["log_loss"] == pytest.approx(loss, abs=0.1)
        else:
            wanted = np.mean([each.predict(features) for each in apart], axis=0)
            np.testing.assert_allclose(together.predict(features), wanted, rtol=1e-6)


def test_an_ensembles_scores_are_those_of_each_folds_own_members(
    classifiers: list[Winner], tmp_path: Path
) -> None:
    exported = export(classifiers, tmp_path / "best")
    bundle, dataset = read_bundle(exported.path), classifiers[0].dataset
    assert [member.fold for member in bundle.members] == [0, 1, 2] * 3
    each = []
    for place, fold in enumerate(dataset.folds):
        own = [load_members(bundle, place + 3 * trial) for trial in range(3)]
        rows = raw_valid(classifiers[0], place)
        p = np.mean([alone.predict_proba(rows, calibrated=False) for alone in own], axis=0)
        each.append(sk.log_loss(fold.y_valid, p))
    assert exported.value == pytest.approx(np.mean(each), abs=1e-6)
    assert bundle.scores["validation"]["log_loss"] == exported.value


def test_noise_is_fitted_on_the_average_of_the_members(
    regressions: list[Winner], tmp_path: Path
) -> None:
    exported = export(regressions, tmp_path / "best")
    bundle, dataset = read_bundle(exported.path), regressions[0].dataset
    errors = []
    for place, fold in enumerate(dataset.folds):
        together = load_members(bundle, *(place + 3 * trial for trial in range(3)))
        y = fold.y_valid * fold.target_std + fold.target_mean
        errors.append(y - together.predict(raw_valid(regressions[0], place)))
    calibration = bundle.calibration
    together_errors = np.concatenate(errors)
    expected = fit_noise(0 * together_errors, together_errors)
    assert calibration["noise_point"]["dof"] == expected.to_json()["dof"]
    assert calibration["noise_point"]["scale"] == pytest.approx(expected.scale, rel=1e-3)
    assert calibration["n_rows"] == sum(len(fold.y_valid) for fold in dataset.folds)
    noise = load(exported.path).noise
    assert noise is not None
    assert noise.to_json() == calibration["noise"]


def test_record_lists_the_members(classifiers: list[Winner], tmp_path: Path) -> None:
    exported = export(classifiers[:2], tmp_path / "best")
    training = json.loads((exported.path / RECORD).read_text(encoding="utf-8"))["training"]
    assert training == {
        "folds": 3,
        "study": "test",
        "trial": 0,
        "repeat": 0,
        "seed": 5,
        "best_epoch": classifiers[0].outcomes[0].best_epoch,
        "ensemble": [
            {
                "trial": each.number,
                "repeat": 0,
                "seed": 5,
                "value": each.value,
                "best_epochs": [outcome.best_epoch for outcome in each.outcomes],
            }
            for each in trained(classifiers[:2])
        ],
    }


def test_card_lists_the_members(classifiers: list[Winner], tmp_path: Path) -> None:
    repeated = replace(trained(classifiers)[1], repeat=2)
    silent = train_all("dear", {"dropout.rate": 0.0})[0]
    together = [trained(classifiers)[0], repeated, replace(trained([silent])[0], number=4)]
    folder, dataset = tmp_path / "best", classifiers[0].dataset
    bundle = write_model(folder, together, dataset=dataset, metric="log_loss", study="test")
    exported = Exported(folder, bundle)
    card = (exported.path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "an average of 9 multi-layer perceptrons, 3 trained models of the study `test`" in card
    assert "probabilities of these trained models, each of 3 folds, are averaged" in card
    assert re.search(r"- trial 0: .*hidden units: 12-12; activation: elu", card)
    assert re.search(r"- trial 1, repeat 2: .*hidden units: 20; activation: relu", card)
    assert "- 3 of the 9 networks have no dropout" in card
    assert "predictor.predict_distribution(table)" in card
    assert "log_loss (chose the models)" in card
    assert re.search(r"- rows: \d+ training, \d+ validation in each of 3 folds, \d+ test", card)
    assert exported.notes == ()
    assert load(exported.path).has_dropout


def test_every_member_is_checked_against_its_own_training(
    classifiers: list[Winner], tmp_path: Path
) -> None:
    good, other = trained(classifiers[:2])
    outcomes = (replace(other.outcomes[0], best_value=0.123), *other.outcomes[1:])
    with pytest.raises(RuntimeError, match=r"of fold 0, but training recorded 0\.123"):
        write_model(
            tmp_path / "best",
            [good, replace(other, outcomes=outcomes)],
            dataset=classifiers[0].dataset,
            metric="log_loss",
        )
    assert not list(tmp_path.iterdir())


def test_no_members_are_refused(classifiers: list[Winner], tmp_path: Path) -> None:
    metric, dataset = metric_named("log_loss"), classifiers[0].dataset
    with pytest.raises(ValueError, match="candidates and n_members must be positive, got 0 and 3"):
        choose([], dataset, metric, 3)
    with pytest.raises(ValueError, match="at least one trained model"):
        write_model(tmp_path / "best", [], dataset=dataset, metric="log_loss")


def test_reserved_seconds_grow_with_the_possible_members() -> None:
    assert ensemble_seconds(0, 24, 0.5) == ensemble_seconds(1, 24, 0.5) == 0.0
    assert ensemble_seconds(8, 1, 0.5) == ensemble_seconds(8, 0, 0.5) == 0.0
    of_two, of_few, of_many = (ensemble_seconds(8, n, 0.5) for n in (2, 5, 24))
    assert 0.5 < of_two < of_few < of_many
    assert ensemble_seconds(4, 24, 0.5) < of_many
    assert ensemble_seconds(8, 24, 1.0) == 2 * of_many
