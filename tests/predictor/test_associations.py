"""Associations equal those of scipy; columns that determine each other are grouped."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from autotrain.data.loading import load_dataset
from autotrain.data.preprocessing import Preprocessor
from autotrain.errors import AutotrainError
from autotrain.predictor.associations import (
    associated_groups,
    associations,
    correlation_ratios,
    cramers_v,
)
from autotrain.techniques.view import View

N = 400


def frame() -> pd.DataFrame:
    """Return a table with two groups of columns that move together."""
    generator = np.random.default_rng(0)
    tall, city = generator.normal(size=N), generator.integers(6, size=N)
    return pd.DataFrame(
        {
            "tall": tall,
            "noise": generator.normal(size=N),
            "city": np.array(list("ABCDEF"))[city],
            "tall_rank": np.exp(tall),
            "country": np.array(["x", "y", "z"])[city // 2],
            "member": generator.choice([True, False], N),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta((900 * tall).astype(int), "D"),
        }
    )


def encoded(table: pd.DataFrame, one_hot_limit: int) -> tuple[Preprocessor, np.ndarray]:
    """Return the preprocessor of a table, and the table as it encodes it."""
    dataset = load_dataset(table.assign(label=np.arange(len(table)) % 2), "label")
    preprocessor = dataset.preprocessor(view=View(one_hot_limit=one_hot_limit))
    return preprocessor, preprocessor.encode(table)


@pytest.mark.parametrize("one_hot_limit", [0, 2])
def test_associations_of_a_table(one_hot_limit: int) -> None:
    table = frame()
    preprocessor, x = encoded(table, one_hot_limit)
    found = pd.DataFrame(
        associations(preprocessor, x), preprocessor.column_names, preprocessor.column_names
    )
    np.testing.assert_allclose(found, found.T)
    assert (np.diag(found) == 1).all()
    expected = abs(stats.spearmanr(table["tall"], table["noise"]).statistic)
    assert found.loc["tall", "noise"] == pytest.approx(expected, abs=1e-6)
    assert found.loc["tall", ["tall_rank", "since"]].min() > 0.999
    assert found.loc["city", ["country"]].min() > 0.99
    ratio = correlation_ratios(pd.factorize(table["city"])[0], table[["noise"]].rank().to_numpy())
    assert found.loc["noise", "city"] == pytest.approx(ratio[0], abs=1e-9)
    assert found.loc["member"].drop("member").max() < 0.2
    assert sorted(associated_groups(preprocessor, x)) == [
        ("city", "country"),
        ("tall", "tall_rank", "since"),
    ]


def test_every_two_columns_of_a_group_are_associated() -> None:
    """A chain of which only neighbours are associated is not one group."""
    generator = np.random.default_rng(0)
    parts = generator.normal(size=(N, 12))
    chain = {f"c{k}": parts[:, 3 * k : 3 * k + 5].sum(axis=1) for k in range(3)}
    preprocessor, x = encoded(pd.DataFrame(chain), 0)
    found = associations(preprocessor, x)
    for threshold in (0.3, 0.5, 0.9):
        for group in associated_groups(preprocessor, x, threshold):
            places = [preprocessor.column_names.index(name) for name in group]
            assert found[np.ix_(places, places)].min() >= threshold
    assert not associated_groups(preprocessor, x, 0.9)


def test_correlation_ratio_is_that_of_kruskal_and_wallis() -> None:
    generator = np.random.default_rng(1)
    levels = generator.integers(4, size=N)
    values = generator.normal(size=N) + 0.5 * levels
    h = stats.kruskal(*(values[levels == level] for level in range(4))).statistic
    corrected = 1 - (1 - h / (N - 1)) * (N - 1) / (N - 4)
    found = correlation_ratios(levels, stats.rankdata(values)[:, None])
    assert found == pytest.approx([np.sqrt(corrected)])


def test_cramers_v_is_from_the_statistic_of_scipy() -> None:
    generator = np.random.default_rng(2)
    first = generator.integers(4, size=N)
    second = np.where(generator.uniform(size=N) < 0.5, first % 3, generator.integers(3, size=N))
    square = stats.chi2_contingency(pd.crosstab(first, second), correction=False).statistic / N
    corrected = square - 3 * 2 / (N - 1)
    assert cramers_v(first, second) == pytest.approx(
        np.sqrt(corrected / (2 - 2**2 / (N - 1))), rel=1e-9
    )


def test_many_levels_are_not_associated_by_chance() -> None:
    generator = np.random.default_rng(3)
    levels = np.unique(generator.integers(N // 2, size=N), return_inverse=True)[1]
    assert correlation_ratios(levels, generator.normal(size=(N, 3))).max() < 0.5
    assert cramers_v(levels, generator.integers(5, size=N)) < 0.5
    assert correlation_ratios(np.arange(N), generator.normal(size=(N, 3))).tolist() == [0, 0, 0]


def test_constant_columns_are_not_associated() -> None:
    preprocessor, x = encoded(frame(), 0)
    x = np.repeat(x[:1], 50, axis=0)
    np.testing.assert_array_equal(associations(preprocessor, x), np.eye(7))
    assert associated_groups(preprocessor, x) == []


def test_missing_scipy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    preprocessor, x = encoded(frame(), 0)

    def fail(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(AutotrainError, match="scipy") as caught:
        associated_groups(preprocessor, x)
    assert caught.value.parameter == "groups"
