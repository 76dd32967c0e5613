"""Operations on log-probabilities; classes are on the last axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


def log_mean_exp(log_p: Tensor) -> Tensor:
    """Return the log of the mean of p `[S, …]` over the first axis."""
    if len(log_p) == 1:
        return log_p[0]
    return torch.logsumexp(log_p, dim=0) - math.log(len(log_p))


class Recalibration(NamedTuple):
    """The calibration of averaged probabilities, so that they match the frequencies of classes.

        p'_c  ∝  p_c^(1/T) / w_c

    Args:
        temperature: T; above 1 when the probabilities were overconfident.
        class_weights: `[C]`, w > 0, the class weights of training, which are divided out. None:
            equal weights; the order of the classes stays.
    Source: T: Guo, Pleiss, Sun & Weinberger 2017, arXiv:1706.04599; w: Elkan 2001, "The foundations
        of cost-sensitive learning", theorem 2: training with class weight w is like training on a
        table where the class is w times as frequent.
    """

    temperature: float
    class_weights: Sequence[float] | None = None

    def apply(self, log_p: Tensor) -> Tensor:
        """Return log p' `[…, C]` for log p `[…, C]`."""
        scaled = log_p / self.temperature
        if self.class_weights is not None:
            scaled = scaled - log_p.new_tensor([math.log(w) for w in self.class_weights])
        return torch.log_softmax(scaled, dim=-1)


def recalibration_in(calibration: Mapping[str, Any], name: str) -> Recalibration:
    """Return the recalibration whose temperature a bundle contains under a name."""
    return Recalibration(float(calibration[name]), calibration.get("class_weights"))
