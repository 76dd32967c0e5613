"""The rows of a bundle on which decisions are chosen: rows that did not train their networks.

They are the rows of its conformal scores: calibration rows, or the validation rows of each fold,
each predicted with dropout off by the networks of its fold. The bundle contains 1 − p(true class)
and the true class of each, from which the probabilities of two classes follow. For more classes it
contains 1 − p(predicted class), and whether that class is wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch

from autotrain.bundle import Bundle
from autotrain.errors import BundleError
from autotrain.metrics import BINARY


class HeldOutRows(NamedTuple):
    """Rows with two classes that did not train their networks.

    Args:
        log_p: `[N, 2]` logarithms of the probabilities as trained.
        y: `[N]` class numbers.
        weights: `[N]` sample weights; None: equal weights.
    """

    log_p: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None


def held_out(bundle: Bundle) -> HeldOutRows:
    """Return the held-out rows of a bundle with two classes.

    Raises: BundleError when it has none.
    """
    calibration = bundle.calibration
    scores = _joined(calibration.get("conformal_fold_scores") or [])
    if not len(scores):
        raise BundleError(
            "the bundle must have calibration rows to choose on, got none. Pass X and y, rows "
            "that did not train the model."
        )
    y = _joined(calibration["conformal_fold_labels"]).astype(np.int64)
    weights = calibration.get("conformal_fold_weights")
    missed = np.clip(scores, 0.0, 1.0)
    with np.errstate(divide="ignore"):
        of_truth, of_other = np.log1p(-missed), np.log(missed)
    log_p = np.where(np.arange(2) == y[:, None], of_truth[:, None], of_other[:, None])
    return HeldOutRows(log_p, y, None if weights is None else _joined(weights))


def answers(
    bundle: Bundle, label_numbers: Callable[[torch.Tensor], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the doubt of each held-out row, 1 − p(predicted class), and whether it is wrong.

    With two classes they follow from `held_out`; otherwise the bundle contains them.

    Args:
        bundle: the model.
        label_numbers: returns the predicted classes `[N]` for log p `[N, C]` as trained.
    Returns: `[N]` float64 and `[N]` bool.
    Raises: BundleError when the bundle has none.
    """
    if bundle.task == BINARY:
        rows = held_out(bundle)
        log_p = torch.from_numpy(rows.log_p)
        labels = label_numbers(log_p)
        return doubts_of(log_p, labels), labels != rows.y
    stored = bundle.calibration.get("answers")
    if not stored:
        raise BundleError(
            "the bundle must have the answers for its calibration rows, got none. Export it again, "
            "or pass X and y, rows that did not train the model."
        )
    return np.array(stored["doubts"]), np.array(stored["is_wrong"], dtype=bool)


def doubts_of(log_p: torch.Tensor, labels: np.ndarray) -> np.ndarray:
    """Return 1 − p(label) of each row `[N]`, from log p `[N, C]` and class numbers `[N]`."""
    chosen = log_p.numpy()[np.arange(len(labels)), labels]
    return -np.expm1(np.minimum(chosen, 0.0))


def _joined(folds: Iterable[Any]) -> np.ndarray:
    return np.array(list(itertools.chain(*folds)), dtype=np.float64)
