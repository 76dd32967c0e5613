"""Write the winner's bundle, and check it against its training record before publishing.

The weights are those of the winner's best epoch; nothing is retrained. The bundle is written to a
temporary folder next to its target, read back, and scored on the raw validation rows. It is
published only if training recorded the same score. A winner of K folds has K members, each scored
on its own fold's validation rows; an ensemble has the members of several trials.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from autotrain.bundle import (
    ENSEMBLE,
    SELECTION,
    Bundle,
    Member,
    discard,
    encode,
    publish,
    read_bundle,
    stage,
)
from autotrain.bundle.selection import VALIDATION_ERROR, Selection, selection_of
from autotrain.data.dataset import Dataset
from autotrain.data.encoded import EncodedFold
from autotrain.errors import BundleError
from autotrain.export.calibration import calibrate
from autotrain.export.ensemble import row_error
from autotrain.export.members import members_of, metric_weights
from autotrain.metrics import metric_named
from autotrain.network.config import view_of
from autotrain.predictor import Predictor, load
from autotrain.search.trained import Trained
from autotrain.space.config import TrialConfig
from autotrain.training.slot import Outcome

LIBRARIES = ("autotrain", "numpy", "optuna", "pandas", "safetensors", "scikit-learn", "torch")
OUTPUT_TOLERANCE = 1e-5
"""Largest difference between the float32 outputs in training and in prediction: of probabilities,
or of numbers in standard deviations of the target."""

COVERAGE_ROWS = 2_000
"""Number of evenly spaced test rows for measuring the coverage of sets and intervals. The standard
error is below 0.7 %, so more rows would cost time without a benefit."""


@dataclass(frozen=True)
class Exported:
    """A published bundle.

    Args:
        path: its folder.
        value: the study's metric on the validation rows, computed with the bundle; mean over folds.
        scores: all metrics of the task on the validation rows.
        notes: sentences for the user.
    """

    path: Path
    value: float
    scores: Mapping[str, float | None]
    notes: tuple[str, ...]


def export_winner(
    folder: str | Path,
    *,
    config: TrialConfig,
    outcomes: Sequence[Outcome],
    dataset: Dataset,
    metric: str,
    training: Mapping[str, Any] | None = None,
    class_weights: str | Mapping[str, float] | None = None,
) -> Exported:
    """Write, check and publish the bundle of a trial.

    Args:
        folder: the bundle's folder; an existing bundle is replaced atomically.
        config: the trial's configuration.
        outcomes: one per fold of the dataset, in the folds' order, each with weights.
        metric: name of the study's metric.
        training: further facts to record: study, trial, seed, …
        class_weights: class weights to record, in the form of the study's definition.
    Raises:
        StorageError: when the folder cannot be written.
        RuntimeError: when the bundle cannot be read back, or its score differs from the recorded
            one, which is a bug; nothing is published.
    """
    members = members_of(config, outcomes, dataset)
    return _export(Path(folder), members, dataset, metric, training or {}, class_weights)


def export_ensemble(
    folder: str | Path,
    trained: Sequence[Trained],
    *,
    dataset: Dataset,
    metric: str,
    training: Mapping[str, Any] | None = None,
    class_weights: str | Mapping[str, float] | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Exported:
    """Write, check and publish the bundle of an ensemble.

    The members are all folds of the first trained model, then all folds of the second, and so on.
    Each is checked against its training record. For one trained model the bundle equals that of
    `export_winner`.

    Args:
        trained: at least one, each with the weights of all folds; see `ensemble.choose`.
        training: further facts to record. For several trained models "ensemble" is added: trial,
            repeat, seed, value and best epochs of each.
        on_stage: called with the name of each stage: "calibrating", "checking the exported model".
    For the other arguments and errors see `export_winner`.
    """
    if not trained:
        raise ValueError("trained must contain at least one trained model")
    members = tuple(m for each in trained for m in members_of(each.config, each.outcomes, dataset))
    record = dict(training or {})
    if len(trained) > 1:
        record[ENSEMBLE] = [
            {
                "trial": each.number,
                "repeat": each.repeat,
                "seed": each.seed,
                "value": each.value,
                "best_epochs": [outcome.best_epoch for outcome in each.outcomes],
            }
            for each in trained
        ]
    return _export(Path(folder), members, dataset, metric, record, class_weights, on_stage)


def _export(
    folder: Path,
    members: tuple[Member, ...],
    dataset: Dataset,
    metric: str,
    training: Mapping[str, Any],
    class_weights: str | Mapping[str, float] | None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Exported:
    bundle = Bundle(
        task=dataset.task,
        target=dataset.target,
        classes=dataset.classes,
        label_dtype=dataset.label_dtype,
        members=members,
        metric=metric,
        training={"folds": len(dataset.folds), **training},
        data={
            "name": dataset.name,
            "source": dataset.source,
            "fingerprint": dataset.fingerprint,
            "split": dataset.split,
            "n_train": dataset.n_train,
            "n_valid": dataset.n_valid,
            "n_validated": dataset.n_validated,
            "n_calibration": dataset.n_calibration,
            "n_test": dataset.n_test,
            **_repeats(dataset),
            **({"commas": dataset.commas} if dataset.commas else {}),
            **({"reading": dict(dataset.reading)} if dataset.reading else {}),
            **({} if dataset.weights is None else {"weights": dataset.weights}),
            **({} if class_weights is None else {"class_weights": class_weights}),
        },
        versions=library_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    on_stage("calibrating")
    bundle = replace(bundle, calibration=calibrate(bundle, dataset))
    on_stage("checking the exported model")
    staged = stage(folder, encode(bundle))
    try:
        written = _read_back(staged)
        scores = _scores(written, members, dataset)
        error = row_error(members, dataset, metric_named(metric))
        recorded = {"validation": scores, VALIDATION_ERROR: {metric: error}, "test": None}
        stage(folder, encode(replace(written, scores=recorded)))
        read_bundle(staged)
    except BaseException:
        discard(staged)
        raise
    value = scores[metric]
    assert value is not None
    notes = [] if Predictor(bundle).has_dropout else [_NO_DROPOUT]
    quantile = metric_named(metric).quantile
    if quantile is not None:
        notes.append(_QUANTILE.format(quantile=quantile))
    return Exported(publish(staged, folder), value, scores, tuple(notes))


def _read_back(staged: Path) -> Bundle:
    """Read the bundle that was just written.

    Raises:
        RuntimeError: when it cannot be read, for example because it is too large.
    """
    try:
        return read_bundle(staged)
    except BundleError as error:
        raise RuntimeError(f"the written bundle cannot be read: {error}") from error


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


def _rewrite(folder: Path, bundle: Bundle) -> Path:
    """Replace a bundle by a version with the same members."""
    return publish(stage(folder, encode(bundle)), folder)


def library_versions() -> dict[str, str]:
    """Return the versions of Python and the installed libraries, without importing them."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # For example autotrain in a checkout that is not installed.
    return versions


