"""Formulas of docs/techniques.md that differ between libraries, computed by hand.

Each test would fail for the formula that Keras, torch or a paper has instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from autotrain.network.layout import Key
from autotrain.techniques.activations import ACTIVATIONS
from autotrain.techniques.annealing import ANNEALINGS
from autotrain.techniques.clipping import CLIPPINGS
from autotrain.techniques.optimizers import OPTIMIZERS, State
from autotrain.techniques.regularizers import REGULARIZERS
from autotrain.techniques.schedules import SCHEDULES, Clock, Plateau
from autotrain.training.slot import Admission
from tests.training.problems import make_config, make_fleet, make_fold

CLOCK = Clock(steps_per_epoch=8, total_steps=160)


def run(name: str, gradients: Sequence[float], etas: Sequence[float], **hyper: float) -> float:
    """Return the final value of a parameter that starts at 1."""
    zero = torch.zeros(1, 1, dtype=torch.float64)
    state = State(zero.clone(), zero.clone(), zero.clone(), zero + 1)
    p = zero + 1
    tensors = {key: zero + value for key, value in hyper.items()}
    for g, eta in zip(gradients, etas, strict=True):
        state.t.add_(1)
        OPTIMIZERS[name].update(p, zero + g, state, zero + eta, tensors)
    return float(p)


def test_velocity_of_momentum_does_not_include_the_learning_rate() -> None:
    found = run("momentum", [1.0, 0.5], [0.1, 0.01], momentum=0.9)
    assert found == pytest.approx(1 - 0.1 * 1.0 - 0.01 * (0.9 * 1.0 + 0.5))
    found = run("nesterov", [1.0, 0.5], [0.1, 0.01], momentum=0.9)
    m1, m2 = 1.0, 0.9 * 1.0 + 0.5
    assert found == pytest.approx(1 - 0.1 * (1.0 + 0.9 * m1) - 0.01 * (0.5 + 0.9 * m2))


@pytest.mark.parametrize(
    ("name", "hyper", "v"),
    [("adagrad", {}, 0.2**2), ("rmsprop", {"rho": 0.9}, 0.1 * 0.2**2)],
)
def test_epsilon_is_outside_the_square_root(name: str, hyper: dict[str, float], v: float) -> None:
    found = run(name, [0.2], [0.5], epsilon=0.04, **hyper)
    assert found == pytest.approx(1 - 0.5 * 0.2 / (math.sqrt(v) + 0.04))


def test_epsilon_of_adam_is_added_after_the_bias_correction() -> None:
    found = run("adam", [0.2], [0.5], beta_1=0.9, beta_2=0.999, epsilon=0.04)
    assert found == pytest.approx(1 - 0.5 * 0.2 / (0.2 + 0.04))


def test_epsilon_of_adamax_is_inside_the_maximum() -> None:
    g, eta, beta_1, beta_2, epsilon = [0.3, 0.0, 0.01], 0.1, 0.9, 0.5, 0.2
    p, m, v = 1.0, 0.0, 0.0
    for t, each in enumerate(g, start=1):
        m = beta_1 * m + (1 - beta_1) * each
        v = max(beta_2 * v, abs(each) + epsilon)
        p -= eta * m / (1 - beta_1**t) / v
    found = run("adamax", g, [eta] * 3, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)
    assert found == pytest.approx(p)


def test_momentum_of_nadam_follows_its_slow_schedule() -> None:
    def mu(t: int) -> float:
        return 0.9 * (1 - 0.5 * 0.96 ** (0.004 * t))

    m, v, product, p = 0.0, 0.0, 1.0, 1.0
    for t, g in enumerate([0.3, -0.2], start=1):
        m, v, product = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g, product * mu(t)
        ahead = (1 - mu(t)) / (1 - product) * g + mu(t + 1) / (1 - product * mu(t + 1)) * m
        p -= 0.1 * ahead / (math.sqrt(v / (1 - 0.99**t)) + 1e-8)
    found = run("nadam", [0.3, -0.2], [0.1, 0.1], beta_1=0.9, beta_2=0.99, epsilon=1e-8)
    assert found == pytest.approx(p)


def one_step(params: dict[str, Any]) -> dict[Key, torch.Tensor]:
    """Return the parameters of a small network after one step."""
    base = {
        "batch_norm": "after_activation",
        "training.batch_size": 50,
        "training.epochs": 1,
        "optimizer.learning_rate": 1e-3,
        "parametrization.bias_learning_rate": 0.5,
    }
    fleet = make_fleet([Admission(0, make_config(base | params), 3)], folds=[make_fold()])
    [slot] = fleet.slots
    fleet.run_epoch()
    fleet.release()
    return slot.layout.views(slot.parameters.unsqueeze(0).clone())


def test_adamw_decays_all_parameters_and_decoupled_decay_only_matrices() -> None:
    plain, before = one_step({}), one_step({"optimizer.learning_rate": 1e-12})
    adamw = one_step({"optimizer": "adamw", "optimizer.adamw.weight_decay": 100.0})
    decoupled = one_step({"weight_decay": "decoupled", "weight_decay.decoupled.rate": 100.0})
    both = one_step(
        {
            **{"optimizer": "adamw", "optimizer.adamw.weight_decay": 100.0},
            **{"weight_decay": "decoupled", "weight_decay.decoupled.rate": 100.0},
        }
    )
    kernel, gamma = ("kernel", 0), ("gamma", 0)
    for key in (kernel, gamma):
        torch.testing.assert_close(plain[key] - adamw[key], 0.1 * before[key], atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(
        plain[kernel] - decoupled[kernel], 0.1 * before[kernel], atol=1e-6, rtol=1e-4
    )
    assert torch.equal(plain[gamma], decoupled[gamma])
    torch.testing.assert_close(
        plain[kernel] - both[kernel], 0.19 * before[kernel], atol=1e-6, rtol=1e-4
    )


@pytest.mark.parametrize(
    ("name", "penalty", "gradient"),
    [
        ("l1", lambda w: 0.3 * abs(w), lambda w: 0.3 * np.sign(w)),
        ("l2", lambda w: 0.3 * w * w, lambda w: 2 * 0.3 * w),
    ],
)
def test_penalties_have_no_factor_one_half(
    name: str, penalty: Callable[[float], float], gradient: Callable[[float], float]
) -> None:
    w, strength = torch.tensor([[1.5, -0.4]]), torch.tensor([[0.3]])
    row = REGULARIZERS[name]
    assert float(row.penalty(w, strength)) == pytest.approx(penalty(1.5) + penalty(-0.4))
    wanted = [gradient(1.5), gradient(-0.4)]
    np.testing.assert_allclose(row.gradient(w, strength)[0], wanted, rtol=1e-6)


def eta(name: str, t: float, **p: Any) -> float:
    return float(SCHEDULES[name].multiplier(np.array([t]), CLOCK, p)[0])


def test_units_and_exponents_of_schedules() -> None:
    # k counts steps, and η is η₀/2 after k steps only for c = 1.
    assert eta("power", 40.0, k=40.0, c=1.0) == pytest.approx(1 / 2)
    assert eta("power", 40.0, k=40.0, c=2.5) == pytest.approx(2**-2.5)
    # s counts epochs, and η falls within an epoch.
    assert eta("exponential", 3.0 * CLOCK.steps_per_epoch, s=3.0) == pytest.approx(0.1)
    assert eta("exponential", 4.0, s=3.0) == pytest.approx(0.1 ** (0.5 / 3))
    # A boundary belongs to the interval that it starts.
    steps = {"boundaries": (2.0, 5.0), "factors": (1.0, 0.5, 0.1)}
    assert [eta("piecewise", t, **steps) for t in (15.0, 16.0, 39.9, 40.0)] == [1, 0.5, 0.5, 0.1]
    one_cycle = [eta("one_cycle", x * CLOCK.total_steps, warmup=0.3) for x in (0, 0.3, 0.6, 1)]
    assert one_cycle == pytest.approx([0.1, 1.0, 0.1, 0.001])
    assert eta("cosine", 0.6 * CLOCK.total_steps, warmup=0.2) == pytest.approx(0.5)
    assert eta("coslog4", CLOCK.total_steps / 15, warmup=0.2) == pytest.approx(0.0)


def test_any_improvement_counts_by_default() -> None:
    performance = SCHEDULES["performance"].parameters
    assert performance["min_delta"].default == 0.0
    plateau = Plateau(patience=2)
    assert [plateau.update(loss) for loss in (1.0, 1.0 - 1e-12, 1.0, 1.0, 1.0)] == [
        *(False, False, False),
        True,
        False,
    ]


def test_learned_slope_above_one_is_not_a_maximum() -> None:
    z = torch.tensor([[[-2.0, 3.0]]])
    found = ACTIVATIONS["prelu"].f(z, {"init": torch.full((1, 1, 1), 1.5)})
    assert found.flatten().tolist() == [-3.0, 3.0]


def test_clipping_by_norm_keeps_the_direction() -> None:
    g = torch.tensor([[100.0, 1.0]])
    clip = CLIPPINGS["norm"].clip
    assert clip is not None
    clip(g, [g], torch.ones(1, 1))
    assert g[0].tolist() == pytest.approx([100 / math.sqrt(10_001), 1 / math.sqrt(10_001)])


def test_flat_cos_falls_from_the_middle_on() -> None:
    found = ANNEALINGS["flat_cos"].factor(np.array([0.0, 0.5, 0.75, 1.0]))
    np.testing.assert_allclose(found, [1, 1, 0.5, 0], atol=1e-12)
