"""Operations on log-probabilities of classes, which are on the last axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


def log_mean_exp(log_p: Tensor) -> Tensor:
    """Return log of the mean of p over the first axis."""
    return torch.logsumexp(log_p, dim=0) - math.log(len(log_p))


class Recalibration(NamedTuple):
    """What turns averaged probabilities into those that classes really have.

        p'_c  ∝  p_c^(1/T) / w_c

    Args:
        temperature: T; above 1 when the probabilities were too sure.
        class_weights: `[C]`, w, positive: what each class counted in training, which is divided
            out. None: all the same, and the order of the classes stays.
    Source: T: Guo, Pleiss, Sun & Weinberger 2017, arXiv:1706.04599; w: Elkan 2001, "The foundations
        of cost-sensitive learning", theorem 2: a class that counts w times as much is learned as
        if it were w times as frequent.
    """

    temperature: float
    class_weights: Sequence[float] | None = None

    def apply(self, log_p: Tensor) -> Tensor:
        """Return log p' of log p `[…, C]`."""
        scaled = log_p / self.temperature
        if self.class_weights is not None:
            scaled = scaled - log_p.new_tensor([math.log(w) for w in self.class_weights])
        return torch.log_softmax(scaled, dim=-1)
