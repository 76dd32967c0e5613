"""ONNX graphs: onnxruntime alone, with its default options, says what the predictor says."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest

from autotrain.errors import AutotrainError, StorageError
from autotrain.export.onnx import OPSET, export_onnx
from autotrain.predictor import ClassificationDistribution, Predictor, RegressionDistribution, load
from autotrain.predictor.mixture import Noise
from autotrain.techniques.scalers import SCALERS
from tests.winners import mixed_table, random_bundle, train

# Another process, which cannot import autotrain.
ALONE = """
import sys
sys.modules["autotrain"] = None
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
given = dict(numpy.load(sys.argv[2]))
names = [output.name for output in session.get_outputs()]
numpy.savez(sys.argv[3], **dict(zip(names, session.run(None, given))))
assert not any(name.startswith(("autotrain.", "torch")) for name in sys.modules)
"""


def run(graph: Path, predictor: Predictor, rows: Any) -> dict[str, np.ndarray]:
    """Run a graph on a table, with onnxruntime's default options."""
    inputs = dict(zip(("numbers", "codes"), predictor.raw_inputs(rows), strict=True))
    session = onnxruntime.InferenceSession(str(graph))
    asked = [each.name for each in session.get_inputs()]
    names = [each.name for each in session.get_outputs()]
    found = session.run(None, {name: inputs[name].numpy() for name in asked})
    return dict(zip(names, found, strict=True))


@pytest.mark.parametrize(
    ("target", "params"),
    [
        ("left", {"scaler": "robust_smooth_clip", "embedding": "pbld", "activation": "mish"}),
        ("left", {"batch_norm": "after_activation", "dropout.input_rate": 0.2}),
        ("age", {"scaler": "quantile_normal", "embedding": "piecewise_linear"}),
        ("age", {"dropout": "alpha_dropout", "activation": "selu", "target": "clamped"}),
    ],
)
def test_graphs_of_a_trained_model(target: str, params: dict[str, Any], tmp_path: Path) -> None:
    frame = mixed_table()
    params = {"missing": "indicator", "training.epochs": 2, **params}
    weights = {"yes": 5.0} if "batch_norm" in params else None
    winner = train(frame, params, target=target, validation="3-fold", class_weights=weights)
    predictor = load(winner.export(tmp_path / "best").path)
    assert ("class_weights" in predictor.bundle.calibration) == (weights is not None)
    folder = export_onnx(predictor, tmp_path / "graphs", n_samples=12, seed=5)
    assert sorted(path.name for path in folder.iterdir()) == [
        "inputs.json",
        "point.onnx",
        "predictor.onnx",
    ]
    rows = frame.drop(columns=target).head(31)
    rows.loc[0, "city"] = "never seen"
    result = predictor.predict_distribution(rows, 12, seed=5, samples=True, notices=[])
    found = run(folder / "predictor.onnx", predictor, rows)
    unit = 1.0 if target == "left" else float(frame["age"].std())
    for name, values in found.items():
        expected = getattr(result, name)
        np.testing.assert_allclose(values / unit, expected / unit, atol=1e-5, err_msg=name)
    assert found["std"].max() > 1e-3
    off = run(folder / "point.onnx", predictor, rows)
    np.testing.assert_allclose(off["point"] / unit, result.point / unit, atol=1e-5)
    if isinstance(result, ClassificationDistribution):
        assert set(found) == {"mean", "std", "samples", "entropy", "calibrated_mean"}
        np.testing.assert_allclose(off["proba"], predictor.predict_proba(rows), atol=1e-5)
    else:
        assert isinstance(result, RegressionDistribution)
        assert set(found) == {"mean", "std", "samples"}


@pytest.mark.parametrize("unit", [1e-18, 5e-9, 1e12])
def test_targets_of_any_size(unit: float, tmp_path: Path) -> None:
    """An exporter that takes a small constant for 0 drops the mean of a small target."""
    bundle = random_bundle(task="regression", n_members=2)
    members = tuple(
        replace(m, target_mean=unit * m.target_mean, target_std=unit * m.target_std)
        for m in bundle.members
    )
    noise = Noise.normal(0.7 / unit**2).to_json()
    predictor = Predictor(replace(bundle, members=members, calibration={"noise": noise}))
    folder = export_onnx(predictor, tmp_path / "graphs", n_samples=6)
    rows = np.random.default_rng(1).normal(size=(9, 5))
    result = predictor.predict_distribution(rows, 6, samples=True)
    found = run(folder / "predictor.onnx", predictor, rows)
    for name in ("mean", "std", "samples"):
        expected = getattr(result, name) / unit
        np.testing.assert_allclose(found[name] / unit, expected, atol=1e-5, rtol=1e-6, err_msg=name)


def test_it_runs_without_autotrain(tmp_path: Path) -> None:
    predictor = Predictor(random_bundle(n_members=2))
    folder = export_onnx(predictor, tmp_path / "graphs", n_samples=6)
    rows = np.random.default_rng(1).normal(size=(9, 5))
    numbers, _ = predictor.raw_inputs(rows)
    np.savez(tmp_path / "given.npz", numbers=numbers.numpy())
    command = [sys.executable, "-W", "error", "-c", ALONE, str(folder / "predictor.onnx")]
    command += [str(tmp_path / "given.npz"), str(tmp_path / "found.npz")]
    subprocess.run(command, check=True, cwd=tmp_path)
    with np.load(tmp_path / "found.npz") as found:
        result = predictor.predict_distribution(rows, 6)
        np.testing.assert_allclose(found["mean"], result.mean, atol=1e-5)
        np.testing.assert_allclose(found["std"], result.std, atol=1e-5)
        assert found["std"].max() > 1e-3


