"""Run a study within its budget and print the result, for `search`, `train` and `resume`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from autotrain.cli.printing import fields, note, print_json, say
from autotrain.search.settings import directory_words
from autotrain.vocabulary import count_text, duration_text, interval_text, shown_path, value_text

if TYPE_CHECKING:
    from autotrain.bundle import Bundle
    from autotrain.data.dataset import Dataset
    from autotrain.study import Study

EXIT_NO_TRIAL = 3
EXIT_INTERRUPTED = 130


def run(
    study: Study,
    trials: int | None,
    timeout: float | None,
    *,
    started_s: float,
    as_json: bool,
    quiet: bool,
    search: bool = True,
) -> None:
    """Search, score the winner on the test rows, print the result.

    Args:
        trials: number of trials to run; None for no limit.
        timeout: seconds from `started_s`; None for no limit.
        started_s: `time.monotonic()` at the start of the command.
        search: False: only complete what earlier searches began, and export again.
    """
    from autotrain.errors import NoTrialSucceededError
    from autotrain.search.budget import SCORING_SHARE, RunBudget

    about(study, quiet=quiet)
    disk = study.disk_note(trials) if search else None
    if disk is not None:
        note(f"Note: {disk}", quiet=quiet)
    try:
        with study:
            try:
                if search:
                    budget = RunBudget(trials, timeout, started_s, SCORING_SHARE)
                    study._optimize(budget, None, quiet=quiet)
                else:
                    budget = RunBudget(0, timeout, started_s, SCORING_SHARE)
                    study._finish(budget, None, quiet=quiet)
            except NoTrialSucceededError as error:
                say(f"Error: {error}", err=True)
                raise click.exceptions.Exit(EXIT_NO_TRIAL) from error
            if study.dataset.n_test:
                note(f"Scoring the {count_text(study.dataset.n_test, 'test row')}.", quiet=quiet)
            result = outcome(study, started_s)
    except KeyboardInterrupt:
        # The terminal has printed ^C in the current line.
        say("", err=True)
        say(interrupted(study), err=True)
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
    if as_json:
        print_json(result)
    else:
        say("\n".join(ending(study, result)))


def about(study: Study, *, quiet: bool) -> None:
    """Print the task, the data and the notes."""
    for line in described(study):
        note(line, quiet=quiet)


def described(study: Study) -> list[str]:
    """Return lines about the task, the data and the notes."""
    data, definition = study.dataset, study.definition
    lines = [
        f"Study {definition.name}: {definition.target!r} of {definition.data}, "
        f"{task_words(study)}, metric {definition.metric}",
        f"{row_words(row_counts(data), len(data.folds))}; "
        f"{count_text(data.n_features, 'column')}, {count_text(data.n_inputs, 'input')}",
    ]
    weights = weights_words(definition.weights, definition.class_weights)
    lines += [f"{weights[0].upper()}{weights[1:]}"] if weights else []
    return lines + [f"Note: {text}" for text in notes_of(study)]


def row_counts(data: Dataset) -> dict[str, int]:
    """Return the number of rows by use; 0 for calibration if the validation rows calibrate."""
    return {
        "train": data.n_train,
        "validation": data.n_valid,
        "calibration": data.n_calibration,
        "test": data.n_test,
    }


def row_words(rows: dict[str, int], n_folds: int) -> str:
    """Return the result of `row_counts` in words."""
    folds = f" in each of {n_folds} folds" if n_folds > 1 else ""
    calibration = f"{rows['calibration']:,} to calibrate, " if rows["calibration"] else ""
    return (
        f"{count_text(rows['train'], 'row')} to train, {rows['validation']:,} to validate{folds}, "
        f"{calibration}{rows['test']:,} to test"
    )


def notes_of(study: Study) -> list[str]:
    """Return the notes about the data and about the space."""
    return [*study.dataset.notes_for(study.space.views()), *study.space.notices]


def task_words(study: Study) -> str:
    """Return the task and the reason for it."""
    task, reason = study.definition.task, study.dataset.task_reason.rstrip(".")
    if reason == f"{task}, as asked":
        return task
    return reason if reason.startswith(task) else f"{task}: {reason}"


def weights_words(weights: str | None, class_weights: str | dict[str, float] | None) -> str:
    """Return the sample and class weights in words; an empty string without weights."""
    parts = [] if weights is None else [f"sample weights: {weights}"]
    if isinstance(class_weights, dict):
        shown = ", ".join(f"{label} {weight:g}" for label, weight in class_weights.items())
        parts.append(f"class weights: {shown}")
    elif class_weights is not None:
        parts.append(f"class weights: {class_weights}")
    return "; ".join(parts)


def outcome(study: Study, started_s: float) -> dict[str, Any]:
    """Score the winner on the test rows and return the result of a search as JSON.

    Args:
        started_s: `time.monotonic()` at the start of the command.
    """
    from autotrain.bundle import ENSEMBLE
    from autotrain.bundle.selection import selection_of, validation_error, validation_score
    from autotrain.reporting.status import read_status
    from autotrain.search.facts import summary
    from autotrain.space.config import TrialConfig

    test = study.test()
    predictor = study.best_predictor()
    bundle = predictor.bundle
    selection = selection_of(bundle)
    best, config, winner = study.best_trial, study.best_config, study.winner
    status = read_status(study.folder, study.definition.storage)
    return {
        "study": study.definition.name,
        "task": study.definition.task,
        "target": study.definition.target,
        "metric": study.metric.name,
        "direction": study.metric.direction,
        "test": test or None,
        "test_value": test.get(study.metric.name) if test else None,
        "test_interval": bundle.scores.get("test_interval", {}).get(study.metric.name),
        "validation_value": validation_score(bundle),
        "validation_error": validation_error(bundle),
        "selection": None if selection is None else selection.to_json(),
        "ensemble": bundle.training.get(ENSEMBLE),
        "finals": None if winner is None else winner.to_json(),
        "best_trial": best.number,
        "best_trial_value": best.value,
        "winner": summary(TrialConfig.from_dict(config)),
        "config": config,
        "params": study.best_params,
        "has_dropout": predictor.has_dropout,
        "bundle": shown_path(study.best_path),
        "seconds": round(time.monotonic() - started_s, 1),
        "trials": {
            "complete": status.n_complete,
            "pruned": status.n_pruned,
            "failed": status.n_failed,
        },
        "untried_configurations": study.n_untried,
        "rows": row_counts(study.dataset),
        "notes": [
            *study.dataset.notes_for(study.space.views()),
            *study.export_notes,
            *study.export_failures,
        ],
    }


def ending(study: Study, result: dict[str, Any]) -> list[str]:
    """Return the result of a search as lines for people."""
    metric, trials = study.metric.name, result["trials"]
    counts = ", ".join(f"{trials[state]:,} {state}" for state in ("complete", "pruned", "failed"))
    if result["test"]:
        unseen = f"on {count_text(study.dataset.n_test, 'held-out row')}"
        interval = result["test_interval"]
        between = "" if interval is None else f" ({' to '.join(map(_score, interval))})"
        meaning = "" if interval is None else f"in brackets: {interval_text(study.dataset.n_test)}"
        test = f"{metric} {_score(result['test_value'])}{between} {unseen}"
        others = ", ".join(
            f"{name} {_score(value)}" for name, value in result["test"].items() if name != metric
        )
    else:
        test, meaning, others = "none: no rows were held out", "", ""
    dropout = ""
    if not result["has_dropout"]:
        dropout = (
            "none in the winner, so predictions have no uncertainty estimate; use a space whose "
            "[dropout] rate is above 0 to get one"
        )
    lines = fields(
        [
            ("Test", test),
            ("", meaning),
            ("", others),
            *score_rows(study.best_predictor().bundle),
            (
                "Winner" if result["ensemble"] is None else "Best alone",
                f"trial {result['best_trial']}: {result['winner']}",
            ),
            ("Ensemble", _ensemble_words(study, result["ensemble"])),
            ("Note", " ".join(study.export_failures)),
            ("Dropout", dropout),
            ("Trials", f"{sum(trials.values()):,}: {counts}"),
            ("", "" if study.space.is_fixed else _space_words(result["untried_configurations"])),
            ("Time", duration_text(result["seconds"])),
            ("Model", result["bundle"]),
        ]
    )
    return [*lines, "", *next_commands(study, result["untried_configurations"])]


def score_rows(bundle: Bundle) -> list[tuple[str, str]]:
    """Return a model's validation score, its precision, and the reason for choosing the model."""
    from autotrain.bundle.selection import (
        optimism_words,
        reason_words,
        score_words,
        seed_words,
        selection_of,
    )

    selection = selection_of(bundle)
    if selection is None:
        return [("Validation", score_words(bundle))]
    return [
        ("Validation", score_words(bundle)),
        ("", seed_words(selection)),
        ("", optimism_words(bundle, selection)),
        ("Chosen", reason_words(bundle, selection)),
    ]


