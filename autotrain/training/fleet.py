"""A fleet: slots that are stacked into common tensors and trained epoch by epoch.

`trainer.py` builds a `Fleet` from slots and releases it when a slot joins or leaves. `step.py`
computes the steps of an epoch, this module gathers the batches and evaluates the epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from autotrain.data.batches import effective_batch_size, epoch_order, steps_per_epoch
from autotrain.network import metric_formulas
from autotrain.network.flags import Diagnosis
from autotrain.network.grouping import Backend, order_key
from autotrain.network.layout import pack, unpack
from autotrain.network.network import FusedNetwork
from autotrain.network.noise import DropoutBits
from autotrain.training.diagnostics import unit_shares
from autotrain.training.rows import Rows
from autotrain.training.slot import EpochReport, Outcome, Slot
from autotrain.training.step import Rates, Stepper, Weights

# Memory, in bytes, of batches and dropout bits that are gathered ahead: enough to spread the cost
# of a call over several steps, but not more than fits a second-level cache.
AHEAD_BYTES = 1 << 20
# Number of values of one layer computed at a time on validation rows; also limited by the cache.
EVALUATION_NUMBERS = 1 << 18
_FLAT = ("parameters", "m", "v", "best_parameters")
_STATISTICS = ("statistics", "best_statistics")


class Fleet:
    """K slots with equal `trainer.fleet_key`, trained in lockstep.

    A new fleet is built whenever a slot joins or leaves; `release` returns the state to the slots.

    Args:
        slots: the slots, in any order.
        rows: the rows of all folds.
        backend: device, dtype and compiled kernels.
        ahead_bytes: size of the batches that are gathered at a time.
        evaluation_numbers: largest number of values of one layer in the pass over validation rows.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        rows: Rows,
        backend: Backend,
        *,
        ahead_bytes: int = AHEAD_BYTES,
        evaluation_numbers: int = EVALUATION_NUMBERS,
    ) -> None:
        self.ahead_bytes, self.evaluation_numbers = ahead_bytes, evaluation_numbers
        self.slots = sorted(slots, key=lambda slot: (order_key(slot.config), slot.id))
        self.rows = rows
        self.backend = backend
        configs = [slot.config for slot in self.slots]
        self.batch_size = effective_batch_size(rows.n_train, configs[0].batch_size)
        self.n_steps = steps_per_epoch(rows.n_train, self.batch_size)
        problem = rows.problem
        columns = [slot.columns for slot in self.slots]
        self.network = FusedNetwork(configs, columns, problem.n_outputs, backend)
        # Numbers of the slots by the view of the rows that they read.
        self.views = {
            view: [k for k, slot in enumerate(self.slots) if slot.view == view]
            for view in dict.fromkeys(slot.view for slot in self.slots)
        }
        # The outputs of classification are logits, not values of the target.
        may_clamp = not problem.is_classification
        self.clamped = [k for k, slot in enumerate(self.slots) if may_clamp and slot.clamps]
        folds = {slot.fold for slot in self.slots}
        # Fold of each slot, `[K]`; None if all slots read the same validation rows.
        self.fold_of = None
        if len(folds) > 1:
            self.fold_of = torch.tensor([slot.fold for slot in self.slots], device=backend.device)
        layouts = [slot.layout for slot in self.slots]

        def stack(name: str) -> Tensor:
            flat = [getattr(slot, name) for slot in self.slots]
            return pack(flat, layouts, self.network.layout, statistics=name in _STATISTICS)

        self.weights = Weights(
            parameters=stack("parameters"),
            statistics=stack("statistics"),
            m=stack("m"),
            v=stack("v"),
            t=torch.stack([slot.t for slot in self.slots]),
            product=torch.stack([slot.product for slot in self.slots]),
        )
        self.best_parameters = stack("best_parameters")
        self.best_statistics = stack("best_statistics")
        self.stepper = Stepper(
            self.network,
            configs,
            self.weights,
            classification=problem.is_classification,
            quantile=problem.metric.quantile,
        )
        self.drop_factors: list[float] | None = None
        self.bits = DropoutBits(
            configs,
            self.network.shapes,
            self.network.layout,
            self.network.reach,
            [slot.dropout_bits for slot in self.slots],
            self.batch_size,
            backend,
        )

    def release(self) -> list[Slot]:
        """Copy the state of the fleet to its slots, and return them."""
        layout = self.network.layout
        stacked = {
            "parameters": self.weights.parameters,
            "m": self.weights.m,
            "v": self.weights.v,
            "best_parameters": self.best_parameters,
            "statistics": self.weights.statistics,
            "best_statistics": self.best_statistics,
        }
        for k, slot in enumerate(self.slots):
            for name in (*_FLAT, *_STATISTICS):
                row = unpack(stacked[name][k], slot.layout, layout, statistics=name in _STATISTICS)
                setattr(slot, name, row)
            slot.t = self.weights.t[k].clone()
            slot.product = self.weights.product[k].clone()
        return self.slots

    def run_epoch(self, check: Callable[[], None] = lambda: None) -> list[EpochReport]:
        """Train every slot for one epoch, evaluate it, and return one report per slot.

        Args:
            check: called every few steps. If it raises an error, the epoch is abandoned: its steps
                have changed the weights, but not the best weights.
        """
        self._set_dropout()
        rates, momentum = self._rates()
        losses, norms = self._train(rates, momentum, check)
        valid_losses, values = self.evaluate()
        return self._account(losses, norms, rates, valid_losses, values)

    def _rates(self) -> tuple[np.ndarray, Tensor | None]:
        """Return the epoch's learning rates and momenta, `[K, steps]`; None for fixed momenta."""
        both = [slot.rates() for slot in self.slots]
        rates = np.stack([rate for rate, _ in both])
        if all(momentum is None for _, momentum in both):
            return rates, None
        momenta = [
            np.full(self.n_steps, slot.momentum()) if momentum is None else momentum
            for slot, (_, momentum) in zip(self.slots, both, strict=True)
        ]
        return rates, self._tensor(np.stack(momenta))

    def _set_dropout(self) -> None:
        """Set the dropout rates of the coming epoch, see `annealing.py`."""
        factors = [slot.drop_factor() for slot in self.slots]
        if factors == self.drop_factors or (self.drop_factors is None and set(factors) == {1.0}):
            return
        self.drop_factors = factors
        self.network.drop_by(self.backend.column(factors, 3))
        self.bits.drop_by(factors)

    def _decay(self) -> Tensor | None:
        """Return the epoch's factors on weight decay, `[K, steps]`; None if no slot has any."""
        if self.stepper.groups.weight_decay is None:
            return None
        return self._tensor(np.stack([slot.decay() for slot in self.slots]))

    def _gather(self, indices: Tensor) -> Tensor:
        """Return the encoded training rows `[S, K, B, W]` with indices `[S, K, B]`."""
        s, k, b = indices.shape
        width = self.network.width
        if len(self.views) == 1:
            (view,) = self.views
            # Columns beyond the width belong to folds that have no slot in this fleet.
            x = self.rows.view(view).x_train[:, :width]
            return x.index_select(0, indices.reshape(-1)).view(s, k, b, -1)
        gathered = torch.zeros(s, k, b, width, dtype=self.backend.dtype, device=self.backend.device)
        for view, members in self.views.items():
            x = self.rows.view(view).x_train[:, :width]
            part = x.index_select(0, indices[:, members].reshape(-1))
            gathered[:, members, :, : x.shape[1]] = part.view(s, len(members), b, -1)
        return gathered

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.backend.device, self.backend.dtype)

    def _train(
        self, rates: np.ndarray, momentum: Tensor | None, check: Callable[[], None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Train for the steps of one epoch.

        Args:
            rates: learning rates, `[K, steps]`.
            momentum: `[K, steps]`; None if no momentum moves.
            check: see `run_epoch`.
        Returns: losses `[K, steps]` and gradient norms by layer `[K, steps, L + 1]`.
        """
        k, b, n = len(self.slots), self.batch_size, self.n_steps
        order = np.stack([self._order(slot) for slot in self.slots])
        indices = torch.from_numpy(order).to(self.backend.device)
        learning_rates = self._tensor(rates)
        item = torch.empty((), dtype=self.backend.dtype).element_size()
        per_step = k * b * self.network.width * item + self.bits.bytes_per_step
        ahead = int(np.clip(self.ahead_bytes // per_step, 1, n))
        decay = self._decay()
        losses, norms = [], []
        for start in range(0, n, ahead):
            check()
            stop = min(start + ahead, n)
            # The step is the first axis, so that the rows of a step are one contiguous block.
            rows = indices[:, start * b : stop * b].reshape(k, stop - start, b).transpose(0, 1)
            x = self._gather(rows)
            y = self.rows.y_train.index_select(0, rows.reshape(-1)).view(stop - start, k, b)
            w = None
            if self.rows.w_train is not None:
                w = self.rows.w_train.index_select(0, rows.reshape(-1)).view(stop - start, k, b)
            drawn = self.bits.draw(stop - start)
            for offset, step in enumerate(range(start, stop)):
                now = Rates(
                    learning_rates[:, step : step + 1],
                    None if momentum is None else momentum[:, step : step + 1],
                    None if decay is None else decay[:, step : step + 1],
                )
                keep = self.bits.masks(drawn, offset)
                weights = None if w is None else w[offset]
                loss, norm = self.stepper.step(x[offset], y[offset], keep, now, weights=weights)
                losses.append(loss)
                norms.append(norm)
        return torch.stack(losses, 1).cpu().numpy(), torch.stack(norms, 1).cpu().numpy()

    def _order(self, slot: Slot) -> np.ndarray:
        """Return the indices of the epoch's training rows of one slot, `[steps · B]`."""
        fold = self.rows.folds[slot.fold]
        used = self.n_steps * self.batch_size
        return epoch_order(slot.row_order, fold.n_train, used) + fold.train_start

    # ---- evaluation ------------------------------------------------------------------------

    def evaluate(self) -> tuple[np.ndarray, np.ndarray]:
        """Return validation loss and metric of every slot, `[K]` each, without dropout."""
        valid_losses = np.empty(len(self.slots))
        values = np.empty(len(self.slots))
        outputs = self._predict()
        for k in self.clamped:
            fold_rows = self.rows.folds[self.slots[k].fold]
            outputs[k].clamp_(fold_rows.target_low, fold_rows.target_high)
        for fold in sorted({slot.fold for slot in self.slots}):
            members = [k for k, slot in enumerate(self.slots) if slot.fold == fold]
            on_fold = outputs[members, : self.rows.folds[fold].n_valid]
            valid_losses[members], values[members] = validation_scores(self.rows, fold, on_fold)
        return valid_losses, values

    def _predict(self) -> Tensor:
        """Return the outputs `[K, N, C]` of all slots on the validation rows of their folds."""
        k, n_rows = len(self.slots), max(fold.n_valid for fold in self.rows.folds)
        chunk = max(self.evaluation_numbers // (k * self.network.widest), 64)
        outputs = [
            self.network.predict(self.stepper.bound, self._validation(start, start + chunk))
            for start in range(0, n_rows, chunk)
        ]
        return torch.cat(outputs, dim=1)

    def _validation(self, start: int, stop: int) -> Tensor:
        """Return the encoded validation rows `[K, n, W]` of each slot, from start to stop."""
        width, k = self.network.width, len(self.slots)
        if len(self.views) == 1:
            (view,) = self.views
            # Columns beyond the width belong to folds that have no slot in this fleet.
            part = self.rows.view(view).x_valid[:, start:stop, :width]
            if self.fold_of is None:
                return part[self.slots[0].fold].expand(k, -1, -1)
            return part.index_select(0, self.fold_of)
        joined: Tensor | None = None
        for view, members in self.views.items():
            part = self.rows.view(view).x_valid[:, start:stop, :width]
            if joined is None:
                joined = part.new_zeros(k, part.shape[1], width)
            folds = [self.slots[k].fold for k in members]
            joined[members, :, : part.shape[2]] = part[folds]
        assert joined is not None
        return joined

    # ---- accounting ------------------------------------------------------------------------

    def _account(
        self,
        losses: np.ndarray,
        norms: np.ndarray,
        rates: np.ndarray,
        valid_losses: np.ndarray,
        values: np.ndarray,
    ) -> list[EpochReport]:
        """Update the slots after an epoch, keep new best weights, and return the reports.

        Args:
            losses: training losses, `[K, steps]`.
            norms: gradient norms, `[K, steps, L + 1]`.
            rates: learning rates, `[K, steps]`.
            valid_losses, values: validation losses and metrics, `[K]` each.
        """
        sign = self.rows.problem.metric.sign
        reports, improved = [], []
        now_s = time.monotonic()
        for k, slot in enumerate(self.slots):
            slot.epoch += 1
            slot.gradients.update(norms[k], losses[k], float(valid_losses[k]))
            # The metric of a model with non-finite weights can look fine (it predicts one class).
            healthy = math.isfinite(valid_losses[k]) and math.isfinite(values[k])
            score = sign * float(values[k]) if healthy else math.inf
            if score < slot.best_score or (healthy and slot.keeps_last):
                slot.best_score, slot.best_epoch = score, slot.epoch
                improved.append(k)
            dropped = slot.drops(float(valid_losses[k]), float(rates[k, -1]))
            slot.stops_early = slot.patience.update(score) and slot.may_stop_early
            slot.diverged = not (healthy and np.isfinite(losses[k]).all())
            reports.append(
                EpochReport(
                    slot=slot.id,
                    epoch=slot.epoch,
                    samples_seen=slot.epoch * self.n_steps * self.batch_size,
                    train_loss=float(losses[k].mean(dtype=np.float64)),
                    valid_loss=float(valid_losses[k]),
                    value=float(values[k]),
                    dropped=dropped,
                    learning_rate=float(rates[k, -1]),
                    at_s=now_s,
                )
            )
        if improved:
            self.best_parameters[improved] = self.weights.parameters[improved]
            self.best_statistics[improved] = self.weights.statistics[improved]
        return reports


def validation_scores(rows: Rows, fold: int, outputs: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return validation loss and metric, `[K]` each, float64.

    Args:
        rows: the rows of all folds.
        fold: number of the fold.
        outputs: outputs of K models on the fold's validation rows, `[K, N, C]`.
    """
    problem, k = rows.problem, outputs.shape[0]
    targets = rows.y_valid[fold].expand(k, -1)
    of_loss, of_metric = rows.valid_weights(fold, k)
    function = metric_formulas.metric_function(problem.metric, rows.class_weights)
    if problem.is_classification:
        loss = metric_formulas.log_loss(outputs, targets, of_loss)
        is_known = problem.metric.row == "log_loss" and of_loss is None
        value = loss if is_known else function(outputs, targets, of_metric)
    else:
        predictions = outputs[..., 0]
        if problem.metric.quantile is None:
            loss = metric_formulas.mean_squared(predictions, targets, of_loss)
        else:
            loss = function(predictions, targets, of_loss)
        # The metric is scaled here because the targets in their own units would lose digits in
        # single precision if their mean is large.
        value = function(predictions, targets, of_metric)
        if problem.metric.in_target_units:
            value = value.double() * rows.folds[fold].target_std
    return loss.double().cpu().numpy(), value.double().cpu().numpy()


def diagnose(slot: Slot, rows: Rows, backend: Backend) -> Diagnosis:
    """Return the diagnosis of a released slot; its units are those of the last epoch."""
    columns, n_valid = slot.columns, rows.folds[slot.fold].n_valid
    # Units cannot be examined if a weight is not finite.
    state = (slot.parameters, slot.statistics)
    if not (slot.epoch and all(torch.isfinite(row).all() for row in state)):
        return slot.gradients.diagnosis()
    network = FusedNetwork([slot.config], columns, rows.problem.n_outputs, backend)
    bound = network.bind(slot.parameters.unsqueeze(0), slot.statistics.unsqueeze(0))
    x = rows.view(slot.view).x_valid[slot.fold, :n_valid, : columns.width].unsqueeze(0)
    outputs = network.hidden_outputs(bound, x)
    shares = unit_shares(slot.config, outputs, lambda: network.hidden_slopes(bound, x))
    return slot.gradients.diagnosis(**shares)


def outcome(slot: Slot, cause: str, rows: Rows, backend: Backend) -> Outcome:
    """Return the outcome of a released slot: weights of its best epoch and its diagnosis."""
    has_best = slot.best_epoch > 0
    return Outcome(
        slot=slot.id,
        cause=cause,
        epochs=slot.epoch,
        best_epoch=slot.best_epoch,
        best_value=rows.problem.metric.sign * slot.best_score if has_best else math.nan,
        parameters=slot.best_parameters.cpu().numpy() if has_best else None,
        statistics=slot.best_statistics.cpu().numpy() if has_best else None,
        diagnosis=diagnose(slot, rows, backend),
    )
