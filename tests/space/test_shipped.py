"""The shipped spaces: valid, with the properties that their summaries state."""

from __future__ import annotations

from dataclasses import astuple, replace
from itertools import pairwise
from pathlib import Path

import pytest

from autotrain.space.conditions import parse_conditions
from autotrain.space.config import TrialConfig
from autotrain.space.domains import Choices, Fixed, Range
from autotrain.space.search_space import SearchSpace
from autotrain.space.sections import SECTIONS
from autotrain.space.shipped import find_space, shipped_spaces, summary_of
from tests.space.shapes import every_shape

NAMES = ["default", "deep", "notes", "notes_plus", "quick", "regularized"]


def configs(name: str, task: str = "multiclass") -> list[TrialConfig]:
    space = SearchSpace.from_toml(name).resolve(5000, 20, task)
    return [space.config_from(params) for params in space.baselines()]


def test_names() -> None:
    assert list(shipped_spaces()) == NAMES
    assert all(path.name == f"{name}.toml" for name, path in shipped_spaces().items())


@pytest.mark.parametrize("name", NAMES)
def test_each_has_a_summary(name: str) -> None:
    summary = summary_of(shipped_spaces()[name])
    assert summary.startswith("For ")
    assert 20 < len(summary) < 110


@pytest.mark.parametrize("name", NAMES)
def test_resolves_for_every_data_shape(name: str) -> None:
    space = SearchSpace.from_toml(name)
    written = space.to_dict()
    blocks = written.get("when", [])
    baselines = [*written["baseline"], *(b for block in blocks for b in block.get("baseline", []))]
    tables = [*blocks, *(baseline["when"] for baseline in baselines if "when" in baseline)]
    conditions = [parse_conditions(table, (), []) for table in tables]
    for shape in every_shape(conditions):
        resolved = space.resolve(*astuple(shape))
        assert not resolved.to_dict().get("when")
        assert resolved.baselines(), shape


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_rows", [100, 4_000, 50_000])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("pictures", [False, True])
def test_all_networks_have_dropout(name: str, n_rows: int, task: str, pictures: bool) -> None:
    space = SearchSpace.from_toml(name)
    assert not space.may_lack_dropout
    assert not space.resolve(n_rows, 60, task, pictures=pictures).may_lack_dropout


@pytest.mark.parametrize(
    ("described", "may"),
    [
        ({"dropout": {"choices": ["dropout", "none"]}}, True),
        ({"dropout": {"rate": {"low": 0.0, "high": 0.5}}}, True),
        ({"dropout": {"rate": {"choices": [0.1, 0.0]}}}, True),
        ({"dropout": {"rate": 0.0, "input_rate": 0.1}}, False),
        ({"network": {"hidden_layers": {"low": 0, "high": 2}}}, True),
        ({"network": {"hidden_layers": 0}, "dropout": {"input_rate": 0.2}}, False),
        ({"network": {"hidden_units": {"choices": ["64-32", "128"]}}}, False),
    ],
)
def test_networks_without_dropout_are_detected(described: dict[str, object], may: bool) -> None:
    assert SearchSpace(described).may_lack_dropout == may


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_every_baseline_is_a_configuration(name: str, task: str) -> None:
    found = configs(name, task)
    assert len(found) >= 2
    assert len({config.to_json().__repr__() for config in found}) == len(found)
    for config in found:
        assert TrialConfig.from_params(config.to_params()) == config


@pytest.mark.parametrize("name", NAMES)
def test_dropout_rates_are_above_0(name: str) -> None:
    # Otherwise the winner could not estimate its uncertainty.
    space = SearchSpace.from_toml(name)
    described = space.to_dict()["dropout"]
    assert "none" not in described["choices"]
    rate = space.distributions()["dropout.rate"]
    assert isinstance(rate, Range)
    assert rate.low > 0


