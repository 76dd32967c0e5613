"""`autotrain train`: one configuration, without a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from autotrain.cli.options import (
    FileName,
    class_weights_option,
    device_option,
    directory_option,
    json_option,
    metric_option,
    number_or_name,
    quiet_option,
    seed_option,
    storage_of,
    storage_option,
    study_option,
    target_option,
    task_option,
    test_option,
    timeout_option,
    validation_option,
    weights_option,
)
from autotrain.cli.reading import reading_asked, reading_options


@click.command(short_help="Train one configuration, without a search.")
@click.argument("data", type=FileName("DATA"))
@click.option(
    "--config",
    type=FileName("FILE"),
    required=True,
    help="TOML file with one value per parameter.",
)
@target_option
@timeout_option
@study_option
@metric_option
@weights_option
@class_weights_option
@task_option
@validation_option
@test_option
@reading_options
@storage_option
@device_option
@seed_option
@directory_option
@json_option
@quiet_option
@click.pass_context
def train(ctx: click.Context, data: str, config: str, **options: Any) -> None:
    """Train the network that FILE configures on DATA and export it.

    FILE has the keys of a search space, with one value in place of each range. Parameters that it
    leaves out have their defaults. There is one trial, in a study of its own, without search,
    pruning or retraining. The model folder and the test score are those of a search.

    If the study exists with the same data, configuration and settings, its result is shown again,
    or its interrupted training is resumed.
    """
    from autotrain.cli.run_study import run
    from autotrain.space.fixed import fixed_space
    from autotrain.study import Study

    folder = Path(options["directory"]) / (options["study"] or "")
    study = Study(
        options["study"],
        data=data,
        target=options["target"],
        task=options["task"],
        space=fixed_space(config),
        metric=options["metric"],
        weights=options["weights"],
        class_weights=options["class_weights"],
        reading=reading_asked(options),
        sampler="random",
        pruner="none",
        validation=options["validation"],
        test=number_or_name(options["test"]),
        finalists=0,
        ensemble=0,
        storage=storage_of(ctx, options["storage"], folder),
        workers=1,
        device=options["device"] or "auto",
        seed=options["seed"],
        directory=options["directory"],
    )
    run(
        study,
        1,
        options["timeout"],
        started_s=ctx.obj,
        as_json=options["as_json"],
        quiet=options["quiet"],
    )
