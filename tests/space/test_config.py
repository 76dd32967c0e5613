"""TrialConfig: complete, frozen, strict, and equal after every round trip."""

from __future__ import annotations

import dataclasses
import json
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from autotrain.errors import SpaceError
from autotrain.space.config import TrialConfig
from autotrain.space.sections import SECTIONS, Section
from tests.space import strategies

ROWS = [(section, row) for section in SECTIONS.values() for row in section.rows]


def mistakes_of(params: dict[Any, Any]) -> tuple[str, ...]:
    with pytest.raises(SpaceError) as caught:
        TrialConfig.from_params(params)
    return caught.value.mistakes


def test_default_configuration() -> None:
    config = TrialConfig.from_params({})
    assert config.hidden_units == (128, 128)
    assert (config.batch_size, config.epochs) == (32, 100)
    assert config.activation.name == "relu"
    assert config.initializer.name == "he_normal"
    assert config.batch_norm.name == "off"
    assert (config.dropout.name, config.dropout["rate"]) == ("dropout", 0.1)
    assert config.clipping.name == "none"
    assert (config.optimizer.name, config.optimizer["learning_rate"]) == ("adam", 1e-3)
    assert config.schedule.name == "constant"
    assert config.constraint.name == "none"
    assert config.regularizer.parameters == {"l1": 0.0, "l2": 0.0}
    assert config.early_stopping["patience"] == 10
    assert config.loss["label_smoothing"] == 0.0


def test_fields_equal_the_sections() -> None:
    fields = {field.name for field in dataclasses.fields(TrialConfig)}
    special = {"network", "training"}
    assert fields - {"hidden_units", "batch_size", "epochs"} == set(SECTIONS) - special


@pytest.mark.parametrize(
    ("section", "row"), ROWS, ids=lambda x: x if isinstance(x, str) else x.name
)
def test_every_row_reaches_a_configuration_with_its_parameters(section: Section, row: str) -> None:
    config = TrialConfig.from_params({section.name: row})
    choice = getattr(config, section.name)
    assert choice.name == row
    assert set(choice.parameters) == {*section.parameters, *section.own_parameters(row)}
    for key, parameter in section.own_parameters(row).items():
        assert choice[key] == parameter.default


@pytest.mark.parametrize(
    ("section", "row"), ROWS, ids=lambda x: x if isinstance(x, str) else x.name
)
def test_keys_of_a_row_differ_from_shared_keys(section: Section, row: str) -> None:
    # `section.key` and `section.row.key` must not have two meanings in one Choice, and a key must
    # differ from rows and words of the grammar.
    assert not set(section.own_parameters(row)) & set(section.parameters)
    assert not {"choices", "choice", "name", *section.rows} & set(section.parameters)


@given(strategies.params())
@settings(max_examples=100, deadline=None)
def test_round_trips(params: dict[str, Any]) -> None:
    config = TrialConfig.from_params(params)
    assert TrialConfig.from_params(config.to_params()) == config
    assert TrialConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert TrialConfig.assemble(config.choices()) == config
    assert pickle.loads(pickle.dumps(config)) == config
    assert hash(TrialConfig.from_params(config.to_params())) == hash(config)
    kept = config.to_params()
    assert all(kept[name] == v for name, v in params.items() if not name.startswith("network."))


@pytest.mark.parametrize(
    ("params", "widths"),
    [
        ({"network.hidden_units": "300-100"}, (300, 100)),
        ({"network.hidden_units": "64"}, (64,)),
        ({"network.hidden_units": 50, "network.hidden_layers": 3}, (50, 50, 50)),
        ({"network.hidden_layers": 0}, ()),
    ],
)
def test_hidden_units(params: dict[str, Any], widths: tuple[int, ...]) -> None:
    config = TrialConfig.from_params(params)
    assert config.hidden_units == widths
    assert TrialConfig.from_params(config.to_params()).hidden_units == widths