def next_commands(study: Study, n_untried: int | None) -> list[str]:
    """Return the commands to use after a search.

    Args:
        n_untried: number of untried configurations of a finite space; None for an infinite space.
    """
    name, where = study.definition.name, directory_words(study.folder)
    commands = [
        ("Predict new rows", f"autotrain predict {shown_path(study.best_path)} DATA --output FILE"),
        ("Show the trials", f"autotrain show {name}{where}"),
        ("Open in a browser", f"autotrain dashboard {name}{where}"),
    ]
    if n_untried != 0:
        commands.append(("Search longer", f"autotrain resume {name}{where} --timeout 10m"))
    return fields(commands)


def interrupted(study: Study) -> str:
    """Return the message about an interrupted search."""
    from autotrain.search.definition import FILE

    if not (study.folder / FILE).is_file():
        return "Interrupted before the first trial; nothing was written."
    best = ""
    if study.progress.best_value is not None:
        best = f" The best model so far is in {shown_path(study.best_path)}."
    words = f"autotrain resume {study.definition.name}{directory_words(study.folder)}"
    return f"Interrupted; everything is saved.{best} Resume with:\n  {words}"


def _ensemble_words(study: Study, members: list[dict[str, Any]] | None) -> str:
    from autotrain.export.ensemble import most_members

    if members is None:
        n_members = most_members(study.definition.ensemble, study.dataset)
        is_missed = n_members > 1 and not study.export_failures
        return "none: no other training qualifies" if is_missed else ""
    trials = ", ".join(
        f"{member['trial']}{' again' if member['repeat'] else ''}" for member in members
    )
    return f"of {len(members)} trainings (trials {trials})"


def _space_words(n_untried: int | None) -> str:
    """Return a remark if a finite space has been searched completely."""
    return "all configurations of the space have been tried" if n_untried == 0 else ""


def _score(value: float | None) -> str:
    return "not defined" if value is None else value_text(value)
