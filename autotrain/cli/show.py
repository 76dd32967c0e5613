"""`autotrain show`: all studies, or how one of them stands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from autotrain.cli.options import StudyName, directory_option, json_option, storage_option
from autotrain.cli.printing import columns, fields, print_json
from autotrain.cli.run_study import directory_words, score_rows, weights_words
from autotrain.wording import count_text, duration_text, value_text

if TYPE_CHECKING:
    from autotrain.leaderboard import Standing

# What ended a trial, for people; others are shown as they are.
CAUSES = {
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
}
FLAGS = {
    "vanishing": "gradients vanish",
    "exploding": "gradients explode",
    "dead_units": "many units are dead",
    "saturated": "many units are saturated",
}
STATES = {
    "running": "running",
    "stopped": "stopped before its end: autotrain resume {name}{where}",
    "done": "done",
    "empty": "no trial has ended yet",
}


@click.command(short_help="Show all studies, or how one of them stands.")
@click.argument("name", type=StudyName(), required=False)
@storage_option
@directory_option
@json_option
def show(name: str | None, storage: str | None, directory: str, as_json: bool) -> None:
    """Show all studies, or the leaderboard of the study NAME.

    Works while a search is running.
    """
    from autotrain.leaderboard import read_standing, summaries

    studies = Path(directory)
    if name is None:
        found = summaries(studies)
        if as_json:
            print_json(
                {
                    "studies": [
                        {"study": entry[0], "error": entry[1]}
                        if isinstance(entry, tuple)
                        else entry.to_json()
                        for entry in found
                    ]
                }
            )
        else:
            click.echo("\n".join(overview(found, studies)))
        return
    standing = read_standing(studies / name, storage)
    if as_json:
        print_json(standing.to_json())
    else:
        click.echo("\n".join(leaderboard(standing)))


def overview(found: list[Standing | tuple[str, str]], studies: Path) -> list[str]:
    """Return a table of all studies."""
    if not found:
        return [f"There are no studies in {studies}/ yet. Begin with: autotrain search DATA"]
    from autotrain.bundle.selection import validation_score

    rows = [["study", "trials", "score", "metric", "state", "when"]]
    errors = []
    for entry in found:
        if isinstance(entry, tuple):
            rows.append([entry[0], "", "", "", "not readable", ""])
            errors.append(f"{entry[0]}: {entry[1]}")
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


def leaderboard(standing: Standing) -> list[str]:
    """Return the best trials, the winner, what ended the others."""
    definition, name = standing.definition, standing.definition.name
    where = directory_words(standing.folder)
    counts = [f"{standing.n_complete:,} complete", f"{standing.n_pruned:,} pruned"]
    counts.append(f"{standing.n_failed:,} failed")
    if standing.n_running:
        counts.append(f"{standing.n_running:,} running")
    if standing.n_waiting:
        counts.append(f"{standing.n_waiting:,} waiting")
    lines = fields(
        [
            ("Study", name),
            ("State", STATES[standing.state].format(name=name, where=where)),
            ("Data", f"{definition.source}, target {definition.target!r} ({definition.task})"),
            ("Metric", f"{definition.metric}, to {standing.metric.direction}, on validation rows"),
            ("Weights", weights_words(definition.weights, definition.class_weights)),
            ("Trials", f"{standing.n_trials:,}: {', '.join(counts)}"),
            ("Time", duration_text(standing.seconds)),
            ("Left", _left_words(standing)),
            ("Model", "" if standing.bundle is None else str(standing.bundle)),
            *([] if standing.exported is None else score_rows(standing.exported)),
        ]
    )
    if standing.top:
        rows = [["", "trial", "value", "epochs", "time", "configuration"]]
        for place, entry in enumerate(standing.top, 1):
            rows.append(
                [
                    f"{'*' if entry.number == standing.winner else ''}{place}",
                    str(entry.number),
                    value_text(entry.value),
                    "" if entry.epochs is None else str(entry.epochs),
                    "" if entry.seconds is None else duration_text(entry.seconds),
                    entry.words,
                ]
            )
        lines += ["", *columns(rows, right=(0, 1, 2, 3, 4))]
        winner = standing.top[0]
        for entry in standing.top:
            winner = entry if entry.number == standing.winner else winner
        lines += ["", f"* The winning trial, {winner.number}:"]
        params = winner.params
        lines += fields([(key, _param_text(value)) for key, value in params.items()], indent="  ")
    if standing.causes:
        lines += ["", "Ended early:"]
        lines += fields(
            [(f"{count:>5,}", CAUSES.get(cause, cause)) for cause, count in standing.causes.items()]
        )
    if standing.flags:
        lines += ["", "Seen in training:"]
        lines += fields(
            [(f"{count:>5,}", FLAGS.get(flag, flag)) for flag, count in standing.flags.items()]
        )
    return lines


def _left_words(standing: Standing) -> str:
    left = []
    if standing.left.n_trials is not None:
        left.append(count_text(standing.left.n_trials, "trial"))
    if standing.left.timeout_s is not None:
        left.append(duration_text(standing.left.timeout_s))
    return "" if standing.left.is_nothing else " or ".join(left)


def _param_text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
