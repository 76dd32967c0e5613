"""`autotrain train`: one configuration, without a search."""

from __future__ import annotations

from typing import Any

import click

from autotrain.cli.options import (
    data_argument,
    json_option,
    quiet_option,
    setting_options,
    study_arguments,
    timeout_option,
)
from autotrain.cli.parameters import FILE
from autotrain.cli.reading import reading_options


@click.command(short_help="Train one configuration, without a search.")
@data_argument
@click.option(
    "--config",
    type=FILE,
    metavar="FILE",
    required=True,
    help="TOML file with one value per parameter.",
)
@setting_options("target")
@timeout_option
@setting_options("name", "metric", "weights", "class_weights", "task", "validation", "test")
@reading_options
@setting_options("storage", "device", "seed", "directory")
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

    study = Study(
        **study_arguments(ctx, options),
        data=data,
        space=fixed_space(config),
        sampler="random",
        pruner="none",
        finalists=0,
        ensemble=0,
        workers=1,
    )
    run(
        study,
        1,
        options["timeout"],
        started_s=ctx.obj,
        as_json=options["as_json"],
        quiet=options["quiet"],
    )
