"""One model of a fleet: its state between epochs, and what happened to it.

A slot owns all that makes its training its own: weights, moments, random streams, schedule,
plateau and patience counters, best epoch. A refilled place in the fleet gets a new `Slot`, so
nothing can be left over from the one before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from autotrain.network import noise
from autotrain.network.config import shape_of, view_of
from autotrain.network.flags import Diagnosis
from autotrain.network.grouping import Backend
from autotrain.network.layout import Columns, Layout
from autotrain.space.config import TrialConfig
from autotrain.techniques.annealing import ANNEALINGS
from autotrain.techniques.optimizers import OPTIMIZERS
from autotrain.techniques.schedules import MOMENTUM_DIP, SCHEDULES, Clock, Plateau
from autotrain.techniques.targets import TARGETS
from autotrain.training.diagnostics import GradientRecord


@dataclass(frozen=True)
class Admission:
    """A model to train.

    Args:
        slot: a number of the coordinator's choosing, unique in a study.
        config: what to train.
        seed: the trial's own seed; fold and repeat are mixed in.
    """

    slot: int
    config: TrialConfig
    seed: int
    fold: int = 0
    repeat: int = 0


@dataclass(frozen=True)
class EpochReport:
    """One epoch of one slot.

    Args:
        epoch: epochs done, from 1.
        samples_seen: rows trained on so far.
        train_loss: mean over the epoch's batches, dropout on, without penalties.
        valid_loss: cross-entropy or squared error (standardized target) on the validation rows.
        value: the metric on the validation rows.
        dropped: whether the learning rate was lowered by a plateau at the end of this epoch.
        learning_rate: η of the epoch's last step.
        at_s: when it ended, by a clock of the process that trains.
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
        """Whether loss and metric are numbers; the metric of lost weights alone can look fine."""
        return math.isfinite(self.valid_loss) and math.isfinite(self.value)


@dataclass(frozen=True)
class Outcome:
    """The end of one slot.

    Args:
        cause: "epochs" (its limit), "early_stopping", "diverged" or "stopped" (by the coordinator).
        best_epoch: the epoch of the best value, from 1; 0 when no epoch gave one.
        parameters, statistics: flat rows (see `Layout`) of the best epoch; None when there is none.
        diagnosis: of its gradients and units, see flags.py.
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
    """State of one model; see the module's first paragraph."""

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
        # Own flat rows; a fleet holds the live ones while the slot is in it.
        self.parameters = torch.from_numpy(drawn).to(backend.device, backend.dtype)
        self.statistics = _fresh_statistics(self.layout, self.parameters)
        self.m = torch.zeros_like(self.parameters)
        self.v = torch.zeros_like(self.parameters)
        self.t = self.parameters.new_zeros(1)
        self.product = self.parameters.new_ones(1)
        self.best_parameters = self.parameters
        self.best_statistics = self.statistics
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
        """Whether its predictions stay within the training target's range."""
        return TARGETS[self.config.target.name].clamps

    @property
    def may_stop_early(self) -> bool:
        """Whether its patience ends it: not where its schedule is to run to its end."""
        early_stopping = self.config.early_stopping
        waits = early_stopping["wait_for_schedule"] and SCHEDULES[self.config.schedule.name].spans
        return bool(early_stopping["enabled"] and not waits)

    @property
    def keeps_last(self) -> bool:
        """Whether the weights of its last epoch are kept, not those of its best one."""
        return not self.config.early_stopping["restore_best_weights"]

    def drops(self, valid_loss: float, rate: float) -> bool:
        """Take an epoch's loss and rate, and tell whether a plateau lowers the rate now.

        At `min_lr` a plateau lowers nothing any more.
        """
        if self.plateau is None or not self.plateau.update(valid_loss):
            return False
        return bool(self.rates()[0][0] < rate)

    def rates(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the coming epoch's learning rates and, where it moves, momentum: `[steps]` each.

        `performance`: η₀ · factorⁿ after n plateaus, never below `min_lr`.
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
        """Return the coming epoch's factor on the dropout rates."""
        dropout = self.config.dropout
        share = np.array([self.epoch / self.config.epochs])
        factor = float(ANNEALINGS[dropout["annealing"]].factor(share)[0])
        floor = _number(dropout["floor"])
        return floor + (1 - floor) * factor

    def momentum(self) -> float:
        """Return the optimizer's momentum where no schedule moves it; 0 when it has none."""
        name = OPTIMIZERS[self.config.optimizer.name].momentum
        return 0.0 if name is None else _number(self.config.optimizer[name])


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"must be a number, however: {value!r}")
    return float(value)


def _fresh_statistics(layout: Layout, like: Tensor) -> Tensor:
    row = like.new_zeros(layout.n_statistics)
    for (kind, _), (start, rows, columns) in layout.statistics.items():
        if kind in ("variance", "bin_width"):
            row[start : start + rows * columns] = 1.0
    return row
