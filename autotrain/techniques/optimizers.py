"""Optimizers: one update rule per row, for k slots at once.

Parameters p, gradients g and moments m, v are flat, `[k, P]`; hyperparameters, learning rate η and
step count t are `[k, 1]`, so slots can have different ones. The letters are those of the papers.
Every row equals its counterpart in `torch.optim`. To add an optimizer, write its `update` and add a
row to `OPTIMIZERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from autotrain.techniques.technique import Parameter, Technique, table

Hyper = Mapping[str, Tensor]
NADAM_MOMENTUM_DECAY = 0.004


class State(NamedTuple):
    """The state of the optimizers; initially 0, except for the product, which is 1.

    Args:
        m: first moment or velocity, `[k, P]`.
        v: second moment, sum of squares or infinity norm, `[k, P]`.
        t: number of the current step, from 1, `[k, 1]`.
        product: running product of Nadam's momenta, `[k, 1]`.
    Examples:
        >>> State(torch.zeros(1, 3), torch.zeros(1, 3), torch.ones(1, 1), torch.ones(1, 1)).m
        tensor([[0., 0., 0.]])
    """

    m: Tensor
    v: Tensor
    t: Tensor
    product: Tensor


Update = Callable[[Tensor, Tensor, State, Tensor, Hyper], None]


@dataclass(frozen=True, kw_only=True)
class Optimizer(Technique):
    """A row of `OPTIMIZERS`.

    Args:
        update: (parameters `[k, P]`, gradients `[k, P]`, state, η `[k, 1]` or `[k, P]`,
            hyperparameters `[k, 1]` each) → None; changes parameters and state in place.
        momentum: name of the hyperparameter that the one-cycle schedule moves; None without one.
    """

    update: Update
    momentum: str | None = None


def sgd(p: Tensor, g: Tensor, state: State, eta: Tensor, hyper: Hyper) -> None:
    """Update p ← p − η g, plain gradient descent.

    It is a baseline: without momentum it is slow on badly scaled losses. All updates have these
    arguments and change p and the state in place.

    Args:
        p, g: parameters and their gradients, `[k, P]`.
        state: moments and step count of the slots.
        eta: η, `[k, 1]`, or `[k, P]` with factors of single parameters.
        hyper: hyperparameters by name, `[k, 1]` each.
    Examples:
        >>> p, g = torch.tensor([[1.0]]), torch.tensor([[2.0]])
        >>> state = State(torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1))
        >>> sgd(p, g, state, torch.tensor([[0.1]]), {})
        >>> p
        tensor([[0.8000]])

    Equals: `torch.optim.SGD`.
    """
    p.addcmul_(g, eta, value=-1)


def momentum(p: Tensor, g: Tensor, state: State, eta: Tensor, hyper: Hyper) -> None:
    """Update m ← β m + g;  p ← p − η m: gradient descent with a velocity.

    It is faster than sgd on losses that are steep in some directions and flat in others.

    Examples:
        >>> p, g = torch.tensor([[1.0]]), torch.tensor([[2.0]])
        >>> state = State(torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1))
        >>> for _ in range(2):
        ...     momentum(p, g, state, torch.tensor([[0.1]]), {"momentum": torch.tensor([[0.9]])})
        >>> p, state.m
        (tensor([[0.4200]]), tensor([[3.8000]]))

    Source: Polyak 1964. Equals: `torch.optim.SGD(momentum=β)`. Differs from: Keras, whose velocity
    includes η.
    """
    m = state.m
    m.mul_(hyper["momentum"]).add_(g)
    p.addcmul_(m, eta, value=-1)


def nesterov(p: Tensor, g: Tensor, state: State, eta: Tensor, hyper: Hyper) -> None:
    """Update m ← β m + g;  p ← p − η (g + β m): momentum with the gradient one step ahead.

    It usually converges faster than momentum and oscillates less.

    Examples:
        >>> p, g = torch.tensor([[1.0]]), torch.tensor([[2.0]])
        >>> state = State(torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1))
        >>> nesterov(p, g, state, torch.tensor([[0.1]]), {"momentum": torch.tensor([[0.9]])})
        >>> p, state.m
        (tensor([[0.6200]]), tensor([[2.]]))

    Source: Nesterov 1983, in the form of Sutskever et al. 2013. Equals:
    `torch.optim.SGD(momentum=β, nesterov=True)`.
    """
    m = state.m
    m.mul_(hyper["momentum"]).add_(g)
    p.addcmul_(torch.addcmul(g, m, hyper["momentum"]), eta, value=-1)


def adagrad(p: Tensor, g: Tensor, state: State, eta: Tensor, hyper: Hyper) -> None:
    """Update v ← v + g²;  p ← p − η g / (√v + ε): smaller steps for large past gradients.

    It suits sparse inputs. η falls without end, so long trainings of deep networks may stop early.

    Examples:
        >>> p, g = torch.tensor([[1.0]]), torch.tensor([[2.0]])
        >>> state = State(torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1))
        >>> adagrad(p, g, state, torch.tensor([[0.1]]), {"epsilon": torch.tensor([[1e-10]])})
        >>> p, state.v
        (tensor([[0.9000]]), tensor([[4.]]))

    Source: Duchi et al. 2011. Equals: `torch.optim.Adagrad`.
    """
    v = state.v
    v.addcmul_(g, g)
    p.addcmul_(g / v.sqrt().add_(hyper["epsilon"]), eta, value=-1)


def rmsprop(p: Tensor, g: Tensor, state: State, eta: Tensor, hyper: Hyper) -> None:
    """Update v ← ρ v + (1 − ρ) g²;  p ← p − η g / (√v + ε): adagrad that forgets.

    Steps stay large enough for long trainings, because old gradients lose their weight.

    Examples:
        >>> p, g = torch.tensor([[1.0]]), torch.tensor([[2.0]])
        >>> state = State(torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1))
        >>> hyper = {"rho": torch.tensor([[0.9]]), "epsilon": torch.tensor([[1e-8]])}
        >>> rmsprop(p, g, state, torch.tensor([[0.1]]), hyper)
        >>> p, state.v
        (tensor([[0.6838]]), tensor([[0.4000]]))

    Source: Tieleman & Hinton 2012, lecture 6.5. Equals: `torch.optim.RMSprop(alpha=ρ)`.
    """
    v = state.v
    torch.lerp(g * g, v, hyper["rho"], out=v)
    p.addcmul_(g / v.sqrt().add_(hyper["epsilon"]), eta, value=-1)


def _correction(beta: Tensor, t: Tensor) -> Tensor:
    """Return 1 − βᵗ `[k, 1]` to the last digit.

    In float32, 1 − β ** t with β = 0.999 has a relative error of up to 1.5e-5 in the first steps,
    because the power is rounded to 6e-8 and the difference is as small as 1e-3.
    """
    return torch.expm1(t * torch.log(beta)).neg_()


def _moments(g: Tensor, state: State, hyper: Hyper) -> Tensor:
    """Update m and v, and return Adam's denominator √v̂ + ε, `[k, P]`."""
    m, v, t, _ = state
    # lerp(g, m, β) = βm + (1−β)g, without a separate product for 1 − β.
    torch.lerp(g, m, hyper["beta_1"], out=m)
    denominator = g * g
    torch.lerp(denominator, v, hyper["beta_2"], out=v)
    v_correction = _correction(hyper["beta_2"], t).rsqrt()
    return torch.sqrt(v, out=denominator).mul_(v_correction).add_(hyper["epsilon"])


