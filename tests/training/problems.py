"""Small problems and configurations for the tests of training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import sklearn.metrics
import torch
from torch import Tensor

from autotrain.data.codes import Columns
from autotrain.data.encoded import EncodedFold, EncodedView
from autotrain.data.weights import RowWeights
from autotrain.metrics import METRICS, metric_named
from autotrain.space.config import TrialConfig
from autotrain.space.sections import SECTIONS
from autotrain.techniques.technique import Parameter
from autotrain.techniques.view import View
from autotrain.training.fleet import Fleet
from autotrain.training.rows import Problem
from autotrain.training.slot import Admission, EpochReport, Outcome
from autotrain.training.step import Rates
from autotrain.training.trainer import SlotMessage, Trainer
from tests.reference import Reference

DOUBLE = torch.float64
CPU = torch.device("cpu")
N_INPUTS = 5
N_CLASSES = 3


# ---- data ----------------------------------------------------------------------------------


def fold_of(
    x_train: np.ndarray,
    y_train: np.ndarray,
    x_valid: np.ndarray,
    y_valid: np.ndarray,
    columns: Columns | None = None,
    **options: Any,
) -> EncodedFold:
    """Return a fold with these inputs in every view, whatever a configuration asks for."""
    columns = Columns.plain(x_train.shape[1]) if columns is None else columns
    encoded = EncodedView(x_train, x_valid, columns)
    return EncodedFold(y_train, y_valid, defaultdict(lambda: encoded), **options)


def inputs_of(fold: EncodedFold) -> EncodedView:
    """Return the inputs of a fold from `fold_of`."""
    return fold.views[View()]


def make_fold(
    task: str = "multiclass",
    *,
    n_train: int = 50,
    n_valid: int = 30,
    n_inputs: int = N_INPUTS,
    seed: int = 0,
    columns: Columns | None = None,
    weighted: bool = False,
) -> EncodedFold:
    """Draw rows with a target that is a noisy nonlinear function of the inputs.

    Args:
        weighted: whether rows have sample weights, some of them 0, which differ between loss and
            metric.
    """
    generator = np.random.default_rng([seed, n_inputs])
    x = generator.normal(size=(n_train + n_valid, n_inputs)).astype(np.float32)
    if columns is not None:
        for place, n_levels in enumerate(columns.levels):
            x[:, columns.n_numeric + place] = generator.integers(n_levels, size=len(x))
    signal = np.sin(x[:, 0]) + x[:, 1] * x[:, 2] + 0.3 * generator.normal(size=len(x))
    mean, std = 0.0, 1.0
    if task == "regression":
        mean, std = 40.0, 8.0  # the scale of `y` before its standardization
        y = ((signal - signal.mean()) / signal.std()).astype(np.float32)
    else:
        n_classes = 2 if task == "binary" else N_CLASSES
        y = np.searchsorted(np.quantile(signal, np.arange(1, n_classes) / n_classes), signal)
    rows = (x[:n_train], y[:n_train], x[n_train:], y[n_train:])
    fold = fold_of(*rows, columns, target_mean=mean, target_std=std)
    return replace(fold, weights=_draw_weights(generator, fold)) if weighted else fold


def _draw_weights(generator: np.random.Generator, fold: EncodedFold) -> RowWeights:
    def draw(like: np.ndarray) -> np.ndarray:
        drawn = generator.exponential(size=len(like))
        drawn[::7] = 0
        return drawn / drawn.mean()

    return RowWeights(draw(fold.y_train), draw(fold.y_valid), draw(fold.y_valid))


def make_problem(task: str = "multiclass", metric: str | None = None) -> Problem:
    default = "rmse" if task == "regression" else "log_loss"
    n_outputs = {"regression": 1, "binary": 2, "multiclass": N_CLASSES}[task]
    return Problem(task, n_outputs, metric_named(metric or default))


# ---- configurations ------------------------------------------------------------------------

BASE: dict[str, Any] = {
    "network.hidden_units": "7-5",
    "training.batch_size": 16,
    "training.epochs": 3,
    "dropout": "none",
    "optimizer.learning_rate": 0.02,
    "early_stopping.patience": 50,
}


def make_config(params: Mapping[str, Any] | None = None) -> TrialConfig:
    """Return a configuration: `BASE`, updated with `params`."""
    merged = BASE | dict(params or {})
    if merged.get("network.hidden_layers") is not None and "network.hidden_units" not in (
        params or {}
    ):
        del merged["network.hidden_units"]
    return TrialConfig.from_params(merged)


def _jitter(generator: np.random.Generator, key: str, parameter: Parameter) -> Any:
    """Draw a legal value near the default that has an effect within a few epochs.

    An optimizer's ε is larger than its default. Gradients that are 0 up to rounding (1e-17) are
    divided by ε, and comparisons to ten digits must not depend on them.
    """
    if key == "epsilon":
        return 10 ** generator.uniform(-6, -4)
    if parameter.kind == "integer":
        return 2
    if parameter.kind == "reals" or isinstance(parameter.default, bool | str | tuple):
        return parameter.default
    value = float(parameter.default) * generator.uniform(0.8, 1.1)
    return value if parameter.is_legal(value) else parameter.default


def random_params(
    generator: np.random.Generator, *, depth: int | None = None, task: str = "multiclass"
) -> dict[str, Any]:
    """Draw the parameters of a small configuration from all rows of all tables."""

    def pick(values: Any) -> Any:
        return values[int(generator.integers(len(values)))]

    depth = int(generator.integers(1, 5)) if depth is None else depth
    params = dict(BASE)
    if depth:
        widths = generator.integers(1, 10, size=depth)
        params["network.hidden_units"] = "-".join(str(width) for width in widths)
    else:
        del params["network.hidden_units"]
        params["network.hidden_layers"] = 0
    for name, section in SECTIONS.items():
        if not section.rows:
            continue
        params[name] = row = pick(list(section.rows))
        for key, parameter in section.rows[row].parameters.items():
            params[f"{name}.{row}.{key}"] = _jitter(generator, key, parameter)
    params["batch_norm.input"] = is_normal = bool(generator.random() < 0.3)
    if is_normal or params["batch_norm"] != "off":
        params["batch_norm.momentum"] = generator.uniform(0.5, 0.95)
        params["batch_norm.epsilon"] = 10 ** generator.uniform(-5, -3)
    if params["dropout"] != "none":
        params["dropout.rate"] = pick([0.0, 0.1, 0.4])
        params["dropout.input_rate"] = pick([0.0, 0.2])
    if params["activation"] != "prelu" and generator.random() < 0.3:
        params["activation.parametric"] = True
        params["activation.mix_learning_rate"] = 0.5
    if params["embedding"] != "none":
        params["embedding.learning_rate"] = 0.3
    params["optimizer.learning_rate"] = 10 ** generator.uniform(-3, -1.5)
    params["regularizer.l1"] = pick([0.0, 1e-3])
    params["regularizer.l2"] = pick([0.0, 1e-2])
    if task != "regression":
        params["loss.label_smoothing"] = pick([0.0, 0.1])
    return params


# ---- training ------------------------------------------------------------------------------


def make_fleet(models: Sequence[Admission], task: str = "multiclass", **options: Any) -> Fleet:
    """Return a fleet of these models, as a trainer builds it on admission."""
    trainer = make_trainer(task, **options)
    for model in models:
        trainer.admit(model)
    slots = [slot for waiting in trainer.waiting.values() for slot in waiting]
    return Fleet(slots, trainer.rows, trainer.backend)


def step_once(fleet: Fleet, first_row: int = 0) -> tuple[Tensor, Tensor]:
    """Take one training step with the same rows for all slots; return losses and gradient norms."""
    rows = slice(first_row, first_row + fleet.batch_size)
    k = len(fleet.slots)
    x = fleet.rows.view(fleet.slots[0].view).x_train[rows].expand(k, -1, -1)
    y = fleet.rows.y_train[rows].expand(k, -1)
    keep = fleet.bits.masks(fleet.bits.draw(1), 0)
    rates = torch.from_numpy(np.stack([slot.rates()[0][:1] for slot in fleet.slots]))
    return fleet.stepper.step(x, y, keep, Rates(rates.to(x), None))


def draw_models(
    task: str, seed: int, n_models: int, depths: Sequence[int] = (1, 2, 3, 4)
) -> list[Admission]:
    """Draw models of all techniques, widths and depths that end after different epochs."""
    generator = np.random.default_rng(seed)
    drawn = []
    for k in range(n_models):
        params = random_params(generator, depth=depths[k % len(depths)], task=task)
        params["training.epochs"] = int(generator.integers(2, 6))
        params["early_stopping.patience"] = int(generator.integers(1, 4))
        model_seed, repeat = int(generator.integers(2**40)), int(generator.integers(3))
        drawn.append(Admission(k, make_config(params), model_seed, repeat=repeat))
    return drawn


def make_trainer(
    task: str = "multiclass",
    metric: str | None = None,
    folds: list[EncodedFold] | None = None,
    **options: Any,
) -> Trainer:
    folds = [make_fold(task)] if folds is None else folds
    return Trainer(make_problem(task, metric), folds, **{"dtype": DOUBLE, **options})


def split(messages: Sequence[SlotMessage]) -> tuple[list[EpochReport], list[Outcome]]:
    """Return reports and outcomes separately."""
    reports = [message for message in messages if isinstance(message, EpochReport)]
    return reports, [message for message in messages if isinstance(message, Outcome)]


def train_alone(trainer: Trainer, admission: Admission) -> tuple[list[EpochReport], Outcome]:
    """Train one model in an empty trainer; return its reports and its outcome."""
    assert not trainer.n_slots
    trainer.admit(admission)
    reports, [outcome] = split(trainer.run())
    return reports, outcome


# ---- the reference -------------------------------------------------------------------------


def value_of(metric: str, fold: EncodedFold) -> Callable[[Tensor, Tensor], float]:
    """Return scikit-learn's value of a metric for outputs `[N, C]` and targets `[N]`."""
    w = None if fold.weights is None else fold.weights.metric

    def value(outputs: Tensor, targets: Tensor) -> float:
        row, quantile = metric_named(metric).row, metric_named(metric).quantile
        if METRICS[row].tasks == ("regression",):
            y = targets.numpy() * fold.target_std + fold.target_mean
            predicted = outputs[:, 0].numpy() * fold.target_std + fold.target_mean
            functions = {
                "rmse": sklearn.metrics.root_mean_squared_error,
                "mae": sklearn.metrics.mean_absolute_error,
                "r2": sklearn.metrics.r2_score,
                "pinball": partial(sklearn.metrics.mean_pinball_loss, alpha=quantile),
            }
            return float(functions[row](y, predicted, sample_weight=w))
        if (
            metric == "log_loss" and w is None
        ):  # scikit-learn's log loss takes longer than a small epoch
            return float(torch.nn.functional.cross_entropy(outputs, targets))
        y, p = targets.numpy(), torch.softmax(outputs, 1).numpy()
        is_binary = p.shape[1] == 2
        average = "binary" if is_binary else "macro"
        of_labels = {
            "accuracy": sklearn.metrics.accuracy_score,
            "balanced_accuracy": sklearn.metrics.balanced_accuracy_score,
            "f1": partial(sklearn.metrics.f1_score, average=average, zero_division=0),
        }
        if metric in of_labels:
            return float(of_labels[metric](y, p.argmax(1), sample_weight=w))
        of_p = {
            "log_loss": sklearn.metrics.log_loss,
            "roc_auc": partial(sklearn.metrics.roc_auc_score, multi_class="ovr"),
            "average_precision": sklearn.metrics.average_precision_score,
            "brier": sklearn.metrics.brier_score_loss,
        }
        return float(of_p[metric](y, p[:, 1] if is_binary else p, sample_weight=w))

    return value


def make_reference(
    config: TrialConfig,
    problem: Problem,
    fold: EncodedFold,
    *,
    seed: int,
    fold_number: int = 0,
    repeat: int = 0,
    n_steps: int | None = None,
) -> Reference:
    """Return the plain PyTorch version of a slot."""
    target = torch.int64 if problem.is_classification else DOUBLE

    inputs, weights = inputs_of(fold), fold.weights

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(DOUBLE)

    def rows(x: np.ndarray, y: np.ndarray) -> tuple[Tensor, Tensor]:
        return tensor(x), torch.from_numpy(y).to(target)

    return Reference(
        config,
        rows(inputs.x_train, fold.y_train),
        rows(inputs.x_valid, fold.y_valid),
        problem.n_outputs,
        value_of(problem.metric.name, fold),
        maximize=problem.metric.direction == "maximize",
        seed=seed,
        fold=fold_number,
        repeat=repeat,
        n_steps=n_steps,
        columns=inputs.columns,
        weights=None if weights is None else (tensor(weights.train), tensor(weights.valid)),
        quantile=problem.metric.quantile,
    )
