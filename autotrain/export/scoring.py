"""Record in an exported bundle what is known only later: test scores, choices and thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from autotrain.bundle import SELECTION, Bundle, encode, publish, read_bundle, stage
from autotrain.bundle.selection import Selection, selection_of
from autotrain.data.dataset import Dataset
from autotrain.predictor import load

COVERAGE_ROWS = 2_000
"""Number of evenly spaced test rows for measuring the coverage of sets and intervals. The standard
error is below 0.7 %, so more rows would cost time without a benefit."""


def score_test_rows(folder: Path, dataset: Dataset) -> dict[str, float | None]:
    """Score the model in a folder on the test rows, and record the scores in its bundle.

    Returns: the "deterministic" scores of `Predictor.evaluate`.
    """
    frame, labels = dataset.raw_test()
    weights = dataset.test_weights
    predictor = load(folder)
    # Dropout is off, because a hundred passes over many rows could exceed a short budget.
    evaluation = predictor.evaluate(frame, labels, n_samples=0, weights=weights, interval=True)
    if predictor.has_dropout:
        rows = slice(None, None, -(-len(frame) // COVERAGE_ROWS))
        weights = None if weights is None else weights[rows]
        found = predictor.evaluate(frame[rows], labels[rows], weights=weights, notices=[])
        evaluation |= {"coverage": found["coverage"], "coverage_rows": found["n_rows"]}
    record_test_score(folder, evaluation)
    scores: dict[str, float | None] = evaluation["deterministic"]
    return scores


def record_test_score(folder: str | Path, evaluation: Mapping[str, Any]) -> Path:
    """Add the scores on the test rows to a bundle.

    Args:
        folder: the bundle's folder.
        evaluation: the result of `Predictor.evaluate` for the test rows.
    Raises:
        BundleError: when the bundle is missing or damaged.
        StorageError: when it cannot be written.
    """
    folder = Path(folder)
    bundle = read_bundle(folder)
    scores = {**bundle.scores, "test": evaluation["deterministic"]}
    if "intervals" in evaluation:
        known = {name: each for name, each in evaluation["intervals"].items() if each is not None}
        scores["test_interval"] = known
    if evaluation.get("coverage"):
        about = {
            "alpha": evaluation["alpha"],
            "n_rows": evaluation.get("coverage_rows", evaluation["n_rows"]),
        }
        scores["test_coverage"] = {
            name: each | about for name, each in evaluation["coverage"].items()
        }
    for side in ("calibrated", "monte_carlo", "monte_carlo_calibrated"):
        if evaluation.get(side):
            scores[f"test_{side}"] = evaluation[side]
    return _rewrite(folder, replace(bundle, scores=scores))


def record_selection(folder: str | Path, selection: Selection) -> Path:
    """Record in a bundle why its model was chosen, which is known only after the search.

    Raises:
        BundleError: when the bundle is missing or damaged.
        StorageError: when it cannot be written.
    """
    folder = Path(folder)
    bundle = read_bundle(folder)
    if selection_of(bundle) == selection:
        return folder
    training = {**bundle.training, SELECTION: selection.to_json()}
    return _rewrite(folder, replace(bundle, training=training))


def record_calibration(folder: Path, calibration: Mapping[str, Any]) -> Path:
    """Replace the calibration of a bundle.

    Raises:
        BundleError: when the bundle is missing or damaged.
        StorageError: when it cannot be written.
    """
    return _rewrite(folder, replace(read_bundle(folder), calibration=calibration))


def _rewrite(folder: Path, bundle: Bundle) -> Path:
    """Replace a bundle by a version with the same members."""
    return publish(stage(folder, encode(bundle)), folder)
