"""`autotrain resume`: resume a study, or extend it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autotrain.cli.options import (
    directory_option,
    json_option,
    quiet_option,
    setting_options,
    storage_of,
    study_argument,
    timeout_option,
    trials_option,
)
from autotrain.cli.parameters import FILE
from autotrain.errors import BundleError, StudyError
from autotrain.search.settings import directory_words
from autotrain.vocabulary import count_text, duration_text

if TYPE_CHECKING:
    from autotrain.reporting.status import StudyStatus


@click.command(short_help="Resume a study, or search longer.")
@study_argument
@trials_option
@timeout_option
@click.option("--data", type=FILE, metavar="DATA", help="Path of the same table, if it has moved.")
@click.option(
    "--test", type=FILE, metavar="FILE", help="Path of the same test rows, if they have moved."
)
@setting_options("space", resumed=True)
@setting_options("finalists", "ensemble", "storage", resumed=True)
@setting_options("workers", "worker_cpus", "worker_gpus", "device", resumed=True)
@directory_option
@json_option
@quiet_option
@click.pass_context
def resume(
    ctx: click.Context,
    name: str,
    trials: int | None,
    timeout: float | None,
    data: str | None,
    test: str | None,
    space: str | None,
    finalists: int | None,
    ensemble: int | str | None,
    storage: str | None,
    workers: int | str | None,
    worker_cpus: float | None,
    worker_gpus: float | None,
    device: str | None,
    directory: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Resume the study NAME after Ctrl-C, a kill or a reboot, or search longer.

    Without --trials and --timeout it uses the rest of the study's budget. If no trial is left, or
    too little time for one, it only completes what was interrupted: the retraining of the best
    trials and the choice of the winner. With --finalists N or --ensemble N it chooses again.
    --space continues with a space that contains all trials, such as one with more choices.
    """
    from autotrain.cli.run_study import run
    from autotrain.reporting.status import read_status
    from autotrain.study import Study

    folder = Path(directory) / name
    storage = storage_of(ctx, storage, folder)
    left = None
    if trials is None and timeout is None:
        status = read_status(folder, storage)
        left = status.left
        can_finish = ensemble is not None or finalists is not None or status.is_unfinished
        if left.is_nothing and not (can_finish or _is_incomplete(status)):
            raise StudyError(
                f"study {name!r} must have some budget left, got none "
                f"({count_text(status.n_trials, 'trial')} in {duration_text(status.seconds)}). "
                f"Add to it: autotrain resume {name}{directory_words(folder)} --timeout 10m "
                "(or --trials 100)."
            )
        trials, timeout = left.n_trials, left.timeout_s
    study = Study.resume(
        name,
        data=data,
        test=test,
        space=space,
        finalists=finalists,
        ensemble=ensemble,
        storage=storage,
        workers=workers,
        worker_cpus=worker_cpus,
        worker_gpus=worker_gpus,
        device=device,
        directory=directory,
    )
    started_s = ctx.obj
    # Reading the data has used some of the time.
    search = left is None or not left.after(time.monotonic() - started_s).is_nothing
    run(study, trials, timeout, started_s=started_s, search=search, as_json=as_json, quiet=quiet)


def _is_incomplete(status: StudyStatus) -> bool:
    """Return True if the model is missing or damaged, or has no score on its test rows."""
    from autotrain.bundle import read_bundle

    if status.bundle is None:
        return bool(status.n_complete)
    try:
        bundle = read_bundle(status.bundle)
    except BundleError:
        return True
    return bool(bundle.data.get("n_test")) and bundle.scores.get("test") is None
