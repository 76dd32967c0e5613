"""One model of a fleet: its state between epochs, and its messages to the search.

A slot has the complete state of one training: weights, moments, random streams, schedule, plateau
and patience counters, best epoch. A fleet holds the stacked weights while it trains and copies them
back on `release`. Every new model gets a new `Slot`, so no state of an earlier model can remain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autotrain.data.codes import Columns
from autotrain.network import noise
from autotrain.network.config import shape_of, view_of
from autotrain.network.flags import Diagnosis
from autotrain.network.grouping import Backend
from autotrain.network.layout import Layout
from autotrain.space.config import TrialConfig
from autotrain.techniques.annealing import ANNEALINGS
from autotrain.techniques.optimizers import OPTIMIZERS
from autotrain.techniques.schedules import MOMENTUM_DIP, SCHEDULES, Clock, Plateau
from autotrain.techniques.targets import TARGETS
from autotrain.training.diagnostics import GradientRecord


@dataclass(frozen=True)
class SlotState:
    """The state of a slot between two epochs; see `state.py`.

    Args:
        numbers: counters, random streams and records, as JSON.
        arrays: its tensors by name, flat.
    """

    numbers: dict[str, Any]
    arrays: dict[str, np.ndarray]


@dataclass(frozen=True)
class Admission:
    """A model to train.

    Args:
        slot: number of the slot, chosen by the scheduler, unique in a study.
        config: the configuration.
        seed: seed of the trial; it is combined with fold and repeat.
        fold, repeat: numbers of the fold and of the repeat, from 0.
        state: the state from which the training continues; None to start.
    """

    slot: int
    config: TrialConfig
    seed: int
    fold: int = 0
    repeat: int = 0
    state: SlotState | None = None


@dataclass(frozen=True)
class EpochReport:
    """One epoch of one slot.

    Args:
        slot: number of the slot.
        epoch: number of the epoch, from 1.
        samples_seen: number of training rows seen so far, with repetitions.
        train_loss: mean over the batches of the epoch, with dropout, without penalties.
        valid_loss: cross-entropy, squared error or pinball loss (of the standardized target) on the
            validation rows.
        value: metric on the validation rows.
        dropped: whether a plateau lowered the learning rate at the end of this epoch.
        learning_rate: η in the last step of the epoch.
        at_s: time of the end of the epoch in seconds, by the monotonic clock of the training
            process.
    """

    slot: int
    epoch: int
    samples_seen: int
    train_loss: float
    valid_loss: float
    value: float
    dropped: bool
    learning_rate: float
    at_s: float = field(default=0.0, compare=False)

    @property
    def is_finite(self) -> bool:
        """Whether loss and metric are finite; the metric alone can be, with non-finite weights."""
        return math.isfinite(self.valid_loss) and math.isfinite(self.value)


@dataclass(frozen=True)
class Outcome:
    """The end of one slot.

    Args:
        slot: number of the slot.
        cause: "epochs" (limit reached), "early_stopping", "diverged" or "stopped" (by the
            scheduler).
        epochs: number of epochs trained.
        best_epoch: epoch of the best value, from 1; 0 if no epoch has a finite value.
        best_value: metric of the best epoch; NaN without one.
        parameters, statistics: flat rows of the best epoch, `[P]` and `[S]` (see `Layout`); None
            without one.
        diagnosis: health of gradients and units, see network/flags.py.
    """

    slot: int
    cause: str
    epochs: int
    best_epoch: int
    best_value: float
    parameters: np.ndarray | None
    statistics: np.ndarray | None
    diagnosis: Diagnosis = field(default_factory=Diagnosis)


class Slot:
    """The state of one model between epochs.

    Args:
        admission: configuration and seed.
        columns: columns of the rows that it reads.
        n_outputs: number of classes, or 1 for regression.
        clock: number of steps of an epoch and of the training.
        backend: device and dtype of the weights.
    """

    def __init__(
        self, admission: Admission, columns: Columns, n_outputs: int, clock: Clock, backend: Backend
    ) -> None:
        self.id = admission.slot
        self.fold = admission.fold
        self.config = config = admission.config
        self.clock = clock
        self.view = view_of(config)
        self.columns = columns
        self.shape = shape_of(config, columns, n_outputs)
        self.layout = Layout(self.shape)
        self.row_order = np.random.Generator(self._stream(admission, noise.ROW_ORDER))
        self.dropout_bits = self._stream(admission, noise.DROPOUT)
        drawn = noise.initial_parameters(
            config, self.shape, self.layout, self._stream(admission, noise.INITIAL_WEIGHTS)
        )
        # These flat rows are out of date while a fleet trains the slot.
        self.parameters = torch.from_numpy(drawn).to(backend.device, backend.dtype)
        self.statistics = _fresh_statistics(self.layout, self.parameters)
        self.m = torch.zeros_like(self.parameters)
        self.v = torch.zeros_like(self.parameters)
        self.t = self.parameters.new_zeros(1)
        self.product = self.parameters.new_ones(1)
        self.best_parameters = self.parameters
        self.best_statistics = self.statistics
        self.turn = 0
        """Number of the latest turn of its fleet; 0 before the first."""
        self.epoch = 0
        self.best_epoch = 0
        self.best_score = math.inf
        self.stops_early = False
        self.diverged = False
        self.gradients = GradientRecord(self.shape.depth, n_outputs)
        schedule = config.schedule
        self.plateau: Plateau | None = None
        if SCHEDULES[schedule.name].drops_on_plateau:
            patience, min_delta = schedule["patience"], schedule["min_delta"]
            self.plateau = Plateau(int(_number(patience)), _number(min_delta))
        self.patience = Plateau(
            int(_number(config.early_stopping["patience"])),
            _number(config.early_stopping["min_delta"]),
        )

    @staticmethod
    def _stream(admission: Admission, purpose: int) -> np.random.SFC64:
        return noise.stream(admission.seed, admission.fold, admission.repeat, purpose)

    @property
    def clamps(self) -> bool:
        """Whether predictions are clamped to the range of the training target."""
        return TARGETS[self.config.target.name].clamps

    @property
    def may_stop_early(self) -> bool:
        """Whether exhausted patience ends the training; not if the schedule must be completed."""
        early_stopping = self.config.early_stopping
        waits = early_stopping["wait_for_schedule"] and SCHEDULES[self.config.schedule.name].spans
        return bool(early_stopping["enabled"] and not waits)

    @property
    def keeps_last(self) -> bool:
        """Whether the weights of the last epoch are kept instead of those of the best epoch."""
        return not self.config.early_stopping["restore_best_weights"]

    def drops(self, valid_loss: float, rate: float) -> bool:
        """Record the epoch's validation loss; return True if a plateau lowers the learning rate.

        Args:
            valid_loss: validation loss of the epoch.
            rate: learning rate of its last step; at `min_lr` it is not lowered any more.
        """
        if self.plateau is None or not self.plateau.update(valid_loss):
            return False
        return bool(self.rates()[0][0] < rate)

    def rates(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the coming epoch's learning rates and momenta, `[steps]` each.

        The momenta are None if the schedule does not move them. With the schedule `performance`, η
        is η₀ · factorⁿ after n plateaus, but at least `min_lr`.
        """
        schedule, config = SCHEDULES[self.config.schedule.name], self.config
        parameters = config.schedule.parameters
        eta = _number(config.optimizer["learning_rate"])
        n = self.clock.steps_per_epoch
        t = np.arange(self.epoch * n, (self.epoch + 1) * n, dtype=np.float64)
        rates = eta * schedule.multiplier(t, self.clock, parameters)
        if self.plateau is not None and self.plateau.count:
            lowered = eta * _number(parameters["factor"]) ** self.plateau.count
            rates[:] = min(eta, max(lowered, _number(parameters["min_lr"])))
        name = OPTIMIZERS[config.optimizer.name].momentum
        if name is None or schedule.momentum_drop is None:
            return rates, None
        highest = _number(config.optimizer[name])
        dip = np.minimum(MOMENTUM_DIP, highest) * schedule.momentum_drop(t, self.clock, parameters)
        return rates, highest - dip

    def decay(self) -> np.ndarray:
        """Return the coming epoch's factors on decoupled weight decay, `[steps]`."""
        annealing = self.config.weight_decay.parameters.get("annealing", "constant")
        n = self.clock.steps_per_epoch
        t = np.arange(self.epoch * n, (self.epoch + 1) * n, dtype=np.float64)
        return ANNEALINGS[str(annealing)].factor(t / max(self.clock.total_steps, 1))

    def drop_factor(self) -> float:
        """Return the factor on the dropout rates in the coming epoch."""
        dropout = self.config.dropout
        share = np.array([self.epoch / self.config.epochs])
        factor = float(ANNEALINGS[dropout["annealing"]].factor(share)[0])
        floor = _number(dropout["floor"])
        return floor + (1 - floor) * factor

    def momentum(self) -> float:
        """Return the optimizer's constant momentum; 0 if it has none."""
        name = OPTIMIZERS[self.config.optimizer.name].momentum
        return 0.0 if name is None else _number(self.config.optimizer[name])


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"value must be a number, got {value!r}")
    return float(value)


def _fresh_statistics(layout: Layout, like: Tensor) -> Tensor:
    """Return initial statistics `[S]`, with the dtype and device of `like`."""
    row = like.new_zeros(layout.n_statistics)
    for (kind, _), (start, rows, columns) in layout.statistics.items():
        if kind in ("variance", "bin_width"):
            row[start : start + rows * columns] = 1.0
    return row