def test_inputs_of_the_graph_are_documented(tmp_path: Path) -> None:
    winner = train(mixed_table(), {"training.epochs": 1}, target="left")
    predictor = load(winner.export(tmp_path / "best").path)
    folder = export_onnx(predictor, tmp_path / "graphs", n_samples=3)
    about = json.loads((folder / "inputs.json").read_text(encoding="utf-8"))
    assert about["classes"] == ["no", "yes"]
    assert about["numbers"][:2] == [{"column": "age"}, {"column": "paid"}]
    assert {column["column"] for column in about["codes"]} == {"city", "member", "sex"}
    city = next(column for column in about["codes"] if column["column"] == "city")
    assert {None, "Bern", "Oslo", "Paris", "Rom"} <= set(city["levels"])
    # A person can follow it: the codes of a row by hand.
    row = mixed_table().drop(columns="left").head(8)
    _, codes = predictor.raw_inputs(row)
    place = about["codes"].index(city)
    places = {level: code for code, level in enumerate(city["levels"])}
    expected = [places.get(None if pd.isna(cell) else cell, -1) for cell in row["city"]]
    assert codes[:, place].tolist() == expected
    model = onnx.load(folder / "predictor.onnx")
    onnx.checker.check_model(model)
    assert {entry.version for entry in model.opset_import if entry.domain == ""} == {OPSET}
    (stored,) = (each.value for each in model.metadata_props if each.key == "autotrain")
    assert json.loads(stored) == about
    assert not any(node.op_type == "Dropout" for node in model.graph.node)


@pytest.mark.parametrize("scaler", SCALERS)
def test_numbers_far_from_zero_or_near_it(scaler: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    n = 90
    frame = pd.DataFrame(
        {
            "year": generator.integers(1950, 2021, n),
            "kelvin": generator.normal(300, 5, n),
            "tiny": generator.normal(0, 1e-6, n),
            "when": pd.date_range("2019-12-31", periods=900)[generator.integers(0, 900, n)],
        }
    )
    frame["y"] = frame["kelvin"] + frame["year"] / 10 + generator.normal(size=n)
    is_raw = SCALERS[scaler].is_raw
    params = {"scaler": scaler, "training.epochs": 3, "batch_norm.input": is_raw}
    winner = train(frame, params, target="y", validation="3-fold")
    predictor = load(winner.export(tmp_path / "best").path)
    folder = export_onnx(predictor, tmp_path / "graphs", n_samples=6)
    rows = frame.drop(columns="y")
    (point,) = run(folder / "point.onnx", predictor, rows).values()
    unit = float(frame["y"].std())
    np.testing.assert_allclose(point / unit, predictor.predict(rows) / unit, atol=1e-5)
    # The numbers of a row, made by what is written down alone.
    about = json.loads((folder / "inputs.json").read_text(encoding="utf-8"))
    numbers, _ = predictor.raw_inputs(rows)
    made = []
    for entry in about["numbers"]:
        column = rows[entry["column"]]
        if "since" in entry:
            made.append((column - pd.Timestamp(entry["since"])).dt.days)
        elif "part" in entry:
            name = {"weekday": "day_of_week"}.get(entry["part"], entry["part"])
            made.append(getattr(column.dt, name))
        else:
            made.append(column)
    assert {entry.get("part") for entry in about["numbers"]} >= {None, "year", "weekday", "days"}
    np.testing.assert_allclose(numbers.numpy(), np.stack(made, axis=1), atol=1e-9)


def test_table_with_text_columns_only(tmp_path: Path) -> None:
    frame = mixed_table()[["city", "member", "left"]]
    winner = train(frame, {"training.epochs": 1}, target="left")
    predictor = load(winner.export(tmp_path / "best").path)
    folder = export_onnx(predictor, tmp_path / "graphs", n_samples=3)
    rows = frame.drop(columns="left").head(5)
    found = run(folder / "predictor.onnx", predictor, rows)
    result = predictor.predict_distribution(rows, 3)
    np.testing.assert_allclose(found["mean"], result.mean, atol=1e-5)


def test_without_dropout_there_is_only_the_point_prediction(tmp_path: Path) -> None:
    predictor = Predictor(random_bundle({"dropout.rate": 0.0}))
    folder = export_onnx(predictor, tmp_path / "graphs")
    assert sorted(path.name for path in folder.iterdir()) == ["inputs.json", "point.onnx"]


def test_graph_with_other_predictions_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def run(self, _: object, given: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [np.full((len(given["numbers"]), 3), 0.5)]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Wrong)
    with pytest.raises(RuntimeError, match=r"point\.onnx: point differs from the model"):
        export_onnx(Predictor(random_bundle()), tmp_path / "graphs")
    assert not (tmp_path / "graphs").exists()


def test_missing_and_existing_files_are_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(replace(random_bundle()))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(StorageError, match="must be a new or empty folder"):
        export_onnx(predictor, tmp_path / "mine")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(AutotrainError, match="pip install onnx onnxruntime"):
        export_onnx(predictor, tmp_path / "graphs")
