"""`autotrain show`: list studies, show one study's status, or one of its trials."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from autotrain.cli.options import (
    any_study_argument,
    directory_option,
    json_option,
    storage_of,
    storage_option,
)
from autotrain.cli.printing import columns, fields, print_json, say, say_table
from autotrain.cli.run_study import score_rows, weights_words
from autotrain.cli.trial_text import param_text, trial_lines
from autotrain.search.settings import directory_words
from autotrain.vocabulary import count_text, duration_text, numbers_text, value_text

if TYPE_CHECKING:
    from autotrain.reporting.status import StudyStatus, Unread

STATES = {
    "running": "running",
    "stopped": "interrupted; continue with: autotrain resume {name}{where}",
    "done": "done",
    "empty": "no trial has finished yet",
}


@click.command(short_help="List studies, or show one study's status or one trial.")
@any_study_argument
@click.option(
    "--trial",
    type=click.IntRange(min=0),
    metavar="N",
    help="Trial to show: configuration, learning curve, gradient norms by layer, flags and end.",
)
@click.option(
    "--csv", "as_csv", is_flag=True, help="Print all trials of the study as a table (CSV)."
)
@storage_option
@directory_option
@json_option
@click.pass_context
def show(
    ctx: click.Context,
    name: str | None,
    trial: int | None,
    as_csv: bool,
    storage: str | None,
    directory: str,
    as_json: bool,
) -> None:
    """List all studies, or show the leaderboard of the study NAME or one of its trials.

    Works while a search is running.
    """
    from autotrain.reporting.status import Unread, read_status, summaries
    from autotrain.reporting.trial import read_trial
    from autotrain.reporting.trials_table import read_trials

    studies = Path(directory)
    if as_csv:
        if name is None or trial is not None or as_json:
            raise click.UsageError("--csv needs the NAME of a study, without --trial and --json.")
        folder = studies / name
        say_table(read_trials(folder, storage_of(ctx, storage, folder)).to_csv(index=False))
        return
    if trial is not None:
        if name is None:
            raise click.UsageError("--trial needs the NAME of a study.")
        folder = studies / name
        report = read_trial(folder, trial, storage_of(ctx, storage, folder))
        if as_json:
            print_json(report.to_json())
        else:
            say("\n".join(trial_lines(report)))
        return
    if name is None:
        found = summaries(studies, storage)
        if as_json:
            print_json(
                {
                    "studies": [
                        {"study": entry.name, "error": entry.reason}
                        if isinstance(entry, Unread)
                        else entry.to_json()
                        for entry in found
                    ]
                }
            )
        else:
            say("\n".join(overview(found, studies)))
        return
    status = read_status(studies / name, storage_of(ctx, storage, studies / name))
    if as_json:
        print_json(status.to_json())
    else:
        say("\n".join(leaderboard(status)))


def overview(found: list[StudyStatus | Unread], studies: Path) -> list[str]:
    """Return a table of all studies."""
    if not found:
        return [f"{studies}/ contains no studies yet. Start with: autotrain search DATA"]
    from autotrain.bundle.selection import validation_score
    from autotrain.reporting.status import Unread

    rows = [["study", "trials", "score", "metric", "state", "when"]]
    errors = []
    for entry in found:
        if isinstance(entry, Unread):
            rows.append([entry.name, "", "", "", entry.state, ""])
            errors.append(f"{entry.name}: {entry.reason}")
            continue
        value = None if entry.exported is None else validation_score(entry.exported)
        rows.append(
            [
                entry.definition.name,
                f"{entry.n_trials:,}",
                "" if value is None else value_text(value),
                entry.definition.metric,
                entry.state,
                f"{entry.updated:%Y-%m-%d %H:%M}",
            ]
        )
    return [*columns(rows, right=(1, 2)), *errors]


def leaderboard(status: StudyStatus) -> list[str]:
    """Return the status, the best trials, the winner, and why other trials ended early."""
    definition, name = status.definition, status.definition.name
    where = directory_words(status.folder)
    counts = [f"{status.n_complete:,} complete", f"{status.n_pruned:,} pruned"]
    counts.append(f"{status.n_failed:,} failed")
    if status.n_running:
        counts.append(f"{status.n_running:,} running")
    if status.n_waiting:
        counts.append(f"{status.n_waiting:,} waiting")
    lines = fields(
        [
            ("Study", name),
            ("State", STATES[status.state].format(name=name, where=where)),
            ("Data", f"{definition.data}, target {definition.target!r} ({definition.task})"),
            ("Metric", f"{definition.metric}, to {status.metric.direction}, on validation rows"),
            ("Weights", weights_words(definition.weights, definition.class_weights)),
            ("Trials", f"{status.n_trials:,}: {', '.join(counts)}"),
            ("Added", _added_words(status)),
            ("Missing", status.lost or ""),
            ("Time", duration_text(status.seconds)),
            ("Left", _left_words(status)),
            ("Model", "" if status.bundle is None else str(status.bundle)),
            *([] if status.exported is None else score_rows(status.exported)),
        ]
    )
    if status.top:
        rows = [["", "trial", "value", "epochs", "time", "configuration"]]
        for place, entry in enumerate(status.top, 1):
            rows.append(
                [
                    f"{'*' if entry.number == status.winner else ''}{place}",
                    str(entry.number),
                    value_text(entry.value),
                    "" if entry.epochs is None else str(entry.epochs),
                    "" if entry.seconds is None else duration_text(entry.seconds),
                    entry.words,
                ]
            )
        lines += ["", *columns(rows, right=(0, 1, 2, 3, 4))]
        winner = status.top[0]
        for entry in status.top:
            winner = entry if entry.number == status.winner else winner
        lines += ["", f"* The winning trial, {winner.number}:"]
        params = winner.params
        lines += fields([(key, param_text(value)) for key, value in params.items()], indent="  ")
    lines += _ended_early(status)
    return [*lines, *_flagged(status)]


def _added_words(status: StudyStatus) -> str:
    if not status.added:
        return ""
    what = "trial" if len(status.added) == 1 else "trials"
    return f"{what} {numbers_text(status.added)} through Optuna, without a model"


def _ended_early(status: StudyStatus) -> list[str]:
    from autotrain.search.attributes import known_cause

    rows = []
    for name, n in status.causes.items():
        cause = known_cause(name)
        rows.append((f"{n:>5,}", name if cause is None else cause.text))
    return ["", "Ended early:", *fields(rows)] if rows else []


def _flagged(status: StudyStatus) -> list[str]:
    from autotrain.network.flags import FLAGS

    rows = []
    for flag, numbers in status.flags.items():
        label = FLAGS[flag].label if flag in FLAGS else flag
        rows.append((f"{len(numbers):>5,}", f"{label} ({flag}): trial {numbers_text(numbers)}"))
    if not rows:
        return []
    hint = f"Details: autotrain show {status.definition.name} --trial N"
    return ["", "Diagnostics:", *fields(rows), hint + directory_words(status.folder)]


def _left_words(status: StudyStatus) -> str:
    left = []
    if status.left.n_trials is not None:
        left.append(count_text(status.left.n_trials, "trial"))
    if status.left.timeout_s is not None:
        left.append(duration_text(status.left.timeout_s))
    return "" if status.left.is_nothing else " or ".join(left)
