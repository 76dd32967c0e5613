"""The plain module equals the predictor, in both modes, for every kind of technique."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autotrain.errors import AutotrainError, BundleError
from autotrain.predictor import Predictor, load
from autotrain.predictor.plain import PlainPredictor
from autotrain.predictor.scaling import SCALINGS
from autotrain.techniques.activations import ACTIVATIONS
from autotrain.techniques.scalers import SCALERS
from tests.winners import mixed_table, random_bundle, train

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "linear": {"network.hidden_layers": 0, "dropout.input_rate": 0.3},
    "inputs too": {"dropout.input_rate": 0.3, "batch_norm.input": True},
    "alpha dropout": {"dropout": "alpha_dropout", "activation": "selu"},
    "batch norm before": {"batch_norm": "before_activation"},
    "batch norm after": {"batch_norm": "after_activation"},
    "ntk": {"parametrization": "ntk"},
    "parametric": {"activation": "tanh", "activation.parametric": True},
    **{f"activation {name}": {"activation": name} for name in ACTIVATIONS},
}


def table(n: int = 40) -> np.ndarray:
    rows = np.random.default_rng(0).normal(size=(n, 5))
    rows[3, 2] = np.nan
    return rows


def check(predictor: Predictor, rows: Any, rtol: float = 2e-5) -> None:
    inputs = predictor.raw_inputs(rows)
    with torch.no_grad():
        point = predictor.to_torch()(*inputs).numpy()
        samples = predictor.to_torch(7, seed=3)(*inputs).numpy()
    of_classes = predictor.bundle.is_classification
    expected = (
        predictor.predict_proba(rows, calibrated=False) if of_classes else predictor.predict(rows)
    )
    np.testing.assert_allclose(point, expected, rtol=rtol, atol=1e-6)
    result = predictor.predict_distribution(rows, 7, seed=3, samples=True, notices=[])
    assert result.samples is not None
    np.testing.assert_allclose(samples, result.samples, rtol=rtol, atol=1e-6)
    assert result.std.max() > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_every_kind_of_network(kind: str, task: str) -> None:
    check(Predictor(random_bundle(KINDS[kind], task=task, n_members=1)), table())


@pytest.mark.parametrize("n_members", [3, 9])
def test_members_are_averaged_and_sampled_in_turn(n_members: int) -> None:
    check(Predictor(random_bundle(n_members=n_members)), table())


@pytest.fixture(scope="module")
def mixed() -> pd.DataFrame:
    return mixed_table()


@pytest.mark.parametrize(
    "params",
    [
        {"scaler": "standard"},
        {"scaler": "robust_smooth_clip", "embedding": "pbld", "input_scale": "diagonal"},
        {"scaler": "quantile_normal", "embedding": "piecewise_linear"},
        {"embedding": "plr", "encoder": "embedding", "encoder.embedding.one_hot_limit": 2},
    ],
    ids=lambda params: "-".join(map(str, params.values())),
)
@pytest.mark.parametrize("target", ["left", "age"])
def test_tables_with_every_kind_of_column(
    mixed: pd.DataFrame, params: dict[str, Any], target: str, tmp_path: Path
) -> None:
    params = {"missing": "indicator", "training.epochs": 2, **params}
    winner = train(mixed, params, target=target, validation="3-fold")
    predictor = load(winner.export(tmp_path / "best").path)
    rows = mixed.drop(columns=target).head(40)
    rows.loc[0, "city"] = "never seen"
    check(predictor, rows, rtol=1e-4)


@given(
    st.lists(
        st.one_of(st.integers(-3, 3).map(float), st.floats(-1e3, 1e3)), min_size=2, max_size=30
    ),
    st.lists(st.floats(-2e3, 2e3), min_size=1, max_size=10),
)
def test_every_scaler_is_equal_in_torch(training: list[float], asked: list[float]) -> None:
    assert SCALINGS.keys() == SCALERS.keys()
    column = np.array(training)[:, None]
    rows = np.array([*asked, *training])[:, None]
    for name, scaler in SCALERS.items():
        arrays = scaler.fit(column)
        expected = scaler.apply(rows, arrays)
        tensors = {key: torch.from_numpy(value) for key, value in arrays.items()}
        found = SCALINGS[name](torch.from_numpy(rows), tensors).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9, err_msg=name)


def test_weights_can_be_saved_and_loaded(tmp_path: Path) -> None:
    first, second = (Predictor(random_bundle(seed=seed)) for seed in (0, 1))
    module, other = first.to_torch(), second.to_torch()
    inputs = first.raw_inputs(table())
    with torch.no_grad():
        assert not torch.equal(module(*inputs), other(*inputs))
        torch.save(module.state_dict(), tmp_path / "weights.pt")
        other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
        torch.testing.assert_close(other(*inputs), module(*inputs), rtol=0, atol=0)
    assert "networks.0.hidden_0_kernel" in dict(module.named_parameters())


@pytest.mark.parametrize("n_samples", [0, 5])
def test_module_can_be_exported(n_samples: int) -> None:
    predictor = Predictor(random_bundle(n_members=2))
    module = predictor.to_torch(n_samples)
    inputs = predictor.raw_inputs(table())
    rows = torch.export.Dim("rows", min=2, max=100_000)
    exported = torch.export.export(
        module.eval(), inputs, dynamic_shapes=({0: rows}, {0: rows})
    ).module()
    fewer = predictor.raw_inputs(table(17))
    with torch.no_grad():
        torch.testing.assert_close(exported(*fewer), module(*fewer))


def test_module_can_be_trained_further() -> None:
    predictor = Predictor(random_bundle(task="binary", classes=("no", "yes")))
    module = predictor.to_torch()
    inputs = predictor.raw_inputs(table())
    y = (torch.from_numpy(table()[:, 0]) > 0).long()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    losses = []
    for _ in range(20):
        loss = torch.nn.functional.nll_loss(module(*inputs).log(), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("kind", ["inputs too", "alpha dropout", "linear"])
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_training_mode_draws_masks_for_each_row(kind: str, task: str) -> None:
    predictor = Predictor(random_bundle(KINDS[kind], task=task, n_members=2))
    rows = np.tile(table()[:1], (600, 1))
    inputs = predictor.raw_inputs(rows)
    shared = predictor.to_torch(8)
    torch.manual_seed(0)
    with torch.no_grad():
        banked = shared(*inputs)
        own = shared.train()(*inputs)
        again = shared(*inputs)
        point = predictor.to_torch().train()(*inputs)
    assert own.shape == banked.shape
    assert (banked == banked[:, :1]).all()
    for drawn in (own[0], own[7], point):
        assert len(torch.unique(drawn, dim=0)) > 20
    assert not torch.equal(own, again)
    # 600 rows with their own masks and 600 shared masks have the same distribution.
    result = predictor.predict_distribution(rows[:1], 600, samples=True)
    assert result.samples is not None
    for place in range(2):
        of_member = torch.tensor(result.samples[place::2, 0])
        expected, spread = of_member.mean(0), of_member.std(0)
        torch.testing.assert_close(
            own[place].mean(0), expected, rtol=0, atol=float(5 * spread.max() / 300**0.5)
        )
        torch.testing.assert_close(own[place].std(0), spread, rtol=0.2, atol=1e-3)
    shared.eval()
    with torch.no_grad():
        torch.testing.assert_close(shared(*inputs), banked)


def test_samples_need_dropout() -> None:
    predictor = Predictor(random_bundle({"dropout.rate": 0.0}))
    assert isinstance(predictor.to_torch(), PlainPredictor)
    with pytest.raises(BundleError, match="needs a model trained with dropout"):
        predictor.to_torch(5)


def test_samples_of_a_member_without_dropout_are_equal() -> None:
    with_dropout = random_bundle(n_members=2)
    without = random_bundle({"dropout.rate": 0.0}, n_members=2)
    members = (with_dropout.members[0], without.members[1])
    check(Predictor(replace(with_dropout, members=members)), table())


@pytest.mark.parametrize("levels", [["true", "false", "unknown"], ["true", "unknown"]])
def test_boolean_levels_match_in_any_spelling(levels: list[str], tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    flag = generator.choice(levels, 90)
    frame = pd.DataFrame({"flag": flag, "z": generator.normal(size=90), "y": flag == "true"})
    winner = train(frame, {"training.epochs": 3}, target="y")
    predictor = load(winner.export(tmp_path / "best").path)
    rows = frame[flag != "unknown"].drop(columns="y").head(20)
    expected = predictor.predict_proba(rows, calibrated=False)
    unseen = predictor.predict_proba(rows.assign(flag="never"), calibrated=False)
    assert np.abs(unseen - expected).max() > 0.01
    for spelt in (rows["flag"] == "true", rows["flag"].str.upper(), rows["flag"].str.title()):
        others, notices = rows.assign(flag=spelt), list[str]()
        np.testing.assert_array_equal(
            predictor.predict_proba(others, calibrated=False, notices=notices), expected
        )
        assert not notices
        module = predictor.to_torch()
        found = module(*predictor.raw_inputs(others)).detach()
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_logits_equal_log_probabilities_up_to_a_constant(n_members: int, task: str) -> None:
    predictor = Predictor(random_bundle({}, task=task, n_members=n_members))
    inputs = predictor.raw_inputs(table())
    with torch.no_grad():
        for n_samples in (0, 5):
            proba = predictor.to_torch(n_samples, seed=1)(*inputs)
            logits = predictor.to_torch(n_samples, seed=1, logits=True)(*inputs)
            assert logits.shape == proba.shape
            torch.testing.assert_close(torch.softmax(logits, dim=-1), proba)
            constant = (logits - proba.log())[..., :1]
            torch.testing.assert_close(logits - constant, proba.log())
            is_average = n_members > 1 and not n_samples
            # Outputs of a network are not normalized; the logarithm of an average is.
            assert bool((constant.abs() < 1e-9).all()) is is_average
    if n_members == 1:
        module = predictor.to_torch(logits=True)
        with torch.no_grad():
            raw = module.networks[0](module.encoders[0](*inputs))
            torch.testing.assert_close(module(*inputs), raw.double())


def test_logits_stay_finite_where_probabilities_are_0() -> None:
    predictor = Predictor(random_bundle({}, task="binary", n_members=2))
    module = predictor.to_torch(logits=True)
    with torch.no_grad():
        for network in module.networks:
            network.get_parameter("output_kernel").mul_(1e4)
        logits = module(*predictor.raw_inputs(table()))
    assert bool(torch.isfinite(logits).all())
    assert float((torch.softmax(logits, -1) == 0).double().max()) == 1


def test_regression_has_no_logits() -> None:
    with pytest.raises(AutotrainError, match="logits"):
        Predictor(random_bundle({}, task="regression", n_members=1)).to_torch(logits=True)