_NO_DROPOUT = (
    "the best model has no dropout, so predict_distribution has no uncertainty estimate. "
    "Keep [dropout] rate above 0 in the space, or remove `none` from its choices."
)

_QUANTILE = (
    "the model predicts the {quantile} quantile of the target, not its mean; the noise in "
    "predict_distribution is relative to that quantile"
)


def _repeats(dataset: Dataset) -> dict[str, int]:
    if dataset.repeats is None:
        return {}
    return {
        "n_test_repeats": len(dataset.repeats.places),
        "n_test_repeats_same_target": dataset.repeats.n_same_target,
    }


def _of_fold(members: Sequence[Member], fold: int) -> tuple[Member, ...]:
    return tuple(member for member in members if member.fold == fold)


def _scores(
    written: Bundle, members: Sequence[Member], dataset: Dataset
) -> dict[str, float | None]:
    """Return the scores of the written bundle on the raw validation rows, averaged over folds.

    The rows of a fold are predicted by the members that did not train on them: by each alone, to
    compare it with its training record, and by all of them together.

    Raises:
        RuntimeError: when a member's outputs or score differ from those in training.
    """
    of_folds: list[dict[str, float | None]] = []
    for place, fold in enumerate(dataset.folds):
        rows = dataset.raw.iloc[dataset.splits[place].valid]
        features, labels = dataset.apart(rows)
        weights = None if dataset.weights is None else rows[dataset.weights]
        read_back = _of_fold(written.members, place)
        scores: dict[str, float | None] = {}
        for member, own in zip(_of_fold(members, place), read_back, strict=True):
            predictor = Predictor(replace(written, members=(own,)))
            trained = Predictor(replace(written, members=(member,)))
            x_valid = dataset.encoded(place, view_of(member.config)).x_valid
            _check_outputs(predictor, trained, features, fold, x_valid)
            scores = _evaluate(predictor, features, labels, weights)
            _check_score(written.metric, scores, member, fold)
        if len(read_back) > 1:
            together = Predictor(replace(written, members=read_back))
            scores = _evaluate(together, features, labels, weights)
        of_folds.append(scores)
    return {name: _mean([scores[name] for scores in of_folds]) for name in of_folds[0]}


