"""`autotrain dashboard`: look at a study in the browser."""

from __future__ import annotations

import contextlib
import warnings
import webbrowser
from pathlib import Path

import click

from autotrain.cli.options import Count, StudyName, directory_option, storage_of, storage_option
from autotrain.cli.printing import say


@click.command(short_help="Look at a study in the browser.")
@click.argument("name", type=StudyName(), required=False)
@click.option("--port", type=Count(0), help="Port on this machine; else 8080 or the next free one.")
@click.option("--browser/--no-browser", default=True, help="Open the page in the browser.")
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

    Only for looking, only on this machine, only for those who have the printed address; works
    while a search is running. Ctrl-C ends it.
    """
    from autotrain.dashboard import Dashboard
    from autotrain.errors import StudyError
    from autotrain.leaderboard import latest_study

    if port is not None and port > 65_535:
        raise click.BadParameter(f"must be at most 65535, however: {port}.", param_hint="--port")
    studies = Path(directory)
    was_named = name is not None
    name = latest_study(studies) if name is None else name
    if name is None:
        raise StudyError(
            f"expected a study in {studies}/, however: there is none. "
            "Begin with: autotrain search DATA --target COLUMN"
        )
    storage = storage_of(ctx, storage, studies / name)
    page = Dashboard(studies / name, port=port, storage=storage, connects=was_named)
    try:
        say(f"Study {name}: {page.address}")
        say("Ctrl-C ends it.", err=True)
        if browser:
            webbrowser.open(page.address_for_once())
        # Of a young study Optuna's plots warn with every look; whoever looks sees it.
        warnings.filterwarnings("ignore", module="optuna")
        with contextlib.suppress(KeyboardInterrupt):
            page.serve()
    finally:
        page.close()
