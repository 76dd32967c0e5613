"""Optimizers equal `torch.optim` in 200 steps on logistic regressions, slot by slot.

To add an optimizer, add its torch counterpart to `REFERENCES`, and one value per slot of each new
hyperparameter to `VALUES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest
import torch
from torch import Tensor, optim

from autotrain.techniques.optimizers import OPTIMIZER_PARAMETERS, OPTIMIZERS, State

Hyper = Mapping[str, float]
Reference = Callable[[list[Tensor], float, Hyper], optim.Optimizer]


def _adam_like(kind: Callable[..., optim.Optimizer]) -> Reference:
    def make(tensors: list[Tensor], lr: float, h: Hyper) -> optim.Optimizer:
        others = {"weight_decay": h["weight_decay"]} if "weight_decay" in h else {}
        return kind(tensors, lr=lr, betas=(h["beta_1"], h["beta_2"]), eps=h["epsilon"], **others)

    return make


REFERENCES: dict[str, Reference] = {
    "sgd": lambda p, lr, h: optim.SGD(p, lr=lr),
    "momentum": lambda p, lr, h: optim.SGD(p, lr=lr, momentum=h["momentum"]),
    # torch does not accept Nesterov without momentum, which is plain SGD.
    "nesterov": lambda p, lr, h: optim.SGD(
        p, lr=lr, momentum=h["momentum"], nesterov=h["momentum"] > 0
    ),
    "adagrad": lambda p, lr, h: optim.Adagrad(p, lr=lr, eps=h["epsilon"]),
    "rmsprop": lambda p, lr, h: optim.RMSprop(p, lr=lr, alpha=h["rho"], eps=h["epsilon"]),
    "adam": _adam_like(optim.Adam),
    "adamax": _adam_like(optim.Adamax),
    "nadam": _adam_like(optim.NAdam),
    "adamw": _adam_like(optim.AdamW),
}

RATES = (0.003, 0.1, 0.02, 0.3)
VALUES = {
    "momentum": (0.9, 0.0, 0.5, 0.97),
    "rho": (0.9, 0.0, 0.99, 0.5),
    "beta_1": (0.9, 0.0, 0.5, 0.97),
    "beta_2": (0.999, 0.9, 0.0, 0.99),
    # Large values show whether ε is outside or inside the root.
    "epsilon": (1e-8, 1e-3, 0.1, 1e-10),
    "weight_decay": (0.01, 0.0, 0.5, 0.1),
}
N_SLOTS, N_ROWS, N_BATCHES, N_PARAMETERS, N_STEPS = 4, 5, 8, 9, 200


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    """Make float64 the default: in float32, NAdam's product of momenta has an error of 1e-7."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Problem:
    """K logistic regressions in mini-batches, with different data and start in each slot.

    With full batches, the gradient would vanish and g/√v would be ill-conditioned: even in torch,
    an initial difference of 4e-16 is 1e-3 after 120 steps.
    """

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        shape = (N_BATCHES, N_SLOTS, N_ROWS, N_PARAMETERS)
        self.x = torch.randn(shape, dtype=torch.float64, generator=generator)
        self.y = (torch.rand(shape[:3], dtype=torch.float64, generator=generator) < 0.4).double()
        self.start = torch.randn(N_SLOTS, N_PARAMETERS, dtype=torch.float64, generator=generator)

    def gradient(self, p: Tensor, steps: list[int], first: int = 0) -> Tensor:
        """Return the gradients `[k, P]` of the slots from `first` on, at the step of each slot."""
        batches = [step % N_BATCHES for step in steps]
        slots = list(range(first, first + len(p)))
        x, y = self.x[batches, slots], self.y[batches, slots]
        residual = torch.einsum("kbp,kp->kb", x, p).sigmoid() - y
        return torch.einsum("kbp,kb->kp", x, residual) / N_ROWS + 0.02 * p


def column(numbers: tuple[float, ...] | list[float]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64).unsqueeze(1)


def hyper(name: str) -> dict[str, tuple[float, ...]]:
    return {key: VALUES[key] for key in OPTIMIZERS[name].parameters}


def new_state(n_slots: int, dtype: torch.dtype = torch.float64) -> State:
    zeros = torch.zeros(n_slots, N_PARAMETERS, dtype=dtype)
    count = torch.zeros(n_slots, 1, dtype=dtype)
    return State(m=zeros, v=zeros.clone(), t=count, product=torch.ones_like(count))


