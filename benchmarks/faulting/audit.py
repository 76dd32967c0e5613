"""Mistakes after a fault: lost or doubled trials, a wrong winner, a broken model, leftovers.

Each function returns a list of sentences, one for each mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

import autotrain
from autotrain.bundle import read_bundle
from autotrain.search.attributes import RETRY_OF, WINNER, is_counted
from autotrain.search.record import own_trials

Rows = tuple[Any, Any]
TOLERANCE = 1e-5
CHECKPOINT = re.compile(r"trial-\d+-\d+\.safetensors")
STUDY = {"best", "checkpoints", "journal.log", "journal.log.torn", "lock", "study.toml"}
STUDY |= {"trials.json"}
"""Entries of a study's folder."""
ENDS = (TrialState.COMPLETE, TrialState.PRUNED)


def ended(trials: Iterable[FrozenTrial]) -> dict[int, str]:
    """Return the results of the trials that have ended and count, by number, as text."""
    return {
        trial.number: repr((trial.state.name, trial.params, trial.values, _curve(trial)))
        for trial in trials
        if is_counted(trial)
    }


def _curve(trial: FrozenTrial) -> list[tuple[int, float]]:
    return sorted(trial.intermediate_values.items())


def shown_and_lost(n_shown: int, trials: Sequence[FrozenTrial]) -> list[str]:
    """Check that all ended trials that were shown are in the storage after a fault."""
    n = sum(trial.state in ENDS for trial in trials)
    return [f"{n_shown} ended trials were shown, {n} are in the storage"] if n < n_shown else []


def lost(before: dict[int, str], trials: Sequence[FrozenTrial], budget: int) -> list[str]:
    """Check that trials which had ended are unchanged, and that the budget was used.

    Args:
        before: `ended` after the fault.
        trials: all trials at the end.
        budget: the number of trials of the study.
    """
    after = ended(trials)
    found = [f"trial {n} changed" for n, text in before.items() if after.get(n) != text]
    if len(after) < budget:
        found.append(f"{len(after)} of {budget} trials are counted")
    running = [trial.number for trial in trials if trial.state == TrialState.RUNNING]
    return found + ([f"trials {running} are marked as running"] if running else [])


def doubled(trials: Sequence[FrozenTrial], budget: int) -> list[str]:
    """Check that no trial counts twice.

    All spaces have a continuous parameter, so two trials with the same parameters are one trial.
    """
    counted = [trial for trial in trials if is_counted(trial)]
    numbers = {trial.number for trial in counted}
    found = [
        f"trial {trial.number} counts besides the one that it repeats"
        for trial in counted
        if trial.user_attrs.get(RETRY_OF) in numbers
    ]
    seen: dict[str, int] = {}
    for trial in counted:
        other = seen.setdefault(repr(sorted(trial.params.items())), trial.number)
        if other != trial.number:
            found.append(f"trials {other} and {trial.number} have the same parameters")
    if len(counted) > budget:
        found.append(f"{len(counted)} trials are counted, the budget has {budget}")
    return found


def wrong_winner(
    study: Path, trials: Sequence[FrozenTrial], attributes: dict[str, Any], n_finalists: int
) -> list[str]:
    """Check that the model is that of the trial, or of the repeat, with the best result.

    Args:
        study: the folder of the study.
        trials: all trials.
        attributes: user attributes of the study.
        n_finalists: with 0, the winner is the trial with the lowest value.
    """
    complete = [
        trial
        for trial in own_trials(trials, attributes)
        if trial.state == TrialState.COMPLETE and trial.value is not None
    ]
    if not complete:
        return ["no trial is complete"]
    found = read_bundle(study / "best").training["trial"]
    if not n_finalists:
        best = min(complete, key=lambda trial: (trial.value or 0.0, trial.number)).number
    else:
        best = (attributes.get(WINNER) or {}).get("number", -1)
    return [] if found == best else [f"the model is that of trial {found}, not of {best}"]


def unloadable(
    study: Path, trials: Sequence[FrozenTrial], attributes: dict[str, Any], rows: Rows
) -> list[str]:
    """Check that the model can be loaded, predicts, and has the recorded validation score.

    Args:
        study, trials, attributes: see `wrong_winner`.
        rows: the validation rows: features and target.
    """
    try:
        predictor = autotrain.load(study / "best")
        n = len(predictor.predict(rows[0]))
        score = predictor.evaluate(*rows, n_samples=0)
    except Exception as error:
        return [f"the model cannot be used: {error!r}"]
    if n != len(rows[0]):
        return [f"{n} predictions for {len(rows[0])} rows"]
    bundle = read_bundle(study / "best")
    number = bundle.training["trial"]
    winner = attributes.get(WINNER) or {}
    recorded = trials[number].value
    if winner.get("number") == number and winner.get("repeat"):
        recorded = next(
            each["value"]
            for each in attributes["repeats"]
            if (each["trial"], each["repeat"]) == (number, winner["repeat"])
        )
    measured = float(score["deterministic"][bundle.metric])
    if recorded is None or not np.isclose(measured, recorded, rtol=TOLERANCE, atol=TOLERANCE):
        return [f"the model scores {measured} on the validation rows, recorded is {recorded}"]
    return []


def left_files(study: Path, temporary: Path) -> list[str]:
    """Return the files that are no longer needed: in the study's folder, and temporary ones."""
    found = [str(path) for path in sorted(temporary.iterdir())]
    found += [str(path) for path in sorted(study.iterdir()) if path.name not in STUDY]
    checkpoints = study / "checkpoints"
    if checkpoints.is_dir():
        files = sorted(checkpoints.iterdir())
        found += [str(path) for path in files if not CHECKPOINT.fullmatch(path.name)]
    return [f"left: {path}" for path in found]