def adam(p: Tensor, g: Tensor, state: State, eta: Tensor, hyper: Hyper) -> None:
    """Update m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²;  p ← p − η m̂ / (√v̂ + ε).

    Examples:
        >>> p, g = torch.tensor([[1.0]]), torch.tensor([[2.0]])
        >>> state = State(torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1))
        >>> hyper = {"beta_1": torch.tensor([[0.9]]), "beta_2": torch.tensor([[0.999]])}
        >>> adam(p, g, state, torch.tensor([[0.1]]), hyper | {"epsilon": torch.tensor([[1e-8]])})
        >>> p, state.m, state.v
        (tensor([[0.9000]]), tensor([[0.2000]]), tensor([[0.0040]]))

    m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ). It needs little tuning: η₀ = 1e-3 is often good enough.

    Source: Kingma & Ba 2015, arXiv:1412.6980, algorithm 1.
    Equals: `torch.optim.Adam`.
    """
    denominator = _moments(g, state, hyper)
    step_size = eta / _correction(hyper["beta_1"], state.t)
    p.addcmul_(torch.div(state.m, denominator, out=denominator), step_size, value=-1)


def adamw(p: Tensor, g: Tensor, state: State, eta: Tensor, hyper: Hyper) -> None:
    """Update p ← p (1 − ηλ), then Adam: weight decay that is decoupled from the gradient.

    All parameters decay, as in torch. It regularizes evenly, where an L2 penalty of Adam decays
    parameters with large gradients less.

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101.
    Equals: `torch.optim.AdamW`.

    Examples:
        >>> p, g = torch.tensor([[1.0]]), torch.tensor([[0.0]])
        >>> state = State(torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1))
        >>> values = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8, "weight_decay": 0.5}
        >>> hyper = {name: torch.tensor([[value]]) for name, value in values.items()}
        >>> adamw(p, g, state, torch.tensor([[0.1]]), hyper)
        >>> p
        tensor([[0.9500]])
    """
    p.mul_(1 - eta * hyper["weight_decay"])
    adam(p, g, state, eta, hyper)


