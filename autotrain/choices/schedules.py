"""Learning-rate schedules: what η₀ is multiplied by at each step.

A row's `multiplier` is a closed form in t, the number of optimizer steps taken. `performance` has
no closed form: it is a constant between the drops that `Plateau` finds on the validation loss.
To add one: write its function and add a row to `SCHEDULES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autotrain.domains import Parameter, Technique, table


@dataclass(frozen=True)
class Clock:
    """When steps happen: how many an epoch has, and how many the whole training has at most."""

    steps_per_epoch: int
    total_steps: int


Form = Callable[[np.ndarray, Clock, Mapping[str, Any]], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Schedule(Technique):
    """A row of `SCHEDULES`.

    Args:
        multiplier: (t `[n]` from 0, clock, parameters) → `[n]`, factors of η₀.
        momentum_drop: (t, clock, parameters) → `[n]` in [0, 1]: how far momentum is on its way
            from its own value down to `MOMENTUM_DIP` less; None where momentum stays.
        drops_on_plateau: whether each plateau of the validation loss multiplies η by `factor`.
        anneals: whether η falls by itself later on: a model that has stopped improving may improve
            again, so plateaus alone do not mean that it has converged.
        spans: whether it is spread over the whole training, and η is lowest at its last epoch.
    """

    multiplier: Form
    momentum_drop: Form | None = None
    drops_on_plateau: bool = False
    anneals: bool = False
    spans: bool = False


# One-cycle mirrors momentum from e.g. 0.95 down to 0.85 and back (Smith 2018).
MOMENTUM_DIP = 0.1
ONE_CYCLE_START = 1 / 10
ONE_CYCLE_END = 1 / 1000


class Plateau:
    """Find plateaus: `patience` epochs in a row without a new best by more than `min_delta`.

    After a plateau the count starts anew; the best stays. A loss that is not a number is no
    improvement.

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
        """Take one epoch's loss and tell whether a plateau ends with it."""
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
    """η₀."""
    return np.ones(len(t))


def power(t: np.ndarray, clock: Clock, p: Mapping[str, Any]) -> np.ndarray:
    """η₀ / (1 + t/k)ᶜ: half after k steps, a third after 2k when c = 1."""
    return (1 + t / p["k"]) ** -p["c"]


def exponential(t: np.ndarray, clock: Clock, p: Mapping[str, Any]) -> np.ndarray:
    """η₀ · 0.1^(epoch/s): a tenth every s epochs."""
    return 0.1 ** (t / clock.steps_per_epoch / p["s"])


def piecewise(t: np.ndarray, clock: Clock, p: Mapping[str, Any]) -> np.ndarray:
    """η₀ · factorᵢ on the i-th interval between boundaries, in epochs.

    Raises:
        ValueError: when there is not one factor more than boundaries, or they do not rise.
    """
    boundaries = np.asarray(p["boundaries"], dtype=np.float64)
    factors = np.asarray(p["factors"], dtype=np.float64)
    if len(factors) != len(boundaries) + 1 or np.any(np.diff(boundaries) <= 0):
        raise ValueError(
            "piecewise needs rising boundaries and one factor more than boundaries, however: "
            f"boundaries = {list(p['boundaries'])}, factors = {list(p['factors'])}"
        )
    return factors[np.searchsorted(boundaries, t / clock.steps_per_epoch, side="right")]


def one_cycle(t: np.ndarray, clock: Clock, p: Mapping[str, Any]) -> np.ndarray:
    """Linear from η₀/10 up to η₀, down again in as long a time, then down to η₀/1000.

    Source: Smith 2018, arXiv:1803.09820. Equals: `OneCycleLR(three_phase=True,
    anneal_strategy="linear", div_factor=10, final_div_factor=100)` on a continuous time axis.
    """
    share = t / max(clock.total_steps, 1)
    up = p["warmup"]
    return np.interp(
        share, [0, up, 2 * up, 1], [ONE_CYCLE_START, 1, ONE_CYCLE_START, ONE_CYCLE_END]
    )


def one_cycle_momentum(t: np.ndarray, clock: Clock, p: Mapping[str, Any]) -> np.ndarray:
    """Mirror the learning rate: 1 (lowest momentum) at its peak, 0 at both ends."""
    share = t / max(clock.total_steps, 1)
    up = p["warmup"]
    return np.interp(share, [0, up, 2 * up, 1], [0, 1, 0, 0])


