"""Schedules equal closed forms at chosen t and `torch.optim.lr_scheduler`.

To add a schedule, add its torch scheduler and settings to `REFERENCES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from autotrain.techniques.schedules import MOMENTUM_DIP, SCHEDULES, Clock, Plateau

Settings = Mapping[str, Any]
Reference = Callable[[torch.optim.Optimizer, Clock, Settings], lr_scheduler.LRScheduler]

CLOCKS = (Clock(10, 400), Clock(7, 350), Clock(1, 60))


def _piecewise(optimizer: torch.optim.Optimizer, clock: Clock, p: Settings) -> Any:
    def factor(step: int) -> float:
        passed = sum(step >= boundary * clock.steps_per_epoch for boundary in p["boundaries"])
        return float(p["factors"][passed])

    return lr_scheduler.LambdaLR(optimizer, factor)


def _cosine(optimizer: torch.optim.Optimizer, clock: Clock, p: Settings) -> Any:
    n = round(p["warmup"] * clock.total_steps)
    down = lr_scheduler.CosineAnnealingLR(optimizer, clock.total_steps - n)
    if n == 0:
        return down
    up = lr_scheduler.LinearLR(optimizer, 1 / n, 1.0, total_iters=max(n - 1, 1))
    return lr_scheduler.SequentialLR(optimizer, [up, down], [n])


def _coslog4(optimizer: torch.optim.Optimizer, clock: Clock, p: Settings) -> Any:
    def wave(step: int) -> float:
        # Each wave w is from 2^w − 1 to 2^(w + 1) − 1 fifteenths of the training.
        share = 15 * step / clock.total_steps
        w = max(w for w in range(5) if 2**w - 1 <= share)
        return math.sin(math.pi * math.log2((1 + share) / 2**w)) ** 2

    return lr_scheduler.LambdaLR(optimizer, wave)


class _Restarts(lr_scheduler.CosineAnnealingWarmRestarts):
    """Torch's scheduler accepts fractions of an epoch only as an argument of `step`."""

    def __init__(self, optimizer: torch.optim.Optimizer, clock: Clock, p: Settings) -> None:
        super().__init__(optimizer, T_0=p["first"], T_mult=p["growth"])
        self.clock, self.n_steps = clock, 0

    def step(self, epoch: Any = None) -> None:
        if hasattr(self, "n_steps"):
            self.n_steps += 1
            epoch = self.n_steps / self.clock.steps_per_epoch
        super().step(epoch)


def _cosine_restarts(optimizer: torch.optim.Optimizer, clock: Clock, p: Settings) -> Any:
    return _Restarts(optimizer, clock, p)


REFERENCES: dict[str, Reference] = {
    "constant": lambda o, c, p: lr_scheduler.ConstantLR(o, factor=1.0),
    "power": lambda o, c, p: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + t / p["k"]) ** p["c"]),
    "exponential": lambda o, c, p: lr_scheduler.ExponentialLR(
        o, gamma=0.1 ** (1 / (p["s"] * c.steps_per_epoch))
    ),
    "piecewise": _piecewise,
    # This is before the first plateau; the drops are compared with ReduceLROnPlateau below.
    "performance": lambda o, c, p: lr_scheduler.ConstantLR(o, factor=1.0),
    "one_cycle": lambda o, c, p: lr_scheduler.OneCycleLR(
        o,
        max_lr=1.0,
        total_steps=c.total_steps,
        pct_start=p["warmup"],
        anneal_strategy="linear",
        div_factor=10,
        final_div_factor=100,
        three_phase=True,
        base_momentum=0.85,
        max_momentum=0.95,
    ),
    "cosine": _cosine,
    "coslog4": _coslog4,
    "cosine_restarts": _cosine_restarts,
}