def adamax(p: Tensor, g: Tensor, state: State, eta: Tensor, hyper: Hyper) -> None:
    """Update v ← max(β₂ v, |g| + ε);  p ← p − η m / ((1 − β₁ᵗ) v): Adam with infinity norm.

    It is less sensitive to single large gradients, which leave v within 1/(1 − β₂) steps.

    Examples:
        >>> p, g = torch.tensor([[1.0]]), torch.tensor([[2.0]])
        >>> state = State(torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1))
        >>> hyper = {"beta_1": torch.tensor([[0.9]]), "beta_2": torch.tensor([[0.999]])}
        >>> adamax(p, g, state, torch.tensor([[0.1]]), hyper | {"epsilon": torch.tensor([[1e-8]])})
        >>> p, state.v
        (tensor([[0.9000]]), tensor([[2.]]))

    Source: Kingma & Ba 2015, algorithm 2. Equals: `torch.optim.Adamax`.
    """
    m, v, t, _ = state
    torch.lerp(g, m, hyper["beta_1"], out=m)
    torch.maximum(v.mul_(hyper["beta_2"]), g.abs().add_(hyper["epsilon"]), out=v)
    p.addcmul_(m / v, eta / _correction(hyper["beta_1"], t), value=-1)


def nadam(p: Tensor, g: Tensor, state: State, eta: Tensor, hyper: Hyper) -> None:
    """Update by Adam with Nesterov's look-ahead, which often converges a little faster than Adam.

        μₜ = β₁ (1 − ½·0.96^(0.004 t)),  Π = ∏ μᵢ
        p ← p − η [ (1−μₜ)/(1−Π) g + μₜ₊₁/(1−Π μₜ₊₁) m ] / (√v̂ + ε)

    Examples:
        >>> p, g = torch.tensor([[1.0]]), torch.tensor([[2.0]])
        >>> state = State(torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1))
        >>> hyper = {"beta_1": torch.tensor([[0.9]]), "beta_2": torch.tensor([[0.999]])}
        >>> nadam(p, g, state, torch.tensor([[0.1]]), hyper | {"epsilon": torch.tensor([[1e-8]])})
        >>> p, state.product
        (tensor([[0.8944]]), tensor([[0.4501]]))

    Source: Dozat 2016. Equals: `torch.optim.NAdam`.
    """
    denominator = _moments(g, state, hyper)
    t, beta_1, product = state.t, hyper["beta_1"], state.product
    mu = beta_1 * (1 - 0.5 * 0.96 ** (t * NADAM_MOMENTUM_DECAY))
    mu_next = beta_1 * (1 - 0.5 * 0.96 ** ((t + 1) * NADAM_MOMENTUM_DECAY))
    product *= mu
    look_ahead = g * ((1 - mu) / (1 - product))
    look_ahead.addcmul_(state.m, mu_next / (1 - product * mu_next))
    p.addcmul_(look_ahead.div_(denominator), eta, value=-1)


