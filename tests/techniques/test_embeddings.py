"""Features and gradients of numeric embeddings equal references and autograd.

To add an embedding, add its features of one number, as a function in torch, to `REFERENCES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from autotrain.techniques.embeddings import EMBEDDINGS, NO_BIN, bin_edges, clip_limits

K, D, B, N = 3, 4, 6, 5
Own = dict[str, Tensor]


def _piecewise(x: Tensor, p: Own) -> Tensor:
    """Return the features of one number, by cases: below, inside and above each bin."""
    is_bin = p["width"] < NO_BIN
    last = int(is_bin.sum()) - 1
    features = []
    for t, (edge, width) in enumerate(zip(p["edge"], p["width"], strict=True)):
        share = (x - edge) / width
        if t > last or (share < 0 and t > 0):
            share = torch.zeros(())
        elif share > 1 and t < last:
            share = torch.ones(())
        features.append(share)
    return torch.stack([feature.double() for feature in features])


REFERENCES: dict[str, Callable[[Tensor, Own], Tensor] | None] = {
    "none": None,
    "piecewise_linear": _piecewise,
    "plr": lambda x, p: torch.cat(
        [torch.cos(2 * math.pi * p["frequency"] * x), torch.sin(2 * math.pi * p["frequency"] * x)]
    ),
    "pbld": lambda x, p: torch.cos(2 * math.pi * p["frequency"] * x + p["phase"]),
}
EMBEDS = [name for name, row in EMBEDDINGS.items() if row.sizes is not None]
TRAINED = [name for name in EMBEDS if EMBEDDINGS[name].gradient is not None]


def inputs() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.randn(K, D, B, dtype=torch.float64, generator=generator)


def tensors() -> Own:
    """Return tensors that differ between slots; one column has fewer bins, another one none."""
    generator = np.random.default_rng(1)
    columns = generator.normal(size=(K, 40, D))
    columns[:, :, 1] = columns[:, :, 1] > 0
    columns[:, :, 2] = 3.0
    edges, widths = zip(*(bin_edges(own, N) for own in columns), strict=True)
    own = {
        "frequency": torch.from_numpy(generator.normal(size=(K, D, N))),
        "phase": torch.from_numpy(generator.uniform(-3, 3, (K, D, N))),
        "edge": torch.from_numpy(np.stack(edges)),
        "width": torch.from_numpy(np.stack(widths)),
    }
    own["low"], own["high"] = clip_limits(own["width"])
    return own


def by_loop(name: str, x: Tensor, p: Own) -> Tensor:
    reference = REFERENCES[name]
    assert reference is not None
    rows = [
        reference(x[k, d, b], {key: value[k, d] for key, value in p.items()})
        for k in range(K)
        for d in range(D)
        for b in range(B)
    ]
    return torch.stack(rows).view(K, D, B, -1)


@pytest.mark.parametrize("name", EMBEDS)
def test_features_equal_the_reference(name: str) -> None:
    row, x, p = EMBEDDINGS[name], inputs(), tensors()
    assert row.features is not None
    before = x.clone()
    features, _ = row.features(x, p)
    assert torch.equal(x, before)
    torch.testing.assert_close(features, by_loop(name, x, p), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", TRAINED)
def test_gradients_equal_autograd(name: str) -> None:
    row, x, p = EMBEDDINGS[name], inputs(), tensors()
    assert row.features is not None
    assert row.gradient is not None
    features, kept = row.features(x, p)
    d = torch.randn(features.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(2))
    found = row.gradient(d, x, kept, p)
    learned = ["frequency", "phase"] if row.has_phase else ["frequency"]
    assert list(found) == learned
    own = {key: value.clone().requires_grad_() for key, value in p.items()}
    loss = (by_loop(name, x, own) * d).sum()
    for key, wanted in zip(
        learned, torch.autograd.grad(loss, [own[key] for key in learned]), strict=True
    ):
        torch.testing.assert_close(found[key], wanted, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", EMBEDS)
def test_drawn_tensors_have_the_sizes_and_use_the_generator_only(name: str) -> None:
    row = EMBEDDINGS[name]
    assert row.sizes is not None
    assert row.draw is not None
    p: dict[str, Any] = {key: parameter.default for key, parameter in row.parameters.items()}
    n_features, n_out, n_linear, n_frequencies = row.sizes(p)
    drawn, again = (row.draw(np.random.default_rng(3), 7, p) for _ in range(2))
    assert drawn["kernel"].shape == (7, n_features, n_linear)
    assert drawn["bias"].shape == (7, n_linear)
    assert n_out == n_linear + row.keeps_x == p["width"]
    assert ("slope" in drawn) == row.adds_x
    assert ("phase" in drawn) == row.has_phase
    if n_frequencies:
        assert drawn["frequency"].shape == (7, n_frequencies)
        assert drawn["frequency"].std() == pytest.approx(p["sigma"], rel=0.25)
    for key, values in drawn.items():
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values, again[key])


# ---- bins ------------------------------------------------------------------------------------

COLUMNS = {
    "normal": np.random.default_rng(0).normal(size=200),
    "ties": np.random.default_rng(1).integers(0, 3, 200).astype(np.float64),
    "two values": np.repeat([0.0, 1.0], 100),
    "nearly constant": np.array([0.0] * 199 + [5.0]),
    "constant": np.full(200, 3.0),
    "far away": 1e6 + np.arange(200.0),
}


@pytest.mark.parametrize("n_bins", [2, 7, 300])
@pytest.mark.parametrize("name", COLUMNS)
def test_bins_are_adjacent_and_contain_equal_numbers_of_rows(name: str, n_bins: int) -> None:
    column = COLUMNS[name]
    edge, width = bin_edges(column[:, None], n_bins)
    assert edge.shape == width.shape == (1, n_bins)
    n = int((width < NO_BIN).sum())
    assert (width[0, n:] == NO_BIN).all()
    assert (edge[0, n:] == 0).all()
    if name == "constant":
        assert n == 0
        return
    assert (width[0, :n] > 0).all()
    ends = np.append(edge[0, :n], edge[0, n - 1] + width[0, n - 1])
    np.testing.assert_allclose(ends[1:-1], edge[0, :n][:-1] + width[0, :n][:-1])
    assert (ends[0], ends[-1]) == (column.min(), column.max())
    if name in ("normal", "far away") and n_bins == 7:
        counts = np.histogram(column, ends)[0]
        assert np.abs(counts - 200 / 7).max() <= 1
    assert len(ends) == min(len(set(column)), n_bins + 1)


def ends_of(column: np.ndarray, n_bins: int) -> np.ndarray:
    """Return the edges of a column's bins, including both ends."""
    edge, width = bin_edges(column[:, None], n_bins)
    n = int((width < NO_BIN).sum())
    return np.append(edge[0, :n], edge[0, n - 1] + width[0, n - 1])


