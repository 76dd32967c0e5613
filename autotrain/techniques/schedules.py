"""Learning-rate schedules: the factor of η₀ at each step.

A row's `multiplier` is a closed form in t, the number of optimizer steps taken. `performance` has
no closed form: it is constant between plateaus of the validation loss, which `Plateau` detects. To
add a schedule, write its function and add a row to `SCHEDULES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autotrain.techniques.technique import Parameter, Technique, table


@dataclass(frozen=True)
class Clock:
    """Length of an epoch and of the training, in steps.

    Args:
        steps_per_epoch: number of steps of an epoch.
        total_steps: largest number of steps of the training.
    Examples:
        >>> Clock(steps_per_epoch=50, total_steps=1000)
        Clock(steps_per_epoch=50, total_steps=1000)
    """

    steps_per_epoch: int
    total_steps: int


Form = Callable[[np.ndarray, Clock, Mapping[str, Any]], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Schedule(Technique):
    """A row of `SCHEDULES`.

    Args:
        multiplier: (t `[n]` from 0, clock, parameters) → factors of η₀, `[n]`.
        momentum_drop: (t `[n]`, clock, parameters) → `[n]` in [0, 1]: reduction of the momentum as
            a fraction of `MOMENTUM_DIP`; None if the momentum is constant.
        drops_on_plateau: whether each plateau of the validation loss multiplies η by `factor`.
        anneals: whether η falls over time by itself. A model on a plateau may then improve again,
            so a plateau does not mean that it has converged.
        spans: whether its length is that of the training, with the lowest η in the last epoch.
    Examples:
        >>> t = np.array([0, 500, 1000])
        >>> SCHEDULES["exponential"].multiplier(t, Clock(50, 1000), {"s": 20.0}).round(3)
        array([1.   , 0.316, 0.1  ])
    """

    multiplier: Form
    momentum_drop: Form | None = None
    drops_on_plateau: bool = False
    anneals: bool = False
    spans: bool = False


# One-cycle lowers the momentum by this value and raises it again (Smith 2018: 0.95 to 0.85).
MOMENTUM_DIP = 0.1
ONE_CYCLE_START = 1 / 10
ONE_CYCLE_END = 1 / 1000


class Plateau:
    """Detects plateaus: `patience` epochs in a row without an improvement.

    After a plateau the count starts again at 0, and the best loss is kept.

    Args:
        patience: number of epochs, at least 1.
        min_delta: an improvement must be larger than this. NaN is no improvement.
    Examples:
        >>> plateau = Plateau(patience=2)
        >>> [plateau.update(loss) for loss in (0.9, 0.8, 0.8, 0.85)]
        [False, False, False, True]

    Equals: `torch.optim.lr_scheduler.ReduceLROnPlateau(patience=patience − 1,
    threshold=min_delta, threshold_mode="abs")`; `patience` is counted as in Keras.
    """

    def __init__(self, patience: int, min_delta: float = 0.0) -> None:
        self.patience = patience
        self.min_delta = min_delta
        self.best = math.inf
        self.waited = 0
        self.count = 0

    def update(self, loss: float) -> bool:
        """Record the loss of an epoch; return True if it completes a plateau."""
        if loss < self.best - self.min_delta:
            self.best = loss
            self.waited = 0
            return False
        self.waited += 1
        if self.waited < self.patience:
            return False
        self.waited = 0
        self.count += 1
        return True


def constant(t: np.ndarray, clock: Clock, p: Mapping[str, Any]) -> np.ndarray:
    """Return the factors 1 of η = η₀, `[n]`; t `[n]` are steps from 0.

    Examples:
        >>> constant(np.array([0, 100]), Clock(50, 1000), {})
        array([1., 1.])
    """
    return np.ones(len(t))


def power(t: np.ndarray, clock: Clock, p: Mapping[str, Any]) -> np.ndarray:
    """Return 1 / (1 + t/k)ᶜ, `[n]`: ½ after k steps, ⅓ after 2k steps for c = 1.

    η falls fast at first and ever slower later, so k need not be tuned to the training's length.

    Examples:
        >>> power(np.array([0, 1000, 2000]), Clock(50, 2000), {"k": 1000.0, "c": 1.0})
        array([1.        , 0.5       , 0.33333333])
    """
    return (1 + t / p["k"]) ** -p["c"]


def exponential(t: np.ndarray, clock: Clock, p: Mapping[str, Any]) -> np.ndarray:
    """Return 0.1^(epoch/s), `[n]`: a tenth every s epochs.

    Use it if the number of epochs is known, since η is soon too small to learn.

    Examples:
        >>> exponential(np.array([0, 1000, 2000]), Clock(50, 2000), {"s": 20.0})
        array([1.  , 0.1 , 0.01])
    """
    return 0.1 ** (t / clock.steps_per_epoch / p["s"])


def piecewise(t: np.ndarray, clock: Clock, p: Mapping[str, Any]) -> np.ndarray:
    """Return factorᵢ on the i-th interval between the boundaries (in epochs), `[n]`.

    Raises:
        ValueError: if the boundaries do not rise, or there is not one factor more than boundaries.
    Examples:
        >>> p = {"boundaries": (5.0, 15.0), "factors": (1.0, 0.5, 0.1)}
        >>> piecewise(np.array([0, 250, 1000]), Clock(50, 1000), p)
        array([1. , 0.5, 0.1])
    """
    boundaries = np.asarray(p["boundaries"], dtype=np.float64)
    factors = np.asarray(p["factors"], dtype=np.float64)
    if len(factors) != len(boundaries) + 1 or np.any(np.diff(boundaries) <= 0):
        raise ValueError(
            "piecewise must have rising boundaries and one factor more than boundaries, got "
            f"boundaries = {list(p['boundaries'])}, factors = {list(p['factors'])}"
        )
    return factors[np.searchsorted(boundaries, t / clock.steps_per_epoch, side="right")]


def one_cycle(t: np.ndarray, clock: Clock, p: Mapping[str, Any]) -> np.ndarray:
    """Return factors that rise linearly from 1/10 to 1, fall back to 1/10, then to 1/1000, `[n]`.

    Rise and first fall have the length `warmup`, as a fraction of the training.

    Examples:
        >>> one_cycle(np.array([0, 450, 900, 1000]), Clock(50, 1000), {"warmup": 0.45})
        array([0.1  , 1.   , 0.1  , 0.001])

    Source: Smith 2018, arXiv:1803.09820. Equals: `OneCycleLR(three_phase=True,
    anneal_strategy="linear", div_factor=10, final_div_factor=100)` on a continuous time axis.
    """
    share = t / max(clock.total_steps, 1)
    up = p["warmup"]
    return np.interp(
        share, [0, up, 2 * up, 1], [ONE_CYCLE_START, 1, ONE_CYCLE_START, ONE_CYCLE_END]
    )


def one_cycle_momentum(t: np.ndarray, clock: Clock, p: Mapping[str, Any]) -> np.ndarray:
    """Return the reduction of the momentum, `[n]`: 1 at the peak of η, 0 at both ends.

    Examples:
        >>> one_cycle_momentum(np.array([0, 225, 450, 900]), Clock(50, 1000), {"warmup": 0.45})
        array([0. , 0.5, 1. , 0. ])
    """
    share = t / max(clock.total_steps, 1)
    up = p["warmup"]
    return np.interp(share, [0, up, 2 * up, 1], [0, 1, 0, 0])


def cosine(t: np.ndarray, clock: Clock, p: Mapping[str, Any]) -> np.ndarray:
    """Return factors that rise linearly until x = w, then ½ (1 + cos(π (x − w)/(1 − w))), `[n]`.

    x = t/total is the fraction of training done.

    Examples:
        >>> cosine(np.array([0, 500, 1000]), Clock(50, 1000), {"warmup": 0.0}).round(3)
        array([1. , 0.5, 0. ])

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5, without restarts.
    """
    share = t / max(clock.total_steps, 1)
    warmup = p["warmup"]
    down = 0.5 * (1 + np.cos(np.pi * np.clip((share - warmup) / (1 - warmup), 0, 1)))
    if warmup == 0:
        return down
    # t + 1, so that the rate of the first step is not 0.
    up = (t + 1) / max(warmup * clock.total_steps, 1)
    return np.where(share < warmup, np.minimum(up, 1), down)


def coslog4(t: np.ndarray, clock: Clock, p: Mapping[str, Any]) -> np.ndarray:
    """Return ½ (1 − cos(2π log₂(1 + 15 x))), x = t/total, `[n]`.

    These are four waves, each twice as long as the one before. The factor is 0 at x = 0, 1/15,
    3/15, 7/15 and 1.

    Examples:
        >>> coslog4(np.array([0, 50, 100, 200, 600, 1500]), Clock(50, 1500), {}).round(3)
        array([0.   , 0.93 , 0.   , 0.93 , 0.324, 0.   ])

    Source: Holzmüller et al. 2024, arXiv:2407.04491, section 3.3.
    """
    share = t / max(clock.total_steps, 1)
    return 0.5 * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * share)))


def cosine_restarts(t: np.ndarray, clock: Clock, p: Mapping[str, Any]) -> np.ndarray:
    """Return ½ (1 + cos(π x)), x the fraction of the current cycle, `[n]`.

    Cycle i, from 0, is `first` · `growth`ⁱ epochs long.

    Examples:
        >>> p = {"first": 10.0, "growth": 2.0}
        >>> cosine_restarts(np.array([0, 5, 10, 20, 30]), Clock(1, 70), p).round(3)
        array([1. , 0.5, 1. , 0.5, 1. ])

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5. Equals:
    `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`, stepped within epochs.
    """
    epoch, first, growth = t / clock.steps_per_epoch, p["first"], p["growth"]
    if growth == 1:
        return 0.5 * (1 + np.cos(np.pi * (epoch % first) / first))
    cycle = np.floor(np.log1p(epoch / first * (growth - 1)) / np.log(growth) + 1e-9)
    start = first * (growth**cycle - 1) / (growth - 1)
    share = np.clip((epoch - start) / (first * growth**cycle), 0, 1)
    return 0.5 * (1 + np.cos(np.pi * share))


SCHEDULES = table(
    Schedule("constant", "η = η₀", multiplier=constant),
    Schedule(
        "power",
        "η = η₀ / (1 + t/k)ᶜ",
        {
            "k": Parameter(1000.0, "steps (not epochs) until η = η₀/2ᶜ", low=1e-6),
            "c": Parameter(1.0, "exponent", low=0.0),
        },
        multiplier=power,
        anneals=True,
    ),
    Schedule(
        "exponential",
        "η = η₀ · 0.1^(epoch/s)",
        {"s": Parameter(20.0, "epochs (not steps) until η = η₀/10", low=1e-6)},
        multiplier=exponential,
        anneals=True,
    ),
    Schedule(
        "piecewise",
        "η = η₀ · factorᵢ on the i-th interval between the boundaries",
        {
            "boundaries": Parameter(
                (5.0, 15.0), "rising epochs, each the start of an interval", low=0.0, kind="reals"
            ),
            "factors": Parameter(
                (1.0, 0.5, 0.1), "factors of η₀, one more than boundaries", low=0.0, kind="reals"
            ),
        },
        multiplier=piecewise,
        anneals=True,
    ),
    Schedule(
        "performance",
        "η ← max(η · factor, min_lr) after patience epochs without a lower validation loss",
        {
            "factor": Parameter(0.5, "factor of η", low=0.0, high=1.0, open_low=True),
            "patience": Parameter(
                5,
                "epochs without improvement of the validation loss",
                low=1,
                high=1_000_000_000,
                kind="integer",
            ),
            "min_delta": Parameter(0.0, "smallest improvement that counts, absolute", low=0.0),
            "min_lr": Parameter(0.0, "lowest η", low=0.0),
        },
        multiplier=constant,
        drops_on_plateau=True,
        note="It follows the validation loss, for every metric of the study. There is no cooldown. "
        "The default of min_delta is 0; in Keras's ReduceLROnPlateau it is 1e-4. patience is "
        "counted as in Keras; torch's is one less for the same rule.",
    ),
    Schedule(
        "one_cycle",
        "η = linear from η₀/10 at x = 0 to η₀ at w, to η₀/10 at 2w, to η₀/1000 at 1, x = t/total",
        {
            "warmup": Parameter(
                0.45, "w, fraction of training until the peak", low=0.0, high=0.5, open_low=True
            )
        },
        multiplier=one_cycle,
        momentum_drop=one_cycle_momentum,
        note="Momentum (β, or β₁ of the Adam family) falls linearly by 0.1 until x = w and rises "
        "again until 2w. sgd, adagrad and rmsprop have no momentum.",
        anneals=True,
        spans=True,
    ),
    Schedule(
        "cosine",
        "η = η₀ · ½(1 + cos(π(x − w)/(1 − w))), x = t/total; before x = w, linear from 0 to η₀",
        {
            "warmup": Parameter(
                0.0, "w, fraction of training with rising η", low=0.0, high=1.0, open_high=True
            )
        },
        multiplier=cosine,
        anneals=True,
        spans=True,
    ),
    Schedule(
        "coslog4",
        "η = η₀ · ½(1 − cos(2π log₂(1 + 15x))), x = t/total",
        note="Four waves from 0 to η₀ and back, each twice as long as the one before.",
        multiplier=coslog4,
        anneals=True,
        spans=True,
    ),
    Schedule(
        "cosine_restarts",
        "η = η₀ · ½(1 + cos(πx)), x the fraction of the current cycle that is done",
        {
            "first": Parameter(10.0, "epochs of the first cycle", low=1e-6),
            "growth": Parameter(
                2.0, "ratio of the lengths of successive cycles", low=1.0, high=10.0
            ),
        },
        multiplier=cosine_restarts,
        note="Cycle i is first · growthⁱ epochs long, i from 0.",
        anneals=True,
    ),
)
