"""The members of a bundle as one model.

A winner of several folds and an ensemble of several trials have several members, which predict with
equal weight: their probabilities or predictions are averaged, and Monte-Carlo samples are drawn
from them in turn. Each member has its own preprocessing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autotrain.bundle import Bundle
from autotrain.data.preprocessing import Preprocessor
from autotrain.errors import DataError
from autotrain.predictor import mixture
from autotrain.predictor.arguments import LEAST_SAMPLES
from autotrain.predictor.block_sizes import BLOCK_SIZES, BlockSizes
from autotrain.predictor.masks import MaskBank
from autotrain.predictor.passes import Ensemble
from autotrain.predictor.probabilities import log_mean_exp
from autotrain.predictor.tables import encoded_parts

FIRST_ROUND = LEAST_SAMPLES
"""Number of samples that each row gets before `tolerance` may stop it."""

MemberRows = list[Tensor]
"""The same rows encoded for each member: one tensor `[N, D]` float32 per member."""


class Joint:
    """The members of a bundle together.

    Results are float64: predictions in the target's units, or log p of each class.

    Args:
        bundle: the model.
        sizes: how much is computed at a time.
    """

    def __init__(self, bundle: Bundle, sizes: BlockSizes = BLOCK_SIZES) -> None:
        self.sizes = sizes
        self.is_classification = bundle.is_classification
        self.members = bundle.members
        self._n_outputs = bundle.members[0].n_outputs
        self._ensemble = Ensemble(bundle.members, sizes)
        self.passes = self._ensemble.passes
        # Members of one fold may share a preprocessor: rows are encoded once for all of them.
        shared = {id(member.preprocessor): member.preprocessor for member in bundle.members}
        self.preprocessors: tuple[Preprocessor, ...] = tuple(shared.values())
        self._encoders = [list(shared).index(id(m.preprocessor)) for m in bundle.members]
        scales = [(member.target_mean, member.target_std) for member in bundle.members]
        self._scale = torch.tensor(scales, dtype=torch.float64).T.unsqueeze(2)
        folds = sorted({member.fold for member in bundle.members})
        self._folds = [
            [k for k, member in enumerate(bundle.members) if member.fold == fold] for fold in folds
        ]

    def encoded(self, X: Any, notices: list[str] | None) -> Iterator[MemberRows]:
        """Yield the encoded rows of a table, one part of bounded size after the other."""
        for encoded in encoded_parts(X, self.preprocessors, notices, self.sizes.encoded):
            yield [encoded[index] for index in self._encoders]

    def rows_of(self, X: Any) -> MemberRows:
        """Return all rows of a table as the members read them.

        Raises:
            DataError: when columns are missing or cells cannot be read.
        """
        return [torch.cat(parts) for parts in zip(*self.encoded(X, []), strict=True)]

    def blocks(self, xs: MemberRows, n_samples: int) -> Iterator[MemberRows]:
        """Yield blocks of rows of which `n_samples` samples each fit `BlockSizes.samples`."""
        rows = max(self.sizes.samples // (n_samples * self._n_outputs), 1)
        for parts in zip(*(x.split(rows) for x in xs), strict=True):
            yield list(parts)

    # ---- dropout off -------------------------------------------------------------------------

    def point(self, xs: MemberRows) -> Tensor:
        """Return the average prediction `[N]`, or log p `[N, C]`."""
        blocks = self.blocks(xs, len(xs))
        return torch.cat([self._average(self._outputs(rows)) for rows in blocks])

    def point_and_folds(self, xs: MemberRows) -> tuple[Tensor, Tensor]:
        """Return `point`, and the same for the members of each fold, `[G, N]` or `[G, N, C]`."""
        points, of_folds = [], []
        for rows in self.blocks(xs, len(xs)):
            outputs = self._outputs(rows)
            points.append(self._average(outputs))
            of_folds.append(torch.stack([self._average(outputs[fold]) for fold in self._folds]))
        return torch.cat(points), torch.cat(of_folds, dim=1)

    def spread_of_folds(self, drawn: Tensor) -> Tensor:
        """Return the standard deviation of each fold's samples.

        Args:
            drawn: `[S, N]`; sample s belongs to member s mod K.
        Returns: `[G, N]`. A fold with fewer than two samples gets the deviation of all samples.
        """
        numbers = torch.arange(len(drawn)) % len(self.members)
        spreads = []
        for fold in self._folds:
            of_fold = drawn[torch.isin(numbers, torch.tensor(fold))]
            spreads.append(mixture.deviation(of_fold if len(of_fold) > 1 else drawn))
        return torch.stack(spreads)

    def averaged(self, outputs: Tensor) -> Tensor:
        """Return the average of the members' outputs `[K, …, C]`: predictions `[…]`, or log p."""
        flat = outputs.flatten(1, -2)
        average = self._average(self._in_units(flat, slice(None)))
        return average.unflatten(0, outputs.shape[1:-1])

    def _outputs(self, xs: MemberRows) -> Tensor:
        """Return the prediction of each member, `[K, N]`, or log p `[K, N, C]`."""
        return self._in_units(self._ensemble.outputs(xs), slice(None))

    def _average(self, values: Tensor) -> Tensor:
        return log_mean_exp(values) if self.is_classification else values.mean(0)

    def _in_units(self, outputs: Tensor, members: slice) -> Tensor:
        """Convert outputs `[K, N, C]` to log p, or to numbers `[K, N]` in the target's units.

        Args:
            members: the member of the outputs; one for all, or one per output.
        Raises: DataError when values within the network exceeded float32.
        """
        if self.is_classification:
            values = torch.log_softmax(outputs.double(), dim=-1)
        else:
            mean, std = (column[members] for column in self._scale)
            values = outputs[..., 0].double() * std + mean
        if not values.isfinite().all():
            raise DataError(
                "rows must be like those of training, got some whose prediction is not a finite "
                "number. Look for values that are far too large."
            )
        return values

    # ---- Monte-Carlo dropout -------------------------------------------------------------------

    def banks(self, n_samples: int, seed: int, start: int = 0) -> list[MaskBank]:
        """Return the masks of samples `start` to `n_samples`, one bank per member."""
        n_members = len(self.members)
        return [
            MaskBank(
                member.config,
                member.n_inputs,
                range(start + (k - start) % n_members, n_samples, n_members),
                seed,
            )
            for k, member in enumerate(self.members)
        ]

    def samples(self, xs: MemberRows, banks: Sequence[MaskBank]) -> Tensor:
        """Return all samples of the banks: predictions `[S, N]`, or log p `[S, N, C]`."""
        numbers = [np.asarray(bank.numbers, dtype=np.int64) for bank in banks]
        n_samples, first = sum(map(len, numbers)), min(each[0] for each in numbers if len(each))
        drawn: Tensor | None = None
        for k, (passes, x, bank) in enumerate(zip(self.passes, xs, banks, strict=True)):
            if not len(bank):
                continue
            of_member = self._in_units(passes.samples(x, bank), slice(k, k + 1))
            if drawn is None:
                drawn = of_member.new_empty(n_samples, *of_member.shape[1:])
            drawn[numbers[k] - first] = of_member
        assert drawn is not None
        return drawn

    def settled(
        self, xs: MemberRows, n_samples: int, seed: int, tolerance: float
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield rows and their samples as soon as their `mc_error` is at most `tolerance`.

        Each round doubles the number of samples of the remaining rows, up to `n_samples`. Without
        rows there is one yield with no rows and one sample.

        Yields: indices of rows `[n]`, and their samples `[S, n]` or `[S, n, C]`.
        """
        active, start = torch.arange(len(xs[0])), 0
        if not len(active):
            yield active, self.samples(xs, self.banks(1, seed))
        before: Tensor | None = None
        while len(active):
            stop = min(max(2 * start, FIRST_ROUND, len(xs)), n_samples)
            new = self.samples([x[active] for x in xs], self.banks(stop, seed, start))
            drawn = new if before is None else torch.cat([before, new])
            values = drawn.exp() if self.is_classification else drawn
            error = mixture.deviation(values) / math.sqrt(stop)
            error = error.amax(-1) if self.is_classification else error
            ends = (error <= tolerance) | torch.tensor(stop == n_samples)
            if ends.any():
                yield active[ends], drawn[:, ends]
            active, before, start = active[~ends], drawn[:, ~ends], stop

    # ---- for calibration and export ----------------------------------------------------------

    def draw(
        self, xs: MemberRows, n_samples: int, seed: int, *, averaged: bool = False
    ) -> np.ndarray:
        """Return Monte-Carlo samples: predictions `[S, N]`, or log p `[S, N, C]`.

        Args:
            xs: the rows.
            n_samples: S; 0: one sample with dropout off.
            seed: seed of the masks.
            averaged: classification: return only log of the mean probabilities, `[1, N, C]`.
                Samples of many rows and classes are large.
        """
        if n_samples == 0:
            return self.point(xs).unsqueeze(0).numpy()
        banks = self.banks(n_samples, seed)
        blocks = []
        for block in self.blocks(xs, n_samples):
            drawn = self.samples(block, banks)
            blocks.append(log_mean_exp(drawn).unsqueeze(0) if averaged else drawn)
        return torch.cat(blocks, dim=1).numpy()

    def by_fold(self, xs: MemberRows, n_samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the predictions of each fold's networks, as conformal intervals use them.

        Args:
            xs: the rows.
            n_samples: S of all members together; 0: dropout off, standard deviations of 0.
            seed: seed of the masks.
        Returns: the prediction with dropout off and the standard deviation of the samples,
            `[G, N]` each for G folds.
        """
        _, center = self.point_and_folds(xs)
        if n_samples == 0:
            return center.numpy(), np.zeros(center.shape)
        banks = self.banks(n_samples, seed)
        spreads = [
            self.spread_of_folds(self.samples(block, banks)) for block in self.blocks(xs, n_samples)
        ]
        return center.numpy(), torch.cat(spreads, dim=1).numpy()
