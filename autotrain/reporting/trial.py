"""Report of one trial: configuration, learning curve, diagnostics by layer and cause of its end.

`read_trial` reads a trial from a study's folder, `report_of` uses trials that are already loaded.
The command line formats the report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from autotrain.errors import AutotrainError, StudyError
from autotrain.network.flags import EXPLOSIONS, FLAGS, Diagnosis
from autotrain.search.attributes import (
    BEST_EPOCH,
    CURVE,
    DIAGNOSTICS,
    ERROR,
    N_PARAMETERS,
    Cause,
    cause_of,
    epochs_of,
    seconds_of,
)
from autotrain.search.definition import Definition
from autotrain.search.facts import summary
from autotrain.search.given import config_of
from autotrain.search.opening import seen_study
from autotrain.search.record import is_foreign
from autotrain.space.config import TrialConfig
from autotrain.space.naming import nest
from autotrain.space.search_space import SearchSpace

STOPPED_AS_BEST = "the time limit was reached; the trial was the best so far and is complete"
"""Text for the cause `time` when the trial is complete."""


@dataclass(frozen=True)
class FoldHealth:
    """Diagnostics of a trial's training on one fold.

    Args:
        fold: number of the fold, from 1.
        diagnosis: the measurements and their flags.
    """

    fold: int
    diagnosis: Diagnosis

    def to_json(self) -> dict[str, Any]:
        """Return the diagnostics as JSON values, by layer, the output layer last."""
        found = self.diagnosis
        names: list[str | int] = [*range(1, found.n_hidden + 1), "output"]
        layers = [
            {
                "layer": name,
                "start_norm": _at(found.start_norms, place),
                "norm": _at(found.norms, place),
                "ratio": _at(found.ratios, place),
                "dead_units": _at(found.dead_units, place),
                "saturated": _at(found.saturated, place),
            }
            for place, name in enumerate(names)
        ]
        return {
            "fold": self.fold,
            "flags": list(found.flags),
            "start_loss": found.start_loss,
            "loss": found.loss,
            "explosion": found.explosion,
            "explosion_epoch": found.explosion_epoch,
            "layers": layers if found.norms or found.start_norms else [],
        }


@dataclass(frozen=True)
class TrialReport:
    """Report of one trial.

    Args:
        study: name of the study.
        number: number of the trial.
        state: "complete", "pruned", "failed", "running" or "waiting".
        metric: metric of `value` and `curve`, on the validation rows.
        value: the trial's score; None before it has one.
        words: a short summary of the configuration.
        config: all parameters with an effect, including fixed values; empty when the trial has no
            complete configuration yet.
        cause: cause of its end; None before the end.
        error: the end of the traceback of a failed trial.
        epochs: number of trained epochs, on the longest fold.
        best_epoch: the epoch of the kept weights, on the first fold.
        seconds: duration of the training.
        n_parameters: number of parameters of its largest network.
        curve: (epoch, validation score) pairs, averaged over folds. For a running trial they are
            the best scores so far.
        folds: diagnostics of the first fold with each flag, or of the first fold without flags.
    """

    study: str
    number: int
    state: str
    metric: str
    value: float | None
    words: str
    config: Mapping[str, Any]
    cause: Cause | None
    error: str | None
    epochs: int | None
    best_epoch: int | None
    seconds: float | None
    n_parameters: int | None
    curve: tuple[tuple[int, float], ...]
    folds: tuple[FoldHealth, ...]

    @property
    def ending(self) -> str | None:
        """The cause of its end as text; None before the end."""
        if self.cause == Cause.TIME and self.state == "complete":
            return STOPPED_AS_BEST
        return None if self.cause is None else self.cause.text

    @property
    def flags(self) -> dict[str, str]:
        """Its flags, each with a sentence on its meaning and what to try."""
        found = {flag for each in self.folds for flag in each.diagnosis.flags}
        return {name: flag.sentence for name, flag in FLAGS.items() if name in found}

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        return {
            "study": self.study,
            "trial": self.number,
            "state": self.state,
            "metric": self.metric,
            "value": self.value,
            "cause": self.cause,
            "ending": self.ending,
            "error": self.error,
            "epochs": self.epochs,
            "best_epoch": self.best_epoch,
            "seconds": self.seconds,
            "n_parameters": self.n_parameters,
            "summary": self.words,
            "config": nest(self.config),
            "curve": [list(point) for point in self.curve],
            "flags": self.flags,
            "folds": [fold.to_json() for fold in self.folds],
        }


def read_trial(folder: Path, number: int, storage: str | None = None) -> TrialReport:
    """Return the report of one trial of a study, also during a search.

    Args:
        folder: the study's folder.
        number: number of the trial.
        storage: URL with the password, when the study is not stored in its folder.
    Raises:
        StudyError: when the study or the trial does not exist.
        StorageError: when the trials cannot be read.
    """
    with seen_study(folder, storage, stays_open=False) as seen:
        return report_of(seen.definition, seen.trials, number, seen.user_attrs)


def report_of(
    definition: Definition, trials: list[FrozenTrial], number: int, user_attrs: Mapping[str, Any]
) -> TrialReport:
    """Return the report of one of a study's trials.

    Args:
        definition, trials, user_attrs: settings, trials and attributes of the study.
        number: number of the trial.
    Raises:
        StudyError: when the trial does not exist.
    """
    if not 0 <= number < len(trials):
        has = f"trials 0 to {len(trials) - 1}" if trials else "no trial yet"
        raise StudyError(
            f"trial must be the number of a trial of study {definition.name!r}, got {number}. The "
            f"study has {has}."
        )
    return reports_of(definition, trials[number : number + 1], user_attrs)[0]


def reports_of(
    definition: Definition, trials: Iterable[FrozenTrial], user_attrs: Mapping[str, Any]
) -> list[TrialReport]:
    """Return the reports of several trials of a study.

    Args:
        definition, user_attrs: settings and attributes of the study.
        trials: the trials.
    """
    space = SearchSpace.from_dict(definition.space)
    return [_report(definition, space, trial, user_attrs) for trial in trials]


def _report(
    definition: Definition, space: SearchSpace, trial: FrozenTrial, user_attrs: Mapping[str, Any]
) -> TrialReport:
    known = trial.user_attrs
    config = _config(space, trial)
    curve = known.get(CURVE, sorted(trial.intermediate_values.items()))
    return TrialReport(
        study=definition.name,
        number=trial.number,
        state="failed" if trial.state.name == "FAIL" else trial.state.name.lower(),
        metric=definition.metric,
        value=trial.value,
        words="" if config is None else summary(config),
        config={} if config is None else config.to_params(),
        cause=Cause.ADDED if is_foreign(trial, user_attrs) else cause_of(trial),
        error=known.get(ERROR),
        epochs=epochs_of(trial),
        best_epoch=known.get(BEST_EPOCH),
        seconds=seconds_of(trial),
        n_parameters=known.get(N_PARAMETERS),
        curve=tuple((int(epoch), float(value)) for epoch, value in curve),
        folds=tuple(
            FoldHealth(kept["fold"], Diagnosis.from_json(kept))
            for kept in known.get(DIAGNOSTICS, [])
        ),
    )


def _config(space: SearchSpace, trial: FrozenTrial) -> TrialConfig | None:
    """Return a trial's configuration; None while its parameters are incomplete."""
    try:
        return config_of(trial, space)
    except AutotrainError:
        return None


def explosion_text(found: Diagnosis) -> str:
    """Return the epoch and cause of the first explosion as text; empty without an explosion."""
    if found.explosion is None:
        return ""
    return f"epoch {found.explosion_epoch}: {EXPLOSIONS.get(found.explosion, found.explosion)}"


def _at(values: tuple[float, ...] | None, place: int) -> float | None:
    return values[place] if values and place < len(values) else None
