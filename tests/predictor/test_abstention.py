"""Answers with a controlled error rate: the guarantee in simulated draws, and in a bundle."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from autotrain.errors import AutotrainError, BundleError, DataError
from autotrain.predictor import Predictor, load
from autotrain.predictor.abstention import binomial_cdf, control, least_rows, numbers_of_rows
from tests.winners import random_bundle, train

N_DRAWS = 400
MOST_VIOLATIONS = 0.1 + 4 * math.sqrt(0.1 * 0.9 / N_DRAWS)
"""One draw in ten may violate the risk; four standard errors of the simulation."""


def error_rates(doubts: np.ndarray, kind: str) -> np.ndarray:
    """Return the planted probability that a row with a doubt is wrong."""
    return {
        "calibrated": doubts,
        "overconfident": np.minimum(3 * doubts, 1.0),
        # The hardest case: every number of answers has about the largest error rate.
        "nearly too high": np.full_like(doubts, 0.0501),
        "some always wrong": np.maximum(doubts, 0.03),
    }[kind]


@pytest.mark.parametrize("n", [150, 1000])
@pytest.mark.parametrize(
    "kind", ["calibrated", "overconfident", "nearly too high", "some always wrong"]
)
def test_error_rate_is_controlled(kind: str, n: int) -> None:
    generator = np.random.default_rng(0)
    everyone = np.sort(0.5 * generator.beta(0.7, 2.0, 200_000))
    wrong = error_rates(everyone, kind)
    risks = wrong.cumsum() / np.arange(1, len(wrong) + 1)
    n_violations, shares = 0, []
    for _ in range(N_DRAWS):
        doubts = 0.5 * generator.beta(0.7, 2.0, n)
        found = control(
            doubts, generator.uniform(size=n) < error_rates(doubts, kind), 0.05, confidence=0.9
        )
        n_answered = 0
        if found.limit is not None:
            n_answered = int(np.searchsorted(everyone, found.limit, side="right"))
        shares.append(n_answered / len(everyone))
        n_violations += bool(n_answered and risks[n_answered - 1] > 0.05)
    assert n_violations / N_DRAWS <= MOST_VIOLATIONS
    if kind == "calibrated" and n == 1000:
        # It is not controlled by answering nothing: at most 53 % could be answered.
        possible = float((risks <= 0.05).mean())
        assert np.mean(shares) > 0.6 * possible


@pytest.mark.parametrize("p", [0.01, 0.2, 0.9])
@pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 40), (3, 40), (40, 40), (200, 9000)])
def test_binomial_equals_scipys(k: int, n: int, p: float) -> None:
    assert binomial_cdf(k, n, p) == pytest.approx(stats.binom.cdf(k, n, p), rel=1e-9, abs=1e-300)


def test_passing_is_an_upper_clopper_pearson_bound() -> None:
    """The limit passes exactly where the 95 % upper bound of its error rate is at most the risk."""
    n = least_rows(0.1, 0.9)
    assert 0.05 ** (1 / n) >= 0.9 > 0.05 ** (1 / (n - 1))
    for n_wrong in range(6):
        found = control(np.linspace(0, 0.4, 60), np.arange(60) < n_wrong, 0.1, confidence=0.9)
        high = stats.beta.ppf(0.95, n_wrong + 1, 60 - n_wrong)
        assert (found.n_answered == 60) == (high <= 0.1)


def test_few_rows_answer_nothing() -> None:
    n = least_rows(0.05, 0.9)
    right = np.zeros(n, dtype=bool)
    assert control(np.zeros(n), right, 0.05, 0.9).share_answered == 1
    few = control(np.zeros(n - 1), right[1:], 0.05, 0.9)
    assert (few.limit, few.n_answered, few.n_wrong) == (None, 0, 0)
    assert few.is_unsure(np.array([0.0, 0.5])).all()
    assert numbers_of_rows(n - 1, 0.05, 0.9) == []


def test_rows_of_equal_doubt_are_answered_together() -> None:
    doubts = np.repeat([0.0, 0.2], 100)
    found = control(doubts, doubts > 0.1, 0.05, 0.9)
    assert (found.limit, found.n_answered, found.n_wrong) == (0.0, 100, 0)
    assert found.is_unsure(doubts).tolist() == (doubts > 0).tolist()


@pytest.mark.parametrize("source", ["sklearn:iris", "sklearn:breast_cancer"])
def test_bundle_contains_the_answers_of_out_of_fold_predictions(
    source: str, tmp_path: Path
) -> None:
    winner = train(source, {"training.epochs": 3}, validation="3-fold", test=0.0)
    predictor = load(winner.export(tmp_path / "best").path)
    doubts, wrong = [], []
    for fold, split in enumerate(winner.dataset.splits):
        own = tuple(member for member in predictor.bundle.members if member.fold == fold)
        one = Predictor(replace(predictor.bundle, members=own))
        features, labels = winner.dataset.apart(winner.dataset.raw.iloc[split.valid])
        doubts.append(1 - one.predict_proba(features, calibrated=False).max(axis=1))
        wrong.append(one.predict(features) != np.asarray(labels))
    expected = control(np.concatenate(doubts), np.concatenate(wrong), 0.3, 0.9)
    found = predictor.abstention(0.3)
    assert found.n_answered == expected.n_answered > 0
    assert found.n_wrong == expected.n_wrong
    assert found.limit == pytest.approx(expected.limit, rel=1e-4)
    features, _ = winner.dataset.apart(winner.dataset.raw)
    unsure = predictor.is_unsure(features, found)
    proba = predictor.predict_proba(features, calibrated=False)
    assert unsure.tolist() == (1 - proba.max(axis=1) > found.limit).tolist()


def test_own_rows_and_thresholds_count() -> None:
    bundle = random_bundle(task="binary", classes=("no", "yes"))
    rows = np.random.default_rng(0).normal(size=(400, 5))
    plain = Predictor(bundle)
    p = plain.predict_proba(rows)[:, 1]
    decided = plain.with_threshold(0.3)
    y = np.random.default_rng(1).uniform(size=400) < p
    labels = np.where(y, "yes", "no")
    for predictor, is_yes in ((plain, p > 0.5), (decided, p >= 0.3)):
        found = predictor.abstention(0.2, rows, labels)
        expected = control(np.where(is_yes, 1 - p, p), is_yes != y, 0.2, 0.9)
        assert found.n_wrong == expected.n_wrong
        assert found.limit == pytest.approx(expected.limit)


@pytest.mark.parametrize(
    ("task", "arguments", "message"),
    [
        ("regression", {"max_risk": 0.1}, "max_risk must be left out for a regression"),
        *(
            ("multiclass", {"max_risk": each}, "max_risk must be greater than 0 and less than 1")
            for each in (0, 1, "0.1", float("nan"))
        ),
        ("multiclass", {"max_risk": 0.1, "confidence": 1}, "confidence must be greater than 0"),
    ],
)
def test_wrong_arguments_raise(task: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(AutotrainError, match=message):
        Predictor(random_bundle(task=task)).abstention(**arguments)


@pytest.mark.parametrize("classes", [("a", "b"), ("a", "b", "c")])
def test_bundle_without_answers_needs_rows(classes: tuple[str, ...]) -> None:
    task = "binary" if len(classes) == 2 else "multiclass"
    predictor = Predictor(random_bundle(task=task, classes=classes))
    with pytest.raises(BundleError, match=r"[Pp]ass X and y"):
        predictor.abstention(0.1)
    with pytest.raises(DataError, match="X and y must be given together"):
        predictor.abstention(0.1, np.zeros((3, 5)))
    with pytest.raises(DataError, match="got 2 targets for 3 rows"):
        predictor.abstention(0.1, np.zeros((3, 5)), ["a", "b"])