@pytest.mark.parametrize("name", NAMES)
def test_weight_decay_is_at_most_a_tenth_per_step(name: str) -> None:
    """W ← W(1 − ηλ), λ of the section or of adamw."""
    space = SearchSpace.from_toml(name).resolve(5000, 20, "binary")
    ranges = {key: own for key, own in space.distributions().items() if isinstance(own, Range)}
    decays = [
        (ranges.get("weight_decay.decoupled.rate"), "learning_rate"),
        (ranges.get("optimizer.adamw.weight_decay"), "optimizer.learning_rate"),
    ]
    for decay, rate in decays:
        eta = max(own.high for key, own in ranges.items() if key.endswith(rate))
        assert decay is None or eta * decay.high <= 0.1


def test_folder_in_the_package_has_priority(tmp_path: Path) -> None:
    package = tmp_path / "autotrain"
    (package / "search_spaces").mkdir(parents=True)
    (tmp_path / "search_spaces").mkdir()
    (tmp_path / "search_spaces" / "outside.toml").touch()
    (package / "search_spaces" / "inside.toml").touch()
    assert list(shipped_spaces(package)) == ["inside"]
    (package / "search_spaces" / "inside.toml").unlink()
    (package / "search_spaces").rmdir()
    assert list(shipped_spaces(package)) == ["outside"]


def test_shipped_name_has_priority_over_a_file(tmp_path: Path) -> None:
    (tmp_path / "quick").write_text("activation = 'relu'")
    assert find_space("quick", tmp_path) == shipped_spaces()["quick"]
    assert find_space("./quick", tmp_path) == tmp_path / "quick"


def test_file_without_its_extension_is_suggested(tmp_path: Path) -> None:
    (tmp_path / "wide.toml").touch()
    with pytest.raises(Exception, match=r"Did you mean 'wide\.toml'"):
        find_space("wide", tmp_path)


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("# For me.\n# And you.\n", "For me."),
        ("\n\n#  For me. \n", "For me."),
        ("x = 1", ""),
        ("", ""),
    ],
)
def test_summary(tmp_path: Path, text: str, summary: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text)
    assert summary_of(path) == summary


