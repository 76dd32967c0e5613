"""`[[when]]`: a space for some data, and its form until the data are known."""

from __future__ import annotations

import pickle
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from autotrain.errors import SpaceError
from autotrain.space.auto import DataShape
from autotrain.space.domains import Choices, Domain, Range
from autotrain.space.search_space import SearchSpace
from autotrain.space.sections import SECTIONS
from tests.space import strategies

GENERAL = """
[training]
batch_size = 16
epochs = 5
[activation]
choices = ["relu", "elu", "selu"]
[initializer]
choices = ["he_normal", "lecun_normal"]
[dropout]
rate = { low = 0.1, high = 0.5, log = true }
[optimizer]
choices = ["adam", "sgd"]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
[[forbid]]
activation = "selu"
initializer = "he_normal"
[[baseline]]
activation = "relu"
[[baseline]]
activation = "elu"
"dropout.rate" = 0.2
"""
BLOCKS = """
[[when]]
rows_above = 1000
[when.dropout]
rate.low = 0.05
[when.optimizer]
choices = ["adam", "nesterov"]
nesterov.momentum = { low = 0.8, high = 0.99 }
[[when.baseline]]
optimizer = "nesterov"

[[when]]
rows_above = 5000
task = ["binary", "multiclass"]
[when.activation]
choices = ["elu", "gelu"]
[when.dropout]
rate = { low = 0.1, high = 0.15 }
[[when.baseline]]
activation = "gelu"
"""


def space_of(text: str) -> SearchSpace:
    return SearchSpace(tomllib.loads(text))


def resolved(text: str, n_train: int = 500, task: str = "binary", **more: Any) -> SearchSpace:
    return space_of(text).resolve(n_train, more.pop("n_inputs", 10), task, **more)


def domains(space: SearchSpace, *names: str) -> list[Domain | None]:
    found = space.distributions()
    return [found.get(name) for name in names]


def first_trials(space: SearchSpace) -> list[dict[str, Any]]:
    return list(space.to_dict().get("baseline", []))


def test_without_applying_blocks_the_rest_is_returned() -> None:
    assert resolved(GENERAL + BLOCKS, 1000) == resolved(GENERAL, 1000)


def test_block_is_merged_like_an_extending_space() -> None:
    space = resolved(GENERAL + BLOCKS, 1001)
    names = ("optimizer", "optimizer.nesterov.momentum", "optimizer.learning_rate", "dropout.rate")
    assert domains(space, *names) == [
        Choices(("adam", "nesterov")),
        Range(0.8, 0.99),
        Range(1e-4, 1e-1, log=True),
        # A range with one bound takes the other from the rest of the space.
        Range(0.05, 0.5, log=True),
    ]
    assert "when" not in space.to_dict()


def test_later_blocks_win() -> None:
    space = resolved(GENERAL + BLOCKS, 5001)
    assert domains(space, "activation", "dropout.rate", "optimizer") == [
        Choices(("elu", "gelu")),
        Range(0.1, 0.15),
        Choices(("adam", "nesterov")),
    ]
    # All conditions of a block must hold.
    regression = resolved(GENERAL + BLOCKS, 5001, "regression")
    assert domains(regression, "activation") == [Choices(("relu", "elu", "selu"))]


def test_forbids_are_reduced_to_the_remaining_choices() -> None:
    assert "forbid" in resolved(GENERAL + BLOCKS, 1001).to_dict()
    assert "forbid" not in resolved(GENERAL + BLOCKS, 5001).to_dict()


def test_baselines_of_blocks_come_first() -> None:
    assert first_trials(resolved(GENERAL + BLOCKS, 1001)) == [
        {"optimizer": "nesterov"},
        {"activation": "relu"},
        {"activation": "elu", "dropout.rate": 0.2},
    ]
    # There relu is not a choice, and 0.2 is outside of the range.
    space = resolved(GENERAL + BLOCKS, 5001)
    assert first_trials(space) == [{"optimizer": "nesterov"}, {"activation": "gelu"}]
    assert len(space.baselines()) == 2


def test_block_may_drop_earlier_baselines() -> None:
    text = GENERAL + BLOCKS + "[[when]]\nrows_above = 4000\nbaseline = []"
    assert len(first_trials(resolved(text, 4000))) == 3
    assert first_trials(resolved(text, 4001)) == []


def test_later_block_may_exclude_a_baseline() -> None:
    text = GENERAL + BLOCKS + "[[when]]\ntask = 'binary'\noptimizer = 'adam'"
    assert {"optimizer": "nesterov"} not in first_trials(resolved(text, 2000))
    assert {"optimizer": "nesterov"} in first_trials(resolved(text, 2000, "multiclass"))


