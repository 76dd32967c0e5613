"""One trial of a study: configuration, learning curve, health by layer, why it ended.

`read_trial` reads a trial from a study's folder, `report_of` describes one that is at hand. How the
facts are printed is the command line's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from autotrain.errors import AutotrainError, StudyError
from autotrain.fused.flags import EXPLOSIONS, FLAGS, Diagnosis
from autotrain.space.config import TrialConfig
from autotrain.space.naming import nest
from autotrain.space.search_space import SearchSpace
from autotrain.study.definition import Definition
from autotrain.study.given import config_of
from autotrain.study.opening import seen_study
from autotrain.study.record import is_foreign
from autotrain.study.running import CURVE, DIAGNOSTICS, summary

ENDINGS = {
    "epochs": "trained for all its epochs",
    "early_stopping": "the validation score stopped improving",
    "converged": "converged: the validation loss no longer improves",
    "plateau": "worse than others at the same plateau",
    "rung": "worse than others after as many rows",
    "time": "cut off by the end of the time",
    "diverged": "the loss went to infinity or NaN",
    "out_of_memory": "out of memory",
    "interrupted": "interrupted, tried again by resume",
    "given_up": "in training whenever the command died, three times",
    "worker_died": "the worker process died, twice",
    "export": "the model could not be exported: please report it",
    "error": "an error in autotrain: please report it",
    "not_started": "not started before the run ended",
    "outside_space": "enqueued with parameters that are not in the space, not trained",
    "added": "added through Optuna: it has no model and cannot win",
    "forbidden": "a combination that the space forbids, not trained",
}
"""What ended a trial, in plain words, by the user attribute `cause`."""
ADDED = "added"
CUT_OFF_BEST = "the time was up, and it was the best trial so far"
"""Instead of `time` where the trial is complete."""


@dataclass(frozen=True)
class FoldHealth:
    """Health of a trial's training on one fold.

    Args:
        fold: its number, from 1.
        diagnosis: the numbers, and the flags that they mean.
    """

    fold: int
    diagnosis: Diagnosis

    def to_json(self) -> dict[str, Any]:
        """Return the numbers layer by layer, the output layer last."""
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
    """One trial.

    Args:
        study: its study's name.
        number: the trial's.
        state: "complete", "pruned", "failed", "running" or "waiting".
        metric: what `value` and `curve` are of, on the validation rows.
        value: the trial's score; None before it has one.
        words: its configuration in a few words.
        config: every parameter that has an effect, fixed values included; empty where the trial
            has none yet.
        cause: what ended it, a key of `ENDINGS`; None while it is open.
        error: the end of the traceback of a trial that failed.
        epochs: trained, on the longest fold.
        best_epoch: the epoch whose weights are kept, on the first fold.
        seconds: it took.
        n_parameters: of its largest network.
        curve: (epoch, validation score) pairs, means over folds; of a running trial the best score
            so far.
        folds: of the first fold with each flag; of the first fold where none has one.
    """

    study: str
    number: int
    state: str
    metric: str
    value: float | None
    words: str
    config: Mapping[str, Any]
    cause: str | None
    error: str | None
    epochs: int | None
    best_epoch: int | None
    seconds: float | None
    n_parameters: int | None
    curve: tuple[tuple[int, float], ...]
    folds: tuple[FoldHealth, ...]

    @property
    def ending(self) -> str | None:
        """Why it ended, in plain words; None while it is open."""
        if self.cause == "time" and self.state == "complete":
            return CUT_OFF_BEST
        return None if self.cause is None else ENDINGS.get(self.cause, self.cause)

    @property
    def flags(self) -> dict[str, str]:
        """Its flags, each with one sentence: what it means and what to try."""
        found = {flag for each in self.folds for flag in each.diagnosis.flags}
        return {name: flag.sentence for name, flag in FLAGS.items() if name in found}

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON has words for."""
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
    """Read one trial of a study; works while a search runs.

    Args:
        folder: of the study.
        number: the trial's.
        storage: its URL with the password, when the study is not kept in its folder.
    Raises:
        StudyError: when there is no such study or trial.
        StorageError: when its trials cannot be read.
    """
    with seen_study(folder, storage, stays_open=False) as seen:
        return report_of(seen.definition, seen.trials, number, seen.user_attrs)


def report_of(
    definition: Definition, trials: list[FrozenTrial], number: int, user_attrs: Mapping[str, Any]
) -> TrialReport:
    """Describe one of a study's trials.

    Args:
        definition, trials, user_attrs: the study's.
    Raises: StudyError when there is no such trial.
    """
    if not 0 <= number < len(trials):
        has = f"trials 0 to {len(trials) - 1}" if trials else "no trial yet"
        raise StudyError(
            f"trial must be the number of a trial of study {definition.name!r}, got {number}. The "
            f"study has {has}."
        )
    trial = trials[number]
    known = trial.user_attrs
    config = _config(definition, trial)
    curve = known.get(CURVE, sorted(trial.intermediate_values.items()))
    return TrialReport(
        study=definition.name,
        number=number,
        state="failed" if trial.state.name == "FAIL" else trial.state.name.lower(),
        metric=definition.metric,
        value=trial.value,
        words="" if config is None else summary(config),
        config={} if config is None else config.to_params(),
        cause=ADDED if is_foreign(trial, user_attrs) else known.get("cause"),
        error=known.get("error"),
        epochs=known.get("epochs"),
        best_epoch=known.get("best_epoch"),
        seconds=known.get("seconds"),
        n_parameters=known.get("n_parameters"),
        curve=tuple((int(epoch), float(value)) for epoch, value in curve),
        folds=tuple(
            FoldHealth(kept["fold"], Diagnosis.from_json(kept))
            for kept in known.get(DIAGNOSTICS, [])
        ),
    )


def _config(definition: Definition, trial: FrozenTrial) -> TrialConfig | None:
    """Return a trial's configuration; None where its parameters are not complete."""
    try:
        return config_of(trial, SearchSpace.from_dict(definition.space))
    except AutotrainError:
        return None


def explosion_text(found: Diagnosis) -> str:
    """Return when and by what an explosion was first seen; empty without one."""
    if found.explosion is None:
        return ""
    return f"epoch {found.explosion_epoch}: {EXPLOSIONS.get(found.explosion, found.explosion)}"


def _at(values: tuple[float, ...] | None, place: int) -> float | None:
    return values[place] if values and place < len(values) else None
