"""The confusion matrix, and the scores that are computed from it.

    precision      TP / (TP + FP)      fraction of the rows predicted as the class that have it
    recall         TP / (TP + FN)      fraction of the rows of the class that are found
    specificity    TN / (TN + FP)      fraction of the other rows that are not predicted as it
    mcc            correlation of the predicted and the true classes, from −1 to 1

With two classes the first three are those of the positive class, otherwise their mean over the
classes (macro). A class for which a score is not defined is left out of its mean.
"""

from __future__ import annotations

import math

import numpy as np


def confusion_matrix(
    y: np.ndarray, predicted: np.ndarray, n_classes: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """Count the rows of each pair of a true and a predicted class.

    Equal to `sklearn.metrics.confusion_matrix`.

    Args:
        y: `[N]` class numbers.
        predicted: `[N]` class numbers.
        n_classes: C.
        weights: `[N]` the number of rows that each row counts as; None: one each.
    Returns: `[C, C]` float64, one line per true class, one column per predicted class.
    Examples:
        >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
        [[1.0, 1.0], [0.0, 1.0]]
    """
    cells = np.bincount(y * n_classes + predicted, weights, minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes).astype(np.float64)


def scores_of(matrix: np.ndarray, positive: int | None) -> dict[str, float]:
    """Return precision, recall, specificity and MCC; NaN where a score is not defined.

    Args:
        matrix: `[C, C]`, as `confusion_matrix` returns it.
        positive: the positive class; None: the mean over the classes.
    Source: MCC: Matthews 1975, doi:10.1016/0005-2795(75)90109-9; of several classes: Gorodkin
        2004, doi:10.1016/j.compbiolchem.2004.09.006. Equal to scikit-learn's functions with
        `zero_division=np.nan`.
    Examples:
        >>> scores_of(np.array([[8.0, 2.0], [1.0, 4.0]]), positive=1)["recall"]
        0.8
    """
    right, total = np.diag(matrix), matrix.sum()
    actual, predicted = matrix.sum(1), matrix.sum(0)
    each = {
        "precision": _ratio(right, predicted),
        "recall": _ratio(right, actual),
        "specificity": _ratio(total - actual - predicted + right, total - actual),
    }
    found = {name: _of_classes(values, positive) for name, values in each.items()}
    return found | {"mcc": _correlation(matrix)}


def label_metrics(matrix: np.ndarray, positive: int) -> dict[str, float]:
    """Return all metrics of the labels of two classes; NaN where one is not defined.

    Args:
        matrix: `[2, 2]`, as `confusion_matrix` returns it.
        positive: the positive class.
    Examples:
        >>> label_metrics(np.array([[8.0, 2.0], [1.0, 4.0]]), positive=1)["accuracy"]
        0.8
    """
    right, actual = np.diag(matrix), matrix.sum(1)
    occurs = actual > 0
    # A class that is neither predicted nor present has an F₁ of 0, as in `metric_formulas.f1`.
    pairs = float(actual[positive] + matrix[:, positive].sum())
    return {
        "accuracy": float(right.sum() / matrix.sum()),
        "balanced_accuracy": float((right[occurs] / actual[occurs]).mean()),
        "f1": 2 * float(right[positive]) / pairs if pairs else 0.0,
        **scores_of(matrix, positive),
    }


def _of_classes(values: np.ndarray, positive: int | None) -> float:
    if positive is not None:
        return float(values[positive])
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return the quotient `[C]`, NaN where the denominator is 0."""
    whole = np.full(numerator.shape, math.nan)
    return np.divide(numerator, denominator, out=whole, where=denominator > 0)


def _correlation(matrix: np.ndarray) -> float:
    """Return the MCC; 0 if all rows have one class, or one class is predicted for all rows."""
    actual, predicted, total = matrix.sum(1), matrix.sum(0), matrix.sum()
    covariance = np.trace(matrix) * total - actual @ predicted
    spreads = (total**2 - actual @ actual) * (total**2 - predicted @ predicted)
    # The two spreads are sums of integers, or of rounded weights.
    return float(covariance / math.sqrt(spreads)) if spreads > 1e-12 * total**4 else 0.0