def test_baselines_with_conditions() -> None:
    text = (
        GENERAL
        + "[[baseline]]\noptimizer = 'sgd'\nwhen = { rows_above = 100, task = 'regression' }\n"
        + BLOCKS
        + "[[when.baseline]]\nactivation = 'elu'\nwhen = { columns_below = 3 }"
    )
    sgd, elu = {"optimizer": "sgd"}, {"activation": "elu"}
    assert sgd in first_trials(resolved(text, 500, "regression"))
    assert sgd not in first_trials(resolved(text, 500, "binary"))
    assert sgd not in first_trials(resolved(text, 100, "regression"))
    # There sgd is not a choice.
    assert sgd not in first_trials(resolved(text, 1001, "regression"))
    assert elu in first_trials(resolved(text, 6000, n_inputs=3))
    assert elu not in first_trials(resolved(text, 6000, n_inputs=4))


def test_baseline_with_conditions_fits_only_where_they_hold() -> None:
    text = (
        "[[when]]\nrows_above = 1000\n[when.activation]\nchoices = ['relu', 'elu']\n"
        "[[when.baseline]]\nactivation = 'elu'\nwhen = { rows_above = 2000 }"
    )
    assert first_trials(resolved(text, 2000)) == []
    assert first_trials(resolved(text, 2001)) == [{"activation": "elu"}]


def test_pictures() -> None:
    text = GENERAL + "[[when]]\npictures = true\nactivation = 'relu'"
    assert domains(resolved(text), "activation") == [Choices(("relu", "elu", "selu"))]
    assert domains(resolved(text, pictures=True), "activation") == [None]


def test_auto_in_a_block() -> None:
    text = (
        "[training]\nbatch_size = 8\n[[when]]\nrows_above = 1\n[when.training]\nbatch_size = 'auto'"
    )
    assert resolved(text, 20_000).to_dict()["training"]["batch_size"] == 256


@pytest.mark.parametrize("name", ["quick", "notes", "notes_plus", "deep", "regularized"])
def test_block_equals_extending_space(name: str, tmp_path: Path) -> None:
    over = SearchSpace.from_toml(name).to_dict()
    for name in ("forbid", "when"):
        over.pop(name, None)
    (tmp_path / "base.toml").write_text(SearchSpace.from_toml("default").to_toml())
    over_the_file = SearchSpace.from_dict({**over, "extends": str(tmp_path / "base.toml")})
    with_a_block = {"extends": "default", "when": [{"rows_above": 100, **over}]}
    space = SearchSpace(with_a_block).resolve(101, 5, "multiclass")
    assert space == over_the_file.resolve(101, 5, "multiclass")
    assert space != SearchSpace.from_toml("default").resolve(101, 5, "multiclass")


