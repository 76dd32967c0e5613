"""`autotrain export`: the best model in a folder of its own."""

from __future__ import annotations

from pathlib import Path

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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--output", "full"), "full must be a new or an empty folder, got one with files"),
        (("--output", "full/file"), "Directory 'full/file' is a file"),
        (("--trial", "3000"), "trial must be one whose weights are kept, got 3000"),
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
    lost = max(values)
    kept = sorted(values.keys() - {lost})
    for file in (here / "studies" / "s" / "checkpoints").glob(f"trial-{lost}-*"):
        file.unlink()
    done = autotrain("export", "s", "--trial", lost, "--output", "lost")
    if read_bundle(here / "studies" / "s" / "best").training["trial"] == lost:
        assert done.code == 0
    else:
        assert done.code == 2
        assert f"best trainings: trials {', '.join(map(str, kept))}" in done.err
        assert not (here / "lost").exists()


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