class TorchRun:
    """One slot trained by torch, with learning rate and momentum set before each step."""

    def __init__(self, name: str, problem: Problem, k: int) -> None:
        self.problem, self.k, self.momentum = problem, k, OPTIMIZERS[name].momentum
        self.p = problem.start[k].clone().requires_grad_()
        own = {key: values[k] for key, values in hyper(name).items()}
        self.optimizer = REFERENCES[name]([self.p], RATES[k], own)

    def step(self, number: int, lr: float, momentum: float | None = None) -> Tensor:
        group = self.optimizer.param_groups[0]
        group["lr"] = lr
        if momentum is not None and self.momentum == "momentum":
            group["momentum"] = momentum
        elif momentum is not None:
            group["betas"] = (momentum, group["betas"][1])
        self.p.grad = self.problem.gradient(self.p.detach().unsqueeze(0), [number], self.k)[0]
        self.optimizer.step()
        return self.p.detach()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_200_steps_of_each_slot_equal_torch(name: str) -> None:
    problem = Problem()
    p, state = problem.start.clone(), new_state(N_SLOTS)
    hypers = {key: column(values) for key, values in hyper(name).items()}
    runs = [TorchRun(name, problem, k) for k in range(N_SLOTS)]
    for step in range(N_STEPS):
        g = problem.gradient(p, [step] * N_SLOTS)
        before = g.clone()
        state.t.add_(1)
        OPTIMIZERS[name].update(p, g, state, column(RATES), hypers)
        assert torch.equal(g, before), "an update must leave the gradient alone"
        expected = torch.stack([run.step(step, RATES[k]) for k, run in enumerate(runs)])
        torch.testing.assert_close(p, expected, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(p, problem.start, rtol=0, atol=0.01)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_slots_of_different_age_equal_torch(name: str) -> None:
    """As in a fleet, slots start at different times and have different schedules."""
    row, problem, age = OPTIMIZERS[name], Problem(), (30, 11, 3, 0)
    hypers = {key: column(values) for key, values in hyper(name).items()}
    p, state = problem.start.clone(), new_state(N_SLOTS)
    runs = [TorchRun(name, problem, k) for k in range(N_SLOTS)]

    def eta(k: int, step: int) -> float:
        return RATES[k] / (1 + step / 20)

    def beta(k: int, step: int) -> float | None:
        return 0.5 + 0.1 * k + 0.03 * (step % 5) if row.momentum is not None else None

    def advance(slots: slice, steps: list[int]) -> None:
        own = {key: value[slots].clone() for key, value in hypers.items()}
        numbers = list(range(N_SLOTS))[slots]
        if row.momentum is not None:
            own[row.momentum] = column(
                [beta(k, step) or 0.0 for k, step in zip(numbers, steps, strict=True)]
            )
        rate = column([eta(k, step) for k, step in zip(numbers, steps, strict=True)])
        part = State(*(tensor[slots] for tensor in state))
        part.t.add_(1)
        row.update(p[slots], problem.gradient(p[slots], steps, slots.start), part, rate, own)
        for k, step in zip(numbers, steps, strict=True):
            expected = runs[k].step(step, eta(k, step), beta(k, step))
            torch.testing.assert_close(p[k], expected, rtol=1e-9, atol=1e-12)

    if name == "nesterov":
        # The slot that is created without momentum has some from its first step on.
        for run in runs:
            run.optimizer.param_groups[0]["nesterov"] = True
    for k in range(N_SLOTS):
        for step in range(age[k]):
            advance(slice(k, k + 1), [step])
    for step in range(40):
        advance(slice(0, N_SLOTS), [age[k] + step for k in range(N_SLOTS)])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_zero_gradient_moves_parameters_by_weight_decay_only(name: str) -> None:
    p = torch.ones(N_SLOTS, N_PARAMETERS, dtype=torch.float32)
    state, rates = new_state(N_SLOTS, torch.float32), column(RATES).float()
    hypers = {key: column(values).float() for key, values in hyper(name).items()}
    for _ in range(5):
        state.t.add_(1)
        OPTIMIZERS[name].update(p, torch.zeros_like(p), state, rates, hypers)
    decay = hypers.get("weight_decay", torch.zeros_like(rates))
    torch.testing.assert_close(p, ((1 - rates * decay) ** 5).expand_as(p))
    assert p.dtype == state.m.dtype == state.v.dtype == torch.float32


def test_momentum_names_the_parameter_that_one_cycle_moves() -> None:
    named = {name: row.momentum for name, row in OPTIMIZERS.items()}
    assert named == {
        "sgd": None,
        "momentum": "momentum",
        "nesterov": "momentum",
        "adagrad": None,
        "rmsprop": None,
        "adam": "beta_1",
        "adamax": "beta_1",
        "nadam": "beta_1",
        "adamw": "beta_1",
    }
    for row in OPTIMIZERS.values():
        assert row.momentum is None or row.momentum in row.parameters


def test_learning_rate_is_above_zero() -> None:
    assert list(OPTIMIZER_PARAMETERS) == ["learning_rate"]
    assert not OPTIMIZER_PARAMETERS["learning_rate"].is_legal(0.0)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_early_steps_in_float32_equal_float64(name: str) -> None:
    # Both compute with the same hyperparameters, rounded to float32; 1 − β is near 1e-3.
    shares = {"beta_1": 0.998, "beta_2": 0.999, "rho": 0.999, "momentum": 0.9}
    given = {key: shares.get(key, 1e-3) for key in OPTIMIZERS[name].parameters}
    hyper = {key: torch.tensor([[value]], dtype=torch.float32) for key, value in given.items()}
    gradients = torch.randn(12, 1, 64, generator=torch.Generator().manual_seed(3)).float()
    moved = {}
    for dtype in (torch.float32, torch.float64):
        zeros = torch.zeros(1, 64, dtype=dtype)
        one = torch.ones(1, 1, dtype=dtype)
        state = State(zeros.clone(), zeros.clone(), 0 * one, one.clone())
        own = {key: value.to(dtype) for key, value in hyper.items()}
        steps = []
        for gradient in gradients.to(dtype):
            p = zeros.clone()  # so that the step keeps all its digits
            state.t.add_(1)
            OPTIMIZERS[name].update(p, gradient, state, 0.01 * one, own)
            steps.append(p.double())
        moved[dtype] = torch.stack(steps)
    exact = moved[torch.float64]
    error = (moved[torch.float32] - exact).norm(dim=2) / exact.norm(dim=2)
    assert error.max() < 5e-7
