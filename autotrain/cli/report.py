"""`autotrain report`: write the report of a study as one HTML file."""

from __future__ import annotations

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
from autotrain.cli.printing import print_json, say
from autotrain.vocabulary import shown_path, size_text


@click.command(short_help="Write the report of a study as one HTML file.")
@study_argument
@click.option(
    "--output", type=FILE, metavar="FILE", help="File to write [default: report.html of the study]."
)
@click.option("--data", type=FILE, metavar="DATA", help="Path of the same table, if moved.")
@click.option("--test", type=FILE, metavar="FILE", help="Path of the test rows, if moved.")
@storage_option
@directory_option
@json_option
@click.pass_context
def report(
    ctx: click.Context,
    name: str,
    output: str | None,
    data: str | None,
    test: str | None,
    storage: str | None,
    directory: str,
    as_json: bool,
) -> None:
    """Write the report of the study NAME: one HTML file that works offline and prints well.

    It compares the model with simpler ones on the same rows, and shows the search, the trials,
    what mattered, and the model on the test rows. The file contains values of the table. Works
    while a search is running.
    """
    from autotrain.study import Study

    folder = Path(directory) / name
    study = Study.resume(
        name,
        data=data,
        test=test,
        storage=storage_of(ctx, storage, folder),
        workers=1,
        device="cpu",
        directory=directory,
    )
    written = study.report(output)
    n_bytes = len(written.html.encode())
    if as_json:
        print_json({"study": name, "report": shown_path(written.path), "bytes": n_bytes})
        return
    say(f"Wrote {shown_path(written.path)} ({size_text(n_bytes)}). Open it in a browser.")
