"""`autotrain spaces`: list, show, check."""

from __future__ import annotations

from pathlib import Path

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


def test_check_says_ok_or_every_mistake(here: Path, autotrain: Run) -> None:
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
    assert "[optimizer] learning_rate.low: must be a number greater than 0, however: 0" in bad.err

    assert autotrain("spaces", "check", "quikc").code == 2
    assert autotrain("spaces", "show", "nothing.toml").code == 2