def _share(default: float, doc: str) -> Parameter:
    # In single precision, larger values are 1, which makes a bias correction by 1 − βᵗ infinite.
    return Parameter(default, doc, low=0.0, high=1 - 1e-6)


def _epsilon(default: float, doc: str = "ε, added to the square root") -> Parameter:
    # In single precision, much smaller values are 0, which gives 0/0 if a gradient is 0.
    return Parameter(default, doc, low=1e-15)


_MOMENTUM = {"momentum": _share(0.9, "β, weight of the past velocity")}
_ADAM = {
    "beta_1": _share(0.9, "β₁, weight of the past first moment"),
    "beta_2": _share(0.999, "β₂, weight of the past second moment"),
    "epsilon": _epsilon(1e-8),
}
_DECAY = {"weight_decay": Parameter(0.01, "λ, decay of all parameters", low=0.0)}

OPTIMIZER_PARAMETERS = {
    "learning_rate": Parameter(1e-3, "η₀, scaled by the schedule", low=0.0, open_low=True),
}

_KERAS_INSIDE = (
    "ε is outside the square root, as in torch; in Keras it is inside, with the default 1e-7."
)

OPTIMIZERS = table(
    Optimizer(
        "sgd",
        "p ← p − ηg",
        update=sgd,
        note="A baseline: slow if the loss is steep in some directions and flat in others.",
    ),
    Optimizer(
        "momentum",
        "m ← βm + g, p ← p − ηm",
        _MOMENTUM,
        update=momentum,
        momentum="momentum",
        note="As in torch. In Keras, the velocity includes the learning rate (m ← βm − ηg, "
        "p ← p + m), which is equal for constant η; when η falls, Keras's velocity adapts later.",
    ),
    Optimizer(
        "nesterov",
        "m ← βm + g, p ← p − η(g + βm)",
        _MOMENTUM,
        update=nesterov,
        momentum="momentum",
        note="As in torch. Keras differs as for momentum.",
    ),
    Optimizer(
        "adagrad",
        "v ← v + g², p ← p − ηg / (√v + ε)",
        {"epsilon": _epsilon(1e-10)},
        update=adagrad,
        note=f"{_KERAS_INSIDE} v starts at 0, in Keras at 0.1.",
    ),
    Optimizer(
        "rmsprop",
        "v ← ρv + (1 − ρ)g², p ← p − ηg / (√v + ε)",
        {"rho": _share(0.9, "ρ, weight of the past squares"), "epsilon": _epsilon(1e-8)},
        update=rmsprop,
        note=_KERAS_INSIDE,
    ),
    Optimizer(
        "adam",
        "m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², p ← p − η m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε)",
        _ADAM,
        update=adam,
        momentum="beta_1",
        note="As in torch. Keras adds ε (1e-7) to √v before the bias correction.",
    ),
    Optimizer(
        "adamax",
        "m ← β₁m + (1 − β₁)g, v ← max(β₂v, |g| + ε), p ← p − η m/(1 − β₁ᵗ) / v",
        _ADAM | {"epsilon": _epsilon(1e-8, "ε, added to |g| inside the maximum")},
        update=adamax,
        momentum="beta_1",
        note="As in torch. Keras adds ε to v in the denominator.",
    ),
    Optimizer(
        "nadam",
        "m, v as adam, μₜ = β₁(1 − ½·0.96^(0.004t)), Π = μ₁⋯μₜ, p ← p − η "
        "[(1 − μₜ)/(1 − Π) g + μₜ₊₁/(1 − Πμₜ₊₁) m] / (√(v/(1 − β₂ᵗ)) + ε)",
        _ADAM,
        update=nadam,
        momentum="beta_1",
        note="As in torch. Keras has 0.96^t instead of 0.96^(0.004t).",
    ),
    Optimizer(
        "adamw",
        "p ← p(1 − ηλ), then adam",
        _ADAM | _DECAY,
        update=adamw,
        momentum="beta_1",
        note="All parameters decay, including biases, batch norm, embeddings and scales, and η "
        "includes the factors of single parameters. For weight matrices only, use [weight_decay] "
        "decoupled.",
    ),
)
