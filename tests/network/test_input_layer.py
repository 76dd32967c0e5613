"""Slots with different input layers, views and folds train as if each was alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autotrain.data.codes import Columns
from autotrain.data.encoded import EncodedFold, EncodedView
from autotrain.network.config import view_of
from autotrain.network.layout import INPUT
from autotrain.techniques.embeddings import EMBEDDINGS
from autotrain.techniques.view import View
from autotrain.training.fleet import Fleet
from autotrain.training.slot import Admission
from autotrain.training.trainer import SlotMessage, Trainer
from tests.network.test_padding import is_padding
from tests.training.problems import (
    inputs_of,
    make_config,
    make_fleet,
    make_fold,
    make_trainer,
    step_once,
)
from tests.training.test_fused_equals_alone import (
    all_at_once,
    assert_same,
    by_slot,
    in_another_order,
    one_after_the_other,
)

N_NUMERIC = 3
LIMIT = 4
# Levels of two columns, and number of plain inputs, by fold.
LEVELS = ((7, 5), (5, 9))
N_PLAIN = (2, 4)


def fold_of(place: int, task: str = "multiclass") -> EncodedFold:
    """Return a fold in every view: numbers, then codes or one-hot inputs, then plain inputs."""
    columns = Columns(N_NUMERIC, LEVELS[place], N_PLAIN[place])
    fold = make_fold(task, n_train=50 + 11 * place, n_inputs=columns.width, columns=columns)
    views = {}
    for scaler, change in (("standard", lambda x: x), ("robust_smooth_clip", np.tanh)):
        for missing, n_indicators in (("median", 0), ("indicator", 2)):
            for limit in (0, LIMIT):

                def encode(
                    x: np.ndarray,
                    change: Callable[[np.ndarray], np.ndarray] = change,
                    n_indicators: int = n_indicators,
                    limit: int = limit,
                ) -> np.ndarray:
                    codes = x[:, N_NUMERIC : N_NUMERIC + 2]
                    hot = [
                        np.eye(n)[codes[:, at].astype(int)] for at, n in enumerate(LEVELS[place])
                    ]
                    parts = [
                        change(x[:, :N_NUMERIC]),
                        *([codes] if limit else []),
                        x[:, N_NUMERIC + 2 :],
                        *([] if limit else hot),
                        x[:, :n_indicators] > 0.5,
                    ]
                    return np.concatenate(parts, axis=1, dtype=np.float32)

                n_plain = N_PLAIN[place] + n_indicators
                own = (
                    Columns(N_NUMERIC, LEVELS[place], n_plain)
                    if limit
                    else Columns(N_NUMERIC, (), n_plain + sum(LEVELS[place]))
                )
                x_train, x_valid = encode(inputs_of(fold).x_train), encode(inputs_of(fold).x_valid)
                assert x_train.shape[1] == own.width
                views[View(scaler, missing, limit)] = EncodedView(x_train, x_valid, own)
    return replace(fold, views=views)


INPUT_LAYERS: dict[str, dict[str, Any]] = {
    "none": {},
    "piecewise_linear": {
        "embedding": "piecewise_linear",
        "embedding.piecewise_linear.n_bins": 6,
        "embedding.piecewise_linear.width": 2,
    },
    "plr": {
        "embedding": "plr",
        "embedding.plr.n_frequencies": 3,
        "embedding.plr.width": 2,
        "embedding.learning_rate": 0.3,
    },
    "pbld": {
        "embedding": "pbld",
        "embedding.pbld.n_frequencies": 3,
        "embedding.pbld.sigma": 0.3,
        "embedding.pbld.width": 3,
    },
}
CODES = {
    "encoder": "embedding",
    "encoder.embedding.one_hot_limit": LIMIT,
    "encoder.embedding.width": 2,
}


def models_of(input_layer: str, *, has_codes: bool) -> list[Admission]:
    """Return models on both folds in every view, with everything else around an input layer."""
    models: list[Admission] = []
    for place, (scaler, missing) in enumerate(
        (s, m) for s in ("standard", "robust_smooth_clip") for m in ("median", "indicator")
    ):
        params = {
            **INPUT_LAYERS[input_layer],
            **(CODES if has_codes else {}),
            "scaler": scaler,
            "missing": missing,
            "network.hidden_units": ("7-5", "4", "6-3-5", "9")[place],
            "training.epochs": (2, 5, 3, 4)[place],
            "activation": ("tanh", "elu", "relu", "selu")[place],
            "activation.parametric": place % 2 == 1,
            "input_scale": ("off", "diagonal")[place // 2],
            "parametrization": ("ntk", "standard")[place % 2],
            "initializer": ("data_std", "he_normal", "glorot_normal", "data_std")[place],
            "weight_decay": ("decoupled", "none")[place // 2],
            "optimizer": ("momentum", "adam", "sgd", "nesterov")[place],
            "batch_norm.input": place == 2,
            "dropout": ("dropout", "alpha_dropout", "none", "dropout")[place],
        }
        if params["dropout"] != "none":
            params |= {
                "dropout.rate": 0.2,
                "dropout.input_rate": 0.2,
                "dropout.annealing": "flat_cos",
            }
        if params["optimizer"] == "adam":
            params["optimizer.adam.epsilon"] = 1e-6  # see `_jitter` in problems.py
        config = make_config(params)
        models += [Admission(10 * place + fold, config, 3 + place, fold) for fold in (0, 1)]
    return models


Admit = Callable[[Trainer, list[Admission]], list[SlotMessage]]


@pytest.mark.parametrize(
    "admit", [all_at_once, in_another_order, one_after_the_other], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("has_codes", [False, True])
@pytest.mark.parametrize("input_layer", INPUT_LAYERS)
def test_mixed_views_and_folds_train_as_alone(
    input_layer: str, has_codes: bool, admit: Admit
) -> None:
    """Other models join and leave meanwhile. A model alone has its own fold and view only."""
    folds = [fold_of(0), fold_of(1)]
    models = models_of(input_layer, has_codes=has_codes)
    together = make_trainer(folds=folds)
    found = by_slot(admit(together, models))
    for model in models:
        fold, view = folds[model.fold], view_of(model.config)
        own = replace(fold, views={view: fold.views[view]})
        alone = make_trainer(folds=[own, own])
        assert_same(found[model.slot], all_at_once(alone, [model]), model.config)


@pytest.mark.parametrize("has_codes", [False, True])
@pytest.mark.parametrize("input_layer", INPUT_LAYERS)
def test_mixed_views_and_folds_share_one_fleet(input_layer: str, has_codes: bool) -> None:
    trainer = make_trainer(folds=[fold_of(0), fold_of(1)])
    for model in models_of(input_layer, has_codes=has_codes):
        trainer.admit(model)
    trainer.step()
    [fleet] = trainer.fleets.values()
    assert len(fleet.views) == 4
    assert len({slot.fold for slot in fleet.slots}) == 2
    assert len({slot.columns.width for slot in fleet.slots}) > 1


def test_different_input_layers_are_in_different_fleets() -> None:
    trainer = make_trainer(folds=[fold_of(0), fold_of(1)])
    for number, (input_layer, has_codes) in enumerate(
        (f, c) for f in INPUT_LAYERS for c in (False, True)
    ):
        for model in models_of(input_layer, has_codes=has_codes):
            trainer.admit(replace(model, slot=model.slot + 100 * number))
    wider = INPUT_LAYERS["plr"] | {"embedding.plr.width": 5}
    trainer.admit(Admission(9999, make_config(wider), 0))
    trainer.step()
    assert len(trainer.fleets) == 2 * len(INPUT_LAYERS) + 1


def test_folds_with_different_numeric_columns_train() -> None:
    """For example, a date has clock times in the training rows of one fold only."""
    folds = [make_fold(n_inputs=5, columns=Columns(n, (), 5 - n), seed=n) for n in (2, 3)]
    config = make_config(INPUT_LAYERS["pbld"])
    trainer = make_trainer(folds=folds)
    models = [Admission(fold, config, 5, fold) for fold in (0, 1)]
    found = by_slot(all_at_once(trainer, models))
    for model in models:
        alone = make_trainer(folds=[folds[model.fold]] * 2)
        assert_same(found[model.slot], all_at_once(alone, [model]))


def fleet_of(input_layer: str) -> Fleet:
    models = models_of(input_layer, has_codes=True)
    return make_fleet(models, folds=[fold_of(0), fold_of(1)])


@pytest.mark.parametrize("input_layer", INPUT_LAYERS)
def test_padding_of_input_layer_stays_exactly_zero(input_layer: str) -> None:
    fleet = fleet_of(input_layer)
    padding = is_padding(fleet)
    views = fleet.network.layout.views(fleet.weights.parameters)
    of_input_layer = [key for key in views if key[0].startswith(("level_vectors", "scale"))]
    start, rows, columns = fleet.network.layout.parameters["level_vectors", 0]
    assert padding[:, start : start + rows * columns].any(), "levels must be padded"
    start, rows, columns = fleet.network.layout.parameters["scale", INPUT]
    assert padding[:, start : start + rows * columns].any(), "inputs must be padded"
    assert of_input_layer
    for epoch in range(3):
        assert all(np.isfinite(report.train_loss) for report in fleet.run_epoch())
        for name in ("parameters", "m"):
            held = getattr(fleet.weights, name)[padding]
            assert held.count_nonzero() == 0, f"padding of {name} woke up in epoch {epoch}"
        assert fleet.stepper.gradient[padding].count_nonzero() == 0


@pytest.mark.parametrize("input_layer", INPUT_LAYERS)
def test_step_moves_every_learned_tensor_of_the_input_layer(input_layer: str) -> None:
    columns = Columns(3, (5, 3), 2)
    fold = make_fold(n_inputs=columns.width, columns=columns)
    models = models_of(input_layer, has_codes=True)
    [model, *_] = (m for m in models if view_of(m.config) == View(one_hot_limit=LIMIT))
    fleet = make_fleet([model], folds=[fold])
    step_once(fleet)
    before = fleet.weights.parameters.clone()
    step_once(fleet)
    views = fleet.network.layout.views(fleet.weights.parameters - before)
    kinds = [key for key in views if key[0].startswith(("level_vectors", "embedding_w"))]
    assert (EMBEDDINGS[input_layer].sizes is not None) == (("embedding_weight", INPUT) in kinds)
    for key in kinds:
        assert views[key].any(), f"{key} never moves"
