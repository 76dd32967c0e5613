"""The example of shap in the documentation gives the values of a linear model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotrain.predictor import Predictor
from tests.winners import random_bundle

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"


def test_example_gives_the_values_of_a_linear_model() -> None:
    """They are (x − mean of x) times the slope of the logit."""
    pytest.importorskip("shap")
    blocks = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    (block,) = (text for text in blocks if "import shap" in text)
    predictor = Predictor(random_bundle({"network.hidden_layers": 0}, n_members=1))
    X = np.random.default_rng(0).normal(size=(60, 5))
    names: dict[str, Any] = {"predictor": predictor, "X": X}
    exec(compile(block, PAGE.name, "exec"), names)
    x = np.concatenate([np.zeros((1, 5)), np.eye(5)])
    module = predictor.to_torch(logits=True)
    logits = module(*predictor.raw_inputs(x)).detach().numpy()
    slopes = logits[1:] - logits[0]
    expected = (X[:5] - X.mean(axis=0))[:, :, None] * slopes
    assert np.shape(names["values"]) == (5, 5, 3)
    # The mean over 500 drawn rows has an error of 1/√500.
    np.testing.assert_allclose(names["values"], expected, atol=0.2 * np.abs(slopes).max())
