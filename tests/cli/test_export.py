"""`autotrain export`: the best model in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import autotrain as package
from tests.cli.conftest import Run


def test_the_copy_is_a_bundle_of_its_own(there: Path, tmp_path: Path, autotrain: Run) -> None:
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
        (("--output", "full"), "full: expected a new or an empty folder, however: it is there"),
        (("--output", "full/file"), "full/file: expected a new or an empty folder"),
        (("--trial", "3000"), "the best trial, however: 3000"),
        (("--format", "onxn"), "no format 'onxn'. Did you mean 'onnx'?"),
    ],
)
def test_what_cannot_be_exported(
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


def test_an_unknown_study(there: Path, autotrain: Run) -> None:
    done = autotrain("export", "shp")
    assert done.code == 2
    assert "Did you mean 'shop'?" in done.err


def test_onnx_graphs(there: Path, tmp_path: Path, autotrain: Run) -> None:
    target = tmp_path / "graphs"
    done = autotrain("export", "shop", "--format", "onnx", "--samples", 4, "--output", target)
    assert done.code == 0, done.err
    assert done.err == "inputs.json says what they read, docs/onnx.md how.\n"
    assert f", as graphs, is in {target}" in done.out
    assert sorted(path.name for path in target.iterdir()) == [
        "inputs.json",
        "point.onnx",
        "predictor.onnx",
    ]
    silent = autotrain("export", "plain", "--format", "onnx", "--output", tmp_path / "one")
    assert silent.err.endswith("The model has no dropout: there is point.onnx alone.\n")
    assert not (tmp_path / "one" / "predictor.onnx").exists()
    again = autotrain("export", "shop", "--format", "onnx", "--output", target)
    assert again.code == 2
    assert "expected a new or an empty folder" in again.err
