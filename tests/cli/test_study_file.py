"""Study files: the options of `search` as keys; every mistake at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import SPACE, Run, listing

ROOT = Path(__file__).resolve().parents[2]


def plan(autotrain: Run, *words: object) -> dict[str, object]:
    done = autotrain("search", *words, "--dry-run", "--json", "--device", "cpu")
    assert done.code == 0, done.err
    result: dict[str, object] = done.json()
    return result


def test_study_file_has_the_values_of_options(here: Path, autotrain: Run) -> None:
    (here / "plans").mkdir()
    (here / "plans" / "mine.toml").write_text(
        'data = "../shop.csv"\ntarget = "bought"\nspace = "../space.toml"\n'
        'trials = 5\ntimeout = 90\ntest = 0.1\nworkers = 1\nmetric = "f1"\nseed = 7\n'
        'validation = "holdout"\n'
    )
    found = plan(autotrain, "plans/mine.toml")
    assert found["study"] == "mine"
    assert (found["trials"], found["timeout_s"], found["metric"]) == (5, 90, "f1")
    assert (found["workers"], found["seed"]) == (1, 7)
    assert found["rows"] == {"train": 65, "validation": 16, "calibration": 0, "test": 9}


def test_options_override_the_file(here: Path, autotrain: Run) -> None:
    (here / "mine.toml").write_text(
        'data = "shop.csv"\ntarget = "bought"\nspace = "space.toml"\ntrials = 5\nstudy = "one"\n'
    )
    found = plan(autotrain, "mine.toml", "--trials", 6, "--study", "two", "--target", "city")
    assert (found["trials"], found["study"], found["target"]) == (6, "two", "city")


def test_space_may_be_a_table(here: Path, autotrain: Run) -> None:
    table = SPACE.replace("[[", "[[space.")
    table = re.sub(r"^\[(?!\[)", "[space.", table, flags=re.MULTILINE)
    (here / "mine.toml").write_text(f'data = "shop.csv"\ntarget = "bought"\n{table}')
    space = plan(autotrain, "mine.toml")["space"]
    assert isinstance(space, dict)
    assert (space["combinations"], space["continuous"]) == (3, 1)


@pytest.mark.parametrize(
    "written",
    ['pruner_options = "quantile=0.4, grace=0"', "[pruner_options]\nquantile = 0.4\ngrace = 0"],
)
def test_settings_of_the_pruner_may_be_a_table(here: Path, autotrain: Run, written: str) -> None:
    top = 'data = "shop.csv"\ntarget = "bought"\nspace = "space.toml"\n'
    (here / "mine.toml").write_text(f"{top}{written}\n")
    assert plan(autotrain, "mine.toml")["pruner_options"] == {"quantile": 0.4, "grace": 0}
    given = plan(autotrain, "mine.toml", "--pruner-options", "n_startup=8")
    assert given["pruner_options"] == {"n_startup": 8}


def test_all_mistakes_are_listed_at_once(here: Path, autotrain: Run) -> None:
    (here / "mine.toml").write_text(
        'trails = 5\ntimeout = "10 minuts"\nworkers = 0\nseed = true\nmetric = "acuracy"\n'
        "json = true\n"
    )
    before = listing(here)
    done = autotrain("search", "mine.toml")
    assert done.code == 2
    assert listing(here) == before
    assert "mine.toml: 7 mistakes" in done.err
    for line in (
        "no key 'trails'. Did you mean 'trials'?",
        "no key 'json'.",
        "timeout: must be a positive duration such as 10m",
        "workers: 0 is not in the range x>=1",
        "seed: must be a string or a number",
        "metric: no metric 'acuracy'. Did you mean 'accuracy'?",
        'data is missing. Add a line such as data = "table.csv".',
    ):
        assert f"\n  {line}" in done.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("data = ", "study file mine.toml must be TOML, got: "),
        ("dta = 'shop.csv'", "mine.toml: 1 mistake\n  no key 'dta'. Did you mean 'data'?"),
        (None, "study file mine.toml does not exist. Did you mean"),
    ],
)
def test_invalid_study_file_is_refused(
    here: Path, autotrain: Run, content: str | None, message: str
) -> None:
    if content is None:
        (here / "mein.toml").write_text("")
    else:
        (here / "mine.toml").write_text(content)
    done = autotrain("search", "mine.toml")
    assert done.code == 2
    assert message in done.err


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.toml")), ids=lambda p: p.stem)
def test_example_study_files_are_valid(here: Path, autotrain: Run, path: Path) -> None:
    found = plan(autotrain, path)
    assert found["study"] == path.stem
    assert f"studies/{path.name}" in path.read_text() or path.stem != "breast_cancer"


def test_examples_exist() -> None:
    assert len(list((ROOT / "studies").glob("*.toml"))) >= 3
