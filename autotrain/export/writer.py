"""Write the bundle of trained models, and check it before publishing.

The weights are those of each model's best epoch; nothing is retrained. The bundle is written to a
temporary folder next to its target, read back, and checked on the raw validation rows (see
`export/checks.py`). It is published only if it passes. A trained model of K folds has K members; an
ensemble has the members of several trained models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autotrain.bundle import ENSEMBLE, Bundle, discard, encode, publish, read_bundle, stage
from autotrain.bundle.selection import VALIDATION_ERROR
from autotrain.data.dataset import Dataset
from autotrain.errors import BundleError
from autotrain.export.calibration import calibrate
from autotrain.export.checks import checked_scores
from autotrain.export.ensemble import row_error
from autotrain.export.members import members_of
from autotrain.metrics import metric_named
from autotrain.predictor import Predictor
from autotrain.search.definition import library_versions
from autotrain.search.trained import Trained

CALIBRATING = "calibrating"
"""Name of the stage in which the calibration rows are sampled."""


def write_model(
    folder: Path,
    trained: Sequence[Trained],
    *,
    dataset: Dataset,
    metric: str,
    study: str = "",
    class_weights: str | Mapping[str, float] | None = None,
    decide: Callable[[Bundle], Bundle] = lambda bundle: bundle,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Bundle:
    """Write, check and publish the bundle of one trained model, or of an ensemble of several.

    The members are all folds of the first trained model, then all folds of the second, and so on.

    Args:
        folder: the bundle's folder; an existing bundle is replaced atomically.
        trained: at least one, each with the weights of all folds; see `ensemble.choose`.
        dataset: the study's dataset.
        metric: name of the study's metric.
        study: name of the study, to be recorded.
        class_weights: class weights to record, in the form of the study's definition.
        decide: adds a decision threshold to the calibrated bundle.
        on_stage: called with the name of each stage: "calibrating", "checking the exported model".
    Returns: the published bundle, with its scores.
    Raises:
        StorageError: when the folder cannot be written.
        RuntimeError: when the bundle cannot be read back, or its score differs from the recorded
            one, which is a bug; nothing is published.
    """
    if not trained:
        raise ValueError("trained must contain at least one trained model")
    members = tuple(m for each in trained for m in members_of(each.config, each.outcomes, dataset))
    bundle = Bundle(
        task=dataset.task,
        target=dataset.target,
        classes=dataset.classes,
        label_dtype=dataset.label_dtype,
        members=members,
        metric=metric,
        training=_training_record(trained, dataset, study),
        data=_data_record(dataset, class_weights),
        versions=library_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    on_stage(CALIBRATING)
    bundle = decide(replace(bundle, calibration=calibrate(bundle, dataset)))
    on_stage("checking the exported model")
    staged = stage(folder, encode(bundle))
    try:
        written = _read_back(staged)
        scores = checked_scores(written, members, dataset)
        error = row_error(members, dataset, metric_named(metric))
        recorded = {"validation": scores, VALIDATION_ERROR: {metric: error}, "test": None}
        stage(folder, encode(replace(written, scores=recorded)))
        bundle = read_bundle(staged)
    except BaseException:
        discard(staged)
        raise
    publish(staged, folder)
    return bundle


def notes_of(bundle: Bundle) -> tuple[str, ...]:
    """List facts about an exported model that the user should know."""
    notes = [] if Predictor(bundle).has_dropout else [_NO_DROPOUT]
    quantile = metric_named(bundle.metric).quantile
    if quantile is not None:
        notes.append(_QUANTILE.format(quantile=quantile))
    return tuple(notes)


def _training_record(trained: Sequence[Trained], dataset: Dataset, study: str) -> dict[str, Any]:
    """Return which training the first model is from and, for an ensemble, all of them."""
    first = trained[0]
    record: dict[str, Any] = {
        "folds": len(dataset.folds),
        "study": study,
        "trial": first.number,
        "repeat": first.repeat,
        "seed": first.seed,
        "best_epoch": first.outcomes[0].best_epoch,
    }
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
    return record


def _data_record(
    dataset: Dataset, class_weights: str | Mapping[str, float] | None
) -> dict[str, Any]:
    """Return the facts about the data; those that do not apply are absent."""
    repeats = dataset.repeats
    optional = {
        "n_test_repeats": None if repeats is None else len(repeats.places),
        "n_test_repeats_same_target": None if repeats is None else repeats.n_same_target,
        "commas": dataset.commas or None,
        "reading": dict(dataset.reading) or None,
        "weights": dataset.weights,
        "class_weights": class_weights,
    }
    return {
        "name": dataset.name,
        "source": dataset.source,
        "fingerprint": dataset.fingerprint,
        "split": dataset.split,
        "n_train": dataset.n_train,
        "n_valid": dataset.n_valid,
        "n_validated": dataset.n_validated,
        "n_calibration": dataset.n_calibration,
        "n_test": dataset.n_test,
        **{name: value for name, value in optional.items() if value is not None},
    }


def _read_back(staged: Path) -> Bundle:
    """Read the bundle that was just written.

    Raises:
        RuntimeError: when it cannot be read, for example because it is too large.
    """
    try:
        return read_bundle(staged)
    except BundleError as error:
        raise RuntimeError(f"the written bundle cannot be read: {error}") from error


_NO_DROPOUT = (
    "the best model has no dropout, so predict_distribution has no uncertainty estimate. "
    "Keep [dropout] rate above 0 in the space, or remove `none` from its choices."
)

_QUANTILE = (
    "the model predicts the {quantile} quantile of the target, not its mean; the noise in "
    "predict_distribution is relative to that quantile"
)
