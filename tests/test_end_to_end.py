"""Every way to read a table, from raw rows through training and the bundle to predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from autotrain.data.loading import load_dataset
from autotrain.network.config import view_of
from autotrain.network.grouping import Backend
from autotrain.network.network import FusedNetwork
from autotrain.predictor import load
from autotrain.techniques.embeddings import EMBEDDINGS
from autotrain.techniques.encoders import ENCODERS
from autotrain.techniques.input_scales import INPUT_SCALES
from autotrain.techniques.missing import MISSING
from autotrain.techniques.parametrizations import PARAMETRIZATIONS
from autotrain.techniques.scalers import SCALERS
from autotrain.techniques.targets import TARGETS
from autotrain.techniques.view import View
from tests.winners import Winner, train

N = 160


def table() -> pd.DataFrame:
    """Every kind of column; missing cells; a level that only a row for validation has."""
    rng = np.random.default_rng(0)
    cities = [f"city {number}" for number in range(14)]
    frame = pd.DataFrame(
        {
            "city": rng.choice(cities, N),
            "age": rng.normal(40, 9, N),
            "income": np.exp(rng.normal(10, 2, N)),
            "rooms": rng.integers(1, 4, N),
            "colour": rng.choice(["red", "green", "blue"], N),
            "is_new": rng.random(N) < 0.5,
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, N), "D"),
        }
    )
    amount = frame["age"] + 5 * frame["is_new"] + np.log(frame["income"])
    for name in ("city", "age", "income", "since"):
        frame[name] = frame[name].mask(pd.Series(rng.random(N) < 0.1))
    frame["amount"] = amount + rng.normal(size=N)
    frame["dear"] = np.where(amount > amount.median(), "yes", "no")
    return frame


def frame_of(target: str) -> pd.DataFrame:
    frame = table().drop(columns={"dear": "amount", "amount": "dear"}[target])
    valid = load_dataset(frame, target).splits[0].valid
    frame.loc[valid[0], "city"] = "Atlantis"
    frame.loc[valid[1], ["city", "age", "income", "since"]] = None
    return frame


CASES: dict[str, dict[str, Any]] = {
    **{f"scaler-{row}": {"scaler": row} for row in SCALERS},
    **{f"missing-{row}": {"missing": row} for row in MISSING},
    **{f"encoder-{row}": {"encoder": row} for row in ENCODERS},
    **{f"embedding-{row}": {"embedding": row} for row in EMBEDDINGS},
    **{f"input_scale-{row}": {"input_scale": row} for row in INPUT_SCALES},
    **{f"parametrization-{row}": {"parametrization": row} for row in PARAMETRIZATIONS},
    **{f"target-{row}": {"target": row} for row in TARGETS},
    "parametric": {"activation.parametric": True},
    "data_std": {"initializer": "data_std"},
    "raw": {"scaler": "none", "batch_norm.input": True, "missing": "indicator"},
    "raw embedded": {"scaler": "none", "batch_norm.input": True, "embedding": "piecewise_linear"},
    "all": {
        "scaler": "robust_smooth_clip",
        "missing": "indicator",
        "encoder": "embedding",
        "embedding": "pbld",
        "input_scale": "diagonal",
        "parametrization": "ntk",
        "activation.parametric": True,
        "initializer": "data_std",
        "dropout.annealing": "flat_cos",
        "schedule": "coslog4",
        "weight_decay": "decoupled",
        "batch_norm": "before_activation",
        "batch_norm.input": True,
    },
}


def trained_outputs(winner: Winner) -> np.ndarray:
    """Return the trainer's outputs `[N, C]` on the first fold's encoded validation rows."""
    dataset, config, outcome = winner.dataset, winner.config, winner.outcomes[0]
    encoded = dataset.encoded(0, view_of(config))
    numbers = Backend(torch.device("cpu"), torch.float32)
    network = FusedNetwork([config], encoded.columns, dataset.n_outputs, numbers)
    rows = (outcome.parameters, outcome.statistics)
    bound = network.bind(*(torch.tensor(row).float().unsqueeze(0) for row in rows))
    x = torch.from_numpy(encoded.x_valid).unsqueeze(0)
    return network.predict(bound, x)[0].numpy()


# Classes have no range.
RUNS = [
    (n, t)
    for n, p in CASES.items()
    for t in ("dear", "amount")
    if t == "amount" or "target" not in p
]


@pytest.mark.parametrize(("name", "target"), RUNS)
def test_bundle_predicts_raw_rows_as_in_training(name: str, target: str, tmp_path: Path) -> None:
    params = dict(CASES[name])
    frame = frame_of(target)
    winner = train(frame, params | {"training.epochs": 4}, target=target)
    exported = winner.export(tmp_path / "best")
    assert exported.value == pytest.approx(winner.outcomes[0].best_value, rel=1e-4)

    predictor = load(exported.path)
    features, _ = winner.dataset.raw_valid()
    outputs = trained_outputs(winner).astype(np.float64)
    if target == "dear":
        wanted = torch.softmax(torch.from_numpy(outputs), dim=1).numpy()
        found = predictor.predict_proba(features, calibrated=False)
    else:
        fold = winner.dataset.folds[0]
        if params.get("target") == "clamped":
            outputs = outputs.clip(fold.y_train.min(), fold.y_train.max())
        wanted = outputs[:, 0] * fold.target_std + fold.target_mean
        found = predictor.predict(features)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert np.ptp(found) > 0

    # A row with an unseen city and without numbers.
    row = features.iloc[:1].assign(city="El Dorado", age=np.nan, income=None, since=None)
    notices: list[str] = []
    assert np.isfinite(predictor.predict_distribution(row, n_samples=5, notices=[]).std).all()
    point = predictor.predict(row, notices=notices)
    assert point.shape == (1,)
    assert any("'El Dorado'" in notice for notice in notices)


def test_unseen_levels_are_equal_and_differ_from_seen_ones(tmp_path: Path) -> None:
    winner = train(frame_of("amount"), {"encoder": "embedding"}, target="amount")
    predictor = load(winner.export(tmp_path / "best").path)
    features, _ = winner.dataset.raw_valid()
    row = features.iloc[5:6]
    cities = ["city 1", "city 2", "El Dorado", "Atlantis"]
    one, two, *unseen = (predictor.predict(row.assign(city=city))[0] for city in cities)
    assert unseen[0] == unseen[1]
    assert len({one, two, unseen[0]}) == 3


def test_folds_of_every_view_export_as_one_bundle(tmp_path: Path) -> None:
    winner = train(frame_of("dear"), CASES["all"], target="dear", validation="3-fold")
    exported = winner.export(tmp_path / "best")
    values = [outcome.best_value for outcome in winner.outcomes]
    assert exported.value == pytest.approx(np.mean(values), abs=1e-4)
    predictor = load(exported.path)
    assert len(predictor.bundle.members) == 3
    assert predictor.predict_proba(winner.dataset.raw_test()[0]).shape[1] == 2


def raw_table(n_rows: int = 600) -> pd.DataFrame:
    """Columns of equal importance, 1e-6 to 1e9 wide and up to 1e9 from 0; dates; missing cells."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=(n_rows, 6))
    frame = pd.DataFrame(
        {
            "tiny": 1e-6 * z[:, 0],
            "share": 0.4 + 0.004 * z[:, 1],
            "year": (2000 + 8 * z[:, 2]).round(),
            "stamp": 1.7e9 + 3600 * z[:, 3],
            "money": 1e9 * np.abs(z[:, 4]),
            "day": pd.Timestamp("2021-06-01") + pd.to_timedelta((200 * z[:, 5]).round(), "D"),
        }
    )
    frame["year"] = frame["year"].mask(pd.Series(rng.random(n_rows) < 0.1))
    frame["y"] = np.tanh(z).sum(1) + 0.1 * rng.normal(size=n_rows)
    return frame


