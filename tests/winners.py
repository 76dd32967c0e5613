"""Winners for the tests of bundle, predictor and export.

`train` makes real ones, `random_bundle` any configuration with random weights; `plain_network` is
the independent witness: torch's own layers, filled from the files by hand.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.torch import load_file
from torch import Tensor, nn

from autotrain.bundle import Bundle, Member, encode, publish, stage
from autotrain.data.codes import ColumnCode, Columns
from autotrain.data.dataset import Dataset
from autotrain.data.loading import load_dataset
from autotrain.data.preprocessing import Preprocessor
from autotrain.export.writer import notes_of, write_model
from autotrain.metrics import metric_for
from autotrain.network.config import view_of
from autotrain.network.tensors import from_tensors, layout_of, to_tensors
from autotrain.predictor.mixture import Noise
from autotrain.search.trained import Trained
from autotrain.space.config import TrialConfig
from autotrain.training.rows import Problem
from autotrain.training.slot import Admission, Outcome
from autotrain.training.trainer import Trainer
from tests import reference

SMALL = {
    "network.hidden_layers": 2,
    "network.hidden_units": 12,
    "activation": "elu",
    "dropout": "dropout",
    "dropout.rate": 0.2,
    "optimizer": "adam",
    "optimizer.learning_rate": 0.01,
    "training.batch_size": 32,
    "training.epochs": 8,
}


@dataclass(frozen=True)
class Exported:
    """A bundle in a folder."""

    path: Path
    bundle: Bundle

    @property
    def value(self) -> float:
        return self.bundle.scores["validation"][self.bundle.metric]

    @property
    def scores(self) -> Mapping[str, float | None]:
        return self.bundle.scores["validation"]

    @property
    def notes(self) -> tuple[str, ...]:
        return notes_of(self.bundle)


@dataclass(frozen=True)
class Winner:
    """A trained model and the data set it was trained on."""

    dataset: Dataset
    config: TrialConfig
    outcomes: tuple[Outcome, ...]
    metric: str

    def export(self, folder: Path, **changes: Any) -> Exported:
        outcomes = changes.pop("outcomes", self.outcomes)
        values = [outcome.best_value for outcome in outcomes]
        value = float(np.mean(values or [np.nan]))
        trained = Trained(3, value, self.config, 5, outcomes)
        options: dict[str, Any] = {"dataset": self.dataset, "metric": self.metric, "study": "test"}
        return Exported(folder, write_model(folder, [trained], **(options | changes)))


def train(
    source: Any,
    params: Mapping[str, Any] | None = None,
    *,
    target: str | None = None,
    metric: str | None = None,
    **options: Any,
) -> Winner:
    """Train one small configuration on every fold of a data set."""
    dataset = load_dataset(source, target, **options)
    config = TrialConfig.from_params({**SMALL, **(params or {})})
    chosen = metric_for(dataset.task, metric)
    folds = dataset.encoded_folds([view_of(config)])
    trainer = Trainer(Problem(dataset.task, len(dataset.classes) or 1, chosen), folds)
    for fold in range(len(folds)):
        trainer.admit(Admission(fold, config, seed=5, fold=fold))
    outcomes = [message for message in trainer.run() if isinstance(message, Outcome)]
    outcomes.sort(key=lambda outcome: outcome.slot)
    return Winner(dataset, config, tuple(outcomes), chosen.name)


def random_bundle(
    params: Mapping[str, Any] | None = None,
    *,
    task: str = "multiclass",
    classes: tuple[Any, ...] = ("a", "b", "c"),
    label_dtype: str = "str",
    n_features: int = 5,
    n_members: int = 1,
    seed: int = 0,
) -> Bundle:
    """Make a bundle of random weights on numeric columns x0, x1, …: any configuration, at once."""
    config = TrialConfig.from_params({**SMALL, **(params or {})})
    generator = np.random.default_rng(seed)
    classes = () if task == "regression" else classes
    columns = tuple(f"x{place}" for place in range(n_features))
    codes = tuple(ColumnCode(name, "numeric", "float64") for name in columns)
    members = []
    for fold in range(n_members):
        layout = layout_of(config, Columns(n_features, (), 0), len(classes) or 1)
        statistics = generator.normal(size=layout.n_statistics)
        for (kind, _), (start, rows, width) in layout.statistics.items():
            if kind == "variance":
                statistics[start : start + rows * width] = generator.uniform(0.5, 2, rows * width)
        # Through the names, so that what the configuration does not use is at its default.
        named = to_tensors(
            config, layout, 0.5 * generator.normal(size=layout.n_parameters), statistics
        )
        parameters, statistics = from_tensors(config, layout, named)
        arrays = {
            "fill": generator.normal(size=n_features),
            "mean": generator.normal(size=n_features),
            "scale": generator.uniform(0.5, 2, n_features),
        }
        members.append(
            Member(
                config=config,
                n_outputs=len(classes) or 1,
                preprocessor=Preprocessor(codes, columns, arrays),
                parameters=parameters,
                statistics=statistics,
                target_mean=0.0 if classes else 40.0 + fold,
                target_std=1.0 if classes else 3.0 + fold,
                fold=fold,
                best_epoch=4,
                value=0.5,
            )
        )
    return Bundle(
        task=task,
        target="y",
        classes=classes,
        label_dtype=label_dtype if classes else "float64",
        members=tuple(members),
        metric="log_loss" if classes else "rmse",
        scores={"validation": {"log_loss": 0.5} if classes else {"rmse": 0.5}, "test": None},
        calibration={"temperature": 1.0, "temperature_point": 1.0}
        if classes
        else {
            "noise": Noise.normal(0.7).to_json(),
            "noise_point": Noise.normal(0.4).to_json(),
        },
        training={"study": "test", "trial": 3},
        data={"name": "random", "n_train": 80},
        versions={"autotrain": "0.1.0"},
        created="2026-01-02T03:04:05+00:00",
    )


def mixed_table() -> pd.DataFrame:
    """Return columns of every kind, some cells missing, levels rare, and a label: left."""
    generator = np.random.default_rng(0)
    n = 150
    frame = pd.DataFrame(
        {
            "age": generator.normal(40, 9, n),
            "paid": np.where(generator.uniform(size=n) < 0.6, 0.0, generator.lognormal(size=n)),
            "city": generator.choice(["Rom", "Bern", "Oslo", "Paris"], n),
            "member": generator.choice([True, False], n),
            "sex": generator.choice(["m", "f"], n),
            "since": pd.Timestamp("2020-01-01")
            + pd.to_timedelta(generator.integers(0, 900, n), "D"),
        }
    )
    frame.loc[[3, 77], "city"] = ["Lima", "Kyoto"]
    for name in ("age", "city", "sex", "since"):
        frame.loc[generator.choice(n, 20, replace=False), name] = None
    frame["left"] = np.where(frame["member"] | (frame["age"] > 45), "yes", "no")
    return frame


def save(bundle: Bundle, folder: Path) -> Path:
    """Write a bundle without the checks of an export."""
    return publish(stage(folder, encode(bundle)), folder)


class Dropped(nn.Module):
    """Dropout by a given mask, in plain torch; identity while there is none."""

    def __init__(self, name: str, rate: float) -> None:
        super().__init__()
        self.drop = reference.DROPOUTS[name]
        self.rate = rate
        self.keep: Tensor | None = None

    def forward(self, h: Tensor) -> Tensor:
        if self.keep is None:
            return h
        assert self.drop is not None
        return self.drop(h, self.keep, self.rate)


def plain_network(folder: Path) -> tuple[nn.Sequential, dict[int, Dropped]]:
    """Build the network of a bundle on disk from torch's own layers, reading the files by hand.

    Returns: the network in evaluation mode (float64), and its places of dropout by layer, −1 for
        the inputs.
    """
    record = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / "model.safetensors")
    config = record["members"][0]["config"]
    places: dict[int, Dropped] = {}

    def load(layer: nn.Module, **named: str) -> nn.Module:
        layer.load_state_dict({key: tensors[name] for key, name in named.items()}, strict=False)
        return layer

    def linear(name: str) -> nn.Module:
        kernel = tensors[f"{name}.kernel"]
        layer = nn.Linear(*kernel.shape)
        layer.weight.data, layer.bias.data = kernel.T.clone(), tensors[f"{name}.bias"].clone()
        return layer

    def batch_norm(layer: object) -> nn.Module:
        name = f"batch_norm.{layer}"
        return load(
            nn.BatchNorm1d(
                len(tensors[f"{name}.gamma"]), config["batch_norm"]["parameters"]["epsilon"]
            ),
            weight=f"{name}.gamma",
            bias=f"{name}.beta",
            running_mean=f"{name}.moving_mean",
            running_var=f"{name}.moving_variance",
        )

    def dropped(layer: int, rate: str) -> nn.Module:
        dropout = config["dropout"]
        places[layer] = Dropped(dropout["name"], dropout["parameters"][rate])
        return places[layer]

    def activation(layer: int) -> nn.Module:
        module = reference.ACTIVATIONS[config["activation"]["name"]](
            config["activation"]["parameters"]
        )
        if f"activation.{layer}.slope" in tensors:
            load(module, weight=f"activation.{layer}.slope")
        return module

    layers = [batch_norm("input")] if config["batch_norm"]["parameters"]["input"] else []
    layers.append(dropped(-1, "input_rate"))
    make: dict[str, Callable[[int], nn.Module]] = {
        "activation": activation,
        "batch_norm": batch_norm,
        "dropout": lambda layer: dropped(layer, "rate"),
    }
    for layer in range(len(config["hidden_units"])):
        layers.append(linear(f"hidden.{layer}"))
        layers += [
            make[part](layer) for part in reference.BATCH_NORMS[config["batch_norm"]["name"]]
        ]
    layers.append(linear("output"))
    return nn.Sequential(*layers).double().eval(), places
