"""Texts are read alike by `search`, `predict` and `evaluate`, and the options say how."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import autotrain as package
from tests.cli.conftest import HOLDOUT, SPACE, Run

N_ROWS = 60


def numbers(seed: int = 0) -> pd.DataFrame:
    """Return plain numbers; `pay` is the target."""
    generator = np.random.default_rng(seed)
    area = generator.integers(500, 90_000, N_ROWS)
    rate = generator.normal(0, 3, N_ROWS).round(2)
    rate[0] = 0.25
    pay = area * 2 + generator.integers(0, 900, N_ROWS)
    return pd.DataFrame({"area": area, "rate": rate, "gap": rate * 2, "pay": pay})


def german(value: float) -> str:
    return f"{value:,}".translate(str.maketrans(",.", ".,"))


def formatted(table: pd.DataFrame) -> pd.DataFrame:
    """Return the same numbers as people write them; every third `gap` is missing."""
    written = pd.DataFrame(
        {
            "area": [f"{german(cell)} €" for cell in table["area"]],
            "rate": [f"{german(cell)} %" for cell in table["rate"]],
            "gap": [german(round(cell, 2)) for cell in table["gap"]],
            "pay": [german(cell) for cell in table["pay"]],
        }
    )
    written.loc[::3, "gap"] = "--"
    return written


@pytest.fixture
def study(tmp_path: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.toml").write_text(SPACE)
    formatted(numbers()).to_csv(tmp_path / "all.csv", sep=";", index=False)
    words = ("--target", "pay", "--space", "space.toml", "--trials", 1, "--finalists", 0)
    done = autotrain("search", "all.csv", *words, "--study", "s", *HOLDOUT)
    assert done.code == 0, done.err
    assert "'--' (20 cells) is read as missing" in done.err
    assert "the unit '%'" in done.err
    return tmp_path


def test_formatted_and_plain_rows_get_the_same_predictions(study: Path, autotrain: Run) -> None:
    plain, text = numbers(), formatted(numbers())
    plain.loc[::3, "gap"] = np.nan
    predictor = package.load(study / "studies/s/best")
    wanted = predictor.predict(plain)
    np.testing.assert_allclose(predictor.predict(text), wanted)
    # In a few rows nothing shows what a point is: training has shown it.
    rows = [place for place in range(N_ROWS) if text["area"][place].count(",") == 0][:2]
    few = text.iloc[rows].drop(columns=["pay", "rate"]).assign(rate="1 %")
    np.testing.assert_allclose(
        predictor.predict(few), predictor.predict(plain.iloc[rows].assign(rate=1.0))
    )
    files = {"text.csv": (text, ";"), "plain.csv": (plain, ","), "plain_german.csv": (plain, ";")}
    for name, (table, mark) in files.items():
        table.to_csv(name, sep=mark, index=False, decimal="," if "german" in name else ".")
        found = autotrain("predict", "s", name, "--json").json()["rows"]
        np.testing.assert_allclose([row["prediction"] for row in found], wanted)
    few.to_csv("few.csv", sep=";", index=False)
    found = autotrain("predict", "s", "few.csv", "--json").json()["rows"]
    np.testing.assert_allclose([row["prediction"] for row in found], predictor.predict(few))
    scores = [
        autotrain("evaluate", "s", name, "--json").json()["deterministic"]["rmse"]
        for name in ("text.csv", "plain.csv")
    ]
    assert scores[0] == pytest.approx(scores[1])
    typed = predictor.evaluate(text, text["pay"])["deterministic"]["rmse"]
    assert typed == pytest.approx(scores[0])


def test_other_unit_than_in_training_is_refused(study: Path, autotrain: Run) -> None:
    text = formatted(numbers())
    text.assign(area="5 %").to_csv("other.csv", sep=";", index=False)
    done = autotrain("predict", "s", "other.csv")
    assert done.code == 2
    assert "column 'area'" in done.err
    assert "'5 %'" in done.err


@pytest.fixture
def nameless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.toml").write_text(SPACE)
    table = numbers().assign(kind=["a", "b", "c"] * (N_ROWS // 3))
    table.to_csv(tmp_path / "rows.csv", index=False, header=False)
    return tmp_path


SEARCH = ("--space", "space.toml", "--trials", 1, "--finalists", 0, "--study", "s", *HOLDOUT)


@pytest.mark.parametrize(
    ("words", "target"),
    [
        (("--no-header", "--target", "x4"), "x4"),
        (("--no-header", "--target", "4"), "x4"),
        (("--no-header", "--target", "-2"), "x4"),
        (("--names", "area,rate,gap,pay,kind", "--target", "pay"), "pay"),
    ],
)
def test_file_without_column_names(
    words: tuple[Any, ...], target: str, nameless: Path, autotrain: Run
) -> None:
    done = autotrain("search", "rows.csv", *words, *SEARCH, "--json")
    assert done.code == 0, done.err
    assert (done.json()["target"], sum(done.json()["rows"].values())) == (target, N_ROWS)
    # The model knows that such files have no names.
    whole = autotrain("predict", "s", "rows.csv", "--json").json()["rows"]
    assert len(whole) == N_ROWS
    table = pd.read_csv("rows.csv", header=None)
    table.drop(columns=[3]).to_csv("questions.csv", index=False, header=False)
    assert autotrain("predict", "s", "questions.csv", "--json").json()["rows"] == whole
    assert autotrain("evaluate", "s", "rows.csv", "--json").json()["n_rows"] == N_ROWS
    # A file with the names needs no option either.
    predictor = package.load(nameless / "studies/s/best")
    names = [*predictor.reading.names]
    table.set_axis(names, axis=1).to_csv("named.csv", index=False)
    assert autotrain("predict", "s", "named.csv", "--json").json()["rows"] == whole
    # Other widths are refused.
    table.assign(more=1).to_csv("wide.csv", index=False, header=False)
    wide = autotrain("predict", "s", "wide.csv")
    assert wide.code == 2
    assert "6 columns" in wide.err
    assert autotrain("resume", "s", "--trials", 1).code == 0


def test_rows_without_column_names_for_a_model_with_names(nameless: Path, autotrain: Run) -> None:
    table = pd.read_csv("rows.csv", names=["area", "rate", "gap", "pay", "kind"])
    table.to_csv("named.csv", index=False)
    done = autotrain("search", "named.csv", "--target", "pay", *SEARCH)
    assert done.code == 0, done.err
    whole = autotrain("predict", "s", "named.csv", "--json").json()["rows"]
    table.drop(columns="pay").to_csv("questions.csv", index=False, header=False)
    rows = autotrain("predict", "s", "questions.csv", "--no-header", "--json").json()["rows"]
    assert rows == whole
    names = ",".join(map(str, table))
    rows = autotrain("predict", "s", "rows.csv", "--names", names, "--json").json()["rows"]
    assert rows == whole


def test_options_in_a_study_file(nameless: Path, autotrain: Run) -> None:
    lines = [f"{n},000;{n % 7};{kind}" for n, kind in zip(range(1, 61), itertools.cycle("ab"))]
    (nameless / "open.csv").write_text("\n".join(lines))
    (nameless / "s.toml").write_text(
        'data = "open.csv"\ntarget = "label"\nnames = ["amount", "n", "label"]\n'
        'thousands = ","\nspace = "space.toml"\nmissing = ["6"]\n'
    )
    done = autotrain("search", "s.toml", "--dry-run")
    assert done.code == 0, done.err
    assert "as the thousands separator" in done.err + done.out
    (nameless / "s.toml").write_text('data = "open.csv"\ntarget = "x3"\nheader = false\n')
    done = autotrain("search", "s.toml", "--dry-run")
    assert done.code == 2
    assert "'1,000' in column 'x1' may be 1000 or 1 " in done.err
    assert "--decimal" in done.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--decimal", "x"), "decimal must be one of '.', ',', got 'x'"),
        (("--decimal", ",", "--thousands", ","), "two different marks"),
        (("--names", "a,b"), "one name for each of the 5 columns, got 2"),
        (("--names", "a,a,b,c,d"), "names must be unique"),
        (("--names", "a,b,c,d,e", "--header"), "names must be omitted"),
    ],
)
def test_invalid_reading_options_are_refused(
    words: tuple[str, ...], told: str, nameless: Path, autotrain: Run
) -> None:
    done = autotrain("search", "rows.csv", "--target", "a", *words, "--dry-run")
    assert done.code == 2
    assert told in done.err
