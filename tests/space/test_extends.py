"""`extends`: inherited, replaced and dropped parts, and cycles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autotrain.errors import SpaceError
from autotrain.space.domains import Choices, Fixed, Range
from autotrain.space.search_space import SearchSpace

BASE = """
[network]
hidden_layers = { low = 1, high = 4 }
[activation]
choices = ["relu", "elu", "leaky_relu"]
leaky_relu.negative_slope = { low = 0.01, high = 0.3, log = true }
[dropout]
rate = { low = 0.1, high = 0.5 }
[optimizer]
choices = ["adam", "sgd"]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
sgd.learning_rate = { low = 1e-2, high = 1.0, log = true }
[[forbid]]
activation = ["relu", "elu"]
optimizer = "sgd"
[[baseline]]
activation = "elu"
[[baseline]]
activation = "relu"
"optimizer.learning_rate" = 0.01
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.toml"
    path.write_text(BASE)
    return path


def extend(base: Path, text: str) -> SearchSpace:
    path = base.with_name("mine.toml")
    path.write_text(f'extends = "{base.name}"\n{text}')
    return SearchSpace.from_toml(path)


def test_empty_extension_is_the_same_space(base: Path) -> None:
    assert extend(base, "") == SearchSpace.from_toml(base)


def test_sections_merge_and_domains_are_replaced(base: Path) -> None:
    before = SearchSpace.from_toml(base).distributions()
    after = extend(
        base,
        """
        [network]
        hidden_units = { choices = [8, 16] }
        [dropout]
        rate = { choices = [0.1, 0.2] }
        [optimizer]
        learning_rate = { low = 0.5, high = 1.0 }
        """,
    ).distributions()
    assert after.pop("network.hidden_units") == Choices((8, 16))
    assert after["dropout.rate"] == Choices((0.1, 0.2))
    # A complete range replaces the inherited one, including its log.
    assert after["optimizer.learning_rate"] == Range(0.5, 1.0)
    unchanged = {"dropout.rate", "optimizer.learning_rate"}
    assert {k: v for k, v in before.items() if k not in unchanged} == {
        k: v for k, v in after.items() if k not in unchanged
    }


def test_range_with_one_bound_takes_the_other_from_the_base(base: Path) -> None:
    found = extend(base, "[optimizer]\nlearning_rate = { high = 0.5 }").distributions()
    assert found["optimizer.learning_rate"] == Range(1e-4, 0.5, log=True)


def test_range_with_one_bound_of_a_technique(base: Path) -> None:
    found = extend(base, "[activation]\nleaky_relu.negative_slope.low = 0.1").distributions()
    assert found["activation.leaky_relu.negative_slope"] == Range(0.1, 0.3, log=True)


def test_fixed_instead_of_a_range(base: Path) -> None:
    space = extend(base, "[dropout]\nrate = 0.3")
    assert "dropout.rate" not in space.distributions()
    assert space.to_dict()["dropout"]["rate"] == 0.3


def test_choices_are_replaced_with_their_parameters(base: Path) -> None:
    space = extend(base, '[activation]\nchoices = ["elu", "selu"]')
    assert space.distributions()["activation"] == Choices(("elu", "selu"))
    assert "activation.leaky_relu.negative_slope" not in space.distributions()
    # The forbid is reduced to the remaining choices, and the baseline with relu is dropped.
    described = space.to_dict()
    assert described["forbid"] == [{"activation": "elu", "optimizer": "sgd"}]
    assert described["baseline"] == [{"activation": "elu"}]


def test_short_form_keeps_other_parameters_of_the_section(base: Path) -> None:
    space = extend(base, 'optimizer = "adam"')
    assert "optimizer" not in space.distributions()
    assert space.distributions()["optimizer.learning_rate"] == Range(1e-4, 1e-1, log=True)
    assert "optimizer.sgd.learning_rate" not in space.distributions()
    assert "forbid" not in space.to_dict()


def test_inherited_baselines_that_do_not_fit_are_dropped(base: Path) -> None:
    space = extend(base, "[optimizer]\nlearning_rate = { high = 0.001 }")
    assert space.to_dict()["baseline"] == [{"activation": "elu"}]


def test_own_baselines_come_first_and_own_forbids_are_added(base: Path) -> None:
    space = extend(
        base,
        """
        [[forbid]]
        activation = "relu"
        network.hidden_layers = 4
        [[baseline]]
        activation = "leaky_relu"
        """,
    )
    described = space.to_dict()
    assert [b["activation"] for b in described["baseline"]] == ["leaky_relu", "elu", "relu"]
    assert len(described["forbid"]) == 2


def test_empty_list_drops_inherited_rules(base: Path) -> None:
    described = extend(base, "forbid = []\nbaseline = []").to_dict()
    assert "forbid" not in described
    assert "baseline" not in described


def test_three_levels(base: Path, tmp_path: Path) -> None:
    (tmp_path / "middle.toml").write_text('extends = "base.toml"\n[dropout]\nrate.high = 0.6')
    (tmp_path / "top.toml").write_text('extends = "middle.toml"\n[dropout]\nrate.low = 0.2')
    space = SearchSpace.from_toml(tmp_path / "top.toml")
    assert space.distributions()["dropout.rate"] == Range(0.2, 0.6)