def test_row_may_override_a_shared_parameter() -> None:
    config = TrialConfig.from_params({"optimizer": "sgd", "optimizer.sgd.learning_rate": 0.5})
    assert config.optimizer.parameters == {"learning_rate": 0.5}


def test_lists_are_read_from_text() -> None:
    config = TrialConfig.from_params(
        {"schedule": "piecewise", "schedule.piecewise.boundaries": "[3.0, 4.0]"}
    )
    assert config.schedule["boundaries"] == (3.0, 4.0)


def test_idle_parameters_have_their_idle_value() -> None:
    # A trainer that reads only the rate must not drop units.
    config = TrialConfig.from_params({"dropout": "none"})
    assert config.dropout.parameters == {
        "annealing": "constant",
        "rate": 0.0,
        "input_rate": 0.0,
        "floor": 0.0,
    }


def test_input_batch_norm_without_any_other() -> None:
    config = TrialConfig.from_params({"batch_norm.input": True, "batch_norm.momentum": 0.5})
    assert config.batch_norm.name == "off"
    assert config.batch_norm["momentum"] == 0.5


def test_frozen() -> None:
    config = TrialConfig.from_params({})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("params", "mistake"),
    [
        (
            {"optimizer": "adan"},
            "[optimizer]: no optimizer 'adan'. Did you mean 'adam'? Known: sgd, momentum, "
            "nesterov, adagrad, rmsprop, adam, adamax, nadam, adamw.",
        ),
        (
            {"optimizer": ["adam"]},
            "[optimizer]: no optimizer \"['adam']\". Did you mean 'adam'? Known: sgd, momentum, "
            "nesterov, adagrad, rmsprop, adam, adamax, nadam, adamw.",
        ),
        (
            {"optimizer.learning_rate": 0.0},
            "[optimizer] learning_rate must be a number greater than 0, got 0.0.",
        ),
        (
            {"optimizer.adam.beta_3": 0.5},
            "[optimizer] adam.beta_3: no parameter 'beta_3'. Did you mean 'beta_2'? "
            "Known: beta_1, beta_2, epsilon, learning_rate.",
        ),
        (
            {"optimizer.sgd.momentum": 0.5},
            "[optimizer] sgd.momentum: no parameter 'momentum'. Known: learning_rate.",
        ),
        (
            {"activation.leaky.negative_slope": 0.5},
            "[activation] leaky.negative_slope: no activation 'leaky'. Did you mean 'leaky_relu'? "
            "Known: sigmoid, tanh, relu, softplus, leaky_relu, prelu, elu, selu, gelu, silu, mish.",
        ),
        (
            {"activation.leaky_relu.negative_slope": 0.5},
            '[activation] leaky_relu.negative_slope has no effect with activation = "relu". It '
            'needs activation = "leaky_relu".',
        ),
        (
            {"dropout": "none", "dropout.rate": 0.5},
            '[dropout] rate has no effect with dropout = "none". Leave it out.',
        ),
        (
            {"dropout.rate": 0.5, "dropout.floor": 0.5},
            '[dropout] floor has no effect with dropout = "dropout" and annealing = "constant". '
            "Leave it out.",
        ),
        (
            {"dropout": "none", "dropout.annealing": "flat_cos"},
            '[dropout] annealing has no effect with dropout = "none". Leave it out.',
        ),
        (
            {"activation.mix_learning_rate": 2.0},
            '[activation] mix_learning_rate has no effect with activation = "relu" and '
            "parametric = false. Leave it out.",
        ),
        (
            {"dropout.annealing": "down"},
            '[dropout] annealing must be one of "constant", "flat_cos", got "down".',
        ),
        (
            {"embedding.learning_rate": 2.0},
            '[embedding] learning_rate has no effect with embedding = "none". Leave it out.',
        ),
        (
            {"network.hidden_units": "300-100", "network.hidden_layers": 5},
            '[network] hidden_layers has no effect with hidden_units = "300-100". Leave it out.',
        ),
        (
            {"network.hidden_units": "300,100"},
            "[network] hidden_units must be an integer of at least 1 and at most "
            "65,536, or the width of each layer "
            'as text like "300-100", got "300,100".',
        ),
        (
            {"training.batch_size": "auto"},
            "[training] batch_size must be an integer of at least 1 and at most "
            '1,000,000,000, got "auto".',
        ),
        (
            {"optimizer.learning_rate": 0.1, "optimizer.adam.learning_rate": 0.1},
            "[optimizer] learning_rate must be given once, got adam.learning_rate too.",
        ),
        (
            {"network": 3},
            "[network]: this section has no choices. Its parameters are network.hidden_units, "
            "network.hidden_layers.",
        ),
        (
            {"learning_rate": 3},
            "[learning_rate]: no section 'learning_rate'. Known: network, training, scaler, "
            "missing, encoder, embedding, input_scale, parametrization, initializer, activation, "
            "batch_norm, dropout, clipping, optimizer, schedule, regularizer, weight_decay, "
            "constraint, early_stopping, loss, target. 'learning_rate' belongs to [optimizer] "
            "learning_rate.",
        ),
        (
            {"network.activation": "relu"},
            "[network] activation: no key of [network] 'activation'. "
            "Known: hidden_units, hidden_layers.",
        ),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_mistakes(params: dict[str, Any], mistake: str) -> None:
    assert mistakes_of(params) == (mistake,)


def test_contradicting_lists() -> None:
    (mistake,) = mistakes_of(
        {"schedule": "piecewise", "schedule.piecewise.boundaries": (1.0, 2.0, 3.0)}
    )
    assert mistake.startswith("[schedule] piecewise:")
    assert "one factor more than boundaries" in mistake


def test_all_mistakes_at_once() -> None:
    assert len(mistakes_of({"optimizer": "adan", "activation": "rely", "training.epochs": 0})) == 3


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ({"hidden_units": 3}, "hidden_units must be a list of integers, got 3."),
        ({"hidden_units": [0]}, "hidden_units must be a list of integers, got [0]."),
        (
            {"epochs": 0},
            "[training] epochs must be an integer of at least 1 and at most 1,000,000, got 0.",
        ),
        (
            {"activation": "relu"},
            '[activation] must have a name and parameters, got "relu".',
        ),
        (
            {"activation": {"name": "rely", "parameters": {}}},
            "[activation]: no activation 'rely'. Did you mean 'relu'? Known: sigmoid, tanh, relu, "
            "softplus, leaky_relu, prelu, elu, selu, gelu, silu, mish.",
        ),
    ],
)
def test_mistakes_in_json(change: dict[str, Any], mistake: str) -> None:
    written = TrialConfig.from_params({}).to_json() | change
    with pytest.raises(SpaceError) as caught:
        TrialConfig.from_json(written)
    assert caught.value.mistakes == (mistake,)


def test_json_must_be_a_table() -> None:
    with pytest.raises(SpaceError, match=r"must be a table, got \[\]"):
        TrialConfig.from_json([])


def test_names_must_be_text() -> None:
    assert mistakes_of({3: 4}) == ("names must be text, got 3.",)


def test_numbers_of_numpy_are_read() -> None:
    config = TrialConfig.from_params(
        {"network.hidden_units": np.int64(7), "dropout.rate": np.float64(0.25)}
    )
    assert config.hidden_units == (7, 7)
    assert type(config.dropout["rate"]) is float


def test_unknown_field_in_json() -> None:
    written = TrialConfig.from_params({}).to_json() | {"optimiser": {}}
    with pytest.raises(SpaceError, match="Did you mean 'optimizer'"):
        TrialConfig.from_json(written)


def test_json_without_a_section() -> None:
    written = TrialConfig.from_params({}).to_json()
    del written["loss"]
    assert TrialConfig.from_json(written) == TrialConfig.from_params({})
