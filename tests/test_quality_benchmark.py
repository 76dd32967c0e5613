"""benchmarks/quality.py: splits, scores, and the report of results."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, log_loss, r2_score

from benchmarks import quality
from benchmarks.rivals.common import typed

LABELS = ("no", "perhaps", "yes")


def row(name: str, method: str, loss: float, **changes: Any) -> dict[str, Any]:
    timed = quality.METHODS[method].timed
    return {
        "set": name,
        "method": method,
        "seed": 0,
        "timeout": 60.0 if timed else None,
        "digest": "d",
        "version": "0",
        "loss": loss,
        "wall_s": 61.0,
        "others": 0.0,
        **({"wall_share": 61 / 60, "first_bundle_s": 3.0} if timed else {}),
    } | changes


def test_scores_of_labels_equal_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    truth = generator.choice(LABELS, 50)
    proba = generator.dirichlet(np.ones(3), 50)
    found = quality.scores(truth, proba, LABELS)
    assert found["loss"] == pytest.approx(log_loss(truth, proba, labels=LABELS))
    assert found["accuracy"] == accuracy_score(truth, np.asarray(LABELS)[proba.argmax(1)])


def test_confident_mistake_costs_the_clipped_loss() -> None:
    found = quality.scores(np.array(["no"]), np.array([[0.0, 1.0]]), ("no", "yes"))
    assert found["loss"] == pytest.approx(-np.log(1e-7), rel=1e-6)


def test_nrmse_is_1_for_the_mean_and_follows_r2() -> None:
    truth = np.random.default_rng(1).normal(5, 3, 40)
    assert quality.scores(truth, np.full(40, truth.mean()), ())["loss"] == pytest.approx(1)
    guess = truth + 1
    expected = np.sqrt(1 - r2_score(truth, guess))
    assert quality.scores(truth, guess, ())["loss"] == pytest.approx(expected)


@pytest.mark.parametrize("prediction", [np.zeros(4), np.full((3, 2), np.nan)])
def test_invalid_predictions_are_refused(prediction: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        quality.scores(np.array(["no", "no", "yes"]), prediction, ("no", "yes"))


def test_split_keeps_cells_and_drops_rare_labels(tmp_path: Path) -> None:
    labels = ["a"] * 50 + ["b"] * 50 + ["rare"] * 3
    frame = pd.DataFrame({"x": [f"{i:03d}" for i in range(103)], "label": labels})
    frame.to_csv(tmp_path / "iris.csv", index=False)
    split = quality.make_split(tmp_path, "iris", 0, tmp_path / "splits")
    train, test = quality.read_texts(split.train), quality.read_texts(split.test)
    assert split.classes == ("a", "b")
    assert sorted([*train["x"], *test["x"]]) == [f"{i:03d}" for i in range(100)]
    assert list(split.truth()).count("a") == 10 == len(split.truth()) - 10
    assert list(quality.read_texts(split.test_rows).columns) == ["x"]
    again = quality.make_split(tmp_path, "iris", 0, tmp_path / "again")
    other = quality.make_split(tmp_path, "iris", 1, tmp_path / "other")
    assert split.digest() == again.digest() != other.digest()


def test_rivals_type_columns_by_the_training_rows() -> None:
    train = pd.DataFrame({"n": ["1", "", "2.5"], "doors": ["2", "5more", ""]})
    test = pd.DataFrame({"n": ["x", "3"], "doors": ["2", "7"]})
    rows, others = typed(train, test)
    np.testing.assert_array_equal(rows["n"], [1, np.nan, 2.5])
    np.testing.assert_array_equal(others["n"], [np.nan, 3])
    assert list(rows["doors"]) == ["2", "5more", ""]
    assert list(others["doors"]) == ["2", ""]
    assert rows.dtypes.equals(others.dtypes)


def test_later_result_replaces_an_earlier_one_but_a_failure_does_not() -> None:
    first, second = row("iris", "optuna", 0.3), row("iris", "optuna", 0.2)
    failed = {**row("iris", "optuna", 0.0), "error": "no"}
    assert [r["loss"] for r in quality.latest([first, second, failed]).values()] == [0.2]
    other = row("iris", "realmlp", 0.1, digest="another split")
    assert list(quality.latest([second, other]).values()) == [other]


def test_search_is_scored_by_its_monte_carlo_means() -> None:
    assert quality.monte_carlo(row("iris", "autotrain", 0.3, monte_carlo_loss=0.4))["loss"] == 0.4
    assert quality.monte_carlo(row("iris", "optuna", 0.3)) == row("iris", "optuna", 0.3)
    rows = [row("iris", "autotrain", 0.3, monte_carlo_loss=0.1), row("iris", "optuna", 0.2)]
    before, after = quality.report(rows, 60.0).split("not calibrated")
    assert "autotrain beats optuna on 0% of 1 sets" in before
    assert "autotrain beats optuna on 100% of 1 sets" in after.split("with dropout off")[0]


def test_search_with_dropout_off_is_scored_by_its_own_score() -> None:
    own = {"log_loss": 0.2}
    assert quality.dropout_off(row("iris", "autotrain", 0.3, own_test=own))["loss"] == 0.2
    own = {"rmse": 8.0, "r2": 0.75}
    assert quality.dropout_off(row("mpg", "autotrain", 0.6, own_test=own))["loss"] == 0.5
    assert quality.dropout_off(row("iris", "optuna", 0.3)) == row("iris", "optuna", 0.3)
    rows = [row("iris", "autotrain", 0.3, own_test={"log_loss": 0.1}), row("iris", "optuna", 0.2)]
    text = quality.report(rows, 60.0)
    with_masks, without = text.split("with dropout off")
    assert "| iris | 0.3000 | **0.2000** |" in with_masks
    assert "| iris | **0.1000** | 0.2000 |" in without
    assert "autotrain beats optuna on 100% of 1 sets" in without


def test_wins_ranks_and_gaps() -> None:
    losses = {
        "iris": {"autotrain": 0.1, "optuna": 0.2, "hist-gradient-boosting": 0.2},
        "mpg": {"autotrain": 0.3, "optuna": 0.3, "hist-gradient-boosting": 0.2},
        "wine": {"autotrain": 0.4, "optuna": 0.1},
    }
    rows = [row(name, method, x) for name, line in losses.items() for method, x in line.items()]
    table = quality.tabulate(rows, 60.0)
    assert quality.wins(table, "autotrain", "optuna") == (0.5, 3)
    assert quality.wins(table, "autotrain", "hist-gradient-boosting") == (0.5, 2)
    ranks, n = quality.mean_ranks(table)
    assert n == 2
    assert ranks == {"autotrain": 1.75, "optuna": 2.5, "hist-gradient-boosting": 1.75}
    assert quality.gaps(table, "autotrain") == pytest.approx({"iris": -0.5, "mpg": 0.5})


def test_only_seeds_that_all_methods_have_are_averaged() -> None:
    rows = [row("iris", "autotrain", x, seed=seed) for seed, x in enumerate((0.1, 0.3, 9.0))]
    rows += [row("iris", "optuna", 0.2, seed=seed) for seed in range(2)]
    rows += [row("iris", "optuna", 7.0, timeout=10.0)]
    table = quality.tabulate(rows, 60.0)
    assert table.losses == {"iris": pytest.approx({"autotrain": 0.2, "optuna": 0.2})}


def test_report_has_the_bars_and_late_methods() -> None:
    rows = [
        row("iris", "autotrain", 0.1),
        row("iris", "autotrain-ensemble", 0.2, wall_share=1.3, first_bundle_s=12.0),
        row("iris", "optuna", 0.3, others=0.4),
        row("iris", "hist-gradient-boosting", 0.05),
        {**row("mpg", "optuna", 0.0), "error": "RuntimeError: out of luck"},
    ]
    text = quality.report(rows, 60.0)
    assert "| iris | 0.1000 | 0.2000 | 0.3000 | **0.0500** |" in text
    assert "autotrain beats optuna on 100% of 1 sets (bar: 80%: holds)" in text
    assert "autotrain-ensemble beats autotrain on 0% of 1 sets (bar: 70%: missed)" in text
    assert "mean +100.0% (bar: mean ≤ 0 %: missed)" in text
    assert "autotrain-ensemble: 0 of 1 timeouts kept within 5 % (longest 130% of" in text
    assert "first bundle within 10 s in 0 of 1 (latest 12.0 s)" in text
    assert "hist-gradient-boosting took longer than 60 s on iris" in text
    assert "optuna: other processes had more than 5% of the cores in 1 of 1 runs" in text
    assert "failed: optuna on mpg, seed 0: RuntimeError: out of luck" in text
    # Losses in three ways, and seconds.
    assert quality.report(rows, 5.0).count("| iris |") == 4


def test_results_of_one_search_are_kept_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.DataFrame({"x": range(40), "label": ["a", "b"] * 20})
    frame.to_csv(tmp_path / "iris.csv", index=False)
    split = quality.make_split(tmp_path, "iris", 0, tmp_path / "splits")
    searches: list[str] = []

    def search(job: quality.Job) -> dict[str, quality.Answer]:
        searches.append(job.split.name)
        sure, half = np.tile([1.0, 0.0], (8, 1)), np.full((8, 2), 0.5)
        return {"autotrain-ensemble": (half, {"wall_s": 1.0}), "autotrain": (sure, {"wall_s": 1.0})}

    both = ("autotrain", "autotrain-ensemble")
    for name in both:
        monkeypatch.setitem(quality.METHODS, name, quality.Method(search, timed=True))
    results = tmp_path / "results.jsonl"
    arguments = argparse.Namespace(timeout=60.0, again=[], folder=tmp_path, export_again=False)
    made = quality.complete("autotrain", split, arguments, results, tmp_path)
    assert made == set(both)
    assert quality.complete("autotrain-ensemble", split, arguments, results, tmp_path) == set()
    losses = {row["method"]: row["loss"] for row in quality.read_results(results)}
    assert losses["autotrain-ensemble"] == pytest.approx(np.log(2))
    assert losses["autotrain"] > 5
    arguments.again = ["autotrain"]
    assert quality.complete("autotrain", split, arguments, results, tmp_path) == set(both)
    assert searches == ["iris", "iris"]
    assert len(quality.read_results(results)) == 4


def test_export_again_needs_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["quality.py", "--export-again", "--folder", str(tmp_path), "--sets", "iris"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit, match=r"needs a search of iris, seed 0, in .*searches"):
        quality.main()
    assert not (tmp_path / "results.jsonl").exists()


def test_report_has_versions_of_search_and_export() -> None:
    rows = [row("iris", "autotrain", 0.1, version="2", searched_by="1")]
    assert "autotrain 2 (searched by 1)" in quality.report(rows, 60.0)
    assert "searched by" not in quality.report([row("iris", "autotrain", 0.1)], 60.0)
