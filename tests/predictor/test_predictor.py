"""Point predictions equal torch's own layers, for any table, in the labels of the user."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from autotrain.errors import AutotrainError, BundleError, DataError
from autotrain.predictor import Predictor, load
from autotrain.techniques.activations import ACTIVATIONS
from autotrain.techniques.normalization import BATCH_NORMS
from tests.winners import plain_network, random_bundle, save, train

ROOT = Path(__file__).resolve().parents[2]


def table(n: int = 40, n_features: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, n_features))


def check_against_torch(params: Mapping[str, Any], folder: Path) -> None:
    bundle = random_bundle(params)
    network, _ = plain_network(save(bundle, folder))
    x = torch.from_numpy(bundle.members[0].preprocessor.encode(table())).double()
    with torch.no_grad():
        expected = torch.softmax(network(x), dim=1).numpy()
    found = load(folder).predict_proba(table())
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_equals_torch_for_every_activation(activation: str, tmp_path: Path) -> None:
    check_against_torch({"activation": activation}, tmp_path / "best")


@pytest.mark.parametrize("has_input_norm", [False, True])
@pytest.mark.parametrize("batch_norm", BATCH_NORMS)
def test_equals_torch_for_every_batch_norm(
    batch_norm: str, has_input_norm: bool, tmp_path: Path
) -> None:
    params = {"batch_norm": batch_norm, "batch_norm.input": has_input_norm}
    check_against_torch(params, tmp_path / "best")


@pytest.mark.parametrize("units", ["9", "20-3-11"])
def test_equals_torch_for_every_shape(units: str, tmp_path: Path) -> None:
    check_against_torch({"network.hidden_units": units}, tmp_path / "best")


def test_equals_torch_without_hidden_layers(tmp_path: Path) -> None:
    check_against_torch({"network.hidden_layers": 0}, tmp_path / "best")


def test_trained_winner_equals_torch_from_its_files(tmp_path: Path) -> None:
    winner = train("sklearn:wine", {"batch_norm": "before_activation", "activation": "prelu"})
    winner.export(tmp_path / "best")
    network, _ = plain_network(tmp_path / "best")
    features, _ = winner.dataset.raw_test()
    with torch.no_grad():
        logits = network(torch.from_numpy(winner.dataset.x_test).double())
    found = load(tmp_path / "best").predict_proba(features, calibrated=False)
    np.testing.assert_allclose(found, torch.softmax(logits, 1).numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-12)


def test_regression_is_in_units_of_the_target(tmp_path: Path) -> None:
    bundle = random_bundle(task="regression")
    network, _ = plain_network(save(bundle, tmp_path / "best"))
    x = torch.from_numpy(bundle.members[0].preprocessor.encode(table())).double()
    with torch.no_grad():
        expected = network(x)[:, 0].numpy() * 3 + 40
    predictor = load(tmp_path / "best")
    np.testing.assert_allclose(predictor.predict(table()), expected, rtol=1e-4)
    assert predictor.predict(table()).dtype == np.float64
    assert not hasattr(predictor, "classes_")
    with pytest.raises(AutotrainError, match="needs a classification, and the target 'y'"):
        predictor.predict_proba(table())


@pytest.mark.parametrize(
    ("classes", "label_dtype", "kind"),
    [
        (("no", "yes"), "str", "U"),
        ((3, 7), "int64", "i"),
        ((0.5, 2.0), "float64", "f"),
        ((False, True), "bool", "b"),
    ],
)
def test_labels_have_the_type_of_the_training_table(
    classes: tuple[Any, ...], label_dtype: str, kind: str
) -> None:
    predictor = Predictor(random_bundle(task="binary", classes=classes, label_dtype=label_dtype))
    labels = predictor.predict(table(200))
    assert labels.dtype.kind == predictor.classes_.dtype.kind == kind
    assert labels.shape == (200,)
    assert set(labels.tolist()) == set(predictor.classes_.tolist()) == set(classes)
    places = predictor.predict_proba(table(200)).argmax(1)
    np.testing.assert_array_equal(labels, np.array(classes)[places])


def test_every_type_of_table_gives_the_same() -> None:
    predictor, rows = Predictor(random_bundle()), table()
    names = [f"x{place}" for place in range(5)]
    frame = pd.DataFrame(rows, columns=names)
    expected = predictor.predict_proba(rows)
    for same in (
        frame,
        frame[names[::-1]],
        frame.assign(more="text"),
        frame.astype("Float64"),
        dict(zip(names, rows.T, strict=True)),
        {name: rows[:, place].tolist() for place, name in enumerate(names)},
        frame.to_dict("records"),
        rows.tolist(),
    ):
        np.testing.assert_allclose(predictor.predict_proba(same), expected, rtol=1e-6)


def test_no_rows_and_one_row(tmp_path: Path) -> None:
    for task in ("multiclass", "regression"):
        predictor = Predictor(random_bundle(task=task))
        assert predictor.predict(table(0)).shape == (0,)
        assert predictor.predict(table(1)).shape == (1,)
        assert predictor.predict(pd.DataFrame(table(0), columns=predictor.column_names)).size == 0
    proba = Predictor(random_bundle()).predict_proba
    assert proba(table(0)).shape == (0, 3)
    np.testing.assert_allclose(proba(table(40)[:1]), proba(table(40))[:1], rtol=1e-5)


def test_wrong_tables_raise() -> None:
    predictor = Predictor(random_bundle())
    frame = pd.DataFrame(table(), columns=["x0", "x1", "x2", "x3", "X4"])
    with pytest.raises(DataError, match=r"missing: 'x4' \(is it 'X4'\?\)"):
        predictor.predict(frame)
    with pytest.raises(DataError, match="must have 5 columns"):
        predictor.predict(table(n_features=4))
    with pytest.raises(DataError, match=r"column 'x2' must contain numbers, got .* in row 7"):
        predictor.predict(
            frame.rename(columns={"X4": "x4"})
            .astype(object)
            .replace({"x2": {frame["x2"][6]: "?!"}})
        )


def test_ignored_columns_and_unseen_categories_give_notices(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"age": generator.normal(size=120), "city": generator.choice(["Rom", "Bern", "Oslo"], 120)}
    )
    frame["left"] = np.where(frame["age"] + (frame["city"] == "Rom") > 0.3, "yes", "no")
    winner = train(frame, {"training.epochs": 2}, target="left")
    winner.export(tmp_path / "best")
    predictor, notices = load(tmp_path / "best"), list[str]()
    rows = pd.DataFrame({"age": [1.0, np.nan], "city": ["Paris", None], "note": ["a", "b"]})
    assert len(predictor.predict(rows, notices=notices)) == 2
    assert any("ignored 1 column that" in notice and "note" in notice for notice in notices)
    assert any("'city'" in notice and "Paris" in notice for notice in notices)
    assert predictor.target == "left"
    assert predictor.column_names == ("age", "city")
    assert repr(predictor) == "Predictor(binary 'left' from 2 columns)"


def test_members_predict_together() -> None:
    bundle = random_bundle(n_members=3)
    alone = [
        Predictor(replace(bundle, members=(member,))).predict_proba(table())
        for member in bundle.members
    ]
    together = Predictor(bundle).predict_proba(table())
    np.testing.assert_allclose(together, np.mean(alone, axis=0), rtol=1e-9)
    regression = random_bundle(task="regression", n_members=2)
    single = [
        Predictor(replace(regression, members=(member,))).predict(table())
        for member in regression.members
    ]
    np.testing.assert_allclose(Predictor(regression).predict(table()), np.mean(single, axis=0))


def test_predictions_do_not_depend_on_other_rows() -> None:
    predictor, rows = Predictor(random_bundle({"network.hidden_units": 64})), table(5000)
    everything = predictor.predict_proba(rows)
    np.testing.assert_array_equal(predictor.predict_proba(rows), everything)
    np.testing.assert_allclose(predictor.predict_proba(rows[::-1])[::-1], everything, rtol=1e-5)
    np.testing.assert_allclose(predictor.predict_proba(rows[:7]), everything[:7], rtol=1e-5)


FRESH = """
import sys
import numpy as np
from autotrain.predictor import load
predictor = load(sys.argv[1])
columns = {name: [0.5, None, "nan"] for name in predictor.column_names}
predictor.predict(columns), predictor.predict_proba(columns)
result = predictor.predict_distribution(columns, n_samples=5)
predictor.evaluate(columns, predictor.predict(columns), n_samples=5)
heavy = {"pandas", "sklearn", "scipy", "pyarrow", "optuna"} & {n.split(".")[0] for n in sys.modules}
assert not heavy, heavy
print(repr(result.mean.tolist()))
sys.modules["pandas"] = None
try:
    result.to_frame()
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("widths", [("12-12",), ("12-12", "20-9", "8")], ids=["one", "ensemble"])
def test_prediction_imports_torch_numpy_and_safetensors_only(
    widths: tuple[str, ...], tmp_path: Path
) -> None:
    trials = [random_bundle({"network.hidden_units": own}, n_members=2) for own in widths]
    members = tuple(member for trial in trials for member in trial.members)
    folder = save(replace(trials[0], members=members), tmp_path / "best")
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    numbers, error = done.stdout.splitlines()
    columns = {name: [0.5, None, "nan"] for name in load(folder).column_names}
    expected = load(folder).predict_distribution(columns, n_samples=5).mean
    np.testing.assert_allclose(np.array(eval(numbers)), expected, rtol=1e-6)
    assert error.startswith("AutotrainError to_frame needs pandas")


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_overflow_raises(task: str) -> None:
    bundle = random_bundle({"activation": "relu"}, task=task)
    (member,) = bundle.members
    huge = replace(member, parameters=np.full_like(member.parameters, 3e38))
    predictor = Predictor(replace(bundle, members=(huge,)))
    rows = np.ones((3, 5))
    for ask in (predictor.predict, predictor.predict_distribution):
        with pytest.raises(DataError, match="whose prediction is not a finite number"):
            ask(rows)


def test_loading_a_missing_bundle_raises(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nowhere must be a bundle.*studies/NAME/best"):
        load(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("params", [{}, {"network.hidden_units": "300-7"}, {"activation": "relu"}])
@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_result_of_a_row_is_bitwise_independent_of_others(
    task: str, n_members: int, params: Mapping[str, Any]
) -> None:
    predictor, rows = Predictor(random_bundle(params, task=task, n_members=n_members)), table(75)

    def numbers(X: np.ndarray) -> np.ndarray:
        result = predictor.predict_distribution(X, 13, seed=4)
        columns = [result.mean, result.std, result.point]
        return np.concatenate([each.reshape(len(X), -1) for each in columns], axis=1)

    whole = numbers(rows)
    for size in (1, 2, 3, 16, 50):
        parts = [numbers(rows[start : start + size]) for start in range(0, 75, size)]
        np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-12, atol=1e-14)
    order = np.random.default_rng(1).permutation(75)
    np.testing.assert_allclose(numbers(rows[order]), whole[order], rtol=1e-12, atol=1e-14)
