"""Ranges of the predictions of regression.

tests/training/test_follows_reference.py tests that training scores the same predictions. To add a
row, add its function (predictions, training target) → predictions to `REFERENCES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from autotrain.predictor import Predictor
from autotrain.techniques.targets import TARGETS
from tests.winners import random_bundle

REFERENCES: dict[str, Callable[[np.ndarray, float, float], np.ndarray]] = {
    "free": lambda y, low, high: y,
    "clamped": lambda y, low, high: np.minimum(np.maximum(y, low), high),
}


def predictions(name: str, low: float, high: float) -> np.ndarray:
    bundle = random_bundle({"target": name}, task="regression")
    [member] = bundle.members
    bundle = replace(bundle, members=(replace(member, target_low=low, target_high=high),))
    x = np.random.default_rng(0).normal(size=(200, 5))
    return np.asarray(Predictor(bundle).predict(x))


@pytest.mark.parametrize("name", TARGETS)
def test_predictions_are_in_the_range_of_the_row(name: str) -> None:
    low, high = -0.1, 0.2
    [member] = random_bundle(task="regression").members
    everything = predictions("free", low, high)
    ends = [end * member.target_std + member.target_mean for end in (low, high)]
    assert everything.min() < ends[0] < ends[1] < everything.max()
    found = predictions(name, low, high)
    np.testing.assert_allclose(found, REFERENCES[name](everything, *ends), rtol=1e-6)
