"""`autotrain spaces`: list, show, check."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from autotrain.space.search_space import SearchSpace
from autotrain.space.shipped import shipped_spaces
from tests.cli.conftest import Run


def test_list_has_every_shipped_space(here: Path, autotrain: Run) -> None:
    done = autotrain("spaces", "list")
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == list(shipped_spaces())
    found = autotrain("spaces", "list", "--json").json()["spaces"]
    assert [space["name"] for space in found] == list(shipped_spaces())
    assert all(space["summary"] for space in found)


def test_show_draws_the_tree(here: Path, autotrain: Run) -> None:
    done = autotrain("spaces", "show", "space.toml")
    assert done.code == 0
    assert done.out.startswith("space.toml: 3 combinations × 1 continuous parameter")
    assert "├── activation relu | elu\n" in done.out
    assert "└── rate = 0.2\n" in done.out
    assert autotrain("spaces", "show", "quick").out.startswith("quick: ")
    described = autotrain("spaces", "show", "space.toml", "--json").json()["space"]
    assert SearchSpace(described) == SearchSpace.from_toml("space.toml")


def test_check_prints_ok_or_every_mistake(here: Path, autotrain: Run) -> None:
    done = autotrain("spaces", "check", "space.toml")
    assert (done.code, done.out[:14]) == (0, "space.toml: ok")
    assert autotrain("spaces", "check", "space.toml", "--json").json()["combinations"] == 3

    (here / "bad.toml").write_text(
        '[optimizer]\nchoices = ["adan"]\nlearning_rate = { low = 0, high = 1, log = true }\n'
        '[activation]\nchoises = ["relu"]\n'
    )
    bad = autotrain("spaces", "check", "bad.toml")
    assert bad.code == 2
    assert bad.out == ""
    assert "bad.toml: 3 mistakes" in bad.err
    assert "no optimizer 'adan'. Did you mean 'adam'?" in bad.err
    assert "choises" in bad.err
    assert "[optimizer] learning_rate.low must be a number greater than 0, got 0" in bad.err

    assert autotrain("spaces", "check", "quikc").code == 2
    assert autotrain("spaces", "show", "nothing.toml").code == 2


FOLLOWING = """
[activation]
choices = ["relu", "elu"]
[[when]]
rows_below = 100
task = "binary"
activation = "elu"
[[when]]
rows_above = 100
activation = "relu"
"""


def test_show_resolves_the_space_for_a_table(here: Path, autotrain: Run) -> None:
    (here / "following.toml").write_text(FOLLOWING)
    words = ("spaces", "show", "following.toml", "--data", "shop.csv")
    done = autotrain(*words, "--target", "bought")
    assert done.code == 0
    why, title, *tree = done.out.splitlines()
    assert why == ("For shop.csv: 57 training rows, 5 inputs, binary; when rows ≤ 100, binary")
    assert title.startswith("following.toml: 1 combinations")
    assert "├── activation = elu" in tree
    assert "│   └── epochs = 200" in tree
    assert not any("when" in line for line in tree)

    found = autotrain(*words, "--target", "bought", "--json").json()
    space = SearchSpace.from_toml("following.toml").resolve(57, 5, "binary")
    assert SearchSpace(found["space"]) == space
    facts = {name: found[name] for name in ("train_rows", "inputs", "task", "pictures", "when")}
    assert facts == {
        "train_rows": 57,
        "inputs": 5,
        "task": "binary",
        "pictures": False,
        "when": ["rows ≤ 100, binary"],
    }
    # With numbers to predict no block holds.
    plain = autotrain(
        "spaces", "show", "following.toml", "--data", "paid.csv", "--target", "amount"
    )
    assert plain.out.splitlines()[0] == "For paid.csv: 57 training rows, 5 inputs, regression"
    assert "├── activation relu | elu" in plain.out


def test_show_equals_the_space_of_a_search(here: Path, autotrain: Run) -> None:
    (here / "following.toml").write_text(FOLLOWING)
    table = ("shop.csv", "--target", "bought")
    shown = autotrain("spaces", "show", "following.toml", "--data", *table, "--json").json()
    words = ("--space", "following.toml", "--dry-run", "--json")
    planned = autotrain("search", *table, *words).json()
    assert shown["train_rows"] == planned["rows"]["train"]
    assert shown["combinations"] == planned["space"]["combinations"] == 1


def test_conditions_count_as_documented(here: Path, autotrain: Run) -> None:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "number": generator.normal(size=200),
            "gaps": np.where(generator.random(200) < 0.2, np.nan, generator.normal(size=200)),
            "date": pd.date_range("2024-01-31", periods=200).strftime("%Y-%m-%d"),
            "many": generator.permutation(np.arange(200) % 12),
            "two": generator.permutation(["a", "b"] * 100),
            "y": generator.permutation(["no", "yes"] * 100),
        }
    )
    frame["many"] = "level " + frame["many"].astype(str)
    frame.to_csv(here / "counted.csv", index=False)
    words = ("--data", "counted.csv", "--target", "y", "--json")
    for space in ("default", "quick"):
        found = autotrain("spaces", "show", space, *words).json()
        assert (found["inputs"], found["numbers"]) == (2 + 5 + 12 + 1, 2 + 5)


def test_show_knows_pictures(here: Path, autotrain: Run) -> None:
    (here / "following.toml").write_text(
        "[[when]]\npictures = true\n[when.activation]\nchoices = ['elu', 'selu', 'relu']"
    )
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (40, 3, 3), dtype=np.uint8)
    np.savez(here / "pictures.npz", X=pictures, y=np.arange(40) % 2)
    done = autotrain("spaces", "show", "following.toml", "--data", "pictures.npz")
    assert done.out.startswith("For pictures.npz: ")
    assert done.out.splitlines()[0].endswith("9 inputs, binary, pictures; when pictures")
    assert "├── activation elu | selu | relu" in done.out
    words = ("--space", "following.toml", "--dry-run", "--json")
    assert autotrain("search", "pictures.npz", *words).json()["space"]["combinations"] == 3


def test_without_data_the_blocks_are_shown(here: Path, autotrain: Run) -> None:
    (here / "following.toml").write_text(FOLLOWING)
    done = autotrain("spaces", "show", "following.toml")
    assert "├── activation relu | elu\n" in done.out
    assert "├── when rows ≤ 100, binary\n│   └── activation = elu\n" in done.out
    described = autotrain("spaces", "show", "following.toml", "--json").json()["space"]
    assert len(described["when"]) == 2
    assert autotrain("spaces", "check", "following.toml", "--json").json()["combinations"] == 2


def test_show_splits_the_rows_as_a_search(here: Path, autotrain: Run) -> None:
    words = ("spaces", "show", "default", "--data", "paid.csv", "--target", "amount", "--json")
    usual = autotrain(*words).json()
    folds = autotrain(*words, "--test", "0", "--validation", "2-fold").json()
    assert folds["train_rows"] == len((here / "paid.csv").read_text().splitlines()[1:]) // 2
    assert folds["train_rows"] != usual["train_rows"]
    column = (here / "paid.csv").read_text().partition(",")[0]
    weighted = autotrain(*words, "--weights", column).json()
    assert weighted["inputs"] < usual["inputs"]
    classes = autotrain(*words[:-1], "--task", "multiclass")
    assert classes.code == 2
    assert "like an identifier" in classes.err


def test_show_refuses_an_invalid_table(here: Path, autotrain: Run) -> None:
    missing = autotrain("spaces", "show", "space.toml", "--data", "shop.csv", "--target", "bougt")
    assert missing.code == 2
    assert "'bought'" in missing.err
    assert autotrain("spaces", "show", "space.toml", "--data", "gone.csv").code == 2
    alone = autotrain("spaces", "show", "space.toml", "--target", "bought")
    assert (alone.code, alone.out) == (2, "")
    assert "--target requires --data" in alone.err
