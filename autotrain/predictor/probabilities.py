"""Operations on log-probabilities of classes, which are on the last axis."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def log_mean_exp(log_p: Tensor) -> Tensor:
    """Return log of the mean of p over the first axis."""
    return torch.logsumexp(log_p, dim=0) - math.log(len(log_p))


def tempered(log_p: Tensor, temperature: float) -> Tensor:
    """Return log of p^(1/T) / Σ p^(1/T): the order of the classes stays.

    Source: Guo, Pleiss, Sun & Weinberger 2017, arXiv:1706.04599.
    """
    return torch.log_softmax(log_p / temperature, dim=-1)
