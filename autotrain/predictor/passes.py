"""Passes of trained networks over encoded rows: once without dropout, or once per mask.

The members of a bundle are slots of one fused network, so that a few rows need one pass, not one
per member. Many rows pass through one member after the other, whose weights and rows then stay in
the cache.

The S samples of a Monte-Carlo pass are S slots of the fused network. They share one set of weights
(expanded, not copied) and differ in their masks. The layers before the first dropout are computed
once for all of them. Batch norm uses its moving statistics. Rows and samples are processed in
blocks, so that memory is bounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from autotrain.bundle import Member
from autotrain.network.binding import Bound
from autotrain.network.config import network_key
from autotrain.network.grouping import Backend, order_key
from autotrain.network.layout import pack
from autotrain.network.network import FusedNetwork
from autotrain.predictor.block_sizes import BLOCK_SIZES, BlockSizes
from autotrain.predictor.masks import MaskBank

ROW_MULTIPLE = 64
"""Numbers of rows are padded to a multiple of this. Products of one to three rows and the rest
beyond whole vectors are rounded differently, so that without padding the result of a row would
depend on the rows that are predicted with it."""
FUSED_PARAMETERS = 1 << 24
"""Members with more parameters together are not fused, because reading them takes the time."""


class Ensemble:
    """Runs all members of a bundle, dropout off."""

    def __init__(self, members: Sequence[Member], sizes: BlockSizes = BLOCK_SIZES) -> None:
        self.passes = [Passes(member, sizes) for member in members]
        by_key: dict[object, list[int]] = {}
        for index, member in enumerate(members):
            key = network_key(member.config, member.layout.shape)
            by_key.setdefault(key, []).append(index)
        self._groups = [
            Group([self.passes[k] for k in indices], indices) for indices in by_key.values()
        ]

    def outputs(self, xs: Sequence[Tensor]) -> Tensor:
        """Return outputs `[K, N, C]` in the order of the members.

        Args:
            xs: encoded rows `[N, D]`, one tensor per member.
        """
        found: dict[int, Tensor] = {}
        for group in self._groups:
            if group.fuses(len(xs[0])):
                found |= group.outputs(xs)
        return torch.stack(
            [
                found[index] if index in found else passes.outputs(x)
                for index, (passes, x) in enumerate(zip(self.passes, xs, strict=True))
            ]
        )


class Group:
    """Members that are computed together: slots of one fused network.

    Args:
        passes: those of the members, which all have the same `network_key`.
        indices: the members' indices in the bundle.
    """

    def __init__(self, passes: Sequence[Passes], indices: Sequence[int]) -> None:
        order = sorted(range(len(passes)), key=lambda k: order_key(passes[k].member.config))
        self.indices = [indices[k] for k in order]
        self._passes = [passes[k] for k in order]
        self._numbers_a_row = len(passes) * max(each.widest for each in passes)
        n_parameters = len(passes) * max(len(each.member.parameters) for each in passes)
        self._pays = len(passes) > 1 and n_parameters <= FUSED_PARAMETERS
        self._sizes = passes[0].sizes
        self._fused: tuple[FusedNetwork, Bound, Tensor, Tensor] | None = None

    def fuses(self, n_rows: int) -> bool:
        """Whether one pass for all is faster: as long as its values fit the cache."""
        return self._pays and n_rows * self._numbers_a_row <= self._sizes.layer

    def outputs(self, xs: Sequence[Tensor]) -> dict[int, Tensor]:
        """Return outputs `[N, C]` by index of the member.

        Args:
            xs: encoded rows `[N, D]`, one tensor per member of the bundle.
        """
        if self._fused is None:
            self._fused = self._fuse()
        network, bound, low, high = self._fused
        rows = [xs[index] for index in self.indices]
        # Padded inputs have kernels of 0.
        x = torch.stack([functional.pad(padded(x), (0, network.width - x.shape[1])) for x in rows])
        outputs = network.predict(bound, x).clamp(low, high)[:, : len(rows[0])]
        return dict(zip(self.indices, outputs, strict=True))

    def _fuse(self) -> tuple[FusedNetwork, Bound, Tensor, Tensor]:
        """Return the network, its weights, and the limits of its outputs, `[K, 1, 1]` each."""
        members = [passes.member for passes in self._passes]
        backend = Backend(torch.device("cpu"), torch.float32)
        columns = [member.columns for member in members]
        configs = [member.config for member in members]
        network = FusedNetwork(configs, columns, members[0].n_outputs, backend)
        layouts, joint = [member.layout for member in members], network.layout
        parameters = pack([passes.parameters for passes in self._passes], layouts, joint)
        moving = [passes.statistics for passes in self._passes]
        bound = network.bind(parameters, pack(moving, layouts, joint, statistics=True))
        limits = [member.limits or (-math.inf, math.inf) for member in members]
        low, high = (backend.column(side, 3) for side in zip(*limits, strict=True))
        return network, bound, low, high


class Passes:
    """Runs a member of a bundle; weights are float32 on the CPU."""

    def __init__(self, member: Member, sizes: BlockSizes = BLOCK_SIZES) -> None:
        self.member = member
        self.sizes = sizes
        self.parameters = torch.tensor(member.parameters, dtype=torch.float32)
        self.statistics = torch.tensor(member.statistics, dtype=torch.float32)
        self._networks: dict[int, tuple[FusedNetwork, Bound]] = {}
        network, _ = self.network(1)
        self.widest = max(network.widest, network.width, member.n_outputs)

    @property
    def rows_at_once(self) -> int:
        """Number of rows whose values of one layer fit the cache."""
        return whole_blocks(max(self.sizes.layer // self.widest, ROW_MULTIPLE))

    def outputs(self, x: Tensor) -> Tensor:
        """Return outputs `[N, C]` of rows `[N, D]`, dropout off."""
        network, bound = self.network(1)
        parts = [
            network.predict(bound, padded(part).unsqueeze(0))[0, : len(part)]
            for part in x.split(self.rows_at_once)
        ]
        return self.limited(torch.cat(parts))

    def samples(self, x: Tensor, bank: MaskBank) -> Tensor:
        """Return outputs `[S, N, C]` of rows `[N, D]`, one sample per mask of the bank.

        All samples of a member without dropout are equal.
        """
        if not bank.sites:
            return self.outputs(x).expand(len(bank), -1, -1)
        # All samples share the layers before the first dropout.
        first = min(layer for layer, _, _ in bank.sites)
        blocks = []
        for part in x.split(min(whole_blocks(self.sizes.rows), self.rows_at_once)):
            network, bound = self.network(1)
            shared = network.before_dropout(bound, padded(part).unsqueeze(0), first)
            a_slot = self.widest * max(len(part), 1)
            n_slots = min(max(self.sizes.layer // a_slot, 1), len(bank))
            outputs = [
                self._sample(shared, first, bank.masks(start, stop))
                for start in range(0, len(bank), n_slots)
                for stop in [min(start + n_slots, len(bank))]
            ]
            blocks.append(torch.cat(outputs)[:, : len(part)])
        return self.limited(torch.cat(blocks, dim=1))

    def _sample(self, shared: Tensor, first: int, keep: dict[int, Tensor]) -> Tensor:
        """Return outputs `[S, N, C]` of S masks.

        Args:
            shared: the values before the first dropout.
            first: the layer of the first dropout.
            keep: the masks by layer.
        """
        n_samples = len(keep[first])
        network, bound = self.network(n_samples)
        return network.predict_on(bound, shared.expand(n_samples, -1, -1), first, keep)

    def limited(self, outputs: Tensor) -> Tensor:
        """Return outputs `[…, C]` within the range of the training target, where it is kept."""
        limits = self.member.limits
        return outputs if limits is None else outputs.clamp(*limits)

    def network(self, n_slots: int) -> tuple[FusedNetwork, Bound]:
        """Return the network as slots with the same weights, and these weights."""
        if n_slots not in self._networks:
            member = self.member
            backend = Backend(torch.device("cpu"), torch.float32)
            configs = [member.config] * n_slots
            network = FusedNetwork(configs, member.columns, member.n_outputs, backend)
            weights = (self.parameters, self.statistics)
            bound = network.bind(*(row.expand(n_slots, -1) for row in weights))
            self._networks[n_slots] = network, bound
        return self._networks[n_slots]


def whole_blocks(n_rows: int) -> int:
    """Round a number of rows down to one that needs no padding."""
    return n_rows // ROW_MULTIPLE * ROW_MULTIPLE


def padded(x: Tensor) -> Tensor:
    """Append rows of 0 to rows `[N, D]` until their number is a multiple of `ROW_MULTIPLE`."""
    missing = -len(x) % ROW_MULTIPLE
    return functional.pad(x, (0, 0, 0, missing)) if missing else x
