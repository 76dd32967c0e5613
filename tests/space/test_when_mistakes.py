"""All mistakes in a `[[when]]` block and their messages."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from autotrain.errors import SpaceError
from autotrain.space.search_space import SearchSpace

CONDITIONS = (
    "rows_above, rows_below, columns_above, columns_below, numbers_above, numbers_below, task, "
    "pictures"
)

# (the file, its mistakes)
CASES: dict[str, tuple[str, list[str]]] = {
    "blocks of another type": (
        "[when]\nrows_above = 3",
        ["[[when]] must be tables, got { rows_above = 3 }. Write [[when]]."],
    ),
    "block of another type": (
        "when = [3]",
        ["[[when]] 1 must be a table of conditions and sections, got 3."],
    ),
    "unknown condition": (
        "[[when]]\nrow_above = 3\nactivation = 'elu'",
        [
            "[[when]] 1: row_above: no condition 'row_above'. Did you mean 'rows_above'? "
            f"Known: {CONDITIONS}."
        ],
    ),
    "no condition": (
        "[[when]]\nactivation = 'elu'",
        [f"[[when]] 1 must have a condition, got none. Known: {CONDITIONS}."],
    ),
    "only conditions": (
        "[[when]]\nrows_above = 3\n[dropout]\nrate = 0.1",
        [
            "[[when]] 1 must have sections or baselines, got only conditions. Write "
            "[when.dropout] for a section of the block, not [dropout].",
        ],
    ),
    "illegal limits": (
        "[[when]]\nrows_above = 2e4\nrows_below = 0\ncolumns_above = -1\ncolumns_below = '9'\n"
        "pictures = 1\nactivation = 'elu'",
        [
            "[[when]] 1: rows_above must be an integer of at least 0, got 20000.0.",
            "[[when]] 1: rows_below must be an integer of at least 1, got 0.",
            "[[when]] 1: columns_above must be an integer of at least 0, got -1.",
            '[[when]] 1: columns_below must be an integer of at least 1, got "9".',
            "[[when]] 1: pictures must be true or false, got 1.",
        ],
    ),
    "contradicting limits": (
        "[[when]]\nrows_above = 5\nrows_below = 5\ncolumns_above = 9\ncolumns_below = 4\n"
        "activation = 'elu'",
        [
            "[[when]] 1: rows_above must be less than rows_below, got rows_above = 5, "
            "rows_below = 5. No table satisfies both.",
            "[[when]] 1: columns_above must be less than columns_below, got columns_above = "
            "9, columns_below = 4. No table satisfies both.",
        ],
    ),
    "unknown tasks": (
        "[[when]]\ntask = 'binry'\nactivation = 'elu'\n"
        "[[when]]\ntask = ['regression', 'regression']\nactivation = 'elu'\n"
        "[[when]]\ntask = []\nactivation = 'elu'\n[[when]]\ntask = 3\nactivation = 'elu'",
        [
            "[[when]] 1: task: no task 'binry'. Did you mean 'binary'? Known: binary, "
            "multiclass, regression.",
            "[[when]] 2: task must contain every task once, got 'regression' twice.",
            "[[when]] 3: task must name at least one task, got []. Known: binary, "
            "multiclass, regression.",
            "[[when]] 4: task: no task '3'. Known: binary, multiclass, regression.",
        ],
    ),
    "keys that must be outside of blocks": (
        "[[when]]\nrows_above = 3\nextends = 'quick'\nactivation = 'elu'\n"
        "[[when.forbid]]\nactivation = 'elu'\n[[when.when]]\nrows_above = 4",
        [
            "[[when]] 1: extends must be outside of [[when]], got one inside. A space "
            "extends another for all data.",
            "[[when]] 1: forbid must be outside of [[when]], got one inside. Combinations "
            "are forbidden for all data.",
            "[[when]] 1: when must be outside of [[when]], got one inside. Write one block "
            "with the conditions of both.",
        ],
    ),
    "mistake in a section": (
        "[[when]]\nrows_above = 3\nactivation = 'elu'\n"
        "[[when]]\nrows_above = 4\n[when.dropout]\nrate = { low = 0.6, high = 0.1 }\nrat = 3",
        [
            "[[when]] 2: [dropout] rate must have low at most high, got low = 0.6, high = "
            "0.1. Swap them.",
            "[[when]] 2: [dropout] rat: no key of [dropout] 'rat'. Did you mean 'rate'? "
            "Known: choices, annealing, rate, input_rate, floor, none, dropout, alpha_dropout.",
        ],
    ),
    "equal mistakes in and outside of a block": (
        "[dropout]\nrate = 2.0\n[[when]]\nrows_above = 3\n[when.dropout]\nrate = 2.0\n"
        "[[when]]\nrows_above = 4\n[when.dropout]\nrate = 2.0",
        [
            f"{place}[dropout] rate must be a number of at least 0 and at most 0.99, got 2.0."
            for place in ("", "[[when]] 1: ", "[[when]] 2: ")
        ],
    ),
    "mistake outside of the block": (
        "[dropout]\nrate = { lo = 0.1, high = 0.5 }\n[[when]]\nrows_above = 3\n"
        "[when.dropout]\nrate.high = 0.6\n[when.network]\nhidden_layers = -1",
        [
            "[dropout] rate.lo: no key of a range or list 'lo'. Did you mean 'low'? "
            "Known: choices, low, high, log, step.",
            "[[when]] 1: [network] hidden_layers must be an integer of at least 0 and at most "
            "64, got -1.",
        ],
    ),
    "mistake in a section of a block with wrong conditions": (
        "[activation]\nchoices = ['relu']\n[[when]]\nrows_abov = 3\n"
        "[when.dropout]\nrate = 2.0\n[when.activation]\nelu.alpha = 2.0",
        [
            "[[when]] 1: rows_abov: no condition 'rows_abov'. Did you mean 'rows_above'? "
            f"Known: {CONDITIONS}.",
            "[[when]] 1: [activation] elu must be one of the choices to have an effect, got "
            "choices relu. Add 'elu' to choices or leave it out.",
            "[[when]] 1: [dropout] rate must be a number of at least 0 and at most 0.99, got 2.0.",
        ],
    ),
    "partial range over no range": (
        "[[when]]\nrows_above = 3\n[when.dropout]\nrate.high = 0.6",
        ["[[when]] 1: [dropout] rate.low is missing. A range is { low = ..., high = ... }."],
    ),
    "partial range over a single number": (
        "[dropout]\nrate = { low = 0.1, high = 0.1 }\n"
        "[[when]]\nrows_above = 3\n[when.dropout]\nrate.high = 0.6",
        ["[[when]] 1: [dropout] rate.low is missing. A range is { low = ..., high = ... }."],
    ),
    "partial range that reverses the bounds": (
        "[dropout]\nrate = { low = 0.3, high = 0.5 }\n"
        "[[when]]\nrows_above = 3\n[when.dropout]\nrate.high = 0.2",
        [
            "[[when]] 1: [dropout] rate must have low at most high, got low = 0.3, high = "
            "0.2. Swap them.",
        ],
    ),
    "technique that is not chosen": (
        "[activation]\nchoices = ['relu', 'elu']\n"
        "[[when]]\nrows_above = 3\n[when.activation]\nselu = {}",
        [
            "[[when]] 1: [activation] selu must be one of the choices to have an effect, got "
            "choices relu, elu. Add 'selu' to choices or leave it out.",
        ],
    ),
    "everything is forbidden": (
        "[activation]\nchoices = ['relu', 'elu']\n[[forbid]]\nactivation = 'elu'\n"
        "[[when]]\nrows_above = 3\nactivation = 'elu'",
        [
            "[[when]] 1: [[forbid]] must leave at least one combination, got none. These "
            'rules of the rest of the space forbid all: activation = "elu".',
        ],
    ),
    "baselines": (
        "[activation]\nchoices = ['relu', 'elu']\n[[forbid]]\nactivation = 'elu'\n"
        "network.hidden_layers = 2\n"
        "[[when]]\nrows_above = 3\n[when.network]\nhidden_layers = { low = 1, high = 3 }\n"
        "[[when.baseline]]\nactivation = 'selu'\n"
        "[[when.baseline]]\nnetwork.hidden_layers = 3\n"
        "[[when.baseline]]\nactivation = 'elu'\nnetwork.hidden_layers = 2",
        [
            "[[when]] 1: [[baseline]] 1: activation: no choice of activation 'selu'. Did you "
            "mean 'elu'? Known: relu, elu.",
            "[[when]] 1: [[baseline]] 3 must not be a forbidden combination, got activation "
            '= "elu", network.hidden_layers = 2.',
        ],
    ),
    "baselines of another type": (
        "[[when]]\nrows_above = 3\n[when.baseline]\nactivation = 'relu'",
        [
            "[[when]] 1: [[baseline]] must be tables, "
            'got { activation = "relu" }. Write [[baseline]].'
        ],
    ),
    "conditions of baselines": (
        "[[baseline]]\nwhen = {}\n[[baseline]]\nwhen = 3\n[[baseline]]\nwhen.tusk = 'binary'\n"
        "[[baseline]]\nwhen = { rows_above = 3, rows_below = 2 }",
        [
            f"[[baseline]] 1: when must have a condition, got none. Known: {CONDITIONS}.",
            "[[baseline]] 2: when must be a table of conditions, got 3.",
            "[[baseline]] 3: when: tusk: no condition 'tusk'. Did you mean 'task'? Known: "
            f"{CONDITIONS}.",
            "[[baseline]] 4: when: rows_above must be less than rows_below, got rows_above = "
            "3, rows_below = 2. No table satisfies both.",
        ],
    ),
    "block that needs another block": (
        "[[when]]\nrows_above = 5\nactivation = 'elu'\n"
        "[[when]]\nrows_above = 5\n[when.activation]\nelu.alpha = 2.0",
        [
            "[[when]] 2: [activation] elu must be one of the choices to have an effect, got "
            "choices relu. Add 'elu' to choices or leave it out.",
        ],
    ),
    "baselines that need another block": (
        "[[baseline]]\nactivation = 'elu'\nwhen.rows_above = 2\n"
        "[[when]]\nrows_above = 2\nactivation = 'elu'\n"
        "[[when]]\nrows_above = 2\n[[when.baseline]]\nactivation = 'elu'",
        [
            f"{place}[[baseline]] 1: activation: no choice of activation 'elu'. Did you mean "
            "'relu'? Known: relu."
            for place in ("", "[[when]] 2: ")
        ],
    ),
}


def mistakes_of(described: dict[Any, Any]) -> tuple[str, ...]:
    with pytest.raises(SpaceError) as caught:
        SearchSpace(described)
    return caught.value.mistakes


@pytest.mark.parametrize("case", CASES)
def test_mistakes(case: str) -> None:
    text, expected = CASES[case]
    assert list(mistakes_of(tomllib.loads(text))) == expected


def test_unknown_sections() -> None:
    text = "[[when]]\nrows_above = 3\nactivaton = 'elu'\n[when.droput]\nrate = 0.5"
    first, second = mistakes_of(tomllib.loads(text))
    assert first.startswith("[[when]] 1: [activaton]: no section 'activaton'. Did you mean 'acti")
    assert second.startswith("[[when]] 1: [droput]: no section 'droput'. Did you mean 'dropout'?")
    assert second.endswith("loss, target, baseline.")


def test_keys_must_be_text() -> None:
    assert mistakes_of({"when": [{"rows_above": 3, "dropout": {"rate": 0.5, 3: 4}}]}) == (
        "[[when]] 1: [dropout]: keys must be text, got 3.",
    )


CONTRADICTION = (
    "[activation]\nchoices = ['relu', 'elu']\n"
    "[[when]]\ntask = 'binary'\ndropout = 'none'\n"
    "[[when]]\nrows_above = 3\nactivation = 'relu'\n"
    "[[when]]\nrows_below = 4\n[when.activation]\nelu.alpha = 2.0"
)


def test_conflict_of_two_blocks_names_both() -> None:
    space = SearchSpace(tomllib.loads(CONTRADICTION), source="mine.toml")
    with pytest.raises(SpaceError) as caught:
        space.resolve(4, 1, "binary")
    assert caught.value.source == "mine.toml"
    assert caught.value.mistakes == (
        "[[when]] blocks for (rows > 3) and (rows ≤ 4) must not contradict each other: "
        "[activation] elu must be one of the choices to have an effect, got choices relu. Add "
        "'elu' to choices or leave it out. Or change a condition so that only one of them applies.",
    )


@pytest.mark.parametrize("n_train", [3, 5])
def test_blocks_that_do_not_apply_together_may_contradict(n_train: int) -> None:
    space = SearchSpace(tomllib.loads(CONTRADICTION))
    assert space.resolve(n_train, 1, "binary").baselines() == []


def test_conflict_of_three_blocks_names_all() -> None:
    # Only all three blocks together leave nothing that is allowed.
    text = (
        "[activation]\nchoices = ['relu', 'elu']\n[clipping]\nchoices = ['none', 'norm']\n"
        "[batch_norm]\nchoices = ['off', 'after_activation']\n"
        "[[forbid]]\nactivation = 'elu'\nclipping = 'norm'\nbatch_norm = 'off'\n"
        "[[when]]\nrows_above = 1\nactivation = 'elu'\n"
        "[[when]]\nrows_above = 2\nclipping = 'norm'\n"
        "[[when]]\nrows_above = 3\nbatch_norm = 'off'"
    )
    space = SearchSpace(tomllib.loads(text))
    assert space.resolve(3, 1, "binary")
    with pytest.raises(SpaceError, match=r"\(rows > 1\) and \(rows > 2\) and \(rows > 3\)"):
        space.resolve(4, 1, "binary")


def test_mistakes_of_blocks_are_reported_without_the_base(tmp_path: Path) -> None:
    # Mistakes that depend on the base are not reported: elu may be one of its choices.
    path = tmp_path / "a.toml"
    path.write_text(
        'extends = "gone.toml"\n[[when]]\nrows_above = 3\n[when.activation]\nelu.alpha = 2.0\n'
        "[[when]]\nrows_abov = 3\n[when.dropout]\nrate = 2.0"
    )
    with pytest.raises(SpaceError) as caught:
        SearchSpace.from_toml(path)
    first, second, third = caught.value.mistakes
    assert first.startswith("extends: no search space 'gone.toml'")
    assert second.startswith("[[when]] 2: rows_abov: no condition")
    assert third.startswith("[[when]] 2: [dropout] rate must be")


def test_inherited_block_with_a_conflict_is_named(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(
        "[activation]\nchoices = ['relu', 'elu']\n"
        "[initializer]\nchoices = ['normal', 'he_normal']\n"
        "[[forbid]]\nactivation = 'elu'\ninitializer = 'he_normal'\n"
        "[[when]]\npictures = true\nactivation = 'elu'"
    )
    described = {"extends": str(tmp_path / "base.toml"), "initializer": "he_normal"}
    (mistake,) = mistakes_of({**described, "when": [{"rows_above": 1, "dropout": "dropout"}]})
    assert mistake == (
        "[[when]] 1 of the space it extends: [[forbid]] must leave at least one combination, "
        "got none. These rules of the rest of the space forbid all: "
        'activation = "elu", initializer = "he_normal".'
    )
    assert SearchSpace({**described, "when": []})