def cosine(t: np.ndarray, clock: Clock, p: Mapping[str, Any]) -> np.ndarray:
    """Linear up over the warm-up share w, then ½ (1 + cos(π (x − w)/(1 − w))), x = t/total.

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5, without restarts.
    """
    share = t / max(clock.total_steps, 1)
    warmup = p["warmup"]
    down = 0.5 * (1 + np.cos(np.pi * np.clip((share - warmup) / (1 - warmup), 0, 1)))
    if warmup == 0:
        return down
    # The first step already moves: (t + 1) steps' worth of warm-up.
    up = (t + 1) / max(warmup * clock.total_steps, 1)
    return np.where(share < warmup, np.minimum(up, 1), down)


def coslog4(t: np.ndarray, clock: Clock, p: Mapping[str, Any]) -> np.ndarray:
    """½ (1 − cos(2π log₂(1 + 15 x))), x = t/total: four waves, each twice as long as the last.

    It is 0 at x = 0, 1/15, 3/15, 7/15 and 1: there scores of equal length compare.

    Source: Holzmüller et al. 2024, arXiv:2407.04491, section 3.3.
    """
    share = t / max(clock.total_steps, 1)
    return 0.5 * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * share)))


def cosine_restarts(t: np.ndarray, clock: Clock, p: Mapping[str, Any]) -> np.ndarray:
    """½ (1 + cos(π x)), x the share of the present run; runs of `first` epochs, then longer ones.

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5. Equals:
    `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`, stepped within epochs.
    """
    epoch, first, growth = t / clock.steps_per_epoch, p["first"], p["growth"]
    if growth == 1:
        return 0.5 * (1 + np.cos(np.pi * (epoch % first) / first))
    run = np.floor(np.log1p(epoch / first * (growth - 1)) / np.log(growth) + 1e-9)
    start = first * (growth**run - 1) / (growth - 1)
    share = np.clip((epoch - start) / (first * growth**run), 0, 1)
    return 0.5 * (1 + np.cos(np.pi * share))


SCHEDULES = table(
    Schedule("constant", "η = η₀", multiplier=constant),
    Schedule(
        "power",
        "η = η₀ / (1 + t/k)ᶜ",
        {
            "k": Parameter(1000.0, "steps (not epochs) until η = η₀/2ᶜ, half for c = 1", low=1e-6),
            "c": Parameter(1.0, "exponent", low=0.0),
        },
        multiplier=power,
        anneals=True,
    ),
    Schedule(
        "exponential",
        "η = η₀ · 0.1^(epoch/s)",
        {"s": Parameter(20.0, "epochs (not steps) until η is a tenth", low=1e-6)},
        multiplier=exponential,
        anneals=True,
    ),
    Schedule(
        "piecewise",
        "η = η₀ · factorᵢ on the i-th interval between the boundaries",
        {
            "boundaries": Parameter(
                (5.0, 15.0), "epochs, rising; each starts its interval", low=0.0, kind="reals"
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
            "factor": Parameter(0.5, "what η is multiplied by", low=0.0, high=1.0, open_low=True),
            "patience": Parameter(
                5,
                "epochs without improvement of the validation loss",
                low=1,
                high=1_000_000_000,
                kind="integer",
            ),
            "min_delta": Parameter(0.0, "an improvement must be larger; absolute", low=0.0),
            "min_lr": Parameter(0.0, "η is never lower", low=0.0),
        },
        multiplier=constant,
        drops_on_plateau=True,
        note="Follows the validation loss, whatever the study's metric. min_delta is 0 and there "
        "is no cooldown; Keras's ReduceLROnPlateau has a min_delta of 1e-4. patience is counted as "
        "in Keras: torch's is one less for the same rule.",
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
        note="Momentum (β, β₁ of the Adam family) falls linearly by 0.1 until x = w and rises back "
        "until 2w; sgd, adagrad and rmsprop have none.",
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
        "η = η₀ · ½(1 + cos(πx)), x the fraction of the present run that is done",
        {
            "first": Parameter(10.0, "epochs of the first run", low=1e-6),
            "growth": Parameter(2.0, "how many times longer each run is", low=1.0, high=10.0),
        },
        multiplier=cosine_restarts,
        note="Run i is first · growthⁱ epochs long, i from 0.",
        anneals=True,
    ),
)