def test_frequent_value_is_one_edge() -> None:
    others = np.random.default_rng(5).lognormal(size=500)
    column = np.concatenate([np.zeros(9_500), others, np.full(400, 50.0)])
    ends = ends_of(column, 12)
    # Two of the thirteen edges are frequent values; quantiles alone would give three edges.
    expected = [0.0, *np.quantile(others, np.linspace(0, 1, 11)), 50.0]
    np.testing.assert_allclose(ends, expected, rtol=1e-12)
    assert len(np.unique(np.quantile(column, np.linspace(0, 1, 13)))) == 3


def test_each_of_few_distinct_values_is_an_edge() -> None:
    column = np.repeat([0.0, 1.0, 2.0, 7.0], [900, 60, 30, 10])
    np.testing.assert_array_equal(ends_of(column, 8), [0, 1, 2, 7])


@example([0, 0, -1, -4, -4, -4, -4, 5, -5, -5, -5, -5], 3)
@given(st.lists(st.integers(-9, 9), min_size=2, max_size=80), st.integers(2, 12))
def test_edges_are_sorted_and_limited_in_number(values: list[int], n_bins: int) -> None:
    column = np.array(values, float)
    if (column == column[0]).all():
        return
    ends = ends_of(column, n_bins)
    assert len(ends) <= n_bins + 1
    assert (np.diff(ends) > 0).all()
    assert ends[0] == column.min()
    # A bin is stored as edge and width, whose sum has a rounding error.
    assert ends[-1] == pytest.approx(column.max(), abs=1e-14)
    # With few distinct values, each of them is an edge.
    assert len(ends) == len(set(values)) or len(set(values)) > n_bins + 1


def test_values_that_differ_by_rounding_share_one_edge() -> None:
    column = np.repeat([0.0, 1.0, 1.0 + 1e-7], 10)
    np.testing.assert_array_equal(ends_of(column, 8), [0, 1])


@given(
    st.lists(st.integers(-20, 20), min_size=1, max_size=30),
    st.integers(2, 12),
    st.floats(-100, 100),
)
def test_weighted_features_sum_to_the_number(values: list[int], n_bins: int, number: float) -> None:
    """Σ_t φ_t width_t = x − edge₀ for every x, because the outer bins are linear outwards."""
    edge, width = (torch.from_numpy(a) for a in bin_edges(np.array(values, float)[:, None], n_bins))
    low, high = clip_limits(width)
    p = {"edge": edge, "width": width, "low": low, "high": high}
    features = EMBEDDINGS["piecewise_linear"].features
    assert features is not None
    found, _ = features(
        torch.tensor([[[number]]], dtype=torch.float64), {k: v[None] for k, v in p.items()}
    )
    is_bin = width[0] < NO_BIN
    assert found[0, 0, 0][~is_bin].abs().sum() < 1e-25
    if is_bin.any():
        total = (found[0, 0, 0] * width[0])[is_bin].sum().item()
        assert total == pytest.approx(number - edge[0, 0].item(), abs=1e-9)
