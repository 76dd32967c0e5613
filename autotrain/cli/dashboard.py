"""`autotrain dashboard`: show a study in the browser."""

from __future__ import annotations

import contextlib
import warnings
import webbrowser
from pathlib import Path

import click

from autotrain.cli.options import (
    any_study_argument,
    directory_option,
    storage_of,
    storage_option,
)
from autotrain.cli.printing import say


@click.command(short_help="Show a study in the browser.")
@any_study_argument
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    metavar="N",
    help="Port on this machine [default: 8080 or the next free one].",
)
@click.option(
    "--browser/--no-browser", default=True, help="Open the page in the browser [default: yes]."
)
@storage_option
@directory_option
@click.pass_context
def dashboard(
    ctx: click.Context,
    name: str | None,
    port: int | None,
    browser: bool,
    storage: str | None,
    directory: str,
) -> None:
    """Open optuna-dashboard on the study NAME, or on the latest one.

    The page is read-only, local to this machine and reachable only with the printed address. It
    works while a search is running. Stop it with Ctrl-C.
    """
    from autotrain.errors import StudyError
    from autotrain.reporting.dashboard import Dashboard
    from autotrain.reporting.status import latest_study

    studies = Path(directory)
    was_named = name is not None
    name = latest_study(studies) if name is None else name
    if name is None:
        raise StudyError(
            f"{studies}/ contains no study. Start with: autotrain search DATA --target COLUMN"
        )
    storage = storage_of(ctx, storage, studies / name)
    page = Dashboard(studies / name, port=port, storage=storage, connects=was_named)
    try:
        say(f"Study {name}: {page.address}")
        say("Stop with Ctrl-C.", err=True)
        if browser:
            webbrowser.open(page.address_for_once())
        # Optuna's plots warn on each request while a study has few trials. The page shows this too.
        warnings.filterwarnings("ignore", module="optuna")
        with contextlib.suppress(KeyboardInterrupt):
            page.serve()
    finally:
        page.close()
