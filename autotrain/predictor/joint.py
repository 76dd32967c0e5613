"""The members of a bundle as one model: rows in, what they say together out.

Several members (a winner of several folds, an ensemble of several trials) predict together, with
equal weight: their probabilities, or their predictions, are averaged; Monte-Carlo samples are dealt
to them in turn. Each reads what its own preprocessing makes of the rows.
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
from autotrain.predictor.masks import MaskBank
from autotrain.predictor.passes import Ensemble
from autotrain.predictor.probabilities import log_mean_exp
from autotrain.predictor.tables import encoded_parts

SAMPLE_NUMBERS = 1 << 21
"""Numbers of samples, or of members, worked on at a time: 16 MB in float64."""
FIRST_ROUND = LEAST_SAMPLES
"""Samples that each row gets before it may have enough."""

Rows = list[Tensor]
"""The same rows as each member reads them: encoded `[N, D]` float32, one tensor per member."""


class Joint:
    """A bundle's members together.

    What it returns is float64: predictions in the target's units, or log p of each class.

    Args:
        bundle: the model.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.is_classification = bundle.is_classification
        self.members = bundle.members
        self._n_outputs = max(len(bundle.classes), 1)
        self._ensemble = Ensemble(bundle.members)
        # Members of one fold may share their preprocessing: rows are encoded once for all of them.
        shared = {id(member.preprocessor): member.preprocessor for member in bundle.members}
        self.preprocessors: tuple[Preprocessor, ...] = tuple(shared.values())
        self._encoders = [list(shared).index(id(m.preprocessor)) for m in bundle.members]
        scales = [(member.target_mean, member.target_std) for member in bundle.members]
        self._scale = torch.tensor(scales, dtype=torch.float64).T.unsqueeze(2)
        folds = sorted({member.fold for member in bundle.members})
        self._folds = [
            [place for place, member in enumerate(bundle.members) if member.fold == fold]
            for fold in folds
        ]

    def encoded(self, X: Any, notices: list[str] | None) -> Iterator[Rows]:
        """Yield the encoded rows of the table, a part of it at a time."""
        for encoded in encoded_parts(X, self.preprocessors, notices):
            yield [encoded[place] for place in self._encoders]

    def blocks(self, xs: Rows, n_samples: int) -> Iterator[Rows]:
        """Yield rows so few at a time that so many samples of each stay bounded."""
        rows = max(SAMPLE_NUMBERS // (n_samples * self._n_outputs), 1)
        for parts in zip(*(x.split(rows) for x in xs), strict=True):
            yield list(parts)

    # ---- dropout off -------------------------------------------------------------------------

    def point(self, xs: Rows) -> Tensor:
        """Return the joint prediction, `[N]`, or log p `[N, C]`."""
        blocks = self.blocks(xs, len(xs))
        return torch.cat([self._average(self._outputs(rows)) for rows in blocks])

    def point_and_folds(self, xs: Rows) -> tuple[Tensor, Tensor]:
        """Return `point`, and that of each fold's members alone, `[G, N]` or `[G, N, C]`."""
        points, of_folds = [], []
        for rows in self.blocks(xs, len(xs)):
            outputs = self._outputs(rows)
            points.append(self._average(outputs))
            of_folds.append(torch.stack([self._average(outputs[own]) for own in self._folds]))
        return torch.cat(points), torch.cat(of_folds, dim=1)

    def spread_of_folds(self, drawn: Tensor) -> Tensor:
        """Return the standard deviation `[G, N]` of each fold's samples, of samples `[S, N]`.

        Sample s is of member s mod K. A fold with fewer than two samples has that of all samples.
        """
        numbers = torch.arange(len(drawn)) % len(self.members)
        spreads = []
        for own in self._folds:
            of_fold = drawn[torch.isin(numbers, torch.tensor(own))]
            spreads.append(mixture.deviation(of_fold if len(of_fold) > 1 else drawn))
        return torch.stack(spreads)

    def _outputs(self, xs: Rows) -> Tensor:
        """Return what each member says, `[K, N]` or `[K, N, C]`."""
        return self._in_units(self._ensemble.outputs(xs), slice(None))

    def _average(self, values: Tensor) -> Tensor:
        return log_mean_exp(values) if self.is_classification else values.mean(0)

    def _in_units(self, outputs: Tensor, members: slice) -> Tensor:
        """Turn outputs `[K, N, C]` into log p, or `[K, N]` in the target's units.

        Args:
            members: whose they are; one, or one per output.
        Raises: DataError when numbers within the network became too large for float32.
        """
        if self.is_classification:
            values = torch.log_softmax(outputs.double(), dim=-1)
        else:
            mean, std = (column[members] for column in self._scale)
            values = outputs[..., 0].double() * std + mean
        if not values.isfinite().all():
            raise DataError(
                "expected rows like those of training, however: the prediction of some is not a "
                "finite number. Look for values that are far too large."
            )
        return values

    # ---- Monte-Carlo dropout -------------------------------------------------------------------

    def banks(self, n_samples: int, seed: int, start: int = 0) -> list[MaskBank]:
        """Return the masks of samples `start` to `n_samples`, those of each member."""
        n_members = len(self.members)
        return [
            MaskBank(
                member.config,
                member.n_inputs,
                range(start + (place - start) % n_members, n_samples, n_members),
                seed,
            )
            for place, member in enumerate(self.members)
        ]

    def samples(self, xs: Rows, banks: Sequence[MaskBank]) -> Tensor:
        """Return all samples of the banks: predictions `[S, N]`, or log p `[S, N, C]`."""
        numbers = [np.asarray(bank.numbers, dtype=np.int64) for bank in banks]
        n_samples, first = sum(map(len, numbers)), min(own[0] for own in numbers if len(own))
        drawn: Tensor | None = None
        for place, (passes, x, bank) in enumerate(
            zip(self._ensemble.passes, xs, banks, strict=True)
        ):
            if not len(bank):
                continue
            own = self._in_units(passes.samples(x, bank), slice(place, place + 1))
            if drawn is None:
                drawn = own.new_empty(n_samples, *own.shape[1:])
            drawn[numbers[place] - first] = own
        assert drawn is not None
        return drawn

    def settled(
        self, xs: Rows, n_samples: int, seed: int, tolerance: float
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (places of rows, their samples) as `mc_error` of these rows falls to `tolerance`.

        Samples are drawn in rounds that double their number, the last rows get all. Without rows
        there is one yield of none, with one sample.
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
