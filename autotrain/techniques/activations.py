"""Activations: f and its derivative f′, elementwise.

Every function takes `z` `[K, B, H]` and its parameters as tensors `[K, 1, 1]`, so slots can have
different ones. A learned parameter (PReLU's slope) also needs ∂f/∂parameter. To add an activation,
write f and f′ and add a row to `ACTIVATIONS`. Contract tests compare both with torch and autograd.
`network/kernels.py` has faster versions for groups of slots with equal parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from autotrain.techniques.technique import Parameter, Technique, table

Parameters = Mapping[str, Tensor]
SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


@dataclass(frozen=True, kw_only=True)
class Activation(Technique):
    """A row of `ACTIVATIONS`.

    Args:
        f: (z, parameters) → a, both `[K, B, H]`.
        df: (z, a, parameters) → f′(z) `[K, B, H]`; many derivatives are cheap to compute from
            a = f(z).
        learned: name of the parameter that is trained, one number per layer; None without one.
        d_learned: (z, parameters) → ∂f/∂learned `[K, B, H]`; required with `learned`.
        rectifies: whether it belongs to the ReLU family, so that its units can be dead.
        saturates: whether f is flat on both sides (sigmoid, tanh).
    Examples:
        >>> elu = ACTIVATIONS["elu"]
        >>> elu.f(torch.tensor([-1.0, 0.0, 2.0]), {"alpha": torch.tensor(1.0)})
        tensor([-0.6321,  0.0000,  2.0000])
        >>> ACTIVATIONS["relu"].f(torch.tensor([-1.0, 0.0, 2.0]), {})
        tensor([0., 0., 2.])
        >>> slope = {"negative_slope": torch.tensor(0.01)}
        >>> ACTIVATIONS["leaky_relu"].f(torch.tensor([-1.0, 2.0]), slope)
        tensor([-0.0100,  2.0000])
    """

    f: Callable[[Tensor, Parameters], Tensor]
    df: Callable[[Tensor, Tensor, Parameters], Tensor]
    learned: str | None = None
    d_learned: Callable[[Tensor, Parameters], Tensor] | None = None
    rectifies: bool = False
    saturates: bool = False


def positive(z: Tensor) -> Tensor:
    """Return 1 where z > 0 and 0 elsewhere, with the shape and dtype of z.

    Writing the comparison into a float tensor was seven times as fast as `(z > 0).to(...)` and as
    `torch.where`. This is why the piecewise functions below are sums.

    Examples:
        >>> positive(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([0., 0., 1.])
    """
    return torch.gt(z, 0, out=torch.empty_like(z))


def _leaky_relu(z: Tensor, slope: Tensor) -> Tensor:
    # max(αz, z) would be wrong for a learned slope outside [0, 1].
    return z.clamp(max=0).mul_(slope).add_(z.clamp(min=0))


def _leaky_relu_derivative(z: Tensor, slope: Tensor) -> Tensor:
    return positive(z).mul_(1 - slope).add_(slope)


def _elu(z: Tensor, alpha: Tensor | float) -> Tensor:
    # expm1 keeps the digits near 0; the clamp prevents an overflow for large z.
    return (torch.expm1(z.clamp(max=0)) * alpha).add_(z.clamp(min=0))


def _elu_derivative(a: Tensor, alpha: Tensor) -> Tensor:
    """Return 1 where z > 0, a + α elsewhere, `[K, B, H]`; a is the value of elu."""
    # The sign of a is that of z, so z need not be read.
    return a.clamp(max=0).add_(alpha).add_(positive(a).mul_(1 - alpha))


def _selu_derivative(a: Tensor) -> Tensor:
    """Return λ where z > 0, a + λα elsewhere, `[K, B, H]`; a is the value of selu."""
    below = SELU_SCALE * SELU_ALPHA
    return a.clamp(max=0).add_(below).add_(positive(a).mul_(SELU_SCALE - below))


def _gelu_derivative(z: Tensor) -> Tensor:
    """Return Φ(z) + z φ(z)."""
    cdf = 0.5 * (1 + torch.erf(z / math.sqrt(2)))
    return cdf + z * torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def _silu_derivative(z: Tensor) -> Tensor:
    """Return σ(z) (1 + z (1 − σ(z)))."""
    s = torch.sigmoid(z)
    return s * (1 + z * (1 - s))


def _mish_derivative(z: Tensor) -> Tensor:
    """Return t + z σ(z) (1 − t²) with t = tanh(softplus(z))."""
    t = torch.tanh(functional.softplus(z))
    return t + z * torch.sigmoid(z) * (1 - t * t)


ACTIVATION_PARAMETERS = {
    # x + a (f(x) − x): Holzmüller et al. 2024, arXiv:2407.04491, section 3.2.
    "parametric": Parameter(
        False, "use z + a(f(z) − z), a learned for each unit, 1 at first", kind="boolean"
    ),
    "mix_learning_rate": Parameter(1.0, "factor on the learning rate of a", low=0.0, open_low=True),
}

ACTIVATIONS = table(
    Activation(
        "sigmoid",
        "f(z) = 1 / (1 + e⁻ᶻ)",
        note="It is flat on both sides, so gradients vanish in deep networks.",
        f=lambda z, p: torch.sigmoid(z),
        df=lambda z, a, p: a * (1 - a),
        saturates=True,
    ),
    Activation(
        "tanh",
        "f(z) = tanh z",
        note="Its outputs have a mean near 0, unlike sigmoid. It is flat on both sides, too.",
        f=lambda z, p: torch.tanh(z),
        df=lambda z, a, p: 1 - a * a,
        saturates=True,
    ),
    Activation(
        "relu",
        "f(z) = max(0, z)",
        note="A fast first choice; units may die (Nair & Hinton 2010).",
        f=lambda z, p: torch.relu(z),
        df=lambda z, a, p: positive(z),
        rectifies=True,
    ),
    Activation(
        "softplus",
        "f(z) = log(1 + eᶻ)",
        note="A smooth relu without dead units (Dugas et al. 2001).",
        f=lambda z, p: functional.softplus(z),
        df=lambda z, a, p: torch.sigmoid(z),
    ),
    Activation(
        "leaky_relu",
        "f(z) = z if z ≥ 0, else αz",
        {"negative_slope": Parameter(0.01, "α, slope for z < 0", low=0.0, high=1.0)},
        note="Its units cannot die (Maas, Hannun & Ng 2013).",
        f=lambda z, p: _leaky_relu(z, p["negative_slope"]),
        df=lambda z, a, p: _leaky_relu_derivative(z, p["negative_slope"]),
        rectifies=True,
    ),
    Activation(
        "prelu",
        "f(z) = z if z ≥ 0, else αz; α learned, one per layer",
        {"init": Parameter(0.25, "initial value of α", low=0.0, high=1.0)},
        note="A leaky_relu with a learned slope (He et al. 2015, arXiv:1502.01852).",
        f=lambda z, p: _leaky_relu(z, p["init"]),
        df=lambda z, a, p: _leaky_relu_derivative(z, p["init"]),
        learned="init",
        d_learned=lambda z, p: z.clamp(max=0),
        rectifies=True,
    ),
    Activation(
        "elu",
        "f(z) = z if z ≥ 0, else α(eᶻ − 1)",
        {"alpha": Parameter(1.0, "α; f(z) → −α for z → −∞", low=0.0, open_low=True)},
        note="Its mean output is nearer to 0 than relu's (Clevert et al. 2016, arXiv:1511.07289).",
        f=lambda z, p: _elu(z, p["alpha"]),
        df=lambda z, a, p: _elu_derivative(a, p["alpha"]),
        rectifies=True,
    ),
    Activation(
        "selu",
        "f(z) = λz if z ≥ 0, else λα(eᶻ − 1); λ = 1.05070…, α = 1.67326…",
        note="Use it with lecun_normal or lecun_uniform, and with alpha_dropout. Outputs keep mean "
        "0 and variance 1 through many layers (Klambauer et al. 2017, arXiv:1706.02515).",
        f=lambda z, p: SELU_SCALE * _elu(z, SELU_ALPHA),
        df=lambda z, a, p: _selu_derivative(a),
        rectifies=True,
    ),
    Activation(
        "gelu",
        "f(z) = z Φ(z), Φ the normal distribution function",
        note="A smooth relu (Hendrycks & Gimpel 2016, arXiv:1606.08415).",
        f=lambda z, p: functional.gelu(z),
        df=lambda z, a, p: _gelu_derivative(z),
        rectifies=True,
    ),
    Activation(
        "silu",
        "f(z) = z / (1 + e⁻ᶻ)",
        note="Also called swish (Ramachandran et al. 2017, arXiv:1710.05941).",
        f=lambda z, p: functional.silu(z),
        df=lambda z, a, p: _silu_derivative(z),
        rectifies=True,
    ),
    Activation(
        "mish",
        "f(z) = z tanh(log(1 + eᶻ))",
        note="Similar to silu (Misra 2019, arXiv:1908.08681).",
        f=lambda z, p: functional.mish(z),
        df=lambda z, a, p: _mish_derivative(z),
        rectifies=True,
    ),
)