def _evaluate(
    predictor: Predictor, features: Any, labels: Any, weights: Any
) -> dict[str, float | None]:
    evaluation = predictor.evaluate(features, labels, n_samples=0, weights=weights)
    scores: dict[str, float | None] = evaluation["deterministic"]
    return scores


def _check_outputs(
    read_back: Predictor, trained: Predictor, features: Any, fold: EncodedFold, x_valid: np.ndarray
) -> None:
    """Compare the bundle's predictions for raw rows with those of the trained weights."""
    expected = trained.draw([x_valid], 0, 0)[0]
    if read_back.bundle.is_classification:
        difference = np.abs(read_back.predict_proba(features, calibrated=False) - np.exp(expected))
    else:
        difference = np.abs(read_back.predict(features) - expected) / fold.target_std
        difference = difference / (1 + np.abs(expected - fold.target_mean) / fold.target_std)
    if not float(difference.max()) <= OUTPUT_TOLERANCE:
        raise RuntimeError(
            f"predictions of the written bundle differ from the trained model by {difference.max()}"
        )


def _check_score(
    metric: str, scores: Mapping[str, float | None], member: Member, fold: EncodedFold
) -> None:
    score, recorded = scores[metric], member.value
    if recorded is None or score is None:
        raise RuntimeError(
            f"{metric} is {score} on the validation rows, but recorded as {recorded}"
        )
    if not abs(score - recorded) <= _tolerance(metric, recorded, fold):
        raise RuntimeError(
            f"the written bundle scores {metric} {score} on the validation rows of fold "
            f"{member.fold}, but training recorded {recorded} at epoch {member.best_epoch}"
        )


def _tolerance(metric: str, recorded: float, fold: EncodedFold) -> float:
    """Return the largest accepted difference between a score and the recorded one.

    Training computes in float32. The tolerance of smooth metrics is 1e-4 of the value, plus the
    precision lost by a large target mean. The tolerance of metrics that count rows is two rows,
    whose classes may be tied up to rounding.
    """
    row, weights = metric.partition(":")[0], metric_weights(fold)
    if row == "accuracy":
        return 2 * _largest_share(weights)
    if row in ("balanced_accuracy", "f1", "roc_auc", "average_precision"):
        classes = [weights[fold.y_valid == label] for label in np.unique(fold.y_valid)]
        return 1e-3 + 2 * max(_largest_share(own) for own in classes if own.any())
    if row in ("rmse", "mae", "pinball"):
        return 1e-4 * abs(recorded) + 1e-6 * (abs(fold.target_mean) + fold.target_std)
    return 1e-4 * max(1.0, abs(recorded))


def _largest_share(weights: np.ndarray) -> float:
    """Return the largest weight of a row, as a fraction of the sum."""
    return float(weights.max() / weights.sum())


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