# One set of settings per clock above.
SETTINGS: dict[str, tuple[Settings, ...]] = {
    "constant": ({}, {}, {}),
    "power": ({"k": 100.0, "c": 1.0}, {"k": 3.5, "c": 0.5}, {"k": 1e4, "c": 2}),
    "exponential": ({"s": 20.0}, {"s": 0.5}, {"s": 1000}),
    "piecewise": (
        {"boundaries": (5.0, 15.0), "factors": (1.0, 0.5, 0.1)},
        {"boundaries": (2.5, 3, 40), "factors": (0.1, 1, 2.0, 0)},
        {"boundaries": (), "factors": (0.3,)},
    ),
    "performance": ({}, {}, {}),
    "one_cycle": ({"warmup": 0.45}, {"warmup": 0.1}, {"warmup": 0.3}),
    "cosine": ({"warmup": 0.0}, {"warmup": 0.1}, {"warmup": 0.5}),
    "coslog4": ({}, {}, {}),
    # Torch accepts integers only.
    "cosine_restarts": (
        {"first": 10, "growth": 1},
        {"first": 3, "growth": 2},
        {"first": 1, "growth": 3},
    ),
}


def torch_run(name: str, clock: Clock, p: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Return torch's learning rate and momentum at each step, for η₀ = 1."""
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=1.0, momentum=0.95)
    scheduler = REFERENCES[name](optimizer, clock, p)
    rates, momenta = [], []
    for step in range(clock.total_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        if step + 1 < clock.total_steps:
            scheduler.step()
    return np.array(rates), np.array(momenta)


def ours(name: str, t: Any, clock: Clock, p: Settings) -> np.ndarray:
    multiplier = SCHEDULES[name].multiplier(np.asarray(t), clock, p)
    assert multiplier.shape == np.shape(t)
    return multiplier


@pytest.mark.parametrize("slot", range(len(CLOCKS)))
@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "one_cycle"])
def test_schedule_equals_torch_at_every_step(name: str, slot: int) -> None:
    clock, p = CLOCKS[slot], SETTINGS[name][slot]
    rates, momenta = torch_run(name, clock, p)
    found = ours(name, np.arange(clock.total_steps), clock, p)
    np.testing.assert_allclose(found, rates, rtol=1e-9, atol=1e-12)
    assert SCHEDULES[name].momentum_drop is None
    assert (momenta == 0.95).all()


@pytest.mark.parametrize("slot", range(len(CLOCKS)))
def test_one_cycle_equals_torch_on_a_continuous_time_axis(slot: int) -> None:
    clock, p = CLOCKS[slot], SETTINGS["one_cycle"][slot]
    rates, momenta = torch_run("one_cycle", clock, p)
    # Torch's phases end a step or two early, so that the last step has the final rate; between the
    # ends both are straight lines.
    n, up = clock.total_steps, p["warmup"]
    ends = [0, up * n - 1, 2 * up * n - 2, n - 1]
    t = np.interp(np.arange(n), ends, [0, up * n, 2 * up * n, n])
    np.testing.assert_allclose(ours("one_cycle", t, clock, p), rates, rtol=1e-9)
    drop = SCHEDULES["one_cycle"].momentum_drop
    assert drop is not None
    np.testing.assert_allclose(0.95 - MOMENTUM_DIP * drop(t, clock, p), momenta, rtol=1e-9)
    # The differences at each step are at most those from the shift of the phases.
    shifted = 2 * 0.9 / (up * n) + 1e-12
    assert np.abs(ours("one_cycle", np.arange(n), clock, p) - rates).max() <= shifted