@given(strategies.spaces(), strategies.spaces(), strategies.spaces())
@settings(max_examples=15, deadline=None)
def test_any_blocks_over_any_space(
    described: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    blocks = [{"rows_above": 9, **first}, {"task": ["binary"], **second}]
    space = SearchSpace({**described, "when": blocks})
    written = space.to_dict()
    assert SearchSpace(written).to_dict() == written == tomllib.loads(space.to_toml())
    # The last block that applies has priority over everything before it.
    for n_train, task, block in (
        (9, "binary", second),
        (10, "binary", second),
        (10, "multiclass", first),
    ):
        found = space.resolve(n_train, 5, task).to_dict()
        shape = DataShape(n_train, 5, task, n_numbers=5)
        for name, section in block.items():
            if "choices" in section and SECTIONS[name].has_effect(shape):
                assert found[name]["choices"] == section["choices"]
    assert space.resolve(9, 5, "regression") == SearchSpace(described).resolve(9, 5, "regression")


@pytest.mark.parametrize("more", ["", "[[when]]\npictures = true\nbaseline = []\n"])
def test_round_trip(more: str) -> None:
    baseline = "[[baseline]]\nactivation = 'elu'\nwhen = { rows_above = 9, task = ['binary'] }\n"
    space = space_of(GENERAL + baseline + BLOCKS + more)
    written = space.to_dict()
    assert len(written["when"]) == 2 + bool(more)
    assert SearchSpace.from_dict(written).to_dict() == written
    assert tomllib.loads(space.to_toml()) == written
    assert space_of(space.to_toml()) == space
    assert pickle.loads(pickle.dumps(space)) == space
    assert space_of(GENERAL + BLOCKS.replace("1000", "1001")) != space_of(GENERAL + BLOCKS)
    again = SearchSpace.from_dict(written)
    for n_train in (500, 1001, 5001):
        one, other = (each.resolve(n_train, 5, "binary") for each in (space, again))
        assert one.fingerprint() == other.fingerprint()
        assert one.resolve(7, 5, "binary") == one


def test_written_form_is_readable() -> None:
    baseline = "[[baseline]]\nactivation = 'elu'\nwhen = { rows_above = 9, task = ['binary'] }\n"
    text = space_of(GENERAL + baseline + BLOCKS).to_toml()
    assert '[[baseline]]\nwhen = { rows_above = 9, task = "binary" }\nactivation = "elu"' in text
    assert (
        "[[when]]\nrows_above = 1000\n\n"
        "[when.dropout]\nrate = { low = 0.05 }\n\n"
        '[when.optimizer]\nchoices = ["adam", "nesterov"]\n'
        "nesterov.momentum = { low = 0.8, high = 0.99 }\n\n"
        '[[when.baseline]]\noptimizer = "nesterov"\n'
    ) in text


def test_short_form_means_the_same() -> None:
    short = space_of("[[when]]\nrows_above = 1\nactivation = 'elu'\ntask = ['regression']")
    long = space_of("[[when]]\nrows_above = 1\ntask = 'regression'\nactivation.choices = ['elu']")
    assert short.fingerprint() == long.fingerprint()


def test_size_and_distributions_ignore_blocks() -> None:
    space, general = space_of(GENERAL + BLOCKS), space_of(GENERAL)
    assert space.size() == general.size()
    assert space.distributions() == general.distributions()
    assert repr(space) == repr(general)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[[when]]\nrows_above = 1\nactivation = 'elu'", "[[when]]"),
        ("[[baseline]]\nwhen.rows_above = 1", "[[baseline]]: when"),
    ],
)
def test_space_must_be_resolved_before_use(text: str, what: str) -> None:
    space = space_of("training = { batch_size = 8, epochs = 5 }\n" + text)
    with pytest.raises(SpaceError) as caught:
        space.baselines()
    mistake = f"{what} depends on the data. Call resolve(n_train, n_inputs, task) first."
    assert caught.value.mistakes == (mistake,)
    with pytest.raises(SpaceError):
        space.config_from({})
    assert space.resolve(5, 5, "binary").config_from({})


def test_tree_shows_the_blocks() -> None:
    space = space_of(
        GENERAL
        + "[[baseline]]\nwhen.task = 'binary'\nactivation = 'elu'\n"
        + BLOCKS
        + "[[when]]\npictures = true\nbaseline = []\nconstraint = 'none'\n"
        "[when.regularizer]\nl1 = { choices = [0.0, 0.1] }\nl2 = 0.1\n"
        "[when.network]\nhidden_layers = { low = 1, high = 5, step = 2 }\n"
        "[when.optimizer]\nlearning_rate = { low = 0.001, high = 0.1, log = true }"
    )
    _, _, below = space.describe().partition("├── tried first\n")
    assert (
        below
        == """\
│   ├── activation = relu
│   ├── activation = elu, dropout.rate = 0.2
│   └── activation = elu (when binary)
├── when rows > 1,000
│   ├── dropout
│   │   └── rate 0.05 …
│   ├── optimizer adam | nesterov
│   │   └── nesterov
│   │       └── momentum 0.8 … 0.99
│   └── tried first
│       └── optimizer = nesterov
├── when rows > 5,000, binary or multiclass
│   ├── activation elu | gelu
│   ├── dropout
│   │   └── rate 0.1 … 0.15
│   └── tried first
│       └── activation = gelu
└── when pictures
    ├── constraint = none
    ├── regularizer
    │   ├── l1 0.0 | 0.1
    │   └── l2 = 0.1
    ├── network
    │   └── hidden_layers 1 … 5 (step 2)
    ├── optimizer
    │   └── learning_rate 0.001 … 0.1 (log)
    └── nothing else tried first"""
    )
    assert space.conditions(DataShape(5001, 10, "binary")) == [
        "rows > 1,000",
        "rows > 5,000, binary or multiclass",
    ]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.toml"
    path.write_text(GENERAL + BLOCKS)
    return path


def extend(base: Path, text: str) -> SearchSpace:
    path = base.with_name("mine.toml")
    path.write_text(f'extends = "{base.name}"\n{text}')
    return SearchSpace.from_toml(path)


