"""Meaning of one configuration: dropout, sizes, scales and learning rates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autotrain.data.codes import Columns
from autotrain.network.config import (
    dropout_of,
    dropout_rates,
    dropout_sites,
    factor_row,
    has_dropout,
    input_dropout_of,
    input_norm_of,
    kernel_scales,
    learning_rate_factors,
    network_key,
    shape_of,
    view_of,
)
from autotrain.network.layout import INPUT, Layout
from autotrain.techniques.view import View
from tests.training.problems import make_config

COLUMNS = Columns(3, (4, 6), 2)
ON: dict[str, Any] = {"dropout": "dropout", "dropout.rate": 0.25, "dropout.input_rate": 0.1}


@pytest.mark.parametrize(
    ("params", "rates", "layers"),
    [
        ({"dropout": "none"}, (0.0, 0.0), []),
        (ON | {"dropout.rate": 0.0, "dropout.input_rate": 0.0}, (0.0, 0.0), []),
        (ON, (0.1, 0.25), [INPUT, 0, 1]),
        (ON | {"dropout.rate": 0.0}, (0.1, 0.0), [INPUT]),
        (ON | {"dropout.input_rate": 0.0, "dropout": "alpha_dropout"}, (0.0, 0.25), [0, 1]),
        (ON | {"dropout.input_rate": 0.0, "network.hidden_layers": 0}, (0.0, 0.25), []),
    ],
)
def test_dropout_is_on_at_layers_with_a_positive_rate(
    params: dict[str, Any], rates: tuple[float, float], layers: list[int]
) -> None:
    config = make_config(params)
    assert dropout_rates(config) == rates
    sites = dropout_sites(config, 6)
    assert [site.layer for site in sites] == layers
    assert [site.units for site in sites] == [{INPUT: 6, 0: 7, 1: 5}[layer] for layer in layers]
    assert has_dropout(config) == bool(layers)
    assert (input_dropout_of(config).name != "none") == (INPUT in layers)
    assert (dropout_of(config).name != "none") == (rates[1] > 0)


def test_input_dropout_has_its_rate_under_the_name_rate() -> None:
    choice = input_dropout_of(make_config(ON))
    assert (choice.name, choice["rate"]) == ("dropout", 0.1)


@pytest.mark.parametrize("is_on", [False, True])
def test_input_norm_is_a_batch_norm_before_the_first_layer(is_on: bool) -> None:
    choice = input_norm_of(make_config({"batch_norm.input": is_on}))
    assert choice.name == ("before_activation" if is_on else "off")


def test_one_hot_limit_of_a_view_is_zero_without_embedding_of_categories() -> None:
    assert view_of(make_config({"encoder": "one_hot"})) == View("standard", "median", 0)
    config = make_config({"encoder": "embedding", "encoder.embedding.one_hot_limit": 5})
    assert view_of(config) == View("standard", "median", 5)


def test_number_of_inputs_follows_the_embeddings() -> None:
    plain = shape_of(make_config(), Columns.plain(4), 3)
    assert (plain.n_inputs, plain.hidden, plain.n_outputs) == (4, (7, 5), 3)
    assert plain.input_layer is None
    config = make_config(
        {
            "encoder": "embedding",
            "encoder.embedding.width": 8,
            "embedding": "pbld",
            "embedding.pbld.width": 4,
        }
    )
    shape = shape_of(config, COLUMNS, 3)
    assert shape.n_inputs == 3 * 4 + 2 * 8 + 2
    assert shape.input_layer is not None


def test_network_key_depends_on_width_class_and_embeddings() -> None:
    def key(columns: Columns = COLUMNS, **params: Any) -> tuple[object, ...]:
        params = {name.replace("__", "."): value for name, value in params.items()}
        config = make_config({"encoder": "embedding"} | params)
        return network_key(config, shape_of(config, columns, 2))

    assert key() == key(network__hidden_units="32")
    assert key() != key(network__hidden_units="33")
    assert key(embedding="plr") != key(embedding="pbld")
    assert key(embedding="plr") != key(embedding="plr", embedding__plr__width=5)
    more_levels = Columns(3, (9, 9), 7)
    assert key(more_levels, embedding="plr") == key(embedding="plr")


def test_ntk_scales_each_layer_by_its_inputs() -> None:
    config = make_config({"parametrization": "ntk"})
    scales = kernel_scales(config, shape_of(config, Columns.plain(4), 2))
    assert scales == pytest.approx([4**-0.5, 7**-0.5, 5**-0.5])
    standard = make_config()
    assert kernel_scales(standard, shape_of(standard, Columns.plain(4), 2)) == [1.0, 1.0, 1.0]


def test_factors_on_the_learning_rate_are_those_of_their_tensors() -> None:
    config = make_config(
        {
            "parametrization.bias_learning_rate": 0.5,
            "input_scale": "diagonal",
            "input_scale.diagonal.learning_rate": 6.0,
        }
    )
    assert learning_rate_factors(config) == {"bias": 0.5, "output_bias": 0.5, "scale": 6.0}
    layout = Layout(shape_of(config, Columns.plain(4), 2))
    row = factor_row(config, layout)
    assert row is not None
    factors = {"bias": 0.5, "output_bias": 0.5, "scale": 6.0}
    for (kind, _), (start, rows, columns) in layout.parameters.items():
        expected = factors.get(kind, 1.0)
        np.testing.assert_array_equal(row[start : start + rows * columns], expected)


def test_no_row_of_factors_if_all_are_one() -> None:
    config = make_config()
    assert factor_row(config, Layout(shape_of(config, Columns.plain(4), 2))) is None