def test_raw_columns_with_batch_norm_train_as_well_as_standardized_ones(
    tmp_path: Path,
) -> None:
    base = {"training.epochs": 40, "early_stopping.patience": 40, "network.hidden_units": 32}

    def best(params: dict[str, Any]) -> tuple[Winner, float]:
        winner = train(raw_table(), base | params, target="y")
        return winner, winner.outcomes[0].best_value

    raw_params = {"scaler": "none", "batch_norm.input": True}
    raw, value = best(raw_params)
    # Raw and standardized columns differ after a batch norm only through its ε.
    assert value == pytest.approx(best({"batch_norm.input": True})[1], rel=0.01)
    assert value < 1.1 * best({"scaler": "standard"})[1]
    # Without it, the large columns dominate the others.
    assert best({"scaler": "none"})[1] > 2 * value

    exported = raw.export(tmp_path / "best")
    assert exported.value == pytest.approx(value, rel=1e-4)
    module, rows = load(exported.path).to_torch(), raw_table().drop(columns="y")
    predictor = load(exported.path)
    with torch.no_grad():
        found = module(*predictor.raw_inputs(rows)).numpy()
    np.testing.assert_allclose(found, predictor.predict(rows), atol=1e-4)


def test_raw_numbers_of_a_date_are_its_parts() -> None:
    dataset = load_dataset(raw_table(), "y")
    encoded = dataset.encoded(0, View("none"))
    days = dataset.raw.iloc[dataset.splits[0].train]["day"]
    wanted = {
        "year": days.dt.year,
        "month": days.dt.month,
        "day": days.dt.day,
        "weekday": days.dt.day_of_week,
        "days": (days - days.min()).dt.days,
    }
    names = dataset.preprocessor(0, View("none")).input_names
    found = [place for place, name in enumerate(names) if name.startswith("day")]
    np.testing.assert_array_equal(encoded.x_train[:, found], np.stack([*wanted.values()], 1))
