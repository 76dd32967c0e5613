"""`autotrain replay`: train one trial again from its record, and compare."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from autotrain.cli.options import (
    directory_option,
    json_option,
    storage_of,
    storage_option,
    study_argument,
)
from autotrain.cli.parameters import FILE
from autotrain.cli.printing import fields, print_json, say
from autotrain.vocabulary import value_text


@click.command(short_help="Train one trial again from its record, and compare.")
@study_argument
@click.argument("trial", type=click.IntRange(min=0), metavar="N")
@click.option("--data", type=FILE, metavar="DATA", help="Path of the same table, if moved.")
@click.option("--test", type=FILE, metavar="FILE", help="Path of the test rows, if moved.")
@storage_option
@directory_option
@json_option
@click.pass_context
def replay(
    ctx: click.Context,
    name: str,
    trial: int,
    data: str | None,
    test: str | None,
    storage: str | None,
    directory: str,
    as_json: bool,
) -> None:
    """Train trial N of the study NAME again from its record, and compare the values.

    The configuration, the seed and the numbers of epochs are those of the trial. The study does not
    change. Values that differ by less than 0.1 % are equal up to rounding.
    """
    from autotrain.study import Study

    folder = Path(directory) / name
    storage = storage_of(ctx, storage, folder)
    with Study.resume(
        name, data=data, test=test, storage=storage, workers=1, directory=directory
    ) as study:
        found = study.replay(trial)
        metric = study.metric.name
    if as_json:
        print_json({"study": name, **asdict(found), "equal": found.is_equal})
        return
    verdict = (
        "equal up to rounding"
        if found.is_equal
        else "different: other versions of the libraries or another processor can be the reason"
    )
    rows = [
        ("Trial", f"{found.trial} ({found.state})"),
        ("Recorded", f"{metric} {value_text(found.recorded)}"),
        ("Again", f"{metric} {value_text(found.value)}"),
        ("Epochs", ", ".join(map(str, found.epochs))),
    ]
    if found.largest_difference is not None:
        rows.append(("Weights", f"largest difference {found.largest_difference:.2g}"))
    for line in fields([*rows, ("Result", verdict)]):
        say(line)
