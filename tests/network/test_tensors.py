"""Named tensors of a network: names, shapes, and conversion in both directions."""

from __future__ import annotations

import numpy as np
import pytest

from autotrain.data.codes import Columns
from autotrain.network.tensors import from_tensors, layout_of, tensor_shapes, to_tensors
from autotrain.space.config import TrialConfig
from autotrain.techniques.activations import ACTIVATIONS
from autotrain.techniques.normalization import BATCH_NORMS

COLUMNS = Columns(3, (), 1)


def config_of(**params: object) -> TrialConfig:
    return TrialConfig.from_params({name.replace("__", "."): v for name, v in params.items()})


def test_names_and_shapes_of_all_tensors() -> None:
    config = config_of(
        network__hidden_units="7-4",
        activation="prelu",
        batch_norm="before_activation",
        batch_norm__input=True,
    )
    layout = layout_of(config, Columns(3, (), 0), 2)
    assert tensor_shapes(config, layout) == {
        "hidden.0.kernel": (3, 7),
        "hidden.1.kernel": (7, 4),
        "output.kernel": (4, 2),
        "hidden.0.bias": (7,),
        "batch_norm.0.gamma": (7,),
        "batch_norm.0.beta": (7,),
        "hidden.1.bias": (4,),
        "batch_norm.1.gamma": (4,),
        "batch_norm.1.beta": (4,),
        "activation.0.slope": (1,),
        "activation.1.slope": (1,),
        "batch_norm.input.gamma": (3,),
        "batch_norm.input.beta": (3,),
        "output.bias": (2,),
        "batch_norm.input.moving_mean": (3,),
        "batch_norm.input.moving_variance": (3,),
        "batch_norm.0.moving_mean": (7,),
        "batch_norm.0.moving_variance": (7,),
        "batch_norm.1.moving_mean": (4,),
        "batch_norm.1.moving_variance": (4,),
    }


def test_names_and_shapes_of_the_input_layer() -> None:
    columns = Columns(3, (5, 2), 4)
    around = {
        "network__hidden_units": "7",
        "activation__parametric": True,
        "encoder": "embedding",
        "encoder__embedding__width": 6,
        "input_scale": "diagonal",
    }

    def new_in(**params: object) -> dict[str, tuple[int, ...]]:
        config = config_of(**around, **params)
        shapes = tensor_shapes(config, layout_of(config, columns, 2))
        kinds = ("hidden.", "output.")
        return {name: shape for name, shape in shapes.items() if not name.startswith(kinds)}

    levels = {"input_layer.level_vectors.0": (5, 6), "input_layer.level_vectors.1": (2, 6)}
    # Three numbers, two columns of codes, four plain columns.
    mix, scale = {"activation.0.mix": (7,)}, {"input_layer.scale": (3 + 2 * 6 + 4,)}
    assert new_in() == mix | levels | scale
    assert new_in(embedding="pbld", embedding__pbld__width=5) == {
        **mix,
        **levels,
        "input_layer.scale": (3 * 5 + 2 * 6 + 4,),
        "input_layer.embedding_frequency": (3, 16),
        "input_layer.embedding_phase": (3, 16),
        "input_layer.embedding_kernel": (3, 16 * 4),
        "input_layer.embedding_bias": (3, 4),
    }
    assert new_in(embedding="plr", embedding__plr__width=5) == {
        **mix,
        **levels,
        "input_layer.scale": (3 * 5 + 2 * 6 + 4,),
        "input_layer.embedding_frequency": (3, 16),
        "input_layer.embedding_kernel": (3, 32 * 5),
        "input_layer.embedding_bias": (3, 5),
    }
    assert new_in(embedding="piecewise_linear", embedding__piecewise_linear__n_bins=8) == {
        **mix,
        **levels,
        "input_layer.scale": (3 * 16 + 2 * 6 + 4,),
        "input_layer.embedding_kernel": (3, 8 * 16),
        "input_layer.embedding_bias": (3, 16),
        "input_layer.embedding_slope": (3, 16),
        "input_layer.bin_edge": (3, 8),
        "input_layer.bin_width": (3, 8),
    }


def test_unused_tensors_are_not_written() -> None:
    config = config_of(network__hidden_units="7-4", activation="relu", batch_norm="off")
    assert set(tensor_shapes(config, layout_of(config, Columns(3, (), 0), 2))) == {
        "hidden.0.kernel",
        "hidden.0.bias",
        "hidden.1.kernel",
        "hidden.1.bias",
        "output.kernel",
        "output.bias",
    }


def test_linear_model_has_only_an_output_layer() -> None:
    config = config_of(network__hidden_layers=0)
    shapes = tensor_shapes(config, layout_of(config, Columns(3, (), 0), 2))
    assert shapes == {"output.kernel": (3, 2), "output.bias": (2,)}


@pytest.mark.parametrize("has_input_norm", [False, True])
@pytest.mark.parametrize("batch_norm", BATCH_NORMS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_from_tensors_inverts_to_tensors(
    activation: str, batch_norm: str, has_input_norm: bool
) -> None:
    config = config_of(
        network__hidden_units="5-3",
        activation=activation,
        batch_norm=batch_norm,
        batch_norm__input=has_input_norm,
    )
    layout = layout_of(config, COLUMNS, 2)
    parameters = np.arange(1, layout.n_parameters + 1, dtype=np.float32)
    statistics = -np.arange(1, layout.n_statistics + 1, dtype=np.float32)
    tensors = to_tensors(config, layout, parameters, statistics)
    assert {name: t.shape for name, t in tensors.items()} == tensor_shapes(config, layout)
    start, rows, columns = layout.parameters["kernel", 1]
    kernel = parameters[start : start + rows * columns].reshape(rows, columns)
    np.testing.assert_array_equal(tensors["hidden.1.kernel"], kernel)

    written = np.concatenate([tensor.ravel() for tensor in tensors.values()])
    for row, back in zip(
        (parameters, statistics), from_tensors(config, layout, tensors), strict=True
    ):
        is_used = np.isin(row, written)
        np.testing.assert_array_equal(back[is_used], row[is_used])
        assert set(back[~is_used].tolist()) <= {0.0, 1.0}


def test_batch_norm_that_is_not_written_is_the_identity() -> None:
    config = config_of(network__hidden_units="5", batch_norm="off")
    layout = layout_of(config, COLUMNS, 2)
    tensors = to_tensors(
        config, layout, np.full(layout.n_parameters, 9.0), np.full(layout.n_statistics, 9.0)
    )
    parameters, statistics = from_tensors(config, layout, tensors)
    for row, entries in ((parameters, layout.parameters), (statistics, layout.statistics)):
        for (kind, _), (start, rows, columns) in entries.items():
            expected = {"gamma": 1.0, "variance": 1.0, "beta": 0.0, "mean": 0.0}.get(kind)
            if expected is not None:
                assert (row[start : start + rows * columns] == expected).all(), kind
