"""`autotrain search`: search for the best network for a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autotrain.cli import study_file
from autotrain.cli.options import (
    data_argument,
    json_option,
    quiet_option,
    setting_options,
    study_arguments,
    timeout_option,
    trials_option,
)
from autotrain.cli.printing import fields, print_json, say
from autotrain.cli.reading import reading_options
from autotrain.validation import is_ray
from autotrain.vocabulary import count_text, duration_text, shown_path

if TYPE_CHECKING:
    from autotrain.search.budget import Budget
    from autotrain.study import Study


@click.command(short_help="Search for the best network for a table.")
@data_argument
@setting_options("target", "space")
@trials_option
@timeout_option
@setting_options("name", "metric", "weights", "class_weights", "task", "sampler")
@setting_options("pruner", "pruner_options", "validation", "test")
@reading_options
@setting_options("finalists", "ensemble", "storage", "workers", "worker_cpus", "worker_gpus")
@setting_options("device", "seed", "directory")
@click.option("--dry-run", is_flag=True, help="Show the plan of the search and write nothing.")
@json_option
@quiet_option
@click.pass_context
def search(ctx: click.Context, data: str, **options: Any) -> None:
    """Search for the best network for DATA and export it.

    DATA is a table (CSV, TSV, Parquet, Feather, NPZ, IDX; text also .gz or .zst), sklearn:NAME,
    openml:ID, or a study file. A study file, studies/NAME.toml, contains the same options; those on
    the command line override it.

    Without --trials and --timeout the search takes ten minutes. If a study with the same name, data
    and settings exists, it is resumed.
    """
    if data.endswith(".toml"):
        data, options = study_file.merge(Path(data), ctx, options)
    elif options["study"] is not None and options["study"].endswith(".toml"):
        raise click.UsageError("--study takes a name. To use a study file, pass it as DATA.")

    from autotrain.cli.run_study import run
    from autotrain.search.budget import Budget
    from autotrain.study import Study

    study = Study(**study_arguments(ctx, options), data=data)
    budget = Budget(options["trials"], options["timeout"]).or_default()
    if options["dry_run"]:
        plan = planned(study, budget)
        if options["as_json"]:
            print_json(plan)
        else:
            say("\n".join(plan_lines(study, plan)))
        return
    run(
        study,
        budget.n_trials,
        budget.timeout_s,
        started_s=ctx.obj,
        as_json=options["as_json"],
        quiet=options["quiet"],
    )


def planned(study: Study, budget: Budget) -> dict[str, Any]:
    """Return the plan of a search as JSON; nothing is written."""
    from autotrain.cli.run_study import notes_of, row_counts
    from autotrain.search.storage.urls import hide_password

    data, definition, size = study.dataset, study.definition, study.space.size()
    return {
        "dry_run": True,
        "study": definition.name,
        "exists": (study.folder / "study.toml").is_file(),
        "folder": shown_path(study.folder),
        "storage": None if definition.storage is None else hide_password(definition.storage),
        "data": definition.data,
        "target": definition.target,
        "task": definition.task,
        "task_reason": data.task_reason,
        "classes": list(data.classes),
        "rows": row_counts(data),
        "folds": len(data.folds),
        "columns": data.n_features,
        "inputs": data.n_inputs,
        "notes": notes_of(study),
        "space": {
            "name": study.space.source,
            "combinations": size.combinations,
            "continuous": size.continuous,
            "baselines": len(study.space.baselines()),
        },
        "metric": definition.metric,
        "direction": study.metric.direction,
        "weights": definition.weights,
        "class_weights": definition.class_weights,
        "sampler": definition.sampler,
        "pruner": definition.pruner,
        "pruner_options": definition.pruner_options,
        "finalists": definition.finalists,
        "ensemble": definition.ensemble,
        "trials": budget.n_trials,
        "timeout_s": budget.timeout_s,
        "device": study.device,
        "workers": study.n_workers,
        "seed": definition.seed,
    }


def plan_lines(study: Study, plan: dict[str, Any]) -> list[str]:
    """Return the plan as lines for people."""
    from autotrain.cli.run_study import row_words, task_words, weights_words

    space = plan["space"]
    classes = ", ".join(map(str, plan["classes"][:10]))
    classes += ", …" if len(plan["classes"]) > 10 else ""
    limits = [] if plan["trials"] is None else [count_text(plan["trials"], "trial")]
    if plan["timeout_s"] is not None:
        limits.append(duration_text(plan["timeout_s"]))
    processes = count_text(plan["workers"], "process", "processes")
    if is_ray(study.definition.workers):
        processes = f"the Ray cluster {study.definition.workers}"
    resumed = " (exists; would be resumed)" if plan["exists"] else ""
    lines = fields(
        [
            ("Study", f"{plan['study']} in {plan['folder']}{resumed}"),
            ("Data", plan["data"]),
            ("Target", f"{plan['target']}, {task_words(study)}"),
            ("Classes", classes),
            ("Rows", row_words(plan["rows"], plan["folds"])),
            ("Columns", f"{plan['columns']:,}, encoded as {count_text(plan['inputs'], 'input')}"),
            (
                "Space",
                f"{space['name']}: {space['combinations']:,} combinations × "
                f"{count_text(space['continuous'], 'continuous parameter')}, "
                f"{space['baselines']} tried first",
            ),
            ("Metric", f"{plan['metric']}, to {plan['direction']}"),
            ("Weights", weights_words(plan["weights"], plan["class_weights"])),
            ("Search", _search_words(plan)),
            ("Budget", " or ".join(limits)),
            ("Training", f"on {plan['device']}, in {processes}"),
        ]
    )
    return [
        *lines,
        *(f"Note: {text}" for text in plan["notes"]),
        "Nothing was written (--dry-run).",
    ]


def _search_words(plan: dict[str, Any]) -> str:
    options = ", ".join(f"{name} = {value:g}" for name, value in plan["pruner_options"].items())
    pruner = f"{plan['pruner']} ({options})" if options else plan["pruner"]
    return f"sampler {plan['sampler']}, pruner {pruner}, seed {plan['seed']}"
