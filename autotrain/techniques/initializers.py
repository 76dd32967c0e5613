"""Initializers: distributions of the weights of a layer before training.

A row draws one layer of one slot from the slot's own random numbers. `fan_in` and `fan_out` are
those of the real layer, never of the padded one. Biases start at 0; the output layer is initialized
like the others. To add an initializer, write its `draw` and add a row to `INITIALIZERS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autotrain.techniques.technique import Parameter, Technique, table

Draw = Callable[[np.random.Generator, int, int, Mapping[str, Any]], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Initializer(Technique):
    """A row of `INITIALIZERS`.

    Args:
        draw: (generator, fan_in, fan_out, parameters) → weights `[fan_in, fan_out]`, float64.
        by_data: whether each unit's weights are then divided by the standard deviation of its z
            on training rows, layer by layer (`training/initializing.py`).
    Examples:
        >>> generator = np.random.default_rng(0)
        >>> weights = INITIALIZERS["he_normal"].draw(generator, 200, 300, {})
        >>> weights.shape, round(float(weights.var() * 200), 2)
        ((200, 300), 2.0)
    """

    draw: Draw
    by_data: bool = False


def _fan_avg(fan_in: int, fan_out: int) -> float:
    return (fan_in + fan_out) / 2


def _normal(variance: Callable[[int, int], float]) -> Draw:
    def draw(
        generator: np.random.Generator, fan_in: int, fan_out: int, _: Mapping[str, Any]
    ) -> np.ndarray:
        return generator.normal(0.0, math.sqrt(variance(fan_in, fan_out)), (fan_in, fan_out))

    return draw


def _uniform(variance: Callable[[int, int], float]) -> Draw:
    def draw(
        generator: np.random.Generator, fan_in: int, fan_out: int, _: Mapping[str, Any]
    ) -> np.ndarray:
        # U(−a, a) has variance a²/3.
        limit = math.sqrt(3 * variance(fan_in, fan_out))
        return generator.uniform(-limit, limit, (fan_in, fan_out))

    return draw


def glorot(fan_in: int, fan_out: int) -> float:
    """Return σ² = 1 / fan_avg (Glorot & Bengio 2010, eq. 12).

    It is a compromise: the variance stays about equal in the forward and in the backward pass.

    Examples:
        >>> glorot(200, 300)
        0.004
    """
    return 1 / _fan_avg(fan_in, fan_out)


def he(fan_in: int, fan_out: int) -> float:
    """Return σ² = 2 / fan_in (He et al. 2015, arXiv:1502.01852, eq. 10).

    It makes up for the half of the inputs that ReLU sets to 0.

    Examples:
        >>> he(200, 300)
        0.01
    """
    return 2 / fan_in


def he_avg(fan_in: int, fan_out: int) -> float:
    """Return σ² = 2 / fan_avg (He et al. 2015, between eq. 10 and 14).

    It is the compromise of `glorot` between forward and backward pass, for ReLU.

    Examples:
        >>> he_avg(200, 300)
        0.008
    """
    return 2 / _fan_avg(fan_in, fan_out)


def lecun(fan_in: int, fan_out: int) -> float:
    """Return σ² = 1 / fan_in (LeCun et al. 1998, "Efficient BackProp", eq. 16).

    It keeps the variance of z in the forward pass of linear or selu units.

    Examples:
        >>> lecun(200, 300)
        0.005
    """
    return 1 / fan_in


def draw_orthogonal(
    generator: np.random.Generator, fan_in: int, fan_out: int, _: Mapping[str, Any]
) -> np.ndarray:
    """Draw a matrix `[fan_in, fan_out]` whose shorter side is orthonormal, with gain 1.

    It is Q of the QR decomposition of a Gaussian matrix, times the signs of R's diagonal, without
    which Q would not be uniformly distributed. Norms are kept through many layers, which helps deep
    networks.

    Examples:
        >>> w = draw_orthogonal(np.random.default_rng(0), 4, 2, {})
        >>> bool(np.allclose(w.T @ w, np.eye(2)))
        True

    Source: Saxe et al. 2014, arXiv:1312.6120. Equals: `torch.nn.init.orthogonal_`, in distribution.
    """
    tall = generator.normal(size=(max(fan_in, fan_out), min(fan_in, fan_out)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))
    return q if fan_in >= fan_out else q.T


def draw_normal(
    generator: np.random.Generator, fan_in: int, fan_out: int, parameters: Mapping[str, Any]
) -> np.ndarray:
    """Draw N(0, std²) `[fan_in, fan_out]` for layers of all sizes, the naive initializer.

    Examples:
        >>> draw_normal(np.random.default_rng(0), 200, 300, {"std": 1.0}).std().round(2)
        np.float64(1.0)
    """
    return generator.normal(0.0, parameters["std"], (fan_in, fan_out))


INITIALIZERS = table(
    Initializer(
        "glorot_normal",
        "W ~ N(0, 1/fan_avg)",
        draw=_normal(glorot),
        note="Use it with tanh, sigmoid and softmax.",
    ),
    Initializer(
        "glorot_uniform",
        "W ~ U(±√(3/fan_avg))",
        draw=_uniform(glorot),
        note="Use it with tanh, sigmoid and softmax.",
    ),
    Initializer(
        "he_normal",
        "W ~ N(0, 2/fan_in)",
        draw=_normal(he),
        note="Use it with ReLU, its variants and ELU. Normal initializers are not truncated; those "
        "of Keras are, at two standard deviations, with the same variance.",
    ),
    Initializer(
        "he_uniform",
        "W ~ U(±√(6/fan_in))",
        draw=_uniform(he),
        note="Use it with ReLU, its variants and ELU.",
    ),
    Initializer(
        "lecun_normal", "W ~ N(0, 1/fan_in)", draw=_normal(lecun), note="Use it with SELU."
    ),
    Initializer(
        "lecun_uniform", "W ~ U(±√(3/fan_in))", draw=_uniform(lecun), note="Use it with SELU."
    ),
    Initializer(
        "he_avg_normal",
        "W ~ N(0, 2/fan_avg)",
        draw=_normal(he_avg),
        note="Use it with ReLU and its variants.",
    ),
    Initializer(
        "he_avg_uniform",
        "W ~ U(±√(6/fan_avg))",
        draw=_uniform(he_avg),
        note="Use it with ReLU and its variants.",
    ),
    Initializer(
        "orthogonal",
        "W = Q of the QR decomposition of a Gaussian matrix: WᵀW = I, or WWᵀ = I",
        draw=draw_orthogonal,
        note="Use it in deep networks. The gain is 1.",
    ),
    Initializer(
        "normal",
        "W ~ N(0, std²)",
        {"std": Parameter(1.0, "standard deviation", low=0.0, open_low=True)},
        draw=draw_normal,
        note="It is the same for layers of all sizes, to show why the others depend on them.",
    ),
    # Holzmüller et al. 2024, arXiv:2407.04491, section 3.2; cf. Mishkin & Matas 2016.
    Initializer(
        "data_std",
        "W ~ N(0, 1/fan_in), then w ← w / std(z) for each unit, z on training rows",
        draw=_normal(lecun),
        by_data=True,
        note="Layers are scaled one after another, on at most 1,024 random training rows, without "
        "dropout.",
    ),
)
