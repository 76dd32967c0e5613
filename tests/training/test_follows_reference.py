"""One slot follows plain PyTorch epoch by epoch, for every row of every table.

To add a row, add its test parameters to `CASES` and its torch counterpart to `tests/reference.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

import tests.reference as reference_tables
from autotrain.data.codes import Columns
from autotrain.metrics import METRICS
from autotrain.network.layout import INPUT
from autotrain.space.config import TrialConfig
from autotrain.techniques.activations import ACTIVATIONS
from autotrain.techniques.clipping import CLIPPINGS
from autotrain.techniques.constraints import CONSTRAINTS
from autotrain.techniques.decay import WEIGHT_DECAYS
from autotrain.techniques.dropout import DROPOUTS
from autotrain.techniques.embeddings import EMBEDDINGS
from autotrain.techniques.encoders import ENCODERS
from autotrain.techniques.initializers import INITIALIZERS
from autotrain.techniques.input_scales import INPUT_SCALES
from autotrain.techniques.normalization import BATCH_NORMS
from autotrain.techniques.optimizers import OPTIMIZERS
from autotrain.techniques.parametrizations import PARAMETRIZATIONS
from autotrain.techniques.regularizers import REGULARIZERS
from autotrain.techniques.schedules import SCHEDULES
from autotrain.techniques.technique import Technique
from autotrain.training.slot import Admission, Slot
from tests.training.problems import (
    N_INPUTS,
    make_config,
    make_fleet,
    make_fold,
    make_problem,
    make_reference,
    make_trainer,
    random_params,
    train_alone,
)

SEED = 7
TABLES: dict[str, Mapping[str, Technique]] = {
    "activation": ACTIVATIONS,
    "batch_norm": BATCH_NORMS,
    "clipping": CLIPPINGS,
    "constraint": CONSTRAINTS,
    "dropout": DROPOUTS,
    "initializer": INITIALIZERS,
    "optimizer": OPTIMIZERS,
    "regularizer": REGULARIZERS,
    "schedule": SCHEDULES,
    "weight_decay": WEIGHT_DECAYS,
    "embedding": EMBEDDINGS,
    "encoder": ENCODERS,
    "input_scale": INPUT_SCALES,
    "parametrization": PARAMETRIZATIONS,
}
# Three numbers, two columns of codes, two plain columns; then the same without codes.
COLUMNS, NO_CODES = Columns(3, (5, 3), 2), Columns(3, (), 4)
FRONT = ("embedding", "encoder", "input_scale", "parametrization", "weight_decay")

PARAMETRIC = {"*parametric": True, "*mix_learning_rate": 0.5}

CASES: dict[str, dict[str, list[dict[str, Any]]]] = {
    "activation": {
        "sigmoid": [{}, PARAMETRIC],
        "tanh": [{}, PARAMETRIC],
        "relu": [{}, PARAMETRIC],
        "softplus": [{}, PARAMETRIC],
        "leaky_relu": [{"negative_slope": 0.2}, PARAMETRIC | {"negative_slope": 0.2}],
        "prelu": [{"init": 0.3}, PARAMETRIC | {"init": 0.3}],
        "elu": [{"alpha": 0.7}, PARAMETRIC | {"alpha": 0.7}],
        "selu": [{}, PARAMETRIC],
        "gelu": [{}, PARAMETRIC],
        "silu": [{}, PARAMETRIC],
        "mish": [{}, PARAMETRIC],
    },
    "initializer": {
        "glorot_normal": [{}],
        "glorot_uniform": [{}],
        "he_normal": [{}],
        "he_uniform": [{}],
        "lecun_normal": [{}],
        "lecun_uniform": [{}],
        "he_avg_normal": [{}],
        "he_avg_uniform": [{}],
        "orthogonal": [{}],
        "normal": [{"std": 0.4}],
        "data_std": [{}],
    },
    "batch_norm": {
        "off": [{}, {"*input": True, "*momentum": 0.7, "*epsilon": 1e-3}],
        "before_activation": [{"*momentum": 0.6}, {"*input": True, "*momentum": 0.8}],
        "after_activation": [{"*epsilon": 1e-2}, {"*input": True}],
    },
    "dropout": {
        "none": [{}],
        "dropout": [
            {"*rate": 0.3},
            {"*rate": 0.0, "*input_rate": 0.2},
            {"*rate": 0.5, "*input_rate": 0.1},
            {"*rate": 0.5, "*annealing": "flat_cos"},
        ],
        "alpha_dropout": [
            {"*rate": 0.2},
            {"*rate": 0.1, "*input_rate": 0.3, "*annealing": "flat_cos", "*floor": 0.4},
        ],
    },
    "clipping": {
        "none": [{}],
        "value": [{"threshold": 0.02}],
        "norm": [{"threshold": 0.1}],
        "global_norm": [{"threshold": 0.2}, {"threshold": 50.0}],
    },
    "optimizer": {
        "sgd": [{"*learning_rate": 0.3}],
        "momentum": [{"momentum": 0.8}],
        "nesterov": [{"momentum": 0.95}],
        "adagrad": [{"epsilon": 1e-8}],
        "rmsprop": [{"rho": 0.8}],
        "adam": [{"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-6}],
        "adamax": [{"beta_1": 0.85}],
        "nadam": [{"beta_2": 0.95}],
        "adamw": [{"weight_decay": 0.1}],
    },
    "schedule": {
        "constant": [{}],
        "power": [{"k": 5.0, "c": 1.5}],
        "exponential": [{"s": 2.0}],
        "piecewise": [{"boundaries": (0.5, 2.0), "factors": (1.0, 0.3, 0.1)}],
        "performance": [
            {"factor": 0.3, "patience": 1, "min_delta": 0.2},
            {"factor": 0.1, "patience": 1, "min_delta": 5.0, "min_lr": 0.015},
        ],
        "one_cycle": [{"warmup": 0.3}, {"warmup": 0.5}],
        "cosine": [{"warmup": 0.0}, {"warmup": 0.4}],
        "coslog4": [{}],
        "cosine_restarts": [{"first": 0.5, "growth": 1.0}, {"first": 0.35, "growth": 1.5}],
    },
    "constraint": {
        "none": [{}],
        "max_norm": [{"max_value": 0.8}],
    },
    "weight_decay": {
        "none": [{}],
        "decoupled": [{"rate": 0.3}, {"rate": 0.5, "annealing": "flat_cos"}],
    },
    "embedding": {
        "none": [{}],
        "piecewise_linear": [
            {"n_bins": 4, "width": 3},
            {"n_bins": 30, "width": 2, "*learning_rate": 0.2},
        ],
        "plr": [{"n_frequencies": 3, "sigma": 0.4, "width": 2, "*learning_rate": 0.5}],
        "pbld": [{"n_frequencies": 4, "sigma": 0.3, "width": 3}],
    },
    "encoder": {"one_hot": [{}], "embedding": [{"width": 3}]},
    "input_scale": {"off": [{}], "diagonal": [{"learning_rate": 6.0}]},
    "parametrization": {
        "standard": [{"*bias_learning_rate": 0.1}],
        "ntk": [{}, {"*bias_learning_rate": 0.1}],
    },
    "regularizer": {
        "l1": [{"*l1": 0.01}, {"*l1": 0.005, "*l2": 0.02}],
        "l2": [{"*l2": 0.05}],
    },
}

# Techniques that are combined with the tested one: none, or one of each kind.
SURROUNDINGS: dict[str, dict[str, Any]] = {
    "alone": {"activation": "tanh", "optimizer": "sgd", "optimizer.learning_rate": 0.1},
    "among_others": {
        "activation": "elu",
        "batch_norm": "after_activation",
        "batch_norm.input": True,
        "dropout": "dropout",
        "dropout.rate": 0.2,
        "dropout.input_rate": 0.1,
        "optimizer": "adam",
        "optimizer.adam.epsilon": 1e-6,  # see `_jitter` in problems.py
        "clipping": "global_norm",
        "constraint": "max_norm",
        "constraint.max_norm.max_value": 2.0,
        "schedule": "one_cycle",
        "regularizer.l2": 0.001,
        "loss.label_smoothing": 0.05,
    },
    "behind_a_front": {
        "embedding": "pbld",
        "embedding.pbld.n_frequencies": 3,
        "embedding.pbld.sigma": 0.3,
        "embedding.learning_rate": 0.3,
        "encoder": "embedding",
        "encoder.embedding.width": 2,
        "input_scale": "diagonal",
        "parametrization": "ntk",
        "parametrization.bias_learning_rate": 0.1,
        "activation": "selu",
        "activation.parametric": True,
        "dropout": "dropout",
        "dropout.rate": 0.2,
        "dropout.input_rate": 0.1,
        "dropout.annealing": "flat_cos",
        "dropout.floor": 0.1,
        "batch_norm": "before_activation",
        "optimizer": "adam",
        "optimizer.adam.epsilon": 1e-6,
        "schedule": "coslog4",
        "weight_decay": "decoupled",
        "weight_decay.decoupled.annealing": "flat_cos",
    },
}


def place(section: str, row: str, values: dict[str, Any], around: dict[str, Any]) -> TrialConfig:
    """Return parameters with a row and its own ones; "*key" is a parameter of the section."""
    params = {
        key: value
        for key, value in around.items()
        # Remove the parameters of the replaced row.
        if key != section and not (key.startswith(f"{section}.") and section != "regularizer")
    }
    if section == "optimizer":
        params["optimizer.learning_rate"] = around["optimizer.learning_rate"]
    if section != "regularizer":
        params[section] = row
    for key, value in values.items():
        name = f"{section}.{key[1:]}" if key.startswith("*") else f"{section}.{row}.{key}"
        params[name] = value
    return make_config(params)


def all_cases() -> list[Any]:
    return [
        pytest.param(
            place(section, row, values, around | {"optimizer.learning_rate": 0.02}),
            section in FRONT or name == "behind_a_front",
            id=f"{section}-{row}-{number}-{name}",
        )
        for section, rows in CASES.items()
        for row, variants in rows.items()
        for number, values in enumerate(variants)
        for name, around in SURROUNDINGS.items()
    ]


@pytest.mark.parametrize("section", TABLES)
def test_each_row_has_a_case_and_a_reference(section: str) -> None:
    references = getattr(reference_tables, f"{section.upper()}S", None)
    for row in TABLES[section]:
        assert row in CASES[section], (
            f"{section} {row!r} is never compared with torch: add it to CASES in this file"
        )
        assert references is None or row in references, (
            f"{section} {row!r} has no torch counterpart: add it to tests/reference.py"
        )


def follow(
    config: TrialConfig,
    task: str = "multiclass",
    metric: str | None = None,
    columns: Columns | None = None,
    *,
    weighted: bool = False,
) -> None:
    """Train the same model both ways and compare everything after every epoch."""
    n_inputs = N_INPUTS if columns is None else columns.width
    fold = make_fold(task, n_inputs=n_inputs, columns=columns, weighted=weighted)
    problem = make_problem(task, metric)
    reference = make_reference(config, problem, fold, seed=SEED)
    fleet = make_fleet([Admission(0, config, SEED)], task, metric=metric, folds=[fold])
    [slot] = fleet.slots
    compare_weights(slot, reference, "before training")
    for epoch in range(1, config.epochs + 1):
        expected = reference.train_epoch()
        [report] = fleet.run_epoch()
        fleet.release()
        compare_weights(slot, reference, f"after epoch {epoch}")
        where = f"epoch {epoch}"
        close(report.train_loss, expected.train_loss, f"train loss, {where}")
        close(report.valid_loss, expected.valid_loss, f"validation loss, {where}")
        close(report.value, expected.value, f"{problem.metric.name}, {where}")
        close(report.learning_rate, expected.learning_rate, f"learning rate, {where}")
        assert report.samples_seen == epoch * reference.n_steps * reference.batch_size


def compare_weights(slot: Slot, reference: reference_tables.Reference, when: str) -> None:
    parameters = slot.layout.views(slot.parameters.unsqueeze(0))
    for key, expected in reference.parameters().items():
        close(parameters[key][0], expected, f"{key} {when}")
    statistics = slot.layout.views(slot.statistics.unsqueeze(0), statistics=True)
    for key, expected in reference.statistics().items():
        close(statistics[key][0], expected, f"{key} {when}")


def close(actual: Any, expected: Any, what: str) -> None:
    actual, expected = np.asarray(actual), np.asarray(expected)
    np.testing.assert_allclose(
        actual.reshape(expected.shape), expected, rtol=1e-9, atol=1e-11, err_msg=what
    )


@pytest.mark.parametrize(("config", "has_front"), all_cases())
def test_slot_follows_torch(config: TrialConfig, has_front: bool) -> None:
    follow(config, columns=columns_for(config) if has_front else None)


def columns_for(config: TrialConfig) -> Columns:
    return COLUMNS if config.encoder.name == "embedding" else NO_CODES


@pytest.mark.parametrize("initializer", ["he_normal", "data_std"])
@pytest.mark.parametrize("embedding", ["none", "pbld"])
def test_raw_inputs_with_batch_norm_follow_torch(initializer: str, embedding: str) -> None:
    params = {
        "scaler": "none",
        "batch_norm.input": True,
        "initializer": initializer,
        "embedding": embedding,
        # Adam would magnify the gradient of this bias, which is rounding noise.
        "optimizer": "momentum",
    }
    follow(make_config(params), columns=NO_CODES)


@pytest.mark.parametrize("row", ["free", "clamped"])
def test_clamped_predictions_stay_within_target_range(row: str) -> None:
    # The learning rate is so high that predictions leave the range.
    follow(make_config({"target": row, "optimizer.learning_rate": 0.2}), "regression")


def test_classification_outputs_are_never_clamped() -> None:
    free, clamped = (
        train_alone(make_trainer(), Admission(0, make_config({"target": row}), SEED))[1]
        for row in ("free", "clamped")
    )
    assert clamped.best_value == free.best_value


@pytest.mark.parametrize("seed", range(25))
def test_random_mixture_of_techniques_follows_torch(seed: int) -> None:
    task = ("multiclass", "binary", "regression")[seed % 3]
    params = random_params(np.random.default_rng(seed), depth=seed % 5, task=task)
    config = make_config(params)
    columns = columns_for(config) if seed % 2 else None
    follow(config, task, columns=columns, weighted=seed % 4 > 1)


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        ("regression", "rmse"),
        ("regression", "mae"),
        ("regression", "r2"),
        ("regression", "pinball"),
        ("regression", "pinball:0.9"),
        *((task, m.name) for m in METRICS.values() for task in m.tasks if task != "regression"),
    ],
)
@pytest.mark.parametrize("weighted", [False, True], ids=["alike", "weighted"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_tasks_and_metrics_follow_torch(
    task: str, metric: str, smoothing: float, weighted: bool
) -> None:
    params = {} if task == "regression" else {"loss.label_smoothing": smoothing}
    follow(make_config(params), task, metric, weighted=weighted)


@pytest.mark.parametrize(
    "network",
    [
        {"network.hidden_layers": 0},
        {"network.hidden_units": 6, "network.hidden_layers": 1},
        {"network.hidden_units": 1, "network.hidden_layers": 3},
        {"network.hidden_units": "30-10"},
        {"network.hidden_units": "3-12-40"},
    ],
    ids=str,
)
@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_depths_and_widths_follow_torch(network: dict[str, Any], surroundings: str) -> None:
    follow(make_config(SURROUNDINGS[surroundings] | network))


@pytest.mark.parametrize("batch_size", [1, 7, 50, 512])
def test_batch_sizes_follow_torch(batch_size: int) -> None:
    """Batches have one row, a size that does not divide 50, all rows, or more than exist."""
    norm = {} if batch_size == 1 else {"batch_norm": "before_activation"}
    follow(make_config({"training.batch_size": batch_size, **norm}))


def test_performance_schedule_drops_in_these_tests() -> None:
    config = place(
        "schedule",
        "performance",
        {"factor": 0.1, "patience": 1, "min_delta": 5.0, "min_lr": 5e-4},
        SURROUNDINGS["alone"] | {"training.epochs": 6},
    )
    reports, _ = train_alone(make_trainer(), Admission(0, config, SEED))
    rates = [report.learning_rate for report in reports]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 1e-3, 5e-4, 5e-4])
    assert [report.dropped for report in reports] == [
        False,
        True,
        True,
        True,
        False,  # η is `min_lr` already
        False,
    ]


@pytest.mark.parametrize(
    ("task", "metric"),
    [("multiclass", "log_loss"), ("multiclass", "accuracy"), ("regression", "r2")],
)
def test_complete_training_equals_the_reference(task: str, metric: str) -> None:
    """Number of epochs, best epoch, its value and its weights are equal."""
    config = make_config(
        {
            "training.epochs": 30,
            "optimizer.learning_rate": 0.03,
            "early_stopping.patience": 4,
            "early_stopping.min_delta": 0.01,
            "batch_norm": "before_activation",
            "batch_norm.input": True,
        }
    )
    fold, problem = make_fold(task), make_problem(task, metric)
    reference = make_reference(config, problem, fold, seed=SEED)
    epochs, best_epoch = reference.train()
    _, outcome = train_alone(make_trainer(task, metric), Admission(3, config, SEED))
    assert (outcome.slot, outcome.epochs, outcome.best_epoch) == (3, len(epochs), best_epoch)
    assert outcome.cause == "early_stopping"
    assert 1 < best_epoch < len(epochs) < 30
    close(outcome.best_value, epochs[best_epoch - 1].value, "best value")
    [slot] = make_fleet([Admission(0, config, SEED)], task).slots
    assert outcome.parameters is not None
    assert outcome.statistics is not None
    slot.parameters = torch.from_numpy(outcome.parameters)
    slot.statistics = torch.from_numpy(outcome.statistics)
    compare_weights(slot, reference, "of the best epoch")


@pytest.mark.parametrize(("input_rate", "moves"), [(0.0, False), (0.3, True)])
def test_shift_before_batch_norm_does_not_drift(input_rate: float, moves: bool) -> None:
    """Its gradient is rounding noise, which adagrad would magnify to full steps.

    With dropout between input β and the product, β has an effect again.
    """
    params: dict[str, Any] = {
        "batch_norm": "before_activation",
        "batch_norm.input": True,
        "optimizer": "adagrad",
    }
    if input_rate:
        params |= {"dropout": "dropout", "dropout.input_rate": input_rate}
    _, outcome = train_alone(make_trainer(), Admission(0, make_config(params), SEED))
    assert outcome.parameters is not None
    [slot] = make_fleet([Admission(0, make_config(params), SEED)]).slots
    views = slot.layout.views(torch.from_numpy(outcome.parameters).unsqueeze(0))
    for layer in (0, 1):
        assert (views["bias", layer] == 0).all()
        assert (views["beta", layer] != 0).any()
    assert (views["beta", INPUT] != 0).any() == moves