@pytest.mark.parametrize(
    ("name", "p", "t", "expected"),
    [
        ("constant", {}, [0, 1, 399], [1, 1, 1]),
        ("power", {"k": 50.0, "c": 1.0}, [0, 50, 100, 150], [1, 1 / 2, 1 / 3, 1 / 4]),
        ("power", {"k": 50.0, "c": 2.0}, [0, 50, 100], [1, 1 / 4, 1 / 9]),
        ("power", {"k": 50.0, "c": 0.0}, [0, 399], [1, 1]),
        ("exponential", {"s": 20.0}, [0, 100, 200, 400], [1, 0.1**0.5, 0.1, 0.01]),
        (
            "piecewise",
            {"boundaries": (5.0, 15.0), "factors": (1.0, 0.5, 0.1)},
            [0, 49, 50, 149, 150, 399],
            [1, 1, 0.5, 0.5, 0.1, 0.1],
        ),
        ("performance", {"factor": 0.5, "patience": 5}, [0, 399], [1, 1]),
        (
            "one_cycle",
            {"warmup": 0.25},
            [0, 50, 100, 150, 200, 300, 400],
            [0.1, 0.55, 1, 0.55, 0.1, 0.0505, 0.001],
        ),
        ("one_cycle", {"warmup": 0.5}, [0, 200, 400], [0.1, 1, 0.001]),
        (
            "cosine",
            {"warmup": 0.0},
            [0, 100, 200, 400],
            [1, 0.5 + math.sqrt(0.125), 0.5, 0],
        ),
        # The ends of the waves are not at integer steps; see the test below.
        ("coslog4", {}, [0, 400], [0, 0]),
        (
            "cosine_restarts",
            {"first": 2.5, "growth": 1.5},
            [0, 24, 25, 62, 63],
            [1, 0.5 * (1 + math.cos(math.pi * 24 / 25)), 1]
            + [0.5 * (1 + math.cos(math.pi * share)) for share in (37 / 37.5, 0.5 / 56.25)],
        ),
        ("cosine", {"warmup": 0.2}, [0, 39, 79, 80, 240, 400], [1 / 80, 0.5, 1, 1, 0.5, 0]),
    ],
)
def test_closed_forms_at_chosen_steps(
    name: str, p: Settings, t: list[int], expected: list[float]
) -> None:
    # 40 epochs of 10 steps.
    np.testing.assert_allclose(ours(name, t, Clock(10, 400), p), expected, rtol=1e-12, atol=1e-15)


def test_coslog4_is_zero_between_waves_and_one_in_their_middle() -> None:
    fifteenths = np.array([0, 1, 3, 7, 15])
    clock = Clock(10, 1500)
    np.testing.assert_allclose(ours("coslog4", 100 * fifteenths, clock, {}), 0, atol=1e-12)
    tops = 1500 * (np.sqrt(2) * 2.0 ** np.arange(4) - 1) / 15
    np.testing.assert_allclose(ours("coslog4", tops, clock, {}), 1, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.5, 50), st.one_of(st.just(1.0), st.floats(1.001, 10)), st.integers(2, 30))
def test_restarts_are_at_the_sums_of_cycle_lengths(
    first: float, growth: float, n_steps: int
) -> None:
    t = np.arange(200)
    found = ours("cosine_restarts", t, Clock(n_steps, 200), {"first": first, "growth": growth})
    for step, value in zip(t, found, strict=True):
        length, rest = first, step / n_steps
        while rest >= length:
            rest, length = rest - length, length * growth
        wanted = 0.5 * (1 + math.cos(math.pi * rest / length))
        # Rounding decides the side at a restart.
        is_restart = min(rest, length - rest) < 1e-6 * (1 + step)
        assert math.isclose(value, wanted, abs_tol=1e-6) or is_restart
        assert 0 <= value <= 1


