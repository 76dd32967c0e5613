"""Dropout keeps the moments it promises and equals torch with the same masks.

To add a kind of dropout, add its torch counterpart to `REFERENCES`. The masks themselves are tested
in tests/network/test_noise.py.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from autotrain.techniques.activations import SELU_ALPHA, SELU_SCALE
from autotrain.techniques.annealing import ANNEALINGS
from autotrain.techniques.decay import WEIGHT_DECAYS
from autotrain.techniques.dropout import ALPHA_PRIME, DROPOUT_PARAMETERS, DROPOUTS
from autotrain.techniques.technique import Words

Reference = Callable[[Tensor, float], Tensor]

REFERENCES: dict[str, Reference | None] = {
    "none": None,
    "dropout": lambda h, rate: functional.dropout(h, rate, training=True),
    "alpha_dropout": lambda h, rate: functional.alpha_dropout(h, rate, training=True),
}

RATES = (0.0, 0.05, 0.3, 0.75)
KINDS = [name for name, row in DROPOUTS.items() if row.affine is not None]


def drop(name: str, h: Tensor, keep: Tensor, rates: tuple[float, ...] = RATES) -> Tensor:
    affine = DROPOUTS[name].affine
    assert affine is not None
    scale, kept, dropped = affine(torch.tensor(rates, dtype=h.dtype).reshape(-1, 1, 1))
    stays = h * scale if kept is None else h * scale + kept
    return keep * stays if dropped is None else keep * stays + (1 - keep) * dropped


def masks(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(shape, dtype=torch.float64, generator=generator)
    return (draws >= torch.tensor(RATES).reshape(-1, 1, 1)).double()


@pytest.mark.parametrize("name", KINDS)
def test_dropout_of_each_slot_equals_torch_with_the_same_mask(name: str) -> None:
    reference = REFERENCES[name]
    assert reference is not None
    generator = torch.Generator().manual_seed(3)
    h = torch.randn(len(RATES), 50, 40, dtype=torch.float64, generator=generator)
    expected, keep = torch.empty_like(h), torch.empty_like(h)
    with torch.random.fork_rng(devices=[]):
        for k, rate in enumerate(RATES):
            torch.manual_seed(k)
            expected[k] = reference(h[k], rate)
            # The same seed drops the same units. Huge inputs show which ones are kept.
            torch.manual_seed(k)
            keep[k] = reference(torch.full_like(h[k], 1e6), rate).abs() > 1e3
    share_dropped = 1 - keep.mean(dim=(1, 2))
    torch.testing.assert_close(share_dropped, torch.tensor(RATES).double(), rtol=0, atol=0.04)
    torch.testing.assert_close(drop(name, h, keep), expected, rtol=1e-12, atol=1e-14)


def test_dropout_keeps_the_mean() -> None:
    keep = masks((len(RATES), 1000, 400))
    mean = drop("dropout", torch.full_like(keep, 2.0), keep).mean(dim=(1, 2))
    torch.testing.assert_close(mean, torch.full_like(mean, 2.0), rtol=0.01, atol=0)
    assert mean[0] == 2.0


def test_dropout_drops_to_zero_and_scales_by_the_rate_of_the_slot() -> None:
    keep = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]])
    dropped = drop("dropout", torch.full((2, 1, 2), 3.0), keep, rates=(0.25, 0.5))
    assert dropped.flatten().tolist() == pytest.approx([4.0, 0.0, 6.0, 0.0])


def test_alpha_dropout_keeps_mean_zero_and_variance_one() -> None:
    keep = masks((len(RATES), 1000, 400), seed=1)
    h = torch.randn(keep.shape, dtype=keep.dtype, generator=torch.Generator().manual_seed(2))
    dropped = drop("alpha_dropout", h, keep)
    mean, variance = dropped.mean(dim=(1, 2)), dropped.var(dim=(1, 2))
    torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=0.01)
    torch.testing.assert_close(variance, torch.ones_like(variance), rtol=0.01, atol=0)
    torch.testing.assert_close(dropped[0], h[0], rtol=1e-12, atol=1e-12)


def test_alpha_dropout_keeps_the_moments_exactly_in_expectation() -> None:
    # Expectation over the mask, for a unit with E h = 0 and E h² = 1.
    affine = DROPOUTS["alpha_dropout"].affine
    assert affine is not None
    rate = torch.tensor(RATES, dtype=torch.float64).reshape(-1, 1, 1)
    stays, kept, dropped = affine(rate)
    assert kept is not None
    assert dropped is not None
    scale = torch.cat([stays, torch.zeros_like(stays)], dim=2)
    shift = torch.cat([kept, dropped], dim=2)
    weight = torch.cat([1 - rate, rate], dim=2)
    mean = (weight * shift).sum(dim=2)
    second = (weight * (scale**2 + shift**2)).sum(dim=2)
    torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-14)
    torch.testing.assert_close(second, torch.ones_like(second), rtol=1e-14, atol=0)


def test_alpha_dropout_sets_units_to_the_limit_of_selu() -> None:
    assert pytest.approx(-SELU_SCALE * SELU_ALPHA, rel=1e-15) == ALPHA_PRIME
    far_below = functional.selu(torch.tensor(-1000.0, dtype=torch.float64)).item()
    assert pytest.approx(far_below, rel=1e-15) == ALPHA_PRIME


def test_only_none_has_no_dropout_and_rates_are_below_one() -> None:
    assert [name for name in DROPOUTS if name not in KINDS] == ["none"]
    assert list(DROPOUT_PARAMETERS) == ["annealing", "rate", "input_rate", "floor"]
    for name in ("rate", "input_rate"):
        assert DROPOUT_PARAMETERS[name].is_legal(0.0)
        assert not DROPOUT_PARAMETERS[name].is_legal(1.0)
    # With floor = 1, the rates are constant.
    assert DROPOUT_PARAMETERS["floor"].is_legal(0.0)
    assert DROPOUT_PARAMETERS["floor"].is_legal(1.0)


def test_dropout_and_weight_decay_share_annealings() -> None:
    annealing, other = (
        DROPOUT_PARAMETERS["annealing"],
        WEIGHT_DECAYS["decoupled"].parameters["annealing"],
    )
    assert isinstance(annealing, Words)
    assert isinstance(other, Words)
    assert annealing.words == other.words == tuple(ANNEALINGS)
    assert annealing.default == other.default == "constant"
