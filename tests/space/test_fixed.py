"""A single configuration: a dictionary, a TOML file, or that of a trial."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from hypothesis import given, settings

from autotrain.errors import SpaceError
from autotrain.space.config import TrialConfig
from autotrain.space.fixed import fixed_space
from autotrain.space.naming import flatten, nest
from autotrain.space.search_space import SearchSpace
from tests.space import strategies

NESTED = {
    "activation": {"choice": "leaky_relu", "leaky_relu": {"negative_slope": 0.2}},
    "optimizer": {"choice": "nadam", "learning_rate": 2e-3, "nadam": {"beta_1": 0.8}},
    "network": {"hidden_units": "30-10"},
    "schedule": {"choice": "piecewise", "piecewise": {"boundaries": [0.5], "factors": [1, 0.1]}},
    "early_stopping": {"enabled": False},
}


def settled(config: Any) -> TrialConfig:
    return fixed_space(config).resolve(n_train=500, n_inputs=4, task="binary").config_from({})


def test_ways_to_write_a_configuration_are_equal(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(tomli_w.dumps(NESTED))
    config = settled(NESTED)
    assert config.hidden_units == (30, 10)
    assert config.activation["negative_slope"] == 0.2
    assert config.optimizer["beta_1"] == 0.8
    assert config.schedule["factors"] == (1.0, 0.1)
    assert not config.early_stopping["enabled"]
    written: list[Any] = [path, str(path), flatten(NESTED), config]
    assert [settled(way) for way in written] == [config] * 4


def test_left_out_values_are_defaults_or_follow_the_data() -> None:
    config = settled({})
    space = SearchSpace({}).resolve(n_train=500, n_inputs=4, task="binary")
    assert config == space.config_from({})
    assert config.activation.name == "relu"
    assert settled({"training": {"batch_size": "auto"}}) == config
    assert settled({"training": {"batch_size": 7}}).batch_size == 7


def test_numpy_numbers_and_tuples_are_read() -> None:
    config = settled({"training.epochs": np.int64(3), "optimizer.learning_rate": np.float64(0.5)})
    assert (config.epochs, config.optimizer["learning_rate"]) == (3, 0.5)
    assert isinstance(config.epochs, int)


@given(strategies.params())
@settings(max_examples=60, deadline=None)
def test_every_configuration_survives_its_file(params: dict[str, Any]) -> None:
    config = TrialConfig.from_params(params)
    written = tomllib.loads(tomli_w.dumps(config.to_dict()))
    assert written == config.to_dict()
    assert TrialConfig.from_dict(written) == config
    assert nest(flatten(written)) == written
    assert fixed_space(written).is_fixed


def test_every_mistake_is_reported_at_once() -> None:
    with pytest.raises(SpaceError) as caught:
        fixed_space(
            {
                "extends": "default",
                "baseline": [],
                "activation": "rellu",
                "optimiser": "adam",
                "dropout": {"choice": "none", "rate": 0.3},
                "batch_norm": {"choices": ["before", "after"]},
                "network": {"hidden_units": -1, "hidden_layers": {"low": 1, "high": 2}},
                "optimizer": {"learning_rate": {"choices": [0.1, 0.2]}, "adam": {"beta_9": 0.1}},
            }
        )
    mistakes = caught.value.mistakes
    assert len(mistakes) == 10
    for place in (
        "extends",
        "baseline",
        "[activation]",
        "[optimiser]",
        "[dropout] rate",
        "[batch_norm] choices",
        "[network] hidden_units",
        "[network] hidden_layers",
        "[optimizer] learning_rate",
        "[optimizer] adam.beta_9",
    ):
        assert any(re.match(rf"{re.escape(place)}( |:)", mistake) for mistake in mistakes), place
    assert any("'relu'" in mistake for mistake in mistakes)
    ranges = [mistake for mistake in mistakes if "autotrain search" in mistake]
    assert len(ranges) == 3


@pytest.mark.parametrize("config", [5, None, ["activation"]])
def test_other_types_raise(config: Any) -> None:
    with pytest.raises(SpaceError):
        fixed_space(config)


def test_file_is_named_in_its_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    with pytest.raises(SpaceError) as caught:
        fixed_space(path)
    assert caught.value.source == str(path)
    path.write_text("[network\n")
    with pytest.raises(SpaceError):
        fixed_space(path)


@pytest.mark.parametrize("page", ["spaces.md", "cli.md"])
def test_documented_configurations_are_legal(page: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / page).read_text(encoding="utf-8")
    if page == "spaces.md":
        (block,) = re.findall(r"```python\nconfig = (.*?)```", text, flags=re.DOTALL)
        config = ast.literal_eval(block)
    else:
        (block,) = re.findall(r"```toml\n(activation.*?)```", text, flags=re.DOTALL)
        config = tomllib.loads(block)
    assert fixed_space(config).is_fixed
    assert settled(config).hidden_units == (300, 100)


# ---- configurations of a space --------------------------------------------------------------

SPACE = {
    "network": {"hidden_units": {"choices": [8, "16-16"]}, "hidden_layers": {"low": 1, "high": 3}},
    "training": {"batch_size": 16, "epochs": 5},
    "activation": {"choices": ["relu", "elu"]},
    "optimizer": {"learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}},
    "forbid": [{"activation": "elu", "network.hidden_units": 8}],
}


def test_configuration_of_a_space_has_all_its_parameters() -> None:
    space = SearchSpace(SPACE)
    params = space.fit({"activation": "elu"})
    config = space.config_from(params)
    assert (config.activation.name, config.hidden_units, config.epochs) == ("elu", (16, 16), 5)
    # A configuration has only widths, whatever their form in the space.
    assert space.config_from(space.fit(config.to_dict())) == config


def test_everything_outside_the_space_is_named() -> None:
    wrong = {"activation": "tanh", "network.hidden_units": 9, "training.epochs": 6, "dropuot": "a"}
    with pytest.raises(SpaceError) as caught:
        SearchSpace(SPACE).fit(wrong)
    named = {re.split("[: ]", mistake)[0] for mistake in caught.value.mistakes}
    assert named == set(wrong)
    with pytest.raises(SpaceError):
        SearchSpace(SPACE).fit({"activation": "elu", "network.hidden_units": 8})
