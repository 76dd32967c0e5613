"""Ensembles: chosen by bagged selection, one bundle, predicting as their members on average."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from autotrain.bundle import RECORD, TENSORS, Bundle, read_bundle
from autotrain.ensembling import FoldPredictions, choose, greedy, out_of_fold, select
from autotrain.export import Exported, export_ensemble
from autotrain.predictor import Predictor, load
from autotrain.study.trained import Trained
from autotrain.tasks import metric_named
from tests.winners import Winner, train

Score = Callable[[np.ndarray, np.ndarray, Any], float]

# scikit-learn is the witness: score of (y, prediction, weights), lower is better.
SCORES: dict[str, Score] = {
    "log_loss": lambda y, p, w: sk.log_loss(y, p, sample_weight=w),
    "accuracy": lambda y, p, w: -sk.accuracy_score(y, p.argmax(1), sample_weight=w),
    "roc_auc": lambda y, p, w: -sk.roc_auc_score(y, p, multi_class="ovr", sample_weight=w),
    "rmse": lambda y, p, w: sk.root_mean_squared_error(y, p, sample_weight=w),
    "r2": lambda y, p, w: -sk.r2_score(y, p, sample_weight=w),
}


def problem(metric: str, seed: int, n_candidates: int = 7) -> list[FoldPredictions]:
    """Random predictions of three folds, better than nothing."""
    generator = np.random.default_rng(seed)
    folds = []
    for unit, n in enumerate((30, 41, 35), start=1):
        weights = generator.uniform(0.1, 2, n) if seed % 2 else None
        if metric in ("rmse", "r2"):
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
        unit = fold.target_std if metric == "rmse" else 1.0
        each.append(unit * SCORES[metric](fold.y, average, fold.weights))
    return float(np.mean(each))


@pytest.mark.parametrize("metric", SCORES)
@pytest.mark.parametrize("seed", range(4))
def test_every_step_of_greedy_adds_the_best_candidate(metric: str, seed: int) -> None:
    folds = problem(metric, seed)
    chosen = greedy(folds, metric_named(metric), 7)
    assert len(set(chosen)) == len(chosen)
    best = np.inf
    for n in range(1, len(chosen) + 1):
        others = [c for c in range(7) if c not in chosen[: n - 1]]
        steps = [score(folds, [*chosen[: n - 1], other], metric) for other in others]
        assert score(folds, chosen[:n], metric) == pytest.approx(min(steps), rel=1e-6)
        assert min(steps) < best + 1e-6
        best = min(steps)
    rest = [c for c in range(7) if c not in chosen]
    assert all(score(folds, [*chosen, other], metric) > best - 1e-6 for other in rest)


def test_no_more_members_than_wanted_and_the_first_are_the_same() -> None:
    folds = problem("log_loss", 0)
    everything = greedy(folds, metric_named("log_loss"), 7)
    assert len(everything) > 3
    for n in (1, 2, 3):
        assert greedy(folds, metric_named("log_loss"), n) == everything[:n]


def test_what_does_not_help_stays_out() -> None:
    y = np.array([0, 1, 0, 1])
    good = np.where(np.eye(2)[y] == 1, 0.9, 0.1)
    folds = [FoldPredictions(np.stack([1 - good, good, good]).astype(np.float32), y)]
    for name in ("log_loss", "accuracy"):
        assert greedy(folds, metric_named(name), 3) == (1,)


@pytest.mark.parametrize("rule", [greedy, select])
def test_a_score_that_is_not_defined_is_never_the_best(rule: Callable[..., Any]) -> None:
    y = np.array([0.0, 1.0], dtype=np.float32)
    folds = [FoldPredictions(np.array([[np.nan, 1], [0.5, 0.5]], dtype=np.float32), y)]
    assert rule(folds, metric_named("rmse"), 2) == (1,)
    unknown = [FoldPredictions(np.full((3, 2), np.nan, dtype=np.float32), y)]
    assert rule(unknown, metric_named("rmse"), 2) == (0,)


def test_only_those_asked_for_are_chosen() -> None:
    folds = problem("log_loss", 2)
    few = [FoldPredictions(f.predictions[[1, 4, 5]], f.y, f.weights) for f in folds]
    wanted = [(1, 4, 5)[place] for place in greedy(few, metric_named("log_loss"), 3)]
    assert list(greedy(folds, metric_named("log_loss"), 3, among=(5, 1, 4))) == wanted


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    folds = problem("roc_auc", 1)
    whole = select(folds, metric_named("roc_auc"), 5)
    monkeypatch.setattr("autotrain.ensembling.BLOCK_NUMBERS", 250)
    assert select(folds, metric_named("roc_auc"), 5) == whole


def of_fresh_rows(rule: Callable[..., tuple[int, ...]], seed: int) -> tuple[int, float]:
    """Return how many of 24 models a rule chooses by 40 rows, and their error on fresh rows.

    What nobody can know is as large as what each model adds of its own; all are equally good, so
    that the more of them are averaged the better.
    """
    generator = np.random.default_rng(seed)
    n = 2_040
    y = generator.normal(size=n).astype(np.float32)
    p = y + generator.normal(size=n) + generator.normal(size=(24, n))
    seen, fresh = slice(40), slice(40, None)
    p = p[np.argsort(((p - y)[:, seen] ** 2).mean(1))].astype(np.float32)
    chosen = rule([FoldPredictions(p[:, seen], y[seen])], metric_named("rmse"), 8)
    return len(chosen), float(np.mean((p[list(chosen), fresh].mean(0) - y[fresh]) ** 2))


def test_bags_are_not_taken_in_by_what_cancels_on_a_few_rows() -> None:
    found = {
        rule: np.mean([of_fresh_rows(rule, seed) for seed in range(20)], axis=0)
        for rule in (greedy, select)
    }
    assert found[select][0] > found[greedy][0]
    # Eight together: 1 + 1 / 8.
    assert found[select][1] == pytest.approx(1.125, rel=0.03)
    assert found[select][1] < 0.97 * found[greedy][1]


def test_bags_leave_out_what_does_not_help() -> None:
    y = np.array([0, 1, 0, 1])
    good = np.where(np.eye(2)[y] == 1, 0.9, 0.1)
    folds = [FoldPredictions(np.stack([good, good, 1 - good]).astype(np.float32), y)]
    for name in ("log_loss", "accuracy"):
        assert select(folds, metric_named(name), 3) == (0,)


def test_where_there_are_many_rows_greedy_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    folds = problem("log_loss", 0)
    metric, n_rows = metric_named("log_loss"), 30 + 41 + 35
    monkeypatch.setattr("autotrain.ensembling.FEW_ROWS", n_rows)
    bagged = select(folds, metric, 3)
    monkeypatch.setattr("autotrain.ensembling.FEW_ROWS", n_rows - 1)
    assert select(folds, metric, 3) == tuple(sorted(greedy(folds, metric, 3))) != bagged


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
    return export_ensemble(
        folder,
        trained(winners),
        dataset=winners[0].dataset,
        metric=winners[0].metric,
        training={"study": "test", "trial": 3},
    )


def raw_valid(winner: Winner, fold: int) -> pd.DataFrame:
    dataset = winner.dataset
    return dataset.apart(dataset.raw.iloc[dataset.folds[fold].valid_rows])[0]


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
                    np.testing.assert_allclose(found, alone.predict_proba(rows), atol=1e-5)
                    continue
                own = winner.dataset.folds[place]
                wanted = (alone.predict(rows) - own.target_mean) / own.target_std
                np.testing.assert_allclose(found, wanted, atol=1e-5)


def load_members(bundle: Bundle, *places: int) -> Predictor:
    return Predictor(replace(bundle, members=tuple(bundle.members[place] for place in places)))


def test_many_rows_are_thinned_out(
    classifiers: list[Winner], monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates, dataset = trained(classifiers), classifiers[0].dataset
    whole = out_of_fold(candidates, dataset)
    monkeypatch.setattr("autotrain.ensembling.MOST_NUMBERS", whole[0].predictions.size)
    thin = out_of_fold(candidates, dataset)
    assert sum(fold.predictions.size for fold in thin) <= whole[0].predictions.size + 3 * 6
    for one, all_rows in zip(thin, whole, strict=True):
        np.testing.assert_array_equal(one.y, all_rows.y[::3])
        np.testing.assert_allclose(one.predictions, all_rows.predictions[:, ::3], atol=1e-6)


def test_what_is_chosen_is_never_worse_than_the_best(
    classifiers: list[Winner], regressions: list[Winner], tmp_path: Path
) -> None:
    for winners in (classifiers, regressions):
        candidates, dataset = trained(winners), winners[0].dataset
        metric = metric_named(winners[0].metric)
        best = min(candidates, key=lambda c: c.value)
        assert choose(candidates, dataset, metric, 1) == (best,)
        assert choose(candidates[::-1], dataset, metric, 1) == (best,)
        chosen = choose(candidates, dataset, metric, 3)
        ensemble = export_ensemble(
            tmp_path / "best", chosen, dataset=dataset, metric=metric.name, training={}
        )
        assert ensemble.value < best.value + 1e-5


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
            wanted = np.mean([each.predict_proba(features) for each in apart], axis=0)
            np.testing.assert_allclose(together.predict_proba(features), wanted, atol=1e-6)
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
        p = np.mean([alone.predict_proba(rows) for alone in own], axis=0)
        each.append(sk.log_loss(fold.y_valid, p))
    assert exported.value == pytest.approx(np.mean(each), abs=1e-6)
    assert bundle.scores["validation"]["log_loss"] == exported.value


def test_the_noise_is_fitted_on_what_the_members_say_together(
    regressions: list[Winner], tmp_path: Path
) -> None:
    exported = export(regressions, tmp_path / "best")
    bundle, dataset = read_bundle(exported.path), regressions[0].dataset
    squared = []
    for place, fold in enumerate(dataset.folds):
        together = load_members(bundle, *(place + 3 * trial for trial in range(3)))
        y = fold.y_valid * fold.target_std + fold.target_mean
        squared.append((together.predict(raw_valid(regressions[0], place)) - y) ** 2)
    calibration = bundle.calibration
    assert calibration["tau_point"] == pytest.approx(1 / np.concatenate(squared).mean(), rel=1e-3)
    assert calibration["n_rows"] == sum(len(fold.y_valid) for fold in dataset.folds)
    assert load(exported.path).tau == calibration["tau"] > 0


def test_the_record_says_who_is_in_it(classifiers: list[Winner], tmp_path: Path) -> None:
    exported = export(classifiers[:2], tmp_path / "best")
    training = json.loads((exported.path / RECORD).read_text(encoding="utf-8"))["training"]
    assert training == {
        "folds": 3,
        "study": "test",
        "trial": 3,
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


def test_the_card_says_who_is_in_it(classifiers: list[Winner], tmp_path: Path) -> None:
    repeated = replace(trained(classifiers)[1], repeat=2)
    silent = train_all("dear", {"dropout.rate": 0.0})[0]
    together = [trained(classifiers)[0], repeated, replace(trained([silent])[0], number=4)]
    exported = export_ensemble(
        tmp_path / "best",
        together,
        dataset=classifiers[0].dataset,
        metric="log_loss",
        training={"study": "test"},
    )
    card = (exported.path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "9 multi-layer perceptrons together, 3 trained models of the study `test`" in card
    assert "probabilities of these trained models, each of 3 folds, are averaged" in card
    assert "- trial 0: hidden units: 12-12; activation: elu" in card
    assert "- trial 1, repeat 2: hidden units: 20; activation: relu" in card
    assert "- 3 of the 9 have no dropout" in card
    assert "predictor.predict_distribution(table)" in card
    assert "log_loss (chose the models)" in card
    assert exported.notes == ()
    assert load(exported.path).has_dropout


def test_an_ensemble_of_one_is_the_winner(classifiers: list[Winner], tmp_path: Path) -> None:
    winner = classifiers[0].export(tmp_path / "winner").path
    alone = export(classifiers[:1], tmp_path / "alone").path
    assert (alone / TENSORS).read_bytes() == (winner / TENSORS).read_bytes()
    records = [read_bundle(folder).to_json() for folder in (winner, alone)]
    assert [record.pop("created") != "" for record in records] == [True, True]
    assert records[0] == records[1]


def test_every_member_is_checked_against_its_own_training(
    classifiers: list[Winner], tmp_path: Path
) -> None:
    good, other = trained(classifiers[:2])
    outcomes = (replace(other.outcomes[0], best_value=0.123), *other.outcomes[1:])
    with pytest.raises(RuntimeError, match=r"of fold 0, however: training recorded 0\.123"):
        export_ensemble(
            tmp_path / "best",
            [good, replace(other, outcomes=outcomes)],
            dataset=classifiers[0].dataset,
            metric="log_loss",
        )
    assert not list(tmp_path.iterdir())


def test_no_members_are_refused(classifiers: list[Winner], tmp_path: Path) -> None:
    metric, dataset = metric_named("log_loss"), classifiers[0].dataset
    with pytest.raises(ValueError, match="expected candidates and members: 0, 3"):
        choose([], dataset, metric, 3)
    with pytest.raises(ValueError, match="at least one trained model"):
        export_ensemble(tmp_path / "best", [], dataset=dataset, metric="log_loss")
