"""Contracts of every row of every table of techniques.

To add a row, add its reference to the file in `KINDS`. A new table needs an entry there.
"""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
import re
from collections.abc import Mapping
from typing import Any

import pytest
import torch

import autotrain.techniques
from autotrain.techniques.activations import ACTIVATION_PARAMETERS, ACTIVATIONS
from autotrain.techniques.annealing import ANNEALINGS
from autotrain.techniques.clipping import CLIPPINGS
from autotrain.techniques.constraints import CONSTRAINTS
from autotrain.techniques.decay import WEIGHT_DECAYS
from autotrain.techniques.dropout import DROPOUT_PARAMETERS, DROPOUTS
from autotrain.techniques.embeddings import EMBEDDING_PARAMETERS, EMBEDDINGS
from autotrain.techniques.encoders import ENCODERS
from autotrain.techniques.initializers import INITIALIZERS
from autotrain.techniques.input_scales import INPUT_SCALES
from autotrain.techniques.losses import LOSS_PARAMETERS
from autotrain.techniques.missing import MISSING
from autotrain.techniques.normalization import BATCH_NORM_PARAMETERS, BATCH_NORMS
from autotrain.techniques.optimizers import OPTIMIZER_PARAMETERS, OPTIMIZERS
from autotrain.techniques.parametrizations import PARAMETRIZATION_PARAMETERS, PARAMETRIZATIONS
from autotrain.techniques.regularizers import REGULARIZERS
from autotrain.techniques.scalers import SCALERS
from autotrain.techniques.schedules import SCHEDULES
from autotrain.techniques.targets import TARGETS
from autotrain.techniques.technique import Parameter, Technique, Words

# Each table and the file in this folder that tests it.
KINDS: dict[str, tuple[Mapping[str, Technique], str]] = {
    "scaler": (SCALERS, "test_scalers"),
    "missing": (MISSING, "test_missing"),
    "encoder": (ENCODERS, "test_encoders"),
    "embedding": (EMBEDDINGS, "test_embeddings"),
    "input_scale": (INPUT_SCALES, "test_input_scales"),
    "parametrization": (PARAMETRIZATIONS, "test_parametrizations"),
    "initializer": (INITIALIZERS, "test_initializers"),
    "activation": (ACTIVATIONS, "test_activations"),
    "batch_norm": (BATCH_NORMS, "test_normalization"),
    "dropout": (DROPOUTS, "test_dropout"),
    "clipping": (CLIPPINGS, "test_clipping"),
    "optimizer": (OPTIMIZERS, "test_optimizers"),
    "schedule": (SCHEDULES, "test_schedules"),
    "regularizer": (REGULARIZERS, "test_regularizers"),
    "weight_decay": (WEIGHT_DECAYS, "test_decay"),
    "annealing": (ANNEALINGS, "test_annealing"),
    "constraint": (CONSTRAINTS, "test_constraints"),
    "target": (TARGETS, "test_targets"),
}

# Parameters with the default of an argument of a torch class; of a pair, also the place.
TORCH_DEFAULTS: dict[str, tuple[type, str, int | None]] = {
    "activation.leaky_relu.negative_slope": (torch.nn.LeakyReLU, "negative_slope", None),
    "activation.prelu.init": (torch.nn.PReLU, "init", None),
    "activation.elu.alpha": (torch.nn.ELU, "alpha", None),
    "optimizer.adagrad.epsilon": (torch.optim.Adagrad, "eps", None),
    "optimizer.rmsprop.epsilon": (torch.optim.RMSprop, "eps", None),
    "optimizer.adamw.weight_decay": (torch.optim.AdamW, "weight_decay", None),
    **{
        f"optimizer.{name}.{key}": (optimizer, argument, place)
        for name, optimizer in {
            "adam": torch.optim.Adam,
            "adamax": torch.optim.Adamax,
            "nadam": torch.optim.NAdam,
            "adamw": torch.optim.AdamW,
        }.items()
        for key, argument, place in (
            ("beta_1", "betas", 0),
            ("beta_2", "betas", 1),
            ("epsilon", "eps", None),
        )
    },
}
EVERY_ROW = [(kind, name) for kind, (rows, _) in KINDS.items() for name in rows]
EVERY_PARAMETER = {
    f"{kind}.{name}.{key}": parameter
    for kind, (rows, _) in KINDS.items()
    for name, row in rows.items()
    for key, parameter in row.parameters.items()
} | {
    f"{kind}.{key}": parameter
    for kind, parameters in {
        "embedding": EMBEDDING_PARAMETERS,
        "parametrization": PARAMETRIZATION_PARAMETERS,
        "activation": ACTIVATION_PARAMETERS,
        "batch_norm": BATCH_NORM_PARAMETERS,
        "dropout": DROPOUT_PARAMETERS,
        "optimizer": OPTIMIZER_PARAMETERS,
        "loss": LOSS_PARAMETERS,
    }.items()
    for key, parameter in parameters.items()
}


