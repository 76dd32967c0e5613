"""Weights and quantiles on the command line: search, study files, show, evaluate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score

import autotrain as package
from tests.cli.conftest import HOLDOUT, Run

SEARCH = ("search", "weighted.csv", "--target", "bought", "--space", "space.toml", *HOLDOUT)
BOTH = ("--weights", "visits", "--class-weights", "balanced")


@pytest.fixture
def weighted(here: Path) -> pd.DataFrame:
    """Give the table with a column of weights, one of them 0."""
    frame = pd.read_csv(here / "shop.csv")
    frame["visits"] = np.random.default_rng(0).integers(0, 6, len(frame))
    frame.to_csv(here / "weighted.csv", index=False)
    return frame


def test_weighted_search_from_start_to_evaluation(
    here: Path, weighted: pd.DataFrame, autotrain: Run
) -> None:
    done = autotrain(*SEARCH, *BOTH, "--trials", 2, "--study", "w")
    assert done.code == 0, done.err
    assert "Sample weights: visits; class weights: balanced" in done.err
    shown = autotrain("show", "w").out
    assert "sample weights: visits; class weights: balanced" in shown

    done = autotrain("evaluate", "w", "weighted.csv", "--json", "--samples", 5)
    assert "scores are weighted by column 'visits'" in done.err
    found = done.json()
    assert found["weighted"] is True
    predictor = package.load(here / "studies/w/best")
    predicted = predictor.predict(weighted.drop(columns=["bought", "visits"]))
    expected = accuracy_score(weighted["bought"], predicted, sample_weight=weighted["visits"])
    assert found["deterministic"]["accuracy"] == pytest.approx(expected)

    done = autotrain("evaluate", "w", "shop.csv", "--json", "--samples", 5)
    assert "because column 'visits' is missing" in done.err
    assert done.json()["weighted"] is False
    assert autotrain("predict", "w", "shop.csv", "--quiet").code == 0
    done = autotrain("predict", "w", "weighted.csv")
    assert done.code == 0, done.err
    assert "ignored" not in done.err
    card = (here / "studies/w/best/MODEL_CARD.md").read_text(encoding="utf-8")
    assert "sample weights: column `visits`" in card
    assert "class weights in training: balanced" in card
    assert "`test_calibrated` scores `predict_proba`" in card


def test_study_file_with_weights(here: Path, weighted: pd.DataFrame, autotrain: Run) -> None:
    del weighted
    head = 'data = "weighted.csv"\ntarget = "bought"\nspace = "space.toml"\nweights = "visits"\n'
    (here / "one.toml").write_text(head + 'class_weights = "balanced"\n')
    (here / "two.toml").write_text(head + "[class-weights]\nyes = 2\nno = 0.5\n")
    plans = [
        autotrain("search", name, *HOLDOUT, "--dry-run", "--json").json()
        for name in ("one.toml", "two.toml")
    ]
    assert [plan["weights"] for plan in plans] == ["visits", "visits"]
    assert plans[0]["class_weights"] == "balanced"
    assert plans[1]["class_weights"] == {"yes": 2, "no": 0.5}
    text = autotrain("search", "two.toml", *HOLDOUT, "--dry-run").out
    assert "sample weights: visits; class weights: yes 2, no 0.5" in text
    assert plans[0]["columns"] == plans[1]["columns"] == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--weights", "visit"), "no weights column 'visit'. Did you mean 'visits'?"),
        (("--class-weights", "balance"), "Did you mean 'balanced'?"),
        (("--metric", "pinball:0.9"), "for a binary target, got 'pinball:0.9'"),
        (("--metric", "accuracy:2"), "metric accuracy must have no quantile"),
        (("--metric", "brir"), "no metric 'brir'. Did you mean 'brier'?"),
    ],
)
def test_invalid_weights_are_refused(
    here: Path, weighted: pd.DataFrame, autotrain: Run, words: tuple[str, ...], message: str
) -> None:
    del weighted
    done = autotrain(*SEARCH, *words)
    assert done.code == 2
    assert message in " ".join(done.err.split())
    assert not (here / "studies").exists()


def test_quantile_is_a_metric(here: Path, autotrain: Run) -> None:
    words = ("search", "paid.csv", "--target", "amount", "--space", "space.toml", *HOLDOUT)
    done = autotrain(*words, "--metric", "pinball:0.9", "--trials", 1, "--study", "q")
    assert done.code == 0, done.err
    assert "Test        pinball:0.9 " in done.out
    assert "metric pinball:0.9" in done.err
    assert "pinball:0.9" in autotrain("show", "q").out
    scores = autotrain("evaluate", "q", "paid.csv", "--json", "--quiet").json()["deterministic"]
    assert scores["pinball:0.9"] != scores["pinball"] == pytest.approx(scores["mae"] / 2)
    refused = autotrain(*words, "--metric", "pinball:90")
    assert refused.code == 2
    assert "greater than 0 and less than 1, got pinball:90" in " ".join(refused.err.split())
