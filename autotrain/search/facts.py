"""Facts about a trial: value, seed, description, and the attributes that are kept at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autotrain.network import flags as diagnostic_flags
from autotrain.network.config import dropout_of, input_dropout_of
from autotrain.network.flags import Diagnosis
from autotrain.search.attributes import (
    BEST_EPOCH,
    CAUSE,
    CURVE,
    DIAGNOSTICS,
    EPOCHS,
    FLAGS,
    FOLD_EPOCHS,
    GRADIENT_RATIO,
    N_PARAMETERS,
    SECONDS,
    Cause,
)
from autotrain.space.config import TrialConfig
from autotrain.techniques.schedules import SCHEDULES
from autotrain.training.slot import Outcome


def value_of(outcomes: Sequence[Outcome]) -> float:
    """Return a trial's value: the mean of its folds' best ones."""
    return mean_of_folds([outcome.best_value for outcome in outcomes])


def mean_of_folds(numbers: Sequence[float]) -> float:
    """Return the mean, added up in the order of the folds: the same digits wherever it is made."""
    return float(np.mean(numbers))


def n_parameters(outcomes: Sequence[Outcome]) -> int:
    """Return how many parameters the largest of a trial's networks has."""
    return max(0 if o.parameters is None else len(o.parameters) for o in outcomes)


def runs_to_end(config: TrialConfig) -> bool:
    """Return True when only the last epoch ends a trial: it anneals, or early stopping is off.

    Such a trial never counts as converged before, and is worth waiting for.
    """
    return SCHEDULES[config.schedule.name].anneals or not config.early_stopping["enabled"]


def trial_seed(study_seed: int, number: int) -> int:
    """Return a trial's own seed, from the study's seed and the trial's place in it."""
    sequence = np.random.SeedSequence([study_seed, number])
    return int(sequence.generate_state(1, np.uint64)[0])


def summary(config: TrialConfig) -> str:
    """Return a configuration in a few words."""
    widths = "-".join(map(str, config.hidden_units)) or "linear"
    words = [widths, *([config.activation.name] if config.hidden_units else [])]
    words += [config.optimizer.name, f"{config.optimizer['learning_rate']:.2g}"]
    if config.hidden_units and config.batch_norm.name != "off":
        words.append("batch norm")
    if config.hidden_units and dropout_of(config).name != "none":
        words.append(f"dropout {config.dropout['rate']:.2g}")
    if input_dropout_of(config).name != "none":
        words.append(f"input dropout {config.dropout['input_rate']:.2g}")
    return " ".join([*words, config.schedule.name])


def facts_of(
    outcomes: Sequence[Outcome], cause: Cause, seconds: float, curve: list[list[float]]
) -> dict[str, Any]:
    """Return the user attributes of a trial that has ended.

    They are few and small, because the dashboard slows down with more.

    Args:
        outcomes: one per fold.
        seconds: runtime of the trial.
        curve: (epoch, score) pairs; empty when no epoch has a score.
    """
    epochs = [o.epochs for o in outcomes]
    facts: dict[str, Any] = {
        CAUSE: cause,
        EPOCHS: max(epochs),
        BEST_EPOCH: outcomes[0].best_epoch,
        SECONDS: round(seconds, 3),
        N_PARAMETERS: n_parameters(outcomes),
    }
    if min(epochs) < max(epochs):
        facts[FOLD_EPOCHS] = epochs
    if curve:
        facts[CURVE] = curve
    return facts | health_of([outcome.diagnosis for outcome in outcomes])


def health_of(folds: Sequence[Diagnosis]) -> dict[str, Any]:
    """Return a trial's flags and the numbers of the folds that they are about.

    These are the first fold with each flag; the first fold where none has one. Folds count from 1.
    Flags are decided on the rounded numbers, so that they follow from what is kept.
    """
    folds = [Diagnosis.from_json(found.to_json()) for found in folds]
    kept: dict[int, Diagnosis] = {}
    flags: set[str] = set()
    for fold, found in enumerate(folds, 1):
        if not flags.issuperset(found.flags):
            kept[fold] = found
            flags.update(found.flags)
    kept = kept or {1: folds[0]}
    facts: dict[str, Any] = {
        DIAGNOSTICS: [{"fold": fold, **found.to_json()} for fold, found in kept.items()]
    }
    if flags:
        facts[FLAGS] = " ".join(name for name in diagnostic_flags.FLAGS if name in flags)
    ratios = [found.ratio for found in kept.values() if found.ratio is not None]
    if ratios:
        facts[GRADIENT_RATIO] = float(f"{min(ratios):.4g}")
    return facts