def members(kind: type) -> list[tuple[str, Mapping[str, Any]]]:
    """Return all public tables with rows of type `kind` in `autotrain.techniques`."""
    found = []
    for info in pkgutil.iter_modules(autotrain.techniques.__path__):
        module = importlib.import_module(f"autotrain.techniques.{info.name}")
        for name, value in vars(module).items():
            is_table = isinstance(value, dict) and any(isinstance(v, kind) for v in value.values())
            if is_table and not name.startswith("_"):
                found.append((f"{info.name}.{name}", value))
    return found


def test_kinds_contain_all_tables() -> None:
    known = [rows for rows, _ in KINDS.values()]
    for name, rows in members(Technique):
        assert any(rows is other for other in known), (
            f"autotrain/techniques: {name} is a new table; add it to KINDS of this file"
        )
    listed = set(map(id, EVERY_PARAMETER.values()))
    for name, parameters in members(Parameter):
        for key, parameter in parameters.items():
            assert id(parameter) in listed, (
                f"autotrain/techniques: add {name}[{key!r}] to EVERY_PARAMETER of this file"
            )


@pytest.mark.parametrize(("kind", "name"), EVERY_ROW)
def test_names_and_summary(kind: str, name: str) -> None:
    row = KINDS[kind][0][name]
    assert row.name == name
    for word in (name, *row.parameters):
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", word)
    assert row.summary
    assert row.summary == row.summary.strip()
    assert "\n" not in row.summary


@pytest.mark.parametrize(("kind", "name"), EVERY_ROW)
def test_every_row_states_its_formula(kind: str, name: str) -> None:
    """A formula is an assignment, a relation or a distribution."""
    row = KINDS[kind][0][name]
    assert re.search(r" [=←→~] ", row.summary)
    assert not row.note or re.fullmatch(r"[^a-z].*[.]", row.note)


@pytest.mark.parametrize("name", EVERY_PARAMETER)
def test_every_parameter_has_a_legal_range(name: str) -> None:
    parameter = EVERY_PARAMETER[name]
    is_listed = parameter.kind == "boolean" or isinstance(parameter, Words)
    is_bounded = parameter.low > -math.inf or parameter.high < math.inf
    assert is_listed or is_bounded
    if is_bounded and not is_listed:
        assert re.search(r"(at least|greater than|at most|less than) [\d.e-]+", parameter.explain())


@pytest.mark.parametrize(("kind", "name"), EVERY_ROW)
def test_every_row_has_its_reference(kind: str, name: str) -> None:
    file = KINDS[kind][1]
    references = importlib.import_module(f"tests.techniques.{file}").REFERENCES
    assert name in references, (
        f"{kind} {name!r} is not verified: add what it must equal to REFERENCES in "
        f"tests/techniques/{file}.py, under the key {name!r}"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_each_reference_has_a_row(kind: str) -> None:
    rows, file = KINDS[kind]
    assert set(importlib.import_module(f"tests.techniques.{file}").REFERENCES) <= set(rows)


@pytest.mark.parametrize("name", EVERY_PARAMETER)
def test_defaults_are_legal_and_explained(name: str) -> None:
    parameter = EVERY_PARAMETER[name]
    assert parameter.is_legal(parameter.default), f"{parameter.default=}: {parameter.explain()}"
    assert parameter.doc
    assert "\n" not in parameter.doc
    assert parameter.low <= parameter.high


@pytest.mark.parametrize("name", TORCH_DEFAULTS)
def test_default_equals_torch(name: str) -> None:
    kind, argument, place = TORCH_DEFAULTS[name]
    default = inspect.signature(kind).parameters[argument].default
    assert EVERY_PARAMETER[name].default == (default if place is None else default[place])
