"""Passes of one trained network over encoded rows: once without dropout, or once per mask.

The S samples of a Monte-Carlo pass are S slots of the fused network that share one set of weights
(expanded, not copied) and differ in their masks. Batch norm stays on its moving statistics. Rows
and samples are taken in blocks, so that memory is bounded whatever their number.
"""

from __future__ import annotations

import torch
from torch import Tensor

from autotrain.bundle import Member
from autotrain.fused.binding import Bound
from autotrain.fused.network import Network
from autotrain.fused.plan import Numbers
from autotrain.predictor.masks import MaskBank

BLOCK_NUMBERS = 1 << 19
"""Numbers of one layer held at a time: 2 MB, the size of a second-level cache."""
MOST_ROWS = 2048


class Passes:
    """Runs a member of a bundle; weights are float32 on the CPU."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self._parameters = torch.tensor(member.parameters, dtype=torch.float32).unsqueeze(0)
        self._statistics = torch.tensor(member.statistics, dtype=torch.float32).unsqueeze(0)
        self._networks: dict[int, tuple[Network, Bound]] = {}
        network, _ = self._network(1)
        self._widest = max(network.widest, network.width, member.n_outputs)

    def outputs(self, x: Tensor) -> Tensor:
        """Return outputs `[N, C]` of rows `[N, D]`, dropout off."""
        rows = max(BLOCK_NUMBERS // self._widest, 64)
        return torch.cat([self._run(part, {}, 1)[0] for part in x.split(rows)])

    def samples(self, x: Tensor, bank: MaskBank) -> Tensor:
        """Return outputs `[S, N, C]` of rows `[N, D]`, one sample per mask of the bank."""
        blocks = []
        for part in x.split(min(MOST_ROWS, max(BLOCK_NUMBERS // self._widest, 64))):
            n_slots = min(max(BLOCK_NUMBERS // (self._widest * max(len(part), 1)), 1), len(bank))
            outputs = [
                self._run(part, bank.masks(start, stop), stop - start)
                for start in range(0, len(bank), n_slots)
                for stop in [min(start + n_slots, len(bank))]
            ]
            blocks.append(torch.cat(outputs))
        return torch.cat(blocks, dim=1)

    def _run(self, x: Tensor, keep: dict[int, Tensor], n_slots: int) -> Tensor:
        network, bound = self._network(n_slots)
        outputs = network.predict(bound, x.expand(n_slots, -1, -1), keep)
        limits = self.member.limits
        return outputs if limits is None else outputs.clamp(*limits)

    def _network(self, n_slots: int) -> tuple[Network, Bound]:
        if n_slots not in self._networks:
            member = self.member
            numbers = Numbers(torch.device("cpu"), torch.float32)
            configs = [member.config] * n_slots
            network = Network(configs, member.columns, member.n_outputs, numbers)
            weights = (self._parameters, self._statistics)
            bound = network.bind(*(rows.expand(n_slots, -1) for rows in weights))
            self._networks[n_slots] = network, bound
        return self._networks[n_slots]