def test_paths_are_relative_to_the_extending_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "base.toml").write_text(BASE)
    (tmp_path / "b" / "mine.toml").write_text('extends = "../a/base.toml"')
    assert SearchSpace.from_toml(tmp_path / "b" / "mine.toml").distributions()["dropout.rate"]


def test_shipped_names_and_dictionaries() -> None:
    space = SearchSpace({"extends": "quick", "activation": "relu"})
    assert space.to_dict()["activation"]["choices"] == ["relu"]
    assert space.to_dict()["network"] == SearchSpace.from_toml("quick").to_dict()["network"]


def test_written_form_is_complete(base: Path) -> None:
    assert "extends" not in extend(base, "").to_dict()


@pytest.mark.parametrize(
    ("files", "mistake"),
    [
        (
            {"a.toml": 'extends = "a.toml"'},
            "extends must not lead back to itself, got a.toml → a.toml.",
        ),
        (
            {"a.toml": 'extends = "b.toml"', "b.toml": 'extends = "a.toml"'},
            "extends: b.toml: extends must not lead back to itself, got a.toml → b.toml → a.toml.",
        ),
        (
            {"a.toml": 'extends = "b.toml"', "b.toml": "[dropout]\nrate = 2.0"},
            "extends: b.toml: [dropout] rate must be a number of at least 0 and at most 0.99, "
            "got 2.0.",
        ),
        (
            {"a.toml": 'extends = "b.toml"', "b.toml": "x ="},
            "extends: b.toml: end of document is not TOML: Invalid value.",
        ),
    ],
)
def test_mistakes_of_a_base_name_the_base(
    tmp_path: Path, files: dict[str, str], mistake: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(SpaceError) as caught:
        SearchSpace.from_toml(tmp_path / "a.toml")
    assert caught.value.mistakes == (mistake,)


def test_own_mistakes_are_reported_without_the_base(tmp_path: Path) -> None:
    # Mistakes that depend on the base are not reported: elu may be one of its choices.
    path = tmp_path / "a.toml"
    path.write_text('extends = "gone.toml"\n[activation]\nelu.alpha = 2.0\n[dropout]\nrate = 2.0')
    with pytest.raises(SpaceError) as caught:
        SearchSpace.from_toml(path)
    first, second = caught.value.mistakes
    assert first.startswith("extends: no search space 'gone.toml'")
    assert second.startswith("[dropout] rate must be")


def test_inherited_forbids_that_forbid_everything() -> None:
    space: dict[str, Any] = {
        "extends": "default",
        "when": [],
        "activation": "selu",
        "initializer": "he_normal",
    }
    with pytest.raises(SpaceError) as caught:
        SearchSpace(space)
    assert caught.value.mistakes == (
        "[[forbid]] must leave at least one combination, got none. These rules of the space it "
        'extends forbid all: activation = "selu", initializer = "he_normal".',
    )


def test_own_forbids_may_use_inherited_choices(base: Path) -> None:
    space = extend(base, '[[forbid]]\nactivation = "leaky_relu"')
    assert not space.can_complete({"activation": "leaky_relu"})


def test_single_values_are_fixed() -> None:
    # A list of one value and a range of one number are not parameters of the study.
    space = SearchSpace(
        {
            "activation": {"choices": ["elu"]},
            "dropout": {"rate": {"choices": [0.5]}, "input_rate": {"low": 0.1, "high": 0.1}},
            "network": {"hidden_layers": {"low": 3, "high": 4, "step": 2}},
        }
    )
    assert space.distributions() == {}
    assert space.to_dict() == SearchSpace(space.to_dict()).to_dict()
    assert Fixed(3) == Fixed(space.to_dict()["network"]["hidden_layers"])


def test_notice_names_inherited_baselines_that_do_not_fit(base: Path) -> None:
    assert extend(base, "").notices == []
    space = extend(base, '[activation]\nchoices = ["elu", "leaky_relu"]\n')
    (notice,) = space.notices
    assert "1 baseline of the extended space does not fit" in notice
    assert "[[baseline]] 2: activation: no choice of activation 'relu'" in notice
    assert "[[baseline]] 2: activation: no choice" in space.describe().rpartition("not tried")[2]
    # Baselines that do not fit these data give no further notice.
    assert space.resolve(500, 5, "binary").notices == [notice]
    tried = [params["activation"] for params in space.resolve(500, 5, "binary").baselines()]
    assert tried == ["elu"]
    (notice,) = extend(base, 'activation = "leaky_relu"\n[[baseline]]\n').notices
    assert notice.startswith("2 baselines of the extended space do not fit")


def test_notice_names_inherited_baselines_of_blocks(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(
        BASE + '[[when]]\nrows_above = 100\n[[when.baseline]]\nactivation = "relu"\n'
    )
    space = extend(tmp_path / "base.toml", 'activation = "elu"\n')
    (notice,) = space.notices
    assert notice.startswith("2 baselines")
    assert "[[baseline]] 1 of [[when]] 1" in space.describe()


def test_data_that_exclude_a_baseline_give_no_notice(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(
        BASE + '[[when]]\nrows_above = 100\n[when.activation]\nchoice = "elu"\n'
    )
    space = SearchSpace.from_toml(tmp_path / "base.toml").resolve(500, 5, "binary")
    assert space.notices == []
    assert len(space.baselines()) == 1