def test_only_one_cycle_moves_momentum() -> None:
    assert [name for name, row in SCHEDULES.items() if row.momentum_drop] == ["one_cycle"]
    drop = SCHEDULES["one_cycle"].momentum_drop
    assert drop is not None
    found = drop(np.array([0, 50, 100, 150, 200, 400]), Clock(10, 400), {"warmup": 0.25})
    np.testing.assert_allclose(found, [0, 0.5, 1, 0.5, 0, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("boundaries", "factors"),
    [((5.0,), (1.0,)), ((5.0,), (1.0, 0.5, 0.1)), ((5.0, 5.0), (1, 2, 3)), ((6.0, 5.0), (1, 2, 3))],
)
def test_invalid_piecewise_raises(
    boundaries: tuple[float, ...], factors: tuple[float, ...]
) -> None:
    with pytest.raises(ValueError, match="must have rising boundaries"):
        ours("piecewise", [0], Clock(1, 1), {"boundaries": boundaries, "factors": factors})


def plateaus(losses: list[float], patience: int, min_delta: float) -> list[int]:
    """Return the epochs, from 0, that complete a plateau."""
    plateau = Plateau(patience, min_delta)
    found = [epoch for epoch, loss in enumerate(losses) if plateau.update(loss)]
    assert plateau.count == len(found)
    return found


def torch_plateaus(losses: list[float], patience: int, min_delta: float) -> list[int]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = lr_scheduler.ReduceLROnPlateau(
        optimizer,
        factor=0.5,
        patience=patience - 1,
        threshold=min_delta,
        threshold_mode="abs",
        min_lr=0.0,
        eps=0.0,
    )
    found = []
    for epoch, loss in enumerate(losses):
        before = optimizer.param_groups[0]["lr"]
        scheduler.step(loss)
        if optimizer.param_groups[0]["lr"] < before:
            found.append(epoch)
    return found


# Validation losses of plain torch networks (SGD with momentum 0.9, batches of 32) on data sets of
# scikit-learn: breast_cancer overfits (η = 0.05, two layers of 32 ReLU); digits stalls (0.02, three
# of 30 sigmoid); diabetes jumps (0.0002, two of 30 ReLU) and diverges at once (0.02).
OVERFITS = """0.6125 0.4512 0.2294 0.1119 0.08315 0.08696 0.1068 0.1207 0.1357 0.1145 0.1194 0.1456
    0.1626 0.1614 0.1516 0.1473 0.1473 0.1508 0.1554 0.1602 0.1639 0.1648 0.1642 0.1644"""
STALLS = """2.32 2.315 2.315 2.315 2.314 2.306 2.307 2.315 2.307 2.307 2.313 2.309 2.312 2.312
    2.311 2.306 2.305 2.307 2.31 2.306 2.309 2.305 2.306 2.305"""
JUMPS = """16800 18200 23940 16370 6665 16520 11150 10680 7283 9068 8661 8444 8352 7924 7164 7358
    8656 7867 6971 8456 8330 7898 7728 7674"""
DIVERGES = "nan nan nan nan nan nan nan nan"
RECORDED = [
    [float(loss) for loss in curve.split()] for curve in (OVERFITS, STALLS, JUMPS, DIVERGES)
]


@pytest.mark.parametrize("losses", RECORDED)
@pytest.mark.parametrize("min_delta", [0.0, 0.005, 0.1])
@pytest.mark.parametrize("patience", [1, 2, 3, 5])
def test_plateaus_of_recorded_curves_equal_torch(
    losses: list[float], patience: int, min_delta: float
) -> None:
    found = plateaus(losses, patience, min_delta)
    assert found == torch_plateaus(losses, patience, min_delta)
    assert found, "these curves all have plateaus"


@settings(derandomize=True, database=None, deadline=None, max_examples=200)
@given(
    losses=st.lists(
        st.one_of(
            st.integers(-4, 4).map(lambda n: n / 4),
            st.floats(-1e3, 1e3),
            st.sampled_from([math.nan, math.inf, -math.inf]),
        ),
        max_size=40,
    ),
    patience=st.integers(1, 6),
    min_delta=st.sampled_from([0.0, 1e-4, 0.25, 3.0]),
)
@example(losses=[1.0, 0.75, 0.5], patience=1, min_delta=0.25)
def test_plateaus_of_any_curve_equal_torch(
    losses: list[float], patience: int, min_delta: float
) -> None:
    assert plateaus(losses, patience, min_delta) == torch_plateaus(losses, patience, min_delta)


def test_plateau_is_patience_epochs_without_improvement() -> None:
    #         best      1    2     3=plateau   1    2     best  1    2     3=plateau
    losses = [1.0, 0.9, 0.9, 0.95, 0.91, 0.90, 0.92, 0.89, 0.89, 0.90, 0.895]
    assert plateaus(losses, patience=3, min_delta=0.0) == [4, 10]
    # A small improvement does not count: 0.89 is not better than 0.9 by more than 0.05.
    assert plateaus(losses, patience=3, min_delta=0.05) == [4, 7, 10]
    assert plateaus([math.nan] * 4, patience=2, min_delta=0.0) == [1, 3]


def test_only_performance_drops_on_plateaus() -> None:
    assert [name for name, row in SCHEDULES.items() if row.drops_on_plateau] == ["performance"]