# What the chapter has: rows of each table, and the other parameters that are searched.
CHAPTER = {
    "scaler": {"standard", "none"},
    "missing": {"median"},
    "encoder": {"one_hot"},
    "embedding": {"none"},
    "input_scale": {"off"},
    "parametrization": {"standard"},
    "initializer": {
        f"{name}_{law}"
        for name in ("glorot", "he", "he_avg", "lecun")
        for law in ("normal", "uniform")
    },
    "activation": {"sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu"},
    "batch_norm": {"off", "before_activation", "after_activation"},
    "dropout": {"dropout"},
    "clipping": {"none", "value", "norm"},
    "optimizer": {"sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "nadam"},
    "schedule": {"constant", "power", "exponential", "piecewise", "performance"},
    "weight_decay": {"none"},
    "constraint": {"none", "max_norm"},
    "target": {"free"},
}
CHAPTER_SEARCHES = {
    *("network.hidden_layers", "network.hidden_units", "training.batch_size"),
    *("activation.leaky_relu.negative_slope", "activation.elu.alpha"),
    *("batch_norm.input", "batch_norm.momentum"),
    *("clipping.value.threshold", "clipping.norm.threshold"),
    *("optimizer.learning_rate", "optimizer.sgd.learning_rate", "optimizer.rmsprop.rho"),
    *("optimizer.momentum.momentum", "optimizer.nesterov.momentum"),
    *("schedule.power.k", "schedule.exponential.s", "schedule.piecewise.factors"),
    *("schedule.performance.factor", "schedule.performance.patience"),
    *("regularizer.l1", "regularizer.l2", "constraint.max_norm.max_value"),
    *("dropout.rate", "dropout.input_rate"),
}


def test_notes_have_exactly_the_techniques_of_the_chapter() -> None:
    space = SearchSpace.from_toml("notes")
    described = space.to_dict()
    tables = {name for name, section in SECTIONS.items() if section.rows}
    assert {name: set(described[name]["choices"]) for name in tables} == CHAPTER
    searched = set(space.distributions()) - tables
    assert searched == CHAPTER_SEARCHES
    l1, l2 = (space.distributions()[f"regularizer.{name}"] for name in ("l1", "l2"))
    assert isinstance(l1, Choices)
    assert isinstance(l2, Choices)
    assert 0.0 in l1.values
    assert 0.0 in l2.values


@pytest.mark.parametrize("name", ["notes", "notes_plus"])
def test_notes_allow_only_valid_pairs(name: str) -> None:
    space = SearchSpace.from_toml(name)
    raw = {"scaler": "none", "batch_norm.input": False}
    assert not space.can_complete(raw)
    assert space.can_complete(raw | {"batch_norm.input": True})
    assert space.can_complete(raw | {"scaler": "standard"})
    for initializer in CHAPTER["initializer"]:
        pair = {"activation": "selu", "initializer": initializer}
        assert space.can_complete(pair) == initializer.startswith("lecun")
        assert space.can_complete(pair | {"activation": "elu"})
    assert not space.notices


def test_notes_start_with_the_examples_of_the_chapter() -> None:
    dropout, momentum = configs("notes")
    assert dropout.hidden_units == (300, 100)
    assert (dropout.activation.name, dropout.initializer.name) == ("elu", "he_normal")
    assert (dropout.dropout["rate"], dropout.dropout["input_rate"]) == (0.2, 0.2)
    assert dropout.optimizer.name == "nadam"
    assert momentum.optimizer.name == "momentum"
    assert momentum.optimizer["momentum"] == 0.9
    for config in (dropout, momentum):
        assert (config.scaler.name, config.batch_norm.name) == ("standard", "off")
        assert (config.clipping.name, config.constraint.name) == ("none", "none")
        assert (config.schedule.name, config.regularizer["l1"]) == ("constant", 0.0)


# What neither space has; and no dropout would leave the winner unsure of itself.
NOT_IN_NOTES_PLUS = {
    "scaler": {"robust_smooth_clip", "quantile_normal"},
    "missing": {"indicator"},
    "encoder": {"embedding"},
    "embedding": {"piecewise_linear", "plr", "pbld"},
    "input_scale": {"diagonal"},
    "parametrization": {"ntk"},
    "initializer": {"data_std"},
    "dropout": {"none"},
    "schedule": {"coslog4", "cosine_restarts"},
    "weight_decay": {"decoupled"},
    "target": {"clamped"},
}


def test_notes_plus_has_the_notes_and_more() -> None:
    notes, plus = SearchSpace.from_toml("notes"), SearchSpace.from_toml("notes_plus")
    described = plus.to_dict()
    for name, section in SECTIONS.items():
        if section.rows:
            left_out = NOT_IN_NOTES_PLUS.get(name, set())
            assert set(described[name]["choices"]) == set(section.rows) - left_out
    assert set(plus.distributions()) >= set(notes.distributions()) | {"loss.label_smoothing"}
    assert configs("notes_plus")[-2:] == [
        replace(config, early_stopping=configs("notes_plus")[-1].early_stopping)
        for config in configs("notes")
    ]


def test_default_pairs_selu() -> None:
    space = SearchSpace.from_toml("default")
    selu = {"activation": "selu", "initializer": "lecun_normal"}
    assert space.can_complete(selu)
    assert not space.can_complete(selu | {"initializer": "he_normal"})
    assert space.can_complete({"activation": "relu", "initializer": "he_normal"})


def test_default_follows_the_data() -> None:
    space = SearchSpace.from_toml("default")
    assert space.resolve(500, 5, "binary") != space.resolve(50_000, 5, "binary")
    few, many = (space.resolve(500, 90, "binary", n_numbers=n).distributions() for n in (50, 51))
    assert isinstance(few["embedding"], Choices)
    assert "embedding" not in many
    pictures = space.resolve(60_000, 784, "multiclass", pictures=True)
    assert {"scaler", "embedding"}.isdisjoint(pictures.distributions())
    tried = [pictures.config_from(params) for params in pictures.baselines()]
    assert [(config.epochs, config.schedule.name) for config in tried] == [
        (12, "one_cycle"),
        (40, "one_cycle"),
    ]
    layers = space.resolve(20_001, 5, "binary").distributions()["network.hidden_layers"]
    assert layers == Range(1, 3, integer=True)


def test_sections_of_numbers_are_fixed_without_numbers() -> None:
    space = SearchSpace.from_toml("default")
    texts = space.resolve(500, 12, "binary", n_numbers=0)
    found = set(texts.distributions())
    assert not [name for name in found if name.startswith(("scaler", "embedding", "missing"))]
    assert {"input_scale", "network.hidden_layers", "dropout.rate"} <= found
    tried = [texts.config_from(params) for params in texts.baselines()]
    assert {(config.scaler.name, config.embedding.name) for config in tried} == {
        ("standard", "none")
    }
    assert texts.resolve(500, 12, "binary", n_numbers=0) == texts
    # In the form in which a study stores it.
    assert SearchSpace.from_dict(texts.to_dict()) == texts
    assert len(texts.views()) < len(space.resolve(500, 12, "binary").views())


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_default_tries_the_cheapest_first(task: str) -> None:
    space = SearchSpace.from_toml("default").resolve(5_000, 20, task, n_numbers=20)
    tried = [space.config_from(params) for params in space.baselines()]
    assert [config.epochs for config in tried[:2]] == [12, 60]
    first = ["none", "none", "piecewise_linear", "pbld"]
    assert [config.embedding.name for config in tried[:4]] == first
    assert tried[-1].activation.name == ("mish" if task == "regression" else "selu")
    assert len(tried) == 8
    assert all(config.dropout["rate"] > 0 for config in tried)


def test_quick_is_small() -> None:
    quick, default = SearchSpace.from_toml("quick"), SearchSpace.from_toml("default")
    assert len(quick.distributions()) < len(default.distributions()) / 2
    assert all(config.epochs <= 40 for config in configs("quick"))


@pytest.mark.parametrize("name", NAMES)
def test_shipped_spaces_have_no_notices(name: str) -> None:
    space = SearchSpace.from_toml(name)
    assert space.notices == []
    assert space.resolve(50_000, 90, "regression").notices == []


def test_deep_changes_one_thing_at_a_time() -> None:
    chain = [config.choices() for config in configs("deep")[:5]]
    changed = [
        [name for name in SECTIONS if before[name] != after[name]]
        for before, after in pairwise(chain)
    ]
    assert changed == [["activation"], ["initializer"], ["initializer"], ["batch_norm"]]
    for other in (config.choices() for config in configs("deep")[5:]):
        differing = {name for name in SECTIONS if other[name] != chain[3][name]}
        assert differing <= {"activation", "initializer", "dropout"}


def test_deep_starts_with_the_naive_network() -> None:
    layers = SearchSpace.from_toml("deep").distributions()["network.hidden_layers"]
    assert layers == Range(5, 20, integer=True)
    naive = configs("deep")[0]
    assert (naive.activation.name, naive.initializer.name) == ("sigmoid", "normal")
    assert naive.batch_norm.name == "off"


def test_regularized_searches_every_regularization() -> None:
    searched = SearchSpace.from_toml("regularized").distributions()
    names = {
        "regularizer.l1",
        "regularizer.l2",
        "constraint",
        "constraint.max_norm.max_value",
        "dropout.rate",
        "dropout.input_rate",
        "loss.label_smoothing",
        "early_stopping.patience",
    }
    assert names <= set(searched)
    assert isinstance(searched["constraint"], Choices)
    assert Fixed("none") not in searched.values()


def test_section_without_effect_on_the_task_has_its_default() -> None:
    space = SearchSpace({"target": {"choices": ["clamped"]}})
    regression, binary = (space.resolve(500, 5, task) for task in ("regression", "binary"))
    assert regression.config_from({}).target.name == "clamped"
    assert binary.config_from({}).target.name == "free"
