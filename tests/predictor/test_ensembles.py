"""Members of any configuration as one fused network: equal to each alone, and their average."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autotrain.bundle import Bundle
from autotrain.data.preprocessing import Preprocessor
from autotrain.errors import DataError
from autotrain.predictor import ClassificationDistribution, Predictor, RegressionDistribution, load
from autotrain.predictor.block_sizes import BlockSizes
from autotrain.predictor.joint import Joint
from autotrain.predictor.passes import Group, Passes
from tests.winners import random_bundle, save

MIXED: tuple[dict[str, Any], ...] = (
    {"network.hidden_units": "20-30", "activation": "relu", "dropout.rate": 0.0},
    {"network.hidden_units": "32-7-11", "batch_norm": "before_activation"},
    {"network.hidden_units": "9", "activation": "prelu", "batch_norm": "after_activation"},
    {"network.hidden_units": "25", "batch_norm": "after_activation", "batch_norm.input": True},
    {"network.hidden_units": "70-40", "activation": "elu"},
    {"network.hidden_layers": 0},
)


def table(n: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 5))


def ensemble(task: str = "multiclass", params: tuple[dict[str, Any], ...] = MIXED) -> Bundle:
    """Two members of each configuration, in an order that no fleet has."""
    bundles = [random_bundle(own, task=task, n_members=2, seed=k) for k, own in enumerate(params)]
    members = [bundle.members[fold] for fold in (0, 1) for bundle in bundles]
    return replace(bundles[0], members=tuple(members))


# Parts of four rows, for three members with five inputs.
FOUR_ROWS = BlockSizes(encoded=3 * 5 * 4)


def alone(bundle: Bundle) -> list[Predictor]:
    return [Predictor(replace(bundle, members=(member,))) for member in bundle.members]


def only_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("one by one")

    monkeypatch.setattr(Passes, "outputs", refuse)


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_fused_pass_equals_each_member_alone(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = ensemble(task)
    each = alone(bundle)
    if task == "regression":
        expected = np.mean([predictor.predict(table()) for predictor in each], axis=0)
    else:
        expected = np.mean([predictor.predict_proba(table()) for predictor in each], axis=0)
    only_fused(monkeypatch)
    together = Predictor(bundle)
    found = together.predict(table()) if task == "regression" else together.predict_proba(table())
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_predictions_stay_within_the_limits_of_each_member(monkeypatch: pytest.MonkeyPatch) -> None:
    clamped: tuple[dict[str, Any], ...] = ({"target": "clamped"}, {"network.hidden_units": "10"})
    bundle = ensemble("regression", clamped)
    limits = [(-0.1, 0.1), (-9.0, 9.0), (0.2, 0.3), (-9.0, 9.0)]
    members = [
        replace(member, target_low=low, target_high=high)
        for member, (low, high) in zip(bundle.members, limits, strict=True)
    ]
    bundle = replace(bundle, members=tuple(members))
    expected = np.mean([predictor.predict(table()) for predictor in alone(bundle)], axis=0)
    first = Predictor(replace(bundle, members=bundle.members[:1])).predict(table())
    assert np.ptp(first) <= 0.2 * 3 + 1e-5, "the limits matter here"
    only_fused(monkeypatch)
    np.testing.assert_allclose(Predictor(bundle).predict(table()), expected, rtol=1e-5)


def test_many_rows_pass_one_member_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    fused = Predictor(ensemble()).predict_proba(table(200))

    def refuse(*_: Any) -> Any:
        raise AssertionError("fused")

    monkeypatch.setattr(Group, "outputs", refuse)
    found = Predictor(ensemble(), BlockSizes(layer=200)).predict_proba(table(200))
    np.testing.assert_allclose(found, fused, rtol=1e-5, atol=1e-7)


def test_bounded_blocks_of_rows_change_nothing() -> None:
    whole = Predictor(ensemble()).predict_proba(table(100))
    predictor = Predictor(ensemble(), BlockSizes(samples=12 * 3 * 7))
    np.testing.assert_allclose(predictor.predict_proba(table(100)), whole, rtol=1e-5, atol=1e-7)


# ---- encoding ----------------------------------------------------------------------------------


def test_rows_are_encoded_once_for_members_of_one_fold(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = random_bundle(n_members=2)
    first, second = bundle.members
    members = (first, second, replace(first, fold=0), replace(second, fold=1))
    save(replace(bundle, members=members), tmp_path / "best")
    calls = 0
    encode = Preprocessor.encode

    def counted(self: Preprocessor, *args: Any, **kwargs: Any) -> np.ndarray:
        nonlocal calls
        calls += 1
        return encode(self, *args, **kwargs)

    predictor = load(tmp_path / "best")
    monkeypatch.setattr(Preprocessor, "encode", counted)
    found = predictor.predict_proba(table())
    assert calls == 2
    np.testing.assert_allclose(found, Predictor(bundle).predict_proba(table()), rtol=1e-6)


@pytest.mark.parametrize("form", ["rows", "frame", "columns", "records"])
def test_folds_read_the_same_cells(form: str) -> None:
    """Two folds with different fitted statistics read each column once and correctly."""
    bundle = random_bundle(n_members=3)
    frame = pd.DataFrame(table(), columns=[f"x{place}" for place in range(5)])
    rows: dict[str, Any] = {
        "rows": table(),
        "frame": frame.astype({"x2": str}),
        "columns": {name: frame[name].tolist() for name in frame},
        "records": frame.to_dict("records"),
    }
    expected = np.mean([each.predict_proba(rows[form]) for each in alone(bundle)], axis=0)
    found = Predictor(bundle).predict_proba(rows[form])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_error_names_the_row_of_a_wrong_cell() -> None:
    frame = pd.DataFrame(table(), columns=[f"x{place}" for place in range(5)]).astype(object)
    frame.loc[9, "x3"] = "?!"
    with pytest.raises(DataError, match=r"x3.*row 10"):
        Predictor(random_bundle(n_members=3), FOUR_ROWS).predict(frame)


def test_parts_contain_the_rows_of_all_folds() -> None:
    joint = Joint(random_bundle(n_members=3), FOUR_ROWS)
    sizes = [len(xs[0]) for xs in joint.encoded(table(10), None)]
    assert sizes == [4, 4, 2]


# ---- Monte-Carlo dropout -----------------------------------------------------------------------


def distribution(bundle: Bundle, n_samples: int) -> Any:
    return Predictor(bundle).predict_distribution(table(), n_samples)


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_samples_of_a_member_without_dropout_are_equal(task: str) -> None:
    params: tuple[Mapping[str, Any], ...] = ({"dropout.rate": 0.0}, {"dropout.rate": 0.3})
    members = [random_bundle(own, task=task, seed=k).members[0] for k, own in enumerate(params)]
    bundle = replace(random_bundle(task=task), members=tuple(members))
    assert Predictor(bundle).has_dropout
    result = distribution(bundle, 6)
    silent = Predictor(replace(bundle, members=(members[0],)))
    point = silent.predict(table()) if task == "regression" else silent.predict_proba(table())
    for sample in result.samples[::2]:
        np.testing.assert_allclose(sample, point, rtol=1e-5)
    others = result.samples[1::2]
    assert (others.std(axis=0) > 0).all()
    assert not np.allclose(others[0], point, rtol=1e-2)


def test_without_dropout_nothing_is_random() -> None:
    assert not Predictor(ensemble(params=({"dropout.rate": 0.0},))).has_dropout


def test_first_samples_do_not_depend_on_their_number() -> None:
    bundle = ensemble()
    few, many = distribution(bundle, 5), distribution(bundle, 30)
    np.testing.assert_allclose(many.samples[:5], few.samples, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(many.point, few.point, rtol=1e-6)


def test_samples_equal_those_of_the_mixture() -> None:
    bundle = ensemble()
    n = len(bundle.members)
    result: ClassificationDistribution = distribution(bundle, 50 * n)
    assert result.samples is not None
    each = [result.samples[place::n].mean(axis=0) for place in range(n)]
    np.testing.assert_allclose(result.mean, np.mean(each, axis=0), atol=1e-9)
    # The disagreement of the members is part of the uncertainty.
    assert (result.std >= 0.99 * np.std(each, axis=0)).all()
    points = [predictor.predict_proba(table()) for predictor in alone(bundle)]
    np.testing.assert_allclose(result.point, np.mean(points, axis=0), atol=1e-6)


def test_mixture_of_a_regression_is_in_units_of_the_target() -> None:
    bundle = ensemble("regression")
    n = len(bundle.members)
    result: RegressionDistribution = distribution(bundle, 2 * n)
    assert result.samples is not None
    for place in (1, n - 1):
        own = Predictor(replace(bundle, members=(bundle.members[place],)))
        assert own.has_dropout == (place != n - 1)
        low, high = result.samples[place].min(), result.samples[place].max()
        point = own.predict(table())
        assert low < point.max()
        assert high > point.min()
    np.testing.assert_allclose(result.point, Predictor(bundle).predict(table()), rtol=1e-9)