def test_own_blocks_come_after_inherited_ones(base: Path) -> None:
    assert extend(base, "") == SearchSpace.from_toml(base)
    space = extend(base, "[[when]]\nrows_above = 5000\n[when.dropout]\nrate = 0.3")
    assert len(space.to_dict()["when"]) == 3
    assert domains(space.resolve(1001, 5, "binary"), "dropout.rate") == [Range(0.05, 0.5, log=True)]
    assert space.resolve(5001, 5, "binary").to_dict()["dropout"]["rate"] == 0.3


def test_empty_list_drops_inherited_blocks(base: Path) -> None:
    space = extend(base, "when = []")
    assert space.resolve(9000, 5, "binary") == resolved(GENERAL, 9000)


@pytest.mark.parametrize(
    ("own", "name", "domain"),
    [
        # The space itself has priority over an inherited block ...
        ("[activation]\nchoices = ['relu', 'mish']", "activation", Choices(("relu", "mish"))),
        ("[dropout]\nrate = { low = 0.2, high = 0.3 }", "dropout.rate", Range(0.2, 0.3)),
        ("[dropout]\nrate = { choices = [0.2, 0.3] }", "dropout.rate", Choices((0.2, 0.3))),
        ("[dropout]\nrate = 0.3", "dropout.rate", None),
        # ... also with one bound. The other is that of the space it extends.
        ("[dropout]\nrate.high = 0.6", "dropout.rate", Range(0.1, 0.6, log=True)),
        ("[optimizer]\nchoices = ['adam', 'sgd']", "optimizer.nesterov.momentum", None),
        # Parts that it does not mention come from the block.
        ("[optimizer]\nlearning_rate = 0.1", "optimizer", Choices(("adam", "nesterov"))),
        ("[optimizer]\nlearning_rate = 0.1", "activation", Choices(("elu", "gelu"))),
    ],
)
def test_own_sections_have_priority_over_inherited_blocks(
    base: Path, own: str, name: str, domain: Domain | None
) -> None:
    assert extend(base, own).resolve(6000, 5, "binary").distributions().get(name) == domain


def test_partial_range_of_a_technique_in_an_inherited_block(tmp_path: Path) -> None:
    path = tmp_path / "base.toml"
    path.write_text(
        "[optimizer]\nchoices = ['nesterov', 'adam']\n"
        "nesterov.momentum = { low = 0.5, high = 0.9 }\n"
        "[[when]]\nrows_above = 9\n[when.optimizer]\n"
        "nesterov = { momentum = { low = 0.8, high = 0.99 }, learning_rate = 0.01 }"
    )
    space = extend(path, "[optimizer]\nnesterov.momentum.low = 0.85")
    name = "optimizer.nesterov.momentum"
    assert domains(space.resolve(9, 5, "binary"), name) == [Range(0.85, 0.9)]
    assert domains(space.resolve(10, 5, "binary"), name) == [Range(0.85, 0.9)]
    # The block's other parameters are kept.
    nesterov = space.resolve(10, 5, "binary").to_dict()["optimizer"]["nesterov"]
    assert nesterov["learning_rate"] == 0.01


def test_overridden_parts_of_inherited_blocks_are_dropped(base: Path) -> None:
    space = extend(
        base, "activation = 'elu'\ndropout.rate = 0.1\n[optimizer]\nchoices = ['adam', 'sgd']"
    )
    assert "when" not in space.to_dict()
    space = extend(base, "activation = 'elu'")
    first, second = space.to_dict()["when"]
    assert "baseline" in first
    assert second.keys() == {"rows_above", "task", "dropout"}


def test_empty_baselines_drop_those_of_inherited_blocks(base: Path) -> None:
    space = extend(base, "baseline = []").resolve(6000, 5, "binary")
    assert first_trials(space) == []
    assert domains(space, "activation") == [Choices(("elu", "gelu"))]


def test_three_levels(base: Path, tmp_path: Path) -> None:
    (tmp_path / "middle.toml").write_text(
        "extends = 'base.toml'\n[[when]]\nrows_below = 9000\n[when.dropout]\nrate = 0.4"
    )
    (tmp_path / "top.toml").write_text(
        "extends = 'middle.toml'\nactivation = 'relu'\n"
        "[[when]]\ncolumns_above = 9\n[when.dropout]\nrate = 0.5"
    )
    space = SearchSpace.from_toml(tmp_path / "top.toml")
    rates = [
        space.resolve(n_train, n_inputs, "binary").to_dict()["dropout"]["rate"]
        for n_train, n_inputs in ((6000, 5), (6000, 10), (9001, 5))
    ]
    assert rates == [0.4, 0.5, {"low": 0.1, "high": 0.15}]
    assert "activation" not in space.resolve(6000, 5, "binary").distributions()
