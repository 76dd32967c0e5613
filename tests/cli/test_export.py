"""`autotrain export`: the best model in a folder of its own."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import autotrain as package
from autotrain.bundle import read_bundle
from autotrain.bundle.selection import validation_score
from autotrain.errors import StorageError
from tests.cli.conftest import HOLDOUT, Run


def test_exported_copy_works_without_the_study(there: Path, tmp_path: Path, autotrain: Run) -> None:
    target = tmp_path / "deep" / "model"
    done = autotrain("export", "shop", "--output", target)
    assert done.code == 0
    assert str(target) in done.out
    rows = pd.read_csv("shop.csv")
    theirs, ours = package.load(target), package.load("studies/shop/best")
    assert list(theirs.predict(rows)) == list(ours.predict(rows))

    facts = autotrain("export", "shop", "--output", tmp_path / "second", "--json").json()
    assert facts["study"] == "shop"
    number = facts["trial"]
    again = autotrain("export", "shop", "--trial", number, "--output", tmp_path / "third")
    assert again.code == 0


def test_exported_copy_has_the_threshold(there: Path, tmp_path: Path, autotrain: Run) -> None:
    copy, rows = tmp_path / "copy", pd.read_csv("shop.csv")
    done = autotrain(
        *("export", "shop", "--threshold", "cost=10:1", "--positive", "no", "--output", copy)
    )
    assert done.code == 0, done.err
    found = package.load(copy)
    expected = package.load("studies/shop/best").threshold(
        cost={"false_positive": 10, "false_negative": 1}, positive="no"
    )
    assert found.stored_threshold == expected
    is_no = found.predict_proba(rows)[:, 0] >= expected.value
    assert list(found.predict(rows) == "no") == list(is_no)
    assert "no is predicted from a probability of" in done.err
    asked = pd.read_csv(io.StringIO(autotrain("predict", copy, "shop.csv").out))
    assert list(asked["prediction"] == "no") == list(is_no)
    none = pd.read_csv(
        io.StringIO(autotrain("predict", copy, "shop.csv", "--threshold", "none").out)
    )
    assert list(none["prediction"]) == list(package.load("studies/shop/best").predict(rows))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--output", "full"), "full must be a new or an empty folder, got one with files"),
        (("--output", "full/file"), "Directory 'full/file' is a file"),
        (("--format", "onnx", "--threshold", "0.5"), "works with --format bundle only"),
        (("--positive", "no"), "needs --threshold"),
        (("--threshold", "precision=2"), "precision must be greater than 0 and at most 1"),
        (("--format", "onxn"), "no format 'onxn'. Did you mean 'onnx'?"),
    ],
)
def test_invalid_export_is_refused(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    autotrain: Run,
    words: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    done = autotrain("export", "shop", *words, "--directory", finished / "studies")
    assert done.code == 2
    assert message in done.err
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "file"]
    assert (tmp_path / "full" / "file").read_text() == "mine"


def test_unknown_study_is_refused(there: Path, autotrain: Run) -> None:
    done = autotrain("export", "shp")
    assert done.code == 2
    assert "Did you mean 'shop'?" in done.err


def test_onnx_graphs(there: Path, tmp_path: Path, autotrain: Run) -> None:
    target = tmp_path / "graphs"
    done = autotrain("export", "shop", "--format", "onnx", "--samples", 4, "--output", target)
    assert done.code == 0, done.err
    assert done.err == "inputs.json describes the inputs of the graphs.\n"
    assert f"as ONNX graphs to {target}" in done.out
    assert sorted(path.name for path in target.iterdir()) == [
        "inputs.json",
        "point.onnx",
        "predictor.onnx",
    ]
    silent = autotrain("export", "plain", "--format", "onnx", "--output", tmp_path / "one")
    assert silent.err.endswith("The model has no dropout, so there is only point.onnx.\n")
    assert not (tmp_path / "one" / "predictor.onnx").exists()
    again = autotrain("export", "shop", "--format", "onnx", "--output", target)
    assert again.code == 2
    assert "must be a new or empty folder" in again.err


def test_other_trials_with_weights_are_exported(here: Path, autotrain: Run) -> None:
    words = ("--target", "bought", "--space", "space.toml", "--study", "s", "--trials", "3")
    assert autotrain("search", "shop.csv", *words, "--quiet", *HOLDOUT).code == 0
    values = {
        entry["number"]: entry["value"] for entry in autotrain("show", "s", "--json").json()["top"]
    }
    assert len(values) > 1
    rows = pd.read_csv("shop.csv")
    for number, value in values.items():
        done = autotrain("export", "s", "--trial", number, "--output", f"model-{number}")
        assert done.code == 0, done.err
        model = package.load(f"model-{number}")
        assert model.bundle.training["trial"] == number
        assert validation_score(model.bundle) == pytest.approx(value, rel=1e-4)
        assert len(model.predict(rows)) == len(rows)
    unknown = autotrain("export", "s", "--trial", 3000, "--output", "unknown")
    assert unknown.code == 2
    assert "must have a result of trial 3000, got no such trial" in unknown.err
    assert not (here / "unknown").exists()
    lost = max(values)
    shutil.rmtree(here / "studies" / "s" / "checkpoints")
    done = autotrain("export", "s", "--trial", lost, "--output", "lost")
    assert done.code == 0, done.err
    expected = package.load(f"model-{lost}").predict_proba(rows)
    np.testing.assert_allclose(package.load("lost").predict_proba(rows), expected, atol=1e-4)


def test_replay_compares_a_second_training(
    finished: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished)
    found = autotrain("replay", "shop", 0, "--json").json()
    trial = autotrain("show", "shop", "--trial", 0, "--json").json()
    assert found["recorded"] == pytest.approx(trial["value"])
    assert found["value"] == pytest.approx(found["recorded"], rel=1e-4)
    assert found["equal"] is True
    assert found["largest_difference"] < 1e-3
    assert "equal up to rounding" in autotrain("replay", "shop", 0).out
    unknown = autotrain("replay", "shop", 99)
    assert unknown.code == 2
    assert "must have a result of trial 99, got no such trial" in unknown.err


def test_trial_of_an_ensemble_is_exported_alone(here: Path, autotrain: Run) -> None:
    with package.Study(
        "s",
        data="shop.csv",
        target="bought",
        space="space.toml",
        validation="holdout",
        workers=1,
        finalists=0,
        ensemble=3,
    ) as study:
        study.optimize(n_trials=3, quiet=True)
        together = read_bundle(study.best_path).training
        number = together["trial"]
        alone = read_bundle(study.export(here / "alone", number))
        assert alone.training["trial"] == number
        assert "ensemble" not in alone.training
        best = read_bundle(study.export(here / "best"))
        assert best.training == together
        with pytest.raises(StorageError, match="new or an empty folder"):
            study.export(here / "best", number)
    facts = autotrain("export", "s", "--trial", number, "--output", "third", "--json").json()
    assert facts["trial"] == number


def test_export_finds_moved_data_by_option(here: Path, autotrain: Run) -> None:
    words = ("--target", "bought", "--space", "space.toml", "--study", "s", "--trials", "3")
    assert autotrain("search", "shop.csv", *words, "--quiet", *HOLDOUT).code == 0
    best = read_bundle(here / "studies" / "s" / "best").training["trial"]
    other = next(
        entry["number"]
        for entry in autotrain("show", "s", "--json").json()["top"]
        if entry["number"] != best
    )
    (here / "shop.csv").rename(here / "moved.csv")
    assert "--data" in autotrain("export", "s", "--trial", other, "--output", "x").err
    done = autotrain("export", "s", "--trial", other, "--data", "moved.csv", "--output", "x")
    assert done.code == 0, done.err
