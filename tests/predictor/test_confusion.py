"""Scores of a confusion matrix equal scikit-learn's for any rows."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from autotrain.predictor.confusion import confusion_matrix, scores_of

Rows = list[tuple[int, int, float]]


@pytest.mark.filterwarnings("ignore:A single label was found")
@settings(max_examples=25)
@given(
    st.integers(2, 5).flatmap(
        lambda c: st.tuples(
            st.just(c),
            st.lists(
                st.tuples(
                    st.integers(0, c - 1), st.integers(0, c - 1), st.sampled_from([0.5, 1, 3])
                ),
                min_size=1,
                max_size=25,
            ),
        )
    ),
    st.booleans(),
)
def test_scores_equal_scikit_learns(case: tuple[int, Rows], is_weighted: bool) -> None:
    n_classes, rows = case
    y, predicted, w = (np.array(column) for column in zip(*rows, strict=True))
    weights = w if is_weighted else None
    matrix = confusion_matrix(y, predicted, n_classes, weights)
    labels = range(n_classes)
    expected = metrics.confusion_matrix(y, predicted, labels=labels, sample_weight=weights)
    np.testing.assert_allclose(matrix, expected)
    each = {"labels": labels, "average": None, "zero_division": np.nan, "sample_weight": weights}
    of_classes = {
        "precision": metrics.precision_score(y, predicted, **each),
        "recall": metrics.recall_score(y, predicted, **each),
        "specificity": np.array(
            [
                metrics.recall_score(
                    y != c, predicted != c, zero_division=np.nan, sample_weight=weights
                )
                for c in labels
            ]
        ),
    }
    correlation = metrics.matthews_corrcoef(y, predicted, sample_weight=weights)
    for positive in (None, *labels):
        found = scores_of(matrix, positive)
        assert found.pop("mcc") == pytest.approx(correlation, abs=1e-9)
        for name, values in of_classes.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # a mean without values
                wanted = np.nanmean(values) if positive is None else values[positive]
            assert found[name] == pytest.approx(wanted, nan_ok=True)
