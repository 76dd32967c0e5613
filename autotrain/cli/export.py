"""`autotrain export`: hand over a study's best model."""

from __future__ import annotations

from pathlib import Path

import click

from autotrain.cli.options import Count, FileName, StudyName, Word, directory_option, json_option
from autotrain.cli.printing import print_json, say


@click.command(short_help="Copy a study's best model into a folder of its own.")
@click.argument("name", type=StudyName())
@click.option("--trial", type=Count(0), help="Number of the trial; this version keeps the best.")
@click.option(
    "--format",
    "kind",
    type=Word("format", ("bundle", "onnx")),
    default="bundle",
    show_default=True,
    help="onnx: graphs for onnxruntime, without autotrain.",
)
@click.option(
    "--samples",
    type=Count(1),
    default=100,
    show_default=True,
    help="Of onnx: Monte-Carlo samples of the graph.",
)
@click.option("--seed", type=Count(0), default=0, show_default=True, help="Of onnx: of the masks.")
@click.option(
    "--output", type=FileName("DIR", "dir"), help="A new folder; else NAME-bundle or NAME-onnx."
)
@directory_option
@json_option
def export(
    name: str,
    trial: int | None,
    kind: str,
    samples: int,
    seed: int,
    output: str | None,
    directory: str,
    as_json: bool,
) -> None:
    """Copy the best model of the study NAME into a folder of its own, checked.

    The folder needs neither the study nor Optuna: `autotrain predict DIR DATA`, or
    `autotrain.load("DIR")` in Python. With --format onnx it holds graphs that onnxruntime runs.
    """
    from autotrain.bundle import ENSEMBLE, encode, publish, read_bundle, stage
    from autotrain.cli.bundles import find_bundle
    from autotrain.errors import StorageError, StudyError
    from autotrain.study.definition import Definition

    studies = Path(directory)
    Definition.read(studies / name)
    bundle = read_bundle(find_bundle(name, studies))
    winner = bundle.training.get("trial")
    if trial is not None and trial != winner:
        raise StudyError(
            f"--trial must be {winner}, the best trial, however: {trial}. Of other trials no "
            "weights are kept in this version. Leave --trial out."
        )
    together = bundle.training.get(ENSEMBLE)
    model = f"The ensemble of {len(together)} trainings" if together else f"Trial {winner}"
    target = Path(output if output is not None else f"{name}-{kind}")
    if kind == "onnx":
        from autotrain.onnx_graphs import export_onnx
        from autotrain.predictor import Predictor

        predictor = Predictor(bundle)
        folder = export_onnx(predictor, target, n_samples=samples, seed=seed)
        if as_json:
            print_json({"study": name, "trial": winner, "onnx": str(target), "path": str(folder)})
        else:
            say(f"{model} of {name}, as graphs, is in {target}")
            say("inputs.json says what they read, docs/onnx.md how.", err=True)
            if not predictor.has_dropout:
                say("The model has no dropout: there is point.onnx alone.", err=True)
        return
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise StorageError(
            f"{target}: expected a new or an empty folder, however: it is there already. "
            "Give another one with --output, or remove it."
        )
    folder = publish(stage(target, encode(bundle)), target)
    if as_json:
        print_json({"study": name, "trial": winner, "bundle": str(target), "path": str(folder)})
    else:
        say(f"{model} of {name} is in {target}")
        say(f"Predict with it: autotrain predict {target} DATA --output FILE", err=True)
